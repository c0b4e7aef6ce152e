use proptest::prelude::*;

use super::*;

const TODAY: i32 = 20_780;

fn codec(change: impl FnOnce(&mut Spec)) -> Codec {
    let mut spec = Spec {
        pattern: Pattern::parse("b+{campaign}+{sig}+{local}={domain}").unwrap(),
        short: Some(Pattern::parse("h+{campaign}+{sig}+{hash}").unwrap()),
        private: false,
        secrets: vec![b"correct horse battery staple".to_vec()],
        hash_key: Some(b"a key that never changes".to_vec()),
        domains: vec!["returns.example.com".into(), "returns.example.net".into()],
        max_age_days: 60,
        require_signature: true,
    };
    change(&mut spec);
    Codec::new(spec).unwrap()
}

fn decode(codec: &Codec, rcpt: &str, today: i32) -> Result<Decoded, Refusal> {
    let (local, domain) = rcpt.rsplit_once('@').unwrap();
    codec.decode(local, domain, today)
}

#[test]
fn long_form_there_and_back() {
    let codec = codec(|_| ());
    let rcpt = codec.encode("Alice+news=x@Example.ORG", Some("Spring"), None, TODAY).unwrap();
    assert!(rcpt.starts_with("b+spring+") && rcpt.ends_with("+alice+news=x=example.org@returns.example.com"), "{rcpt}");
    let decoded = decode(&codec, &rcpt.to_uppercase(), TODAY + 60).unwrap();
    assert_eq!(
        decoded,
        Decoded {
            form: Form::Long,
            payload: Payload::Address("alice+news=x@example.org".into()),
            campaign: Some("spring".into()),
            day: Some(TODAY),
            signed: true,
            expired: false
        }
    );
    assert!(decode(&codec, &rcpt, TODAY + 61).unwrap().expired);
    assert_eq!(decode(&codec, &rcpt, TODAY - 3), Err(Refusal::BadSignature), "from the future");
    assert!(decode(&codec, &rcpt, TODAY - 2).is_ok());
    let elsewhere = rcpt.replace("example.com", "example.net");
    assert_eq!(decode(&codec, &elsewhere, TODAY), Err(Refusal::BadSignature), "the domain is signed too");
}

#[test]
fn what_the_pattern_cannot_spell_takes_the_short_form() {
    let codec = codec(|_| ());
    let long = format!("{}@{}.example.org", "a".repeat(30), "b".repeat(20));
    for address in
        [&long, "\"john doe\"@example.org", "jörg@example.org", "a@exämple.de", "a..b@example.org", "a%b@example.org", "a@[192.0.2.1]"]
    {
        let rcpt = codec.encode(address, None, None, TODAY).unwrap();
        assert!(rcpt.starts_with("h+-+"), "{rcpt}");
        let decoded = decode(&codec, &rcpt, TODAY).unwrap();
        assert_eq!(decoded.form, Form::Short);
        assert_eq!(decoded.payload, Payload::Hash(codec.key_of_address(&crate::address::normal(address).unwrap())));
    }
    let hashless = self::codec(|spec| spec.hash_key = None);
    assert_eq!(hashless.encode(&long, None, None, TODAY), Err(EncodeError::NoShort(long)));
    let private = self::codec(|spec| spec.private = true);
    assert!(private.encode("a@example.org", None, None, TODAY).unwrap().starts_with("h+-+"));
}

#[test]
fn ids_and_campaigns() {
    let codec = codec(|spec| spec.pattern = Pattern::parse("r-{campaign}-{sig}-{id}").unwrap());
    let rcpt = codec.encode("a@example.org", Some("spring"), Some("4711-A"), TODAY).unwrap();
    let decoded = decode(&codec, &rcpt, TODAY).unwrap();
    assert_eq!((decoded.payload, decoded.campaign.as_deref()), (Payload::Id("4711-a".into()), Some("spring")));
    assert_eq!(codec.encode("a@example.org", None, None, TODAY), Err(EncodeError::IdNeeded));
    assert_eq!(codec.encode("a@example.org", Some("a-b"), Some("1"), TODAY), Err(EncodeError::CampaignSeparator("a-b".into())));
    for bad in ["", "a b", "a..b", ".a", "ü", "a+b", &"a".repeat(33)] {
        assert_eq!(codec.encode("a@example.org", Some(bad), Some("1"), TODAY), Err(EncodeError::Campaign(bad.into())));
    }
    assert!(matches!(codec.encode("a@example.org", None, Some("a@b"), TODAY), Err(EncodeError::Id(_))));
    assert_ne!(codec.key_of_id("a@example.org"), codec.key_of_address("a@example.org"));
}

#[test]
fn all_secrets_verify_and_the_first_signs() {
    let old = codec(|_| ());
    let new = codec(|spec| spec.secrets.insert(0, b"the new secret of this year".to_vec()));
    let rcpt = old.encode("a@example.org", None, None, TODAY).unwrap();
    assert!(decode(&new, &rcpt, TODAY).unwrap().signed);
    let rcpt = new.encode("a@example.org", None, None, TODAY).unwrap();
    assert_eq!(decode(&old, &rcpt, TODAY), Err(Refusal::BadSignature));
}

#[test]
fn without_a_required_signature_a_bad_one_vouches_for_nothing() {
    let signing = codec(|_| ());
    let lax = codec(|spec| spec.require_signature = false);
    let rcpt = signing.encode("a@example.org", None, None, TODAY).unwrap().replacen("+a=", "+b=", 1);
    let decoded = decode(&lax, &rcpt, TODAY).unwrap();
    assert_eq!((decoded.payload, decoded.signed, decoded.day), (Payload::Address("b@example.org".into()), false, None));
    assert_eq!(lax.find(&rcpt, TODAY), None);
}

#[test]
fn without_a_secret_a_word_stands_for_the_signature() {
    let codec = codec(|spec| {
        spec.secrets.clear();
        spec.require_signature = false;
    });
    let rcpt = codec.encode("a@example.org", Some("spring"), None, TODAY).unwrap();
    assert_eq!(rcpt, "b+spring+nosig+a=example.org@returns.example.com");
    let decoded = decode(&codec, &rcpt, TODAY).unwrap();
    assert_eq!((decoded.payload, decoded.signed), (Payload::Address("a@example.org".into()), false));
    let strict = self::codec(|_| ());
    assert_eq!(decode(&strict, &rcpt, TODAY), Err(Refusal::BadSignature), "a secret is set: the word vouches for nothing");
}

#[test]
fn unsigned_patterns() {
    let codec = codec(|spec| {
        spec.secrets.clear();
        spec.require_signature = false;
        spec.pattern = Pattern::parse("b+{campaign}+{local}={domain}").unwrap();
        spec.short = None;
    });
    let rcpt = codec.encode("a@example.org", None, None, TODAY).unwrap();
    assert_eq!(rcpt, "b+-+a=example.org@returns.example.com");
    assert!(!decode(&codec, &rcpt, TODAY).unwrap().signed);
    let own = codec.encode_own("0000002A-7-00000001-0", TODAY);
    assert_eq!(own, "bounced-own+0000002a-7-00000001-0@returns.example.com");
    assert_eq!(decode(&codec, &own, TODAY).unwrap().payload, Payload::Own("0000002a-7-00000001-0".into()));
}

#[test]
fn own_addresses() {
    let codec = codec(|_| ());
    let own = codec.encode_own("0000002a-1234567890-00000001-12", TODAY);
    assert!(own.starts_with("bounced-own+") && own.split('@').next().unwrap().len() <= LOCAL_MAX, "{own}");
    let decoded = decode(&codec, &own.to_uppercase(), TODAY).unwrap();
    assert_eq!((decoded.form, decoded.payload), (Form::Own, Payload::Own("0000002a-1234567890-00000001-12".into())));
    assert_eq!(decode(&codec, "bounced-own+0000002a-1@returns.example.com", TODAY), Err(Refusal::Malformed));
    assert_eq!(decode(&codec, "bounced-own+aaaaaaaaaaaaa+1@returns.example.com", TODAY), Err(Refusal::BadSignature));
    assert!(codec.encode_own(&"9".repeat(300), TODAY).split('@').next().unwrap().len() <= LOCAL_MAX);
}

#[test]
fn found_in_a_text_only_where_signed_and_ours() {
    let codec = codec(|_| ());
    let rcpt = codec.encode("a@example.org", None, None, TODAY).unwrap();
    assert!(codec.find(&format!("<{}>", rcpt.to_uppercase()), TODAY).is_some());
    for other in ["", "@", "a@example.org", "b+-+aaaaaaaaaaaaa+a=example.org@returns.example.com", &rcpt.replace("returns", "other")] {
        assert_eq!(codec.find(other, TODAY), None, "{other}");
    }
}

#[test]
fn specs_that_cannot_be() {
    let parse = |text| Pattern::parse(text).unwrap();
    let key = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec {
            pattern: parse("b+{sig}+{local}={domain}"),
            short: None,
            private: false,
            secrets: vec![b"secret".to_vec()],
            hash_key: None,
            domains: vec!["returns.example.com".into()],
            max_age_days: 60,
            require_signature: true,
        };
        change(&mut spec);
        Codec::new(spec).map(|_| ()).unwrap_err().key
    };
    assert_eq!(key(&|spec| spec.pattern = parse("b+{local}={domain}")), "pattern");
    assert_eq!(key(&|spec| spec.secrets.clear()), "require_signature");
    assert_eq!(key(&|spec| spec.pattern = parse("b+{sig}+{hash}")), "pattern");
    assert_eq!(key(&|spec| spec.short = Some(parse("s+{sig}+{id}"))), "short");
    assert_eq!(key(&|spec| spec.private = true), "private");
    assert_eq!(
        key(&|spec| {
            spec.secrets.clear();
            spec.pattern = parse("b+{local}={domain}");
        }),
        "require_signature"
    );
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", codec(|_| ()));
    assert!(!shown.contains("horse") && !shown.contains("99, 111"), "{shown}");
}

proptest! {
    #[test]
    fn whatever_is_encoded_reads_back_in_any_case(
        local in "[a-zA-Z0-9+=._~-]{1,40}", domain in "[a-z0-9]{1,12}(\\.[a-z0-9-]{1,8}[a-z]){1,3}",
        campaign in proptest::option::of("[a-z0-9][a-z0-9_-]{0,31}"), day in 0_i32..32_000, upper in proptest::collection::vec(any::<bool>(), 130),
    ) {
        let codec = codec(|_| ());
        let address = format!("{local}@{domain}");
        let Some(normal) = crate::address::normal(&address) else { return Ok(()) };
        let Ok(rcpt) = codec.encode(&address, campaign.as_deref(), None, day) else { return Ok(()) };
        let mixed: String = rcpt.chars().zip(upper.iter().cycle()).map(|(c, up)| if *up { c.to_ascii_uppercase() } else { c }).collect();
        let decoded = decode(&codec, &mixed, day + 1).unwrap();
        prop_assert_eq!(decoded.campaign, campaign);
        match decoded.payload {
            Payload::Address(address) => prop_assert_eq!(address, normal),
            other => prop_assert_eq!(other, Payload::Hash(codec.key_of_address(&normal))),
        }
    }

    #[test]
    fn any_changed_character_is_refused(local in "[a-z0-9+.]{1,20}", place in any::<prop::sample::Index>(), to in "[ -~]", private: bool) {
        let codec = codec(|spec| spec.private = private);
        let Ok(rcpt) = codec.encode(&format!("{local}@example.org"), Some("spring"), None, TODAY) else { return Ok(()) };
        let local = rcpt.split('@').next().unwrap();
        let place = place.index(local.len());
        let changed = format!("{}{to}{}", &local[..place], &local[place + 1..]);
        prop_assume!(!changed.eq_ignore_ascii_case(local));
        prop_assert!(codec.decode(&changed, "returns.example.com", TODAY).is_err(), "{}", changed);
        let shorter = format!("{}{}", &local[..place], &local[place + 1..]);
        prop_assert!(codec.decode(&shorter, "returns.example.com", TODAY).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(local in ".{0,300}", domain in ".{0,30}", today: i32) {
        for require in [true, false] {
            let codec = codec(|spec| spec.require_signature = require);
            let _ = codec.decode(&local, &domain, today);
            let _ = codec.decode(&format!("b+-+{local}"), &domain, today);
            let _ = codec.find(&format!("{local}@{domain}"), today);
            let _ = codec.encode(&format!("{local}@{domain}"), Some(&domain), None, today);
            let _ = codec.encode_own(&local, today);
        }
    }
}

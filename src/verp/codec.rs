//! The patterns, secrets and key of one configuration, put to use.

use super::{
    Decoded, EncodeError, Form, LOCAL_MAX, Payload, PersonKey, Refusal,
    pattern::{CAMPAIGN_MAX, Names, OWN_PREFIX, Part, Parts, Pattern, UNSIGNED},
    sign::{Key, Signed, unbase32},
};
use crate::address;

/// How far a stamp may lie ahead, days: the sender's clock and time zone.
const AHEAD: i32 = 2;
/// No return address of ours is longer, octets; longer ones are not looked at.
const READ_MAX: usize = 255;
/// The longest job id in an address of our own.
const JOB_MAX: usize = LOCAL_MAX - OWN_PREFIX.len() - "++".len();

/// What a [`Codec`] is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    pub pattern: Pattern,
    /// Used where a hash key is set and the pattern would pass 64 octets or can't spell the address.
    pub short: Option<Pattern>,
    /// Always the short form.
    pub private: bool,
    /// The first signs, all verify. Empty: nothing is signed.
    pub secrets: Vec<Vec<u8>>,
    /// Makes `{hash}` and the keys under which people are counted.
    pub hash_key: Option<Vec<u8>>,
    /// The domains taken, lowercased; the first stands in addresses that we make.
    pub domains: Vec<String>,
    pub max_age_days: i32,
    pub require_signature: bool,
}

/// What can't go together, and under which key of `[verp]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct SpecError {
    pub key: &'static str,
    pub what: &'static str,
}

/// Makes and reads return addresses. Cheap to clone; its `Debug` form shows no secret.
#[derive(Debug, Clone)]
pub struct Codec {
    pattern: Pattern,
    short: Option<Pattern>,
    private: bool,
    keys: Vec<Key>,
    person: Key,
    own_key_needed: bool,
    domains: Vec<String>,
    max_age_days: i32,
    require_signature: bool,
}

impl Codec {
    /// Checks what one pattern alone can't tell. The short form is off where no hash key is set.
    pub fn new(spec: Spec) -> Result<Codec, SpecError> {
        let fail = |key, what| Err(SpecError { key, what });
        let hashed = spec.hash_key.is_some();
        let signing = !spec.secrets.is_empty();
        for (key, pattern) in [("pattern", Some(&spec.pattern)), ("short", spec.short.as_ref())] {
            let Some(pattern) = pattern else { continue };
            if signing && !pattern.has(Part::Sig) {
                return fail(key, "it lacks {sig}, and a secret is set; put {sig} in, or leave secret_file out");
            }
        }
        if spec.short.as_ref().is_some_and(|short| short.names() != Names::Hash) {
            return fail("short", "the short form names people by {hash}; put {hash} in");
        }
        if spec.pattern.names() == Names::Hash && !hashed {
            return fail("pattern", "{hash} needs a key that the sending program shares; set hash_key_file");
        }
        if spec.private && (spec.short.is_none() || !hashed) {
            return fail("private", "needs the short form; set hash_key_file");
        }
        if spec.require_signature && !signing {
            return fail("require_signature", "there is no secret to sign with; set secret_file, or leave it false");
        }
        Ok(Codec {
            pattern: spec.pattern,
            short: spec.short.filter(|_| hashed),
            private: spec.private,
            keys: spec.secrets.iter().map(|secret| Key::new(secret)).collect(),
            own_key_needed: !hashed,
            person: Key::new(&spec.hash_key.unwrap_or_default()),
            domains: spec.domains,
            max_age_days: spec.max_age_days,
            require_signature: spec.require_signature,
        })
    }

    /// Whether return addresses bear the sender's own ids, which say nobody's address.
    pub fn by_id(&self) -> bool {
        self.pattern.names() == Names::Id
    }

    /// No hash key is configured: people's keys come from one that the daemon made, see [`Codec::with_own_key`].
    pub fn needs_own_key(&self) -> bool {
        self.own_key_needed
    }

    /// With the daemon's own key for people. Does nothing where a hash key is configured.
    pub fn with_own_key(mut self, key: &[u8]) -> Codec {
        if self.own_key_needed {
            self.person = Key::new(key);
        }
        self
    }

    /// Whether `key` is the one that people are counted under.
    pub fn counts_under(&self, key: &[u8]) -> bool {
        Key::new(key).person(b"") == self.person.person(b"")
    }

    /// The return address for one recipient, in the first of `smtp.domains`. `id` is for patterns with `{id}`. What is made reads back.
    pub fn encode(&self, address: &str, campaign: Option<&str>, id: Option<&str>, today: i32) -> Result<String, EncodeError> {
        let normal = address::normal(address).ok_or_else(|| EncodeError::Address(address.to_owned()))?;
        let campaign = campaign.filter(|campaign| *campaign != "-").map(|campaign| self.campaign(campaign)).transpose()?;
        let campaign = campaign.as_deref();
        if !self.private {
            if let Some(local) = self.encode_by_pattern(&normal, campaign, id, today)? {
                return Ok(self.whole(&local));
            }
        } else if id.is_some() {
            return Err(EncodeError::NoId);
        }
        let short = self.short.as_ref().ok_or(EncodeError::NoShort(normal.clone()))?;
        let hash = self.key_of_address(&normal).to_string();
        let parts = Parts { campaign, hash: Some(&hash), ..Parts::default() };
        self.spell(short, parts, &hash, today).map(|local| self.whole(&local)).ok_or(EncodeError::Long)
    }

    /// `Ok(None)`: the short form must do.
    fn encode_by_pattern(&self, normal: &str, campaign: Option<&str>, id: Option<&str>, today: i32) -> Result<Option<String>, EncodeError> {
        let id = id.map(str::to_lowercase);
        match (self.pattern.names(), id.as_deref()) {
            (Names::Address, None) => {
                let Some((local, domain)) = address::split(normal).filter(|(local, _)| local.chars().all(plain)) else { return Ok(None) };
                let parts = Parts { campaign, local: Some(local), domain: Some(domain), ..Parts::default() };
                Ok(self.spell(&self.pattern, parts, &format!("{local}={domain}"), today))
            }
            (Names::Hash, None) => {
                let hash = self.key_of_address(normal).to_string();
                let parts = Parts { campaign, hash: Some(&hash), ..Parts::default() };
                self.spell(&self.pattern, parts, &hash, today).map(Some).ok_or(EncodeError::Long)
            }
            (Names::Id, Some(id)) => {
                let parts = Parts { campaign, id: Some(id), ..Parts::default() };
                self.spell(&self.pattern, parts, id, today).map(Some).ok_or_else(|| EncodeError::Id(id.to_owned()))
            }
            (Names::Id, None) => Err(EncodeError::IdNeeded),
            (_, Some(_)) => Err(EncodeError::NoId),
        }
    }

    /// `None` where it would be too long, no dot-atom, or read back as something else.
    fn spell(&self, pattern: &Pattern, parts: Parts<'_>, payload: &str, today: i32) -> Option<String> {
        let sig = self.keys.first().map(|key| self.signed(form(pattern.names()), parts.campaign, payload, self.domain()).sign(key, today));
        let sig = sig.or_else(|| pattern.has(Part::Sig).then(|| UNSIGNED.to_owned()));
        let parts = Parts { sig: sig.as_deref(), ..parts };
        let local = pattern.spell(&parts);
        let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        (local.len() <= LOCAL_MAX && !dots && pattern.read(&local).as_ref() == Some(&parts)).then_some(local)
    }

    fn campaign(&self, campaign: &str) -> Result<String, EncodeError> {
        let lower = campaign.to_ascii_lowercase();
        let fits = lower.starts_with(|c: char| c.is_ascii_alphanumeric())
            && lower.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && lower.len() <= CAMPAIGN_MAX
            && !lower.contains("..");
        if !fits {
            return Err(EncodeError::Campaign(campaign.to_owned()));
        }
        for pattern in [Some(&self.pattern).filter(|_| !self.private), self.short.as_ref()].into_iter().flatten() {
            if !pattern.has(Part::Campaign) {
                return Err(EncodeError::NoCampaign);
            }
            if !pattern.takes_campaign(&lower) {
                return Err(EncodeError::CampaignSeparator(lower));
            }
        }
        Ok(lower)
    }

    /// The envelope sender of a mail of our own. Of `job` only letters, digits and `-` are kept, lowercased.
    pub fn encode_own(&self, job: &str, today: i32) -> String {
        let job: String = job.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(JOB_MAX).collect::<String>().to_lowercase();
        let local = match self.keys.first() {
            Some(key) => {
                let room = JOB_MAX - 13;
                let job = job.get(..room).unwrap_or(&job);
                format!("{OWN_PREFIX}+{}+{job}", self.signed("own", None, job, self.domain()).sign(key, today))
            }
            None => format!("{OWN_PREFIX}+{job}"),
        };
        self.whole(&local)
    }

    /// Judges a recipient at one of our domains. `today` is days since 1970-01-01.
    pub fn decode(&self, local: &str, domain: &str, today: i32) -> Result<Decoded, Refusal> {
        if local.len() > READ_MAX {
            return Err(Refusal::Malformed);
        }
        let (local, domain) = (local.to_ascii_lowercase(), domain.to_ascii_lowercase());
        let mut readings = vec![self.read_own(&local, &domain, today)];
        for (form, pattern) in [(Form::Long, Some(&self.pattern)), (Form::Short, self.short.as_ref())] {
            readings.push(pattern.and_then(|pattern| self.read(form, pattern, &local, &domain, today)));
        }
        let mut readings: Vec<Decoded> = readings.into_iter().flatten().collect();
        if let Some(signed) = readings.iter().position(|reading| reading.signed) {
            return Ok(readings.swap_remove(signed));
        }
        let first = readings.into_iter().next().ok_or(Refusal::Malformed)?;
        if self.require_signature { Err(Refusal::BadSignature) } else { Ok(first) }
    }

    /// Reads a whole address out of a text; only a signed one at one of our domains counts.
    pub fn find(&self, address: &str, today: i32) -> Option<Decoded> {
        let bare = address.trim().trim_start_matches('<').trim_end_matches('>');
        let (local, domain) = bare.rsplit_once('@')?;
        let domain = self.domains.iter().find(|ours| ours.eq_ignore_ascii_case(domain))?;
        self.decode(local, domain, today).ok().filter(|decoded| decoded.signed)
    }

    /// `normal` is as [`address::normal`] gives it.
    pub fn key_of_address(&self, normal: &str) -> PersonKey {
        self.person.person(normal.as_bytes())
    }

    /// Never the key of an address: none holds a control character.
    pub fn key_of_id(&self, id: &str) -> PersonKey {
        self.person.person(format!("id\u{0}{}", id.to_lowercase()).as_bytes())
    }

    fn read(&self, form: Form, pattern: &Pattern, local: &str, domain: &str, today: i32) -> Option<Decoded> {
        let parts = pattern.read(local)?;
        let (payload, signed_payload) = match pattern.names() {
            Names::Address => {
                let (local, domain) = (parts.local?, parts.domain?);
                (Payload::Address(address::normal(&format!("{local}@{domain}"))?), format!("{local}={domain}"))
            }
            Names::Hash => {
                let hash = parts.hash?;
                (Payload::Hash(PersonKey(unbase32(hash)?.try_into().ok()?)), hash.to_owned())
            }
            Names::Id => (Payload::Id(parts.id?.to_owned()), parts.id?.to_owned()),
        };
        let signed = self.signed(self::form(pattern.names()), parts.campaign, &signed_payload, domain);
        let day = parts.sig.and_then(|sig| signed.verify(&self.keys, sig, today));
        Some(self.judged(form, payload, parts.campaign, day, today))
    }

    fn read_own(&self, local: &str, domain: &str, today: i32) -> Option<Decoded> {
        let rest = local.strip_prefix(OWN_PREFIX)?.strip_prefix('+')?;
        let (sig, job) = if self.keys.is_empty() { (None, rest) } else { rest.split_once('+').map(|(sig, job)| (Some(sig), job))? };
        if job.is_empty() || !job.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return None;
        }
        let day = sig.and_then(|sig| self.signed("own", None, job, domain).verify(&self.keys, sig, today));
        Some(self.judged(Form::Own, Payload::Own(job.to_owned()), None, day, today))
    }

    /// A stamp from the future vouches for nothing.
    fn judged(&self, form: Form, payload: Payload, campaign: Option<&str>, day: Option<i32>, today: i32) -> Decoded {
        let day = day.filter(|day| *day <= today.saturating_add(AHEAD));
        let expired = day.is_some_and(|day| today.saturating_sub(day) > self.max_age_days);
        Decoded { form, payload, campaign: campaign.map(str::to_owned), day, signed: day.is_some(), expired }
    }

    fn signed<'a>(&self, form: &'a str, campaign: Option<&'a str>, payload: &'a str, domain: &'a str) -> Signed<'a> {
        Signed { form, campaign: campaign.unwrap_or("-"), payload, domain }
    }

    fn domain(&self) -> &str {
        self.domains.first().map_or("localhost", String::as_str)
    }

    fn whole(&self, local: &str) -> String {
        format!("{local}@{}", self.domain())
    }
}

const fn form(names: Names) -> &'static str {
    match names {
        Names::Address => "long",
        Names::Hash => "short",
        Names::Id => "id",
    }
}

/// Written as it is in the long form. MTAs take the others (`!`, `%`, `/`, `|` and quoting) for routes, files and commands, and refuse them.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#$&'*+=?^_{}~.-".contains(c)
}

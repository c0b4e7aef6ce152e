//! What is no plain bounce, notices in prose, and the bounds of what is told.

use super::*;
use crate::message::{self, Disposition, Feedback, Original};

#[test]
fn standard_forms() {
    let feedback = |kind: &str| Report {
        form: Form::Arf,
        feedback: Some(Feedback {
            feedback_type: Some(kind.into()),
            original_rcpt_to: vec!["alice@example.org".into(), "bob@example.org".into()],
            original_mail_from: Some("<b+sig=alice@returns.example.com>".into()),
            ..Feedback::default()
        }),
        ..mail("fbl@example.org", "FW: news", "This is an abuse report")
    };
    for (kind, status, sort) in [
        ("abuse", Status::SpamComplaint, Kind::Complaint),
        ("fraud", Status::SpamComplaint, Kind::Complaint),
        ("opt-out", Status::UnsubscribeRequest, Kind::Request),
        ("not-spam", Status::Undetermined, Kind::Other),
        ("auth-failure", Status::Undetermined, Kind::Other),
    ] {
        let telling = tell(&feedback(kind), &Envelope::default());
        assert_eq!((telling.kind, telling.verdicts.len(), telling.verdicts[0].status), (sort, 2, status), "{kind}");
        assert_eq!(telling.verdicts[1].address.as_deref(), Some("bob@example.org"));
    }
    assert_eq!(vouchers(&feedback("abuse")), ["b+sig=alice@returns.example.com", "alice@example.org", "bob@example.org"]);
    let receipt = Report {
        form: Form::Mdn,
        disposition: Some(Disposition {
            final_recipient: Some("alice@example.org".into()),
            kind: Some("displayed".into()),
            ..Disposition::default()
        }),
        ..mail("carol@example.org", "Read: news", "Your message was read on Monday.")
    };
    let told = one(&receipt);
    assert_eq!(
        (told.status, told.address.as_deref(), told.evidence.as_deref()),
        (Status::AutoReply, Some("alice@example.org"), Some("displayed"))
    );
}

#[test]
fn automatic_replies_in_many_languages() {
    let subjects = [
        "Automatic reply: news",
        "Out of Office: news",
        "Automatische Antwort: news",
        "Abwesenheitsnotiz: news",
        "Réponse automatique : news",
        "Absence du bureau : news",
        "Respuesta automática: news",
        "Fuera de la oficina: news",
        "Risposta automatica: news",
        "Fuori ufficio: news",
        "Resposta automática: news",
        "Automatisch antwoord: news",
        "Afwezigheidsbericht",
        "Odpowiedź automatyczna: news",
        "Automatická odpověď: news",
        "Automatická odpoveď: news",
        "Automatikus válasz: news",
        "Răspuns automat: news",
        "Autosvar: news",
        "Automatisk svar: news",
        "Automaattinen vastaus: news",
        "Automaatvastus: news",
        "Automatinis atsakymas: news",
        "Αυτόματη απάντηση: news",
        "Otomatik yanıt: news",
        "Автоматический ответ: news",
        "Автоответ: news",
        "Автоматична відповідь: news",
        "Автоматичен отговор: news",
        "Automatski odgovor: news",
        "Samodejni odgovor: news",
        "自動応答: news",
        "不在通知",
        "自动答复: news",
        "自動回覆: news",
        "자동 회신: news",
        "Trả lời tự động: news",
        "Balasan otomatis: news",
        "ตอบกลับอัตโนมัติ: news",
        "תשובה אוטומטית: news",
        "رد تلقائي: news",
        "AUTO: Alice is out of the office (returning 05/01/2026)",
    ];
    for subject in subjects {
        let telling = tell(&mail("alice@example.org", subject, "…"), &Envelope::default());
        assert_eq!((telling.kind, telling.verdicts[0].status), (Kind::AutoReply, Status::AutoReply), "{subject}");
        assert_eq!(telling.verdicts[0].address.as_deref(), Some("alice@example.org"));
    }
    // A subject that people write too needs another sign.
    let mut report = mail("alice@example.org", "Urlop", "Cześć");
    assert_eq!(one(&report).status, Status::Undetermined);
    report.header.auto_submitted = Some("auto-replied".into());
    assert_eq!(one(&report).status, Status::AutoReply);
    let fields = [("x-autoreply", "yes"), ("x-autorespond", "1"), ("x-apple-action", "VACATION"), ("x-mailer", "vacation 1.2")];
    for (name, value) in fields {
        let mut report = mail("alice@example.org", "Re: news", "gone fishing");
        report.header.other.push((name.into(), value.into()));
        assert_eq!(one(&report).status, Status::AutoReply, "{name}");
    }
    let mut faceless = mail("noreply@example.org", "Automatic reply", "The inbox alice@example.org is no longer in use.");
    faceless.header.auto_submitted = Some("auto-replied".into());
    assert_eq!(one(&faceless).address.as_deref(), Some("alice@example.org"));
}

#[test]
fn people_who_moved() {
    let mut report = mail("alice@example.org", "Re: news", "My new email address is alice@example.net. Thanks!");
    report.header.auto_submitted = Some("auto-replied".into());
    let told = one(&report);
    assert_eq!(
        (told.status, told.address.as_deref(), told.new_address.as_deref()),
        (Status::AddressChange, Some("alice@example.org"), Some("alice@example.net"))
    );
    let told = one(&dsn(vec![block(Some(Action::Failed), "5.1.6", "551 5.1.6 User has moved; please try <alice@example.net>")]));
    assert_eq!((told.status, told.new_address.as_deref()), (Status::AddressChange, Some("alice@example.net")));
    assert_eq!(failed("5.1.6", "550 5.1.6 recipient no longer on server: alice@example.org"), Status::HardBounce);
    assert_eq!(failed("5.1.6", "551 user has moved"), Status::HardBounce);
}

#[test]
fn requests_and_challenges() {
    use Status::*;
    let cases = [
        ("unsubscribe", "", UnsubscribeRequest),
        ("Re: Spring news", "Please remove me from your list.\n\nOn Monday Spring News wrote:\n> news\n", UnsubscribeRequest),
        ("Re: Spring news", "Bitte tragen Sie mich aus dem Verteiler aus.", UnsubscribeRequest),
        ("Re: Spring news", "Veuillez me désinscrire de cette liste", UnsubscribeRequest),
        ("", "Прошу удалить мой адрес из рассылки", UnsubscribeRequest),
        ("メルマガ解除", "", UnsubscribeRequest),
        ("subscribe", "", SubscribeRequest),
        ("hello", "Please add me to your mailing list", SubscribeRequest),
        (
            "Please confirm your message",
            "Your message is being held until you confirm. Simply reply to this message and it will be delivered.",
            ChallengeResponse,
        ),
    ];
    for (subject, prose, want) in cases {
        let told = one(&mail("alice@example.org", subject, prose));
        assert_eq!((told.status, told.address.as_deref()), (want, Some("alice@example.org")), "{subject} {prose} {told:?}");
    }
}

#[test]
fn prose_of_common_software() {
    use Status::*;
    let cases = [
        (
            "Hi. This is the qmail-send program at mx.example.com.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\n<alice@example.org>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 no such user\nGiving up on 192.0.2.1.\n",
            HardBounce,
        ),
        (
            "A message that you sent could not be delivered to one or more of its\nrecipients. The following address(es) failed:\n\n  alice@example.org\n    SMTP error from remote mail server after RCPT TO:<alice@example.org>:\n    host mx.example.org [192.0.2.1]: 552 5.2.2 Over quota\n",
            SoftBounceMailboxFull,
        ),
        (
            "Delivery has failed to these recipients or groups:\n\nAlice<mailto:alice@example.org>\nThe email address you entered couldn't be found.\n\nDiagnostic information for administrators:\n\nGenerating server: mx.example.com\n\nalice@example.org\nRemote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found'\n",
            HardBounce,
        ),
        (
            "   ----- The following addresses had permanent fatal errors -----\n<alice@example.org>\n    (reason: 554 5.7.1 Relaying denied)\n\n   ----- Transcript of session follows -----\n... while talking to mx.example.org.:\n>>> RCPT To:<alice@example.org>\n<<< 554 5.7.1 Relaying denied\n550 5.1.1 <alice@example.org>... User unknown\n",
            MailBlockRelayDenied,
        ),
        (
            "Die Zustellung an diese Empfänger ist fehlgeschlagen:\n\nalice@example.org\nDie eingegebene E-Mail-Adresse wurde nicht gefunden.\n",
            HardBounce,
        ),
        ("К сожалению, ваше письмо не может быть доставлено:\n\nalice@example.org\nпочтовый ящик переполнен\n", SoftBounceMailboxFull),
        ("您的邮件无法送达以下收件人:\n\nalice@example.org\n用户不存在\n", HardBounce),
        ("Your message to alice@example.org couldn't be delivered.\nA virus was found: EICAR\n", MailBlockAttachmentDetected),
        (
            "<alice@example.org>: Host or domain name not found. Name service error for name=example.org type=MX: Host not found\n",
            SoftBounceDnsFailure,
        ),
    ];
    for (prose, want) in cases {
        let told = one(&bounce(prose));
        assert_eq!((told.status, told.address.as_deref()), (want, Some("alice@example.org")), "{prose} {told:?}");
    }
}

#[test]
fn text_is_bounded_and_clean() {
    let told = one(&dsn(vec![block(Some(Action::Failed), "5.1.1", &format!("550 \u{0}\u{1b}[31m user\r\nunknown {}", "x".repeat(5000)))]));
    let diagnostic = told.diagnostic.unwrap();
    assert!(diagnostic.chars().count() <= 1000 && !diagnostic.contains(char::is_control), "{diagnostic}");
    assert!(told.evidence.is_some_and(|evidence| evidence == "user unknown"));
}

#[test]
fn addresses_for_the_short_form() {
    let mut report = dsn(vec![block(Some(Action::Failed), "5.1.1", "")]);
    report.recipients[0].original_recipient = Some("Alias@example.org".into());
    report.header.failed_recipients = vec!["listed@example.org".into()];
    report.original = Some(Original {
        to: vec!["Original@example.org".into()],
        return_path: Some("<h+sig@returns.example.com>".into()),
        other: vec![("x-verp".into(), "see b+2@returns.example.com".into())],
        ..Original::default()
    });
    assert_eq!(named_addresses(&report)[..3], ["alias@example.org", "alice@example.org", "listed@example.org"]);
    assert_eq!(named_addresses(&report).last().map(String::as_str), Some("original@example.org"));
    assert_eq!(vouchers(&report)[..2], ["h+sig@returns.example.com", "b+2@returns.example.com"]);
    report.original = Some(Original { to: (0..500).map(|n| format!("{n}@example.org")).collect(), ..Original::default() });
    assert_eq!((named_addresses(&report).len(), vouchers(&report).len()), (50, 50));
}

#[test]
fn who_talks_about_a_bounce_sends_none() {
    let text =
        "My colleague pete@example.org told me your mail to him bounced with 'user unknown'. His right address is peter@example.org.";
    let talk = Report {
        header: Header { return_path: Some("pat@example.net".into()), ..header("pat@example.net", "Returned mail?") },
        ..bounce(text)
    };
    assert_eq!(one(&talk).status, Status::Undetermined);
    let own = Report {
        header: Header { return_path: Some(String::new()), ..header("alice@example.org", "Undeliverable: News") },
        ..bounce("This mailbox (alice@example.org) is full. Your message was not delivered.")
    };
    let told = one(&own);
    assert_eq!((told.status, told.address.as_deref()), (Status::SoftBounceMailboxFull, Some("alice@example.org")));
}

/// The points that `explain` shows are those that decided.
#[test]
fn points_shown_decide() {
    let mail =
        "From: postmaster@mx.example.net\r\nTo: news@example.com\r\nSubject: Notice\r\n\r\n<kim@example.org>: 550 5.1.1 user unknown\r\n";
    let shown = |mail: &str| explain(&OperatorRules::default(), &message::read(mail.as_bytes()), &Envelope::default()).signs;
    let signs = shown(mail);
    assert!(signs.first().is_some_and(|sum| sum.ends_with("of 4 that make one")), "{signs:?}");
    let points: i32 = signs.iter().filter_map(|sign| sign.split_once(':')?.0.parse::<i32>().ok()).sum();
    assert_eq!(signs.first(), Some(&format!("points for a bounce: {points}, of 4 that make one")), "{signs:?}");
    let plain = shown(&mail.replace("550 5.1.1 user unknown", "this user is not known here"));
    assert!(plain.iter().any(|sign| sign.starts_with("+3: it says plainly")), "{plain:?}");
}

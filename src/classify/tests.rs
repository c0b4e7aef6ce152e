//! The rules of the taxonomy, one table each, on handmade reports.

use super::*;
use crate::{
    message::{Disposition, Feedback, Form, Header, Original, RecipientFields},
    taxonomy::Action,
};

fn header(from: &str, subject: &str) -> Header {
    Header {
        from: vec![from.to_owned()],
        subject: Some(subject.to_owned()),
        to: vec!["news@returns.example.com".into()],
        ..Header::default()
    }
}

fn daemon() -> Header {
    header("MAILER-DAEMON@mx.example.com", "Undelivered Mail Returned to Sender")
}

fn block(action: Option<Action>, status: &str, diagnostic: &str) -> RecipientFields {
    RecipientFields {
        final_recipient: Some("alice@example.org".into()),
        action,
        status: (!status.is_empty()).then(|| status.into()),
        diagnostic: (!diagnostic.is_empty()).then(|| diagnostic.into()),
        diagnostic_type: Some("smtp".into()),
        ..RecipientFields::default()
    }
}

fn dsn(blocks: Vec<RecipientFields>) -> Report {
    Report { header: daemon(), form: Form::Dsn, recipients: blocks, reporting_mta: Some("mx.example.com".into()), ..Report::default() }
}

fn bounce(prose: &str) -> Report {
    Report { header: daemon(), prose: prose.into(), ..Report::default() }
}

fn mail(from: &str, subject: &str, prose: &str) -> Report {
    Report { header: header(from, subject), prose: prose.into(), ..Report::default() }
}

fn told(report: &Report) -> Vec<Verdict> {
    tell(report, &Envelope::default()).verdicts
}

fn one(report: &Report) -> Verdict {
    let mut verdicts = told(report);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    verdicts.remove(0)
}

fn failed(status: &str, diagnostic: &str) -> Status {
    one(&dsn(vec![block(Some(Action::Failed), status, diagnostic)])).status
}

#[test]
fn rule_1_action_before_status() {
    use Action::*;
    let cases = [
        (Delayed, "5.1.1", "550 5.1.1 User unknown", Status::TransientBounce),
        (Delayed, "4.4.1", "connection timed out", Status::TransientBounce),
        (Delivered, "5.0.0", "550 User unknown", Status::Delivered),
        (Relayed, "2.1.9", "", Status::Delivered),
        (Expanded, "2.0.0", "", Status::Delivered),
        (Failed, "4.2.2", "452 4.2.2 mailbox full", Status::SoftBounceMailboxFull),
        (Failed, "2.0.0", "550 5.1.1 User unknown", Status::HardBounce),
    ];
    for (action, status, diagnostic, want) in cases {
        let report = dsn(vec![block(Some(action), status, diagnostic)]);
        let told = one(&report);
        assert_eq!((told.status, told.action), (want, Some(action)), "{action:?} {status} {diagnostic}");
    }
    let report = dsn(vec![block(Some(Action::Delivered), "2.0.0", "")]);
    assert_eq!(tell(&report, &Envelope::default()).kind, Kind::Delivered);
}

#[test]
fn rule_2_words_and_codes() {
    use Status::*;
    let cases = [
        // Words outweigh vague codes.
        ("5.0.0", "550 5.0.0 No such user here", HardBounce),
        ("5.7.1", "550 5.7.1 <alice@example.org>: User unknown", HardBounce),
        ("5.7.1", "554 5.7.1 Message rejected as spam by content filtering", MailBlockSpamDetected),
        ("5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", MailBlockKnownSpammer),
        ("5.7.1", "550 5.7.1 Unable to relay", MailBlockRelayDenied),
        ("5.7.1", "550 5.7.1 Access denied", MailBlockGeneral),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. [AM0EUR.prod.protection.outlook.com]", HardBounce),
        ("5.4.1", "550 5.4.1 No answer from host", SoftBounceGeneral),
        ("", "552 Mailbox size limit exceeded", SoftBounceMailboxFull),
        ("", "552 Message size exceeds fixed maximum message size", SoftBounceMessageTooLarge),
        ("", "552 Message rejected: spam content", MailBlockSpamDetected),
        ("", "552 sorry", SoftBounceMailboxFull),
        ("5.1.0", "550 5.1.0 sender rejected", MailBlockGeneral),
        ("4.4.7", "554 4.4.7 Message expired: unable to deliver in 840 minutes.<452 4.2.2 Mailbox full>", SoftBounceMailboxFull),
        ("4.4.7", "delivery time expired", SoftBounceGeneral),
        // Exact codes outweigh vague words.
        ("5.1.1", "550 5.1.1 Recipient rejected, temporarily", HardBounce),
        ("5.1.1", "550 5.1.1 Rejected", HardBounce),
        ("5.2.2", "552 5.2.2 not accepted", SoftBounceMailboxFull),
        ("5.7.606", "550 5.7.606 Access denied", MailBlockKnownSpammer),
        // Plain words outweigh even those.
        ("5.1.1", "553 5.1.1 Sender Policy Framework (SPF) fail", MailBlockGeneral),
        ("5.1.1", "550 5.1.1 has sent to too many recipients this hour", SoftBounceGeneral),
        ("5.2.1", "550 5.2.1 mailbox over quota", SoftBounceMailboxFull),
        // Null MX against Exchange.
        ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient alice@example.org not found by SMTP address lookup", HardBounce),
        ("5.1.10", "556 5.1.10 Domain example.org does not accept mail (nullMX)", SoftBounceDnsFailure),
        // A temporary reply is no proof.
        ("4.2.0", "450 4.2.0 mailbox unavailable", SoftBounceGeneral),
        ("", "550 mailbox unavailable", HardBounce),
        // Nothing told.
        ("5.0.0", "554 5.0.0 Transaction failed", GeneralBounce),
        ("5.0.0", "", GeneralBounce),
        ("", "", GeneralBounce),
        ("4.0.0", "451 Could not do it", SoftBounceGeneral),
    ];
    for (status, diagnostic, want) in cases {
        assert_eq!(failed(status, diagnostic), want, "{status} {diagnostic}");
    }
}

#[test]
fn rule_2_before_the_recipient_is_named_a_refusal_is_about_the_sender() {
    let mut report = dsn(vec![block(Some(Action::Failed), "5.0.0", "550 No such domain: spring.example")]);
    report.prose =
        "<alice@example.org>: host mx.example.org[192.0.2.1] said: 550 No such domain: spring.example (in reply to MAIL FROM command)"
            .into();
    let told = one(&report);
    assert_eq!((told.status, told.rule.as_str()), (Status::MailBlockGeneral, "refused-before-recipient"));
    report.prose = report.prose.replace("MAIL FROM", "RCPT TO");
    assert_ne!(one(&report).status, Status::MailBlockGeneral);
}

#[test]
fn rule_3_the_original_never_sways() {
    let mut report = dsn(vec![block(Some(Action::Failed), "5.0.0", "")]);
    report.original = Some(Original {
        subject: Some("Mailbox full! User unknown! Spam!".into()),
        to: vec!["alice@example.org".into()],
        ..Original::default()
    });
    let told = one(&report);
    assert_eq!((told.status, told.evidence), (Status::GeneralBounce, Some("5.0.0".into())));
    let returned = "The following address failed:\n\nalice@example.org\n\n------ This is a copy of the message, including all the headers. ------\n\nmailbox full, user unknown";
    assert_eq!(one(&bounce(returned)).status, Status::GeneralBounce);
}

#[test]
fn rule_3_fields_before_paragraph_before_the_whole() {
    let prose = "Someone is over quota here.\n\n<alice@example.org>: message looks like spam\n\n<bob@example.org>: mailbox full\n";
    let mut report = dsn(vec![block(Some(Action::Failed), "5.0.0", "550 User unknown")]);
    report.prose = prose.into();
    assert_eq!(one(&report).status, Status::HardBounce);
    report.recipients[0].diagnostic = None;
    assert_eq!(one(&report).status, Status::MailBlockSpamDetected);
    report.prose = "Someone is over quota here.".into();
    let told = one(&report);
    assert_eq!(
        (told.status, told.rule.as_str(), told.evidence.as_deref()),
        (Status::SoftBounceMailboxFull, "mailbox-full", Some("over quota"))
    );
}

#[test]
fn rule_4_the_recipient() {
    let address = |report: &Report| one(report).address;
    let mut report = dsn(vec![block(Some(Action::Failed), "5.1.1", "")]);
    report.header.failed_recipients = vec!["listed@example.org".into()];
    report.prose = "<prose@example.org>: user unknown".into();
    report.original = Some(Original { to: vec!["original@example.org".into()], ..Original::default() });
    report.recipients[0].original_recipient = Some("Alias@Example.org".into());
    assert_eq!(address(&report).as_deref(), Some("alias@example.org"));
    report.recipients[0].original_recipient = Some("1".into());
    assert_eq!(address(&report).as_deref(), Some("alice@example.org"));
    report.recipients.clear();
    assert_eq!(address(&report).as_deref(), Some("listed@example.org"));
    report.header.failed_recipients.clear();
    assert_eq!(address(&report).as_deref(), Some("prose@example.org"));
    report.prose = "Your message could not be delivered.".into();
    assert_eq!(address(&report).as_deref(), Some("original@example.org"));
    report.original = None;
    let told = one(&report);
    assert_eq!((told.status, told.address), (Status::BounceNoAddress, None));
}

#[test]
fn rule_4_never_the_sender_nor_the_mail_system() {
    let mut report = bounce(
        "Your message to news@returns.example.com's friend failed. Write to postmaster@mx.example.com or MAILER-DAEMON@mx.example.com.",
    );
    report.original = Some(Original { return_path: Some("news@returns.example.com".into()), ..Original::default() });
    assert_eq!(one(&report).address, None);
    let sent = bounce("A message sent by\n\n  <sender@example.com>\n\ncould not be delivered to:\n\n  <alice@example.org>: user unknown\n");
    assert_eq!(one(&sent).address.as_deref(), Some("alice@example.org"));
}

#[test]
fn rule_4_the_verp_address_is_the_truth() {
    let verp = Envelope { reverse_path: Some(""), verp_address: Some("Owner@Example.net") };
    let told = tell(&dsn(vec![block(Some(Action::Failed), "5.1.1", "")]), &verp).verdicts;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].address.as_deref(), told[0].reported_address.as_deref()), (Some("owner@example.net"), Some("alice@example.org")));
    let told = tell(&bounce("Your message could not be delivered: mailbox full."), &verp).verdicts;
    assert_eq!((told[0].status, told[0].reported_address.as_deref()), (Status::SoftBounceMailboxFull, None));
    let told = tell(&mail("bob@example.org", "hello", "hi"), &verp).verdicts;
    assert_eq!((told[0].status, told[0].address.as_deref()), (Status::Undetermined, Some("owner@example.net")));
}

#[test]
fn rule_5_what_is_no_bounce() {
    let returned =
        "<alice@example.org>: user unknown\nThis is the mail system at host mx.example.org.\nYour message could not be delivered.";
    let mut list = mail(
        "carol@example.org",
        "[list] Undelivered mail, what to do?",
        "My mail could not be delivered to one or more recipients. Ideas?",
    );
    list.header.other.push(("list-id".into(), "<list.example.org>".into()));
    let mut forwarded = mail("bob@example.org", "Fwd: Undelivered Mail Returned to Sender", returned);
    forwarded.original = Some(Original::default());
    let mut reply = mail(
        "bob@example.org",
        "Re: Spring news",
        "Thanks!\n\nOn Monday Spring News wrote:\n> To unsubscribe click here. Please unsubscribe me is what you answer.\n",
    );
    reply.header.in_reply_to = vec!["<1@example.com>".into()];
    let footer = mail("bob@example.org", "Re: Spring news", "I like it.\n\n-- \nBob\n\nunsubscribe me\n");
    let cases = [
        list,
        forwarded,
        reply,
        footer,
        mail("bob@example.org", "Re: Undelivered Mail Returned to Sender", returned),
        mail("carol@example.org", "Accepted: Meeting on Monday", ""),
        mail("noreply-dmarc-support@example.org", "Report domain: example.com Submitter: example.org Report-ID: 1", ""),
        mail("spammer@example.org", "cheap watches", "buy now, your mailbox is full"),
        mail("bob@example.org", "hello", "User unknown? 550 5.1.1"),
        mail("", "", ""),
        Report::default(),
    ];
    for report in cases {
        let telling = tell(&report, &Envelope::default());
        assert_eq!((telling.kind, telling.verdicts[0].status), (Kind::Other, Status::Undetermined), "{report:?} {:?}", telling.verdicts[0]);
    }
}

#[test]
fn rule_6_several_recipients() {
    let to =
        |address: &str, action, status: &str| RecipientFields { final_recipient: Some(address.into()), ..block(Some(action), status, "") };
    let report = dsn(vec![
        to("ok@example.org", Action::Delivered, "2.0.0"),
        to("later@example.org", Action::Delayed, "4.4.1"),
        to("gone@example.org", Action::Failed, "5.1.1"),
        to("full@example.org", Action::Failed, "5.2.2"),
        to("gone@example.org", Action::Failed, "5.1.1"),
    ]);
    let statuses: Vec<(Option<String>, Status)> = told(&report).into_iter().map(|verdict| (verdict.address, verdict.status)).collect();
    let want = [
        ("ok@example.org", Status::Delivered),
        ("later@example.org", Status::TransientBounce),
        ("gone@example.org", Status::HardBounce),
        ("full@example.org", Status::SoftBounceMailboxFull),
    ];
    assert_eq!(statuses, want.map(|(address, status)| (Some(address.to_owned()), status)));
    for (count, want) in [(5, Status::HardBounce), (2, Status::TransientBounce), (1, Status::Delivered)] {
        let report = Report { recipients: report.recipients[..count].to_vec(), ..report.clone() };
        let told = tell(&report, &Envelope { verp_address: Some("owner@example.net"), reverse_path: Some("") }).verdicts;
        assert_eq!((told.len(), told[0].status), (1, want));
    }
    // An alias that expanded: the final recipients tell the blocks apart.
    let expanded =
        |last: &str, status| RecipientFields { original_recipient: Some("team@example.org".into()), ..to(last, Action::Failed, status) };
    let told = told(&dsn(vec![expanded("a@example.net", "5.1.1"), expanded("b@example.net", "5.2.2")]));
    assert_eq!(told.iter().map(|verdict| verdict.address.as_deref()).collect::<Vec<_>>(), [Some("a@example.net"), Some("b@example.net")]);
}

#[test]
fn rule_7_words_that_it_is_over() {
    let mut report = dsn(vec![block(Some(Action::Delayed), "5.4.7", "Envelope expired")]);
    report.prose = "An error has occurred while attempting to deliver a message for the following list of recipients:\n\nalice@example.org: Envelope expired\n".into();
    let told = one(&report);
    assert_eq!((told.status, told.action), (Status::SoftBounceGeneral, Some(Action::Failed)));
    report.prose = "A message is delayed for more than 4 hours for the following list of recipients:\n\nalice@example.org: Connection timeout\n\nPlease note that this is only a temporary failure report.\nThe message is kept in the queue for up to 4 days.\nYou DO NOT NEED to re-send the message to these recipients.".into();
    report.recipients[0].diagnostic = Some("Connection timeout".into());
    assert_eq!(one(&report).status, Status::TransientBounce);
}

#[test]
fn delays_and_successes_in_prose() {
    let cases = [
        (
            "Delivery Status Notification (Delay)",
            "Delivery to the following recipient has been delayed:\n\n  alice@example.org\n",
            Status::TransientBounce,
        ),
        (
            "Warning: could not send message for past 4 hours",
            "** THIS IS A WARNING MESSAGE ONLY **\n<alice@example.org>... Deferred: Connection timed out\nWill keep trying until message is 5 days old\n",
            Status::TransientBounce,
        ),
        (
            "failure notice",
            "<alice@example.org>:\nConnected to 192.0.2.1 but connection died.\nI'm not going to try again; this message has been in the queue too long.\n",
            Status::SoftBounceGeneral,
        ),
        (
            "Delivery Status Notification (Success)",
            "Your message was successfully delivered to:\n\n  alice@example.org\n",
            Status::Delivered,
        ),
    ];
    for (subject, prose, want) in cases {
        let mut report = bounce(prose);
        report.header.subject = Some(subject.into());
        let told = one(&report);
        assert_eq!((told.status, told.address.as_deref()), (want, Some("alice@example.org")), "{subject} {told:?}");
    }
}

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

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        let pieces = [
            "user unknown",
            "550 5.1.1 ",
            "<a@b.example>:",
            "@",
            "\n",
            " 4.4.7",
            "mailbox full",
            "Re: ",
            "unsubscribe",
            "\u{0}",
            "İ",
            "ﬀ",
            "ß",
            "收件人",
            "\"q q\"@x.example",
            "RCPT TO:<",
            "5.7.1-",
            "550-",
            "--",
            "è",
            "😀",
            "\\\"emailAddress\\\":\\\"",
        ];
        prop_oneof![
            ".{0,60}",
            proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..20).prop_map(|pieces| pieces.concat())
        ]
    }

    fn maybe() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(text())
    }

    fn list() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(text(), 0..3)
    }

    fn action() -> impl Strategy<Value = Option<Action>> {
        proptest::option::of(proptest::sample::select(vec![
            Action::Failed,
            Action::Delayed,
            Action::Delivered,
            Action::Relayed,
            Action::Expanded,
        ]))
    }

    prop_compose! {
        fn any_block()(original_recipient in maybe(), final_recipient in maybe(), action in action(), status in maybe(), diagnostic in maybe(), remote_mta in maybe()) -> RecipientFields {
            RecipientFields { original_recipient, final_recipient, action, status, diagnostic, remote_mta, ..RecipientFields::default() }
        }
    }

    prop_compose! {
        fn any_report()(
            subject in maybe(), from in list(), to in list(), return_path in maybe(), auto_submitted in maybe(), precedence in maybe(),
            failed_recipients in list(), form in proptest::sample::select(vec![Form::Dsn, Form::Arf, Form::Mdn, Form::Prose]),
            recipients in proptest::collection::vec(any_block(), 0..4), prose in text()
        ) -> Report {
            let header = Header { subject, from, to, return_path, auto_submitted, precedence, failed_recipients, ..Header::default() };
            Report { header, form, recipients, prose, ..Report::default() }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_report_is_told_within_bounds(report in any_report(), verp in proptest::option::of(Just("owner@example.net"))) {
            let telling = tell(&report, &Envelope { reverse_path: None, verp_address: verp });
            prop_assert!(!telling.verdicts.is_empty() && telling.verdicts.len() <= recipient::MAX + 1);
            prop_assert!(verp.is_none() || telling.verdicts.len() == 1 && telling.verdicts[0].address.as_deref() == verp);
            for verdict in &telling.verdicts {
                for text in [&verdict.address, &verdict.diagnostic, &verdict.evidence, &verdict.enhanced, &verdict.reply, &verdict.remote_mta].into_iter().flatten() {
                    prop_assert!(!text.contains(char::is_control) && text.chars().count() <= 1000, "{text:?}");
                }
                prop_assert!(verdict.address.as_ref().is_none_or(|one| address::normal(one).as_ref() == Some(one)));
                prop_assert!(!verdict.rule.is_empty());
            }
            prop_assert!(named_addresses(&report).len() <= 50 && vouchers(&report).len() <= 50);
        }

        /// Taxonomy rule 3: whatever comes back of the original, status, rule and evidence stay.
        #[test]
        fn the_original_changes_nothing(report in any_report(), subject in maybe(), other in text()) {
            let with = |original| {
                let told = tell(&Report { original: Some(original), ..report.clone() }, &Envelope::default()).verdicts;
                told.into_iter().map(|verdict| (verdict.status, verdict.rule, verdict.evidence)).collect::<Vec<_>>()
            };
            let told = with(Original { subject, message_id: Some(other.clone()), other: vec![("subject".into(), other)], ..Original::default() });
            prop_assert_eq!(told, with(Original::default()));
        }
    }
}

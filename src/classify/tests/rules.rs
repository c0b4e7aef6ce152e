//! The seven rules of the taxonomy, one table each.

use super::*;
use crate::message::Original;

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
    report.prose = report.prose.replace("MAIL FROM", "RCPT TO").into();
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
        mail("postmaster@example.net", "Your mailbox is full", "Dear news@returns.example.com, click here to enlarge it."),
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
fn the_sender_and_the_new_address_are_not_who_failed() {
    for text in [
        "A message from news@example.com to alice@example.org could not be delivered: unknown user.",
        "news@example.com から alice@example.org 宛のメールは配送できませんでした。",
        "alice@example.org has a new address: alice@example.net. Your message was not forwarded.",
        "We could not deliver it, alice@example.org has left.\n\nRegards,\nThe mail team\nadmin@example.org",
    ] {
        assert_eq!(one(&bounce(text)).address.as_deref(), Some("alice@example.org"), "{text}");
    }
    let alone = one(&bounce("Undeliverable. The message is from news@example.com and we do not know more."));
    assert_eq!(alone.address.as_deref(), Some("news@example.com"));
}

#[test]
fn local_parts_in_a_list_have_a_reason_each() {
    let text = "The message was undeliverable to the following:\n\talice (user not found)\n\tbob (mailbox full)\n";
    let to = vec!["bob@example.org".to_owned(), "alice@example.org".to_owned()];
    let original = Some(crate::message::Original { to, ..Default::default() });
    let told: Vec<_> = told(&Report { original, ..bounce(text) }).into_iter().map(|one| (one.address, one.status)).collect();
    let alice = (Some("alice@example.org".to_owned()), Status::HardBounce);
    let bob = (Some("bob@example.org".to_owned()), Status::SoftBounceMailboxFull);
    assert_eq!(told, [alice, bob]);
}

#[test]
fn who_manages_a_list_has_not_failed() {
    let to = vec!["birds@example.org".to_owned()];
    let original = Some(crate::message::Original { to, ..Default::default() });
    let text = "Your message was rejected automatically. Contact the owner at\nbirds-owner@example.org.\n";
    assert_eq!(one(&Report { original, ..bounce(text) }).address.as_deref(), Some("birds@example.org"));
}

#[test]
fn what_will_not_be_tried_again_is_over() {
    let delayed = |text| one(&bounce(text)).status == Status::TransientBounce;
    assert!(delayed("Su mensaje para alice@example.org no se entregó. El sistema volverá a intentarlo."));
    assert!(!delayed("Su mensaje para alice@example.org no se entregó. El sistema no volverá a intentarlo."));
}

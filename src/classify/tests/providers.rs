//! Replies in the words that large providers and common filters use.

use super::*;

#[test]
fn replies_of_providers() {
    use Status::*;
    let cases = [
        // Gmail
        (
            "550-5.1.1 The email account that you tried to reach does not exist. Please try 550 5.1.1 double-checking the recipient's email address",
            HardBounce,
        ),
        ("550 5.2.1 The email account that you tried to reach is disabled.", HardBounce),
        ("452 4.2.2 The email account that you tried to reach is over quota.", SoftBounceMailboxFull),
        ("552 5.2.3 Your message exceeded Google's message size limits.", SoftBounceMessageTooLarge),
        ("550 5.4.5 Daily user sending limit exceeded.", SoftBounceGeneral),
        ("421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address.", MailBlockKnownSpammer),
        (
            "550 5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked.",
            MailBlockSpamDetected,
        ),
        ("550 5.7.26 This mail has been blocked because the sender is unauthenticated.", MailBlockGeneral),
        ("552 5.7.0 This message was blocked because its content presents a potential security issue.", MailBlockAttachmentDetected),
        // Microsoft
        ("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", HardBounce),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", HardBounce),
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
            MailBlockKnownSpammer,
        ),
        ("550 SC-001 Mail rejected by Windows Live Hotmail for policy reasons.", MailBlockGeneral),
        (
            "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed",
            MailBlockGeneral,
        ),
        ("550 5.7.64 TenantAttribution; Relay Access Denied", MailBlockRelayDenied),
        ("554 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour.", SoftBounceGeneral),
        ("550 5.4.310 DNS domain example.org does not exist", SoftBounceDnsFailure),
        ("554 5.4.14 Hop count exceeded - possible mail loop ATTR34", SoftBounceGeneral),
        ("550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds", MailBlockGeneral),
        ("550 4.4.7 QUEUE.Expired; message expired", SoftBounceGeneral),
        // Yahoo, AOL, Apple, Comcast
        ("554 delivery error: dd This user doesn't have a yahoo.com account (alice@example.org) [0]", HardBounce),
        ("554 5.7.9 Message not accepted for policy reasons.", MailBlockGeneral),
        ("553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", MailBlockKnownSpammer),
        ("552 5.2.2 <alice@example.org>: user is over quota", SoftBounceMailboxFull),
        ("554 5.7.1 [HM08] Message rejected due to local policy.", MailBlockGeneral),
        ("550 5.1.1 Not our Customer", HardBounce),
        // GMX, web.de, T-Online, Orange, Free
        ("554 mail.example.org Nemesis ESMTP Service not available No SMTP service IP address is black listed.", MailBlockKnownSpammer),
        ("552 Requested mail action aborted: exceeded storage allocation Quota exceeded.", SoftBounceMailboxFull),
        ("550 Requested action not taken: mailbox unavailable invalid DNS MX or A/AAAA resource record", MailBlockGeneral),
        ("550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416 [416]", HardBounce),
        ("571 Message Refused: sender blocked", MailBlockKnownSpammer),
        // Russia, China
        ("550 5.7.1 No such user!", HardBounce),
        ("550 user not found, ignoring", HardBounce),
        ("552 5.2.2 Mailbox size limit exceeded 1732338612-abc", SoftBounceMailboxFull),
        ("550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728", HardBounce),
        ("550 Connection frequency limited. http://service.mail.qq.com/", SoftBounceGeneral),
        ("554 DT:SPM 126 smtp, please see http://mail.163.com/help/help_spam_16.htm", MailBlockSpamDetected),
        ("550 MI:NUR 163 user not exist", HardBounce),
        // Filters
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Trend Micro RBL+", MailBlockKnownSpammer),
        ("554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", MailBlockKnownSpammer),
        ("550 5.7.1 Your message has been rejected because it contains a virus: Eicar-Test-Signature", MailBlockAttachmentDetected),
        ("552 5.7.0 Executable files are not allowed in attachments", MailBlockAttachmentDetected),
        ("554 5.7.1 Message rejected because of unacceptable attachments", MailBlockAttachmentDetected),
        ("550 Rejected by header based manually Blocked Senders: news@example.com", MailBlockGeneral),
        ("550 permanent failure for one or more recipients (alice@example.org:550 No such recipient)", HardBounce),
        ("554 Sending address not accepted due to spam filter", MailBlockSpamDetected),
        ("451 4.7.1 Greylisting in action, please come back later", SoftBounceGeneral),
        ("550 Blocked by SPF policy", MailBlockGeneral),
        ("550 High probability of spam", MailBlockSpamDetected),
        // MTAs
        (
            "550 5.1.1 <alice@example.org>: Recipient address rejected: undeliverable address: host mx.example.org[192.0.2.1] said: 550 no",
            HardBounce,
        ),
        (
            "450 4.1.1 <alice@example.org>: Recipient address rejected: unverified address: connect to mx.example.org: Connection timed out",
            SoftBounceGeneral,
        ),
        ("554 5.7.1 <alice@example.org>: Relay access denied", MailBlockRelayDenied),
        ("550 5.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", MailBlockGeneral),
        ("504 5.5.2 <mail>: Helo command rejected: need fully-qualified hostname", MailBlockGeneral),
        ("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", MailBlockRelayDenied),
        ("511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", HardBounce),
        ("550 Sender verify failed", MailBlockGeneral),
        ("550 Unrouteable address", SoftBounceDnsFailure),
        ("554 5.4.6 Too many hops 26 (25 max)", SoftBounceGeneral),
        ("mail for example.org loops back to myself", SoftBounceGeneral),
        ("connect to mx.example.org[192.0.2.1]:25: Connection refused", SoftBounceGeneral),
        ("552 5.3.4 Error: message file too big", SoftBounceMessageTooLarge),
        ("452 4.3.1 Insufficient system storage", SoftBounceGeneral),
        ("User alice (alice@example.org) not listed in Domino Directory", HardBounce),
        ("SMTPUTF8 is required, but was not offered by host mx.example.org[192.0.2.1]", SoftBounceGeneral),
        ("550 5.7.1 Message rejected. Your account has been blocked for sending too much spam", MailBlockKnownSpammer),
    ];
    let mut wrong = Vec::new();
    for (diagnostic, want) in cases {
        let told = one(&dsn(vec![block(Some(Action::Failed), "", diagnostic)]));
        if told.status != want {
            wrong.push(format!("{diagnostic}\n    want {want}, got {} by {} ({:?})", told.status, told.rule, told.evidence));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Localized notices, with neither status part nor known header.
#[test]
fn notices_in_many_languages() {
    use Status::*;
    let cases = [
        (
            "Unzustellbar: news",
            "Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Gruppen:\n\nalice@example.org\nDie eingegebene E-Mail-Adresse konnte nicht gefunden werden.",
            HardBounce,
        ),
        (
            "Unzustellbar: news",
            "Ihre Nachricht an alice@example.org konnte nicht zugestellt werden.\nDas Postfach ist voll.",
            SoftBounceMailboxFull,
        ),
        (
            "Non remis : news",
            "Échec de la remise pour ces destinataires ou groupes :\n\nalice@example.org\nL'adresse de messagerie entrée est introuvable.",
            HardBounce,
        ),
        (
            "Non remis : news",
            "Votre message à alice@example.org n'a pas pu être remis.\nLa boîte aux lettres est pleine.",
            SoftBounceMailboxFull,
        ),
        (
            "No se puede entregar: news",
            "Error de entrega a los siguientes destinatarios o grupos:\n\nalice@example.org\nNo se encontró la dirección de correo electrónico.",
            HardBounce,
        ),
        ("No se puede entregar: news", "No se pudo entregar el mensaje a alice@example.org.\nEl buzón está lleno.", SoftBounceMailboxFull),
        (
            "Non recapitabile: news",
            "Il recapito non è riuscito per i seguenti destinatari o gruppi:\n\nalice@example.org\nNon sono riuscito a trovare l'indirizzo e-mail.",
            HardBounce,
        ),
        ("Onbestelbaar: news", "Het bericht kan niet worden bezorgd:\n\nalice@example.org\nHet postvak is vol.", SoftBounceMailboxFull),
        (
            "Não entregue: news",
            "Falha na entrega para estes destinatários ou grupos:\n\nalice@example.org\nNão foi possível encontrar o endereço de email.",
            HardBounce,
        ),
        (
            "Niedostarczalne: news",
            "Nie można dostarczyć wiadomości do następujących adresatów:\n\nalice@example.org\nNie znaleziono adresu e-mail.",
            HardBounce,
        ),
        ("Недоставлено: news", "Сообщение не доставлено следующим получателям:\n\nalice@example.org\nПользователь не найден.", HardBounce),
        ("配信不能: news", "次の受信者へ配信できませんでした:\n\nalice@example.org\nメールボックスがいっぱいです。", SoftBounceMailboxFull),
        ("无法送达: news", "邮件无法送达以下收件人:\n\nalice@example.org\n邮箱已满。", SoftBounceMailboxFull),
        ("배달되지 않음: news", "다음 받는 사람에게 배달되지 않았습니다:\n\nalice@example.org\n사용자를 찾을 수 없습니다.", HardBounce),
    ];
    for (subject, prose, want) in cases {
        let told = one(&mail("postmaster@mx.example.com", subject, prose));
        assert_eq!((told.status, told.address.as_deref()), (want, Some("alice@example.org")), "{subject} {told:?}");
    }
}

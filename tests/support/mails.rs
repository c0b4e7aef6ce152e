//! Mails as real servers write them, made in the test.

/// What differs between bounces.
#[derive(Clone)]
pub struct Bounce<'a> {
    /// Makes the mail distinct: it is in the Message-ID, the queue ids and the boundary.
    pub serial: u64,
    /// Envelope recipient, in the To field.
    pub to: &'a str,
    /// Whom the bounced mail was for.
    pub recipient: &'a str,
    /// `failed`, `delayed`, `delivered`.
    pub action: &'a str,
    /// `5.1.1`
    pub status: &'a str,
    /// What the remote server said, with its code.
    pub reply: &'a str,
}

impl<'a> Bounce<'a> {
    /// A user who doesn't exist.
    pub fn unknown_user(serial: u64, to: &'a str, recipient: &'a str) -> Bounce<'a> {
        Bounce {
            serial,
            to,
            recipient,
            action: "failed",
            status: "5.1.1",
            reply: "550 5.1.1 <recipient>: Recipient address rejected: User unknown",
        }
    }

    pub fn mailbox_full(serial: u64, to: &'a str, recipient: &'a str) -> Bounce<'a> {
        Bounce { serial, to, recipient, action: "failed", status: "5.2.2", reply: "552 5.2.2 Over quota: mailbox is full" }
    }

    pub fn message_id(&self) -> String {
        format!("20261123.{:08}@mx.sender.test", self.serial)
    }

    /// The form of Postfix 3.7's bounce(8), about 4 KB.
    pub fn postfix(&self) -> Vec<u8> {
        let Bounce { serial, to, recipient, action, status, reply } = self;
        let reply = reply.replace("<recipient>", &format!("<{recipient}>"));
        let domain = recipient.rsplit_once('@').map_or("example.org", |(_, domain)| domain);
        let boundary = format!("9F1C{serial:08X}.1795408860/mx.sender.test");
        let filler: String =
            (0..24).map(|line| format!("Line {line} of the letter {serial}, as long as such lines are in a newsletter.\n")).collect();
        let text = format!(
            r#"Return-Path: <>
Received: by mx.sender.test (Postfix)
	id 4A1B{serial:08X}; Mon, 23 Nov 2026 04:41:00 +0000 (UTC)
Date: Mon, 23 Nov 2026 04:41:00 +0000 (UTC)
From: MAILER-DAEMON@mx.sender.test (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="{boundary}"
Content-Transfer-Encoding: 8bit
Message-Id: <{id}>

This is a MIME-encapsulated message.

--{boundary}
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.sender.test.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

<{recipient}>: host mx.{domain}[192.0.2.25] said: {reply} (in
    reply to RCPT TO command)

--{boundary}
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.sender.test
X-Postfix-Queue-ID: 3F2E{serial:08X}
X-Postfix-Sender: rfc822; {to}
Arrival-Date: Mon, 23 Nov 2026 04:40:58 +0000 (UTC)

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.{domain}
Diagnostic-Code: smtp; {reply}

--{boundary}
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <{to}>
Received: from app.sender.test (localhost [127.0.0.1])
	by mx.sender.test (Postfix) with ESMTP id 3F2E{serial:08X}
	for <{recipient}>; Mon, 23 Nov 2026 04:40:58 +0000 (UTC)
From: Newsletter <news@example.com>
To: {recipient}
Subject: The letter of November
Date: Mon, 23 Nov 2026 04:40:57 +0000
Message-ID: <letter.{serial}@example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

{filler}
--{boundary}--
"#,
            id = self.message_id(),
        );
        crlf(&text)
    }
}

/// An RFC 5965 abuse report; `mail_from` is the Original-Mail-From.
pub fn arf(serial: u64, to: &str, mail_from: Option<&str>, recipient: &str) -> Vec<u8> {
    let original = mail_from.map_or(String::new(), |path| format!("Original-Mail-From: <{path}>\n"));
    let boundary = format!("arf-{serial}");
    crlf(&format!(
        r#"From: Feedback loop <fbl@provider.test>
Date: Mon, 23 Nov 2026 05:00:00 +0000
Subject: FW: The letter of November
To: <{to}>
Message-ID: <arf.{serial}@provider.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message received from IP
192.0.2.1 on Mon, 23 Nov 2026 04:41:00 +0000.

--{boundary}
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: ProviderFBL/1.0
Version: 1
{original}Original-Rcpt-To: <{recipient}>
Arrival-Date: Mon, 23 Nov 2026 04:41:00 +0000
Reported-Domain: example.com
Source-IP: 192.0.2.1

--{boundary}
Content-Type: message/rfc822
Content-Disposition: inline

From: <news@example.com>
To: <{recipient}>
Subject: The letter of November
Message-ID: <letter.{serial}@example.com>
Date: Mon, 23 Nov 2026 04:40:57 +0000

The letter.

--{boundary}--
"#
    ))
}

/// What a person writes.
pub fn personal(serial: u64, from: &str, to: &str, text: &str) -> Vec<u8> {
    crlf(&format!(
        "From: Pat Doe <{from}>\nTo: {to}\nSubject: A question\nDate: Mon, 23 Nov 2026 06:00:00 +0000\nMessage-ID: <p.{serial}@example.org>\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    ))
}

pub fn crlf(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

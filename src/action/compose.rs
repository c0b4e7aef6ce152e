//! Mails of our own: what they have in common, and how they are put together. Pure but for the random MIME boundaries.
//!
//! Every one says that a program wrote it (`Auto-Submitted`, RFC 3834), and keeps its Message-ID and Date over all attempts.

use jiff::Timestamp;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment, Body, Mailbox, Mailboxes, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

use super::{
    clean,
    report::{Picture, Sheet},
};

/// A mail before it has a form.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// One mailbox: `Bounce daemon <bounced@example.com>`.
    pub from: &'a str,
    /// One or several mailboxes, apart by commas.
    pub to: &'a str,
    pub subject: &'a str,
    pub text: String,
    pub html: Option<String>,
    /// A picture that the HTML names by its Content-ID.
    pub picture: Option<&'a Picture>,
    /// A file to be attached.
    pub file: Option<&'a Sheet>,
    /// A mail to be attached, whole.
    pub attached: Option<&'a [u8]>,
    /// Names the mail for good; with `hostname` it makes the Message-ID.
    pub id: &'a str,
    pub hostname: &'a str,
    pub date: Timestamp,
    /// MAIL FROM; `None` is the null sender.
    pub envelope_from: Option<String>,
}

/// A mail that can go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Names its file where mails go to files.
    pub id: String,
    pub envelope: Envelope,
    /// CRLF line ends.
    pub bytes: Vec<u8>,
}

/// Why a mail can't be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("'{0}' is no mail address to send to")]
    To(String),
    #[error("'{0}' is no mail address to send from")]
    From(String),
    #[error("the mail can't be put together: {0}")]
    Other(String),
}

/// How a mail is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// message/rfc822 as it is; a relay without 8BITMIME can't take one with bytes beyond ASCII.
    Plain,
    /// application/octet-stream in base64: any relay takes it. message/rfc822 may not be base64 (RFC 2046, section 5.2.1).
    Armoured,
}

impl Draft<'_> {
    pub fn letter(&self, attach: Attach) -> Result<Letter, Unfit> {
        let from: Mailbox = self.from.parse().map_err(|_| Unfit::From(clean::cut(self.from, 80)))?;
        let to = mailboxes(self.to)?;
        let recipients: Vec<Address> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
        let sender = self.envelope_from.as_deref().filter(|sender| !sender.is_empty());
        let sender = sender.map(|sender| sender.parse::<Address>().map_err(|_| Unfit::From(clean::cut(sender, 80)))).transpose()?;
        let other = |error: &dyn std::fmt::Display| Unfit::Other(error.to_string());
        let envelope = Envelope::new(sender, recipients).map_err(|error| other(&error))?;
        let mut builder = Message::builder()
            .envelope(envelope.clone())
            .from(from)
            .subject(clean::literal(&clean::cut(self.subject, clean::SUBJECT_CHARS)))
            .date(self.date.into())
            .message_id(Some(format!("<{}@{}>", self.id, self.hostname)));
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All"), ("X-Bounced-Job", self.id)] {
            builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
        }
        let text = SinglePart::plain(self.text.clone());
        let attached = self.file.map(file).into_iter().chain(self.attached.map(|raw| attachment(raw, attach))).collect::<Vec<_>>();
        let message = match (self.html.as_ref(), attached.is_empty()) {
            (None, true) => builder.singlepart(text),
            (Some(html), true) => builder.multipart(self.alternative(text, html)),
            (html, false) => {
                let mixed = match html {
                    None => MultiPart::mixed().singlepart(text),
                    Some(html) => MultiPart::mixed().multipart(self.alternative(text, html)),
                };
                builder.multipart(attached.into_iter().fold(mixed, MultiPart::singlepart))
            }
        };
        let bytes = message.map_err(|error| other(&error))?.formatted();
        Ok(Letter { id: self.id.to_owned(), envelope, bytes })
    }

    fn alternative(&self, text: SinglePart, html: &str) -> MultiPart {
        let alternative = MultiPart::alternative().singlepart(text);
        let html = SinglePart::html(html.to_owned());
        match self.picture.zip(ContentType::parse("image/png").ok()) {
            None => alternative.singlepart(html),
            Some((picture, png)) => {
                let inline = Attachment::new_inline(picture.cid.clone()).body(base64(picture.png.clone()), png);
                alternative.multipart(MultiPart::related().singlepart(html).singlepart(inline))
            }
        }
    }
}

fn file(file: &Sheet) -> SinglePart {
    let mime = ContentType::parse(file.mime).unwrap_or_else(|_| octet_stream());
    Attachment::new(file.name.clone()).body(base64(file.bytes.clone()), mime)
}

fn base64(bytes: Vec<u8>) -> Body {
    // Base64 takes any bytes.
    Body::new_with_encoding(bytes, ContentTransferEncoding::Base64).unwrap_or_else(Body::new)
}

fn mailboxes(text: &str) -> Result<Mailboxes, Unfit> {
    let unfit = || Unfit::To(clean::cut(text, 80));
    let parsed: Mailboxes = text.trim().trim_end_matches(',').parse().map_err(|_| unfit())?;
    if parsed.iter().next().is_none() { Err(unfit()) } else { Ok(parsed) }
}

fn attachment(raw: &[u8], attach: Attach) -> SinglePart {
    let lines = clean::crlf(raw);
    // RFC 5322, section 2.1.1.
    let sendable = !lines.contains(&0) && lines.split(|byte| *byte == b'\n').all(|line| line.len() <= 999);
    let encoding = if lines.is_ascii() { ContentTransferEncoding::SevenBit } else { ContentTransferEncoding::EightBit };
    let armoured = attach == Attach::Armoured && encoding == ContentTransferEncoding::EightBit;
    match ContentType::parse("message/rfc822") {
        Ok(rfc822) if sendable && !armoured => {
            Attachment::new("original.eml".to_owned()).body(Body::dangerous_pre_encoded(lines, encoding), rfc822)
        }
        _ => Attachment::new("original.eml".to_owned()).body(base64(raw.to_vec()), octet_stream()),
    }
}

fn octet_stream() -> ContentType {
    ContentType::parse("application/octet-stream").unwrap_or(ContentType::TEXT_PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft<'a>(to: &'a str, subject: &'a str) -> Draft<'a> {
        Draft {
            from: "Bounce daemon <bounced@example.com>",
            to,
            subject,
            text: "Grüße\n.\n..\n".to_owned(),
            html: None,
            picture: None,
            file: None,
            attached: None,
            id: "0000002a-7-00000001-2",
            hostname: "mx.returns.example.com",
            date: Timestamp::UNIX_EPOCH,
            envelope_from: Some("own+x@returns.example.com".to_owned()),
        }
    }

    fn headers(letter: &Letter) -> String {
        let text = String::from_utf8(letter.bytes.clone()).unwrap();
        text.split_once("\r\n\r\n").unwrap().0.to_owned()
    }

    #[test]
    fn what_every_mail_of_ours_bears() {
        let letter = draft("ops@example.com", "x").letter(Attach::Plain).unwrap();
        let headers = headers(&letter);
        for field in [
            "Message-ID: <0000002a-7-00000001-2@mx.returns.example.com>",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "X-Bounced-Job: 0000002a-7-00000001-2",
            "From: \"Bounce daemon\" <bounced@example.com>",
            "To: ops@example.com",
            "MIME-Version: 1.0",
        ] {
            assert!(headers.lines().any(|line| line == field), "{field} in\n{headers}");
        }
        assert_eq!(letter.envelope.from().unwrap().to_string(), "own+x@returns.example.com");
    }

    #[test]
    fn no_field_can_be_smuggled_in() {
        let letter = draft("ops@example.com", "hi\r\nBcc: victim@example.org\r\n\r\nbody").letter(Attach::Plain).unwrap();
        let plain = headers(&letter);
        assert!(plain.contains("Subject: hi Bcc: victim@example.org body\r\n"), "{plain}");
        assert_eq!(letter.envelope.to().len(), 1);
        // Not by an encoded word either (RFC 2047), whose content a reader decodes.
        let encoded = headers(&draft("ops@example.com", "=?utf-8?q?=1B[2J=0D=0ABcc:_v?=").letter(Attach::Plain).unwrap());
        assert!(encoded.contains("Subject: = ?utf-8?q?=1B[2J=0D=0ABcc:_v?="), "{encoded}");
        for bad in ["", " , ", "a@example.org\r\nBcc: b@example.org", "nobody", "<>"] {
            assert!(matches!(draft(bad, "x").letter(Attach::Plain), Err(Unfit::To(_))), "{bad:?}");
        }
    }

    #[test]
    fn several_recipients_and_the_null_sender() {
        let mut draft = draft("Ops <ops@example.com>, \"B, C\" <b@example.com>,", "x");
        draft.envelope_from = None;
        let letter = draft.letter(Attach::Plain).unwrap();
        assert_eq!(letter.envelope.to().iter().map(ToString::to_string).collect::<Vec<_>>(), ["ops@example.com", "b@example.com"]);
        assert!(letter.envelope.from().is_none());
    }

    #[test]
    fn an_attached_mail_is_whole_and_legal() {
        let raw = b"Subject: hi\n\nline\rline\n.\n";
        let mut draft = draft("ops@example.com", "x");
        draft.attached = Some(raw);
        let text = String::from_utf8(draft.letter(Attach::Plain).unwrap().bytes).unwrap();
        assert!(text.contains("Content-Type: message/rfc822\r\n") && text.contains("Content-Transfer-Encoding: 7bit"), "{text}");
        assert!(text.contains("Subject: hi\r\n\r\nline\r\nline\r\n.\r\n"), "{text}");
        draft.attached = Some("Subject: gr\u{fc}n\n\n".as_bytes());
        let eight = draft.letter(Attach::Plain).unwrap().bytes;
        assert!(String::from_utf8_lossy(&eight).contains("Content-Transfer-Encoding: 8bit"));
        let armoured = draft.letter(Attach::Armoured).unwrap().bytes;
        assert!(armoured.is_ascii() && String::from_utf8_lossy(&armoured).contains("application/octet-stream"));
        let long = [b"x".repeat(5000), b"\n\0".to_vec()].concat();
        draft.attached = Some(&long);
        let text = String::from_utf8(draft.letter(Attach::Plain).unwrap().bytes).unwrap();
        assert!(text.contains("application/octet-stream") && text.lines().all(|line| line.len() <= 998));
    }
}

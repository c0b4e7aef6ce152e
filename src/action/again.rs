//! The letters of a resend: [`super::resend`]'s bytes under an envelope of their own.

use jiff::Timestamp;
use lettre::{
    address::Envelope,
    message::{
        Body,
        header::{HeaderName, HeaderValue, Headers},
    },
};

use super::{clean, compose::Letter, resend::Given};

/// One person, and who hears if it comes back.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The job's, names the mail.
    pub id: &'a str,
    pub to: &'a str,
    /// MAIL FROM.
    pub sender: &'a str,
}

impl Way<'_> {
    /// Complete bytes, with CRLF line ends.
    pub fn letter(&self, bytes: Vec<u8>) -> Result<Letter, String> {
        let address = |text: &str| text.parse().map_err(|_| format!("'{}' is no mail address", clean::cut(text, 80)));
        let envelope = Envelope::new(Some(address(self.sender)?), vec![address(self.to)?]).map_err(|error| error.to_string())?;
        Ok(Letter { id: self.id.to_owned(), envelope, bytes })
    }

    /// A rendered mail with what every mail must have: To, From, Date, Message-ID, and that a program sends it (RFC 3834).
    pub fn given(&self, mail: &Given, from: &str, date: Timestamp, hostname: &str) -> Result<Letter, String> {
        let mut header = String::new();
        for (name, value) in &mail.fields {
            header.push_str(&field(name, value)?);
        }
        let date = jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).map_err(|error| error.to_string())?;
        let id = format!("<{}@{hostname}>", self.id);
        for (name, value) in [("From", from), ("To", self.to), ("Date", &date), ("Message-ID", &id), ("Auto-Submitted", "auto-generated")] {
            if mail.get(name).is_none() {
                header.push_str(&field(name, value)?);
            }
        }
        let kind = mail.get("content-type").map(str::to_ascii_lowercase);
        let composite = kind.as_deref().is_some_and(|kind| kind.starts_with("multipart/") || kind.starts_with("message/"));
        let body = match composite || mail.get("content-transfer-encoding").is_some() {
            true => clean::crlf(mail.body.as_bytes()),
            false => {
                let body = Body::new(mail.body.clone());
                header.push_str(&field("Content-Transfer-Encoding", &body.encoding().to_string())?);
                body.into_vec()
            }
        };
        if kind.is_none() {
            header.push_str("Content-Type: text/plain; charset=utf-8\r\n");
        }
        if mail.get("mime-version").is_none() {
            header.push_str("MIME-Version: 1.0\r\n");
        }
        self.letter([header.as_bytes(), b"\r\n", &body].concat())
    }
}

/// Folded, and encoded by RFC 2047 where it goes beyond ASCII.
fn field(name: &str, value: &str) -> Result<String, String> {
    let named = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| format!("'{}' is no header field's name", clean::cut(name, 60)))?;
    let mut headers = Headers::new();
    headers.insert_raw(HeaderValue::new(named, clean::line(value)));
    let text = headers.to_string();
    Ok(if text.ends_with("\r\n") { text } else { format!("{text}\r\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way<'static> = Way { id: "0000002a-7-00000001-2", to: "alice@example.org", sender: "b+x@returns.example.com" };

    fn written(fields: &[(&str, &str)], body: &str) -> String {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let letter = WAY.given(&Given { fields, body: body.to_owned() }, "Bounced <bounced@example.com>", Timestamp::UNIX_EPOCH, "mx.test");
        String::from_utf8(letter.unwrap().bytes).unwrap()
    }

    #[test]
    fn what_is_missing_is_filled_in() {
        assert_eq!(
            written(&[("Subject", "Hello")], "Hi\n"),
            "Subject: Hello\r\nFrom: Bounced <bounced@example.com>\r\nTo: alice@example.org\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
             Message-ID: <0000002a-7-00000001-2@mx.test>\r\nAuto-Submitted: auto-generated\r\nContent-Transfer-Encoding: 7bit\r\n\
             Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\r\nHi\r\n"
        );
        let own = [
            ("From", "n@example.com"),
            ("To", "Alice <alice@example.org>"),
            ("DATE", "x"),
            ("message-id", "<1@x>"),
            ("Auto-Submitted", "no"),
        ];
        let text = written(&own, "Hi");
        assert_eq!((text.matches("To:").count(), text.to_lowercase().matches("message-id:").count()), (1, 1), "{text}");
        assert!(text.contains("Auto-Submitted: no\r\n"));
    }

    #[test]
    fn everything_is_ascii_where_the_mail_says_no_other() {
        let text = written(&[("Subject", "Grüße an dich")], "Grüße\n");
        assert!(text.is_ascii() && text.contains("=?utf-8?b?"), "{text}");
        let text = written(&[("Content-Type", "text/html; charset=utf-8")], "<p>Grüße</p>\n");
        assert!(text.is_ascii() && text.contains("Content-Transfer-Encoding: "), "{text}");
        let text = written(&[("Content-Type", "multipart/mixed; boundary=b")], "--b\n\nGrüße\n--b--\n");
        assert!(text.ends_with("\r\n\r\n--b\r\n\r\nGrüße\r\n--b--\r\n") && !text.contains("Transfer-Encoding"), "{text}");
    }
}

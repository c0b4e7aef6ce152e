//! What a person is sent again: the original that a bounce returned, or a mail of the operator's. Pure.
//!
//! The original goes as it is, or not at all: a changed one would break its signatures. Of a given mail, a value never becomes a field, an
//! address or markup of its own.

use super::{
    Context,
    clean::{self, crlf},
    render::{self, Kind},
};
/// Trace of the first delivery, and what may not be seen (RFC 5322, section 3.6.3).
const TAKEN_OUT: [&str; 7] = ["return-path", "received", "delivered-to", "x-original-to", "envelope-to", "bcc", "resent-bcc"];

/// Fields that hold addresses: a value there is one, or a harmless part of one.
const ADDRESSES: [&str; 8] = ["from", "sender", "reply-to", "to", "cc", "resent-from", "resent-to", "return-receipt-to"];

/// The returned original, ready to go; CRLF line ends.
pub fn original(returned: &[u8]) -> Vec<u8> {
    let original = crlf(returned);
    let (header, body) = split(&original);
    let mut out = Vec::with_capacity(original.len());
    for field in fields(header) {
        // An mbox's separator is no field.
        if !TAKEN_OUT.contains(&name(field).as_str()) && !field.starts_with(b"From ") {
            out.extend_from_slice(field);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// A given mail, rendered: its fields by name and value in their order, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Given {
    /// The value of a field, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// `source` is a whole mail as minijinja source.
pub fn given(source: &str, context: &Context) -> Result<Given, String> {
    check_encoding(source)?;
    let source = String::from_utf8_lossy(&crlf(source.as_bytes())).into_owned();
    let (header, body) = split(source.as_bytes());
    let mut given = Given { fields: Vec::new(), body: String::new() };
    for field in fields(header) {
        let line = String::from_utf8_lossy(field);
        let Some((field_name, value)) = line.split_once(':') else {
            return Err(format!("'{}' is no header field; a mail begins with its header", clean::cut(&line, 60)));
        };
        let field_name = field_name.trim_end();
        if field_name.is_empty() || !field_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(format!("'{}' is no header field's name", clean::cut(field_name, 60)));
        }
        if TAKEN_OUT.contains(&field_name.to_ascii_lowercase().as_str()) {
            continue;
        }
        let kind = if ADDRESSES.contains(&field_name.to_ascii_lowercase().as_str()) { Kind::Address } else { Kind::HttpHeader };
        let rendered = render::render(kind, value.trim(), context).map_err(|error| format!("{field_name}: {error}"))?;
        // The operator's own encoded words stay; a value's are none.
        let value = if value.contains('{') { clean::literal(&rendered) } else { rendered };
        given.fields.push((field_name.to_owned(), value));
    }
    if given.fields.is_empty() {
        return Err("the mail to be sent has no header".to_owned());
    }
    let body = String::from_utf8_lossy(body).into_owned();
    given.body = match body.contains('{') {
        false => body,
        true => {
            let html = source.to_ascii_lowercase().contains("text/html");
            let kind = if html { Kind::Html } else { Kind::Text };
            render::render(kind, &body.replace("\r\n", "\n"), context).map_err(|error| error.0)?
        }
    };
    Ok(given)
}

/// Whether a file can be sent again with these facts, for the configuration.
pub fn check_resend_source(source: &str) -> Result<(), String> {
    if source.len() > render::MAX_OUTPUT && source.contains("{{") {
        return Err(format!("a mail with values in it may be {} KiB at most", render::MAX_OUTPUT / 1024));
    }
    given(source, &Context::sample())?;
    given(source, &Context::bare()).map(drop).map_err(|error| format!("{error} (tried with a mail that tells nothing)"))
}

/// A value in an encoded body would be decoded with it, and could be anything then.
fn check_encoding(source: &str) -> Result<(), String> {
    let words = source.to_ascii_lowercase();
    let (_, body) = split(source.as_bytes());
    let encoded = words
        .lines()
        .filter_map(|line| line.strip_prefix("content-transfer-encoding:"))
        .any(|value| matches!(value.trim(), "base64" | "quoted-printable"));
    let rendered = body.windows(2).any(|pair| pair == b"{{" || pair == b"{%");
    match encoded && rendered {
        true => Err("values can't stand in a mail with quoted-printable or base64 parts; write it in 8bit".to_owned()),
        false => Ok(()),
    }
}

/// The header with its line ends, and the body after the blank line.
fn split(mail: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(line) = mail.get(at..).and_then(|rest| rest.split_inclusive(|byte| *byte == b'\n').next()) {
        let next = at.saturating_add(line.len());
        if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return (mail.get(..at).unwrap_or_default(), mail.get(next..).unwrap_or_default());
        }
        at = next;
    }
    (mail, &[])
}

/// Each field with its folded lines.
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if at > start && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            fields.extend(header.get(start..at));
            start = at;
        }
        at = at.saturating_add(line.len());
    }
    fields.extend(header.get(start..at).filter(|field| !field.is_empty()));
    fields
}

/// In lower case; of what is no field, nothing.
fn name(field: &[u8]) -> String {
    let name = field.split(|byte| *byte == b':').next().filter(|name| name.len() < field.len()).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::sample_facts;

    #[test]
    fn the_original_goes_as_it_was_but_for_its_trace() {
        let mail = "Return-Path: <b+x@returns.example.com>\r\nReceived: from a\r\n\tby b; Mon\r\nDelivered-To: a@example.org\r\n\
                    DKIM-Signature: v=1;\r\n  b=abc\r\nX-Original-To: a@example.org\r\nBCC: secret@example.com\r\nFrom: news@example.com\r\n\
                    Subject: Gr\u{fc}\u{df}e\r\nTo: a@example.org\r\n\r\nReceived: this is text\r\n\r\n.\r\nGrüße\r\n";
        let sent = original(mail.as_bytes());
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            "DKIM-Signature: v=1;\r\n  b=abc\r\nFrom: news@example.com\r\nSubject: Gr\u{fc}\u{df}e\r\nTo: a@example.org\r\n\r\n\
             Received: this is text\r\n\r\n.\r\nGrüße\r\n"
        );
    }

    fn context(diagnostic: &str) -> Context {
        let mut facts = sample_facts();
        facts.event.verdict.diagnostic = Some(diagnostic.to_owned());
        facts.event.campaign = Some(diagnostic.to_owned());
        Context::new(&facts, "job")
    }

    #[test]
    fn a_given_mail_holds_its_shape() {
        let source =
            "From: News <news@example.com>\nTo: {{ address }}\nSubject: About {{ campaign }},\n  again\nReceived: x\n\n{{ diagnostic }}\n";
        let hostile = "x\r\nBcc: v@example.org\r\n\r\n<b>{{ address }}";
        let given = given(source, &context(hostile)).unwrap();
        let fields: Vec<String> = given.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            fields,
            ["From: News <news@example.com>", "To: alice@example.org", "Subject: About x Bcc: v@example.org <b>{{ address }}, again"]
        );
        assert_eq!(given.body, "x\nBcc: v@example.org\n\n<b>{{ address }}\n");
        assert_eq!((given.get("to"), given.get("date")), (Some("alice@example.org"), None));
        let html = source.replace("\n\n", "\nContent-Type: text/html; charset=utf-8\n\n");
        assert!(super::given(&html, &context(hostile)).unwrap().body.contains("&lt;b&gt;"));
        assert!(super::given("From: {{ campaign }} <n@example.com>\n\nx", &context("a <b@example.org>,")).is_err());
    }

    #[test]
    fn a_file_that_can_not_be_sent_is_told() {
        assert_eq!(check_resend_source("From: n@example.com\nSubject: x\n\nHello {{ local }}\n"), Ok(()));
        for (source, says) in [
            ("", "no header"),
            ("Hello\n", "no header field"),
            ("Subject: {{ adress }}\n\nx", "Subject"),
            ("Subject: x\nContent-Transfer-Encoding: quoted-printable\n\n{{ address }}", "8bit"),
            ("Subject: x\n\n{% if %}", "syntax"),
        ] {
            let error = check_resend_source(source).unwrap_err();
            assert!(error.contains(says), "{source}: {error}");
        }
    }
}

//! What the header of a part says of its content: media type, character set, transfer encoding, boundary (RFC 2045, 2046, 2183).

use mail_parser::{HeaderValue, parsers::MessageStream};

use super::{
    fields::{self, Fields},
    report::Form,
};

/// What a part's header says of it. All words in lower case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kind {
    /// `text/plain`; empty where no Content-Type was given.
    pub mime: String,
    pub charset: Option<String>,
    pub boundary: Option<String>,
    pub report_type: Option<String>,
    pub name: Option<String>,
    pub encoding: String,
    pub attachment: bool,
}

impl Kind {
    pub fn of(header: &Fields<'_>) -> Kind {
        let encoding = header.get("content-transfer-encoding").map(|value| first_word(&value)).unwrap_or_default();
        let mut kind = Kind { encoding, ..Kind::default() };
        if let Some(disposition) = header.get("content-disposition") {
            kind.attachment = disposition.trim_start().to_ascii_lowercase().starts_with("attachment");
            kind.name = file_name(&disposition);
        }
        let Some(value) = header.get("content-type") else { return kind };
        if kind.plainly(&value).is_none() {
            kind.by_library(&value);
        }
        kind
    }

    fn by_library(&mut self, value: &str) {
        let line = fields::line_of(value, fields::MAX_DECODED);
        if let HeaderValue::ContentType(parsed) = MessageStream::new(line.as_bytes()).parse_content_type() {
            let attribute = |name: &str| parsed.attribute(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            self.mime = match parsed.subtype() {
                Some(subtype) => format!("{}/{}", parsed.ctype(), first_word(subtype)).to_ascii_lowercase(),
                None => parsed.ctype().to_ascii_lowercase(),
            };
            self.charset = attribute("charset").map(|value| value.to_ascii_lowercase());
            self.boundary = attribute("boundary");
            self.report_type = attribute("report-type").map(|value| value.to_ascii_lowercase());
            self.name = attribute("name").map(|value| value.to_ascii_lowercase()).or(self.name.take());
        }
    }

    /// Reads a Content-Type of plain words, as nearly all are: no comments, no escapes, nothing encoded (RFC 2231). `None` where it isn't one, and
    /// nothing is read.
    fn plainly(&mut self, value: &str) -> Option<()> {
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+_".contains(&b));
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~') && !b"\"\\();<>,".contains(&b)) && !text.contains("=?")
        };
        let mut pieces = value.trim_ascii().trim_end_matches(';').split(';');
        let mime = pieces.next()?.trim_ascii();
        let (main, sub) = mime.split_once('/')?;
        let mut read = Kind::default();
        for piece in pieces {
            let (name, value) = piece.trim_ascii().split_once('=')?;
            let value = value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))?;
            if !word(name) || !plain(value) || value.trim_ascii().len() < value.len() {
                return None;
            }
            let slot = match name {
                _ if name.eq_ignore_ascii_case("charset") => &mut read.charset,
                _ if name.eq_ignore_ascii_case("boundary") => &mut read.boundary,
                _ if name.eq_ignore_ascii_case("report-type") => &mut read.report_type,
                _ if name.eq_ignore_ascii_case("name") => &mut read.name,
                _ => continue,
            };
            if slot.is_some() {
                return None;
            }
            *slot = Some(value.to_owned());
        }
        if !word(main) || !word(sub) || value.len() > fields::MAX_DECODED {
            return None;
        }
        self.mime = mime.to_ascii_lowercase();
        for one in [&mut read.charset, &mut read.report_type, &mut read.name].into_iter().flatten() {
            one.make_ascii_lowercase();
        }
        (self.charset, self.boundary, self.report_type) = (read.charset, read.boundary, read.report_type);
        self.name = read.name.or(self.name.take());
        Some(())
    }

    /// A standard form that its type or file name alone shows.
    pub fn form(&self) -> Option<Form> {
        // RFC 7489, section 7.2.1.1: receiver "!" policy domain "!" begin "!" end.
        let aggregate = |name: &str| {
            let mut parts = name.split('!').skip(2);
            let mut time = || parts.next().is_some_and(|time| time.len() >= 8 && time.bytes().take(8).all(|b| b.is_ascii_digit()));
            time() && time()
        };
        match self.mime.as_str() {
            "text/calendar" | "application/ics" => Some(Form::Calendar),
            "application/tlsrpt+gzip" | "application/tlsrpt+json" => Some(Form::Aggregate),
            _ if self.report_type.as_deref() == Some("tlsrpt") => Some(Form::Aggregate),
            _ => self.name.as_deref().filter(|name| aggregate(name)).map(|_| Form::Aggregate),
        }
    }

    pub fn is_multipart(&self) -> bool {
        self.mime.starts_with("multipart")
    }

    pub fn is_text(&self) -> bool {
        self.mime.is_empty() || self.mime == "text" || self.mime == "text/plain"
    }

    pub fn is_html(&self) -> bool {
        self.mime == "text/html"
    }
}

fn file_name(disposition: &str) -> Option<String> {
    let line = fields::line_of(disposition, fields::MAX_DECODED);
    let HeaderValue::ContentType(parsed) = MessageStream::new(line.as_bytes()).parse_content_type() else { return None };
    parsed.attribute("filename").map(|name| name.trim().to_ascii_lowercase())
}

fn first_word(value: &str) -> String {
    value.split(|c: char| c.is_whitespace() || c == ';').find(|word| !word.is_empty()).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_library(value: &str) -> Kind {
        let mut kind = Kind::default();
        kind.by_library(value);
        kind
    }

    #[test]
    fn plain_ones_are_most() {
        for value in [
            "text/plain",
            "Text/Plain; charset=UTF-8",
            "text/html; charset=\"iso-8859-1\"; format=flowed",
            "multipart/report; report-type=delivery-status;\tboundary=\"=_a.b/c:(d)\"",
            "multipart/report; report-type=\"delivery-status\"; boundary=b1_2",
            "message/delivery-status; name=details.txt;",
        ] {
            let mut kind = Kind::default();
            let plain = kind.plainly(value).is_some();
            assert!(plain != value.contains('('), "{value}");
            assert!(!plain || kind == by_library(value), "{value}: {kind:?}");
        }
    }

    proptest! {
        #[test]
        fn plain_ones_are_read_as_the_library_does(
            value in "[a-z]{1,5}(/[a-zA-Z.+-]{0,6})?( ?; ?(charset|Boundary|report-type|name|x|)[ =]?=?(\"[a-zA-Z0-9_=.' -]{0,6}\"|[a-zA-Z0-9_=.'*-]{0,6}))* ?;?"
        ) {
            let mut kind = Kind::default();
            if kind.plainly(&value).is_some() {
                prop_assert_eq!(kind, by_library(&value));
            }
        }
    }
}

//! Field blocks as RFC 5322, section 2.2 has them: mail headers, part headers, and the groups of delivery status notifications.
//!
//! Lenient: a line that is no field continues the one before or is left out, a block ends at a blank line. Bounded: so many fields, so many
//! octets in all.

use std::borrow::Cow;

use mail_parser::{HeaderValue, parsers::MessageStream};

use super::text::{self, Line, Lines};

/// So many fields of one block are read, the rest is passed over.
pub const MAX_FIELDS: usize = 400;
/// So many octets of one block are read.
pub const MAX_BLOCK: usize = 256 * 1024;
/// So many octets of one field are read.
pub const MAX_FIELD: usize = 16 * 1024;
/// Encoded words and parameters are decoded in so many octets of a field: the library looks at each that never ends up to the end.
pub const MAX_DECODED: usize = 2 * 1024;
/// So many fields of one name are decoded.
pub const MAX_REPEATED: usize = 4;
/// So many addresses of one field are kept.
pub const MAX_ADDRESSES: usize = 100;

/// One field, as it stands: its value is unfolded when it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    name: &'a [u8],
    /// The first line of the value.
    first: &'a [u8],
    /// The lines that continue it.
    rest: &'a [u8],
    /// Among those mbox `From ` lines are passed over.
    mbox: bool,
    /// What the block stands in, to tell undeclared letters by.
    mail: &'a [u8],
}

/// The fields of a block, in their order.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a>(pub Vec<Field<'a>>);

impl<'a> Field<'a> {
    /// Whether it has this name, which is in lower case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    pub fn begins(&self, prefix: &str) -> bool {
        self.name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    }

    /// Which of these names it has; none gives an empty one.
    pub fn among(&self, names: &[&'static str]) -> &'static str {
        names.iter().find(|name| self.is(name)).copied().unwrap_or_default()
    }

    /// The name as it is written, at most 100 octets of it.
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(text::head(self.name, 100)).unwrap_or_default()
    }

    /// The value unfolded, not yet decoded (RFC 2047), at most 16 KiB of it.
    pub fn value(&self) -> Cow<'a, str> {
        let first = text::head(self.first, MAX_FIELD);
        if self.rest.is_empty() {
            return text::unlabelled(Cow::Borrowed(first), self.mail);
        }
        let mut value = Vec::with_capacity(self.first.len() + self.rest.len());
        value.extend_from_slice(first);
        let skipped = |line: &[u8]| self.mbox && is_mbox_line(line);
        for line in Lines::new(self.rest, 0).map(|line| unmarked(line.text)).filter(|line| !skipped(line)) {
            let line = text::head(line.trim_ascii(), MAX_FIELD.saturating_sub(value.len()));
            if !value.is_empty() && !line.is_empty() {
                value.push(b' ');
            }
            value.extend_from_slice(line);
        }
        text::unlabelled(Cow::Owned(value), self.mail)
    }
}

impl<'a> Fields<'a> {
    /// The first value of a name in lower case.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.iter().find(|field| field.is(name)).map(Field::value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|field| field.is(name))
    }

    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Cow<'a, str>> + 's {
        self.0.iter().filter(move |field| field.is(name)).map(Field::value)
    }
}

/// A line without the byte order mark that some write before it.
fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

fn is_mbox_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// Splits `Name: value` where the name is one (RFC 5322, section 3.6.8), with white space before the colon let pass.
pub fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', text::head(line, 200))?;
    let (name, value) = line.split_at(colon);
    let name = name.trim_ascii_end();
    let value = value.get(1..).unwrap_or_default();
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    // `http://…` is no field.
    let valid = name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(in_name) && !value.starts_with(b"//");
    valid.then_some((name, value))
}

/// Reads a header block from `at` on. Gives the fields and where the body starts.
///
/// Before the fields blank lines and mbox `From ` lines are passed over. A line that is no field is the rest of the field before where its fold
/// was lost; else the blank line after the header was lost, and the body begins.
pub fn header_block(data: &[u8], at: usize) -> (Fields<'_>, usize) {
    let mut reader = Reader::new(data, at, true);
    let mut lines = Lines::new(data, at);
    while let Some(line) = lines.next() {
        let own = unmarked(line.text);
        if text::is_blank(own) {
            if reader.fields.is_empty() {
                continue;
            }
            return (Fields(reader.fields), line.next);
        }
        if own.first().is_some_and(|b| matches!(b, b' ' | b'\t')) && !reader.fields.is_empty() {
            reader.fold(own, line);
        } else if let Some((name, value)) = split_field(own) {
            reader.push(name, value, line);
        } else if is_mbox_line(own) {
            continue;
        } else if reader.parameter_expected(own) || header_goes_on(lines.clone()) {
            reader.fold(own, line);
        } else {
            return (Fields(reader.fields), line.start);
        }
    }
    (Fields(reader.fields), data.len())
}

/// Whether a field that only headers have stands in the next lines, before a blank one.
fn header_goes_on(lines: Lines<'_>) -> bool {
    let paragraph = lines.take(12).take_while(|line| !text::is_blank(line.text));
    paragraph.filter_map(|line| split_field(line.text)).any(|(name, _)| is_mail_field(&String::from_utf8_lossy(name).to_ascii_lowercase()))
}

/// Whether a name (in lower case) is that of a field of mail headers.
pub fn is_mail_field(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "reply-to",
        "sender",
        "references",
        "in-reply-to",
        "importance",
        "priority",
        "user-agent",
        "precedence",
        "errors-to",
        "auto-submitted",
        "thread-topic",
    ];
    let prefixed = ["x-", "list-", "resent-", "arc-", "content-"].iter().any(|prefix| name.starts_with(prefix));
    prefixed || NAMES.contains(&name) || is_transport_field(name)
}

/// Whether it is one that stands in a mail's real header only, never in a summary for people.
pub fn is_transport_field(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "received",
        "return-path",
        "mime-version",
        "x-received",
        "dkim-signature",
        "domainkey-signature",
        "content-transfer-encoding",
        "arc-seal",
        "delivered-to",
        "x-originating-ip",
    ];
    NAMES.contains(&name)
}

/// Reads the field groups of a status text: one for each paragraph. A line that is no field continues the field before, folded or not.
pub fn groups(status: &str) -> Vec<Fields<'_>> {
    let data = status.as_bytes();
    let mut groups = Vec::new();
    let mut reader = Reader::new(data, data.len(), false);
    for line in Lines::new(data, 0).take(MAX_FIELDS * 4) {
        if text::is_blank(line.text) {
            groups.push(Fields(std::mem::take(&mut reader.fields)));
        } else if let Some((name, value)) = split_field(line.text) {
            reader.push(name, value, line);
        } else {
            reader.fold(line.text, line);
        }
    }
    groups.push(Fields(reader.fields));
    groups.retain(|group| !group.0.is_empty());
    groups
}

struct Reader<'a> {
    data: &'a [u8],
    mail: &'a [u8],
    mbox: bool,
    fields: Vec<Field<'a>>,
    /// Where the lines begin that continue the last field.
    after: usize,
    /// The last field ends in a semicolon so far.
    open: bool,
    octets: usize,
}

impl<'a> Reader<'a> {
    fn new(data: &'a [u8], at: usize, mbox: bool) -> Reader<'a> {
        Reader { data, mail: data.get(at..).unwrap_or_default(), mbox, fields: Vec::with_capacity(12), after: at, open: false, octets: 0 }
    }

    fn push(&mut self, name: &'a [u8], value: &'a [u8], line: Line<'a>) {
        if self.fields.len() < MAX_FIELDS && self.octets < MAX_BLOCK {
            let first = value.trim_ascii();
            self.octets += value.len() + 1;
            self.after = line.next;
            self.open = first.last() == Some(&b';');
            self.fields.push(Field { name, first, rest: b"", mbox: self.mbox, mail: self.mail });
        }
    }

    fn fold(&mut self, own: &[u8], line: Line<'a>) {
        let Some(field) = self.fields.last_mut().filter(|_| self.octets < MAX_BLOCK) else { return };
        self.octets += own.len() + 1;
        self.open = own.trim_ascii().last().map_or(self.open, |last| *last == b';');
        field.rest = self.data.get(self.after..line.next).unwrap_or_default();
    }

    /// The field before ends in a semicolon, and the line is `name=value`.
    fn parameter_expected(&self, line: &[u8]) -> bool {
        let name = line.split(|&b| b == b'=').next().unwrap_or_default();
        let is_name = || name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*'));
        self.open && name.len() < line.len() && !name.is_empty() && is_name()
    }
}

/// A value as the library reads it: at most so many octets, with the line end that it looks for.
pub fn line_of(value: &str, octets: usize) -> String {
    let mut line = value.to_owned();
    text::cut(&mut line, octets);
    line.push('\n');
    line
}

/// The text of an unstructured field, encoded words decoded (RFC 2047).
pub fn unstructured(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if !value.contains("=?") {
        return text::fact_of(value);
    }
    let line = line_of(&value, MAX_DECODED);
    match MessageStream::new(line.as_bytes()).parse_unstructured() {
        HeaderValue::Text(decoded) => text::fact(&decoded).map(Cow::Owned),
        _ => text::fact_of(value),
    }
}

/// The day of a date field (RFC 5322, section 3.3), as its writer's calendar has it.
pub fn date(value: &str) -> Option<jiff::civil::Date> {
    let line = line_of(value, MAX_DECODED);
    let HeaderValue::DateTime(date) = MessageStream::new(line.as_bytes()).parse_date() else { return None };
    jiff::civil::Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
}

/// The first `<…>` of an identifier field with its brackets, else its first word.
pub fn message_id(value: &str) -> Option<String> {
    message_ids(value).into_iter().next()
}

/// All identifiers of a field, brackets kept.
pub fn message_ids(value: &str) -> Vec<String> {
    let bracketed = |piece: &str| piece.split_once('>').map(|(id, _)| format!("<{}>", id.trim()));
    let ids: Vec<String> = value.split('<').skip(1).filter_map(bracketed).filter_map(|id| text::fact(&id)).take(20).collect();
    if ids.is_empty() { value.split_whitespace().next().and_then(text::fact).into_iter().collect() } else { ids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_leniently() {
        let raw = b"\r\n\r\nFrom alice Mon Nov 23\r\nSubject : a\r\n\tb\r\nno field\r\nTo: <x@example.org>\r\n\r\nbody";
        let (fields, body) = header_block(raw, 0);
        assert_eq!(fields.get("subject").as_deref(), Some("a b no field"));
        assert_eq!(fields.get("to").as_deref(), Some("<x@example.org>"));
        assert_eq!(&raw[body..], b"body");
        let (fields, body) = header_block(b"Subject: a\nThe blank line is lost.\nMore text", 0);
        assert_eq!((fields.0.len(), body), (1, 11));
    }

    #[test]
    fn groups_join_lines_that_lost_their_fold() {
        let groups = groups("Action: failed\nDiagnostic-Code: smtp; 550-one\n550 <a@b>: two\n\n\nStatus: 5.1.1");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].get("diagnostic-code").as_deref(), Some("smtp; 550-one 550 <a@b>: two"));
    }

    #[test]
    fn identifiers_keep_their_brackets() {
        assert_eq!(message_id("<1@x> <2@x>").as_deref(), Some("<1@x>"));
    }
}

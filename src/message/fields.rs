//! Field blocks as RFC 5322, section 2.2 has them: mail headers, part headers, and the groups of delivery status notifications.
//!
//! Lenient: a line that is no field continues the one before or is left out, a block ends at a blank line. Bounded: so many fields, so many
//! octets in all.

use mail_parser::{Address, HeaderValue, parsers::MessageStream};

use super::text::{self, Lines};

/// So many fields of one block are read, the rest is passed over.
pub const MAX_FIELDS: usize = 400;
/// So many octets of one block are kept.
pub const MAX_BLOCK: usize = 256 * 1024;
/// So many octets of one field are kept.
const MAX_FIELD: usize = 16 * 1024;
/// Encoded words and parameters are decoded in so many octets of a field: the library looks at each that never ends up to the end.
pub const MAX_DECODED: usize = 2 * 1024;
/// So many fields of one name are decoded.
pub const MAX_REPEATED: usize = 4;
/// So many addresses of one field are kept.
pub const MAX_ADDRESSES: usize = 100;

/// One field: the name in lower case, the value unfolded, not yet decoded (RFC 2047).
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub value: String,
}

/// The fields of a block, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|field| field.name == name).map(|field| field.value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |field| field.name == name).map(|field| field.value.as_str())
    }
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
pub fn header_block(data: &[u8], at: usize) -> (Fields, usize) {
    let mut reader = Reader::default();
    let mut lines = Lines::new(data, at);
    while let Some(line) = lines.next() {
        let own = line.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line.text);
        if text::is_blank(own) {
            if reader.fields.is_empty() {
                continue;
            }
            return (reader.finish(rest(data, at)), line.next);
        }
        if own.first().is_some_and(|b| matches!(b, b' ' | b'\t')) && !reader.fields.is_empty() {
            reader.fold(own);
        } else if let Some((name, value)) = split_field(own) {
            reader.push(name, value);
        } else if own.starts_with(b"From ") || own.starts_with(b">From ") {
            continue;
        } else if reader.parameter_expected(own) || header_goes_on(lines.clone()) {
            reader.fold(own);
        } else {
            return (reader.finish(rest(data, at)), line.start);
        }
    }
    (reader.finish(rest(data, at)), data.len())
}

fn rest(data: &[u8], at: usize) -> &[u8] {
    data.get(at..).unwrap_or_default()
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
pub fn groups(status: &str) -> Vec<Fields> {
    let mut groups = Vec::new();
    let mut reader = Reader::default();
    let mut left = MAX_FIELDS * 4;
    for line in status.lines() {
        let bytes = line.as_bytes();
        if text::is_blank(bytes) {
            groups.push(std::mem::take(&mut reader).finish(b""));
        } else if let Some((name, value)) = split_field(bytes) {
            reader.push(name, value);
        } else {
            reader.fold(bytes);
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    groups.push(reader.finish(b""));
    groups.retain(|group| !group.0.is_empty());
    groups
}

#[derive(Default)]
struct Reader {
    fields: Vec<(String, Vec<u8>)>,
    octets: usize,
}

impl Reader {
    fn push(&mut self, name: &[u8], value: &[u8]) {
        if self.fields.len() < MAX_FIELDS {
            let name = std::str::from_utf8(text::head(name, 100)).unwrap_or_default().to_ascii_lowercase();
            self.fields.push((name, Vec::with_capacity(value.len())));
            self.append(value);
        }
    }

    fn fold(&mut self, line: &[u8]) {
        self.append(line);
    }

    /// The field before ends in a semicolon, and the line is `name=value`.
    fn parameter_expected(&self, line: &[u8]) -> bool {
        let open = self.fields.last().is_some_and(|(_, value)| value.last() == Some(&b';'));
        let name = line.split(|&b| b == b'=').next().unwrap_or_default();
        open && name.len() < line.len() && !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*'))
    }

    fn append(&mut self, line: &[u8]) {
        let Some((_, value)) = self.fields.last_mut() else { return };
        let room = MAX_FIELD.saturating_sub(value.len()).min(MAX_BLOCK.saturating_sub(self.octets));
        let line = text::head(line.trim_ascii(), room);
        if !value.is_empty() && !line.is_empty() {
            value.push(b' ');
        }
        value.extend_from_slice(line);
        self.octets += line.len() + 1;
    }

    /// `mail`: what the block stands in, to tell undeclared letters by.
    fn finish(self, mail: &[u8]) -> Fields {
        Fields(self.fields.into_iter().map(|(name, value)| Field { name, value: text::unlabelled(value, mail) }).collect())
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
pub fn unstructured(value: &str) -> Option<String> {
    if !value.contains("=?") {
        return text::fact(value);
    }
    let line = line_of(value, MAX_DECODED);
    match MessageStream::new(line.as_bytes()).parse_unstructured() {
        HeaderValue::Text(decoded) => text::fact(&decoded),
        _ => text::fact(value),
    }
}

/// The day of a date field (RFC 5322, section 3.3), as its writer's calendar has it.
pub fn date(value: &str) -> Option<jiff::civil::Date> {
    let line = line_of(value, MAX_DECODED);
    let HeaderValue::DateTime(date) = MessageStream::new(line.as_bytes()).parse_date() else { return None };
    jiff::civil::Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
}

/// The addresses of an address field, in their order, without names, comments and brackets. A word without a domain
/// (`MAILER-DAEMON`) is kept.
pub fn addresses(value: &str) -> Vec<String> {
    let line = line_of(value, if value.contains("=?") { MAX_DECODED * 2 } else { MAX_FIELD });
    let HeaderValue::Address(list) = MessageStream::new(line.as_bytes()).parse_address() else { return Vec::new() };
    let unbracketed = |text: &str| if text.contains("@[") { bare_address(text) } else { bare_address(text.trim_matches(['[', ']'])) };
    let address = |addr: &mail_parser::Addr<'_>| addr.address.as_deref().and_then(unbracketed);
    let mut found: Vec<String> = Vec::new();
    let all: Box<dyn Iterator<Item = &mail_parser::Addr<'_>>> = match &list {
        Address::List(list) => Box::new(list.iter()),
        Address::Group(groups) => Box::new(groups.iter().flat_map(|group| group.addresses.iter())),
    };
    found.extend(all.filter_map(address).take(MAX_ADDRESSES));
    if found.is_empty() {
        // Some gateways write `[SMTP:alice@example.org]`.
        found.extend(line.split(',').filter_map(|one| bare_address(one.trim().trim_matches(['[', ']']))).take(MAX_ADDRESSES));
    }
    found
}

/// The display name of an address field's first address.
pub fn display_name(value: &str) -> Option<String> {
    let line = line_of(value, MAX_DECODED);
    let HeaderValue::Address(list) = MessageStream::new(line.as_bytes()).parse_address() else { return None };
    list.first().and_then(|addr| addr.name.as_deref()).and_then(text::fact)
}

/// One address out of its brackets, comments and `mailto:` or `smtp:`; white space inside quotes is kept.
pub fn bare_address(value: &str) -> Option<String> {
    let value = value.trim();
    let value = match (value.find('<'), value.rfind('>')) {
        (Some(open), Some(close)) if open < close => value.get(open + 1..close).unwrap_or(value),
        _ => value,
    };
    let begins = |prefix: &&&str| value.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    let skip = ["mailto:", "smtp:"].iter().find(begins).map_or(0, |prefix| prefix.len());
    let value = value.get(skip..).unwrap_or(value).trim();
    // A source route (RFC 5321, appendix C) stands before the address.
    let value = if value.starts_with('@') { value.rsplit_once(':').map_or(value, |(_, address)| address) } else { value };
    let end = if value.starts_with('"') { value.rfind('"').unwrap_or(0) } else { 0 };
    let tail = value.get(end..).unwrap_or_default();
    let stop = tail.find(char::is_whitespace).map_or(value.len(), |at| end + at);
    let bare = value.get(..stop).unwrap_or(value).trim_matches(|c| matches!(c, '<' | '>' | ',' | ';' | '\''));
    let mut bare = text::fact(bare)?;
    text::cut(&mut bare, crate::address::MAX_OCTETS * 2);
    Some(bare)
}

/// What stands in the brackets of a path (`<>` gives an empty text), else the bare value.
pub fn path(value: &str) -> Option<String> {
    if value.trim().starts_with("<>") { Some(String::new()) } else { bare_address(value) }
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
        assert_eq!(fields.get("subject"), Some("a b no field"));
        assert_eq!(fields.get("to"), Some("<x@example.org>"));
        assert_eq!(&raw[body..], b"body");
        let (fields, body) = header_block(b"Subject: a\nThe blank line is lost.\nMore text", 0);
        assert_eq!((fields.0.len(), body), (1, 11));
    }

    #[test]
    fn groups_join_lines_that_lost_their_fold() {
        let groups = groups("Action: failed\nDiagnostic-Code: smtp; 550-one\n550 <a@b>: two\n\n\nStatus: 5.1.1");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].get("diagnostic-code"), Some("smtp; 550-one 550 <a@b>: two"));
    }

    #[test]
    fn addresses_come_bare() {
        assert_eq!(
            addresses("Alice <a@example.org>, b@example.org (Bob), g: c@example.org;"),
            ["a@example.org", "b@example.org", "c@example.org"]
        );
        assert_eq!(addresses("[SMTP:a@example.org]"), ["a@example.org"]);
        assert_eq!(bare_address("<\"a b\"@example.org>").as_deref(), Some("\"a b\"@example.org"));
        assert_eq!(bare_address("SMTP:a@example.org (unrestricted)").as_deref(), Some("a@example.org"));
        assert_eq!(path("<>").as_deref(), Some(""));
        assert_eq!(message_id("<1@x> <2@x>").as_deref(), Some("<1@x>"));
    }
}

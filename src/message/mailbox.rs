//! Addresses as address fields have them (RFC 5322, section 3.4), and bare ones out of whatever stands round them.

use mail_parser::{Address, HeaderValue, parsers::MessageStream};

use super::{fields, text};

/// The addresses of an address field, in their order, without names, comments and brackets. A word without a domain
/// (`MAILER-DAEMON`) is kept.
pub fn addresses(value: &str) -> Vec<String> {
    if let Some((_, address)) = one_mailbox(value) {
        return bare_address(address).into_iter().collect();
    }
    let line = fields::line_of(value, if value.contains("=?") { fields::MAX_DECODED * 2 } else { fields::MAX_FIELD });
    let HeaderValue::Address(list) = MessageStream::new(line.as_bytes()).parse_address() else { return Vec::new() };
    let unbracketed = |text: &str| if text.contains("@[") { bare_address(text) } else { bare_address(text.trim_matches(['[', ']'])) };
    let address = |addr: &mail_parser::Addr<'_>| addr.address.as_deref().and_then(unbracketed);
    let mut found: Vec<String> = Vec::new();
    let all: Box<dyn Iterator<Item = &mail_parser::Addr<'_>>> = match &list {
        Address::List(list) => Box::new(list.iter()),
        Address::Group(groups) => Box::new(groups.iter().flat_map(|group| group.addresses.iter())),
    };
    found.extend(all.filter_map(address).take(fields::MAX_ADDRESSES));
    if found.is_empty() {
        // Some gateways write `[SMTP:alice@example.org]`.
        found.extend(line.split(',').filter_map(|one| bare_address(one.trim().trim_matches(['[', ']']))).take(fields::MAX_ADDRESSES));
    }
    found
}

/// A single mailbox without quotes, comments or encoded words, as nearly all are: the name, and the address. For anything else the library is asked.
fn one_mailbox(value: &str) -> Option<(&str, &str)> {
    let value = value.trim_ascii();
    let (name, address) = match value.split_once('<') {
        Some((name, address)) => (name.trim_ascii_end(), address.strip_suffix('>')?),
        None => ("", value),
    };
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let (local, domain) = address.split_once('@')?;
    let plain = !local.is_empty() && !domain.is_empty() && local.bytes().chain(domain.bytes()).all(is_atom);
    let plain_name = name.bytes().all(|b| is_atom(b) || b == b' ') && !name.contains("=?");
    (plain && plain_name).then_some((name, address))
}

/// The display name of an address field's first address.
pub fn display_name(value: &str) -> Option<String> {
    if let Some((name, _)) = one_mailbox(value) {
        return text::fact(name);
    }
    let line = fields::line_of(value, fields::MAX_DECODED);
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

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}

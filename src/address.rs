//! Addresses, read leniently from mail and compared strictly.
//!
//! Everything here is pure and total: a text that is no address is `None`, never a panic.

/// The longest address that can be used in SMTP: 64 octets, `@`, 255 octets (RFC 5321, section 4.5.3.1).
pub const MAX_OCTETS: usize = 320;

/// Splits at the last `@` outside quotes. Neither side may be empty or hold white space or control characters outside quotes.
pub fn split(address: &str) -> Option<(&str, &str)> {
    plain(address).or_else(|| any(address))
}

/// An address in plain ASCII, as nearly all are, told octet by octet.
fn plain(address: &str) -> Option<(&str, &str)> {
    let is_plain = |b: u8| matches!(b, b'!'..=b'~') && !matches!(b, b'"' | b',' | b';' | b'<' | b'>' | b'@');
    let (local, domain) = address.split_at_checked(memchr::memchr(b'@', address.as_bytes())?)?;
    let domain = domain.get(1..).filter(|domain| !domain.is_empty() && !local.is_empty())?;
    let all = local.bytes().chain(domain.bytes()).all(is_plain);
    (all && address.len() <= MAX_OCTETS).then_some((local, domain))
}

fn any(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.rsplit_once('@')?;
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';');
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let local_ok =
        if quoted { !local.chars().any(char::is_control) } else { !local.is_empty() && !local.contains(bad) && !local.contains('@') };
    let domain_ok = !domain.is_empty() && !domain.contains(bad) && !domain.contains('"');
    (local_ok && domain_ok && address.len() <= MAX_OCTETS).then_some((local, domain))
}

/// The form under which a person is known: trimmed, without angle brackets or a trailing dot, lowercased on both sides.
///
/// RFC 5321 lets a local part be case-sensitive; no mailbox provider does, and relays change case on the way back.
pub fn normal(address: &str) -> Option<String> {
    if !address.ends_with('.') && plain(address).is_some() {
        return Some(address.to_ascii_lowercase());
    }
    let bare = address.trim().trim_start_matches('<').trim_end_matches('>').trim().trim_end_matches('.');
    split(bare).map(|_| bare.to_lowercase())
}

/// The domain of a normal address.
pub fn domain(address: &str) -> Option<&str> {
    split(address).map(|(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        assert_eq!(normal(" <Alice@Example.ORG.> ").as_deref(), Some("alice@example.org"));
        assert_eq!(normal("\"john doe\"@example.org").as_deref(), Some("\"john doe\"@example.org"));
        assert_eq!(normal("jörg@exämple.de").as_deref(), Some("jörg@exämple.de"));
        for bad in ["", "@", "a@", "@b", "a b@c", "a@b@c", "a\u{0}@b", "no address"] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
    }
}

//! A post's URL: literal up to the end of its host, values in the rest percent-encoded. Pure.

use std::fmt::Write as _;

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A name or value of `application/x-www-form-urlencoded`: as [`encode`], with `+` for the space.
pub fn encode_form(text: &str) -> String {
    encode(text).replace("%20", "+")
}

/// Whether a source may be a post's URL: http or https, and a host that no template decides.
pub fn check_source(source: &str) -> Result<(), String> {
    let authority = authority(source).ok_or("a URL begins with http:// or https://")?;
    if authority.contains(['{', '}']) {
        return Err("the host of a URL can't come from a template".to_owned());
    }
    if authority.contains('@') {
        return Err("a URL may hold no user name or password; send them as headers".to_owned());
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("the URL has no host".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().is_ok()),
        _ => (authority, true),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let known = match bare {
        Some(number) => number.parse::<std::net::Ipv6Addr>().is_ok(),
        // Names beyond ASCII are for the URL parser to turn into their ASCII form.
        None => host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !known || !port {
        return Err(format!("'{authority}' is no host and port"));
    }
    if source.chars().any(char::is_control) {
        return Err("a URL may hold no control characters".to_owned());
    }
    Ok(())
}

/// A rendered URL, if the values have left its structure as the source has it.
pub fn check_rendered(source: &str, rendered: &str) -> Result<String, String> {
    check_source(source)?;
    if authority(source) != authority(rendered) {
        return Err("the values would change the URL's host".to_owned());
    }
    let path = rendered.split(['?', '#']).next().unwrap_or_default();
    // URL parsers take `.` and `..` for steps in the path even when they are percent-encoded.
    let steps = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(steps) {
        return Err("the values would change the URL's path".to_owned());
    }
    Ok(rendered.to_owned())
}

/// The part between `//` and the path, as written. A template tag ends it as well as it begins it.
fn authority(url: &str) -> Option<&str> {
    let (scheme, rest) = url.trim_start().split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    // A backslash is a slash to WHATWG URL parsers.
    known.then(|| rest.split(['/', '?', '#', '\\']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for good in ["https://app.example.com/b/{{ address }}", "http://127.0.0.1:8080", "https://[::1]:8080/?a={{ status }}"] {
            assert_eq!(check_source(good), Ok(()), "{good}");
        }
        for bad in [
            "ftp://example.com/",
            "example.com",
            "https://{{ domain }}/",
            "https://a{{ domain }}",
            "https://user:pass@example.com/",
            "https:///x",
            "https://:80/x",
            "https://exa mple.com/",
            "https://example.com:http/",
            "https://example.com:99999/",
            "https://[::g]/",
            "https://[::1/",
            "https://example.com/\nx",
            "{{ address }}",
            "",
        ] {
            assert!(check_source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_encoded_whole() {
        assert_eq!(encode("../a@b?c=d&e#f %\r\nü"), "..%2Fa%40b%3Fc%3Dd%26e%23f%20%25%0D%0A%C3%BC");
        assert_eq!(encode("A-z_0.9~"), "A-z_0.9~");
    }

    #[test]
    fn steps_in_the_path_are_refused() {
        let source = "https://example.com/a/{{ campaign }}/b";
        assert!(check_rendered(source, "https://example.com/a/../b").is_err());
        assert!(check_rendered(source, "https://example.com/a/%2E./b").is_err());
        assert!(check_rendered(source, "https://example.com/a/..%2Fx/b").is_ok());
        assert!(check_rendered(source, "https://evil.example/a/x/b").is_err());
    }
}

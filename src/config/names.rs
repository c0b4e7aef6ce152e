//! Domains, addresses, mailboxes and hosts as the configuration writes them, strictly. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::reader::{At, Table, nearest};
use crate::address;

/// A domain name (RFC 1123, section 2.1), lowercased.
pub fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !text.is_ascii() {
        return Err(format!("'{text}' has letters beyond ASCII; write its xn-- form"));
    }
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if text.len() > 253 || numeric || !text.split('.').all(label) {
        return Err(format!("'{text}' is no domain name; write it as \"returns.example.com\""));
    }
    Ok(text.to_ascii_lowercase())
}

/// `local@domain`, without a name or brackets.
pub fn address(text: &str) -> Result<String, String> {
    let bad = || format!("'{text}' is no mail address; write it as \"ops@example.com\"");
    let (local, host) = address::split(text).ok_or_else(bad)?;
    if local.len() > 64 || local.starts_with('.') || local.ends_with('.') || local.contains(['(', ')', '[', ']', '\\', ':']) {
        return Err(bad());
    }
    if host.is_ascii() {
        domain(host).map_err(|_| bad())?;
    }
    Ok(text.to_owned())
}

/// An address, or `Name <address>`; gives the address.
pub fn mailbox(text: &str) -> Result<String, String> {
    let Some((name, rest)) = text.split_once('<') else { return address(text.trim()) };
    let bad = || format!("'{text}' is no mailbox; write it as \"Bounce daemon <bounced@example.com>\"");
    let name = name.trim();
    let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
    let inner = if quoted { name.get(1..name.len() - 1).unwrap_or_default() } else { name };
    let special = |c: char| c.is_control() || c == '"' || c == '\\' || (!quoted && "()<>[]:;@,.".contains(c));
    if inner.contains(special) {
        return Err(format!("'{name}' must stand in quotes: \"\\\"{}\\\" <…>\"", inner.replace(['"', '\\'], "")));
    }
    address(rest.trim_end().strip_suffix('>').ok_or_else(bad)?)
}

/// What the operator calls a trigger, a sequence, a step, a report, a rule.
pub fn name(text: &str) -> Result<String, String> {
    let fits = (1..=100).contains(&text.len()) && !text.trim().is_empty() && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("must have 1 to 100 characters on one line".to_owned()) }
}

/// Not empty, without a line end.
pub fn line(text: &str) -> Result<String, String> {
    let fits = !text.trim().is_empty() && !text.contains(['\r', '\n']);
    if fits { Ok(text.to_owned()) } else { Err("must be one line with something in it".to_owned()) }
}

/// The name of one in a list; `taken` are those before it. `why` tells what hangs on it. One that has errors gives its text all the same, so
/// that a second of its name is noticed.
pub fn own<'a>(table: &Table<'a>, (what, example, why): (&str, &str, &str), taken: &[String]) -> Option<&'a str> {
    let at = table.need("name", example)?;
    let text = at.text()?;
    if at.parsed(name).is_some() && taken.iter().any(|other| other == text) {
        at.fail::<()>(format_args!("'{text}' is another {what}'s name already; {why}, so choose another"));
    }
    Some(text)
}

/// A name that must be there, written in `section`.
pub fn known<'n>(at: &At<'_>, names: impl IntoIterator<Item = &'n String>, what: &str, section: &str) -> Option<&'n str> {
    let (text, names): (_, Vec<&str>) = (at.text()?, names.into_iter().map(String::as_str).collect());
    if let Some(name) = names.iter().find(|name| **name == text) {
        return Some(name);
    }
    match nearest(text, names) {
        Some(near) => at.fail(format_args!("there is no {what} '{text}'; did you mean '{near}'?")),
        None => at.fail(format_args!("there is no {what} '{text}'; write it under {section}")),
    }
}

/// Whether a source is to be rendered, so that it can't be judged as written.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Where to listen.
pub fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no address and port; write it as \"[::]:25\" or \"127.0.0.1:2525\""))
}

/// `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| one()).map_err(|_| format!("'{text}' is no network; write it as \"10.0.0.0/8\" or \"fd00::/8\""))
}

/// `host`, `host:port`, `[::1]:port`.
pub fn host_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let bad = || format!("'{text}' is no host; write it as \"127.0.0.1:25\" or \"mail.example.com:587\"");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(bad)?)),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(default), |port| port.parse().ok().filter(|port| *port != 0).ok_or_else(bad))?;
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => domain(host).map_err(|_| bad())?,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        assert_eq!(domain("Returns.Example.COM").as_deref(), Ok("returns.example.com"));
        assert!(domain("localhost").is_ok());
        for bad in ["", ".", "a.", ".a", "a..b", "-a.b", "a_b.c", "192.0.2.1", "a b", "exämple.de", &"a.".repeat(130)] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mailboxes() {
        assert_eq!(mailbox("Bounce daemon <bounced@example.com>").as_deref(), Ok("bounced@example.com"));
        assert_eq!(mailbox("\"Ops, Inc.\" <ops@example.com>").as_deref(), Ok("ops@example.com"));
        assert_eq!(mailbox("Jörg <jörg@example.com>").as_deref(), Ok("jörg@example.com"));
        assert_eq!(mailbox("ops@example.com").as_deref(), Ok("ops@example.com"));
        for bad in ["", "ops", "ops@", "Ops, Inc. <ops@example.com>", "Ops <ops@example.com", "a@b.c, d@e.f", "Ops <>", "x\r\ny <a@b.c>"] {
            assert!(mailbox(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        assert_eq!(host_port("127.0.0.1:2525", 25), Ok(("127.0.0.1".into(), 2525)));
        assert_eq!(host_port("mail.example.com", 587), Ok(("mail.example.com".into(), 587)));
        assert_eq!(host_port("[::1]:25", 25), Ok(("::1".into(), 25)));
        assert_eq!(host_port("[::1]", 25), Ok(("::1".into(), 25)));
        for bad in ["", ":25", "a:b", "a:0", "a:99999", "[::1", "[::1]25", "a/b", "user@host"] {
            assert!(host_port(bad, 25).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(network("10.0.0.0/8").map(|net| net.to_string()).as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(network("::1").map(|net| net.to_string()).as_deref(), Ok("::1/128"));
        assert!(network("10.0.0.0/33").is_err());
    }
}

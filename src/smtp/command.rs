//! A whole command line → a command, or the reply that refuses it.
//!
//! Pure. The grammar is smtp-proto's; what it takes too lightly is asked here: octets, arguments of commands that have none, the bare
//! `postmaster` (it reads it as the null path), quotes in paths (it takes them off), sizes past 64 bits (it counts them from
//! anew), and the parameters of extensions that this host doesn't offer.

use smtp_proto::{Error, MAIL_BODY_BINARYMIME, MAIL_SMTPUTF8, Request};

use super::reply::{self, Reply};
use crate::address;

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Hello {
        extended: bool,
        host: String,
    },
    Mail {
        /// Without brackets and source route; empty for the null reverse-path.
        reverse_path: String,
        /// Octets, as the client declares; 0 where it doesn't.
        size: u64,
        smtputf8: bool,
    },
    Rcpt {
        /// Without brackets and source route.
        forward_path: String,
    },
    Data,
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    /// Bytes of a browser, perhaps made to speak SMTP by a page.
    Http,
}

/// Octets of a path with its brackets (RFC 5321, section 4.5.3.1.3).
const MAX_PATH: usize = 256;

/// Parses a line without its CRLF. A refused BDAT is [`reply::BAD_CHUNK_SIZE`]: what follows it may be a chunk, not commands.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let Ok(line) = std::str::from_utf8(line) else { return Err(reply::BAD_OCTETS) };
    if line.chars().any(char::is_control) {
        return Err(reply::BAD_OCTETS);
    }
    let mut words = line.split_ascii_whitespace();
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    match verb.as_str() {
        "MAIL" | "RCPT" => with_path(line),
        "BDAT" => chunk(words),
        "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Ok(Command::Http),
        "DATA" | "RSET" | "QUIT" | "STARTTLS" if words.next().is_some() => Err(reply::BAD_SYNTAX),
        _ => plain(line),
    }
}

fn plain(line: &str) -> Result<Command, Reply> {
    let line = format!("{line}\r\n");
    match Request::parse(&mut line.as_bytes().iter()).map_err(refusal)? {
        Request::Ehlo { host } => Ok(Command::Hello { extended: true, host: host.into_owned() }),
        Request::Helo { host } => Ok(Command::Hello { extended: false, host: host.into_owned() }),
        Request::Data => Ok(Command::Data),
        Request::Rset => Ok(Command::Rset),
        Request::Noop { .. } => Ok(Command::Noop),
        Request::Vrfy { .. } => Ok(Command::Vrfy),
        Request::Help { .. } => Ok(Command::Help),
        Request::Quit => Ok(Command::Quit),
        Request::StartTls => Ok(Command::StartTls),
        // LHLO is LMTP's; on an SMTP port it must not be known (RFC 2033, section 5).
        Request::Lhlo { .. } => Err(reply::UNKNOWN_COMMAND),
        _ => Err(reply::NOT_OFFERED),
    }
}

fn refusal(error: Error) -> Reply {
    match error {
        Error::UnknownCommand => reply::UNKNOWN_COMMAND,
        Error::InvalidSenderAddress => reply::BAD_SENDER,
        Error::InvalidRecipientAddress => reply::BAD_RECIPIENT,
        Error::UnsupportedParameter { .. } => reply::UNKNOWN_PARAMETER,
        _ => reply::BAD_SYNTAX,
    }
}

fn chunk<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Command, Reply> {
    let octets = words.next().and_then(decimal).ok_or(reply::BAD_CHUNK_SIZE)?;
    let last = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => true,
        _ => return Err(reply::BAD_CHUNK_SIZE),
    };
    Ok(Command::Bdat { octets, last })
}

/// Digits only: `u64`'s own parser takes a plus sign.
fn decimal(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn with_path(line: &str) -> Result<Command, Reply> {
    let (head, path, parameters) = split_path(line).ok_or(reply::BAD_SYNTAX)?;
    let parameters = Parameters::read(line, parameters)?;
    let asked = format!("{head}{}\r\n", parameters.kept);
    let bare_postmaster = path.eq_ignore_ascii_case("postmaster");
    match Request::parse(&mut asked.as_bytes().iter()).map_err(refusal)? {
        Request::Mail { .. } if !path.is_empty() && !is_address(path) => Err(reply::BAD_SENDER),
        Request::Mail { from } if from.flags & MAIL_BODY_BINARYMIME != 0 => Err(reply::UNKNOWN_PARAMETER),
        Request::Mail { from } => {
            Ok(Command::Mail { reverse_path: path.to_owned(), size: parameters.size, smtputf8: from.flags & MAIL_SMTPUTF8 != 0 })
        }
        Request::Rcpt { .. } if bare_postmaster || is_address(path) => Ok(Command::Rcpt { forward_path: path.to_owned() }),
        Request::Rcpt { .. } => Err(reply::BAD_RECIPIENT),
        _ => Err(reply::BAD_SYNTAX),
    }
}

fn is_address(path: &str) -> bool {
    path.len() + 2 <= MAX_PATH && address::split(path).is_some()
}

/// The line up to and with `>`, the path between the brackets less its source route, and what follows.
fn split_path(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.find('<')? + 1;
    let (mut quoted, mut escaped, mut route_end) = (false, false, None);
    for (at, c) in line.char_indices().skip_while(|&(at, _)| at < start) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            // RFC 5321, appendix C: the route is read over.
            ':' if !quoted && route_end.is_none() && line.get(start..)?.starts_with('@') => route_end = Some(at + 1),
            '>' if !quoted => return Some((line.get(..=at)?, line.get(route_end.unwrap_or(start)..at)?.trim(), line.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// The parameters of MAIL or RCPT. Those of DSN (RFC 3461) are tolerated though it isn't offered, since some send them unasked; they ask for
/// nothing that this host would do.
struct Parameters {
    /// For the grammar to judge.
    kept: String,
    size: u64,
}

impl Parameters {
    fn read(line: &str, text: &str) -> Result<Self, Reply> {
        if !text.is_empty() && !text.starts_with(' ') {
            return Err(reply::BAD_SYNTAX);
        }
        let mail = line.trim_start().get(..1).is_some_and(|first| first.eq_ignore_ascii_case("M"));
        let mut read = Self { kept: String::new(), size: 0 };
        let mut seen: Vec<String> = Vec::new();
        for parameter in text.split_ascii_whitespace() {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let key = key.to_ascii_uppercase();
            if seen.contains(&key) {
                return Err(reply::BAD_SYNTAX);
            }
            match (key.as_str(), mail) {
                ("SIZE", true) => read.size = size(value)?,
                ("BODY" | "SMTPUTF8", true) => {
                    read.kept.push(' ');
                    read.kept.push_str(parameter);
                }
                ("RET" | "ENVID", true) | ("NOTIFY" | "ORCPT", false) if !value.is_empty() => {}
                ("RET" | "ENVID", true) | ("NOTIFY" | "ORCPT", false) => return Err(reply::BAD_SYNTAX),
                _ => return Err(reply::UNKNOWN_PARAMETER),
            }
            seen.push(key);
        }
        Ok(read)
    }
}

/// RFC 1870, section 6: up to 20 digits; more than 64 bits is more than anybody takes.
fn size(digits: &str) -> Result<u64, Reply> {
    let valid = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if valid { Ok(digits.parse().unwrap_or(u64::MAX)) } else { Err(reply::BAD_SYNTAX) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(line: &str) -> (String, u64, bool) {
        match parse(line.as_bytes()) {
            Ok(Command::Mail { reverse_path, size, smtputf8 }) => (reverse_path, size, smtputf8),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn rcpt(line: &str) -> String {
        match parse(line.as_bytes()) {
            Ok(Command::Rcpt { forward_path }) => forward_path,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn reverse_paths() {
        assert_eq!(mail("MAIL FROM:<>"), (String::new(), 0, false));
        assert_eq!(mail("mail from: <> size=77 body=8bitmime smtputf8 "), (String::new(), 77, true));
        assert_eq!(mail("MAIL FROM:<a@b.test> RET=HDRS ENVID=x+2Dy").0, "a@b.test");
        assert_eq!(mail("MAIL FROM:<@r1.test,@r2.test:a@b.test>").0, "a@b.test");
        assert_eq!(mail("MAIL FROM:<\"a >\\\" b\"@b.test>").0, "\"a >\\\" b\"@b.test");
        assert_eq!(mail("MAIL FROM:<> SIZE=99999999999999999999").1, u64::MAX);
    }

    #[test]
    fn forward_paths() {
        assert_eq!(rcpt("RCPT TO:<b+c+alice=example.org@returns.test>"), "b+c+alice=example.org@returns.test");
        assert_eq!(rcpt("RCPT TO:<Postmaster>"), "Postmaster");
        assert_eq!(rcpt("RCPT TO:<a@b.test> NOTIFY=NEVER ORCPT=utf-8;\\x{f6}@b.test"), "a@b.test");
        assert_eq!(rcpt("RCPT TO:<jörg@b.test>"), "jörg@b.test");
    }

    #[test]
    fn refused_lines() {
        let long = format!("RCPT TO:<{}@b.test>", "a".repeat(250));
        let cases = [
            ("MAIL FROM:<postmaster>", reply::BAD_SENDER),
            ("MAIL FROM:<a@b@c>", reply::BAD_SENDER),
            ("MAIL FROM:a@b.test", reply::BAD_SYNTAX),
            ("MAIL FROM:<a@b.test", reply::BAD_SYNTAX),
            ("MAIL FROM:<>SIZE=1", reply::BAD_SYNTAX),
            ("MAIL FROM:<> SIZE=", reply::BAD_SYNTAX),
            ("MAIL FROM:<> SIZE=-1", reply::BAD_SYNTAX),
            ("MAIL FROM:<> SIZE=1 SIZE=2", reply::BAD_SYNTAX),
            ("MAIL FROM:<> BODY=9BIT", reply::BAD_SYNTAX),
            ("MAIL FROM:<> BODY=BINARYMIME", reply::UNKNOWN_PARAMETER),
            ("MAIL FROM:<> AUTH=<>", reply::UNKNOWN_PARAMETER),
            ("MAIL FROM:<> SMTPUTF8=1", reply::UNKNOWN_PARAMETER),
            ("MAIL FROM:<> NOTIFY=NEVER", reply::UNKNOWN_PARAMETER),
            ("MAIL TO:<>", reply::BAD_SYNTAX),
            ("RCPT TO:<>", reply::BAD_RECIPIENT),
            ("RCPT TO:<a@b.test> RRVS=1", reply::UNKNOWN_PARAMETER),
            ("RCPT TO:<a@b.test> NOTIFY", reply::BAD_SYNTAX),
            (&long, reply::BAD_RECIPIENT),
            ("EHLO", reply::BAD_SYNTAX),
            ("DATA now", reply::BAD_SYNTAX),
            ("STARTTLS x", reply::BAD_SYNTAX),
            ("BDAT", reply::BAD_CHUNK_SIZE),
            ("BDAT +5", reply::BAD_CHUNK_SIZE),
            ("BDAT 18446744073709551616", reply::BAD_CHUNK_SIZE),
            ("BDAT 5 FIRST", reply::BAD_CHUNK_SIZE),
            ("LHLO x", reply::UNKNOWN_COMMAND),
            ("AUTH PLAIN", reply::NOT_OFFERED),
            ("EXPN list", reply::NOT_OFFERED),
            ("MAILX FROM:<>", reply::UNKNOWN_COMMAND),
            ("", reply::UNKNOWN_COMMAND),
            ("NOOP\u{0}", reply::BAD_OCTETS),
            ("NOOP \u{85}", reply::BAD_OCTETS),
        ];
        for (line, want) in cases {
            assert_eq!(parse(line.as_bytes()), Err(want), "{line:?}");
        }
        assert_eq!(parse(b"NOOP \xff"), Err(reply::BAD_OCTETS));
    }

    proptest! {
        #[test]
        fn no_line_brings_it_down(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn no_likely_line_brings_it_down(verb in "(MAIL FROM|RCPT TO|BDAT|EHLO|NOOP|VRFY|AUTH|ETRN|ATRN|BURL)", rest in "[ :<>@\"\\\\a.=;,0-9+é-]{0,60}") {
            if let Ok(Command::Rcpt { forward_path }) = parse(format!("{verb}{rest}").as_bytes()) {
                prop_assert!(!forward_path.is_empty());
            }
        }
    }
}

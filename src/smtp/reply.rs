//! The replies: code, enhanced status code (RFC 2034, RFC 3463) and text.
//!
//! Pure. Nothing a client sent is ever in them; what comes from the configuration or the handler loses its control characters.

use std::{borrow::Cow, fmt::Write as _};

use crate::intake::{Failure, Refusal};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Empty for the greeting, the answer to EHLO and HELO, and 354 (RFC 2034, section 4).
    pub enhanced: &'static str,
    pub text: Cow<'static, str>,
}

const fn reply(code: u16, enhanced: &'static str, text: &'static str) -> Reply {
    Reply { code, enhanced, text: Cow::Borrowed(text) }
}

pub const OK: Reply = reply(250, "2.0.0", "OK");
pub const SENDER_OK: Reply = reply(250, "2.1.0", "sender OK");
pub const RECIPIENT_OK: Reply = reply(250, "2.1.5", "recipient OK");
pub const CHUNK_OK: Reply = reply(250, "2.0.0", "chunk taken");
pub const BYE: Reply = reply(221, "2.0.0", "bye");
pub const HELP: Reply = reply(214, "2.0.0", "this host takes bounces only; see RFC 5321");
pub const CANNOT_VERIFY: Reply = reply(252, "2.0.0", "cannot verify; RCPT will tell");
pub const START_TLS: Reply = reply(220, "2.0.0", "ready to start TLS");
pub const START_DATA: Reply = reply(354, "", "end data with <CR><LF>.<CR><LF>");

pub const TOO_MANY_ERRORS: Reply = reply(421, "4.7.0", "too many errors, closing");
pub const TOO_MANY_CONNECTIONS: Reply = reply(421, "4.7.0", "too many connections, try again later");
pub const TOO_MANY_FROM_YOU: Reply = reply(421, "4.7.0", "too many connections from your network, try again later");
pub const TOO_MANY_GUESSES: Reply = reply(421, "4.7.0", "too many wrong recipients from your network, try again later");
pub const TALKED_EARLY: Reply = reply(421, "4.7.0", "you spoke before the greeting, closing");
pub const STOPPING: Reply = reply(421, "4.3.2", "service shutting down, try again later");
pub const TIMEOUT: Reply = reply(421, "4.4.2", "timeout, closing");
pub const NOT_HTTP: Reply = reply(421, "4.7.0", "this is an SMTP service, closing");

pub const NO_ROOM: Reply = reply(452, "4.3.1", "not enough room on disk, try again later");
pub const NO_MEMORY: Reply = reply(452, "4.3.1", "not enough memory, try again later");
pub const TOO_MANY_RECIPIENTS: Reply = reply(452, "4.5.3", "too many recipients, send the others in another mail");

pub const BARE_LINE_END: Reply = reply(500, "5.5.2", "a line ends with CRLF; bare CR or LF refused, closing");
pub const LINE_TOO_LONG: Reply = reply(500, "5.5.2", "line too long");
pub const BAD_OCTETS: Reply = reply(500, "5.5.2", "control character or invalid UTF-8 in command");
pub const UNKNOWN_COMMAND: Reply = reply(500, "5.5.1", "command not recognised");
pub const BAD_SYNTAX: Reply = reply(501, "5.5.4", "syntax error in arguments");
pub const BAD_CHUNK_SIZE: Reply = reply(501, "5.5.4", "chunk size not understood, closing");
pub const BAD_SENDER: Reply = reply(501, "5.1.7", "bad sender address syntax");
pub const BAD_RECIPIENT: Reply = reply(501, "5.1.3", "bad recipient address syntax");
pub const NOT_OFFERED: Reply = reply(502, "5.5.1", "command not implemented");
pub const HELLO_FIRST: Reply = reply(503, "5.5.1", "say EHLO first");
pub const MAIL_FIRST: Reply = reply(503, "5.5.1", "say MAIL first");
pub const RCPT_FIRST: Reply = reply(503, "5.5.1", "say RCPT first");
pub const NESTED_MAIL: Reply = reply(503, "5.5.1", "a mail is already under way");
pub const CHUNKS_UNDER_WAY: Reply = reply(503, "5.5.1", "BDAT is under way; finish with LAST or say RSET");
pub const TLS_ALREADY: Reply = reply(503, "5.5.1", "TLS is already in use");
pub const TOO_BIG: Reply = reply(552, "5.3.4", "mail is bigger than is taken here");
pub const NEEDS_SMTPUTF8: Reply = reply(553, "5.6.7", "address is not ASCII and SMTPUTF8 was not asked for");
pub const NO_VALID_RECIPIENTS: Reply = reply(554, "5.5.1", "no valid recipients");
pub const UNKNOWN_PARAMETER: Reply = reply(555, "5.5.4", "parameter not recognised or not implemented");

/// Ids written out in a 250; a reply line has at most 512 octets (RFC 5321, section 4.5.3.1.5).
const MAX_IDS: usize = 16;

impl Reply {
    /// For things that another server may mend by itself: 4yz.
    pub fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        for part in [self.enhanced, &self.text] {
            if !part.is_empty() {
                out.push(b' ');
                out.extend(part.bytes().filter(|b| !b.is_ascii_control()));
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

pub fn greeting(hostname: &str) -> Reply {
    Reply { code: 220, enhanced: "", text: format!("{hostname} ESMTP bounced").into() }
}

/// The answer to HELO.
pub fn hello(hostname: &str) -> Reply {
    Reply { code: 250, enhanced: "", text: hostname.to_owned().into() }
}

/// The answer to EHLO. DSN isn't offered: who offers it must send reports (RFC 3461, section 4.1), and this host sends none.
pub fn extended_hello(hostname: &str, max_message_bytes: usize, starttls: bool, out: &mut Vec<u8>) {
    let size = format!("SIZE {max_message_bytes}");
    let mut lines = vec![hostname, "PIPELINING", &size, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
    if starttls {
        lines.push("STARTTLS");
    }
    for line in lines {
        out.extend_from_slice(b"250-");
        out.extend(line.bytes().filter(|b| !b.is_ascii_control()));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"250 CHUNKING\r\n");
}

pub fn recorded(ids: &[u64]) -> Reply {
    let mut text = String::from(if ids.is_empty() { "taken" } else { "recorded as" });
    for id in ids.iter().take(MAX_IDS) {
        // Writing to a String can't fail.
        let _ = write!(text, " {id}");
    }
    if ids.len() > MAX_IDS {
        let _ = write!(text, " and {} more", ids.len() - MAX_IDS);
    }
    Reply { code: 250, enhanced: "2.0.0", text: text.into() }
}

pub fn refused(why: Refusal) -> Reply {
    let (code, enhanced) = match why {
        Refusal::NotOurs | Refusal::BadSignature => (550, "5.7.1"),
        Refusal::Malformed => (550, "5.1.1"),
    };
    Reply { code, enhanced, text: why.to_string().into() }
}

pub fn failed(why: &Failure) -> Reply {
    let (code, enhanced) = match why {
        Failure::Loop => (554, "5.4.6"),
        Failure::Unavailable => (451, "4.3.0"),
    };
    Reply { code, enhanced, text: why.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line_each() {
        assert_eq!(text(&OK), "250 2.0.0 OK\r\n");
        assert_eq!(text(&START_DATA), "354 end data with <CR><LF>.<CR><LF>\r\n");
        assert_eq!(text(&greeting("mx\r\n250 evil")), "220 mx250 evil ESMTP bounced\r\n");
    }

    #[test]
    fn many_ids_stay_within_a_reply_line() {
        assert_eq!(text(&recorded(&[7])), "250 2.0.0 recorded as 7\r\n");
        assert_eq!(text(&recorded(&[])), "250 2.0.0 taken\r\n");
        let long = text(&recorded(&[u64::MAX; 100]));
        assert!(long.len() <= 512 && long.ends_with("and 84 more\r\n"), "{long}");
    }
}

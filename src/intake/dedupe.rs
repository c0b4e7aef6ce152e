//! The key by which a resent mail is known: the envelope recipient, the person, and the mail less its trace fields.
//!
//! A sender that never saw our 250 tries again, perhaps by another relay: what relays add on the way must not make a new mail of it. Line ends
//! don't count either, so that a mail imported from a file is the one that came by SMTP.

use sha2::{Digest, Sha256};

/// Fields that relays and delivery agents add in transit (RFC 5321 trace fields, RFC 8601, RFC 8617, RFC 7208 and delivery agents' habits).
const TRACE: [&str; 10] = [
    "received",
    "return-path",
    "delivered-to",
    "x-original-to",
    "x-received",
    "authentication-results",
    "received-spf",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
];

/// 128 bits of SHA-256. `person` tells apart the events that one mail at a plain address makes for several people; `content` is
/// [`content`]'s, made once however many there are.
pub fn key(rcpt: &str, person: &str, content: &[u8; 32]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [rcpt, person] {
        let folded = part.to_lowercase();
        hash.update((folded.len() as u64).to_be_bytes());
        hash.update(folded.as_bytes());
    }
    hash.update(content);
    let digest = hash.finalize();
    let mut key = [0; 16];
    key.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    key
}

/// SHA-256 of the mail less its trace fields.
pub fn content(raw: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut in_header = true;
    let mut skipping = false;
    let mut blank = 0u64;
    for line in raw.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if in_header {
            if line.is_empty() {
                in_header = false;
            } else if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                if skipping {
                    continue;
                }
            } else {
                skipping = is_trace(line);
                if skipping {
                    continue;
                }
            }
        }
        // Blank lines count only once something follows them: mail programs add and take away those at the end.
        if line.is_empty() {
            blank += 1;
            continue;
        }
        hash.update(blank.to_be_bytes());
        blank = 0;
        hash.update(line);
        hash.update(b"\n");
    }
    hash.finalize().into()
}

fn is_trace(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    TRACE.iter().any(|trace| name.eq_ignore_ascii_case(trace.as_bytes()))
}

#[cfg(test)]
mod tests {
    fn key(rcpt: &str, person: &str, raw: &[u8]) -> [u8; 16] {
        super::key(rcpt, person, &super::content(raw))
    }

    const MAIL: &[u8] = b"From: a@example.org\r\nSubject: x\r\n\r\nReceived: in the body counts\r\n\r\nend\r\n";

    #[test]
    fn what_relays_add_makes_no_new_mail() {
        let first = key("b@example.com", "", MAIL);
        let relayed = [b"Received: from x by y\r\n\tfor <b@example.com>; now\r\nReturn-Path: <>\r\n".as_slice(), MAIL].concat();
        assert_eq!(first, key("B@EXAMPLE.com", "", &relayed));
        let unix = String::from_utf8_lossy(MAIL).replace("\r\n", "\n");
        assert_eq!(first, key("b@example.com", "", unix.as_bytes()));
        assert_eq!(first, key("b@example.com", "", &[MAIL, b"\r\n\r\n"].concat()));
    }

    #[test]
    fn what_differs_is_another_mail() {
        let first = key("b@example.com", "", MAIL);
        assert_ne!(first, key("c@example.com", "", MAIL));
        assert_ne!(first, key("b@example.com", "p@example.org", MAIL));
        let text = String::from_utf8_lossy(MAIL).into_owned();
        for other in [
            text.replace("in the body", "in a body"),
            text.replace("Subject: x", "Subject: y"),
            text.replace("\r\n\r\nend", "\r\n\r\n\r\nend"),
        ] {
            assert_ne!(first, key("b@example.com", "", other.as_bytes()), "{other:?}");
        }
    }
}

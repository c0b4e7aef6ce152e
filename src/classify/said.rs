//! What a server said, within what a notice says about it.
//!
//! A notice wraps the reply that it got in sentences of its own ("it was rejected by the server for the recipient domain"); the reply alone is
//! the cause. It begins at an SMTP reply code, or after words that announce it, and ends with its paragraph.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::reply;

/// The longest reply that is taken, in octets.
const MAX_REPLY: usize = 4096;

/// Words that announce a reply, as Postfix, qmail, Exchange, CommuniGate, Google and many others have them.
static ANNOUNCED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?-u:\b)(?:",
        r"(?:host|server|system|mta|site|remote)(?-u:\b)[^:\n]{0,80}(?-u:\b)(?:said|says|replied|returned|responded|answered|reported|reports)",
        r"|reason(?: for (?:the )?(?:failure|rejection|return))?|because|(?:error|diagnostic) (?:message|text|code|details?)|smtp error",
        r"|(?:response|answer|reply|error)[^:\n]{0,60}(?: was| is|returned)",
        r")(?: is| was)?(?:[ \t]*:\s*|[ \t]+')"
    ))
    .ok()
});

/// The reply that a text quotes: where it stands.
fn place(text: &str) -> Option<Range<usize>> {
    let coded = reply::first_code(text);
    let announced = || ANNOUNCED.as_ref()?.find(text).map(|found| found.end());
    let start = coded.or_else(announced)?;
    let rest = super::text::cut(text.get(start..)?, MAX_REPLY);
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if end > 0 && ends(line) {
            break;
        }
        end += line.len();
    }
    let fits = rest.get(..end).is_some_and(|reply| reply.chars().filter(|c| c.is_alphanumeric()).count() > 2);
    fits.then_some(start..start + end)
}

/// A line that is no more of the reply: a blank one, the dialogue going on, the notice speaking again.
fn ends(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    line.is_empty()
        || ["giving up on", ">>>", "-->", "---", "===", "i'm not going to", "original message"].iter().any(|start| line.starts_with(start))
        || line.contains("--> ")
}

/// What the server said.
pub fn reply(text: &str) -> Option<&str> {
    text.get(place(text)?)
}

/// The notice's own words: the lines on which an SMTP reply stands are left out, from its code on.
pub fn without_replies(text: &str) -> String {
    let mut own = String::with_capacity(text.len());
    for line in text.lines() {
        let end = reply::first_code(line).unwrap_or(line.len());
        own.push_str(line.get(..end).unwrap_or_default());
        own.push('\n');
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_in_notices() {
        let cases = [
            ("it was rejected by mx.example.org.\n\nThe error that the other server returned was:\n550 no such user", "550 no such user"),
            ("mx.example.org rejected it.\nRemote Server returned '550 5.1.1 unknown'\n\nHeaders:", "550 5.1.1 unknown'\n"),
            ("does not like recipient.\nRemote host said: 550 unknown\nGiving up on 192.0.2.7.", "550 unknown\n"),
            ("was not delivered to:\n\n  a@example.org\n\nbecause:\n\n  User not listed\n", "User not listed\n"),
            ("Reason: mailbox full", "mailbox full"),
            ("The answer of the receiving server was:\n\n  550 no\n  such user\n\nbye", "550 no\n  such user\n"),
            ("11:00:01: <-- 550 no such user\n11:00:01: --> QUIT", "550 no such user\n"),
        ];
        for (text, want) in cases {
            assert_eq!(reply(text), Some(want), "{text}");
        }
        assert_eq!(reply("I am away until 24 December."), None);
    }

    #[test]
    fn a_notice_has_words_of_its_own() {
        assert_eq!(without_replies("It failed:\n  said: 451 message delayed\nSorry."), "It failed:\n  said: \nSorry.\n");
    }
}

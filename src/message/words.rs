//! The human-readable words of a mail, read when they are first asked for: of a report whose fields say all, nobody asks.

use std::{fmt, ops::Deref, sync::OnceLock};

use super::{parts::Part, prose};

/// Text with LF line ends, at most 64 KiB.
#[derive(Clone, Default)]
pub struct Words<'m> {
    text: OnceLock<String>,
    /// Of a delivery status whose original came back in a part of its own.
    unread: Vec<Part<'m>>,
}

impl<'m> Words<'m> {
    /// What stands in the text parts of a delivery status.
    pub(super) fn of_report(parts: Vec<Part<'m>>) -> Words<'m> {
        Words { text: OnceLock::new(), unread: parts }
    }
}

impl Words<'_> {
    /// The parts as they stand, where nobody has read them yet and words can be seen in them as they stand. HTML is dear to read, and no MTA tells
    /// in it alone what its session was like: there it is enough that most words can be seen.
    pub fn unread(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let seen = |part: &Part<'_>| match part.kind.encoding.as_str() {
            "" | "7bit" | "8bit" => true,
            "quoted-printable" => part.kind.is_html(),
            _ => false,
        };
        let unread = self.text.get().is_none() && self.unread.iter().all(seen);
        unread.then(|| self.unread.iter().map(|part| part.body))
    }
}

/// Should a library panic over the parts, there are no words.
impl Deref for Words<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        let read = || prose::of_report(&self.unread);
        self.text.get_or_init(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_default())
    }
}

impl<S: Into<String>> From<S> for Words<'_> {
    fn from(text: S) -> Self {
        Words { text: OnceLock::from(text.into()), unread: Vec::new() }
    }
}

impl PartialEq for Words<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

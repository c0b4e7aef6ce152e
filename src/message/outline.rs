//! What the parts of a mail were taken for: the steps of [`super::read`], for people to follow.

use super::{Reader, Report, parts::Part, text, whole};

/// So many octets of a part's text are shown.
const MAX_TEXT: usize = 512 * 1024;

/// What a part was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A delivery status with so many recipients.
    Status(usize),
    Feedback,
    Disposition,
    /// The returned original: nothing in it counts.
    Original,
    /// Words for people.
    Text,
    /// Another version of words that were read, an attachment, or nothing that tells anything.
    Nothing,
}

/// One leaf of a mail's structure.
#[derive(Debug, Clone, PartialEq)]
pub struct PartSeen {
    /// In lower case; empty where none was given.
    pub mime: String,
    pub charset: Option<String>,
    /// In lower case; empty where none was given.
    pub encoding: String,
    /// Where its content stands in the raw mail, in octets.
    pub range: std::ops::Range<usize>,
    pub taken: Taken,
    /// Its content as text with LF line ends, at most 512 KiB; empty for the original.
    pub text: String,
}

/// How far the reading of a mail has come.
pub(super) struct State {
    recipients: usize,
    status: bool,
    feedback: bool,
    disposition: bool,
    returned: bool,
    texts: usize,
}

/// Reads one mail as [`super::read`] does, and tells what each part was taken for. Should a library panic over it, no parts are told.
pub fn outline(raw: &[u8]) -> (Report<'_>, Vec<PartSeen>) {
    let read = || {
        let mut parts = Vec::new();
        let report = whole(raw, true, &mut |part, taken| parts.push(seen(raw, part, taken)));
        (report, parts)
    };
    std::panic::catch_unwind(read).unwrap_or_else(|_| (super::read(raw), Vec::new()))
}

fn seen(raw: &[u8], part: &Part<'_>, taken: Taken) -> PartSeen {
    // The body is a slice of the raw mail.
    let start = (part.body.as_ptr() as usize).saturating_sub(raw.as_ptr() as usize).min(raw.len());
    PartSeen {
        mime: text::fact(&part.kind.mime).unwrap_or_default(),
        charset: part.kind.charset.as_deref().and_then(text::fact),
        encoding: text::fact(&part.kind.encoding).unwrap_or_default(),
        range: start..start.saturating_add(part.body.len()).min(raw.len()),
        taken,
        text: if taken == Taken::Original { String::new() } else { part.text(MAX_TEXT) },
    }
}

impl Reader<'_, '_> {
    pub(super) fn state(&self) -> State {
        State {
            recipients: self.report.recipients.len(),
            status: self.status_seen,
            feedback: self.report.feedback.is_some(),
            disposition: self.report.disposition.is_some(),
            returned: self.returned.is_some(),
            texts: self.texts.taken(),
        }
    }

    /// What the part that was read since then was taken for.
    pub(super) fn since(&self, before: State) -> Taken {
        let now = self.state();
        if now.returned && !before.returned {
            Taken::Original
        } else if now.feedback && !before.feedback {
            Taken::Feedback
        } else if now.disposition && !before.disposition {
            Taken::Disposition
        } else if now.recipients > before.recipients || now.status && !before.status {
            Taken::Status(now.recipients.saturating_sub(before.recipients))
        } else if now.texts > before.texts {
            Taken::Text
        } else {
            Taken::Nothing
        }
    }
}

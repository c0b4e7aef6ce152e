//! The returned original: what its header says, wherever it stands.

use std::borrow::Cow;

use super::{
    fields::{self, Fields},
    header, mailbox,
    report::Original,
    text::{self, Lines},
};

/// The header of an original is read up to so many octets.
pub const MAX_OCTETS: usize = 256 * 1024;

/// Fields of the original that can name the person, the campaign or the way back, beside all `X-` fields.
const KEPT: [&str; 10] = [
    "delivered-to",
    "envelope-to",
    "errors-to",
    "sender",
    "reply-to",
    "list-id",
    "list-unsubscribe",
    "auto-submitted",
    "feedback-id",
    "precedence",
];

/// The same of a part's content.
pub fn read_part<'m>(content: Cow<'m, [u8]>) -> Option<Original<'m>> {
    match content {
        Cow::Borrowed(content) => read(content),
        Cow::Owned(content) => read(&content).map(Original::into_owned),
    }
}

/// Reads the header at the start of `content`. `None` where no mail header stands there.
pub fn read(content: &[u8]) -> Option<Original<'_>> {
    let content = text::head(content, MAX_OCTETS);
    let first = Lines::new(content, 0).find(|line| !text::is_blank(line.text))?;
    if !first.text.starts_with(b" ") && !first.text.starts_with(b"\t") {
        return from_fields(&fields::header_block(content, 0).0);
    }
    // Some indent what they return: the indentation of the first line is taken off all.
    let indent = first.text.len() - first.text.trim_ascii_start().len();
    let mut plain = Vec::with_capacity(content.len());
    for line in Lines::new(content, first.start) {
        let (lead, own) = line.text.split_at_checked(indent).unwrap_or((line.text, b""));
        plain.extend_from_slice(if text::is_blank(lead) { own } else { line.text });
        plain.push(b'\n');
    }
    from_fields(&fields::header_block(&plain, 0).0).map(Original::into_owned)
}

/// Reads the original whose header took the place of its part's own.
pub fn in_part_header<'m>(fields: &Fields<'m>) -> Option<Original<'m>> {
    let known = ["received", "return-path", "from", "to", "subject", "date", "message-id"].iter().filter(|name| fields.has(name));
    if known.count() >= 3 { from_fields(fields) } else { None }
}

/// Takes the facts out of header fields; `None` where none of them is a mail's.
pub fn from_fields<'m>(fields: &Fields<'m>) -> Option<Original<'m>> {
    let original = Original {
        message_id: fields.all("message-id").find_map(|value| fields::message_id(&value)),
        subject: fields.all("subject").find_map(fields::unstructured).map(Cow::into_owned),
        return_path: fields.all("return-path").find_map(|value| mailbox::path(&value)),
        from: header::addresses(fields, "from"),
        to: header::addresses(fields, "to"),
        other: header::other(fields, |field| field.begins("x-") || KEPT.iter().any(|name| field.is(name))),
    };
    (original != Original::default()).then_some(original)
}

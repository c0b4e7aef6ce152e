//! The returned original: what its header says, wherever it stands.

use super::{
    fields::{self, Fields, MAX_ADDRESSES},
    header,
    report::Original,
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

/// Reads the header at the start of `content`. `None` where no mail header stands there.
pub fn read(content: &[u8]) -> Option<Original> {
    let (fields, _) = fields::header_block(super::text::head(content, MAX_OCTETS), 0);
    from_fields(&fields)
}

/// Takes the facts out of header fields; `None` where none of them is a mail's.
pub fn from_fields(fields: &Fields) -> Option<Original> {
    let list = |name: &str| -> Vec<String> { fields.all(name).flat_map(fields::addresses).take(MAX_ADDRESSES).collect() };
    let original = Original {
        message_id: fields.all("message-id").find_map(fields::message_id),
        subject: fields.all("subject").find_map(fields::unstructured),
        return_path: fields.all("return-path").find_map(fields::path),
        from: list("from"),
        to: list("to"),
        other: header::other(fields, |name| KEPT.contains(&name) || name.starts_with("x-")),
    };
    (original != Original::default()).then_some(original)
}

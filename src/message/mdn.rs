//! Message disposition notifications, RFC 8098, section 3.

use super::{dsn, fields, report::Disposition, text};

const FIELDS: [&str; 4] = ["original-recipient", "final-recipient", "original-message-id", "disposition"];

/// Reads the fields of a `message/disposition-notification`.
pub fn read(status: &str) -> Disposition {
    let mut found = Disposition::default();
    for field in fields::groups(status).into_iter().flat_map(|group| group.0) {
        let value = field.value();
        let value = &*value;
        match field.among(&FIELDS) {
            "original-recipient" => found.original_recipient = found.original_recipient.or_else(|| dsn::typed_address(value)),
            "final-recipient" => found.final_recipient = found.final_recipient.or_else(|| dsn::typed_address(value)),
            "original-message-id" => found.original_message_id = found.original_message_id.or_else(|| fields::message_id(value)),
            "disposition" => found.kind = found.kind.or_else(|| kind(value)),
            _ => {}
        }
    }
    found
}

/// `manual-action/MDN-sent-manually; displayed/error` → `displayed`.
fn kind(value: &str) -> Option<String> {
    let word = value.rsplit(';').next()?.split(['/', ',']).next()?;
    text::fact(word).map(|word| word.to_ascii_lowercase())
}

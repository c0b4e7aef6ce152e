//! The arriving mail's own header.

use super::{
    fields::{self, Fields, MAX_ADDRESSES, MAX_REPEATED},
    report::Header,
    text,
};

/// So many other fields are kept, each cut at so many octets.
const MAX_OTHER: usize = 100;
const MAX_OTHER_OCTETS: usize = 1000;

/// Fields that are bulky, repeated, and tell nothing of the mail's meaning.
const PASSED_OVER: [&str; 14] = [
    "received",
    "dkim-signature",
    "domainkey-signature",
    "x-google-dkim-signature",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
    "authentication-results",
    "received-spf",
    "x-received",
    "x-gm-message-state",
    "x-google-smtp-source",
    "x-ms-exchange-antispam-messagedata",
    "x-microsoft-antispam-message-info",
];

/// Fields that have a place of their own in [`Header`].
const PLACED: [&str; 11] = [
    "message-id",
    "subject",
    "from",
    "reply-to",
    "to",
    "return-path",
    "auto-submitted",
    "precedence",
    "x-failed-recipients",
    "in-reply-to",
    "content-transfer-encoding",
];

/// Takes the facts out of the header fields.
pub fn read(fields: &Fields) -> Header {
    let list =
        |name: &str| -> Vec<String> { fields.all(name).take(MAX_REPEATED).flat_map(fields::addresses).take(MAX_ADDRESSES).collect() };
    let word = |name: &str| fields.all(name).find_map(fields::unstructured);
    Header {
        message_id: fields.all("message-id").find_map(fields::message_id),
        subject: word("subject"),
        from: list("from"),
        from_name: fields.get("from").and_then(fields::display_name),
        reply_to: list("reply-to"),
        to: list("to"),
        return_path: fields.all("return-path").find_map(fields::path),
        auto_submitted: word("auto-submitted").map(|value| value.to_ascii_lowercase()),
        precedence: word("precedence").map(|value| value.to_ascii_lowercase()),
        failed_recipients: failed_recipients(fields),
        in_reply_to: fields.all("in-reply-to").flat_map(fields::message_ids).take(20).collect(),
        other: other(fields, |name| !PLACED.contains(&name) && !PASSED_OVER.contains(&name)),
        received: fields.all("received").count(),
    }
}

/// Exim's list of whom it gave up, several to a field or several fields.
fn failed_recipients(fields: &Fields) -> Vec<String> {
    let mut failed: Vec<String> = Vec::new();
    for address in fields.all("x-failed-recipients").flat_map(|value| value.split(',')).filter_map(fields::bare_address) {
        if failed.len() < MAX_ADDRESSES && !failed.contains(&address) {
            failed.push(address);
        }
    }
    failed
}

/// The wanted fields with their decoded values, bounded.
pub fn other(fields: &Fields, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let decoded = |field: &fields::Field| {
        let mut value = fields::unstructured(&field.value)?;
        text::cut(&mut value, MAX_OTHER_OCTETS);
        Some((field.name.clone(), value))
    };
    fields.0.iter().filter(|field| wanted(&field.name)).filter_map(decoded).take(MAX_OTHER).collect()
}

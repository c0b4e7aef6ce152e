//! The arriving mail's own header.

use std::borrow::Cow;

use super::{
    fields::{self, Field, Fields, MAX_ADDRESSES, MAX_REPEATED},
    mailbox,
    report::{Header, OtherField},
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
pub fn read<'m>(fields: &Fields<'m>) -> Header<'m> {
    let word = |name: &str| fields.all(name).find_map(fields::unstructured).map(Cow::into_owned);
    let list = |name: &str| addresses(fields, name);
    Header {
        message_id: fields.all("message-id").find_map(|value| fields::message_id(&value)),
        subject: word("subject"),
        from: list("from"),
        from_name: fields.get("from").and_then(|value| mailbox::display_name(&value)),
        reply_to: list("reply-to"),
        to: list("to"),
        return_path: fields.all("return-path").find_map(|value| mailbox::path(&value)),
        auto_submitted: word("auto-submitted").map(|value| value.to_ascii_lowercase()),
        precedence: word("precedence").map(|value| value.to_ascii_lowercase()),
        failed_recipients: failed_recipients(fields),
        in_reply_to: fields.all("in-reply-to").flat_map(|value| fields::message_ids(&value)).take(20).collect(),
        other: other(fields, |field| !PLACED.into_iter().chain(PASSED_OVER).any(|name| field.is(name))),
        received: fields.0.iter().filter(|field| field.is("received")).count(),
    }
}

/// The addresses of all fields of a name.
pub fn addresses(fields: &Fields<'_>, name: &str) -> Vec<String> {
    fields.all(name).take(MAX_REPEATED).flat_map(|value| mailbox::addresses(&value)).take(MAX_ADDRESSES).collect()
}

/// Exim's list of whom it gave up, several to a field or several fields.
fn failed_recipients(fields: &Fields<'_>) -> Vec<String> {
    let mut failed: Vec<String> = Vec::new();
    for value in fields.all("x-failed-recipients") {
        for address in value.split(',').filter_map(mailbox::bare_address) {
            if failed.len() < MAX_ADDRESSES && !failed.contains(&address) {
                failed.push(address);
            }
        }
    }
    failed
}

/// The wanted fields with their decoded values, bounded.
pub fn other<'m>(fields: &Fields<'m>, wanted: impl Fn(&Field<'_>) -> bool) -> Vec<OtherField<'m>> {
    let decoded = |field: &Field<'m>| {
        let value = match fields::unstructured(field.value())? {
            Cow::Borrowed(value) => Cow::Borrowed(text::cut_at(value, MAX_OTHER_OCTETS)),
            Cow::Owned(mut value) => {
                text::cut(&mut value, MAX_OTHER_OCTETS);
                Cow::Owned(value)
            }
        };
        Some((Cow::Borrowed(field.name()), value))
    };
    fields.0.iter().filter(|field| wanted(field)).filter_map(decoded).take(MAX_OTHER).collect()
}

//! Feedback reports, RFC 5965, section 3.

use super::{
    fields::{self, MAX_ADDRESSES},
    mailbox,
    report::Feedback,
    text,
};

const FIELDS: [&str; 5] = ["feedback-type", "original-mail-from", "original-rcpt-to", "removal-recipient", "user-agent"];

/// Reads the fields of a `message/feedback-report`.
pub fn read(status: &str) -> Feedback {
    let mut found = Feedback::default();
    for field in fields::groups(status).into_iter().flat_map(|group| group.0) {
        let value = field.value();
        let value = &*value;
        match field.among(&FIELDS) {
            "feedback-type" => {
                found.feedback_type = found.feedback_type.or_else(|| text::fact(value).map(|word| word.to_ascii_lowercase()))
            }
            "original-mail-from" => found.original_mail_from = found.original_mail_from.or_else(|| mailbox::path(value)),
            "original-rcpt-to" => add(&mut found.original_rcpt_to, value),
            "removal-recipient" => add(&mut found.removal_recipient, value),
            "user-agent" => found.user_agent = found.user_agent.or_else(|| text::fact(value)),
            _ => {}
        }
    }
    found
}

fn add(list: &mut Vec<String>, value: &str) {
    for piece in value.split(',') {
        let Some(address) = mailbox::bare_address(piece) else { continue };
        if list.len() < MAX_ADDRESSES && !list.contains(&address) {
            list.push(address);
        }
    }
}

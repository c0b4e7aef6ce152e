//! Delivery status notifications, RFC 3464 and RFC 6533, as they really come: groups that lost their blank lines or got too many, fields twice,
//! message and recipient fields in one group.

use super::{
    fields::{self, Field},
    mailbox,
    report::{RecipientFields, Report},
    text,
};
use crate::{address, taxonomy::Action};

/// So many recipients of one report are read; a bounce that counts is about one.
pub const MAX_RECIPIENTS: usize = 100;

/// Whether a text is a delivery status by its look, whatever its part's type says: its first line is a field of one, and a recipient's
/// fields stand in it.
pub fn looks_like(status: &str) -> bool {
    let first = status.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Some((name, _)) = fields::split_field(first.as_bytes()) else { return false };
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let starts = MESSAGE_FIELDS.contains(&name.as_str()) || RECIPIENT_FIELDS.contains(&name.as_str()) || name.starts_with("x-");
    starts && has_recipient_fields(status)
}

/// Whether a recipient field and one that tells its fate stand at line starts.
pub fn has_recipient_fields(status: &str) -> bool {
    let has = |wanted: &[&str]| {
        status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, _)| wanted.iter().any(|w| name.trim_end().eq_ignore_ascii_case(w)))
    };
    has(&["final-recipient", "original-recipient", "x-actual-recipient"]) && has(&["action", "status", "diagnostic-code"])
}

const MESSAGE_FIELDS: [&str; 6] =
    ["original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date", "version-of-message"];
const RECIPIENT_FIELDS: [&str; 9] = [
    "original-recipient",
    "final-recipient",
    "action",
    "status",
    "remote-mta",
    "diagnostic-code",
    "last-attempt-date",
    "final-log-id",
    "will-retry-until",
];

/// Reads a delivery status into the report.
pub fn read(status: &str, report: &mut Report) {
    let mut blocks: Vec<RecipientFields> = Vec::new();
    let mut current = Block::default();
    for group in fields::groups(status) {
        current.at_group_start = true;
        for field in group.0 {
            if message_field(&field, report) {
                continue;
            }
            if current.begins_another(&field) {
                blocks.push(std::mem::take(&mut current).finished());
                if blocks.len() >= MAX_RECIPIENTS {
                    return add(blocks, report);
                }
            }
            current.set(&field);
        }
    }
    blocks.push(current.finished());
    add(blocks, report);
}

/// Keeps what says something. A block without a recipient counts only where it is the only one.
fn add(mut blocks: Vec<RecipientFields>, report: &mut Report) {
    blocks.retain(|block| *block != RecipientFields::default());
    let named = |block: &RecipientFields| block.original_recipient.is_some() || block.final_recipient.is_some();
    if blocks.iter().any(named) {
        blocks.retain(named);
    } else {
        blocks.truncate(1);
    }
    report.recipients.append(&mut blocks);
    report.recipients.truncate(MAX_RECIPIENTS);
}

fn message_field(field: &Field<'_>, report: &mut Report) -> bool {
    let slot = if field.is("reporting-mta") {
        &mut report.reporting_mta
    } else if field.is("original-envelope-id") {
        report.original_envelope_id = report.original_envelope_id.take().or_else(|| envelope_id(&field.value()));
        return true;
    } else {
        return false;
    };
    *slot = slot.take().or_else(|| mta_name(&field.value()));
    true
}

#[derive(Default)]
struct Block {
    fields: RecipientFields,
    at_group_start: bool,
    /// An SMTP reply in the comment of Status: Haraka's diagnostic where nothing was said on the wire.
    reply: Option<String>,
}

impl Block {
    /// Whether this field belongs to the next recipient: it is there already, after a blank line or with another recipient, or it names a
    /// recipient after a blank line though the fate of this one is known.
    fn begins_another(&mut self, field: &Field<'_>) -> bool {
        let first = std::mem::take(&mut self.at_group_start);
        let now = &self.fields;
        let fate_known = now.action.is_some() || now.status.is_some();
        match field.among(&RECIPIENT_FIELDS) {
            "final-recipient" => now.final_recipient.as_ref().map_or(first && fate_known && !now.is_unnamed(), |old| {
                first || typed_address(&field.value()).is_some_and(|new| new != *old)
            }),
            "original-recipient" => now.original_recipient.as_ref().map_or(first && fate_known && !now.is_unnamed(), |old| {
                first || typed_address(&field.value()).is_some_and(|new| new != *old)
            }),
            "action" => first && now.action.is_some(),
            "status" => first && now.status.is_some(),
            _ => false,
        }
    }

    fn finished(self) -> RecipientFields {
        let mut fields = self.fields;
        fields.diagnostic = fields.diagnostic.or(self.reply);
        fields
    }

    /// The first value of a field stands.
    fn set(&mut self, field: &Field<'_>) {
        let name = if field.is("x-actual-recipient") { "x-actual-recipient" } else { field.among(&RECIPIENT_FIELDS) };
        let value = field.value();
        let value = &*value;
        let fields = &mut self.fields;
        match name {
            "original-recipient" => set(&mut fields.original_recipient, || typed_address(value)),
            "final-recipient" => set(&mut fields.final_recipient, || typed_address(value)),
            // Sendmail names here whom it really tried; the only name where Final-Recipient is missing.
            "x-actual-recipient" => set(&mut fields.actual_recipient, || typed_address(value)),
            "action" if fields.action.is_none() => fields.action = action(value),
            "status" => {
                set(&mut fields.status, || status_code(value));
                set(&mut self.reply, || commented_reply(value));
            }
            "remote-mta" => set(&mut fields.remote_mta, || mta_name(value)),
            "will-retry-until" => set(&mut fields.will_retry_until, || text::fact(value)),
            "diagnostic-code" if fields.diagnostic.is_none() => {
                let (kind, words) = diagnostic(value);
                fields.diagnostic_type = kind;
                fields.diagnostic = words;
            }
            _ => {}
        }
    }
}

impl RecipientFields {
    fn is_unnamed(&self) -> bool {
        self.original_recipient.is_none() && self.final_recipient.is_none()
    }
}

fn set(slot: &mut Option<String>, value: impl FnOnce() -> Option<String>) {
    if slot.is_none() {
        *slot = value();
    }
}

/// The action by its first word, misspelt as some write it.
fn action(value: &str) -> Option<Action> {
    let word: String = value.trim().chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    match word.as_str() {
        "failed" | "fail" | "failure" | "error" | "undeliverable" => Some(Action::Failed),
        "delayed" | "delay" => Some(Action::Delayed),
        "delivered" | "deliver" | "deliverable" => Some(Action::Delivered),
        "relayed" | "relay" => Some(Action::Relayed),
        "expanded" => Some(Action::Expanded),
        _ => None,
    }
}

/// The first enhanced status code in the value (RFC 3463), without the comment that many append.
fn status_code(value: &str) -> Option<String> {
    value.split(|c: char| !(c.is_ascii_digit() || c == '.')).find(|word| is_status_code(word)).map(str::to_owned)
}

/// `5.1.10 (556 Domain example.org sends and receives no email (NULL MX))`: the words after the code, where they are a reply.
fn commented_reply(value: &str) -> Option<String> {
    let (_, comment) = value.split_once('(')?;
    let comment = comment.trim_end().strip_suffix(')').unwrap_or(comment);
    let (code, words) = comment.split_at_checked(3)?;
    let refuses = code.starts_with(['4', '5']) && code.bytes().all(|b| b.is_ascii_digit());
    if refuses && words.starts_with([' ', '-']) { text::fact(comment) } else { None }
}

fn is_status_code(word: &str) -> bool {
    let mut numbers = word.split('.');
    let mut number = |longest: usize| numbers.next().is_some_and(|n| (1..=longest).contains(&n.len()));
    let (class, subject, detail) = (number(1), number(3), number(3));
    class && subject && detail && numbers.next().is_none() && word.starts_with(['2', '4', '5'])
}

/// `smtp; 550 5.1.1 …` → the type in lower case and the words.
fn diagnostic(value: &str) -> (Option<String>, Option<String>) {
    if let Some((kind, words)) = value.split_once(';') {
        let kind = kind.trim();
        if !kind.is_empty() && kind.len() <= 40 && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return (Some(kind.to_ascii_lowercase()), text::fact(words));
        }
    }
    (None, text::fact(value))
}

/// `dns; mx.example.org (192.0.2.1)` → the name. Names of other types than `dns` are kept whole.
fn mta_name(value: &str) -> Option<String> {
    let (kind, name) = value.split_once(';').unwrap_or(("dns", value));
    let name = name.trim();
    let word = name.split(|c: char| c.is_whitespace() || c == '(').find(|word| !word.is_empty()).unwrap_or_default();
    let name = if kind.trim().eq_ignore_ascii_case("dns") || kind.trim().eq_ignore_ascii_case("smtp") { word } else { name };
    text::fact(name.trim_end_matches('.'))
}

/// `rfc822;<alice@example.org>` → the address, xtext (RFC 3461, section 4) and utf-8-addr-xtext (RFC 6533, section 3) decoded.
pub fn typed_address(value: &str) -> Option<String> {
    let is_type = |kind: &str| {
        let kind = kind.trim();
        !kind.is_empty() && kind.len() <= 40 && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.'))
    };
    let (kind, rest) = value.split_once(';').filter(|(kind, _)| is_type(kind)).unwrap_or(("", value));
    if kind.trim().eq_ignore_ascii_case("x400") {
        return text::fact(rest);
    }
    let bare = mailbox::bare_address(rest)?;
    let bare = if bare.contains("\\x{") { unitext(&bare) } else { bare };
    // `alice+20@example.org` is a sub-address: decoded it were none.
    Some(xtext(&bare).filter(|decoded| address::split(decoded).is_some()).unwrap_or(bare))
}

/// `\x{E9}` → `é`.
fn unitext(word: &str) -> String {
    let mut pieces = word.split("\\x{");
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let hex = piece.split_once('}').and_then(|(hex, rest)| Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, rest)));
        match hex {
            Some((c, rest)) if !c.is_control() => {
                decoded.push(c);
                decoded.push_str(rest);
            }
            _ => {
                decoded.push_str("\\x{");
                decoded.push_str(piece);
            }
        }
    }
    decoded
}

/// The ENVID as the sender gave it: some MTAs send it back still encoded.
fn envelope_id(value: &str) -> Option<String> {
    let id = text::fact(value)?;
    Some(xtext(&id).and_then(|decoded| text::fact(&decoded)).unwrap_or(id))
}

/// Decodes what can only be xtext (RFC 3461, section 4): every `+` begins two upper-case hexadecimal digits, no bare `=` stands there, and no letter
/// or digit is encoded.
fn xtext(word: &str) -> Option<String> {
    if !word.contains('+') || word.contains('=') {
        return None;
    }
    let hex = |b: u8| (b.is_ascii_digit() || (b'A'..=b'F').contains(&b)).then(|| (b as char).to_digit(16)).flatten();
    let mut bytes = word.bytes();
    let mut decoded = Vec::with_capacity(word.len());
    while let Some(b) = bytes.next() {
        if b != b'+' {
            decoded.push(b);
            continue;
        }
        let high = bytes.next().and_then(hex)?;
        let low = bytes.next().and_then(hex)?;
        let value = u8::try_from(high * 16 + low).ok()?;
        if value.is_ascii_alphanumeric() {
            return None;
        }
        decoded.push(value);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &str) -> Report<'static> {
        let mut report = Report::default();
        read(status, &mut report);
        report
    }

    #[test]
    fn a_reply_in_the_comment_of_the_status() {
        let diagnostic = |fields: &str| told(&format!("Final-Recipient: rfc822;a@example.org\n{fields}")).recipients.remove(0).diagnostic;
        let commented = "Status: 5.1.10 (556 Domain example.org takes no email (NULL MX))\n";
        assert_eq!(diagnostic(commented).as_deref(), Some("556 Domain example.org takes no email (NULL MX)"));
        assert_eq!(diagnostic(&format!("{commented}Diagnostic-Code: smtp; 550 no\n")).as_deref(), Some("550 no"));
        for vague in ["5.0.0 (permanent failure)", "5.1.1 (", "5.1.1 (55)", "5.1.1 (5é0 no)", "5.1.1 (5501)", "5.1.1"] {
            assert_eq!(diagnostic(&format!("Status: {vague}\n")), None, "{vague}");
        }
    }

    #[test]
    fn a_plain_report() {
        let report = told(
            "Reporting-MTA: dns; mx.example.org\nOriginal-Envelope-Id: abc\n\nFinal-Recipient: rfc822; a@example.org\nAction: failed\n\
             Status: 5.1.1 (no such mailbox)\nRemote-MTA: dns; mx.example.net. (192.0.2.1)\nDiagnostic-Code: smtp; 550 5.1.1\n   unknown\n\n\
             Original-Recipient: rfc822;b@example.org\nFinal-Recipient: RFC822;<b2@example.org>\nAction: delayed\nStatus: 4.4.1\n",
        );
        assert_eq!(report.reporting_mta.as_deref(), Some("mx.example.org"));
        assert_eq!(report.original_envelope_id.as_deref(), Some("abc"));
        let [one, two] = report.recipients.as_slice() else { panic!("{:?}", report.recipients) };
        assert_eq!(one.final_recipient.as_deref(), Some("a@example.org"));
        assert_eq!((one.action, one.status.as_deref()), (Some(Action::Failed), Some("5.1.1")));
        assert_eq!(one.remote_mta.as_deref(), Some("mx.example.net"));
        assert_eq!((one.diagnostic_type.as_deref(), one.diagnostic.as_deref()), (Some("smtp"), Some("550 5.1.1 unknown")));
        assert_eq!(two.original_recipient.as_deref(), Some("b@example.org"));
        assert_eq!((two.final_recipient.as_deref(), two.action), (Some("b2@example.org"), Some(Action::Delayed)));
    }

    #[test]
    fn blank_lines_between_all_fields() {
        let report = told(
            "\n\nReporting-MTA: dns; mx\n\nOriginal-Recipient: rfc822; a@example.org\n\nFinal-Recipient: rfc822; a@example.org\n\nAction: failed\n\n\
             Status: 5.1.1\n\nOriginal-Recipient: rfc822; b@example.org\n\nFinal-Recipient: rfc822; b@example.org\n\nAction: failed\n\nStatus: 5.2.2\n",
        );
        let told: Vec<_> = report.recipients.iter().map(|r| (r.final_recipient.as_deref(), r.status.as_deref())).collect();
        assert_eq!(told, [(Some("a@example.org"), Some("5.1.1")), (Some("b@example.org"), Some("5.2.2"))]);
    }

    #[test]
    fn all_in_one_group_and_fields_twice() {
        let report = told(
            "Reporting-MTA: dns; mx\nFinal-Recipient: rfc822; a@example.org\nFinal-Recipient: rfc822; a@example.org\nAction: failed\nStatus: 5.1.1\n\
             Status: 5.0.0\nFinal-Recipient: rfc822; b@example.org\nAction: delivered\nStatus: 2.1.5\n",
        );
        let told: Vec<_> = report.recipients.iter().map(|r| (r.final_recipient.as_deref(), r.status.as_deref())).collect();
        assert_eq!(told, [(Some("a@example.org"), Some("5.1.1")), (Some("b@example.org"), Some("2.1.5"))]);
    }

    #[test]
    fn recipients_are_bounded() {
        let many: String = (0..5000).map(|n| format!("Final-Recipient: rfc822; u{n}@example.org\nAction: failed\n\n")).collect();
        assert_eq!(told(&many).recipients.len(), MAX_RECIPIENTS);
    }

    #[test]
    fn typed_addresses() {
        for (value, expected) in [
            ("rfc822;alice@example.org", "alice@example.org"),
            ("RFC822; <alice@example.org> (unrestricted)", "alice@example.org"),
            ("alice@example.org", "alice@example.org"),
            ("rfc822;bob+2Bnews@example.org", "bob+news@example.org"),
            ("rfc822;b+3Dc+40example.org", "b=c@example.org"),
            ("rfc822;alice+20@example.org", "alice+20@example.org"),
            ("rfc822;alice+news@example.org", "alice+news@example.org"),
            ("utf-8; jos\\x{E9}@example.org", "josé@example.org"),
            ("utf-8;jörg@exämple.org", "jörg@exämple.org"),
            ("rfc822; \"a b\"@example.org", "\"a b\"@example.org"),
            ("LOCAL; <alice>", "alice"),
        ] {
            assert_eq!(typed_address(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(typed_address("rfc822;"), None);
    }
}

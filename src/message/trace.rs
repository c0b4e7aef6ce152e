//! What a stored mail's trace fields say of its delivery (RFC 5321, section 4.4): when it came, and for whom.

use mail_parser::DateTime;

use super::{fields, mailbox};

/// So many recipients are looked at.
const MAX_RECIPIENTS: usize = 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Seconds since 1970: of the topmost Received, else of Date.
    pub at: Option<i64>,
    /// From Delivered-To, X-Original-To, Envelope-To and X-Envelope-To, in this order.
    pub recipients: Vec<String>,
    pub return_path: Option<String>,
}

/// Reads the header alone.
pub fn trace(raw: &[u8]) -> Trace {
    let (fields, _) = fields::header_block(raw, 0);
    let received = fields.get("received").and_then(|value| value.rsplit_once(';').and_then(|(_, date)| seconds(date)));
    let names = ["delivered-to", "x-original-to", "envelope-to", "x-envelope-to"];
    Trace {
        at: received.or_else(|| fields.get("date").and_then(|value| seconds(&value))),
        recipients: names
            .into_iter()
            .flat_map(|name| fields.all(name))
            .flat_map(|value| {
                value.split(',').map(|one| one.trim().trim_matches(['<', '>']).to_owned()).take(MAX_RECIPIENTS).collect::<Vec<_>>()
            })
            .filter(|value| value.contains('@'))
            .take(MAX_RECIPIENTS)
            .collect(),
        return_path: fields.all("return-path").find_map(|value| mailbox::path(&value)),
    }
}

fn seconds(date: &str) -> Option<i64> {
    let date = DateTime::parse_rfc822(date.trim())?;
    // What is no date gives nonsense instead of nothing.
    (date.is_valid() && date.year >= 1980).then(|| date.to_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_received_and_whom_it_was_delivered_to() {
        let mail = "Return-Path: <>\r\nX-Original-To: b+x@returns.example.com\r\nDelivered-To: bounces@returns.example.com\r\n\
            Received: from a by b\r\n\tfor <b+x@returns.example.com>; Mon, 23 Nov 2026 05:41:00 +0100 (CET)\r\n\
            Received: from c by a; Mon, 23 Nov 2026 04:00:00 +0000\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\nx";
        let trace = trace(mail.as_bytes());
        assert_eq!(trace.at, Some(1_795_408_860));
        assert_eq!(trace.recipients, ["bounces@returns.example.com", "b+x@returns.example.com"]);
        assert_eq!(trace.return_path.as_deref(), Some(""));
    }

    #[test]
    fn without_received_the_date_counts() {
        let at = |header: &str| trace(format!("{header}\n\nx").as_bytes()).at;
        assert_eq!(at("Date: Mon, 23 Nov 2026 04:41:00 GMT"), Some(1_795_408_860));
        assert_eq!(at("Received: by nobody; once upon a time\nDate: Mon, 23 Nov 2026 04:41:00 GMT"), Some(1_795_408_860));
        assert_eq!((at("Date: tomorrow"), at("Subject: x")), (None, None));
    }
}

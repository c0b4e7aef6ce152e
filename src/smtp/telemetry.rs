//! What is counted and logged of the dialogues. No field of a mail becomes a label; in the log it is escaped.

use std::net::IpAddr;

use metrics::{counter, describe_counter, describe_gauge};

use super::session::Note;

pub(super) const CONNECTIONS: &str = "bounced_smtp_connections_total";
pub(super) const OPEN: &str = "bounced_smtp_connections";
pub(super) const TURNED_AWAY: &str = "bounced_smtp_turned_away_total";
pub(super) const REFUSED: &str = "bounced_smtp_refused_total";
pub(super) const MESSAGES: &str = "bounced_smtp_messages_total";
pub(super) const BYTES: &str = "bounced_smtp_message_bytes_total";
pub(super) const TIMEOUTS: &str = "bounced_smtp_timeouts_total";
pub(super) const TLS: &str = "bounced_smtp_tls_total";
pub(super) const ACCEPT_ERRORS: &str = "bounced_smtp_accept_errors_total";
pub(super) const PANICS: &str = "bounced_smtp_panics_total";

/// Tells the metrics recorder what the names mean. Once, when it is installed.
pub fn describe() {
    describe_counter!(CONNECTIONS, "SMTP connections accepted");
    describe_gauge!(OPEN, "SMTP connections open now");
    describe_counter!(TURNED_AWAY, "SMTP connections answered 421 at once, by what was reached: total, network, guesses");
    describe_counter!(REFUSED, "Commands, recipients and mails refused, by reason");
    describe_counter!(MESSAGES, "Mails read to their end, by the code of the reply");
    describe_counter!(BYTES, "Octets of the mails that were recorded");
    describe_counter!(TIMEOUTS, "SMTP dialogues ended by a deadline, by what was waited for");
    describe_counter!(TLS, "TLS handshakes, by version or failed");
    describe_counter!(ACCEPT_ERRORS, "Errors of accept, such as no free file descriptors");
    describe_counter!(PANICS, "SMTP dialogues that ended by a fault of the program");
}

pub(super) fn note(client: IpAddr, note: Note) {
    match note {
        Note::Recipient { rcpt, reason } => {
            counter!(REFUSED, "reason" => reason).increment(1);
            tracing::debug!(%client, rcpt, reason, "recipient refused");
        }
        Note::Refused { reason } => {
            counter!(REFUSED, "reason" => reason).increment(1);
            tracing::trace!(%client, reason, "refused");
        }
        Note::Message { code } => {
            counter!(MESSAGES, "reply" => code.to_string()).increment(1);
        }
    }
}

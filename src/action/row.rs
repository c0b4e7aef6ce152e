//! The event's row: what `bounced events --json` prints and a post without a body of its own sends. Pure.

use serde::Serialize;
use serde_json::Value;

use super::rfc3339;
use crate::ledger::MailEvent;

/// `events --json`. The names are fixed; absent facts are null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow<'a> {
    pub id: u64,
    /// RFC 3339 in UTC.
    pub at: String,
    pub address: Option<&'a str>,
    pub campaign: Option<&'a str>,
    pub status: &'static str,
    pub fault: &'static str,
    pub enhanced: Option<&'a str>,
    pub reply: Option<&'a str>,
    pub diagnostic: Option<&'a str>,
    pub remote_mta: Option<&'a str>,
    pub rule: &'a str,
    pub evidence: Option<&'a str>,
    /// The arriving mail's.
    pub message_id: Option<&'a str>,
    /// The bounced mail's.
    pub original_message_id: Option<&'a str>,
    pub envelope_id: Option<&'a str>,
    pub rcpt: &'a str,
    pub client: Option<&'a str>,
    pub signed: bool,
    /// Names of the triggers that it fired.
    pub fired: &'a [String],
}

impl<'a> From<&'a MailEvent> for EventRow<'a> {
    fn from(event: &'a MailEvent) -> EventRow<'a> {
        let (verdict, origin) = (&event.verdict, &event.origin);
        EventRow {
            id: event.id,
            at: rfc3339(event.at),
            address: verdict.address.as_deref(),
            campaign: event.campaign.as_deref(),
            status: verdict.status.id(),
            fault: verdict.status.fault().id(),
            enhanced: verdict.enhanced.as_deref(),
            reply: verdict.reply.as_deref(),
            diagnostic: verdict.diagnostic.as_deref(),
            remote_mta: verdict.remote_mta.as_deref(),
            rule: &verdict.rule,
            evidence: verdict.evidence.as_deref(),
            message_id: origin.message_id.as_deref(),
            original_message_id: origin.original_message_id.as_deref(),
            envelope_id: origin.envelope_id.as_deref(),
            rcpt: &origin.rcpt,
            client: origin.client.as_deref(),
            signed: origin.signed,
            fired: &event.fired,
        }
    }
}

/// [`EventRow`] as a JSON object.
pub fn event_row(event: &MailEvent) -> Value {
    // The row has only texts, numbers and a list: it can't fail to become JSON.
    serde_json::to_value(EventRow::from(event)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::sample_facts;

    #[test]
    fn the_keys_are_the_contract_s() {
        let row = event_row(&sample_facts().event);
        let mut keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut named: Vec<&str> = "id at address campaign status fault enhanced reply diagnostic remote_mta rule evidence message_id \
                                    original_message_id envelope_id rcpt client signed fired"
            .split_whitespace()
            .collect();
        keys.sort_unstable();
        named.sort_unstable();
        assert_eq!(keys, named);
        assert_eq!((row["at"].as_str(), row["status"].as_str()), (Some("1970-01-01T00:00:00Z"), Some("hard-bounce")));
        let mut bare = sample_facts().event;
        bare.verdict.reply = None;
        assert!(event_row(&bare)["reply"].is_null());
    }
}

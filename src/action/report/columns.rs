//! The columns that a report can have, and what stands in them. Pure.

use crate::{
    action::{clean, rfc3339},
    address,
    ledger::Entry,
};

/// Every name that `fields` may hold.
pub const FIELDS: [&str; 18] = [
    "address",
    "at",
    "campaign",
    "count",
    "diagnostic",
    "domain",
    "enhanced",
    "fault",
    "first_seen",
    "last_seen",
    "local",
    "remote_mta",
    "reply",
    "rule",
    "status",
    "status_title",
    "tags",
    "trigger",
];

/// The columns of a report that names none.
pub const DEFAULT_FIELDS: [&str; 7] = ["address", "status", "count", "first_seen", "last_seen", "campaign", "diagnostic"];

/// What stands over a column, in words. A name that is no column's stands for itself.
pub fn title(field: &str) -> &str {
    match field {
        "address" => "Address",
        "at" => "Time (UTC)",
        "campaign" => "Campaign",
        "count" => "Count",
        "diagnostic" => "What the server said",
        "domain" => "Domain",
        "enhanced" => "Code",
        "fault" => "Fault",
        "first_seen" => "First seen (UTC)",
        "last_seen" => "Last seen (UTC)",
        "local" => "Local part",
        "remote_mta" => "Server",
        "reply" => "Reply",
        "rule" => "Rule",
        "status" | "status_title" => "Status",
        "tags" => "Tags",
        "trigger" => "Trigger",
        other => other,
    }
}

/// One line without control characters; empty where the fact is absent or nobody knows the column.
pub fn cell(entry: &Entry, field: &str) -> String {
    let (facts, event) = (&entry.facts, &entry.facts.event);
    let verdict = &event.verdict;
    let part = |domain: bool| {
        let (local, of) = verdict.address.as_deref().and_then(address::split)?;
        Some(if domain { of } else { local })
    };
    let text = match field {
        "address" => verdict.address.as_deref(),
        "local" => part(false),
        "domain" => part(true),
        "campaign" => event.campaign.as_deref(),
        "status" => Some(verdict.status.id()),
        "status_title" => Some(verdict.status.title()),
        "fault" => Some(verdict.status.fault().id()),
        "enhanced" => verdict.enhanced.as_deref(),
        "reply" => verdict.reply.as_deref(),
        "diagnostic" => verdict.diagnostic.as_deref(),
        "remote_mta" => verdict.remote_mta.as_deref(),
        "rule" => Some(verdict.rule.as_str()),
        "trigger" => Some(facts.trigger.as_str()),
        "count" => return facts.count.to_string(),
        "at" => return rfc3339(event.at),
        "first_seen" => return entry.first_seen.map(rfc3339).unwrap_or_default(),
        "last_seen" => return entry.last_seen.map(rfc3339).unwrap_or_default(),
        "tags" => return clean::line(&facts.tags.join(", ")),
        _ => None,
    };
    text.map(clean::line).unwrap_or_default()
}

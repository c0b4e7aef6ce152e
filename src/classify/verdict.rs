//! The verdict: what we make of a mail, with the reason shown.

use serde::{Deserialize, Serialize};

use crate::taxonomy::{Action, Kind, Status};

/// What the envelope adds to the report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// MAIL FROM without brackets; `Some("")` is the null sender, `None` is not known (a file).
    pub reverse_path: Option<&'a str>,
    /// The address that the VERP recipient names: the truth, see taxonomy rule 4.
    pub verp_address: Option<&'a str>,
}

/// All that one mail tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    pub kind: Kind,
    /// At least one. With a VERP address in the envelope exactly one: failed before delayed before delivered.
    pub verdicts: Vec<Verdict>,
}

/// What one mail tells of one recipient. Text is bounded and free of control characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whom it speaks of, in [`crate::address::normal`] form: the VERP address where there is one.
    pub address: Option<String>,
    /// Whom the mail itself named, where that differs from `address`.
    pub reported_address: Option<String>,
    pub status: Status,
    pub action: Option<Action>,
    /// RFC 3463 enhanced status code, `5.1.1`.
    pub enhanced: Option<String>,
    /// RFC 5321 reply code, `550`.
    pub reply: Option<String>,
    pub diagnostic: Option<String>,
    pub remote_mta: Option<String>,
    pub reporting_mta: Option<String>,
    /// The name of the rule that decided.
    pub rule: String,
    /// The very words it matched.
    pub evidence: Option<String>,
    /// An out-of-office's return date, as an ISO 8601 date.
    pub returns: Option<String>,
    /// Where the person moved.
    pub new_address: Option<String>,
}

impl Verdict {
    /// Nothing could be told.
    pub fn undetermined(rule: &str) -> Verdict {
        Verdict {
            address: None,
            reported_address: None,
            status: Status::Undetermined,
            action: None,
            enhanced: None,
            reply: None,
            diagnostic: None,
            remote_mta: None,
            reporting_mta: None,
            rule: rule.to_owned(),
            evidence: None,
            returns: None,
            new_address: None,
        }
    }
}

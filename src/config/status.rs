//! Statuses as the configuration names them: one, a prefix such as `soft-bounce-*`, or `*` for all but delivered.

use super::reader::{At, nearest};
use crate::taxonomy::Status;

/// A text or a list of texts; in the taxonomy's order, each once, so that the order written doesn't matter.
pub fn set(at: &At<'_>) -> Vec<Status> {
    let mut found: Vec<Status> = match at.is_list() {
        false => one(at),
        true => {
            let items = at.items().unwrap_or_default();
            if items.is_empty() {
                at.fail::<()>("is empty; name a status, or \"*\"");
            }
            items.iter().flat_map(one).collect()
        }
    };
    found.sort();
    found.dedup();
    found
}

/// What one text names; an error where that is nothing.
pub fn one(at: &At<'_>) -> Vec<Status> {
    at.parsed(expand).unwrap_or_default()
}

/// Exactly one, no prefix.
pub fn single(at: &At<'_>) -> Option<Status> {
    at.parsed(|text| match expand(text)?.as_slice() {
        [status] if !text.ends_with('*') => Ok(*status),
        _ => Err(format!("'{text}' is more than one status; name the one that a mail gets")),
    })
}

fn expand(text: &str) -> Result<Vec<Status>, String> {
    let all = Status::ALL.into_iter();
    let found: Vec<Status> = match text.strip_suffix('*') {
        Some("") => all.filter(|status| *status != Status::Delivered).collect(),
        Some(prefix) => all.filter(|status| status.id().starts_with(prefix)).collect(),
        None => all.filter(|status| status.id() == text).collect(),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    if text.ends_with('*') {
        return Err(format!("no status begins as '{text}'; there are soft-bounce-*, mail-block-* and the single ones"));
    }
    match nearest(text, Status::ALL.map(Status::id)) {
        Some(known) => Err(format!("'{text}' is no status; did you mean '{known}'?")),
        None => Err(format!("'{text}' is no status; there are {}", Status::ALL.map(Status::id).join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(expand("soft-bounce-*").map(|found| found.len()), Ok(4));
        assert_eq!(expand("*").map(|found| found.len()), Ok(20));
        assert_eq!(expand("delivered"), Ok(vec![Status::Delivered]));
        assert!(expand("soft*bounce").is_err() && expand("zzz-*").is_err() && expand("").is_err());
        assert!(expand("hard-bounces").unwrap_err().contains("did you mean 'hard-bounce'?"));
    }
}

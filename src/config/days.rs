//! `on` and `day_of_month`: on which days a step or a report is due. Pure.

use jiff::civil::Weekday::{self, Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};

use super::reader::{At, Table, nearest};
use crate::ledger::Days;

const WEEK: [(&str, Weekday); 7] = [
    ("monday", Monday),
    ("tuesday", Tuesday),
    ("wednesday", Wednesday),
    ("thursday", Thursday),
    ("friday", Friday),
    ("saturday", Saturday),
    ("sunday", Sunday),
];

/// Without either: any day.
pub fn read(table: &Table<'_>) -> Days {
    let on = table.get("on").map(|at| each(&at, weekday, "name a weekday, as in [\"monday\"]"));
    let of_month = table.get("day_of_month").map(|at| each(&at, day, "name a day, as in [1]"));
    match (on, of_month) {
        (Some(_), Some(_)) => {
            table.fail("day_of_month", "stands beside on; take one of them out");
            Days::Any
        }
        (Some(days), None) => Days::On(days),
        (None, Some(days)) => Days::OfMonth(days),
        (None, None) => Days::Any,
    }
}

fn each<T: PartialEq>(at: &At<'_>, read: impl Fn(&At<'_>) -> Option<T>, hint: &str) -> Vec<T> {
    let items = at.one_or_many();
    if items.is_empty() {
        at.fail::<()>(format_args!("is empty; {hint}, or take it out"));
    }
    let mut found = Vec::new();
    for item in &items {
        let Some(one) = read(item) else { continue };
        if found.contains(&one) {
            item.fail::<()>("stands twice; take one out");
        }
        found.push(one);
    }
    found
}

fn day(at: &At<'_>) -> Option<i8> {
    at.integer(1..=31).and_then(|day| i8::try_from(day).ok())
}

fn weekday(at: &At<'_>) -> Option<Weekday> {
    at.parsed(named)
}

/// In English, whole or its first three letters.
fn named(text: &str) -> Result<Weekday, String> {
    let word = text.trim().to_lowercase();
    let found = WEEK.iter().find(|(name, _)| *name == word || name.get(..3) == Some(word.as_str()));
    if let Some((_, day)) = found {
        return Ok(*day);
    }
    match nearest(&word, WEEK.iter().map(|(name, _)| *name)) {
        Some(near) => Err(format!("'{text}' is no weekday; did you mean \"{near}\"?")),
        None => Err(format!("'{text}' is no weekday; write it as \"monday\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays() {
        for (text, day) in [("monday", Monday), ("Sunday", Sunday), ("THU", Thursday), (" sat ", Saturday)] {
            assert_eq!(named(text), Ok(day), "{text}");
        }
        assert!(named("mondays").unwrap_err().contains("did you mean \"monday\""));
        for bad in ["", "m", "Montag", "lunedì", "1", "mond"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}

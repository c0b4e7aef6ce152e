//! `[[trigger]]`: when it fires. What it does then is in `step`.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    Keep, names,
    reader::{At, Table},
    status,
    step::{self, Means},
    units,
};
use crate::ledger::{Comparator, Distinct, Filter, Per, RECENT, Trigger};

/// How far back domains, campaigns and all are counted in windows.
const SCOPE_REACH: Duration = Duration::from_secs(400 * 86_400);

/// All triggers, in the file's order.
pub fn read(items: &[At<'_>], means: &Means<'_>) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for table in items.iter().filter_map(At::table) {
        let name = names::own(&table, ("trigger", "\"third strike\"", "counts are kept by it"), &taken).unwrap_or_default();
        taken.push(name.to_owned());
        triggers.push(trigger(name, table, means));
    }
    triggers
}

fn trigger(name: &str, table: Table<'_>, means: &Means<'_>) -> Trigger {
    let per = table.or("per", Per::Address, per);
    let count = table.need("count", "\"more than 2\"").and_then(|at| at.parsed(count)).unwrap_or(Comparator::Every(1));
    let within = table.get("within").and_then(|at| within(&at, per, means.keep));
    let distinct = table.get("distinct").and_then(|at| at.parsed(distinct));
    if distinct.is_some() && per != Per::Address {
        table.fail("distinct", "goes with per = \"address\" only; take it out");
    }
    if per == Per::Address && (within.is_some() || distinct.is_some()) && needed(count) > RECENT as u64 {
        table.fail(
            "count",
            format_args!("can't be reached within or distinct: one by one the last {RECENT} of a person are known; write less"),
        );
    }
    let filter = table.get("where").and_then(|at| at.parsed(Filter::new));
    let repeat = table.boolean("repeat", false);
    if per != Per::Address && within.is_some() && !repeat {
        table.warn(
            "per",
            "nothing resets a domain, a campaign or all, so this fires once for each of them and never again; write repeat = true",
        );
    }
    let trigger = Trigger {
        name: name.to_owned(),
        when: table.need("when", "\"hard-bounce\"").map(|at| status::set(&at)).unwrap_or_default(),
        count,
        within,
        distinct,
        per,
        repeat,
        filter,
        steps: table.need("do", "[{ tag = \"third-strike\" }]").map(|at| step::read(&at, means, None)).unwrap_or_default(),
    };
    table.close();
    trigger
}

fn count(text: &str) -> Result<Comparator, String> {
    let hint = || format!("'{text}' is no count; write \"exactly 3\", \"at least 3\", \"more than 2\" or \"every 3\"");
    let (word, number) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(hint)?;
    let number: u64 = number.parse().map_err(|_| hint())?;
    let word = word.split_whitespace().collect::<Vec<_>>().join(" ");
    let comparator = match word.as_str() {
        "exactly" => Comparator::Exactly(number),
        "at least" => Comparator::AtLeast(number),
        "more than" => return Ok(Comparator::MoreThan(number)),
        "every" => Comparator::Every(number),
        _ => return Err(hint()),
    };
    if number == 0 { Err(format!("'{text}' counts nothing; write a number from 1")) } else { Ok(comparator) }
}

/// The count that must be reached.
fn needed(count: Comparator) -> u64 {
    match count {
        Comparator::Exactly(n) | Comparator::AtLeast(n) | Comparator::Every(n) => n,
        Comparator::MoreThan(n) => n.saturating_add(1),
    }
}

fn per(text: &str) -> Result<Per, String> {
    match text {
        "address" => Ok(Per::Address),
        "domain" => Ok(Per::Domain),
        "campaign" => Ok(Per::Campaign),
        "all" => Ok(Per::All),
        _ => Err(format!("'{text}' must be address, domain, campaign or all")),
    }
}

fn distinct(text: &str) -> Result<Distinct, String> {
    match text {
        "day" => Ok(Distinct::Day),
        "campaign" => Ok(Distinct::Campaign),
        _ => Err(format!("'{text}' must be day or campaign")),
    }
}

fn within(at: &At<'_>, per: Per, keep: &Keep) -> Option<SignedDuration> {
    let within = at.parsed(units::duration)?;
    let days = |length: Duration| length.as_secs() / units::DAY.as_secs();
    if within > keep.events {
        return at.fail(format_args!("is longer than keep.events ({} days); shorten it, or keep events longer", days(keep.events)));
    }
    if per != Per::Address && within > SCOPE_REACH {
        return at.fail(format_args!("domains, campaigns and all are counted for {} days; shorten it", days(SCOPE_REACH)));
    }
    at.ok(SignedDuration::try_from(within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_people_say_them() {
        assert_eq!(count("exactly 1"), Ok(Comparator::Exactly(1)));
        assert_eq!(count(" at  least 3 "), Ok(Comparator::AtLeast(3)));
        assert_eq!(count("more than 0"), Ok(Comparator::MoreThan(0)));
        assert_eq!(count("every 10"), Ok(Comparator::Every(10)));
        for bad in [
            "",
            "3",
            "exactly",
            "exactly 0",
            "at least 0",
            "every 0",
            "more than -1",
            "more then 2",
            "least 3",
            "exactly 99999999999999999999",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}

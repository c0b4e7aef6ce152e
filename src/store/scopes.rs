//! Counts of domains, campaigns and all while a batch is folded: read once, counted up in memory, written once.

use std::collections::BTreeSet;

use hashbrown::{Equivalent, HashMap};
use jiff::{SignedDuration, Timestamp};

use super::{
    StoreError,
    keys::{self, ScopeKind},
    overlay::Overlay,
    rows::{DayRow, State, TotalsRow, bump, decode, encode},
};
use crate::{
    ledger::{Counts, Fired, Scope, day_of, hour_of},
    taxonomy::Status,
};

/// How many domains, and how many campaigns, get counts of their own. Strangers can invent names: what comes after these counts
/// under [`OTHER`].
pub const NAMES: u32 = 100_000;

/// The name under which those without one count. No domain and no campaign can be called so.
pub const OTHER: &str = "(other)";

/// Longer names than a domain's 255 octets are [`OTHER`], and those with a control character.
const NAME_OCTETS: usize = 255;

/// The hours of older days are of no use to any window, see [`crate::ledger::HOURS_REACH`]; a day that is written has its hours read, too.
const HOUR_DAYS: u32 = 9;

/// A scope as it is looked up: its name lent.
#[derive(Hash)]
struct Of<'a>(ScopeKind, &'a str);

impl Equivalent<(ScopeKind, String)> for Of<'_> {
    fn equivalent(&self, (kind, name): &(ScopeKind, String)) -> bool {
        self.0 == *kind && self.1 == name
    }
}

#[derive(Default)]
pub struct Scopes {
    loaded: HashMap<(ScopeKind, String), Loaded>,
    names: u32,
}

#[derive(Default)]
struct Loaded {
    scope: Scope,
    new: bool,
    totals_changed: bool,
    /// Days that were read, or looked for.
    days: BTreeSet<u32>,
    /// Those of them whose hours were.
    hours: BTreeSet<u32>,
    days_changed: BTreeSet<u32>,
}

impl Scopes {
    pub fn new(names: u32) -> Scopes {
        Scopes { loaded: HashMap::new(), names }
    }

    /// The name under which `name` counts.
    pub fn resolve(&mut self, rows: &Overlay<'_>, state: &mut State, kind: ScopeKind, name: &str) -> Result<String, StoreError> {
        let most = self.names;
        let sane = name.len() <= NAME_OCTETS && !name.chars().any(char::is_control);
        if sane && (self.loaded.contains_key(&Of(kind, name)) || rows.get(&keys::totals(kind, name))?.is_some()) {
            return Ok(name.to_owned());
        }
        match state.names(kind) {
            Some(names) if !sane || *names >= most => Ok(OTHER.to_owned()),
            Some(names) => {
                *names += 1;
                let fresh = Loaded { new: true, ..Loaded::default() };
                self.loaded.insert((kind, name.to_owned()), fresh);
                Ok(name.to_owned())
            }
            None => Ok(name.to_owned()),
        }
    }

    /// Takes a scope out, with its windows as far back as `reach`; give it back by [`Scopes::restore`].
    pub fn take(
        &mut self,
        rows: &Overlay<'_>,
        kind: ScopeKind,
        name: &str,
        at: Timestamp,
        reach: Option<SignedDuration>,
    ) -> Result<Scope, StoreError> {
        let loaded = self.load(rows, kind, name)?;
        let today = day_of(at);
        let first = reach.map_or(today, |reach| day_of(at.saturating_sub(reach).unwrap_or(Timestamp::MIN)));
        for day in first..=today {
            loaded.load_day(rows, kind, name, day, today.saturating_sub(day) <= HOUR_DAYS)?;
        }
        Ok(std::mem::take(&mut loaded.scope))
    }

    pub fn restore(&mut self, kind: ScopeKind, name: &str, scope: Scope) {
        if let Some(loaded) = self.loaded.get_mut(&Of(kind, name)) {
            loaded.scope = scope;
        }
    }

    pub fn count(&mut self, rows: &Overlay<'_>, kind: ScopeKind, name: &str, at: Timestamp, status: Status) -> Result<(), StoreError> {
        let loaded = self.load(rows, kind, name)?;
        let day = day_of(at);
        loaded.load_day(rows, kind, name, day, true)?;
        bump(&mut loaded.scope.totals, status);
        bump(loaded.scope.days.entry(day).or_default(), status);
        bump(loaded.scope.hours.entry(hour_of(at)).or_default(), status);
        loaded.totals_changed = true;
        loaded.days_changed.insert(day);
        Ok(())
    }

    pub fn mark(&mut self, rows: &Overlay<'_>, kind: ScopeKind, name: &str, fired: Fired) -> Result<(), StoreError> {
        let loaded = self.load(rows, kind, name)?;
        loaded.scope.mark(fired);
        loaded.totals_changed = true;
        Ok(())
    }

    /// Writes down what changed.
    pub fn write(self, rows: &mut Overlay<'_>) -> Result<(), StoreError> {
        for ((kind, name), mut loaded) in self.loaded {
            for day in std::mem::take(&mut loaded.days_changed) {
                rows.put(keys::day(day, kind, &name), encode(&loaded.day_row(day))?)?;
            }
            if loaded.totals_changed || loaded.new {
                let row = TotalsRow { totals: loaded.scope.totals, fired: loaded.scope.fired };
                rows.put(keys::totals(kind, &name), encode(&row)?)?;
            }
        }
        Ok(())
    }

    fn load(&mut self, rows: &Overlay<'_>, kind: ScopeKind, name: &str) -> Result<&mut Loaded, StoreError> {
        if !self.loaded.contains_key(&Of(kind, name)) {
            let row = match rows.get(&keys::totals(kind, name))? {
                Some(row) => decode(&row, "totals")?,
                None => TotalsRow::default(),
            };
            let scope = Scope { totals: row.totals, fired: row.fired, ..Scope::default() };
            self.loaded.insert((kind, name.to_owned()), Loaded { scope, ..Loaded::default() });
        }
        self.loaded.get_mut(&Of(kind, name)).ok_or_else(|| StoreError::damaged("a scope that went away"))
    }
}

impl Loaded {
    fn load_day(&mut self, rows: &Overlay<'_>, kind: ScopeKind, name: &str, day: u32, hours: bool) -> Result<(), StoreError> {
        let (day_too, hours_too) = (self.days.insert(day), hours && self.hours.insert(day));
        if self.new || !(day_too || hours_too) {
            return Ok(());
        }
        let Some(row) = rows.get(&keys::day(day, kind, name))? else { return Ok(()) };
        let row: DayRow = decode(&row, "a day's counts")?;
        if day_too {
            self.scope.days.insert(day, row.counts);
        }
        for (hour, counts) in row.hours.into_iter().filter(|_| hours_too) {
            self.scope.hours.insert(hour_number(day, hour), counts);
        }
        Ok(())
    }

    fn day_row(&self, day: u32) -> DayRow {
        let hour = |hour: u8| Some((hour, self.scope.hours.get(&hour_number(day, hour))?.clone()));
        let counts: Counts = self.scope.days.get(&day).cloned().unwrap_or_default();
        DayRow { counts, hours: (0..24).filter_map(hour).collect() }
    }
}

/// Hours since 1970.
pub fn hour_number(day: u32, hour: u8) -> u32 {
    day.saturating_mul(24).saturating_add(u32::from(hour))
}

#[cfg(test)]
mod tests {
    use super::{super::table::Table, *};

    #[test]
    fn names_are_capped_and_known_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let db = Table::open(dir.path(), 1 << 20, 100).unwrap();
        let (mut state, at) = (State::default(), Timestamp::from_second(1_800_000_000).unwrap());
        let mut batch = |names: &[&str]| -> Vec<String> {
            let (mut scopes, mut rows) = (Scopes::new(2), Overlay::new(&db));
            let mut under = Vec::new();
            for name in names {
                let name = scopes.resolve(&rows, &mut state, ScopeKind::Domain, name).unwrap();
                scopes.count(&rows, ScopeKind::Domain, &name, at, Status::HardBounce).unwrap();
                under.push(name);
            }
            scopes.write(&mut rows).unwrap();
            db.apply(rows.into_rows());
            under
        };
        let long = "x".repeat(256);
        assert_eq!(batch(&["a.test", &long, "a.test"]), ["a.test", OTHER, "a.test"]);
        assert_eq!(batch(&["b.test", "c.test", "a.test", "b\u{0}"]), ["b.test", OTHER, "a.test", OTHER]);
        assert_eq!(batch(&["d.test", "b.test"]), [OTHER, "b.test"]);

        let (mut scopes, rows) = (Scopes::new(2), Overlay::new(&db));
        let scope = scopes.take(&rows, ScopeKind::Domain, OTHER, at, None).unwrap();
        assert_eq!(scope.totals, Counts::from([(Status::HardBounce, 4)]));
        assert_eq!(scope.hours, [(hour_of(at), scope.totals.clone())].into());
        assert_eq!(scope.days, [(day_of(at), scope.totals.clone())].into());
    }

    #[test]
    fn a_day_that_was_read_for_a_window_keeps_its_hours_when_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let db = Table::open(dir.path(), 1 << 20, 100).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let past = now - SignedDuration::from_hours(24 * 20);
        let batch = |work: &mut dyn FnMut(&mut Scopes, &mut Overlay<'_>)| {
            let (mut scopes, mut rows) = (Scopes::new(2), Overlay::new(&db));
            work(&mut scopes, &mut rows);
            scopes.write(&mut rows).unwrap();
            db.apply(rows.into_rows());
        };
        let count = |scopes: &mut Scopes, rows: &Overlay<'_>, at| scopes.count(rows, ScopeKind::All, "", at, Status::HardBounce).unwrap();
        batch(&mut |scopes, rows| count(scopes, rows, past));
        // A mail of now, whose window reaches over that day, and an imported one of an hour later than the first.
        batch(&mut |scopes, rows| {
            let scope = scopes.take(rows, ScopeKind::All, "", now, Some(SignedDuration::from_hours(24 * 30))).unwrap();
            scopes.restore(ScopeKind::All, "", scope);
            count(scopes, rows, past + SignedDuration::from_hours(1));
        });
        let scope = Scopes::new(2).take(&Overlay::new(&db), ScopeKind::All, "", past, None).unwrap();
        let one = Counts::from([(Status::HardBounce, 1)]);
        assert_eq!(scope.hours, [(hour_of(past), one.clone()), (hour_of(past) + 1, one)].into());
        assert_eq!(scope.days, [(day_of(past), Counts::from([(Status::HardBounce, 2)]))].into());
    }

    #[test]
    fn windows_reach_as_far_back_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let db = Table::open(dir.path(), 1 << 20, 100).unwrap();
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let day = |n: i64| start + SignedDuration::from_hours(24 * n);
        let (mut scopes, mut rows) = (Scopes::new(2), Overlay::new(&db));
        for n in 0..20 {
            scopes.count(&rows, ScopeKind::All, "", day(n), Status::SpamComplaint).unwrap();
        }
        scopes.write(&mut rows).unwrap();
        db.apply(rows.into_rows());
        let rows = Overlay::new(&db);
        let take = |reach: Option<i64>| {
            let reach = reach.map(|days| SignedDuration::from_hours(24 * days));
            let scope = Scopes::new(2).take(&rows, ScopeKind::All, "", day(19), reach).unwrap();
            (scope.totals.values().sum::<u64>(), scope.days.len(), scope.hours.len())
        };
        assert_eq!(take(None), (20, 1, 1));
        assert_eq!(take(Some(7)), (20, 8, 8));
        assert_eq!(take(Some(30)), (20, 20, 10));
    }
}

//! Follow-up sequences and reports as configured, and when they are due. Pure: the calendar's arithmetic is jiff's.

use jiff::{
    SpanFieldwise, Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

use super::Step;
use crate::action::ReportTask;

/// No calendar's days lie further apart.
const DAYS_AHEAD: usize = 62;

#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    pub name: String,
    pub steps: Vec<SequenceStep>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SequenceStep {
    /// Keeps its members' place when the file changes.
    pub name: String,
    /// From the start of the sequence.
    pub after: SpanFieldwise,
    pub days: Days,
    /// Default: the time of day that `after` leads to.
    pub at: Option<Time>,
    pub steps: Vec<Step>,
}

/// On which days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Days {
    #[default]
    Any,
    On(Vec<Weekday>),
    /// 1 to 31; a month that has fewer days has its last one instead.
    OfMonth(Vec<i8>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReportRule {
    /// An inactive one collects and waits.
    pub active: bool,
    /// Its own delivery; `None`: by sequences and by hand only.
    pub schedule: Option<Schedule>,
    /// Whether one goes out though nobody is in it.
    pub send_empty: bool,
    /// Its `delivery` is filled in as it is sent.
    pub task: ReportTask,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub days: Days,
    pub at: Time,
}

impl Days {
    fn has(&self, date: Date) -> bool {
        match self {
            Days::Any => true,
            Days::On(days) => days.contains(&date.weekday()),
            Days::OfMonth(days) => days.iter().any(|day| (*day).min(date.days_in_month()) == date.day()),
        }
    }
}

impl SequenceStep {
    /// The first moment at or after `after` from the start that the days and the time of day allow. A time of day that a clock change leaves
    /// out comes so much later, one that comes twice means the first.
    pub fn due(&self, started: Timestamp, timezone: &TimeZone) -> Timestamp {
        let start = started.to_zoned(timezone.clone());
        let Ok(base) = start.checked_add(self.after.0) else { return Timestamp::MAX };
        if self.days == Days::Any && self.at.is_none() {
            return base.timestamp();
        }
        first(&self.days, self.at.unwrap_or_else(|| base.time()), base.date(), timezone, |at| at >= base.timestamp())
    }
}

impl Schedule {
    /// The first delivery after `now`.
    pub fn next(&self, now: Timestamp, timezone: &TimeZone) -> Timestamp {
        first(&self.days, self.at, now.to_zoned(timezone.clone()).date(), timezone, |at| at > now)
    }
}

fn first(days: &Days, at: Time, from: Date, timezone: &TimeZone, fits: impl Fn(Timestamp) -> bool) -> Timestamp {
    let dates = std::iter::successors(Some(from), |date| date.checked_add(1.day()).ok()).take(DAYS_AHEAD);
    let moments = dates.filter(|date| days.has(*date)).filter_map(|date| timezone.to_timestamp(date.to_datetime(at)).ok());
    moments.into_iter().find(|moment| fits(*moment)).unwrap_or(Timestamp::MAX)
}

impl super::Rules {
    /// The next delivery of every report that has a schedule.
    pub fn plans(&self, now: Timestamp) -> std::collections::BTreeMap<String, Timestamp> {
        let scheduled = self.reports.iter().filter_map(|(name, rule)| Some((name, rule.schedule.as_ref()?)));
        scheduled.map(|(name, schedule)| (name.clone(), schedule.next(now, &self.timezone))).collect()
    }
}

impl Sequence {
    /// The step of that name; where it is gone, the one that stands at its place now.
    pub fn step(&self, name: &str, taken: u16) -> Option<(usize, &SequenceStep)> {
        let named = self.steps.iter().enumerate().find(|(_, step)| step.name == name);
        let place = usize::from(taken);
        named.or_else(|| self.steps.get(place).map(|step| (place, step)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Weekday::*;

    use super::*;

    fn step(after: &str, days: Days, at: Option<&str>) -> SequenceStep {
        let at = at.map(|at| at.parse().unwrap());
        SequenceStep { name: "x".into(), after: SpanFieldwise(after.parse().unwrap()), days, at, steps: vec![] }
    }

    fn due(step: &SequenceStep, started: &str) -> String {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        step.due(started.parse().unwrap(), &berlin).to_zoned(berlin).strftime("%a %F %H:%M %z").to_string()
    }

    #[test]
    fn weekdays_and_times() {
        let monday = step("0 days", Days::On(vec![Monday]), Some("09:00"));
        for (started, at) in [
            ("2026-11-23T07:00:00Z", "Mon 2026-11-23 09:00 +0100"),
            ("2026-11-23T08:00:00Z", "Mon 2026-11-23 09:00 +0100"),
            ("2026-11-23T08:00:01Z", "Mon 2026-11-30 09:00 +0100"),
            ("2026-11-24T12:00:00Z", "Mon 2026-11-30 09:00 +0100"),
            ("2026-03-24T12:00:00Z", "Mon 2026-03-30 09:00 +0200"),
        ] {
            assert_eq!(due(&monday, started), at, "{started}");
        }
        assert_eq!(due(&step("90 minutes", Days::Any, None), "2026-11-23T07:00:00Z"), "Mon 2026-11-23 09:30 +0100");
        assert_eq!(due(&step("1 month", Days::Any, Some("08:00")), "2027-01-31T12:00:00Z"), "Mon 2027-03-01 08:00 +0100");
        assert_eq!(due(&step("1 week", Days::On(vec![Friday, Tuesday]), None), "2026-11-23T07:00:00Z"), "Tue 2026-12-01 08:00 +0100");
    }

    #[test]
    fn days_of_the_month() {
        let last = step("0 days", Days::OfMonth(vec![31]), Some("06:00"));
        assert_eq!(due(&last, "2027-02-02T00:00:00Z"), "Sun 2027-02-28 06:00 +0100");
        assert_eq!(due(&last, "2027-03-01T00:00:00Z"), "Wed 2027-03-31 06:00 +0200");
        let two = step("0 days", Days::OfMonth(vec![1, 15]), Some("06:00"));
        assert_eq!(due(&two, "2026-11-15T12:00:00Z"), "Tue 2026-12-01 06:00 +0100");
    }

    #[test]
    fn clock_changes() {
        let night = |time| step("0 days", Days::Any, Some(time));
        assert_eq!(due(&night("02:30"), "2026-03-28T12:00:00Z"), "Sun 2026-03-29 03:30 +0200", "02:30 isn't there that night");
        assert_eq!(due(&night("02:30"), "2026-10-24T12:00:00Z"), "Sun 2026-10-25 02:30 +0200", "the first of two");
        assert_eq!(
            due(&step("1 day", Days::Any, None), "2026-03-28T12:00:00Z"),
            "Sun 2026-03-29 13:00 +0200",
            "a day is a day by the clock"
        );
    }

    #[test]
    fn a_schedule_goes_on() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let schedule = Schedule { days: Days::On(vec![Monday]), at: "09:00".parse().unwrap() };
        let mut at: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            at = schedule.next(at, &berlin);
            seen.push(at.to_string());
        }
        let wanted = ["2026-10-05T07", "2026-10-12T07", "2026-10-19T07", "2026-10-26T08", "2026-11-02T08"];
        assert!(seen.iter().zip(wanted).all(|(seen, wanted)| seen.starts_with(wanted)), "{seen:?}");
    }
}

//! Durations, rates, sizes and times of day as people write them. Pure.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::{
    Span, SpanRelativeTo, ToSpan,
    civil::{Date, Time},
};

use crate::action::Rate;

pub const DAY: Duration = Duration::from_secs(86_400);

/// `60 s`, `1 hour 30 min`, `60 days`; months and years have no fixed length. Never zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let hint = "write it as \"60 s\", \"15 min\", \"1 hour\" or \"60 days\"";
    if !text.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("'{text}' is no duration; {hint}"));
    }
    let span: Span = text.trim().parse().map_err(|_| format!("'{text}' is no duration; {hint}"))?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("'{text}' has no fixed length; write days, as in \"60 days\""));
    }
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| format!("'{text}' is too long; {hint}"))?;
    Duration::try_from(length).ok().filter(|length| !length.is_zero()).ok_or_else(|| format!("'{text}' must be longer than nothing"))
}

/// [`duration`], or `None` for `never`.
pub fn duration_or_never(text: &str) -> Result<Option<Duration>, String> {
    if text.trim().eq_ignore_ascii_case("never") { Ok(None) } else { duration(text).map(Some) }
}

/// `10 per second`; also minute, hour, day. Never zero.
pub fn rate(text: &str) -> Result<Rate, String> {
    let hint = || format!("'{text}' is no rate; write it as \"10 per second\", or per minute, hour or day");
    let words: Vec<&str> = text.split_whitespace().collect();
    let [count, "per", unit] = words.as_slice() else { return Err(hint()) };
    let per = match *unit {
        "second" => Duration::from_secs(1),
        "minute" => Duration::from_secs(60),
        "hour" => Duration::from_secs(3_600),
        "day" => DAY,
        _ => return Err(hint()),
    };
    let written = count.starts_with(|c: char| c.is_ascii_digit());
    let count: u32 = count.parse().ok().filter(|_| written).ok_or_else(hint)?;
    if count == 0 { Err(format!("'{text}' lets nothing through; write a number from 1")) } else { Ok(Rate { count, per }) }
}

/// [`rate`], or `None` for `never`.
pub fn rate_or_never(text: &str) -> Result<Option<Rate>, String> {
    if text.trim().eq_ignore_ascii_case("never") { Ok(None) } else { rate(text).map(Some) }
}

/// From the start of a sequence: `0 days`, `90 minutes`, `2 months`. Months and years are the calendar's.
pub fn after(text: &str) -> Result<Span, String> {
    let hint = || format!("'{text}' is no length of time; write it as \"0 days\", \"90 minutes\", \"2 weeks\" or \"1 month\"");
    let written = text.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let span: Span = text.trim().parse().ok().filter(|span: &Span| written && !span.is_negative()).ok_or_else(hint)?;
    match compare(&span, &10.years()) {
        Some(order) if order.is_le() => Ok(span),
        _ => Err(format!("'{text}' is more than ten years; write less")),
    }
}

/// Which is longer, where a month is one of 31 days.
pub fn compare(one: &Span, other: &Span) -> Option<std::cmp::Ordering> {
    one.compare((other, Date::constant(2026, 1, 1))).ok()
}

/// Bytes: `256 MiB`, `10 MB`.
pub fn size(text: &str) -> Result<u64, String> {
    let bytes = text.trim().parse::<ByteSize>();
    bytes.map(|size| size.as_u64()).map_err(|_| format!("'{text}' is no size; write it as \"256 MiB\", or as a number of bytes"))
}

/// `08:00`, or `08:00:30`.
pub fn time(text: &str) -> Result<Time, String> {
    let shape = matches!(text.len(), 5 | 8) && text.bytes().enumerate().all(|(place, byte)| (byte == b':') == (place % 3 == 2));
    text.parse().ok().filter(|_| shape).ok_or_else(|| format!("'{text}' is no time of day; write it as \"08:00\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        for (text, seconds) in [
            ("60 s", 60),
            ("60s", 60),
            ("15 min", 900),
            ("1 hour", 3_600),
            ("1 hour 30 minutes", 5_400),
            ("24 hours", 86_400),
            ("1 day", 86_400),
            ("60 days", 5_184_000),
            ("2 weeks", 1_209_600),
            ("0.5 h", 1_800),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "60", "s", "-1 s", "0 s", "1 month", "2 years", "1 fortnight", "99999999999999 days", "1 s x"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(duration_or_never("Never"), Ok(None));
        assert!(duration("1 month").unwrap_err().contains("days"));
    }

    #[test]
    fn rates() {
        for (text, count, seconds) in
            [("10 per second", 10, 1), (" 1  per minute ", 1, 60), ("20 per hour", 20, 3_600), ("4294967295 per day", u32::MAX, 86_400)]
        {
            assert_eq!(rate(text), Ok(Rate { count, per: Duration::from_secs(seconds) }), "{text}");
        }
        assert_eq!(rate_or_never("Never"), Ok(None));
        for bad in [
            "",
            "10",
            "10 per",
            "10/s",
            "0 per hour",
            "-1 per hour",
            "+1 per hour",
            "1.5 per day",
            "4294967296 per day",
            "10 per 2 seconds",
        ] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("256 MiB"), Ok(256 << 20));
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("4096"), Ok(4096));
        for bad in ["", "MiB", "-1 MiB", "1 parsec"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_by_the_calendar() {
        for (text, span) in [
            ("0 days", 0.days()),
            ("90 minutes", 90.minutes()),
            ("2 months", 2.months()),
            ("1 year 2 weeks", 1.year().weeks(2)),
            ("3 hours", 3.hours()),
        ] {
            assert_eq!(after(text).map(Span::fieldwise), Ok(span.fieldwise()), "{text}");
        }
        for bad in ["", "3", "-1 day", "1 day ago", "P1D", "soon", "11 years", "4000 days", "99999999999999 days"] {
            assert!(after(bad).is_err(), "{bad}");
        }
        assert_eq!(compare(&1.month(), &30.days()), Some(std::cmp::Ordering::Greater));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(time("08:30"), Ok(Time::constant(8, 30, 0, 0)));
        assert_eq!(time("08:30:15"), Ok(Time::constant(8, 30, 15, 0)));
        for bad in ["", "8:00", "24:00", "08:60", "0800", "08:00:0", "08:00:61", "080:0:00", "noon"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}

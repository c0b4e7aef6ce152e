//! `bounced events`: the log of what came in, newest first.

use std::{path::Path, process::ExitCode};

use clap::Args;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::{
    control::{EventFilter, Request},
    taxonomy::Status,
};

/// The log of what came in, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced events --status hard-bounce --since '2 days' --limit 50")]
pub struct EventsArgs {
    /// Only events of this status
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only events of this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only events from then on: a time (2026-11-23T04:41:00Z), a day (2026-11-23) or how long ago (2 days)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// At most so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, args: &EventsArgs) -> ExitCode {
    finish(events(config, args))
}

fn events(config: &Path, args: &EventsArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let request = Request::Events(EventFilter {
        status: args.status.map(|status| status.id().to_owned()),
        address: args.address.clone(),
        since: args.since,
        limit: if args.limit == 0 { usize::MAX } else { args.limit },
    });
    let rows = ask::rows(config, &request, &mut out, |row| {
        let address = if row["address"].is_null() { cell(&row["rcpt"]) } else { cell(&row["address"]) };
        let mut cells = vec![cell(&row["id"]), cell(&row["at"]), cell(&row["status"]), address];
        cells.extend(["campaign", "enhanced", "rule", "fired"].map(|key| cell(&row[key])));
        cells
    })?;
    if !args.json {
        out.table(&["id", "at", "status", "address", "campaign", "code", "rule", "fired"], &rows)?;
        if rows.is_empty() {
            out.line("No such event.")?;
        }
    }
    Ok(out.flush()?)
}

pub fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return day.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string());
    }
    let span: Span = text
        .trim_end_matches(" ago")
        .parse()
        .map_err(|_| "give a time (2026-11-23T04:41:00Z), a day (2026-11-23) or how long ago (2 days)".to_owned())?;
    let back: SignedDuration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    Zoned::now().timestamp().checked_sub(back.abs()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(since("2026-11-23").unwrap().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(since("2026-11-23T04:41:00Z").unwrap().to_string(), "2026-11-23T04:41:00Z");
        assert!(since("2 days").unwrap() < since("1 hour ago").unwrap());
        assert!(since("yesterday or so").is_err());
    }
}

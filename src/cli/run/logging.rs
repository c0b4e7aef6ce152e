//! The log: one line an event on standard error, journald-friendly, or JSON.
//!
//! Whatever an event tells, its line is one line and steers no terminal: the formats escape texts, and [`Line`] what they leave.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

use crate::action::clean;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sets the process's log up at `level`, unless `BOUNCED_LOG` (`info`, `bounced::smtp=debug,info`) says otherwise. Under systemd the journal stamps the
/// lines, so they go without a time of their own.
pub fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("BOUNCED_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let coloured = format == LogFormat::Text && io::stderr().is_terminal();
    let writer = move || Line { out: io::stderr(), format, coloured };
    let log = fmt().with_env_filter(filter).with_writer(writer).with_ansi(coloured);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // A second start in one process (the demo's) keeps the first.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text if journal => log.without_time().with_target(false).try_init(),
        LogFormat::Text => log.with_target(false).try_init(),
    };
}

/// Takes one event a write, as tracing-subscriber hands them over.
struct Line<W> {
    out: W,
    format: LogFormat,
    /// The format's own colours begin with ESC; those of values it has escaped.
    coloured: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let raw = |c: char| (c.is_control() && !(self.coloured && c == '\u{1b}')) || clean::deceptive(c);
        let line = match self.format {
            LogFormat::Json => clean::json(line),
            LogFormat::Text if line.contains(raw) => {
                line.chars().map(|c| if raw(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
            }
            LogFormat::Text => line.into(),
        };
        self.out.write_all(format!("{line}{end}").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: LogFormat, coloured: bool, event: &str) -> String {
        let mut line = Line { out: Vec::new(), format, coloured };
        line.write_all(event.as_bytes()).unwrap();
        String::from_utf8(line.out).unwrap()
    }

    #[test]
    fn an_event_is_one_line_and_steers_nothing() {
        let event = "2026 INFO said\nERROR forged \u{1b}[2J\u{202e}\u{9b}x\u{2028}é\n";
        assert_eq!(written(LogFormat::Text, false, event), "2026 INFO said\\nERROR forged \\u{1b}[2J\\u{202e}\\u{9b}x\\u{2028}é\n");
        assert_eq!(written(LogFormat::Text, true, "\u{1b}[32mINFO\u{1b}[0m a\tb\n"), "\u{1b}[32mINFO\u{1b}[0m a\\tb\n");
        assert_eq!(written(LogFormat::Json, false, "{\"a\":\"\u{202e}\u{9b}é\"}\n"), "{\"a\":\"\\u202e\\u009bé\"}\n");
    }
}

//! Results to standard output: JSON lines for programs, tables for people.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::action::clean;

/// Where a command's rows go.
pub struct Output {
    out: io::BufWriter<io::Stdout>,
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Output {
        Output { out: io::BufWriter::new(io::stdout()), json }
    }

    pub fn json(&self) -> bool {
        self.json
    }

    /// One JSON object on a line.
    pub fn object(&mut self, row: &Value) -> io::Result<()> {
        json_line(&mut self.out, row)
    }

    /// One row of CSV (RFC 4180).
    pub fn csv(&mut self, cells: &[String]) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut self.out);
        writer.write_record(cells)?;
        writer.flush()
    }

    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Columns under their titles, cut to the terminal's width where there is one.
    pub fn table(&mut self, titles: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(titles.iter().map(|title| title.to_uppercase()));
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim())?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One JSON object on a line, fit for a terminal, too: what strangers wrote is escaped where it could steer one.
pub fn json_line(out: &mut dyn Write, row: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", clean::json(&serde_json::to_string(row)?))
}

/// The text of a JSON value as a person reads it; nothing for null.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(map) => map.iter().map(|(key, value)| format!("{key} {}", cell(value))).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Strangers' text must not steer the terminal, nor turn the direction in which it is read (Unicode's bidirectional controls).
pub fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() || clean::deceptive(c) || matches!(c, '\u{200b}'..='\u{200d}');
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{9b}d\u{202e}e"), "a [31mb  c d e");
    }

    #[test]
    fn cells() {
        assert_eq!(cell(&serde_json::json!({"hard-bounce": 3, "auto-reply": 1})), "hard-bounce 3, auto-reply 1");
        assert_eq!(cell(&serde_json::json!(["a", null])), "a, ");
    }
}

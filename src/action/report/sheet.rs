//! The attachment: all people as CSV (RFC 4180), in UTF-8 with a header row and CRLF. Pure.
//!
//! Spreadsheets take a cell that begins like a formula for one: it gets an apostrophe before it, which they show as text.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use crate::action::clean;

/// From so many octets on it is compressed: in base64 it would come near to what relays take (Postfix by default 10,240,000).
const COMPRESSED_FROM: usize = 4 * 1024 * 1024;

/// A file to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    pub name: String,
    pub mime: &'static str,
    pub bytes: Vec<u8>,
}

/// `name` becomes the file's, as far as it may.
pub fn sheet(name: &str, csv: Vec<u8>) -> Result<Sheet, String> {
    let name = file_name(name);
    if csv.len() < COMPRESSED_FROM {
        return Ok(Sheet { name: format!("{name}.csv"), mime: "text/csv; charset=utf-8; header=present", bytes: csv });
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packed.write_all(&csv).and_then(|()| packed.finish());
    let bytes = packed.map_err(|error| format!("the CSV can't be compressed: {error}"))?;
    Ok(Sheet { name: format!("{name}.csv.gz"), mime: "application/gzip", bytes })
}

/// Makes rows.
pub struct Writer(csv::Writer<Vec<u8>>);

impl Default for Writer {
    fn default() -> Writer {
        Writer(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).buffer_capacity(1024).from_writer(Vec::new()))
    }
}

impl Writer {
    /// One row with its line end.
    pub fn row(&mut self, cells: impl Iterator<Item = String>) -> Result<Vec<u8>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the CSV can't be written: {error}");
        self.0.write_record(cells.map(|cell| clean::cell(&cell))).map_err(|error| failed(&error))?;
        let writer = std::mem::take(self).0;
        writer.into_inner().map_err(|error| failed(&error))
    }
}

fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = name.chars().take(60).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "report".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{
        super::{
            Gathered,
            tests::{entry, task},
        },
        *,
    };
    use crate::ledger::Entry;

    fn sheet(name: &str, fields: &[&str], people: impl IntoIterator<Item = Entry>) -> Sheet {
        let mut gathered = Gathered::new(&task(fields));
        gathered.extend(people);
        super::sheet(name, gathered.sort().unwrap().csv).unwrap()
    }

    #[test]
    fn rfc_4180() {
        let mut quoted = entry(1);
        quoted.facts.event.verdict.diagnostic = Some("said \"no\",\r\nand no".to_owned());
        quoted.facts.event.campaign = None;
        quoted.facts.tags = vec!["ü".to_owned(), "second".to_owned()];
        let sheet = sheet("clean up/../x", &["address", "campaign", "diagnostic", "tags"], [quoted]);
        assert_eq!((sheet.name.as_str(), sheet.mime), ("clean-up----x.csv", "text/csv; charset=utf-8; header=present"));
        assert_eq!(
            String::from_utf8(sheet.bytes).unwrap(),
            "address,campaign,diagnostic,tags\r\np000001@example.org,,\"said \"\"no\"\", and no\",\"ü, second\"\r\n"
        );
        assert_eq!(file_name("../"), "report");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (from, to) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'=1"),
            ("\r=1", "'=1"),
            (" \u{0}=1", "'=1"),
            ("\u{200f}\u{feff}=1", "'=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
        ] {
            let mut entry = entry(1);
            entry.facts.event.verdict.diagnostic = Some(from.to_owned());
            let sheet = sheet("x", &["diagnostic"], [entry]);
            assert_eq!(String::from_utf8(sheet.bytes).unwrap(), format!("diagnostic\r\n{to}\r\n"), "{from:?}");
        }
    }

    #[test]
    fn a_large_one_is_compressed() {
        let sheet = sheet("x", &["address", "diagnostic", "first_seen", "remote_mta", "rule"], (0..40_000).rev().map(entry));
        assert_eq!((sheet.name.as_str(), sheet.mime), ("x.csv.gz", "application/gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&sheet.bytes[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 40_001);
        assert!(text.lines().skip(1).is_sorted());
    }
}

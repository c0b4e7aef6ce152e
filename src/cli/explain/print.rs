//! The steps as text.

use std::io::{self, Write};

use serde_json::Value;

use super::{
    mark::Marked,
    steps::{Explanation, Step},
};
use crate::cli::output::{cell, printable};

/// Writes what people read. Matched words are in reverse video on a terminal, else between `>>>` and `<<<`.
pub struct Printer<'a> {
    out: &'a mut dyn Write,
    marks: (&'static str, &'static str),
}

impl<'a> Printer<'a> {
    pub fn new(out: &'a mut dyn Write, colour: bool) -> Printer<'a> {
        Printer { out, marks: if colour { ("\u{1b}[7m", "\u{1b}[0m") } else { (">>>", "<<<") } }
    }

    /// An event as it was recorded.
    pub fn event(&mut self, event: &Value) -> io::Result<()> {
        writeln!(self.out, "Event {}, recorded {}", cell(&event["id"]), cell(&event["at"]))?;
        let titles = [
            ("envelope recipient", "rcpt"),
            ("address", "address"),
            ("campaign", "campaign"),
            ("status", "status"),
            ("fault", "fault"),
            ("reply", "reply"),
            ("enhanced", "enhanced"),
            ("rule", "rule"),
            ("evidence", "evidence"),
            ("remote MTA", "remote_mta"),
            ("client", "client"),
            ("signed", "signed"),
            ("standing", "standing"),
            ("fired", "fired"),
        ];
        for (title, key) in titles {
            self.fact(title, &cell(&event[key]))?;
        }
        if let Some(diagnostic) = event["diagnostic"].as_str() {
            let (before, matched, after) = apart(diagnostic, event["evidence"].as_str().unwrap_or_default());
            let line = self.marked(before, matched, after);
            writeln!(self.out, "  {:<20}{line}", "said")?;
        }
        if event["raw_kept"] != true {
            writeln!(
                self.out,
                "\nIts raw mail isn't kept (only that of undetermined mail is, as long as keep.raw says): this is all that is known."
            )?;
        } else {
            writeln!(self.out, "\nIts raw mail, told anew:\n")?;
        }
        Ok(())
    }

    pub fn explanation(&mut self, of: &Explanation) -> io::Result<()> {
        self.structure(of)?;
        self.sort(of)?;
        for (number, step) in of.steps.iter().enumerate() {
            let title =
                if of.steps.len() > 1 { format!("3. Recipient {} of {}", number + 1, of.steps.len()) } else { "3. Recipient".to_owned() };
            writeln!(self.out, "\n{title}")?;
            self.step(step)?;
        }
        writeln!(self.out, "\n4. Verdict")?;
        if let Some(address) = &of.verp_address {
            writeln!(self.out, "  The envelope names {}: the gravest verdict counts, for that person alone.", printable(address))?;
        }
        for verdict in &of.verdicts {
            let address = printable(verdict.address.as_deref().unwrap_or("nobody by address"));
            let status = verdict.status;
            writeln!(self.out, "  {address}: {status} (fault: {}), rule {}", status.fault().id(), printable(&verdict.rule))?;
        }
        Ok(())
    }

    fn structure(&mut self, of: &Explanation) -> io::Result<()> {
        writeln!(self.out, "{}, {} octets\n\n1. Structure: {}", printable(&of.source), of.octets, of.form)?;
        for (number, part) in of.parts.iter().enumerate() {
            let mime = if part.mime.is_empty() { "no type" } else { &part.mime };
            let how = [part.charset.as_deref().unwrap_or_default(), &part.encoding].map(printable).join(" ");
            writeln!(
                self.out,
                "  part {}  {:<26} {:>7} octets  {:<24} {}",
                number + 1,
                printable(mime),
                part.octets,
                how.trim(),
                part.taken
            )?;
        }
        if let Some(original) = &of.original {
            if !original.own_part {
                writeln!(
                    self.out,
                    "  The returned original, or a citation of it, stands in the text and is set apart: nothing in it counts."
                )?;
            }
            self.fact("original's To", &original.to.join(", "))?;
            self.fact("original's subject", original.subject.as_deref().unwrap_or_default())?;
            self.fact("original's id", original.message_id.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    fn sort(&mut self, of: &Explanation) -> io::Result<()> {
        writeln!(self.out, "\n2. Sort: {}, by rule {}", of.kind, printable(&of.kind_rule))?;
        for sign in &of.signs {
            writeln!(self.out, "  - {}", printable(sign))?;
        }
        self.lines(&of.kind_lines, of.kind_evidence.as_deref())
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        self.fact("address", step.address.as_deref().unwrap_or("none is named"))?;
        self.fact("named in", &step.named_in.join(", "))?;
        self.fact("action", step.action.unwrap_or_default())?;
        self.fact("codes", &step.codes.join(" "))?;
        self.fact("refused at", step.stage.unwrap_or_default())?;
        self.fact("said", step.diagnostic.as_deref().unwrap_or_default())?;
        self.fact("reply in the text", step.quoted.as_deref().unwrap_or_default())?;
        self.fact("decided by", step.decided)?;
        self.fact("status", step.status)?;
        self.fact("rule", &step.rule)?;
        self.fact("note", step.note.unwrap_or_default())?;
        self.lines(&step.lines, step.evidence.as_deref())?;
        if !step.candidates.is_empty() {
            writeln!(self.out, "  What was weighed:")?;
        }
        for one in &step.candidates {
            let (sign, why) =
                if one.won { ("won ", String::new()) } else { ("lost", format!("  ({})", one.lost.as_deref().unwrap_or_default())) };
            let words = printable(one.evidence.as_deref().unwrap_or_default());
            writeln!(self.out, "    {sign} {:>3}  {:<30} {:<24} \"{words}\"{why}", one.weight, one.status, printable(&one.rule))?;
            if let Some(note) = one.note.filter(|_| !one.won) {
                writeln!(self.out, "              {}", printable(note))?;
            }
        }
        Ok(())
    }

    fn fact(&mut self, title: &str, text: &str) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { writeln!(self.out, "  {title:<20}{}", printable(text)) }
    }

    /// The lines with their words marked; the words alone where no line has them as they are.
    fn lines(&mut self, lines: &[Marked], evidence: Option<&str>) -> io::Result<()> {
        if lines.is_empty() {
            return self.fact("matched", evidence.unwrap_or_default());
        }
        for line in lines {
            let place = match (line.part, line.line) {
                (Some(part), number) => format!("part {part} line {number}"),
                (None, 0) => String::new(),
                (None, number) => format!("line {number}"),
            };
            let text = self.marked(&line.before, &line.matched, &line.after);
            writeln!(self.out, "  {place:<20}{text}")?;
        }
        Ok(())
    }

    fn marked(&self, before: &str, matched: &str, after: &str) -> String {
        if matched.is_empty() {
            return format!("{}{}", printable(before), printable(after));
        }
        format!("{}{}{}{}{}", printable(before), self.marks.0, printable(matched), self.marks.1, printable(after))
    }
}

/// A text before, in and after the words in it; all of it before where they aren't there.
fn apart<'t>(text: &'t str, words: &str) -> (&'t str, &'t str, &'t str) {
    let found = text.find(words).filter(|_| !words.is_empty()).and_then(|at| {
        let (before, rest) = text.split_at_checked(at)?;
        let (matched, after) = rest.split_at_checked(words.len())?;
        Some((before, matched, after))
    });
    found.unwrap_or((text, "", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::{Envelope, OperatorRules},
        cli::explain::explanation,
    };

    fn text(raw: &[u8], colour: bool) -> String {
        let of = explanation("x.eml", raw, &Envelope::default(), &OperatorRules::default());
        let mut out = Vec::new();
        Printer::new(&mut out, colour).explanation(&of).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        let raw = b"From: \"\x1b[2J\" <MAILER-DAEMON@example.org>\nReturn-Path: <>\nSubject: \x1b]0;x\x07 \xe2\x80\xae failure\nContent-Type: text/plain; charset=\"\x1b[1m\"\n\n\
            <a@example.org>:\n550 \x1b[31m user unknown\x1b[0m \xc2\x9b32m\n";
        let plain = text(raw, false);
        assert!(plain.contains(">>>user unknown<<<"), "{plain}");
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{plain:?}");
        let colour = text(raw, true);
        assert_eq!(colour.matches('\u{1b}').count() % 2, 0);
        assert_eq!(colour.replace("\u{1b}[7m", "").replace("\u{1b}[0m", "").matches('\u{1b}').count(), 0);
    }

    #[test]
    fn words_in_a_stored_diagnostic() {
        assert_eq!(apart("550 user unknown here", "user unknown"), ("550 ", "user unknown", " here"));
        assert_eq!(apart("550", "5.1.1"), ("550", "", ""));
        assert_eq!(apart("550", ""), ("550", "", ""));
    }
}

//! Splits an mbox into its mails, one at a time, whatever its size.
//!
//! A `From ` line begins a mail where a blank line (or nothing) stands before it, a date stands in it, and a header field after it. "From now on" in a text begins nothing. Mails longer than the bound are cut there and the rest is passed over.

use std::io::{self, BufRead};

/// A line is looked at in pieces of at most so many octets.
const PIECE: usize = 8 * 1024;

/// The mails of an mbox (or of anything else: then it is one mail).
pub struct Mbox<R> {
    input: R,
    bound: usize,
    /// The `From ` line that began the next mail, and the line after it, read already.
    pending: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Mbox<R> {
    pub fn new(input: R, bound: usize) -> Mbox<R> {
        Mbox { input, bound, pending: Vec::new(), ended: false }
    }

    /// The next mail with its `From ` line, cut at the bound.
    pub fn next_mail(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut mail = std::mem::take(&mut self.pending);
        let mut after_blank = mail.is_empty();
        let mut separator: Option<Vec<u8>> = None;
        loop {
            let mut line = Vec::new();
            let whole = self.piece(&mut line)?;
            if line.is_empty() {
                self.ended = true;
                self.append(&mut mail, &separator.take().unwrap_or_default());
                return Ok((!mail.is_empty()).then_some(mail));
            }
            if let Some(mut from) = separator.take() {
                // A mail that was filed with the `From ` line of another mbox has two.
                if (begins_header(&line) || is_from_line(&line)) && !mail.is_empty() {
                    from.extend_from_slice(&line);
                    self.pending = from;
                    return Ok(Some(mail));
                }
                self.append(&mut mail, &from);
            }
            if whole && after_blank && is_from_line(&line) {
                separator = Some(line);
                after_blank = false;
                continue;
            }
            after_blank = whole && line.iter().all(|b| b.is_ascii_whitespace());
            self.append(&mut mail, &line);
        }
    }

    fn append(&self, mail: &mut Vec<u8>, line: &[u8]) {
        let room = self.bound.saturating_sub(mail.len());
        mail.extend_from_slice(line.get(..room).unwrap_or(line));
    }

    /// Reads up to the line's end or a piece's length; gives whether the line's end was reached.
    fn piece(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let ready = buffer.get(..PIECE.saturating_sub(line.len())).unwrap_or(buffer);
            let end = ready.iter().position(|&b| b == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(ready.len());
            line.extend_from_slice(ready.get(..taken).unwrap_or(ready));
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(end.is_some() || line.len() < PIECE);
            }
        }
    }
}

/// `From alice@example.org Mon Nov 23 05:26:59 2026`, with whatever stands for the address and in whatever order the date is.
pub fn is_from_line(line: &[u8]) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let Some(rest) = line.strip_prefix(b"From ").filter(|rest| rest.len() < 1000) else { return false };
    let rest = String::from_utf8_lossy(rest).to_ascii_lowercase();
    let month = rest.split_whitespace().any(|word| MONTHS.contains(&word));
    let time = rest.split_whitespace().any(|word| word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()));
    month && time
}

fn begins_header(line: &[u8]) -> bool {
    let name: Vec<u8> = line.iter().copied().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')).collect();
    let field = !name.is_empty() && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
    field || line.starts_with(b">From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, bound: usize) -> Vec<String> {
        let mut mbox = Mbox::new(text.as_bytes(), bound);
        let mut mails = Vec::new();
        while let Some(mail) = mbox.next_mail().unwrap() {
            mails.push(String::from_utf8(mail).unwrap());
        }
        mails
    }

    #[test]
    fn from_lines_split_and_from_in_a_text_does_not() {
        let one =
            "From a@example.org Mon Nov 23 05:26:59 2026\nSubject: 1\n\nFrom now on, all is well.\n\nFrom here to May 12:00 it is.\n\n";
        let two = "From - Mon Nov 23 05:27:00 2026\nSubject: 2\n\ntext";
        assert_eq!(split(&format!("{one}{two}"), 10_000), [one, two]);
        let filed_twice = format!("From - Mon Nov 23 05:28:00 2026\n{two}");
        assert_eq!(split(&format!("{one}{filed_twice}"), 10_000), [one, &filed_twice]);
    }

    #[test]
    fn what_is_no_mbox_is_one_mail() {
        assert_eq!(split("Subject: 1\n\ntext\n", 100), ["Subject: 1\n\ntext\n"]);
        assert_eq!(split("", 100), Vec::<String>::new());
    }

    #[test]
    fn a_mail_is_cut_at_the_bound_and_the_next_one_found() {
        let long = format!("From a Mon Nov 23 05:26:59 2026\nX: {}\n\n", "y".repeat(50_000));
        let mails = split(&format!("{long}From b Mon Nov 23 05:26:59 2026\nX: 2\n"), 1000);
        assert_eq!((mails.len(), mails[0].len()), (2, 1000));
        assert_eq!(mails[1], "From b Mon Nov 23 05:26:59 2026\nX: 2\n");
    }
}

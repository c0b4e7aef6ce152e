//! The transcript of the SMTP session in a notice of sendmail, and what in it is worth nothing.

use std::collections::HashSet;

/// sendmail's account of the dialogue. It belongs to all recipients; what sendmail says in its own name after a server's reply is a guess
/// ("550 5.1.1 User unknown", "554 5.0.0 Service unavailable" whatever the reply was) or follows from it ("503 Need RCPT").
#[derive(Debug, Default)]
pub struct Transcript<'a> {
    open: bool,
    replied: bool,
    pub lines: Vec<&'a str>,
    pub guesses: HashSet<&'a str>,
}

impl<'a> Transcript<'a> {
    /// Whether a line is part of it.
    pub fn takes(&mut self, line: &'a str) -> bool {
        let start = line.trim_start();
        if start.starts_with("--") && line.to_ascii_lowercase().contains("transcript of session follows") {
            self.open = true;
            return true;
        }
        if !self.open {
            return false;
        }
        let reply = start.strip_prefix("<<< ");
        self.replied |= reply.is_some_and(|reply| reply.starts_with(['4', '5']));
        let own = start.starts_with(['4', '5']) && start.bytes().take(3).all(|b| b.is_ascii_digit());
        let follows = reply.is_some_and(|reply| reply.starts_with("503"));
        if follows || own && self.replied {
            self.guesses.insert(line);
        } else {
            self.lines.push(line);
        }
        true
    }
}

//! Strangers' text made fit for where it goes. Pure and total; what has no business there is dropped or becomes a space.

use std::{borrow::Cow, fmt::Write as _};

/// The longest subject that we write, in characters: more is cut and ends in `…`.
pub const SUBJECT_CHARS: usize = 250;

/// Characters that change the order in which others are shown, or end a line where few programs expect it.
pub fn deceptive(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Several lines: no control character but newline and tab, CRLF and bare CR become newline.
pub fn text(input: &str) -> String {
    let mut out = String::with_capacity(input.len());
    let mut chars = input.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                out.push('\n');
            }
            '\n' | '\t' => out.push(c),
            c if c.is_control() || deceptive(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// One line: white space of any kind, and every control character, becomes a single space; the ends are trimmed.
pub fn line(input: &str) -> String {
    let mut out = String::with_capacity(input.len());
    for c in input.chars().filter(|c| !deceptive(*c)) {
        if c.is_whitespace() || c.is_control() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// A cell of CSV: one line that no spreadsheet takes for a formula. What would begin one gets an apostrophe in front, which they show as text. The
/// signs of width two do the same in East Asian versions.
pub fn cell(input: &str) -> String {
    let line = line(input);
    if line.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) { format!("'{line}") } else { line }
}

/// A text of JSON that shows as it is: what no terminal should get is written as `\u202e`. Such characters stand in its strings only.
pub fn json(text: &str) -> Cow<'_, str> {
    let raw = |c: char| c.is_control() || deceptive(c);
    if !text.contains(raw) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match raw(c) {
            // All of them lie in the Basic Multilingual Plane. Writing to a String can't fail.
            true => drop(write!(out, "\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Text for a mail's header field that no reader takes for an encoded word (RFC 2047): what is in one was looked at by nobody.
pub fn literal(text: &str) -> String {
    text.replace("=?", "= ?")
}

/// [`line`], cut at so many characters with `…` for what is gone.
pub fn cut(input: &str, chars: usize) -> String {
    let line = line(input);
    match line.char_indices().nth(chars) {
        None => line,
        Some(_) => line.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Every line end as CRLF, bare ones of either sort too: what a mail hop takes for a line end must not depend on the hop.
pub fn crlf(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 32);
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line("a\r\nBcc: x@example.org\u{0}\u{7f}b"), "a Bcc: x@example.org b");
        assert_eq!(line("  \u{2028}a\u{85}b\u{202E}c \n"), "a bc");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("äöüß", 3), "äö…");
    }

    #[test]
    fn json_shows_as_it_is() {
        let value = serde_json::json!({"a\u{202e}b": "c\u{9b}\n\u{7f}é\u{2066}"});
        let shown = json(&value.to_string()).into_owned();
        assert_eq!(shown, r#"{"a\u202eb":"c\u009b\n\u007fé\u2066"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn text_keeps_lines_and_tabs_only() {
        assert_eq!(text("a\r\nb\rc\n\td\u{1b}[31m\u{0}"), "a\nb\nc\n\td[31m");
    }
}

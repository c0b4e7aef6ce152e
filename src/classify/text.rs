//! The form in which words are compared, and the way back to the words as they stood.
//!
//! Case is folded, Latin letters lose their marks, white space and underscores joined, typographic quotes made plain; codes that an SMTP reply repeats on each of its lines are taken out,
//! so that a phrase may run over a line's end; each address becomes a bare `@`, so that no address looks like a phrase. Linear in the
//! length of the text; what lies beyond [`MAX`] octets is left out.

use std::{borrow::Cow, cell::OnceCell, ops::Range};

pub(super) use crate::message::cut_at as cut;
use crate::message::plain;

use super::{
    spaced::{Word, Words, is_space},
    words::{Token, Vocabulary},
};

/// So many octets of one text are looked at.
pub const MAX: usize = 64 * 1024;

/// The longest evidence, in characters.
const MAX_EVIDENCE: usize = 200;

/// A text beside its comparable form.
pub struct Text<'a> {
    original: Cow<'a, str>,
    norm: String,
    runs: Vec<Run>,
    row: OnceCell<Vec<Token>>,
}

/// A piece of the comparable form, octet by octet as it stood up to where the next begins; a space before it is its own.
#[derive(Clone, Copy)]
struct Run {
    norm: u32,
    origin: u32,
}

impl<'a> Text<'a> {
    pub fn new(original: impl Into<Cow<'a, str>>) -> Text<'a> {
        let mut original = original.into();
        if original.len() > MAX {
            original = Cow::Owned(cut(&original, MAX).to_owned());
        }
        let mut writer = Writer { norm: Vec::with_capacity(original.len()), runs: Vec::with_capacity(16) };
        writer.fill(&original);
        let Writer { mut norm, runs } = writer;
        // Within a stretch each gap is one octet of white space.
        norm.iter_mut().for_each(|octet| *octet = if *octet < b' ' { b' ' } else { octet.to_ascii_lowercase() });
        // It was put together of whole characters.
        let norm = String::from_utf8(norm).unwrap_or_default();
        Text { original, norm, runs, row: OnceCell::new() }
    }

    pub fn norm(&self) -> &str {
        &self.norm
    }

    /// The words of the comparable form, looked up when they are first asked for. There is one vocabulary: that of the tables.
    pub fn row(&self, words: &Vocabulary) -> &[Token] {
        self.row.get_or_init(|| words.row(&self.norm))
    }

    /// The words as they stood where `range` of the comparable form was found: bounded, on one line, no control characters.
    pub fn evidence(&self, range: Range<usize>) -> String {
        let (Some(last), start) = (range.end.checked_sub(1), self.place(range.start)) else { return String::new() };
        let last = self.place((0..=last).rev().find(|&at| self.norm.is_char_boundary(at)).unwrap_or(0));
        let end = last + self.original.get(last..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        tidy(self.original.get(start..end).unwrap_or_default(), MAX_EVIDENCE)
    }

    /// The text as it stood, from a place in the comparable form on.
    pub fn tail(&self, from: usize) -> &str {
        self.original.get(self.place(from)..).unwrap_or_default()
    }

    /// At most `max` octets of the text as it stood, up to a place in the comparable form.
    pub fn before(&self, to: usize, max: usize) -> &str {
        ending(self.original.get(..self.place(to)).unwrap_or_default(), max)
    }

    /// Where the character stood that a place in the comparable form came from.
    fn place(&self, at: usize) -> usize {
        if at >= self.norm.len() {
            return self.original.len();
        }
        let next = self.runs.partition_point(|run| run.norm as usize <= at);
        let space = self.norm.as_bytes().get(at) == Some(&b' ');
        match self.runs.get(next).filter(|run| space && run.norm as usize == at + 1) {
            Some(run) => run.origin as usize,
            None => next.checked_sub(1).and_then(|run| self.runs.get(run)).map_or(0, |run| run.origin as usize + at - run.norm as usize),
        }
    }
}

/// Writes the comparable form.
struct Writer {
    norm: Vec<u8>,
    runs: Vec<Run>,
}

impl Writer {
    /// What is pushed from now on came from there.
    fn run(&mut self, origin: usize) {
        self.runs.push(Run { norm: place(self.norm.len()), origin: place(origin) });
    }

    fn push(&mut self, c: char, at: usize) {
        self.run(at);
        self.norm.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn fill(&mut self, original: &str) {
        let mut repeated: Option<&str> = None;
        let mut after_code = false;
        let mut first = true;
        for mut word in Words::of(original) {
            // Only what begins with a digit can be a code.
            if !matches!(word.text.as_bytes().first(), Some(b'0'..=b'9')) {
                // sendmail's transcript marks each line of a reply.
                if word.text != "<<<" {
                    (first, after_code) = (false, false);
                    self.word(word);
                }
                continue;
            }
            if let Some((code, tail)) = continuation(word.text) {
                repeated.get_or_insert(code);
                word = Word { at: word.at + word.text.len() - tail.len(), text: tail, ..word };
                after_code = true;
            } else if !first && repeated == Some(word.text) {
                after_code = true;
                continue;
            }
            first = false;
            if after_code && is_enhanced(word.text) {
                after_code = false;
            } else if !word.text.is_empty() {
                after_code = false;
                self.word(word);
            }
        }
    }

    fn word(&mut self, word: Word<'_>) {
        let runs_on = word.marked && word.text.chars().next().is_some_and(wide) && ends_wide(&self.norm);
        if !self.norm.is_empty() && !runs_on {
            self.norm.push(b' ');
        }
        let (token, at) = (word.text, word.at);
        self.run(at);
        if !word.marked {
            return self.norm.extend_from_slice(token.as_bytes());
        }
        let mut done = 0;
        if token.as_bytes().contains(&b'@') {
            for (start, end) in addresses(token) {
                self.letters(token.get(done..start).unwrap_or_default(), at + done);
                self.push('@', at + start);
                done = end;
            }
        }
        self.letters(token.get(done..).unwrap_or_default(), at + done);
    }

    fn letters(&mut self, piece: &str, at: usize) {
        let plain = piece.bytes().take_while(|b| b.is_ascii_graphic() && !matches!(b, b'_' | b'`')).count();
        let (own, rest) = piece.split_at_checked(plain).unwrap_or_default();
        if !own.is_empty() {
            self.run(at);
            self.norm.extend_from_slice(own.as_bytes());
        }
        self.marked_letters(rest, at + plain);
    }

    fn marked_letters(&mut self, piece: &str, at: usize) {
        for (offset, c) in piece.char_indices() {
            match c {
                '\u{2018}' | '\u{2019}' | '\u{201b}' | '`' | '\u{b4}' => self.push('\'', at + offset),
                '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => self.push('"', at + offset),
                '\u{2010}'..='\u{2015}' => self.push('-', at + offset),
                '\u{ff1a}' => self.push(':', at + offset),
                '_' => self.push(' ', at + offset),
                '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}' => {}
                c if c.is_control() => {}
                c if c.is_ascii() => self.push(c.to_ascii_lowercase(), at + offset),
                c => fold(c, |plain| self.push(plain, at + offset)),
            }
        }
    }
}

/// Lower case, and Latin letters without their marks: half of the world's software writes them so.
fn fold(c: char, mut push: impl FnMut(char)) {
    let low = c.to_lowercase().next().unwrap_or(c);
    let plain = match low {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ạ'..='ặ' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => "e",
        'ğ' | 'ģ' => "g",
        'ì'..='ï' | 'ĩ' | 'ī' | 'į' | 'ı' | 'ỉ'..='ị' => "i",
        // What the dotted capital is in lower case, without its combining dot.
        'i' => "i",
        'ķ' => "k",
        'ł' | 'ľ' | 'ĺ' | 'ļ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'ơ' | 'ọ'..='ợ' => "o",
        'œ' => "oe",
        'ř' | 'ŕ' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ů' | 'ű' | 'ų' | 'ư' | 'ụ'..='ự' => "u",
        'ý' | 'ÿ' | 'ỳ'..='ỹ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        '\u{300}'..='\u{36f}' => "",
        _ => return c.to_lowercase().for_each(push),
    };
    plain.chars().for_each(&mut push);
}

/// A phrase as texts are compared with it, see [`fold`].
pub fn folded(phrase: &str) -> String {
    let mut out = String::with_capacity(phrase.len());
    phrase.chars().for_each(|c| if c.is_ascii() { out.push(c) } else { fold(c, |plain| out.push(plain)) });
    out
}

/// A place in a text of at most [`MAX`] octets.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// `550-5.1.1` and `550-The`: an SMTP reply's line that is not its last (RFC 5321, section 4.2.1).
fn continuation(token: &str) -> Option<(&str, &str)> {
    let (code, tail) = token.split_at_checked(3)?;
    let digits = code.bytes().all(|b| b.is_ascii_digit()) && matches!(code.as_bytes().first(), Some(b'4' | b'5'));
    tail.strip_prefix('-').filter(|_| digits).map(|tail| (code, tail))
}

/// Whether the word is an enhanced status code and nothing else.
pub fn is_enhanced(token: &str) -> bool {
    let mut parts = token.split('.');
    let class = matches!(parts.next(), Some("2" | "4" | "5"));
    let number = |part: Option<&str>| part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    class && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

/// A character of a script that doesn't part its words.
pub fn wide(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

fn ends_wide(text: &[u8]) -> bool {
    // All wide characters are of three octets.
    text.last_chunk::<3>().and_then(|last| std::str::from_utf8(last).ok()).and_then(|last| last.chars().next()).is_some_and(wide)
}

/// Where addresses stand in a word, brackets around them included.
fn addresses(token: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, _) in token.match_indices('@') {
        let floor = found.last().map_or(0, |&(_, end)| end);
        let Some(before) = token.get(floor..at) else { continue };
        let local = before.len() - before.trim_end_matches(is_local).len();
        let domain: usize = token.get(at + 1..).map_or(0, |after| after.len() - after.trim_start_matches(is_domain).len());
        // sendmail's "alice@example.org...User unknown": no domain has two dots in a row.
        let domain = token.get(at + 1..at + 1 + domain).and_then(|name| name.find("..")).unwrap_or(domain);
        if local == 0 || domain == 0 {
            continue;
        }
        let (mut start, mut end) = (at - local, at + 1 + domain);
        while token.get(..end).is_some_and(|t| t.ends_with(['.', '-'])) {
            end -= 1;
        }
        if start > floor && token.get(..start).is_some_and(|t| t.ends_with('<')) {
            start -= 1;
        }
        if token.get(end..).is_some_and(|t| t.starts_with('>')) {
            end += 1;
        }
        found.push((start, end));
    }
    found
}

/// A character of a local part as mail really has them (RFC 5322 atext and dots, RFC 6531), quotes aside.
pub fn is_local(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '.' | '_' | '-' | '+' | '=' | '%' | '&' | '#' | '*' | '/' | '!' | '~' | '^' | '$' | '\'' | '?' | '{' | '}')
}

pub fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// The last of a text, at most `max` octets, cut between characters.
pub fn ending(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// On one line, without control characters, at most `max` characters.
pub fn tidy(text: &str, max: usize) -> String {
    if let Some(plain) = plain(text).filter(|plain| plain.len() <= max) {
        return plain.to_owned();
    }
    let mut out = String::new();
    let mut gap = false;
    let mut left = max;
    for c in text.chars() {
        if is_space(c) || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') {
            gap = !out.is_empty();
            continue;
        }
        if std::mem::take(&mut gap) {
            out.push(' ');
            left = left.saturating_sub(1);
        }
        if left == 0 {
            break;
        }
        out.push(c);
        left -= 1;
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_brought_to_one_form() {
        let cases = [
            ("  User\r\n\tUNKNOWN ", "user unknown"),
            ("550 5.1.1 <Bob@example.org>... User Unknown", "550 5.1.1 @... user unknown"),
            ("550-5.1.1 The account does not 550-5.1.1 exist. Try 550 5.1.1 again", "the account does not exist. try again"),
            ("554-No SMTP\n554-service\n554 bye", "no smtp service bye"),
            ("for mailbox-full@example.org.", "for @."),
            ("RCPT TO:<a@b.example>:", "rcpt to:@:"),
            ("can\u{2019}t find", "can't find"),
            ("Não GRÖẞE e\u{301}t\u{e9} Ł", "nao grosse ete l"),
            ("收件人\n不存在", "收件人不存在"),
            ("a @ b", "a @ b"),
            ("BAD_RECIPIENT", "bad recipient"),
            ("<<< 552-5.7.0 a potential\n<<< 552-5.7.0 security issue", "a potential security issue"),
            ("", ""),
        ];
        for (given, want) in cases {
            assert_eq!(Text::new(given).norm(), want, "{given:?}");
        }
    }

    #[test]
    fn evidence_is_what_stood_there() {
        let text = Text::new("550-5.1.1 User\r\n550 5.1.1 UNKNOWN here");
        let at = text.norm().find("user unknown").unwrap();
        assert_eq!(text.evidence(at..at + 12), "User 550 5.1.1 UNKNOWN");
        let text = Text::new("İstanbul ÜBERFÜLLT!");
        let at = text.norm().find("uberfullt").unwrap();
        assert_eq!(text.evidence(at..at + "uberfullt".len()), "ÜBERFÜLLT");
    }

    #[test]
    fn tidy_bounds_and_cleans() {
        assert_eq!(tidy("a\u{0}\u{1b}[31m\r\n b\u{202e}", 100), "a [31m b");
        assert_eq!(tidy(&"é".repeat(300), 200).chars().count(), 200);
    }
}

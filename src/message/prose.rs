//! The human-readable words of a mail, without what they return or quote (taxonomy rule 3).

use std::{borrow::Cow, collections::HashSet, sync::OnceLock};

use mail_parser::decoders::html::html_to_text;
use regex::Regex;

use super::{
    dsn, original,
    parts::Part,
    report::{Form, Original, Report},
    separator, text,
    words::Words,
};

/// The prose of a report is cut at so many octets.
pub const MAX_PROSE: usize = 64 * 1024;
/// So many octets of text are looked through for where the original begins.
const MAX_LOOKED_THROUGH: usize = 512 * 1024;
/// So many octets of a text part are read.
pub const MAX_TEXT: usize = 512 * 1024;
/// HTML is read up to so many octets.
const MAX_HTML: usize = 256 * 1024;

/// The text parts of a mail, in their order.
#[derive(Default)]
pub struct Texts<'m> {
    pieces: Vec<String>,
    octets: usize,
    /// A text that was attached, read where there is no other.
    attached: Option<String>,
    /// The multipart/alternatives of which a version was taken.
    taken: HashSet<usize>,
    /// Parts that may never have to be read.
    waiting: Vec<Part<'m>>,
}

impl<'m> Texts<'m> {
    /// How many texts were taken; an attached one counts as well.
    pub fn taken(&self) -> usize {
        self.pieces.len() + self.waiting.len() + usize::from(self.attached.is_some())
    }

    /// Keeps a part unread.
    pub fn wait(&mut self, part: &Part<'m>) {
        self.waiting.push(part.clone());
    }

    /// Whether this is a second version of words that were taken.
    pub fn have(&self, part: &Part<'_>) -> bool {
        part.alternative.is_some_and(|number| self.taken.contains(&number))
    }

    /// Takes a text part, save for a second version of the same words.
    pub fn add(&mut self, part: &Part<'_>, text: String) {
        if text.trim().is_empty() || self.octets > MAX_LOOKED_THROUGH {
            return;
        }
        if part.alternative.is_some_and(|number| !self.taken.insert(number)) {
            return;
        }
        let start = text.trim_start().get(..200).unwrap_or(text.trim_start()).to_ascii_lowercase();
        let html = part.kind.is_html() || start.starts_with("<!doctype html") || start.starts_with("<html");
        let text = if html { from_html(text) } else { text };
        self.octets += text.len();
        self.pieces.push(text);
    }

    /// Keeps an attached text.
    pub fn attach(&mut self, text: String) {
        if self.attached.is_none() && !text.trim().is_empty() {
            self.attached = Some(text);
        }
    }

    /// Puts the prose into the report and, where no part returned it, the original that stands in the text.
    pub fn finish(mut self, report: &mut Report<'m>) {
        if !self.waiting.is_empty() && report.is_complete() {
            report.prose = Words::of_report(self.waiting);
            return;
        }
        for part in std::mem::take(&mut self.waiting) {
            self.add(&part, part.text(MAX_TEXT));
        }
        self.read(report);
    }

    fn read(mut self, report: &mut Report<'m>) {
        if self.pieces.is_empty() {
            self.pieces.extend(self.attached);
        }
        let daemon = is_daemon(report);
        let mut prose = String::new();
        for piece in self.pieces {
            let lines: Vec<&str> = piece.lines().collect();
            let cut = separator::find(&lines);
            let end = cut.map_or(lines.len(), |cut| cut.at);
            let own = lines.get(..end).unwrap_or_default();
            if !prose.is_empty() {
                prose.push('\n');
            }
            own_words(own, daemon, report, &mut prose);
            if let Some(cut) = cut {
                if report.original.is_none() {
                    report.original = original_in(lines.get(cut.header..).unwrap_or_default());
                }
                break;
            }
            if prose.len() > MAX_PROSE {
                break;
            }
        }
        text::cut(&mut prose, MAX_PROSE);
        report.prose = prose.trim().into();
        if report.recipients.is_empty() && dsn::has_recipient_fields(&report.prose) {
            let status = report.prose.to_owned();
            dsn::read(&status, report);
            if !report.recipients.is_empty() && report.form == Form::Prose {
                report.form = Form::Dsn;
            }
        }
    }
}

/// The prose of a delivery status, out of its text parts.
pub fn of_report(parts: &[Part<'_>]) -> String {
    let mut texts = Texts::default();
    for part in parts {
        if !texts.have(part) {
            texts.add(part, part.text(MAX_TEXT));
        }
    }
    // What stands in them besides is known from the fields and the returned part.
    let mut report = Report { form: Form::Dsn, original: Some(Original::default()), ..Report::default() };
    texts.read(&mut report);
    String::from(&*report.prose)
}

fn from_html(mut html: String) -> String {
    text::cut(&mut html, MAX_HTML);
    text::clean_lines(html_to_text(&parted(&html)).into())
}

/// The library joins what stands in neighbouring cells and blocks; the words of two of them are no phrase.
fn parted(html: &str) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 16);
    let mut rest = html;
    while let Some((before, after)) = rest.find("</").and_then(|at| rest.split_at_checked(at)) {
        let end = after.find('>').map_or(after.len(), |at| at + 1);
        let (tag, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        let name = tag.trim_start_matches("</").trim_end_matches('>').trim().to_ascii_lowercase();
        out.push_str(before);
        out.push_str(tag);
        out.push_str(match name.as_str() {
            "td" | "th" => "&#9; ",
            "tr" | "table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "div" | "p" | "li" | "pre" | "title" | "blockquote" => "<br>",
            _ => "",
        });
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The original's header out of a text.
fn original_in(lines: &[&str]) -> Option<super::Original<'static>> {
    let mut content = String::new();
    for line in lines {
        content.push_str(line);
        content.push('\n');
        if content.len() > original::MAX_OCTETS {
            break;
        }
    }
    original::read(content.as_bytes()).map(super::Original::into_owned)
}

/// Whether a program that delivers mail wrote this. Its text is about the mail; a person's answer quotes it.
pub fn is_daemon(report: &Report) -> bool {
    const NAMES: [&str; 8] =
        ["mailerdaemon", "maildaemon", "postmaster", "mdaemon", "maildelivery", "mailadmin", "microsoftexchange", "nondelivery"];
    let named = |text: &String| {
        let letters: String = text.chars().filter(char::is_ascii_alphabetic).take(40).collect::<String>().to_ascii_lowercase();
        NAMES.iter().any(|name| letters.starts_with(name))
    };
    report.form == Form::Dsn
        || !report.header.failed_recipients.is_empty()
        || report.header.from.iter().any(named)
        || report.header.from_name.iter().any(named)
}

/// Appends the lines that are the writer's own.
fn own_words(lines: &[&str], daemon: bool, report: &mut Report, prose: &mut String) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let following = lines.get(at + 1..).unwrap_or_default();
        if is_quoted(line, daemon) {
            at += 1;
            continue;
        }
        if let Some(wrapped) = attribution(line, following) {
            let quoted = following.get(wrapped..).unwrap_or_default().iter().find(|line| !line.trim().is_empty());
            match quoted {
                Some(next) if next.trim_start().starts_with('>') => {
                    at += 1 + wrapped;
                    continue;
                }
                Some(_) if !daemon => return,
                _ => {}
            }
        }
        if !daemon && is_summary(line, following) {
            if report.original.is_none() {
                report.original = original_in(lines.get(at..).unwrap_or_default());
            }
            return;
        }
        if let Some(subject) = subject_of_original(line) {
            let known = report.original.get_or_insert_default();
            known.subject = known.subject.take().or_else(|| super::fields::unstructured(subject.into()).map(Cow::into_owned));
        } else {
            prose.push_str(line.trim_end());
            prose.push('\n');
        }
        at += 1;
        if prose.len() > MAX_PROSE {
            return;
        }
    }
}

/// A quoted line, save for the transcript of a session (`>>> RCPT TO:<…>`) and, from a daemon, a quoted SMTP reply.
fn is_quoted(line: &str, daemon: bool) -> bool {
    const VERBS: [&str; 10] = ["MAIL", "RCPT", "DATA", "EHLO", "HELO", "LHLO", "QUIT", "RSET", "STARTTLS", "BDAT"];
    let Some(quoted) = line.trim_start().strip_prefix('>') else { return false };
    let words = quoted.trim_start_matches(['>', ' ']);
    let transcript =
        quoted.starts_with(">>") && VERBS.iter().any(|verb| words.get(..verb.len()).is_some_and(|w| w.eq_ignore_ascii_case(verb)));
    let reply =
        daemon && words.len() > 3 && words.starts_with(['4', '5']) && words.get(..3).is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()));
    !(transcript || reply)
}

/// "On Monday, Alice wrote:", also wrapped: gives how many more lines it takes.
fn attribution(line: &str, following: &[&str]) -> Option<usize> {
    // Few lines end in a colon; only of those the words are looked at.
    let closes = |line: &str| line.trim_end().ends_with([':', '：']);
    let starts = |line: &str| attributions().0.is_match(line);
    let ends = |line: &str| attributions().1.is_match(line);
    if line.len() > 400 {
        return None;
    }
    if closes(line) && ends(line) && (starts(line) || line.contains('@')) {
        return Some(0);
    }
    let next = following.first().filter(|next| next.len() < 400 && closes(next))?;
    (starts(line) && ends(&format!("{} {}", line.trim_end(), next.trim()))).then_some(1)
}

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test")]
fn attributions() -> &'static (Regex, Regex) {
    static PATTERNS: OnceLock<(Regex, Regex)> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        let starts = r"(?i)^\s*(?:on|am|le|el|il|op|em|den|dne|w dniu|dnia|в|\d{1,4}[-./年]).*\d";
        let ends = concat!(
            r"(?i)(?:(?-u:\b)(?:wrote|schrieb(?-u:\b).*|a écrit|escribió|ha scritto|schreef(?-u:\b).*|skrev(?-u:\b).*|napisał\S*|escreveu|",
            r"yazdı|kirjoitti|píše)|написал\S*|пишет|написав|写道|寫道|書きました|작성)\s*[:：]\s*$"
        );
        (Regex::new(starts).expect("a constant pattern"), Regex::new(ends).expect("a constant pattern"))
    })
}

/// What stands before and after the first colon of a line.
fn labelled(line: &str) -> Option<(&str, &str)> {
    // The wide colon's first octet; most lines have neither.
    memchr::memchr2(b':', 0xef, line.as_bytes())?;
    line.split_once([':', '：'])
}

/// The head that Outlook and others put over what they quote: From, Sent, To, Subject in one run.
fn is_summary(line: &str, following: &[&str]) -> bool {
    let label = |line: &str| -> Option<usize> {
        let (name, _) = labelled(line.trim_start_matches(['*', ' ']))?;
        let name = Some(name.trim_matches(['*', ' ', '\u{a0}'])).filter(|name| name.len() <= 40)?.to_lowercase();
        SUMMARY.iter().position(|names| names.contains(&name.as_str()))
    };
    label(line) == Some(0) && following.iter().take(6).filter(|line| label(line).is_some_and(|place| place > 0)).count() >= 2
}

const SUMMARY: [&[&str]; 4] = [
    &["from", "von", "de", "da", "van", "från", "fra", "od", "от", "发件人", "寄件者", "差出人", "보낸 사람", "lähettäjä"],
    &[
        "sent",
        "date",
        "gesendet",
        "datum",
        "envoyé",
        "date",
        "enviado",
        "fecha",
        "inviato",
        "data",
        "verzonden",
        "skickat",
        "sendt",
        "wysłano",
        "отправлено",
        "дата",
        "发送时间",
        "日期",
        "送信日時",
        "보낸 날짜",
    ],
    &["to", "an", "à", "para", "a", "aan", "till", "til", "do", "кому", "收件人", "宛先", "받는 사람", "cc"],
    SUBJECTS,
];

const SUBJECTS: &[&str] = &[
    "subject",
    "betreff",
    "objet",
    "asunto",
    "oggetto",
    "assunto",
    "onderwerp",
    "ämne",
    "emne",
    "temat",
    "тема",
    "主题",
    "主旨",
    "件名",
    "제목",
    "aihe",
    "předmět",
    "konu",
];

/// The original's subject where a text cites it (`Subject: …`, `The subject of the message is: …`): the sender's words, not the bounce's.
fn subject_of_original(line: &str) -> Option<&str> {
    let (label, value) = labelled(line.trim_start())?;
    let label = label.trim_matches(['*', ' ', '\u{a0}']);
    if label.len() > 60 {
        return None;
    }
    let label = label.to_lowercase();
    let cited = label.contains("subject") && label.split_whitespace().all(|word| SUBJECT_LABEL.contains(&word));
    (cited || SUBJECTS.contains(&label.as_str())).then_some(value)
}

const SUBJECT_LABEL: [&str; 15] =
    ["the", "message", "message's", "subject", "of", "your", "original", "mail", "email", "e-mail", "is", "was", "line", "had", "its"];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, daemon: bool) -> String {
        let mut prose = String::new();
        own_words(&text.lines().collect::<Vec<_>>(), daemon, &mut Report::default(), &mut prose);
        prose.trim().to_owned()
    }

    #[test]
    fn quotes_are_left_out() {
        assert_eq!(words("I am away.\n\nOn Mon, 23 Nov 2026, News wrote:\n> mailbox full\n\nBye", false), "I am away.\n\n\nBye");
        assert_eq!(words("I am away.\nAm 23.11.2026 um 05:30 schrieb\nNews <n@example.org>:\n> voll", false), "I am away.");
        assert_eq!(words("Away.\nOn Mon, Nov 23, 2026 at 5:30 AM News <n@example.org> wrote:\nuser unknown", false), "Away.");
        assert_eq!(words("Away.\nFrom: News\nSent: Monday\nTo: me\nSubject: full\n\nuser unknown", false), "Away.");
    }

    #[test]
    fn a_bounce_keeps_its_transcript_but_no_subject() {
        let text = ">>> RCPT TO:<a@example.org>\n<<< 550 unknown\n> 550 5.1.1 no\n> quoted\nSubject: user unknown";
        assert_eq!(words(text, true), ">>> RCPT TO:<a@example.org>\n<<< 550 unknown\n> 550 5.1.1 no");
    }
}

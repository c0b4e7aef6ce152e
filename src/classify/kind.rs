//! What sort of mail it is, before anybody asks what it means for whom.
//!
//! Standard forms come first (RFC 3464, 5965, 8098), then what header, subject and words say together. No single word makes a bounce:
//! signs are weighed, so that a forwarded bounce, a list post or a person's reply stays what it is (taxonomy rule 5).

use std::cell::OnceCell;

use crate::{
    message::{Form, Report},
    taxonomy::Status,
};

mod answer;
mod bounce;

use self::bounce::BOUNCE;
use super::{
    Envelope,
    author::{is_daemon, opening},
    prose::Prose,
    reply, said,
    tables::{self, Hit, Scope},
    text::{self, Text},
};

/// From this weight on a subject or a notice speaks for itself.
const SURE: u8 = 78;
/// From this weight on words in the text need nothing beside them.
const ALONE: u8 = 90;

/// The sort, and what showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Nature {
    /// The status of a mail that is no bounce; `None`: a bounce, whose causes are to be weighed.
    pub status: Option<Status>,
    pub rule: String,
    pub evidence: Option<String>,
    /// Of a bounce: that the notice as a whole speaks of a delay, or of success.
    pub notice: Option<Status>,
    /// Of a bounce: that it says it is over (taxonomy rule 7).
    pub over: bool,
}

/// What subject and words say.
struct Signs<'a> {
    report: &'a Report<'a>,
    subject: Text<'a>,
    subject_hits: Vec<Hit>,
    prose: &'a Prose<'a>,
    words: OnceCell<Words>,
    opening: OnceCell<Opening>,
    daemon: bool,
    null_sender: bool,
    /// The reverse-path is known, and not null.
    answerable: bool,
    names_a_stranger: OnceCell<bool>,
}

/// What the human-readable part says: looked at only where the fields leave open what sort of mail it is.
struct Words {
    text: Text<'static>,
    hits: Vec<Hit>,
    /// An SMTP reply that refuses stands in it, at the head of a line.
    smtp_reply: bool,
}

/// What stands above all that is quoted or signed: looked at only where it is no bounce.
struct Opening {
    own: String,
    text: Text<'static>,
    hits: Vec<Hit>,
}

pub fn nature(report: &Report, envelope: &Envelope<'_>, prose: &Prose) -> Nature {
    by_signs(report, envelope, prose, |signs| {
        signs
            .standard_form()
            .or_else(|| signs.not_ours())
            .or_else(|| signs.bounce())
            .or_else(|| signs.moved())
            .or_else(|| signs.reply())
            .or_else(|| signs.request())
            .unwrap_or_else(|| Nature::of(Status::Undetermined, "no-sign", None))
    })
}

fn by_signs<T>(report: &Report, envelope: &Envelope<'_>, prose: &Prose, judge: impl FnOnce(&Signs<'_>) -> T) -> T {
    judge(&Signs::read(report, envelope, prose))
}

/// What speaks for one sort or another, in words; the heaviest subject and words first.
pub fn signs(report: &Report, envelope: &Envelope<'_>, prose: &Prose) -> Vec<String> {
    by_signs(report, envelope, prose, |signs| signs.told())
}

impl Nature {
    fn of(status: Status, rule: &str, evidence: Option<String>) -> Nature {
        Nature { status: Some(status), rule: rule.to_owned(), evidence, notice: None, over: false }
    }
}

impl<'a> Signs<'a> {
    fn read(report: &'a Report<'a>, envelope: &Envelope<'_>, prose: &'a Prose) -> Signs<'a> {
        let header = &report.header;
        let subject = Text::new(header.subject.as_deref().unwrap_or_default());
        let subject_hits = tables::find(&subject, Scope::Subject);
        let reverse_path = envelope.reverse_path.or(header.return_path.as_deref()).map(|path| path.trim_matches(['<', '>', ' ']));
        // Postfix writes the null sender so where it delivers locally (empty_address_recipient).
        let null_sender = reverse_path.is_some_and(|path| path.is_empty() || path.eq_ignore_ascii_case("mailer-daemon"));
        Signs {
            report,
            subject,
            subject_hits,
            prose,
            words: OnceCell::new(),
            opening: OnceCell::new(),
            daemon: is_daemon(report),
            null_sender,
            answerable: reverse_path.is_some() && !null_sender,
            names_a_stranger: OnceCell::new(),
        }
    }

    fn words(&self) -> &Words {
        self.words.get_or_init(|| {
            let human = self.prose.human();
            // What a server said of the cause says nothing of what sort of notice it is.
            let text = Text::new(said::without_replies(human));
            let hits = tables::find(&text, Scope::Notice);
            let smtp_reply = human.lines().take(200).any(|line| {
                let line = line.trim_start();
                line.starts_with(['4', '5']) && !reply::codes(text::cut(line, 200), true).codes.is_empty()
            });
            Words { text, hits, smtp_reply }
        })
    }

    /// What the words say of the sort of mail.
    fn notices(&self) -> &[Hit] {
        &self.words().hits
    }

    fn smtp_reply(&self) -> bool {
        self.words().smtp_reply
    }

    fn opening(&self) -> &Opening {
        self.opening.get_or_init(|| {
            let own = opening(self.prose.human());
            let text = Text::new(own.clone());
            let hits = tables::find(&text, Scope::Notice);
            Opening { own, text, hits }
        })
    }

    fn told(&self) -> Vec<String> {
        let points = self.points();
        let sum = [format!("points for a bounce: {}, of {BOUNCE} that make one", bounce::sum(&points))];
        let points = points.iter().filter(|(points, _)| *points != 0).map(|(points, fact)| format!("{points:+}: {fact}"));
        let facts = [
            (self.report.feedback.is_some(), "a feedback report"),
            (self.report.disposition.is_some(), "a disposition notification"),
            (self.automatic(), "header fields that say that no person wrote it"),
        ];
        let facts = facts.into_iter().filter(|(is, _)| *is).map(|(_, fact)| fact.to_owned());
        let hit = |place: &str, text: &Text<'_>, hit: &Hit| {
            format!(
                "{place} says {} ({}, weight {}): {}",
                hit.rule.status,
                hit.rule.name,
                hit.rule.weight,
                text.evidence(hit.range.clone())
            )
        };
        let subject = self.subject_hits.iter().map(|one| hit("the subject", &self.subject, one));
        let notice = self.notices().iter().map(|one| hit("the text", &self.words().text, one));
        sum.into_iter().chain(points).chain(facts).chain(subject).chain(notice).take(50).collect()
    }

    fn subject(&self, status: Status) -> Option<&Hit> {
        self.subject_hits.iter().find(|hit| hit.rule.status == status)
    }

    fn notice(&self, status: Status) -> Option<&Hit> {
        self.notices().iter().find(|hit| hit.rule.status == status)
    }

    fn of_subject(&self, hit: &Hit) -> Nature {
        Nature::of(hit.rule.status, &hit.rule.name, Some(self.subject.evidence(hit.range.clone())))
    }

    fn of_notice(&self, hit: &Hit) -> Nature {
        Nature::of(hit.rule.status, &hit.rule.name, Some(self.words().text.evidence(hit.range.clone())))
    }

    fn standard_form(&self) -> Option<Nature> {
        if let Some(feedback) = &self.report.feedback {
            let kind = feedback.feedback_type.as_deref().unwrap_or("abuse").trim().to_ascii_lowercase();
            let status = match kind.as_str() {
                "opt-out" | "opt-out-list" | "unsubscribe" => Status::UnsubscribeRequest,
                "not-spam" | "auth-failure" | "dmarc" => Status::Undetermined,
                _ => Status::SpamComplaint,
            };
            return Some(Nature::of(
                status,
                &format!("feedback-{}", text::tidy(&kind, 20)),
                Some(format!("Feedback-Type: {}", text::tidy(&kind, 40))),
            ));
        }
        if self.report.form == Form::Arf {
            return Some(Nature::of(Status::SpamComplaint, "feedback-report", None));
        }
        let rejected = || self.notices().iter().any(|hit| hit.rule.name == "filter-refusal");
        if (self.report.form == Form::Mdn || self.report.disposition.is_some()) && !rejected() {
            let kind = self.report.disposition.as_ref().and_then(|disposition| disposition.kind.clone());
            return Some(Nature::of(Status::AutoReply, "disposition-notification", kind));
        }
        match self.report.form {
            Form::Aggregate => Some(Nature::of(Status::Undetermined, "aggregate-report", None)),
            Form::Calendar if !self.daemon => Some(Nature::of(Status::Undetermined, "calendar", None)),
            _ => None,
        }
    }

    /// Forwarded mail, calendar answers, aggregate reports, list posts.
    fn not_ours(&self) -> Option<Nature> {
        if let Some(hit) = self
            .subject(Status::Undetermined)
            .filter(|hit| hit.rule.name == "aggregate-report" || !self.daemon && !self.has_fields())
            .filter(|hit| !hit.rule.name.starts_with("request-talk"))
        {
            // Above what somebody forwards, or answers under a mark that elsewhere means so, may stand what they ask.
            let asked = || if hit.rule.name == "forwarded" { self.request() } else { None };
            return asked().or_else(|| Some(self.of_subject(hit)));
        }
        if let Some(summary) = self.summary() {
            return Some(self.of_notice(summary));
        }
        let list = self.field("list-id").or_else(|| self.field("list-post"));
        let automatic = self.report.header.auto_submitted.as_deref().is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
        let manager = || self.notices().iter().any(|hit| hit.rule.name.starts_with("list-"));
        (list.is_some() && !self.daemon && !automatic && !self.has_fields() && !manager())
            .then(|| Nature::of(Status::Undetermined, "list-post", list.map(str::to_owned)))
    }

    /// A log's summary speaks of many bounces and brings back none.
    fn summary(&self) -> Option<&Hit> {
        if self.brings_one() { None } else { self.notices().iter().find(|hit| hit.rule.name == "log-summary") }
    }

    fn has_fields(&self) -> bool {
        self.report.form == Form::Dsn && !self.report.recipients.is_empty()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.report.header.field(name)
    }
}

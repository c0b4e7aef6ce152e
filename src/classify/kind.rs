//! What sort of mail it is, before anybody asks what it means for whom.
//!
//! Standard forms come first (RFC 3464, 5965, 8098), then what header, subject and words say together. No single word makes a bounce:
//! signs are weighed, so that a forwarded bounce, a list post or a person's reply stays what it is (taxonomy rule 5).

use std::cell::OnceCell;

use crate::{
    address,
    message::{Form, RecipientFields, Report},
    taxonomy::Status,
};

mod answer;

use super::{
    Envelope,
    author::{is_daemon, is_daemon_address, is_desk, opening},
    prose::{Prose, system_address},
    recipient, reply, said,
    tables::{self, Hit, Scope},
    text::{self, Text},
};

/// So many signs make a bounce.
const BOUNCE: i32 = 4;
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
        let header = &self.report.header;
        let facts = [
            (self.has_fields(), "per-recipient fields of a delivery status"),
            (self.report.feedback.is_some(), "a feedback report"),
            (self.report.disposition.is_some(), "a disposition notification"),
            (!header.failed_recipients.is_empty(), "a field X-Failed-Recipients"),
            (self.daemon, "it comes from a mail system"),
            (self.null_sender, "the null sender"),
            (self.report.original.is_some(), "an original comes back"),
            (self.smtp_reply(), "an SMTP reply that refuses at the head of a line"),
            (self.automatic(), "header fields that say that no person wrote it"),
            (!header.in_reply_to.is_empty(), "it answers a mail"),
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
        facts.chain(subject).chain(notice).take(50).collect()
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
        let list = self.field("list-id").or_else(|| self.field("list-post"));
        let automatic = self.report.header.auto_submitted.as_deref().is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
        let manager = || self.notices().iter().any(|hit| hit.rule.name.starts_with("list-"));
        (list.is_some() && !self.daemon && !automatic && !self.has_fields() && !manager())
            .then(|| Nature::of(Status::Undetermined, "list-post", list.map(str::to_owned)))
    }

    fn has_fields(&self) -> bool {
        self.report.form == Form::Dsn && !self.report.recipients.is_empty()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.report.header.field(name)
    }

    fn bounce(&self) -> Option<Nature> {
        // A mail system's delivery status is one whatever its words say.
        if self.has_fields() && self.daemon {
            return Some(self.as_bounce());
        }
        let header = &self.report.header;
        let bounce = [Status::GeneralBounce, Status::TransientBounce, Status::Delivered];
        let by_subject = self.subject_hits.iter().filter(|hit| bounce.contains(&hit.rule.status)).map(|hit| hit.rule.weight).max();
        // That something is given up is said of much else: it weighs in a notice, and makes none.
        let weight = |hit: &Hit| if hit.rule.name == "final-notice" { hit.rule.weight.min(ALONE - 1) } else { hit.rule.weight };
        let by_notice = self.notices().iter().filter(|hit| bounce.contains(&hit.rule.status)).map(weight).max();
        let reply =
            self.subject.norm().starts_with("re:") || self.subject.norm().starts_with("aw:") || self.subject.norm().starts_with("sv:");
        let beside = self.null_sender || self.report.original.is_some();
        let mut signs = 0;
        signs += if self.has_fields() || self.report.form == Form::Dsn { 6 } else { 0 };
        signs += if header.failed_recipients.is_empty() { 0 } else { 4 };
        // Without a From nobody is known to be a daemon: that and the null sender alone are no bounce.
        signs += if self.daemon { if header.from.is_empty() { 2 } else { 3 } } else { 0 };
        signs += i32::from(self.null_sender) + i32::from(self.report.original.is_some());
        let replies = !self.answerable || self.daemon || beside || self.names_a_stranger();
        signs +=
            if self.smtp_reply() && replies && (self.report.header.in_reply_to.is_empty() || self.daemon || self.leads()) { 2 } else { 0 };
        signs +=
            by_subject.map_or(0, |weight| if weight >= SURE { 3 } else { i32::from(beside || self.daemon && self.names_a_stranger()) });
        signs += by_notice.map_or(0, |weight| if weight >= ALONE { 4 } else { 2 });
        // Somebody who can be answered tells of a parcel or of a mailbox in the same words.
        let plain = || {
            by_notice.is_some_and(|weight| weight >= ALONE)
                || by_notice.is_some() && by_subject.is_some_and(|weight| weight >= SURE) && self.names_a_stranger()
        };
        signs -= if self.answerable && !beside && !self.daemon && !self.smtp_reply() && !plain() { 2 } else { 0 };
        // Mail clients thread what they send, and say their name.
        let thread = self.field("references").or_else(|| self.field("user-agent")).is_some() || !header.in_reply_to.is_empty();
        let person = !self.daemon && !beside && !self.has_fields() && header.failed_recipients.is_empty();
        signs -= if (reply && !self.daemon && !(self.null_sender && self.names_a_stranger()) || thread && person) && !self.leads() {
            3
        } else {
            0
        };
        let talks = || self.notices().iter().any(|hit| hit.rule.name == "bounce-talk");
        signs -= if person && self.answerable && talks() { 3 } else { 0 };
        // RFC 2369: what can be unsubscribed from was sent on purpose, unless a mail system's notice went through a list.
        let system =
            header.from.is_empty() || header.from.iter().filter_map(|from| address::normal(from)).any(|from: String| system_address(&from));
        let newsletter = self.field("list-unsubscribe").is_some() && !beside && !system && !self.has_fields();
        signs -= if newsletter { 6 } else { 0 };
        signs -= if self.auto_reply_sure() && !self.has_fields() { 4 } else { 0 };
        signs -= if self.autoresponder().is_some() && !self.daemon && !self.has_fields() { 3 } else { 0 };
        signs -= if self.challenge().is_some() && !self.has_fields() { 4 } else { 0 };
        // A list manager that refuses a post sends it back; its help text only tells who may post.
        signs -= if self.plain().is_some() && self.report.original.is_none() && !self.has_fields() { 4 } else { 0 };
        signs -= if self.complaint().is_some() && !self.has_fields() { 6 } else { 0 };
        signs += if (1..BOUNCE).contains(&signs) && self.tells_a_cause() { 3 } else { 0 };
        (signs >= BOUNCE && self.proof()).then(|| self.as_bounce())
    }

    /// Somebody who couldn't be reached is named, and is neither who gets this mail nor who wrote it.
    fn names_a_stranger(&self) -> bool {
        let own = recipient::own(self.report);
        // A notice from nowhere about a mailbox of our own domain is what phishing looks like.
        let ours = |one: &String| {
            let sent_to = self.report.header.to.iter().filter_map(|to| address::normal(to));
            self.answerable && sent_to.into_iter().any(|to| address::domain(&to) == address::domain(one))
        };
        let strange = |one: &String| !own.contains(one) && !system_address(one) && !is_desk(one) && !ours(one);
        // The running text is looked through only where no paragraph begins with an address.
        self.prose.sections().iter().any(|section| strange(&section.address)) || self.prose.named().introduced.iter().any(strange)
    }

    /// A mail system speaks from the first sentence on, of somebody else, and quotes a reply: who passes that on says a word before it.
    fn leads(&self) -> bool {
        const FIRST: usize = 150;
        let client = ["user-agent", "x-mailer", "references"].iter().any(|name| self.field(name).is_some());
        let told = |hit: &Hit| hit.rule.status == Status::GeneralBounce && hit.range.start < FIRST;
        self.smtp_reply() && !client && self.notices().iter().any(told) && self.names_a_stranger()
    }

    /// Words alone are what phishing has: nothing came back, no mail system speaks, nobody is named.
    fn proof(&self) -> bool {
        self.daemon && (!self.answerable || is_daemon_address(self.report))
            || self.null_sender
            || self.report.original.is_some()
            || self.smtp_reply() && !self.answerable
            || self.report.form == Form::Dsn
            || self.report.disposition.is_some()
            || !self.report.header.failed_recipients.is_empty()
            || !self.prose.named().mentioned.is_empty() && (!self.answerable || self.names_a_stranger())
    }

    /// No person's mail, by its envelope and header, by who wrote it of whom or by what it brings back, and it says plainly why a delivery failed.
    fn tells_a_cause(&self) -> bool {
        let header = &self.report.header;
        let submitted = |word| header.auto_submitted.as_deref().is_some_and(|value| value.trim().to_ascii_lowercase().starts_with(word));
        let returned = self.null_sender && (submitted("auto-generated") || self.report.original.is_some());
        let told = self.daemon || self.null_sender && !submitted("auto-replied");
        let machine = returned || told && self.names_a_stranger();
        let answers =
            self.subject(Status::AutoReply).is_some() || self.notice(Status::AutoReply).is_some() || self.autoresponder().is_some();
        machine && !answers && tables::find(&self.words().text, Scope::Cause).first().is_some_and(|hit| hit.rule.weight > tables::EXACT)
    }

    fn as_bounce(&self) -> Nature {
        if self.has_fields() && self.report.recipients.iter().all(RecipientFields::is_final) {
            return Nature { status: None, rule: "delivery-status".to_owned(), evidence: None, notice: None, over: false };
        }
        let over = self.notices().iter().find(|hit| hit.rule.name == "final-notice");
        // "It will not go on trying" has the words of a delay in it.
        let denied = |hit: &Hit| over.is_some_and(|over| over.range.start <= hit.range.start && hit.range.end <= over.range.end);
        let notice = |status| self.notices().iter().find(|hit| hit.rule.status == status && !denied(hit));
        let best =
            |status| self.subject(status).map(|hit| (hit, &self.subject)).or_else(|| notice(status).map(|hit| (hit, &self.words().text)));
        let delayed = best(Status::TransientBounce);
        let failed = self.subject(Status::GeneralBounce).or_else(|| self.notice(Status::GeneralBounce));
        let delivered = best(Status::Delivered).filter(|_| failed.is_none() || self.subject(Status::Delivered).is_some());
        let told = delayed.or(delivered);
        let (rule, evidence) =
            told.map_or(("bounce", None), |(hit, text)| (hit.rule.name.as_str(), Some(text.evidence(hit.range.clone()))));
        let notice = told.map(|(hit, _)| hit.rule.status);
        Nature { status: None, rule: rule.to_owned(), evidence, notice, over: over.is_some() && delayed.is_none() }
    }
}

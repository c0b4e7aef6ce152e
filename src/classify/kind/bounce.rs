//! Whether it is a bounce: what speaks for that and what against, in points.

use crate::{
    address,
    message::{Form, RecipientFields},
    taxonomy::Status,
};

use super::{
    super::{
        author::{is_daemon_address, is_desk},
        prose::system_address,
        recipient,
        tables::{self, Hit, Scope},
    },
    ALONE, Nature, SURE, Signs,
};

/// So many points make a bounce.
pub(super) const BOUNCE: i32 = 4;

impl Signs<'_> {
    pub(super) fn bounce(&self) -> Option<Nature> {
        // A mail system's delivery status is one whatever its words say.
        if self.has_fields() && self.daemon {
            return Some(self.as_bounce());
        }
        (sum(&self.points()) >= BOUNCE && self.proof()).then(|| self.as_bounce())
    }

    /// The points for a bounce, or against one, and what gives them.
    pub(super) fn points(&self) -> [(i32, &'static str); 18] {
        let header = &self.report.header;
        let if_so = |is: bool, points: i32| if is { points } else { 0 };
        let plain = !self.has_fields();
        let mut points = [
            (if_so(self.has_fields() || self.report.form == Form::Dsn, 6), "a delivery status comes with it"),
            (if_so(!header.failed_recipients.is_empty(), 4), "a field X-Failed-Recipients"),
            // Without a From nobody is known to be a daemon: that and the null sender alone are no bounce.
            (if_so(self.daemon, if header.from.is_empty() { 2 } else { 3 }), "it comes from a mail system"),
            (if_so(self.null_sender, 1), "the null sender"),
            (if_so(self.report.original.is_some(), 1), "an original comes back"),
            (if_so(self.refused_by_reply(), 2), "an SMTP reply that refuses at the head of a line"),
            (self.subject_points(), "the subject speaks of a delivery"),
            (self.by_notice().map_or(0, |weight| if weight >= ALONE { 4 } else { 2 }), "the text speaks of a delivery"),
            (if_so(self.merely_said(), -2), "it can be answered, and only its words speak of a delivery"),
            (if_so(self.in_a_thread(), -3), "it answers a mail, or a person's mail program wrote it"),
            (if_so(self.talks(), -3), "somebody talks of bounces"),
            (if_so(self.on_purpose() || self.bait(), -6), "it was sent on purpose, or is bait"),
            (if_so(plain && self.auto_reply_sure(), -4), "the subject is an automatic reply's"),
            (if_so(plain && !self.daemon && self.autoresponder().is_some(), -3), "an autoresponder wrote it"),
            (if_so(plain && self.challenge().is_some(), -4), "it asks the sender for a confirmation"),
            // A list manager that refuses a post sends it back; its help text only tells who may post.
            (if_so(plain && self.report.original.is_none() && self.plain().is_some(), -4), "words that only an automatic answer has"),
            (if_so(plain && self.complaint().is_some(), -6), "somebody complains"),
            (0, "it says plainly why a delivery failed"),
        ];
        // Looked for last, and only where it can decide.
        let cause = if_so((1..BOUNCE).contains(&sum(&points)) && self.tells_a_cause(), 3);
        if let Some((points, _)) = points.last_mut() {
            *points = cause;
        }
        points
    }

    /// The weight of the subject's words on a delivery.
    fn by_subject(&self) -> Option<u8> {
        self.subject_hits.iter().filter(|hit| of_delivery(hit)).map(|hit| hit.rule.weight).max()
    }

    fn by_notice(&self) -> Option<u8> {
        // That something is given up is said of much else: it weighs in a notice, and makes none.
        let weight = |hit: &Hit| if hit.rule.name == "final-notice" { hit.rule.weight.min(ALONE - 1) } else { hit.rule.weight };
        self.notices().iter().filter(|hit| of_delivery(hit)).map(weight).max()
    }

    /// A bounce came with it, or what is left of one.
    pub(super) fn brings_one(&self) -> bool {
        self.has_fields() || self.report.original.is_some() || !self.report.header.failed_recipients.is_empty()
    }

    /// Beside the words something says that no person sent it.
    fn beside(&self) -> bool {
        self.null_sender || self.report.original.is_some()
    }

    /// Nothing but the words says that it is no person's mail.
    fn maybe_a_person(&self) -> bool {
        !self.daemon && !self.beside() && !self.has_fields() && self.report.header.failed_recipients.is_empty()
    }

    fn refused_by_reply(&self) -> bool {
        self.smtp_reply()
            && (!self.answerable || self.daemon || self.beside() || self.names_a_stranger())
            && (self.report.header.in_reply_to.is_empty() || self.daemon || self.leads())
    }

    fn subject_points(&self) -> i32 {
        let backed = || self.beside() || self.daemon && self.names_a_stranger();
        self.by_subject().map_or(0, |weight| if weight >= SURE { 3 } else { i32::from(backed()) })
    }

    /// Somebody who can be answered tells of a parcel or of a mailbox in the same words.
    fn merely_said(&self) -> bool {
        let plainly = || {
            self.by_notice()
                .is_some_and(|weight| weight >= ALONE || self.by_subject().is_some_and(|weight| weight >= SURE) && self.names_a_stranger())
        };
        self.answerable && !self.beside() && !self.daemon && !self.smtp_reply() && !plainly()
    }

    fn in_a_thread(&self) -> bool {
        let subject = self.subject.norm();
        let reply = ["re:", "aw:", "sv:"].iter().any(|mark| subject.starts_with(mark));
        let answers = reply && !self.daemon && !(self.null_sender && self.names_a_stranger());
        // Mail clients thread what they send, and say their name.
        let client =
            || self.field("references").or_else(|| self.field("user-agent")).is_some() || !self.report.header.in_reply_to.is_empty();
        (answers || self.maybe_a_person() && client()) && !self.leads()
    }

    fn talks(&self) -> bool {
        self.maybe_a_person() && self.answerable && self.notices().iter().any(|hit| hit.rule.name == "bounce-talk")
    }

    /// RFC 2369: what can be unsubscribed from was sent on purpose, unless a mail system's notice went through a list.
    fn on_purpose(&self) -> bool {
        let from = &self.report.header.from;
        let system = || from.is_empty() || from.iter().filter_map(|from| address::normal(from)).any(|from: String| system_address(&from));
        self.field("list-unsubscribe").is_some() && !self.beside() && !self.has_fields() && !system()
    }

    fn bait(&self) -> bool {
        !self.brings_one() && !self.smtp_reply() && self.notices().iter().any(|hit| hit.rule.name == "inbox-bait")
    }

    /// Somebody who couldn't be reached is named, and is neither who gets this mail nor who wrote it.
    fn names_a_stranger(&self) -> bool {
        *self.names_a_stranger.get_or_init(|| self.look_for_a_stranger())
    }

    fn look_for_a_stranger(&self) -> bool {
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
            || self.prose.named().mentioned.iter().any(|one| !self.reached(one)) && (!self.answerable || self.names_a_stranger())
    }

    /// Whether it is who gets this mail: phishing tells them of their own mailbox.
    fn reached(&self, one: &str) -> bool {
        self.report.header.to.iter().any(|to| address::normal(to).is_some_and(|to| to == one))
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

pub(super) fn sum(points: &[(i32, &'static str)]) -> i32 {
    points.iter().map(|(points, _)| points).sum()
}

/// Whether the words tell what became of a mail.
fn of_delivery(hit: &Hit) -> bool {
    matches!(hit.rule.status, Status::GeneralBounce | Status::TransientBounce | Status::Delivered)
}

//! What people and their software answer: complaints, challenges, automatic replies, moves, requests.
//!
//! Nobody is taken off a list by a guess: words of a request count only where they are the writer's own and stand in no newsletter's footer, and an
//! automatic reply or a person's is never a failure.

use crate::{address, taxonomy::Status};

use super::{
    super::{
        addressed, footer, moved,
        returns::returns,
        tables::{self, Hit, Scope},
        text::{self, Text},
    },
    ALONE, Nature, SURE, Signs,
};

/// A person's own words are no longer than so many octets where they ask for something or say that they are away.
const SHORT: usize = 1500;
/// Who is away, and who has got a mail, says so within so many octets.
const NEAR: usize = 1200;

impl Signs<'_> {
    pub(super) fn auto_reply_sure(&self) -> bool {
        // RFC 5429: what a filter refused is answered by itself, too, and is no answer of a person's.
        let refused = || self.notices().iter().any(|hit| hit.rule.name == "filter-refusal");
        self.subject(Status::AutoReply).is_some_and(|hit| hit.rule.weight >= SURE)
            && self.report.header.failed_recipients.is_empty()
            && !self.daemon
            && !refused()
    }

    pub(super) fn challenge(&self) -> Option<&Hit> {
        let (subject, notice) = (self.subject(Status::ChallengeResponse), self.notice(Status::ChallengeResponse));
        // One of the two alone might be an order to confirm or a shop's words.
        let plain = notice.or(subject).is_some_and(|hit| hit.rule.weight >= ALONE) || subject.is_some_and(|hit| hit.rule.weight >= ALONE);
        let enough = plain
            || subject.is_some() && notice.is_some()
            || (subject.is_some() || notice.is_some()) && (self.automatic() || self.null_sender || self.challenge_field().is_some());
        notice.or(subject).filter(|_| enough)
    }

    /// Whether a mailing list's manager writes, in one of its roles.
    fn list_role(&self) -> bool {
        self.report.header.from.iter().filter_map(|from| address::normal(from)).any(|from| {
            let local = from.split('@').next().unwrap_or_default();
            let plus = local.split_once('+').map_or("", |(_, role)| role);
            plus == "help"
                || ["owner", "confsub", "confunsub"].iter().any(|role| plus.starts_with(role))
                || self.awaits_reply(&from)
                || ["-owner", "-request", "-bounces", "-help"].iter().any(|role| local.len() > role.len() && local.ends_with(role))
        })
    }

    /// An address of one use, that a list manager makes to see an answer come back: Mailman's, mlmmj's, ezmlm's, Google's.
    fn awaits_reply(&self, address: &str) -> bool {
        let local = address.split('@').next().unwrap_or_default();
        let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_hexdigit).count() >= 8;
        ["-confirm+", "+confsub-", "+confsub-digest-", "+confsub-nomail-", "+confunsub-", "+confunsub-digest-", "-sc.", "-uc.", "+confirm-"]
            .iter()
            .any(|mark| local.split_once(mark).is_some_and(|(_, rest)| digits(rest)))
    }

    /// Such an address where an answer would go.
    fn confirmation(&self) -> Option<&str> {
        let header = &self.report.header;
        header.reply_to.iter().chain(&header.from).map(String::as_str).find(|one| self.awaits_reply(one))
    }

    /// A field that only systems write which hold mail until its sender answers.
    fn challenge_field(&self) -> Option<&str> {
        ["x-boxbe-challenge", "x-askversion", "x-spamarrest", "x-tmda-confirm", "x-qconfirm", "x-cr-challenge"]
            .into_iter()
            .find_map(|name| self.field(name))
            .or_else(|| self.field("x-delivery-agent").filter(|value| value.to_ascii_lowercase().starts_with("tmda")))
    }

    /// Words of an automatic answer that nothing else says.
    pub(super) fn plain(&self) -> Option<&Hit> {
        let plain = [Status::AutoReply, Status::ChallengeResponse];
        self.notices().iter().find(|hit| hit.rule.name.starts_with("list-") && hit.rule.weight >= ALONE && plain.contains(&hit.rule.status))
    }

    pub(super) fn complaint(&self) -> Option<Nature> {
        let subject = self.subject(Status::SpamComplaint);
        // "Reported as spam" is also what a refusal says.
        let refused = self.daemon || self.notice(Status::GeneralBounce).is_some();
        let notice = self.notice(Status::SpamComplaint).filter(|hit| !refused || hit.rule.name != "complaint-desk");
        let returned = self.report.original.is_some() && subject.is_some_and(|hit| hit.rule.weight >= SURE);
        match (subject, notice) {
            (_, Some(hit)) if hit.rule.weight >= ALONE || subject.is_some() || self.report.original.is_some() => Some(self.of_notice(hit)),
            (Some(hit), _) if returned || self.daemon => Some(self.of_subject(hit)),
            _ => None,
        }
    }

    /// Whether the header says that no person wrote it (RFC 3834 and its many forerunners).
    pub(super) fn automatic(&self) -> bool {
        let header = &self.report.header;
        let value = |field: &Option<String>, words: &[&str]| {
            field.as_deref().is_some_and(|value| words.iter().any(|word| value.trim().to_ascii_lowercase().starts_with(word)))
        };
        value(&header.auto_submitted, &["auto-replied", "auto-generated", "auto-notified"])
            || value(&header.precedence, &["auto_reply", "auto-reply", "autoreply", "junk"])
            || value(&header.precedence, &["bulk"]) && self.field("list-unsubscribe").is_none()
            || self.autoresponder().is_some()
    }

    /// A field that only autoresponders write.
    pub(super) fn autoresponder(&self) -> Option<&str> {
        let says = |value: &str| !matches!(value.trim().to_ascii_lowercase().as_str(), "no" | "none" | "false" | "0" | "");
        let known = |name: &str| {
            let name = name.to_ascii_lowercase();
            const WORDS: [&str; 8] =
                ["autorespon", "auto-respon", "autoreply", "auto-reply", "vacation", "outofoffice", "out-of-office", "autogenerated"];
            // Exchange marks with the first what it answers itself; the second asks others not to.
            name == "x-ms-exchange-inbox-rules-loop"
                || name != "x-auto-response-suppress"
                    && name.starts_with("x-")
                    && (name.starts_with("x-autorespond") || WORDS.iter().any(|word| name.contains(word)))
        };
        let fields = self.report.header.other.iter().filter(|(name, _)| name.starts_with(['x', 'X']));
        let by_name = fields.map(|(name, value)| (name, &**value)).find(|(name, value)| known(name) && says(value)).map(|(_, value)| value);
        let apple = self.field("x-apple-action").filter(|value| value.trim().eq_ignore_ascii_case("vacation"));
        let by_value = ["x-mailer", "x-smartermail-messagetype", "x-message-type"].into_iter().find_map(|name| {
            self.field(name).filter(|value| {
                let value = value.to_ascii_lowercase();
                ["vacation", "autorespon", "auto-respon", "autoreply"].iter().any(|word| value.contains(word))
            })
        });
        let exchange = self
            .field("x-auto-response-suppress")
            .filter(|_| self.report.header.auto_submitted.as_deref().is_some_and(|v| v.trim().to_ascii_lowercase().starts_with("auto-")));
        // formail's answers as procmailex(5) has them: the loop mark is the answering mailbox; a list's is not whom the mail is from.
        let from = &self.report.header.from;
        let looped = self
            .field("x-loop")
            .filter(|value| !self.report.header.in_reply_to.is_empty() && from.iter().any(|from| from.eq_ignore_ascii_case(value.trim())));
        by_name.or(apple).or(by_value).or(exchange).or(looped)
    }

    pub(super) fn reply(&self) -> Option<Nature> {
        if let Some(complaint) = self.complaint() {
            return Some(complaint);
        }
        // A list that holds a post until somebody has looked at it asks nothing of its sender.
        if let Some(held) = self.notices().iter().find(|hit| hit.rule.name == "moderation-notice") {
            return Some(self.of_notice(held));
        }
        let plain = self.plain();
        let asked =
            self.confirmation().filter(|_| plain.or(self.challenge()).is_none_or(|hit| hit.rule.status != Status::ChallengeResponse));
        if let Some(address) = asked {
            return Some(Nature::of(Status::ChallengeResponse, "confirmation-address", Some(text::tidy(address, 100))));
        }
        if let Some(hit) = plain {
            return Some(self.of_notice(hit));
        }
        if let Some(hit) = self.challenge() {
            return Some(if self.notice(Status::ChallengeResponse).is_some() { self.of_notice(hit) } else { self.of_subject(hit) });
        }
        // A mail client that unsubscribes for its user marks the mail as automatic.
        if let Some(request) =
            self.asks_by_subject().filter(|_| self.report.header.in_reply_to.is_empty() || self.opening().text.norm().len() < 400)
        {
            return Some(self.of_subject(request));
        }
        self.auto_reply()
    }

    fn auto_reply(&self) -> Option<Nature> {
        // RFC 5436, section 2.7.1: that is told of a mail, not answered to one.
        if self.report.header.auto_submitted.as_deref().is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("auto-notified"))
        {
            return None;
        }
        let (subject, notice) = (self.subject(Status::AutoReply), self.notice(Status::AutoReply));
        let date = self.report.header.date();
        let dated = || returns(self.subject.norm(), "", date).is_some();
        if let Some(hit) = subject.filter(|hit| hit.rule.weight >= SURE || self.automatic() || notice.is_some() || dated()) {
            return Some(self.of_subject(hit));
        }
        let header = &self.report.header;
        let replied = header.auto_submitted.as_deref().filter(|value| value.trim().to_ascii_lowercase().starts_with("auto-replied"));
        let field = replied.or_else(|| self.autoresponder());
        let precedence = header.precedence.as_deref().filter(|value| value.trim().to_ascii_lowercase().starts_with("auto"));
        if field.is_some() || precedence.is_some() {
            let evidence = notice
                .map(|hit| self.words().text.evidence(hit.range.clone()))
                .or_else(|| field.or(precedence).map(|value| text::tidy(value, 100)));
            return Some(Nature::of(Status::AutoReply, notice.map_or("auto-submitted", |hit| hit.rule.name.as_str()), evidence));
        }
        // Made by a machine, and no answer: a reminder that went to many.
        let reminds = |hit: &Hit| hit.rule.name == "automatism" && header.auto_submitted.is_none() && header.in_reply_to.is_empty();
        let marked = |hit: &Hit| self.null_sender || self.automatic() && !reminds(hit);
        let answers = |hit: &&Hit| hit.rule.weight >= SURE && (self.no_mail_client() || self.retitled());
        let near = notice.filter(|hit| hit.range.start < if hit.rule.weight < SURE { NEAR / 2 } else { NEAR });
        let told = near.filter(|hit| marked(hit) || self.speaks_for_itself() || answers(hit)).map(|hit| self.of_notice(hit));
        // RFC 3834, section 3.3: software answers from the null sender, and nobody else does.
        let answers = !header.in_reply_to.is_empty() || self.subject.norm().starts_with("re:");
        let silent = self.null_sender && answers && !self.daemon;
        told.or_else(|| {
            silent.then(|| {
                Nature::of(Status::AutoReply, "null-sender-answer", header.subject.as_deref().map(|subject| text::tidy(subject, 100)))
            })
        })
    }

    /// A mail that no mail client wrote: those say that they write MIME, and which mail they answer. vacation(1) and home-made scripts don't.
    fn no_mail_client(&self) -> bool {
        let client = ["mime-version", "user-agent", "x-mailer", "references"].iter().any(|name| self.field(name).is_some());
        !client && self.report.header.in_reply_to.is_empty()
    }

    /// An answer under a subject of its own: a person's mail client keeps the subject and writes "Re:" before it.
    fn retitled(&self) -> bool {
        let (header, subject) = (&self.report.header, self.subject.norm());
        !header.in_reply_to.is_empty() && !subject.is_empty() && !subject.contains([':', '：'])
    }

    /// Words that only an automatic reply has, without any field that says so. Who asks something is a person.
    fn speaks_for_itself(&self) -> bool {
        let rules = |hit: &&Hit| hit.rule.status == Status::AutoReply;
        let mut hits = self.opening().hits.iter().filter(rules).peekable();
        if self.daemon || self.opening().text.norm().len() > SHORT || self.opening().text.norm().contains('?') || hits.peek().is_none() {
            return false;
        }
        let (mut alone, mut kinds, mut absent) = (false, 0, false);
        for hit in hits {
            alone |= hit.rule.weight >= ALONE;
            absent |= hit.rule.name == "auto-reply-notice";
            kinds += 1;
        }
        let dated = || returns("", &self.opening().own, self.report.header.date()).is_some();
        alone || kinds > 1 || absent && dated()
    }

    /// A person tells of a new address. The first words are theirs, and an address follows.
    pub(super) fn moved(&self) -> Option<Nature> {
        let subject = self.subject(Status::AddressChange);
        let words = self.opening().hits.iter().find(|hit| hit.rule.status == Status::AddressChange);
        let enough = words.is_some_and(|hit| hit.rule.weight >= ALONE || subject.is_some());
        let hit = words.filter(|_| enough && !self.daemon && self.opening().text.norm().len() < SHORT)?;
        moved::new_address(self.report, &self.opening().text, hit.range.start)?;
        Some(Nature::of(Status::AddressChange, &hit.rule.name, Some(self.opening().text.evidence(hit.range.clone()))))
    }

    fn asks_by_subject(&self) -> Option<&Hit> {
        let ask = self.subject(Status::UnsubscribeRequest).or_else(|| self.subject(Status::SubscribeRequest))?;
        (!talked_about(&self.subject_hits, ask)).then_some(ask)
    }

    /// What a person asks in the lines that are their own, paragraph by paragraph: words about a request speak for theirs alone.
    pub(super) fn request(&self) -> Option<Nature> {
        let asks = |hit: &&Hit| matches!(hit.rule.status, Status::UnsubscribeRequest | Status::SubscribeRequest);
        let person = !self.daemon && self.field("list-id").is_none() && !self.list_role();
        // "STOP", and below it what a telephone signs with.
        let first = || self.opening().own.split("\n\n").map(str::trim).find(|paragraph| !paragraph.is_empty());
        let word = || {
            first()
                .filter(|one| one.len() < 40)
                .is_some_and(|one| tables::find(&Text::new(one), Scope::Notice).iter().any(|hit| asks(&hit)))
        };
        if !person || self.opening().text.norm().len() >= SHORT || !self.opening().hits.iter().any(|hit| asks(&hit)) && !word() {
            return None;
        }
        let mut said = 0;
        for paragraph in self.opening().own.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let words = Text::new(paragraph);
            let hits = tables::find(&words, Scope::Notice);
            let own =
                |hit: &&Hit| !talked_about(&hits, hit) && !addressed::holds(&words, &hit.range) && !footer::holds(&words, &hit.range, said);
            if let Some(hit) = hits.iter().filter(asks).filter(own).max_by_key(|hit| hit.range.len()) {
                return Some(Nature::of(hit.rule.status, &hit.rule.name, Some(words.evidence(hit.range.clone()))));
            }
            said += paragraph.chars().filter(|c| c.is_alphanumeric()).count();
        }
        None
    }
}

/// Whether the words only speak about such a request: of the link, of one made before, or not to do it.
fn talked_about(hits: &[Hit], ask: &Hit) -> bool {
    let about = |hit: &Hit| hit.rule.name.starts_with("request-talk");
    hits.iter().any(|hit| about(hit) && hit.range.start < ask.range.end && ask.range.start < hit.range.end)
}

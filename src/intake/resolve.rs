//! Report, verdicts and mailbox → the ledger's inputs. Pure.
//!
//! The envelope is the truth and the mail's text is never authority: one mail at one VERP address is one event for one person. Only at a plain
//! address, where nothing but the text can name anybody, a report about several people makes an event for each.

use super::{Arrival, Door, Gate, Mailbox, Policy, dedupe};
use crate::{
    address,
    classify::{self, Envelope, Telling, Verdict},
    ledger::{MailInput, Origin, Standing},
    message::Report,
    taxonomy::{Kind, Status},
    verp::{Decoded, Form, Payload, PersonKey},
};

/// At most so many people of one report at a plain address.
const MAX_PEOPLE: usize = 100;

/// The inputs of one mail: for each mailbox at least one.
pub fn inputs(report: &Report, arrival: &Arrival, policy: &Policy, today: i32) -> Vec<MailInput> {
    let content = dedupe::content(&arrival.raw);
    arrival.mailboxes.iter().flat_map(|mailbox| Resolver { report, arrival, policy, today, mailbox, content }.inputs()).collect()
}

/// What is recorded of a mail whose telling panicked: nothing is lost, a person can look at the raw mail.
pub fn untold(arrival: &Arrival, policy: &Policy) -> Vec<MailInput> {
    let report = Report::default();
    let content = dedupe::content(&arrival.raw);
    arrival
        .mailboxes
        .iter()
        .map(|mailbox| {
            let resolver = Resolver { report: &report, arrival, policy, today: 0, mailbox, content };
            let (person, campaign, standing) = match &mailbox.door {
                Door::Verp(decoded) => {
                    (resolver.person(&decoded.payload), decoded.campaign.clone(), resolver.standing(decoded, Status::Undetermined))
                }
                Door::Own(_) => (None, None, Standing::Own),
                Door::Plain | Door::Postmaster => (None, None, Standing::Unsigned),
            };
            resolver.input(person, campaign, standing, false, Verdict::undetermined("unreadable"))
        })
        .collect()
}

struct Resolver<'a> {
    report: &'a Report<'a>,
    arrival: &'a Arrival,
    policy: &'a Policy,
    today: i32,
    mailbox: &'a Mailbox,
    /// [`dedupe::content`] of the raw mail.
    content: [u8; 32],
}

impl Resolver<'_> {
    fn gate(&self) -> &Gate {
        &self.policy.gate
    }

    fn inputs(&self) -> Vec<MailInput> {
        if self.of_our_own() {
            return vec![self.own()];
        }
        match &self.mailbox.door {
            Door::Verp(decoded) => vec![self.verp(decoded)],
            Door::Own(_) => vec![self.own()],
            Door::Plain => self.plain(self.tell(None)),
            Door::Postmaster => {
                let telling = self.tell(None);
                if self.for_a_person(&telling) { vec![self.forward(telling)] } else { self.plain(telling) }
            }
        }
    }

    fn tell(&self, verp_address: Option<&str>) -> Telling {
        let envelope = Envelope { reverse_path: self.arrival.reverse_path.as_deref(), verp_address };
        classify::tell_by(&self.policy.operator_rules, self.report, &envelope)
    }

    /// One event for the person that the VERP address names.
    fn verp(&self, decoded: &Decoded) -> MailInput {
        let key = self.person(&decoded.payload);
        let address = match &decoded.payload {
            Payload::Address(address) => Some(address.clone()),
            Payload::Hash(hash) => self.unhash(*hash),
            Payload::Id(_) | Payload::Own(_) => None,
        };
        let mut verdict = gravest(self.tell(address.as_deref()).verdicts);
        if address.is_none() {
            // A sender's own id: the bounce is the only one to say the address. A hash that nothing fits stays without.
            let named = verdict.address.take();
            match decoded.payload {
                Payload::Id(_) => verdict.address = named,
                _ => verdict.reported_address = verdict.reported_address.take().or(named),
            }
            // The envelope does name somebody, if not by address (taxonomy, code 30).
            if verdict.status == Status::BounceNoAddress {
                verdict.status = Status::GeneralBounce;
            }
        }
        let standing = self.standing(decoded, verdict.status);
        self.input(key, decoded.campaign.clone(), standing, decoded.signed, verdict)
    }

    /// At an address without VERP: as good as signed where a VERP address inside the mail verifies, else for each person named.
    fn plain(&self, telling: Telling) -> Vec<MailInput> {
        let inside = classify::vouchers(self.report).iter().find_map(|text| self.gate().codec().find(text, self.today));
        match inside {
            Some(decoded) if decoded.form == Form::Own => vec![self.own()],
            Some(decoded) => vec![self.verp(&decoded)],
            None => telling.verdicts.into_iter().take(MAX_PEOPLE).map(|verdict| self.unsigned(verdict)).collect(),
        }
    }

    fn unsigned(&self, verdict: Verdict) -> MailInput {
        let key = verdict.address.as_deref().map(|address| self.gate().codec().key_of_address(address));
        let fires = !self.policy.require_signature || self.policy.unsigned_may_fire.contains(&verdict.status);
        self.input(key, None, if fires { Standing::Full } else { Standing::Unsigned }, false, verdict)
    }

    /// A notification, alert or report of ours that somebody's forwarding leads back here as it is. Who forges that only keeps his own mail from
    /// firing anything.
    fn of_our_own(&self) -> bool {
        let header = &self.report.header;
        let job = header.field("x-bounced-job").map(str::trim);
        let written = job.zip(header.message_id.as_deref()).is_some_and(|(job, id)| {
            let id = id.trim_start_matches('<').trim_end_matches('>');
            id.strip_prefix(job)
                .and_then(|rest| rest.strip_prefix('@'))
                .is_some_and(|host| host.eq_ignore_ascii_case(&self.policy.hostname))
        });
        written && header.auto_submitted.as_deref() == Some("auto-generated")
    }

    /// A mail of our own came back: recorded, and nothing more, or one notification would beget the next.
    fn own(&self) -> MailInput {
        let verdict = gravest(self.tell(None).verdicts);
        self.input(None, None, Standing::Own, true, verdict)
    }

    fn forward(&self, telling: Telling) -> MailInput {
        let mut input = self.input(None, None, Standing::Unsigned, false, gravest(telling.verdicts));
        input.forward = self.policy.postmaster.clone();
        input.keep_raw = true;
        input
    }

    /// Whether a mail at postmaster@ or abuse@ is one that a person wrote to be read.
    fn for_a_person(&self, telling: &Telling) -> bool {
        let header = &self.report.header;
        let automatic = header.auto_submitted.as_deref().is_some_and(|word| !word.trim().eq_ignore_ascii_case("no"))
            || header
                .precedence
                .as_deref()
                .is_some_and(|word| ["bulk", "junk", "list", "auto_reply"].iter().any(|known| word.trim().eq_ignore_ascii_case(known)));
        let null_sender = self.arrival.reverse_path.as_deref().unwrap_or_default().is_empty();
        telling.kind == Kind::Other && !null_sender && !automatic
    }

    fn person(&self, payload: &Payload) -> Option<PersonKey> {
        match payload {
            Payload::Address(address) => Some(self.gate().codec().key_of_address(address)),
            Payload::Hash(key) => Some(*key),
            Payload::Id(id) => Some(self.gate().codec().key_of_id(id)),
            Payload::Own(_) => None,
        }
    }

    /// Finds the address behind a short VERP form among those that the mail names.
    fn unhash(&self, key: PersonKey) -> Option<String> {
        classify::named_addresses(self.report).into_iter().find(|named| self.gate().codec().key_of_address(named) == key)
    }

    /// Design promise 6 and `verp.max_age`.
    fn standing(&self, decoded: &Decoded, status: Status) -> Standing {
        if !decoded.signed && self.policy.require_signature && !self.policy.unsigned_may_fire.contains(&status) {
            return Standing::Unsigned;
        }
        if decoded.expired && !self.policy.any_age && !matches!(status, Status::SpamComplaint | Status::UnsubscribeRequest) {
            return Standing::Expired;
        }
        Standing::Full
    }

    fn input(&self, person: Option<PersonKey>, campaign: Option<String>, standing: Standing, signed: bool, verdict: Verdict) -> MailInput {
        let original = self.report.original.as_ref();
        // A mail at a VERP address is one event whatever it says; at a plain address each person named has one.
        let told_apart_by = match self.mailbox.door {
            Door::Plain | Door::Postmaster => verdict.address.as_deref().unwrap_or_default(),
            Door::Verp(_) | Door::Own(_) => "",
        };
        MailInput {
            person,
            campaign,
            standing,
            origin: Origin {
                rcpt: self.mailbox.rcpt.clone(),
                reverse_path: self.arrival.reverse_path.clone(),
                client: self.arrival.client.map(|client| client.to_canonical().to_string()),
                message_id: self.report.header.message_id.clone(),
                subject: self.report.header.subject.clone(),
                original_message_id: original.and_then(|original| original.message_id.clone()),
                envelope_id: self.report.original_envelope_id.clone(),
                signed,
            },
            dedupe: dedupe::key(&self.mailbox.rcpt, told_apart_by, &self.content),
            keep_raw: verdict.status == Status::Undetermined,
            forward: None,
            original_whole: self.report.original_whole,
            import: None,
            verdict,
        }
    }
}

/// The one verdict that counts: failed before delayed before delivered (taxonomy rule 6), the first of its rank.
fn gravest(verdicts: Vec<Verdict>) -> Verdict {
    let rank = |status: Status| match status {
        Status::Delivered => 2,
        Status::TransientBounce => 1,
        _ => 0,
    };
    let first = verdicts.into_iter().min_by_key(|verdict| rank(verdict.status));
    let mut verdict = first.unwrap_or_else(|| Verdict::undetermined("nothing-told"));
    verdict.address = verdict.address.as_deref().and_then(address::normal);
    verdict
}

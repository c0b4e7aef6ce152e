//! A batch: inputs folded in the order in which they came, each over what those before it left. Nothing is written here but into the
//! streams' buffers; [`super::writer`] commits.

mod timed;
mod write;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Judge, KeyOf, Recorded, StoreError,
    keys::{self, ScopeKind},
    overlay::{Overlay, Rows},
    people, person_row,
    rows::{State, decode, encode, time},
    scopes::Scopes,
    segments::{RAW, Stream},
    table::Table,
};
use crate::{
    ledger::{
        Changes, GuardChange, HOURS_REACH, Hand, HandInput, Held, Input, Known, MailInput, Per, Person, RawRef, Standing, Timer,
        TimerInput, domain_of,
    },
    taxonomy::Status,
    verp::PersonKey,
};

pub struct Fold<'a> {
    tree: &'a Table,
    pub rows: Overlay<'a>,
    pub state: State,
    pub events: &'a mut Stream,
    pub raw: &'a mut Stream,
    /// Whether a job was made or changed.
    pub jobs_changed: bool,
    pub rules: Arc<dyn Judge>,
    pub own_key: Option<KeyOf>,
    pub epoch: u32,
    /// Whether this batch has put anything into the events.
    appended: bool,
    scopes: Scopes,
    persons: HashMap<PersonKey, Option<Person>>,
    persons_changed: BTreeSet<PersonKey>,
}

/// What rows beside a person's own tell of, as it was before an input.
struct Before {
    address: Option<String>,
    sequences: Vec<String>,
}

impl Before {
    fn of(person: Option<&Person>) -> Before {
        let address = person.and_then(|person| person.address.clone());
        Before { address, sequences: person.into_iter().flat_map(|person| person.sequences.keys().cloned()).collect() }
    }
}

/// Under which names an input counts.
struct Names {
    domain: Option<String>,
    campaign: Option<String>,
}

impl<'a> Fold<'a> {
    pub fn new(
        tree: &'a Table,
        state: State,
        streams: (&'a mut Stream, &'a mut Stream),
        rules: Arc<dyn Judge>,
        own_key: Option<KeyOf>,
        epoch: u32,
        names: u32,
    ) -> Fold<'a> {
        Fold {
            tree,
            rows: Overlay::new(tree),
            state,
            events: streams.0,
            raw: streams.1,
            jobs_changed: false,
            rules,
            own_key,
            epoch,
            appended: false,
            scopes: Scopes::new(names),
            persons: HashMap::new(),
            persons_changed: BTreeSet::new(),
        }
    }

    /// The rows to commit and the state that goes with them; nothing changed gives no rows.
    pub fn finish(mut self) -> Result<(Rows, State), StoreError> {
        for key in std::mem::take(&mut self.persons_changed) {
            if let Some(Some(person)) = self.persons.get(&key) {
                self.rows.put(keys::person(key), person_row::to_row(person)?)?;
            }
        }
        self.scopes.write(&mut self.rows)?;
        (self.state.events, self.state.raw) = (self.events.tail(), self.raw.tail());
        Ok((self.rows.into_rows(), self.state))
    }

    /// One mail at all of its recipients, or other inputs; `raw` is the mail's.
    pub fn record(&mut self, inputs: &[Input], raw: &Bytes, now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        let mut kept = None;
        inputs.iter().map(|input| self.input(input, raw, &mut kept, now)).collect()
    }

    fn input(&mut self, input: &Input, raw: &Bytes, kept: &mut Option<RawRef>, now: Timestamp) -> Result<Recorded, StoreError> {
        let Input::Mail(mail) = input else { return self.judge_and_write(input, None, now) };
        let dedupe = keys::dedupe(&mail.dedupe);
        if let Some(row) = self.rows.get(&dedupe)? {
            return Ok(Recorded { event: decode(&row, "a dedupe key")?, duplicate: true, fired: Vec::new(), guarded: None });
        }
        let (event, now) = self.stamp(now);
        let (mut changes, names, before) = self.judge_mail(input, mail, event, now)?;
        if (mail.keep_raw || changes.keep_raw) && kept.is_none() {
            *kept = Some(self.raw.append(RAW, &[raw], self.state.last_at).map_err(StoreError::read)?);
            self.rows.put(keys::raw_segment(self.raw.tail().segment), encode(&self.state.last_at)?)?;
        }
        changes.set_raw(if mail.keep_raw || changes.keep_raw { *kept } else { None });
        let fired = changes.event.mail().map(|event| event.fired.clone()).unwrap_or_default();
        let guarded = match &changes.guard {
            Some(GuardChange::Hold { domain, hard_bounces }) => Some((domain.clone(), *hard_bounces)),
            _ => None,
        };
        self.rows.add(dedupe, encode(&event)?);
        self.count(mail, &changes, &names, mail.at(now))?;
        let mut digest = [0; keys::DEDUPE_OCTETS];
        digest.iter_mut().zip(mail.dedupe).for_each(|(to, from)| *to = from);
        // Of a mail of the past, too, jobs and tasks are made now.
        self.write(digest, changes, &before, event, now)?;
        Ok(Recorded { event, duplicate: false, fired, guarded })
    }

    /// An input that is no mail: it counts nowhere and bears no dedupe key.
    fn judge_and_write(&mut self, input: &Input, held: Option<Held>, now: Timestamp) -> Result<Recorded, StoreError> {
        let (event, at) = self.stamp(now);
        let mut known = self.known_beside(input, held)?;
        let before = Before::of(known.person.as_ref());
        let changes = Arc::clone(&self.rules).judge(&mut known, input, event, at);
        self.write([0; keys::DEDUPE_OCTETS], changes, &before, event, at)?;
        if let Input::Hand(HandInput { act: Hand::TaskDone(id), .. }) = input
            && let Ok(id) = id.parse()
        {
            people::task_done(&mut self.rows, id, at)?;
        }
        Ok(Recorded { event, duplicate: false, fired: Vec::new(), guarded: None })
    }

    fn known_beside(&mut self, input: &Input, held: Option<Held>) -> Result<Known, StoreError> {
        let (whom, report, domain) = match input {
            Input::Hand(HandInput { person, act: Hand::Send(report) }) => (*person, Some(report), None),
            Input::Hand(HandInput { person, act: Hand::Guard { domain, .. } }) => (*person, None, Some(domain)),
            Input::Hand(hand) => (hand.person, None, None),
            Input::Timer(TimerInput { timer: Timer::Report { name }, .. }) => (None, Some(name), None),
            Input::Timer(TimerInput { timer: Timer::Guard { domain }, .. }) => (held.as_ref().map(|held| held.person), None, Some(domain)),
            Input::Timer(timer) => (timer.timer.person(), None, None),
            Input::Mail(mail) => (mail.person, None, None),
        };
        let report = report.map(|name| people::report(&self.rows, name)).transpose()?;
        let guard = domain.map(|domain| people::guard(&self.rows, domain)).transpose()?.flatten();
        let person = match whom {
            Some(key) => self.person(key)?.clone(),
            None => None,
        };
        Ok(Known { person, report, guard, held, ..Known::default() })
    }

    /// The next event's id and time: to the millisecond, never before the last.
    fn stamp(&mut self, now: Timestamp) -> (u64, Timestamp) {
        let event = self.state.next_event.max(1);
        self.state.next_event = event.saturating_add(1);
        self.state.last_at = now.as_millisecond().max(self.state.last_at);
        (event, time(self.state.last_at))
    }

    fn judge_mail(&mut self, input: &Input, mail: &MailInput, event: u64, now: Timestamp) -> Result<(Changes, Names, Before), StoreError> {
        // Lent, not copied: a person may have 256 entries.
        let person = match mail.person {
            Some(key) => self.person(key)?.take(),
            None => None,
        };
        let before = Before::of(person.as_ref());
        let mut known = Known { person, ..Known::default() };
        let mut names = Names { domain: None, campaign: None };
        // What may not fire is never compared with what was counted before.
        let changes = match mail.standing {
            Standing::Full => self.judge_counted(input, mail, event, now, &mut known, &mut names)?,
            _ => self.rules.judge(&mut known, input, event, now),
        };
        if let (Some(key), Some(unchanged)) = (mail.person, known.person) {
            self.persons.insert(key, Some(unchanged));
        }
        Ok((changes, names, before))
    }

    /// With the counts of all that it counts for.
    fn judge_counted(
        &mut self,
        input: &Input,
        mail: &MailInput,
        event: u64,
        now: Timestamp,
        known: &mut Known,
        names: &mut Names,
    ) -> Result<Changes, StoreError> {
        let at = mail.at(now);
        let rules = Arc::clone(&self.rules);
        if let Some(domain) = domain_of(known.person.as_ref(), mail) {
            let name = self.scopes.resolve(&self.rows, &mut self.state, ScopeKind::Domain, domain)?;
            known.domain = self.scopes.take(&self.rows, ScopeKind::Domain, &name, at, rules.reach(Per::Domain))?;
            if mail.verdict.status == Status::HardBounce {
                let guard = if self.state.guarded > 0 { people::guard(&self.rows, domain)? } else { None };
                known.guarded = guard.is_some_and(|guard| guard.ending.is_none());
                if guard.is_none() && rules.asks_usual(&known.domain, at) {
                    self.scopes.restore(ScopeKind::Domain, &name, std::mem::take(&mut known.domain));
                    known.domain = self.scopes.take(&self.rows, ScopeKind::Domain, &name, at, Some(HOURS_REACH))?;
                    known.usual = rules.usual(&known.domain, at);
                }
            }
            names.domain = Some(name);
        }
        if let Some(campaign) = &mail.campaign {
            let name = self.scopes.resolve(&self.rows, &mut self.state, ScopeKind::Campaign, campaign)?;
            known.campaign = self.scopes.take(&self.rows, ScopeKind::Campaign, &name, at, rules.reach(Per::Campaign))?;
            names.campaign = Some(name);
        }
        known.all = self.scopes.take(&self.rows, ScopeKind::All, "", at, rules.reach(Per::All))?;
        let changes = rules.judge(known, input, event, now);
        if let Some(name) = &names.domain {
            self.scopes.restore(ScopeKind::Domain, name, std::mem::take(&mut known.domain));
        }
        if let Some(name) = &names.campaign {
            self.scopes.restore(ScopeKind::Campaign, name, std::mem::take(&mut known.campaign));
        }
        self.scopes.restore(ScopeKind::All, "", std::mem::take(&mut known.all));
        Ok(changes)
    }

    fn person(&mut self, key: PersonKey) -> Result<&mut Option<Person>, StoreError> {
        if !self.persons.contains_key(&key) {
            let person = self.rows.get(&keys::person(key))?.map(|row| person_row::from_row(&row)).transpose()?;
            self.persons.insert(key, person);
        }
        self.persons.get_mut(&key).ok_or_else(|| StoreError::damaged("a person that went away"))
    }

    fn count(&mut self, mail: &MailInput, changes: &Changes, names: &Names, at: Timestamp) -> Result<(), StoreError> {
        let status = mail.verdict.status;
        let mut count = |kind, name: &str| self.scopes.count(&self.rows, kind, name, at, status);
        if changes.counted {
            for (kind, name) in [(ScopeKind::Domain, &names.domain), (ScopeKind::Campaign, &names.campaign)] {
                if let Some(name) = name {
                    count(kind, name)?;
                }
            }
            count(ScopeKind::All, "")?;
        }
        match mail.standing {
            Standing::Full => {}
            Standing::Unsigned => count(ScopeKind::Unsigned, "")?,
            Standing::Expired => count(ScopeKind::Expired, "")?,
            Standing::Own => count(ScopeKind::Own, "")?,
        }
        for mark in &changes.fired {
            let (kind, name) = match mark.per {
                Per::Domain => (ScopeKind::Domain, names.domain.as_deref()),
                Per::Campaign => (ScopeKind::Campaign, names.campaign.as_deref()),
                Per::All => (ScopeKind::All, Some("")),
                Per::Address => continue,
            };
            if let Some(name) = name {
                self.scopes.mark(&self.rows, kind, name, mark.fired.clone())?;
            }
        }
        Ok(())
    }
}

//! A batch: inputs folded in the order in which they came, each over what those before it left. Nothing is written here but into the
//! streams' buffers; [`super::writer`] commits.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Judge, KeyOf, Recorded, StoreError,
    keys::{self, ScopeKind},
    outbox,
    overlay::{Overlay, Rows},
    person_row,
    rows::{AddressRow, EventRecord, JobBody, Position, State, decode, encode, time},
    scopes::Scopes,
    segments::{COMMIT, EVENT, JOB, RAW, Stream},
};
use crate::{
    ledger::{Changes, Event, Input, Known, MailInput, Per, Person, RawRef, Standing, domain_of},
    outbox::{JobId, lane},
    verp::PersonKey,
};

/// So many bytes of events lie at most between two that have a position row: what reading one event costs.
const POSITION_EVERY: u64 = 16 << 10;

/// So many persons an address stands for at most, in the index; further ones are not found by it.
const PERSONS_PER_ADDRESS: usize = 16;

pub struct Fold<'a> {
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

/// Under which names an input counts.
struct Names {
    domain: Option<String>,
    campaign: Option<String>,
}

impl<'a> Fold<'a> {
    pub fn new(
        tree: &'a sled::Tree,
        state: State,
        streams: (&'a mut Stream, &'a mut Stream),
        rules: Arc<dyn Judge>,
        own_key: Option<KeyOf>,
        epoch: u32,
        names: u32,
    ) -> Fold<'a> {
        Fold {
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

    /// One mail at all of its recipients.
    pub fn record(&mut self, inputs: &[Input], raw: &Bytes, now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        let mut kept = None;
        inputs.iter().map(|input| self.input(input, raw, &mut kept, now)).collect()
    }

    fn input(&mut self, input: &Input, raw: &Bytes, kept: &mut Option<RawRef>, now: Timestamp) -> Result<Recorded, StoreError> {
        let Input::Mail(mail) = input;
        let dedupe = keys::dedupe(&mail.dedupe);
        if let Some(row) = self.rows.get(&dedupe)? {
            return Ok(Recorded { event: decode(&row, "a dedupe key")?, duplicate: true, fired: Vec::new() });
        }
        let (event, at) = self.stamp(now);
        if mail.keep_raw && kept.is_none() {
            *kept = Some(self.raw.append(RAW, &[raw], self.state.last_at).map_err(StoreError::read)?);
            self.rows.put(keys::raw_segment(self.raw.tail().segment), encode(&self.state.last_at)?)?;
        }
        let (mut changes, names) = self.judge(input, mail, event, at)?;
        let Event::MailV1(mail_event) = &mut changes.event;
        mail_event.raw = if mail.keep_raw { *kept } else { None };
        let (raw, fired) = (mail_event.raw, mail_event.fired.clone());
        for job in &mut changes.jobs {
            job.facts.event.raw = raw;
        }
        self.rows.put(dedupe, encode(&event)?)?;
        self.count(mail, &changes, &names, at)?;
        self.write(mail, changes, event, at)?;
        Ok(Recorded { event, duplicate: false, fired })
    }

    /// The next event's id and time: to the millisecond, never before the last.
    fn stamp(&mut self, now: Timestamp) -> (u64, Timestamp) {
        let event = self.state.next_event.max(1);
        self.state.next_event = event.saturating_add(1);
        self.state.last_at = now.as_millisecond().max(self.state.last_at);
        (event, time(self.state.last_at))
    }

    fn judge(&mut self, input: &Input, mail: &MailInput, event: u64, at: Timestamp) -> Result<(Changes, Names), StoreError> {
        let person = match mail.person {
            Some(key) => self.person(key)?.clone(),
            None => None,
        };
        let mut known = Known { person, ..Known::default() };
        let mut names = Names { domain: None, campaign: None };
        // What may not fire is never compared with what was counted before.
        if mail.standing != Standing::Full {
            return Ok((self.rules.judge(&known, input, event, at), names));
        }
        let rules = Arc::clone(&self.rules);
        if let Some(domain) = domain_of(known.person.as_ref(), mail) {
            let name = self.scopes.resolve(&self.rows, &mut self.state, ScopeKind::Domain, domain)?;
            known.domain = self.scopes.take(&self.rows, ScopeKind::Domain, &name, at, rules.reach(Per::Domain))?;
            names.domain = Some(name);
        }
        if let Some(campaign) = &mail.campaign {
            let name = self.scopes.resolve(&self.rows, &mut self.state, ScopeKind::Campaign, campaign)?;
            known.campaign = self.scopes.take(&self.rows, ScopeKind::Campaign, &name, at, rules.reach(Per::Campaign))?;
            names.campaign = Some(name);
        }
        known.all = self.scopes.take(&self.rows, ScopeKind::All, "", at, rules.reach(Per::All))?;
        let changes = rules.judge(&known, input, event, at);
        if let Some(name) = &names.domain {
            self.scopes.restore(ScopeKind::Domain, name, known.domain);
        }
        if let Some(name) = &names.campaign {
            self.scopes.restore(ScopeKind::Campaign, name, known.campaign);
        }
        self.scopes.restore(ScopeKind::All, "", known.all);
        Ok((changes, names))
    }

    fn person(&mut self, key: PersonKey) -> Result<&mut Option<Person>, StoreError> {
        if !self.persons.contains_key(&key) {
            let person = self.rows.get(&keys::person(key))?.map(|row| person_row::from_row(&row)).transpose()?;
            self.persons.insert(key, person);
        }
        self.persons.get_mut(&key).ok_or_else(|| StoreError::damaged("a person that went away"))
    }

    fn count(&mut self, mail: &MailInput, changes: &Changes, names: &Names, at: Timestamp) -> Result<(), StoreError> {
        let Event::MailV1(event) = &changes.event;
        let status = event.verdict.status;
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

    /// The event and its jobs into the segments, the person into the batch.
    fn write(&mut self, mail: &MailInput, changes: Changes, event: u64, at: Timestamp) -> Result<(), StoreError> {
        let mut dedupe = [0; keys::DEDUPE_OCTETS];
        dedupe.iter_mut().zip(mail.dedupe).for_each(|(to, from)| *to = from);
        let record = EventRecord { dedupe, event: changes.event }.to_bytes()?;
        let place = self.append(EVENT, &record)?;
        let far = self
            .state
            .position
            .is_none_or(|(segment, offset)| segment != place.segment || place.offset.saturating_sub(offset) >= POSITION_EVERY);
        if far {
            self.state.position = Some((place.segment, place.offset));
            self.rows.put(keys::position(event), encode(&Position { segment: place.segment, offset: place.offset })?)?;
        }
        for job in changes.jobs {
            let id = JobId { epoch: self.epoch, event, trigger: job.trigger, place: job.place };
            let lane = lane(&job.task);
            let body = postcard::to_stdvec(&JobBody::V1 { id, task: job.task, facts: job.facts }).map_err(StoreError::read)?;
            let body = self.append(JOB, &body)?;
            self.jobs_changed = true;
            outbox::create(&mut self.rows, &mut self.state, id, at, body, &lane)?;
        }
        if let (Some(key), Some(person)) = (mail.person, changes.person) {
            self.index(key, &person)?;
            self.persons.insert(key, Some(person));
            self.persons_changed.insert(key);
        }
        Ok(())
    }

    fn append(&mut self, kind: u8, bytes: &[u8]) -> Result<RawRef, StoreError> {
        if !self.appended {
            self.appended = true;
            self.events.append(COMMIT, &[], self.state.last_at).map_err(StoreError::read)?;
        }
        self.events.append(kind, &[bytes], self.state.last_at).map_err(|error: io::Error| StoreError::read(error))
    }

    /// Lets a person be found by an address that isn't their own key.
    fn index(&mut self, key: PersonKey, person: &Person) -> Result<(), StoreError> {
        let Some(address) = person.address.as_deref() else { return Ok(()) };
        let known = self.persons.get(&key).and_then(|before| before.as_ref()).and_then(|before| before.address.as_deref());
        if known == Some(address) || self.own_key.as_ref().is_some_and(|own_key| own_key(address) == key) {
            return Ok(());
        }
        let row = keys::address(address);
        let mut persons: AddressRow = match self.rows.get(&row)? {
            Some(bytes) => decode(&bytes, "an address")?,
            None => AddressRow::new(),
        };
        if persons.len() < PERSONS_PER_ADDRESS && persons.insert(key) {
            self.rows.put(row, encode(&persons)?)?;
        }
        Ok(())
    }
}

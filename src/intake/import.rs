//! Mails of the past: told like any other, counted at the time at which they came, quiet unless they are to fire.
//!
//! The same mail that came by SMTP before, or was brought in before, is counted no second time: the key is the same.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{Arrival, Intake, Mailbox, Policy, resolve};
use crate::{
    ledger::{self, Input, MailInput},
    message,
    store::StoreError,
    verp::day_of,
};

/// How mails are brought in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct How {
    /// For whom they came where they don't say it themselves, or whatever they say.
    pub rcpt: Option<String>,
    /// Whether triggers act on the outside.
    pub fire: bool,
    /// What came before is left out: it would expire at once.
    pub not_before: Timestamp,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// Its events, and the triggers that fired.
    Counted { status: &'static str, fired: Vec<String> },
    /// It was recorded before.
    Known,
    /// It came before [`How::not_before`].
    TooOld,
    /// None of the addresses it was delivered to is ours, in the last one's words.
    NotOurs(String),
}

impl Intake {
    /// Records mails in their order, in as few commits as can be. Ready when all are on the platter.
    ///
    /// # Errors
    /// The store failed; what it said of those before is lost, and importing again finds out.
    pub async fn import(&self, mails: Vec<Bytes>, how: &How) -> Result<Vec<Imported>, StoreError> {
        // The age of a stamp says nothing of a mail of the past.
        let policy = Arc::new(Policy { any_age: true, ..Policy::clone(&self.policy()) });
        let now = self.now();
        let how = how.clone();
        let told = self.pool().run(move || mails.into_iter().map(|raw| (told(&raw, &how, &policy, now), raw)).collect::<Vec<_>>());
        let Ok(told) = told.await else { return Err(StoreError::Closed) };
        let recorded: Vec<_> = told
            .into_iter()
            .map(|(told, raw)| {
                let inputs = told?;
                let batch = inputs.iter().cloned().map(Input::Mail).collect();
                Ok((inputs, self.store().record(batch, raw)))
            })
            .collect();
        let mut ended = Vec::with_capacity(recorded.len());
        for each in recorded {
            ended.push(match each {
                Err(left_out) => left_out,
                Ok((inputs, recorded)) => {
                    let recorded = recorded.await?;
                    inputs.iter().zip(&recorded).for_each(|(input, recorded)| self.tell_of(input, recorded));
                    let status = inputs.first().map_or("undetermined", |input| input.verdict.status.id());
                    match recorded.iter().all(|recorded| recorded.duplicate) {
                        true => Imported::Known,
                        false => Imported::Counted { status, fired: recorded.into_iter().flat_map(|recorded| recorded.fired).collect() },
                    }
                }
            });
        }
        Ok(ended)
    }
}

/// A mail that can't be told doesn't end the import of the others.
fn told(raw: &Bytes, how: &How, policy: &Policy, now: Timestamp) -> Result<Vec<MailInput>, Imported> {
    catch_unwind(AssertUnwindSafe(|| inputs(raw, how, policy, now)))
        .unwrap_or_else(|_| Err(Imported::NotOurs("it could not be read".to_owned())))
}

fn inputs(raw: &Bytes, how: &How, policy: &Policy, now: Timestamp) -> Result<Vec<MailInput>, Imported> {
    let trace = message::trace(raw);
    let at = trace.at.and_then(|second| Timestamp::from_second(second).ok()).map_or(now, |at| at.min(now));
    if at < how.not_before {
        return Err(Imported::TooOld);
    }
    // A stamp may be younger than the mail says it is: its age is passed over either way.
    let today = day_of(now);
    let mailbox = mailbox(how.rcpt.as_ref().map_or(trace.recipients.as_slice(), std::slice::from_ref), policy, today)?;
    let arrival = Arrival { client: None, helo: None, reverse_path: trace.return_path, mailboxes: vec![mailbox], raw: raw.clone() };
    let mut inputs = resolve::inputs(&message::read(raw), &arrival, policy, today);
    for input in &mut inputs {
        input.forward = None;
        input.import = Some(ledger::Import { at, fire: how.fire });
    }
    Ok(inputs)
}

/// The first of them that is ours.
fn mailbox(recipients: &[String], policy: &Policy, today: i32) -> Result<Mailbox, Imported> {
    let mut why = "it names no recipient; give one with --rcpt".to_owned();
    for rcpt in recipients {
        match policy.gate.judge(rcpt, today) {
            Ok(mailbox) => return Ok(mailbox),
            Err(refusal) => why = format!("{rcpt}: {refusal}"),
        }
    }
    Err(Imported::NotOurs(why))
}

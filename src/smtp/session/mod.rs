//! One SMTP dialogue: verbs, order and limits.
//!
//! Pure: bytes and answers are handed in, replies and wishes come out. [`Session::step`] works off input until it needs something that only the
//! shell can give, and says so in a [`Step`]. The same bytes give the same dialogue however they are split into reads. A 250 for a mail is
//! written by [`Session::taken`] only; a client that goes away before the end of its mail has sent nothing.

mod verbs;

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;

use super::{
    Handler, command,
    framing::{Frame, Framer, Spoilt},
    reply::{self, Reply},
};
use crate::intake::{Arrival, Failure, Mailbox};

/// RFC 5321, section 4.5.3.1.8 asks for no fewer.
const MAX_RECIPIENTS: usize = 100;
/// Senseless commands, without a mail between them, after which the dialogue is ended.
const MAX_ERRORS: u32 = 10;
/// Refused recipients of one connection after which each further one is slowed, and after which the dialogue is ended.
const SLOW_AFTER: u32 = 5;
const MAX_REFUSED: u32 = 50;
const MAX_PAUSE: u32 = 8;

/// What one connection may do.
#[derive(Debug, Clone)]
pub struct Policy {
    pub hostname: String,
    pub max_message_bytes: usize,
    /// There is a certificate.
    pub starttls: bool,
    /// From `smtp.trusted_networks`: guesses are not slowed.
    pub trusted: bool,
    /// Recipients refused to the client's network in other connections.
    pub refused_before: u32,
    pub client: Option<IpAddr>,
}

/// What the shell has to do before the next step.
#[derive(Debug)]
pub enum Step {
    /// Send the output, read more.
    Read,
    /// Wait so long before the output is sent.
    Pause(Duration),
    /// Get so many octets of memory, then call [`Session::granted`].
    Memory(usize),
    /// Record the mail, then call [`Session::taken`].
    Take(Arrival),
    /// Send the output, drop what was read so far, speak TLS, then call [`Session::secured`].
    StartTls,
    /// Send the output, hang up.
    Close,
}

/// What is worth a line in the log or a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A recipient was refused for that reason.
    Recipient { rcpt: String, reason: &'static str },
    /// A mail or command was refused for that reason.
    Refused { reason: &'static str },
    /// A whole mail was answered with that code.
    Message { code: u16 },
}

pub struct Session {
    policy: Policy,
    framer: Framer,
    output: Vec<u8>,
    notes: Vec<Note>,
    helo: Option<String>,
    mail: Option<Mail>,
    /// Octets asked for before 354.
    before_data: Option<usize>,
    in_tls: bool,
    closing: bool,
    /// A mail was refused: what a client that pipelines had sent after it comes out of order through no fault of its own.
    excused: bool,
    errors: u32,
    refused: u32,
    turn: u64,
}

/// A mail transaction (RFC 5321, section 3.3).
#[derive(Default)]
struct Mail {
    reverse_path: String,
    smtputf8: bool,
    mailboxes: Vec<Mailbox>,
    any_refused: bool,
    chunks: Chunks,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Chunks {
    #[default]
    None,
    UnderWay,
    Last,
}

impl Session {
    /// The greeting is in the output at once.
    pub fn new(policy: Policy) -> Self {
        let mut output = Vec::new();
        reply::greeting(&policy.hostname).write(&mut output);
        let refused = policy.refused_before.min(SLOW_AFTER + MAX_PAUSE);
        Self {
            policy,
            framer: Framer::default(),
            output,
            notes: Vec::new(),
            helo: None,
            mail: None,
            before_data: None,
            in_tls: false,
            closing: false,
            excused: false,
            errors: 0,
            refused,
            turn: 0,
        }
    }

    /// Takes from the front of `input` until the shell has to do something.
    pub fn step(&mut self, handler: &impl Handler, input: &mut &[u8]) -> Step {
        loop {
            if self.closing {
                return Step::Close;
            } else if let Some(octets) = self.before_data {
                return Step::Memory(octets);
            }
            let Some(frame) = self.framer.next(input) else { return Step::Read };
            if let Some(step) = self.frame(handler, frame, input) {
                return step;
            }
        }
    }

    /// The answer to [`Step::Memory`]: whether it could be had.
    pub fn granted(&mut self, granted: bool) {
        match (self.before_data.take(), granted) {
            (Some(octets), true) => {
                self.framer.expect_data(self.policy.max_message_bytes, octets);
                self.reply(&reply::START_DATA);
                self.turn += 1;
            }
            (Some(_), false) => self.end_mail(&reply::NO_MEMORY, "memory"),
            (None, _) => {
                let octets = granted.then(|| self.framer.wanted());
                self.framer.grant(octets);
            }
        }
    }

    /// The answer to [`Step::Take`].
    pub fn taken(&mut self, result: &Result<Vec<u64>, Failure>) {
        let reply = match result {
            Ok(ids) => {
                self.errors = 0;
                reply::recorded(ids)
            }
            Err(why) => reply::failed(why),
        };
        self.message(&reply);
    }

    /// TLS is spoken now: nothing of what was said before counts (RFC 3207, section 4.2).
    pub fn secured(&mut self) {
        self.in_tls = true;
        self.helo = None;
        self.reset();
    }

    /// Something was sent before the greeting: it gets this in its place.
    pub fn talked_early(&mut self) {
        self.output.clear();
        self.note("early-talk");
        self.end(&reply::TALKED_EARLY);
    }

    /// Ends the dialogue with a reply of the shell's: a timeout, a stop.
    pub fn end(&mut self, reply: &Reply) {
        self.reply(reply);
        self.closing = true;
    }

    /// What is to be sent; empty afterwards.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// In DATA, or between the first chunk of a mail and its last.
    pub fn in_content(&self) -> bool {
        self.framer.in_content() || self.chunks() == Chunks::UnderWay
    }

    /// Changes with each command, chunk and mail that came in whole: a deadline runs within one turn.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Octets of the granted memory still in use by the mail that is coming in.
    pub fn memory(&self) -> usize {
        self.framer.granted()
    }

    fn frame(&mut self, handler: &impl Handler, frame: Frame, input: &mut &[u8]) -> Option<Step> {
        if !matches!(frame, Frame::Room(_)) {
            self.turn += 1;
        }
        match frame {
            Frame::Room(octets) => Some(Step::Memory(octets)),
            Frame::Line(line) => match command::parse(&line) {
                Ok(command) => self.command(handler, command, input),
                Err(refused) => {
                    self.excused |= self.mail.is_none();
                    if refused == reply::BAD_CHUNK_SIZE {
                        self.closing = true;
                    }
                    self.error(&refused)
                }
            },
            Frame::LongLine => self.error(&reply::LINE_TOO_LONG),
            Frame::BareLineEnd => {
                self.note("bare-line-end");
                self.end(&reply::BARE_LINE_END);
                None
            }
            Frame::ContentEnd => self.whole_mail(),
            Frame::ChunkEnd => match (self.chunks(), self.framer.spoilt()) {
                (Chunks::None, _) => {
                    let refused = self.no_content_yet();
                    let step = self.out_of_order(&refused);
                    self.reset();
                    self.excused = true;
                    step
                }
                (Chunks::UnderWay, None) => {
                    self.reply(&reply::CHUNK_OK);
                    None
                }
                _ => self.whole_mail(),
            },
        }
    }

    fn whole_mail(&mut self) -> Option<Step> {
        let content = self.framer.take_content();
        let mail = self.mail.take()?;
        match content {
            Ok(raw) => Some(Step::Take(Arrival {
                client: self.policy.client,
                helo: self.helo.clone(),
                reverse_path: Some(mail.reverse_path),
                mailboxes: mail.mailboxes,
                raw: Bytes::from(raw),
            })),
            Err(Spoilt::TooBig) => {
                self.end_mail(&reply::TOO_BIG, "size");
                None
            }
            Err(Spoilt::NoMemory) => {
                self.end_mail(&reply::NO_MEMORY, "memory");
                None
            }
        }
    }

    fn end_mail(&mut self, refused: &Reply, reason: &'static str) {
        self.note(reason);
        self.reset();
        self.excused = true;
        self.message(refused);
    }

    fn message(&mut self, reply: &Reply) {
        self.notes.push(Note::Message { code: reply.code });
        self.reply(reply);
    }

    fn reset(&mut self) {
        self.mail = None;
        self.framer.drop_content();
    }

    fn chunks(&self) -> Chunks {
        self.mail.as_ref().map_or(Chunks::None, |mail| mail.chunks)
    }

    fn error(&mut self, refused: &Reply) -> Option<Step> {
        self.errors = self.errors.saturating_add(1);
        self.note("command");
        if self.errors >= MAX_ERRORS {
            self.end(&reply::TOO_MANY_ERRORS);
        } else {
            self.reply(refused);
        }
        None
    }

    fn refuse(&mut self, refused: &Reply, reason: &'static str) {
        self.note(reason);
        self.reply(refused);
    }

    fn note(&mut self, reason: &'static str) {
        self.notes.push(Note::Refused { reason });
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }
}

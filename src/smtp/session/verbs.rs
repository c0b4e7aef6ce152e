//! The verbs of a dialogue: what each does, and where it may stand (RFC 5321, section 4.1.4).

use std::time::Duration;

use super::{Chunks, MAX_PAUSE, MAX_RECIPIENTS, MAX_REFUSED, Mail, Note, Policy, SLOW_AFTER, Session, Step};
use crate::{
    intake::Refusal,
    smtp::{
        Handler,
        command::Command,
        framing::FIRST_GRANT,
        reply::{self, Reply},
    },
};

impl Session {
    pub(super) fn command(&mut self, handler: &impl Handler, command: Command, input: &mut &[u8]) -> Option<Step> {
        match command {
            Command::Hello { extended, host } => self.hello(extended, host),
            Command::Mail { reverse_path, size, smtputf8 } => return self.mail(handler, reverse_path, size, smtputf8),
            Command::Rcpt { forward_path } => return self.rcpt(handler, forward_path),
            Command::Data => return self.data(),
            Command::Bdat { octets, last } => self.bdat(octets, last),
            Command::Rset => {
                self.reset();
                self.excused = false;
                self.reply(&reply::OK);
            }
            Command::Noop => self.reply(&reply::OK),
            Command::Vrfy => self.reply(&reply::CANNOT_VERIFY),
            Command::Help => self.reply(&reply::HELP),
            Command::Quit => self.end(&reply::BYE),
            Command::Http => {
                self.note("http");
                self.end(&reply::NOT_HTTP);
            }
            Command::StartTls if self.in_tls => return self.error(&reply::TLS_ALREADY),
            Command::StartTls if !self.policy.starttls => return self.error(&reply::NOT_OFFERED),
            Command::StartTls => {
                // What was sent in the clear after it must not be obeyed as if it had come by TLS.
                *input = &[];
                self.reply(&reply::START_TLS);
                return Some(Step::StartTls);
            }
        }
        None
    }

    fn hello(&mut self, extended: bool, host: String) {
        self.reset();
        self.helo = Some(host);
        let Policy { hostname, max_message_bytes, starttls, .. } = &self.policy;
        if extended {
            reply::extended_hello(hostname, *max_message_bytes, *starttls && !self.in_tls, &mut self.output);
        } else {
            reply::hello(hostname).write(&mut self.output);
        }
    }

    fn mail(&mut self, handler: &impl Handler, reverse_path: String, size: u64, smtputf8: bool) -> Option<Step> {
        self.excused = self.mail.is_none();
        if self.helo.is_none() {
            return self.error(&reply::HELLO_FIRST);
        } else if self.mail.is_some() {
            return self.error(&reply::NESTED_MAIL);
        } else if !smtputf8 && !reverse_path.is_ascii() {
            return self.error(&reply::NEEDS_SMTPUTF8);
        } else if size > self.policy.max_message_bytes as u64 {
            self.refuse(&reply::TOO_BIG, "size");
        } else if !handler.room() {
            self.refuse(&reply::NO_ROOM, "room");
        } else {
            self.mail = Some(Mail { reverse_path, smtputf8, ..Mail::default() });
            self.excused = false;
            self.reply(&reply::SENDER_OK);
        }
        None
    }

    fn rcpt(&mut self, handler: &impl Handler, forward_path: String) -> Option<Step> {
        let Some(mail) = &mut self.mail else { return self.out_of_order(&reply::MAIL_FIRST) };
        if mail.chunks != Chunks::None {
            return self.error(&reply::CHUNKS_UNDER_WAY);
        } else if !mail.smtputf8 && !forward_path.is_ascii() {
            mail.any_refused = true;
            return self.error(&reply::NEEDS_SMTPUTF8);
        } else if mail.mailboxes.iter().any(|known| known.rcpt.eq_ignore_ascii_case(&forward_path)) {
            self.reply(&reply::RECIPIENT_OK);
            return None;
        } else if mail.mailboxes.len() >= MAX_RECIPIENTS {
            self.refuse(&reply::TOO_MANY_RECIPIENTS, "recipients");
            return None;
        }
        match handler.recipient(&forward_path) {
            Ok(mailbox) => {
                mail.mailboxes.push(mailbox);
                self.reply(&reply::RECIPIENT_OK);
                None
            }
            Err(why) => {
                mail.any_refused = true;
                self.notes.push(Note::Recipient { rcpt: forward_path, reason: reason(why) });
                self.guessed(&reply::refused(why))
            }
        }
    }

    /// Who asks for many addresses that aren't there is guessing.
    fn guessed(&mut self, refused: &Reply) -> Option<Step> {
        self.refused = self.refused.saturating_add(1);
        if self.policy.trusted || self.refused <= SLOW_AFTER {
            self.reply(refused);
            return None;
        } else if self.refused > MAX_REFUSED {
            self.note("guessing");
            self.end(&reply::TOO_MANY_ERRORS);
        } else {
            self.reply(refused);
        }
        Some(Step::Pause(Duration::from_secs((self.refused - SLOW_AFTER).min(MAX_PAUSE).into())))
    }

    fn data(&mut self) -> Option<Step> {
        match &self.mail {
            Some(mail) if mail.chunks != Chunks::None => self.error(&reply::CHUNKS_UNDER_WAY),
            Some(mail) if !mail.mailboxes.is_empty() => {
                self.before_data = Some(FIRST_GRANT.min(self.policy.max_message_bytes.saturating_add(2)));
                None
            }
            _ => {
                let refused = self.no_content_yet();
                self.out_of_order(&refused)
            }
        }
    }

    fn bdat(&mut self, octets: u64, last: bool) {
        match &mut self.mail {
            Some(mail) if !mail.mailboxes.is_empty() => {
                mail.chunks = if last { Chunks::Last } else { Chunks::UnderWay };
                self.framer.expect_chunk(octets, self.policy.max_message_bytes);
            }
            _ => self.framer.discard_chunk(octets),
        }
    }

    pub(super) fn out_of_order(&mut self, refused: &Reply) -> Option<Step> {
        if self.excused || *refused == reply::NO_VALID_RECIPIENTS {
            self.reply(refused);
            return None;
        }
        self.error(refused)
    }

    /// Why DATA or BDAT can't be said here.
    pub(super) fn no_content_yet(&self) -> Reply {
        match &self.mail {
            None => reply::MAIL_FIRST,
            Some(mail) if mail.any_refused => reply::NO_VALID_RECIPIENTS,
            Some(_) => reply::RCPT_FIRST,
        }
    }
}

fn reason(why: Refusal) -> &'static str {
    match why {
        Refusal::NotOurs => "not-ours",
        Refusal::Malformed => "malformed",
        Refusal::BadSignature => "bad-signature",
    }
}

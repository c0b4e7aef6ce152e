//! Which recipients are ours. Pure: judged at RCPT in memory, the day handed in.

use std::sync::Arc;

use super::{Door, Mailbox, Refusal};
use crate::{
    classify::OperatorRules,
    config::Config,
    taxonomy::Status,
    verp::{self, Codec, Form, Payload},
};

/// The doors of one configuration.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Lowercased.
    domains: Vec<String>,
    plain: Vec<String>,
    codec: Arc<Codec>,
}

/// What one generation of the configuration says of arriving mail.
#[derive(Debug, Clone)]
pub struct Policy {
    pub gate: Gate,
    pub require_signature: bool,
    pub unsigned_may_fire: Vec<Status>,
    /// Who reads what people write to postmaster@ and abuse@.
    pub postmaster: Option<String>,
    /// The operator's own rules, tried first.
    pub operator_rules: Arc<OperatorRules>,
    /// As it stands in the Message-IDs of our own mail.
    pub hostname: String,
    /// Whether a stamp of any age is as good as a new one: for mails of the past.
    pub any_age: bool,
}

impl Policy {
    pub fn of(config: &Config, codec: Arc<Codec>) -> Policy {
        Policy {
            gate: Gate { domains: config.smtp.domains.clone(), plain: config.smtp.plain.clone(), codec },
            require_signature: config.verp.require_signature,
            unsigned_may_fire: config.verp.unsigned_may_fire.clone(),
            postmaster: config.smtp.postmaster.clone(),
            operator_rules: config.operator_rules.clone(),
            hostname: config.hostname.clone(),
            any_age: false,
        }
    }
}

impl Gate {
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Judges one RCPT address. `today` counts days since 1970-01-01.
    pub fn judge(&self, rcpt: &str, today: i32) -> Result<Mailbox, Refusal> {
        let door = self.door(rcpt, today)?;
        Ok(Mailbox { rcpt: rcpt.to_owned(), door })
    }

    fn door(&self, rcpt: &str, today: i32) -> Result<Door, Refusal> {
        // RFC 5321, section 4.5.1: postmaster without a domain must be taken.
        if rcpt.eq_ignore_ascii_case("postmaster") {
            return Ok(Door::Postmaster);
        }
        let (local, domain) = rcpt.rsplit_once('@').ok_or(Refusal::Malformed)?;
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if !self.domains.contains(&domain) {
            return Err(Refusal::NotOurs);
        }
        let local = local.to_lowercase();
        if local == "postmaster" || local == "abuse" {
            return Ok(Door::Postmaster);
        }
        if self.plain.contains(&local) {
            return Ok(Door::Plain);
        }
        match self.codec.decode(&local, &domain, today) {
            Ok(decoded) if decoded.form == Form::Own => Ok(Door::Own(match decoded.payload {
                Payload::Own(job) => Some(job),
                _ => None,
            })),
            Ok(decoded) => Ok(Door::Verp(decoded)),
            Err(verp::Refusal::Malformed) => Err(Refusal::Malformed),
            Err(verp::Refusal::BadSignature) => Err(Refusal::BadSignature),
        }
    }
}

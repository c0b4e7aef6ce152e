//! The signed return address: recipient and campaign ⇄ local part.
//!
//! Pure: the day is handed in. What doesn't decode is refused with the reason; nothing about the secret can be learned from how long that takes.
//!
//! `{sig}` is a day stamp (three base32 characters: the days since 1970-01-01, 15 bits) and the first ten base32 characters of
//! HMAC-SHA256(secret, text). `text` is form, campaign (`-` for none), stamp, payload as it stands in the address and the domain of the
//! return address, each lowercased and with its length in bytes and a colon before it:
//! `4:long6:spring3:abc17:alice=example.org19:returns.example.com`. The form is `long`, `short`, `id` or `own`. `{hash}` is the first 80
//! bits of HMAC-SHA256(hash key, address) in base32, 16 characters.

mod codec;
mod pattern;
mod sign;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use codec::{Codec, Spec, SpecError};
pub use pattern::{CAMPAIGN_MAX, Names, OWN_PREFIX, Part, Pattern, PatternError};

/// The longest local part, octets (RFC 5321, section 4.5.3.1.1).
pub const LOCAL_MAX: usize = 64;

/// Whom a count belongs to: the 80-bit keyed hash of a normal address (or of a sender's own subscriber id), see [`Codec::key_of_address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersonKey(pub [u8; 10]);

/// As in `{hash}`: 16 base32 characters.
impl std::fmt::Display for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&sign::base32(&self.0))
    }
}

/// What a genuine VERP recipient says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub form: Form,
    pub payload: Payload,
    pub campaign: Option<String>,
    /// Days since 1970-01-01 at which it was signed; `None` where no signature verified.
    pub day: Option<i32>,
    /// Whether a secret verified it.
    pub signed: bool,
    /// Signed longer ago than `verp.max_age`.
    pub expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Long,
    Short,
    /// The envelope sender of the daemon's own mail: such a mail that comes back fires nothing.
    Own,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Normal, see [`crate::address::normal`].
    Address(String),
    Hash(PersonKey),
    /// Lowercased.
    Id(String),
    /// The id of the job whose mail it was.
    Own(String),
}

/// Why a recipient is no VERP address of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is not a return address of ours")]
    Malformed,
    #[error("the signature does not verify")]
    BadSignature,
}

/// Why no return address can be made, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("'{0}' is no mail address; write local@domain")]
    Address(String),
    #[error("'{0}' is no campaign: letters, digits and any of . _ -, beginning with a letter or digit, at most {CAMPAIGN_MAX} characters")]
    Campaign(String),
    #[error("campaign '{0}' holds a character that parts the pattern; leave it out of campaigns, or change verp.pattern")]
    CampaignSeparator(String),
    #[error("the pattern has no place for a campaign; put {{campaign}} into verp.pattern and verp.short")]
    NoCampaign,
    #[error("verp.pattern names people by {{id}}; give the id")]
    IdNeeded,
    #[error("verp.pattern has no {{id}}; leave the id out, or put it into the pattern")]
    NoId,
    #[error(
        "'{0}' is no id: letters, digits and any of . _ -, beginning with a letter or digit, and short enough for a local part of {LOCAL_MAX} octets"
    )]
    Id(String),
    #[error("'{0}' does not fit into the pattern (64 octets, plain characters), and there is no short form: set verp.hash_key_file")]
    NoShort(String),
    #[error("the short form is longer than 64 octets too; shorten the campaign or verp.short")]
    Long,
}

/// Days since 1970-01-01, as return addresses are stamped with.
pub fn day_of(at: Timestamp) -> i32 {
    i32::try_from(at.as_second().div_euclid(86_400)).unwrap_or(i32::MAX)
}

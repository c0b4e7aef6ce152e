//! The signed return address: recipient and campaign ⇄ local part.
//!
//! Pure: the day is handed in. What doesn't decode is refused with the reason; nothing about the secret can be learned from how long that takes.

use serde::{Deserialize, Serialize};

/// Whom a count belongs to: the 80-bit keyed hash of a normal address (or of a sender's own subscriber id), see [`Verp::key_of_address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersonKey(pub [u8; 10]);

/// What a genuine VERP recipient says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub form: Form,
    pub payload: Payload,
    pub campaign: Option<String>,
    /// Days since 1970-01-01 at which it was signed; `None` where the pattern bears no signature.
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
    Address(String),
    Hash(PersonKey),
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

/// The patterns, secrets and key of one configuration.
#[derive(Debug)]
pub struct Codec {}

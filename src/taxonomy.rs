//! The vocabulary: what a mail that comes back can mean, and whose fault it is.
//!
//! The list is the one operators know from Momentum and SparkPost (BoogieTools' codes) with three statuses more. Ids are
//! kebab-case and the same everywhere: configuration, JSON, metrics, commands.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What one mail says of one recipient.
///
/// The order is part of the stored form: append, never reorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    HardBounce,
    SoftBounceGeneral,
    SoftBounceDnsFailure,
    SoftBounceMailboxFull,
    SoftBounceMessageTooLarge,
    BounceNoAddress,
    GeneralBounce,
    MailBlockGeneral,
    MailBlockKnownSpammer,
    MailBlockSpamDetected,
    MailBlockAttachmentDetected,
    MailBlockRelayDenied,
    AutoReply,
    TransientBounce,
    SubscribeRequest,
    UnsubscribeRequest,
    ChallengeResponse,
    SpamComplaint,
    AddressChange,
    Delivered,
    Undetermined,
}

/// Who has to mend it. A person is never blamed for the sender's listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    Recipient,
    Sender,
    Content,
    Transient,
    Person,
    Unknown,
    None,
}

/// What sort of mail it was, whoever it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Bounce,
    AutoReply,
    Complaint,
    Request,
    Challenge,
    Delivered,
    Other,
}

/// The `Action` field of RFC 3464, section 2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no status; did you mean '{near}'?", near = nearest(.0))]
pub struct UnknownWord(pub String);

fn nearest(word: &str) -> &'static str {
    let near = Status::ALL.into_iter().max_by(|a, b| strsim::jaro_winkler(a.id(), word).total_cmp(&strsim::jaro_winkler(b.id(), word)));
    near.map_or("", Status::id)
}

impl Status {
    pub const ALL: [Status; 21] = [
        Status::HardBounce,
        Status::SoftBounceGeneral,
        Status::SoftBounceDnsFailure,
        Status::SoftBounceMailboxFull,
        Status::SoftBounceMessageTooLarge,
        Status::BounceNoAddress,
        Status::GeneralBounce,
        Status::MailBlockGeneral,
        Status::MailBlockKnownSpammer,
        Status::MailBlockSpamDetected,
        Status::MailBlockAttachmentDetected,
        Status::MailBlockRelayDenied,
        Status::AutoReply,
        Status::TransientBounce,
        Status::SubscribeRequest,
        Status::UnsubscribeRequest,
        Status::ChallengeResponse,
        Status::SpamComplaint,
        Status::AddressChange,
        Status::Delivered,
        Status::Undetermined,
    ];

    /// Id, platform code (none for those the platform never had), title and fault.
    const fn row(self) -> (&'static str, Option<u8>, &'static str, Fault) {
        use Fault::*;
        match self {
            Status::HardBounce => ("hard-bounce", Some(10), "Hard bounce", Recipient),
            Status::SoftBounceGeneral => ("soft-bounce-general", Some(20), "Soft bounce – general", Transient),
            Status::SoftBounceDnsFailure => ("soft-bounce-dns-failure", Some(21), "Soft bounce – DNS failure", Transient),
            Status::SoftBounceMailboxFull => ("soft-bounce-mailbox-full", Some(22), "Soft bounce – mailbox full", Recipient),
            Status::SoftBounceMessageTooLarge => ("soft-bounce-message-too-large", Some(23), "Soft bounce – message too large", Content),
            Status::BounceNoAddress => ("bounce-no-address", Some(30), "Bounce – no email address", Unknown),
            Status::GeneralBounce => ("general-bounce", Some(40), "General bounce", Unknown),
            Status::MailBlockGeneral => ("mail-block-general", Some(50), "Mail block – general", Sender),
            Status::MailBlockKnownSpammer => ("mail-block-known-spammer", Some(51), "Mail block – known spammer", Sender),
            Status::MailBlockSpamDetected => ("mail-block-spam-detected", Some(52), "Mail block – spam detected", Content),
            Status::MailBlockAttachmentDetected => {
                ("mail-block-attachment-detected", Some(53), "Mail block – attachment detected", Content)
            }
            Status::MailBlockRelayDenied => ("mail-block-relay-denied", Some(54), "Mail block – relay denied", Sender),
            Status::AutoReply => ("auto-reply", Some(60), "Auto reply", Person),
            Status::TransientBounce => ("transient-bounce", Some(70), "Transient bounce", Transient),
            Status::SubscribeRequest => ("subscribe-request", Some(80), "Subscribe request", Person),
            Status::UnsubscribeRequest => ("unsubscribe-request", Some(90), "Unsubscribe request", Person),
            Status::ChallengeResponse => ("challenge-response", Some(100), "Challenge-response", Person),
            Status::SpamComplaint => ("spam-complaint", Option::None, "Spam complaint", Person),
            Status::AddressChange => ("address-change", Option::None, "Address change", Recipient),
            Status::Delivered => ("delivered", Option::None, "Delivered", Fault::None),
            Status::Undetermined => ("undetermined", Some(0), "Undetermined", Unknown),
        }
    }

    pub const fn id(self) -> &'static str {
        self.row().0
    }
    pub const fn code(self) -> Option<u8> {
        self.row().1
    }
    pub const fn title(self) -> &'static str {
        self.row().2
    }
    pub const fn fault(self) -> Fault {
        self.row().3
    }
}

impl Fault {
    pub const fn id(self) -> &'static str {
        match self {
            Fault::Recipient => "recipient",
            Fault::Sender => "sender",
            Fault::Content => "content",
            Fault::Transient => "transient",
            Fault::Person => "person",
            Fault::Unknown => "unknown",
            Fault::None => "none",
        }
    }
}

impl Kind {
    pub const fn id(self) -> &'static str {
        match self {
            Kind::Bounce => "bounce",
            Kind::AutoReply => "auto-reply",
            Kind::Complaint => "complaint",
            Kind::Request => "request",
            Kind::Challenge => "challenge",
            Kind::Delivered => "delivered",
            Kind::Other => "other",
        }
    }
}

impl Action {
    pub const fn id(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Status::ALL.into_iter().find(|status| status.id() == word).ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_reads_back() {
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status.id().parse(), Ok(status));
            assert_eq!(status as usize, place, "ALL is in the stored order");
        }
        assert!("hard".parse::<Status>().is_err());
    }
}

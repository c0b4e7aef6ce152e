//! What a mail says, as plain facts. [`crate::classify`] makes a verdict of it.

use std::borrow::Cow;

use super::words::Words;
use crate::taxonomy::Action;

/// A header field without a place of its own: its name as written, its value decoded.
pub type OtherField<'m> = (Cow<'m, str>, Cow<'m, str>);

/// The facts of one mail. Every fact but the prose is one line without control characters, at most 4 KiB long. Text is decoded to UTF-8 and cut at sane lengths; an absent fact is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report<'m> {
    /// Whether the bounced mail came back whole, so that it could be sent again.
    pub original_whole: bool,
    pub header: Header<'m>,
    /// The standard machine-readable form that was found, if any.
    pub form: Form,
    /// Per-message fields of RFC 3464, section 2.2.
    pub reporting_mta: Option<String>,
    pub original_envelope_id: Option<String>,
    /// Per-recipient blocks, in their order, at most 100.
    pub recipients: Vec<RecipientFields>,
    /// The human-readable part: of a report the text before its status, of other mail the whole text; without what it quotes or returns, and
    /// without lines that cite the original's subject. LF line ends, at most 64 KiB.
    pub prose: Words<'m>,
    pub feedback: Option<Feedback>,
    pub disposition: Option<Disposition>,
    /// The returned original, as far as it came back. Never evidence, see taxonomy rule 3.
    pub original: Option<Original<'m>>,
}

impl Report<'_> {
    /// A delivery status that names its recipients, with the original in a part of its own.
    pub(super) fn is_complete(&self) -> bool {
        self.form == Form::Dsn && !self.recipients.is_empty() && self.original.is_some()
    }
}

/// The arriving mail's own header fields that matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header<'m> {
    /// With its angle brackets, as all message ids here.
    pub message_id: Option<String>,
    pub subject: Option<String>,
    /// Addresses only, in their order; a word without a domain (`MAILER-DAEMON`) is kept.
    pub from: Vec<String>,
    /// The display name of the first From address.
    pub from_name: Option<String>,
    pub reply_to: Vec<String>,
    pub to: Vec<String>,
    /// The `Return-Path` field, `Some("")` for `<>`.
    pub return_path: Option<String>,
    pub auto_submitted: Option<String>,
    pub precedence: Option<String>,
    pub failed_recipients: Vec<String>,
    pub in_reply_to: Vec<String>,
    /// Other fields, in their order, for the forms that are told by a field of their own: at most 100, decoded, each cut at
    /// 1,000 octets, without signatures, trace fields and authentication results.
    pub other: Vec<OtherField<'m>>,
    /// How many `Received` fields the mail bears (loops).
    pub received: usize,
}

impl Header<'_> {
    /// The day on which the mail says that it was written.
    pub fn date(&self) -> Option<jiff::civil::Date> {
        self.field("date").and_then(super::fields::date)
    }

    /// The first other field of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.other.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

impl Original<'_> {
    /// Of what it was read of nothing is held any more.
    pub fn into_owned(self) -> Original<'static> {
        let other = self.other.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned())));
        Original {
            other: other.collect(),
            message_id: self.message_id,
            subject: self.subject,
            return_path: self.return_path,
            from: self.from,
            to: self.to,
        }
    }
}

/// The standard forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// RFC 3464 / 6533 delivery status notification.
    Dsn,
    /// RFC 5965 feedback report.
    Arf,
    /// RFC 8098 disposition notification.
    Mdn,
    /// An invitation, or an answer to one (RFC 6047).
    Calendar,
    /// A day's totals for the domain's postmaster: DMARC (RFC 7489, section 7.2) or SMTP TLS (RFC 8460, section 5.3).
    Aggregate,
    /// Anything else.
    #[default]
    Prose,
}

/// One per-recipient block of a delivery status notification (RFC 3464, section 2.3). Address types (`rfc822;`) are taken off.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecipientFields {
    pub original_recipient: Option<String>,
    pub final_recipient: Option<String>,
    pub action: Option<Action>,
    /// As written, `5.1.1`.
    pub status: Option<String>,
    pub remote_mta: Option<String>,
    /// In lower case: `smtp`, `x-unix`.
    pub diagnostic_type: Option<String>,
    /// The words without the type, folded lines joined by one space.
    pub diagnostic: Option<String>,
    /// Sendmail's `X-Actual-Recipient`: whom it really tried, after aliases.
    pub actual_recipient: Option<String>,
    /// As written. Where it stands, the report is about a delay.
    pub will_retry_until: Option<String>,
}

impl RecipientFields {
    /// The `Action` field says what became of the mail, and that it is over.
    pub fn is_final(&self) -> bool {
        self.action.is_some_and(|action| action != Action::Delayed)
    }
}

/// RFC 5965, section 3.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Feedback {
    pub feedback_type: Option<String>,
    pub original_mail_from: Option<String>,
    pub original_rcpt_to: Vec<String>,
    pub removal_recipient: Vec<String>,
    pub user_agent: Option<String>,
}

/// RFC 8098, section 3.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Disposition {
    pub original_recipient: Option<String>,
    pub final_recipient: Option<String>,
    /// The disposition's last word: `displayed`, `deleted`, …
    pub kind: Option<String>,
    pub original_message_id: Option<String>,
}

/// The header of the returned original, as far as it came back: from a part, from behind a separator in the text, or only its cited subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Original<'m> {
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub return_path: Option<String>,
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// All its `X-` fields (`X-VERP`, `X-Campaign`), `List-Unsubscribe`, `List-Id`, `Delivered-To`, `Envelope-To`, `Errors-To`, `Sender`,
    /// `Reply-To`, `Feedback-Id` and the like, each cut at 1,000 octets.
    pub other: Vec<OtherField<'m>>,
}

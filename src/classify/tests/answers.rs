//! What programs answer beside the standard forms: absences without a header that says so, list managers, Sieve's rejections.

use super::*;
use crate::message::{Disposition, Original};

const AWAY: &str = "Hello,\n\nI am on vacation until 4 December 2026 and will read your mail then.\n";

/// A mail as a mail client sends it.
fn by_client(subject: &str, prose: &str) -> Report<'static> {
    let mut report = mail("alice@example.org", subject, prose);
    report.header.other = vec![("mime-version".into(), "1.0".into())];
    report.header.in_reply_to = vec!["1@returns.example.com".into()];
    report
}

#[test]
fn an_absence_that_no_mail_client_wrote() {
    // vacation(1): no header that says so, and none of those that mail clients write.
    assert_eq!(one(&mail("alice@example.org", "Re: News", AWAY)).status, Status::AutoReply);
    // GNU Mailutils: the answer has a subject of its own.
    assert_eq!(one(&by_client("Away", AWAY)).status, Status::AutoReply);
    // formail: the mark against loops is the mailbox that answers.
    let mut looped = by_client("Re: News", "I shall answer later.\n");
    looped.header.other.push(("x-loop".into(), "alice@example.org".into()));
    assert_eq!(one(&looped).status, Status::AutoReply);
    // A person, who asks something; an absence with its end, and nothing else, is one whoever wrote it.
    let asks = format!("{AWAY}Could you send it again in December?\n");
    assert_eq!(one(&by_client("Re: News", &asks)).status, Status::Undetermined);
    assert_eq!(one(&by_client("Re: News", AWAY)).status, Status::AutoReply);
    looped.header.other.retain(|(name, _)| name != "x-loop");
    assert_eq!(one(&looped).status, Status::Undetermined);
}

#[test]
fn list_managers_speak_for_the_list() {
    let manager = |from: &str, prose: &str| {
        let mut report = mail(from, "Your message", prose);
        report.header.other = vec![("list-id".into(), "<news.example.org>".into()), ("mime-version".into(), "1.0".into())];
        report
    };
    let held = "Your mail to 'news@example.org' is being held until the list moderator can review it for approval.\n";
    let confirm = "You must first confirm that this is your email address. You can do this by replying to this message.\n";
    let help =
        "Hi, this is the Mlmmj program managing the <news@example.org> list.\n\nOnly subscribers may post.\n<news+subscribe@example.org>\n";
    for (from, prose, status) in [
        ("news-bounces@example.org", held, Status::AutoReply),
        ("news-confirm+1a2b3c@example.org", confirm, Status::ChallengeResponse),
        ("news+help@example.org", help, Status::AutoReply),
    ] {
        let told = one(&manager(from, prose));
        assert_eq!((told.status, told.address.as_deref()), (status, Some("news@example.org")), "{prose}");
    }
    let refused =
        "Your message to the News mailing-list was rejected for the following reasons:\n\nThe message is not from a list member\n";
    let mut refused = manager("news-owner@example.org", refused);
    refused.original = Some(Original { to: vec!["news@example.org".into()], ..Original::default() });
    let told = one(&refused);
    assert_eq!((told.status, told.address.as_deref()), (Status::MailBlockGeneral, Some("news@example.org")));
    // A post on the list that quotes such words as a person does.
    assert_eq!(one(&manager("alice@example.org", "Is there a moderator here?\n")).status, Status::Undetermined);
}

#[test]
fn a_sieve_rejection_is_a_failure_and_a_receipt_is_none() {
    let notice = |prose: &str| {
        let mut report = mail("postmaster@example.org", "Rejected: News", prose);
        report.form = Form::Mdn;
        report.disposition =
            Some(Disposition { final_recipient: Some("alice@example.org".into()), kind: Some("deleted".into()), ..Disposition::default() });
        report
    };
    let rejected = |reason: &str| one(&notice(&format!("Your message to <alice@example.org> was automatically rejected:\n{reason}\n")));
    for (reason, status) in [
        ("I have no time for this.", Status::MailBlockGeneral),
        ("This mailbox has been closed, the address no longer exists.", Status::HardBounce),
        ("Quota exceeded (mailbox for user is full)", Status::SoftBounceMailboxFull),
    ] {
        let told = rejected(reason);
        assert_eq!((told.status, told.address.as_deref()), (status, Some("alice@example.org")), "{reason}");
    }
    assert_eq!(one(&notice("The message was deleted without being read.\n")).status, Status::AutoReply);
}

#[test]
fn an_expiry_in_the_words_of_a_delay() {
    let mut report = dsn(vec![block(Some(Action::Delayed), "4.4.7", "")]);
    report.recipients[0].diagnostic = None;
    let words = |cause: &str| format!("A message is delayed for the following list of recipients:\n\nalice@example.org: {cause}\n");
    report.prose = words("Envelope expired").into();
    assert_eq!(one(&report).status, Status::SoftBounceGeneral);
    report.prose = words("Connection timed out").into();
    assert_eq!(one(&report).status, Status::TransientBounce);
}

#[test]
fn who_left_may_give_an_address_of_their_own() {
    let left = |from: &str| one(&mail(from, "New address", "I left the company; please write to <dora.miller@moved.test> from now on.\n"));
    let moved = left("dora@example.org");
    assert_eq!((moved.status, moved.new_address.as_deref()), (Status::AddressChange, Some("dora.miller@moved.test")));
    let colleague = left("alice@example.org");
    assert_eq!((colleague.status, colleague.new_address), (Status::AutoReply, None));
}

#[test]
fn a_notification_is_no_answer() {
    let mut report = mail("postmaster@example.org", "New mail: ticket opened", "Notification of new message.\n");
    report.header.auto_submitted = Some("auto-notified; owner-email=\"tina@example.org\"".into());
    assert_eq!(one(&report).status, Status::Undetermined);
}

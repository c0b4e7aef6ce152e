//! A cause that stands only in a notice's subject, as sendmail's "Returned mail: User unknown".
//!
//! Many notices repeat the original's subject in theirs, and that is the sender's own: it never sways a status (taxonomy rule 3). So only what a
//! mail system writes itself counts: what stands before a colon, or after words that none writes before an original's subject.

use crate::message::Report;

/// Words of a subject after which a mail system tells the cause, in lower case.
const LEADS: &[&str] = &["returned mail:", "delivery failure:", "failed mail:", "mail failure -", "echec remise :", "échec remise :"];

/// The words of the subject that are the mail system's. It neither asks nor calls out.
pub fn own<'r>(report: &'r Report) -> Option<&'r str> {
    let subject = report.header.subject.as_deref()?.trim();
    let folded = subject.to_ascii_lowercase();
    let lead = LEADS.iter().find(|lead| folded.starts_with(*lead)).and_then(|lead| subject.get(lead.len()..));
    let own = lead.or_else(|| subject.split([':', '：']).next()).map(str::trim)?;
    (!own.is_empty() && !own.contains(['?', '!', '？', '！'])).then_some(own)
}

#[cfg(test)]
mod tests {
    use crate::message;

    fn told(subject: &str) -> String {
        let mail = format!("From: MAILER-DAEMON@example.org\r\nTo: news@example.com\r\nSubject: {subject}\r\n\r\nSorry.\r\n");
        super::own(&message::read(mail.as_bytes())).unwrap_or_default().to_owned()
    }

    #[test]
    fn an_originals_subject_is_the_senders() {
        assert_eq!(told("Returned mail: User unknown"), "User unknown");
        assert_eq!(told("User unknown: c@example.org"), "User unknown");
        assert_eq!(told("User unknown (c@example.org)"), "User unknown (c@example.org)");
        assert_eq!(told("Undeliverable: Is your mailbox full?"), "Undeliverable");
        assert_eq!(told("Is your mailbox full?"), "");
    }
}

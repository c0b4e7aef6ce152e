use super::*;

#[test]
fn every_form_compiles() {
    for (name, form) in [
        ("address", &ADDRESSES),
        ("command", &named::COMMAND),
        ("leads", &named::LEADS),
        ("json", &named::JSON),
        ("helpers", &named::HELPERS),
        ("not failed", &NOT_FAILED),
        ("label", &LABEL),
        ("sentence", &SENTENCE),
    ] {
        assert!(form.is_some(), "{name}");
    }
}

fn heads(text: &str) -> Vec<String> {
    Prose::of(&text).sections().iter().map(|section| section.address.clone()).collect()
}

#[test]
fn recipients_at_the_head_of_a_line() {
    for line in [
        "<alice@example.org>:",
        "<alice@example.org>: host mx.example.org[192.0.2.1] said: 550",
        "<Alice@Example.ORG> (expanded from <bob@example.com>): unknown user: \"alice\"",
        "  alice@example.org",
        "-> alice@example.org",
        " -- alice@example.org",
        "'alice@example.org' on 6/12/2026 1:00 PM",
        "Alice Example<mailto:alice@example.org>",
        "alice@example.org<mailto:alice@example.org>",
        "Alice Example (alice@example.org)<mailto:alice@example.org>",
        "\"Alice\" <alice@example.org>",
        "Addressed To: alice@example.org",
        "Recipient: [SMTP:alice@example.org]",
        "alice@example.org: [192.0.2.5], 550 alice@example.org... No such user",
    ] {
        assert_eq!(heads(&format!("Delivery failed for these:\n\n{line}\n")), ["alice@example.org"], "{line}");
    }
    for line in [
        "From: alice@example.org",
        "write to alice@example.org for help",
        "550 5.1.1 <alice@example.org>... User unknown",
        "551 5.1.6 User has moved; please try <alice@example.org>",
        "postmaster@example.org",
    ] {
        assert_eq!(heads(line), [""; 0], "{line}");
    }
}

#[test]
fn paragraphs_belong_to_their_recipients() {
    let read = Prose::of(
        &"Hi. I wasn't able to deliver.\n\n<a@example.org>:\nUser unknown.\n\n<b@example.org>:\nMailbox full.\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <c@example.org>\n<c@example.org>:\n",
    );
    assert_eq!(read.sections().len(), 2);
    assert!(read.sections()[0].text.contains("User unknown") && !read.sections()[0].text.contains("full"));
    assert!(read.sections()[1].text.contains("full"));
    assert!(!read.named().mentioned.contains(&"c@example.org".to_owned()));
}

#[test]
fn sentences_that_lead_up_to_a_recipient() {
    for text in [
        "Your message to alice@example.org couldn't be delivered.",
        "The following message to <alice@example.org> was undeliverable.",
        "Ihre Nachricht an alice@example.org konnte nicht zugestellt werden.",
        "Votre message à alice@example.org n'a pas pu être remis.",
        "{\\\"emailAddress\\\":\\\"alice@example.org\\\",\\\"action\\\":\\\"failed\\\"}",
        "Письмо по адресу alice@example.org не доставлено",
        "收件人:<alice@example.org>",
    ] {
        assert_eq!(Prose::of(&text).named().introduced, ["alice@example.org"], "{text}");
    }
    assert_eq!(Prose::of(&"after RCPT TO:<alice@example.org>:").named().commanded, ["alice@example.org"]);
}

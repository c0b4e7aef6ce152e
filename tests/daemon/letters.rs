//! Mails: texts, whom they go to, and that a bad morning makes few of them.

use crate::support::{
    PATIENCE, await_mail,
    client::Client,
    daemon::Setup,
    deeds::{Why, parts, text},
    mail_catcher::MailCatcher,
};

#[test]
fn text_and_html_with_everything_known() {
    let catcher = MailCatcher::start();
    let daemon = Setup::new(&catcher.url())
        .with(
            r#"
            [[trigger]]
            name = "gone"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ tag = "gone" }, { mail = { to = ["ops@example.com", "crm@example.com"], template = "t" } }, { mail = { to = "{{ address }}", template = "p" } }]
            [templates]
            t = { subject = "{{ address }}: {{ status_title }}", body = "{{ trigger }} {{ count }} {{ counts['hard-bounce'] }} {{ tags | join }} {{ campaign }} {{ domain }} {{ fault }} {{ enhanced }} {{ remote_mta }}\n{{ diagnostic }}\n", html = "<p>{{ diagnostic }}</p>" }
            p = { subject = "Hello {{ local }}", body = "We could not reach you." }
            "#,
        )
        .start();
    daemon.bounces_in(1, "alice@example.org", Why::Hard, Some("spring"));
    let mail = await_mail(&catcher, |mail| mail.to == ["ops@example.com", "crm@example.com"]);
    assert_eq!(mail.header("subject").unwrap(), "alice@example.org: Hard bounce");
    assert_eq!(mail.header("auto-submitted").unwrap(), "auto-generated");
    let parts = parts(&mail);
    let diagnostic = "550 5.1.1 <alice@example.org>: Recipient address rejected: User unknown";
    assert_eq!(parts[0].text(), format!("gone 1 1 gone spring example.org recipient 5.1.1 mx.example.org\n{diagnostic}\n"));
    assert_eq!(
        (parts[1].content_type.as_str(), parts[1].text().trim()),
        ("text/html", "<p>550 5.1.1 &lt;alice@example.org&gt;: Recipient address rejected: User unknown</p>")
    );
    let person = await_mail(&catcher, |mail| mail.to == ["alice@example.org"]);
    assert_eq!(person.header("subject").unwrap(), "Hello alice");
    // Our own sender, so that a notification which bounces is noticed.
    assert!(person.from.ends_with("@returns.test") && person.from != mail.from, "{} {}", person.from, mail.from);
}

/// 300 bounces: so many mails as are allowed at once, and one for all the rest.
#[test]
fn a_bad_morning_makes_few_mails() {
    let catcher = MailCatcher::start();
    let daemon = Setup::new(&catcher.url())
        .with(
            r#"
            [guard]
            hard_bounces_per_domain = "never"
            [[trigger]]
            name = "each"
            when = "hard-bounce"
            count = "every 1"
            do = [
              { mail = { to = "throttled@example.com", template = "t", at_most = "3 per minute" } },
              { mail = { to = "digested@example.com", template = "t", digest = "3 seconds" } },
            ]
            [templates]
            t = { subject = "{{ address }} bounced", body = "{{ diagnostic }}" }
            "#,
        )
        .start();
    let mut client = Client::connect(daemon.smtp());
    let rcpt = daemon.verp("alice@example.org", None);
    for serial in 0..300 {
        client.bounce(&rcpt, &Why::Hard.of(serial, &rcpt, "alice@example.org").postfix());
    }
    let to = |address: &str| catcher.mails().into_iter().filter(|mail| mail.to == [address]).collect::<Vec<_>>();
    // How many digests there are depends on how long the 300 took; that nobody is missing does not.
    let told = |mails: &[crate::support::mail_catcher::Caught]| -> u64 {
        let count = |text: String| text.split_once(" mails of the template").map_or(1, |(count, _)| count.trim().parse().unwrap());
        mails.iter().map(|mail| count(text(mail))).sum()
    };
    crate::support::await_some("all 300 in digests", || (told(&to("digested@example.com")) == 300).then_some(()));
    assert!(to("digested@example.com").len() <= 20, "{}", to("digested@example.com").len());
    crate::support::await_within(PATIENCE * 2, "those above the rate", || (told(&to("throttled@example.com")) >= 300).then_some(()));
    let throttled = to("throttled@example.com");
    assert_eq!(told(&throttled), 300);
    assert!(throttled.len() <= 8, "{}", throttled.len());
    let digest = throttled.iter().find(|mail| text(mail).contains("mails of the template")).unwrap();
    let parts = parts(digest);
    assert!(parts[0].text().contains("alice@example.org  hard-bounce 5.1.1  550 5.1.1"), "{}", parts[0].text());
    assert_eq!(parts[1].content_type, "text/html");
    assert!(parts[1].text().contains("&lt;alice@example.org&gt;"), "escaped");
    assert!(daemon.await_idle().is_empty());
}

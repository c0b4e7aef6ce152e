//! The operator's own rules, and the steps that are shown.

use super::*;

fn rules(list: &[(&str, Status, Option<&str>)]) -> OperatorRules {
    let rule = |(place, &(words, status, domain)): (usize, &(&str, Status, Option<&str>))| {
        OperatorRule::phrase(&format!("own-{place}"), words, status, domain).unwrap()
    };
    OperatorRules::new(list.iter().enumerate().map(rule).collect()).unwrap()
}

fn by(rules: &OperatorRules, report: &Report) -> Verdict {
    let mut verdicts = tell_by(rules, report, &Envelope::default()).verdicts;
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    verdicts.remove(0)
}

#[test]
fn an_own_rule_comes_before_all_tables() {
    let report = dsn(vec![block(Some(Action::Failed), "5.1.1", "550 5.1.1 user unknown: account on holiday")]);
    assert_eq!(one(&report).status, Status::HardBounce);
    let own = by(&rules(&[("account on holiday", Status::SoftBounceGeneral, None)]), &report);
    assert_eq!((own.status, own.rule.as_str(), own.evidence.as_deref()), (Status::SoftBounceGeneral, "own-0", Some("account on holiday")));
    assert_eq!((own.enhanced.as_deref(), own.action), (Some("5.1.1"), Some(Action::Failed)));
    let elsewhere = by(&rules(&[("account on holiday", Status::SoftBounceGeneral, Some("example.com"))]), &report);
    assert_eq!(elsewhere.rule, "user-unknown");
    let there = by(&rules(&[("account on holiday", Status::SoftBounceGeneral, Some("example.org"))]), &report);
    assert_eq!(there.rule, "own-0");
}

#[test]
fn a_provider_is_known_by_the_host_that_refused() {
    let mut fields = block(Some(Action::Failed), "5.0.0", "550 odd words");
    fields.remote_mta = Some("mx2.provider.test".into());
    let own = by(&rules(&[("odd words", Status::MailBlockGeneral, Some("provider.test"))]), &dsn(vec![fields]));
    assert_eq!(own.status, Status::MailBlockGeneral);
}

#[test]
fn a_field_that_says_delayed_or_delivered_stands() {
    let list = rules(&[("odd words", Status::HardBounce, None)]);
    for (action, status) in [(Action::Delayed, Status::TransientBounce), (Action::Delivered, Status::Delivered)] {
        assert_eq!(by(&list, &dsn(vec![block(Some(action), "5.0.0", "550 odd words")])).status, status);
    }
}

#[test]
fn each_recipient_is_matched_on_its_own_words() {
    let mut other = block(Some(Action::Failed), "5.0.0", "550 other words");
    other.final_recipient = Some("bob@example.org".into());
    let mut report = dsn(vec![block(Some(Action::Failed), "5.1.1", "550 5.1.1 odd words"), other]);
    report.prose = "One of them: odd words".into();
    let told = tell_by(&rules(&[("odd words", Status::MailBlockGeneral, None)]), &report, &Envelope::default()).verdicts;
    assert_eq!((told[0].rule.as_str(), told[0].status), ("own-0", Status::MailBlockGeneral));
    assert_ne!(told[1].status, Status::MailBlockGeneral);
}

#[test]
fn a_rule_makes_a_bounce_of_what_nobody_knew() {
    let report = mail("service@example.org", "Hallo", "Zustellversuch misslungen:\n\n<alice@example.org>:\nPostfach eingemottet\n");
    assert_eq!(one(&report).status, Status::Undetermined);
    let own = by(&rules(&[("postfach eingemottet", Status::HardBounce, None)]), &report);
    assert_eq!((own.status, own.address.as_deref(), own.action), (Status::HardBounce, Some("alice@example.org"), Some(Action::Failed)));
}

#[test]
fn a_rule_makes_a_reply_of_what_looked_like_a_bounce() {
    let mut report = bounce("Ich bin im Sabbatical.\n550 user unknown");
    report.header.from = vec!["alice@example.org".into()];
    report.header.from_name = Some("Mail Delivery System".into());
    assert_eq!(one(&report).status, Status::BounceNoAddress);
    let own = tell_by(&rules(&[("im sabbatical", Status::AutoReply, None)]), &report, &Envelope::default());
    assert_eq!((own.kind, own.verdicts[0].address.as_deref()), (Kind::AutoReply, Some("alice@example.org")));
    assert_eq!(own.verdicts[0].action, None);
}

#[test]
fn the_returned_original_matches_no_rule() {
    let mut report = dsn(vec![block(Some(Action::Failed), "5.1.1", "550 5.1.1 user unknown")]);
    report.original = Some(crate::message::Original {
        subject: Some("odd words".into()),
        to: vec!["odd words <alice@example.org>".into()],
        ..Default::default()
    });
    assert_eq!(by(&rules(&[("odd words", Status::MailBlockGeneral, None)]), &report).rule, "user-unknown");
}

#[test]
fn the_steps_tell_what_tell_tells() {
    let report = dsn(vec![block(Some(Action::Failed), "5.7.1", "550 5.7.1 user unknown, blacklisted")]);
    let trace = explain(&OperatorRules::default(), &report, &Envelope::default());
    assert_eq!(trace.telling, tell(&report, &Envelope::default()));
    let one = &trace.recipients[0];
    assert_eq!((one.decided, one.named_in.as_slice()), (Decided::Weight, &["Final-Recipient"][..]));
    assert_eq!(one.codes, ["550", "5.7.1"]);
    assert!(one.candidates[0].won && one.candidates[0].lost.is_empty() && one.candidates[0].rule == one.verdict.rule);
    assert!(one.candidates.len() >= 3 && one.candidates[1..].iter().all(|lost| !lost.won && !lost.lost.is_empty()), "{:?}", one.candidates);
    let own = explain(&rules(&[("blacklisted", Status::Undetermined, None)]), &report, &Envelope::default());
    assert_eq!(own.recipients[0].decided, Decided::Operator);
    assert!(own.recipients[0].candidates.iter().all(|lost| !lost.won && lost.lost.contains("operator")));
}

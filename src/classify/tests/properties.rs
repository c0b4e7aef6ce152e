//! No panic, no bound broken, nothing learned from the returned original, on any report.

use proptest::prelude::*;

use super::*;
use crate::message::Original;

fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "user unknown",
        "550 5.1.1 ",
        "<a@b.example>:",
        "@",
        "\n",
        " 4.4.7",
        "mailbox full",
        "Re: ",
        "unsubscribe",
        "\u{0}",
        "İ",
        "ﬀ",
        "ß",
        "收件人",
        "\"q q\"@x.example",
        "RCPT TO:<",
        "5.7.1-",
        "550-",
        "--",
        "è",
        "😀",
        "\\\"emailAddress\\\":\\\"",
    ];
    prop_oneof![".{0,60}", proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..20).prop_map(|pieces| pieces.concat())]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text())
}

fn list() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(text(), 0..3)
}

fn action() -> impl Strategy<Value = Option<Action>> {
    proptest::option::of(proptest::sample::select(vec![
        Action::Failed,
        Action::Delayed,
        Action::Delivered,
        Action::Relayed,
        Action::Expanded,
    ]))
}

prop_compose! {
    fn any_block()(original_recipient in maybe(), final_recipient in maybe(), action in action(), status in maybe(), diagnostic in maybe(), remote_mta in maybe()) -> RecipientFields {
        RecipientFields { original_recipient, final_recipient, action, status, diagnostic, remote_mta, ..RecipientFields::default() }
    }
}

prop_compose! {
    fn any_report()(
        subject in maybe(), from in list(), to in list(), return_path in maybe(), auto_submitted in maybe(), precedence in maybe(),
        failed_recipients in list(), form in proptest::sample::select(vec![Form::Dsn, Form::Arf, Form::Mdn, Form::Prose]),
        recipients in proptest::collection::vec(any_block(), 0..4), prose in text()
    ) -> Report<'static> {
        let header = Header { subject, from, to, return_path, auto_submitted, precedence, failed_recipients, ..Header::default() };
        Report { header, form, recipients, prose: prose.into(), ..Report::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_report_is_told_within_bounds(report in any_report(), verp in proptest::option::of(Just("owner@example.net"))) {
        let telling = tell(&report, &Envelope { reverse_path: None, verp_address: verp });
        prop_assert!(!telling.verdicts.is_empty() && telling.verdicts.len() <= recipient::MAX + 1);
        prop_assert!(verp.is_none() || telling.verdicts.len() == 1 && telling.verdicts[0].address.as_deref() == verp);
        for verdict in &telling.verdicts {
            for text in [&verdict.address, &verdict.diagnostic, &verdict.evidence, &verdict.enhanced, &verdict.reply, &verdict.remote_mta].into_iter().flatten() {
                prop_assert!(!text.contains(char::is_control) && text.chars().count() <= 1000, "{text:?}");
            }
            prop_assert!(verdict.address.as_ref().is_none_or(|one| address::normal(one).as_ref() == Some(one)));
            prop_assert!(!verdict.rule.is_empty());
        }
        prop_assert!(named_addresses(&report).len() <= 50 && vouchers(&report).len() <= 50);
    }

    /// Taxonomy rule 3: whatever comes back of the original, status, rule and evidence stay.
    #[test]
    fn the_original_changes_nothing(report in any_report(), subject in maybe(), other in text()) {
        let with = |original| {
            let told = tell(&Report { original: Some(original), ..report.clone() }, &Envelope::default()).verdicts;
            told.into_iter().map(|verdict| (verdict.status, verdict.rule, verdict.evidence)).collect::<Vec<_>>()
        };
        let told = with(Original { subject, message_id: Some(other.clone()), other: vec![("subject".into(), other.into())], ..Original::default() });
        prop_assert_eq!(told, with(Original::default()));
    }
}

//! The verdict of a mail that is no bounce: an automatic reply, a request, a challenge, a complaint, or nothing of ours.

use crate::{address, message::Report, taxonomy::Status};

use super::{
    Verdict,
    author::opening,
    kind::Nature,
    moved::moved,
    prose::{self, Prose, system_address},
    recipient,
    returns::returns,
};

/// One verdict, or one for each recipient that a feedback report names.
pub fn verdicts(report: &Report, prose: &Prose, nature: &Nature, status: Status) -> Vec<Verdict> {
    let first = verdict(report, prose, nature, status);
    let others = report
        .feedback
        .iter()
        .flat_map(|feedback| &feedback.original_rcpt_to)
        .take(recipient::MAX)
        .filter_map(|one| prose::address_in(one));
    let others = prose::distinct(others.collect()).into_iter().filter(|one| first.address.as_ref() != Some(one));
    let others: Vec<Verdict> = others.map(|address| Verdict { address: Some(address), ..first.clone() }).collect();
    std::iter::once(first).chain(others).collect()
}

fn verdict(report: &Report, prose: &Prose, nature: &Nature, status: Status) -> Verdict {
    let mut verdict = Verdict { status, evidence: nature.evidence.clone(), ..Verdict::undetermined(&nature.rule) };
    verdict.address = match status {
        Status::SpamComplaint => complained(report, prose),
        _ if report.feedback.is_some() => complained(report, prose),
        Status::Undetermined => None,
        _ if nature.rule.starts_with("list-") || nature.rule == "confirmation-address" => list(report).or_else(|| answered(report, prose)),
        _ => answered(report, prose),
    };
    verdict.reporting_mta = report.reporting_mta.as_deref().map(|host| super::text::tidy(host, 255));
    if matches!(status, Status::AutoReply | Status::AddressChange) && report.disposition.is_none() {
        if status == Status::AutoReply {
            let subject = report.header.subject.as_deref().unwrap_or_default();
            verdict.returns = returns(subject, &opening(prose.human()), report.header.date());
        }
        if let Some(moved) = moved(report, prose.human()) {
            verdict.status = Status::AddressChange;
            verdict.rule = moved.rule;
            verdict.evidence = moved.evidence;
            let of_new = verdict.address.as_ref() == Some(&moved.new_address);
            verdict.address = if of_new { moved.old_address } else { verdict.address };
            verdict.new_address = Some(moved.new_address);
        }
    }
    verdict
}

/// Whose complaint it is: whom the machine part names, else whom the returned original was for.
fn complained(report: &Report, prose: &Prose) -> Option<String> {
    let feedback = report.feedback.iter().flat_map(|feedback| feedback.original_rcpt_to.iter().chain(&feedback.removal_recipient));
    let original = report.original.iter();
    let marked = original
        .clone()
        .flat_map(|original| &original.other)
        .filter(|(name, _)| ["recipient", "rcpt"].iter().any(|word| name.to_ascii_lowercase().contains(word)))
        .map(|(_, value)| &**value);
    let to = original.flat_map(|original| &original.to).map(String::as_str);
    feedback.map(String::as_str).chain(marked).chain(to).find_map(prose::address_in).or_else(|| prose.named().introduced.first().cloned())
}

/// The person whose mailbox answered: the one it is from, unless that is no mailbox of a person.
fn answered(report: &Report, prose: &Prose) -> Option<String> {
    if let Some(disposition) = &report.disposition {
        let named = disposition.original_recipient.iter().chain(&disposition.final_recipient).find_map(|one| prose::address_in(one));
        if named.is_some() {
            return named;
        }
    }
    let from = report.header.from.iter().find_map(|from| address::normal(from));
    if from.as_deref().is_some_and(|from| !faceless(from)) {
        return from;
    }
    let ours: Vec<String> = report.header.to.iter().chain(&report.header.from).filter_map(|one| address::normal(one)).collect();
    let original: Vec<String> = report.original.iter().flat_map(|original| &original.to).filter_map(|to| address::normal(to)).collect();
    let single = original.first().filter(|_| original.len() == 1).cloned();
    let reply_to = report.header.reply_to.iter().filter_map(|one| address::normal(one)).find(|one| !faceless(one));
    let named = prose.named().introduced.iter().chain(&prose.named().mentioned).find(|one| !ours.contains(one) && !faceless(one)).cloned();
    single.or(reply_to).or(named).or(from)
}

/// The list behind the role that its manager writes as: `news-confirm+1a2b@…`, `news+help@…`, `news-bounces@…` are of `news@…`.
fn list(report: &Report) -> Option<String> {
    let roles = ["bounces", "confirm", "owner", "request", "help", "join", "leave", "subscribe", "unsubscribe", "admin"];
    let from = report.header.from.iter().find_map(|from| address::normal(from))?;
    let (local, domain) = address::split(&from)?;
    let (name, role) = local.rsplit_once('-').into_iter().chain(local.split_once('+')).find(|(_, role)| {
        let role = role.split('+').next().unwrap_or_default();
        roles.contains(&role)
    })?;
    (!name.is_empty() && !role.is_empty()).then(|| format!("{name}@{domain}"))
}

/// An address nobody reads.
fn faceless(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    system_address(address)
        || [
            "noreply",
            "no-reply",
            "no.reply",
            "donotreply",
            "do-not-reply",
            "autoreply",
            "auto-reply",
            "autoresponder",
            "autorespond",
            "bounce",
        ]
        .iter()
        .any(|word| local.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    #[test]
    fn the_list_behind_its_managers_roles() {
        let of = |from: &str| list(&Report { header: Header { from: vec![from.to_owned()], ..Header::default() }, ..Report::default() });
        for from in ["news-confirm+61abde@example.org", "news+help@example.org", "news-bounces@example.org", "News-Request@example.org"] {
            assert_eq!(of(from).as_deref(), Some("news@example.org"), "{from}");
        }
        assert_eq!(of("big-news-owner@example.org").as_deref(), Some("big-news@example.org"));
        for from in ["alice@example.org", "anna-help-desk@example.org", "-owner@example.org"] {
            assert_eq!(of(from), None, "{from}");
        }
    }
}

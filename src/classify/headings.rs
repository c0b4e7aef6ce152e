//! One notice with several headings: "could not be delivered to the following" above some recipients, "will be retried" above others.
//!
//! A heading stands between the line that names one recipient and the line that names the next; whoever has none of their own stands under the
//! last one before. Looked at only where a notice speaks of a delay and of a failure.

use crate::taxonomy::Status;

use super::{
    prose::Prose,
    said,
    tables::{self, Scope},
    text::Text,
};

/// What the heading above each of several recipients says: delayed, failed or delivered, in their order. Empty where the notice has one voice.
pub fn above(prose: &Prose, names: &[Vec<&str>]) -> Vec<Option<Status>> {
    if names.len() < 2 {
        return Vec::new();
    }
    let voices: Vec<Status> = voices(prose.human());
    if !(voices.contains(&Status::TransientBounce) && voices.contains(&Status::GeneralBounce)) {
        return Vec::new();
    }
    let lines: Vec<String> = prose.human().lines().map(str::to_lowercase).collect();
    let mut current = None;
    let mut from = 0;
    names
        .iter()
        .map(|names| {
            let head =
                lines.iter().enumerate().skip(from).find(|(_, line)| names.iter().any(|name| !name.is_empty() && line.contains(name)));
            let (at, _) = head?;
            let between = lines.get(from..at).unwrap_or_default();
            from = at + 1;
            current = last(between).or(current);
            current
        })
        .collect()
}

/// The last voice in some lines: sentences are broken over two of them at most.
fn last(lines: &[String]) -> Option<Status> {
    (0..lines.len()).rev().find_map(|at| {
        let pair = lines.get(at.saturating_sub(1)..=at).unwrap_or_default().join("\n");
        let voices = voices(&pair);
        // "Not delivered yet; will be retried" is a delay.
        [Status::TransientBounce, Status::GeneralBounce, Status::Delivered].into_iter().find(|status| voices.contains(status))
    })
}

fn voices(text: &str) -> Vec<Status> {
    tables::find(&Text::new(said::without_replies(text)), Scope::Notice).into_iter().map(|hit| hit.rule.status).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_stands_under_a_heading() {
        let text = "These addresses had permanent fatal errors:\n  a@example.org\n  b@example.org\n\nFor these the delivery has been delayed,\nwill be retried:\n  c@example.org\n";
        let prose = Prose::of(&text);
        let names = [vec!["a@example.org"], vec!["b@example.org"], vec!["c@example.org"]];
        let failed = Some(Status::GeneralBounce);
        assert_eq!(above(&prose, &names), [failed, failed, Some(Status::TransientBounce)]);
        assert_eq!(above(&prose, &names[..1]), []);
        assert_eq!(above(&Prose::of(&"It failed permanently for a@example.org, b@example.org."), &names), []);
    }
}

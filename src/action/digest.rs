//! Many mails of one template folded into one: a line for each, and the first few in full. Pure.
//!
//! What is not listed is told by its number. One event whose template fails leaves its line.

use std::{collections::BTreeMap, fmt::Write as _};

use minijinja::{HtmlEscape, Value};

use super::{
    Context, MailTask, clean,
    mail::{UNSIGNED, rendered},
    render::{self, Kind},
};
use crate::{ledger::Facts, outbox::Job};

const PAGE: &str = concat!(include_str!("head.html"), include_str!("digest.html"));

/// A line for so many.
const LISTED: usize = 500;
/// So many in full …
const IN_FULL: usize = 5;
/// … of at most so many octets together.
const FULL_OCTETS: usize = 128 * 1024;

/// Everything of a digest but its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// One mail in full.
struct Body {
    subject: String,
    text: String,
    html: String,
}

/// Of a job with others. The error says why nobody can be written to.
pub fn digest(job: &Job, task: &MailTask, hostname: &str) -> Result<Digest, String> {
    let all: Vec<(String, &Facts)> =
        std::iter::once((job.id.to_string(), &job.facts)).chain(job.others.iter().map(|part| (part.id.to_string(), &part.facts))).collect();
    let to = recipients(task, &all)?;
    let (count, unlisted) = (total(&all, job.beyond), total(all.get(LISTED..).unwrap_or_default(), job.beyond));
    let bodies = bodies(task, &all);
    let subject = subject(task, &all, count);
    let heading = format!("{count} mails of the template \u{201C}{}\u{201D} in one", clean::cut(&task.template.name, 80));
    let bodies_heading = format!("The first {} in full", bodies.len());
    let lines: Vec<[String; 4]> = all.iter().take(LISTED).map(|(_, facts)| line(facts)).collect();

    let mut text = format!("{heading}:\n\n{}", listed(&lines));
    // Writing to a String can't fail.
    if unlisted > 0 {
        let _ = writeln!(text, "And {unlisted} more, which are not listed here; `bounced events` has them.");
    }
    if !bodies.is_empty() {
        let _ = writeln!(text, "\n{bodies_heading}:");
    }
    for body in &bodies {
        let _ = write!(text, "\n{}\n{}\n\n{}\n", body.subject, "-".repeat(72), body.text.trim_end());
    }
    let _ = write!(text, "\n-- \nSent by bounced on {hostname}.\n");

    let values: BTreeMap<&str, Value> = [
        ("title", Value::from(subject.as_str())),
        ("heading", Value::from(heading)),
        ("lines", lines.iter().map(object_of_line).collect()),
        ("beyond", Value::from(unlisted)),
        ("bodies", bodies.iter().map(object_of_body).collect()),
        ("bodies_heading", Value::from(bodies_heading)),
        ("hostname", Value::from(hostname)),
    ]
    .into();
    let html = render::render_page(PAGE, &Context { values: Value::from(values) }).map_err(|error| error.0)?;
    Ok(Digest { to, subject, text, html })
}

fn total(listed: &[(String, &Facts)], beyond: u64) -> u64 {
    u64::try_from(listed.len()).unwrap_or(u64::MAX).saturating_add(beyond)
}

/// One mail has one list of recipients: what concerns one person never goes to another.
fn recipients(task: &MailTask, all: &[(String, &Facts)]) -> Result<String, String> {
    let mut to: Option<String> = None;
    for (id, facts) in all {
        if task.to.contains('{') && !facts.event.origin.signed {
            return Err(UNSIGNED.to_owned());
        }
        let this = render::render(Kind::Address, &task.to, &Context::new(facts, id)).map_err(|error| error.0)?;
        match &to {
            None if !task.to.contains('{') => return Ok(this),
            Some(to) if *to != this => return Err("these mails have different recipients and can't go out as one".to_owned()),
            _ => to = Some(this),
        }
    }
    to.ok_or_else(|| "there is nobody to send it to".to_owned())
}

/// The first one's, with how many there are; that not all are alike is said.
fn subject(task: &MailTask, all: &[(String, &Facts)], count: u64) -> String {
    let one = |(id, facts): &(String, &Facts)| render::render(Kind::Header, &task.template.subject, &Context::new(facts, id)).ok();
    let Some(first) = all.first().and_then(one) else { return format!("{count} \u{D7} {}", clean::cut(&task.template.name, 80)) };
    let alike = all.iter().take(LISTED).all(|part| one(part).as_ref() == Some(&first));
    let room = clean::SUBJECT_CHARS.saturating_sub(40);
    let rest = if alike { "" } else { ", and others" };
    format!("{count} \u{D7} {}{rest}", clean::cut(&first, room))
}

/// Time, address, status with its code, what the server said.
fn line(facts: &Facts) -> [String; 4] {
    let (event, verdict) = (&facts.event, &facts.event.verdict);
    let short = |text: Option<&str>, chars: usize| clean::cut(text.unwrap_or_default(), chars);
    let at = event.at.strftime("%F %H:%MZ").to_string();
    let address = short(verdict.address.as_deref(), 80);
    let address = if address.is_empty() { "(nobody named)".to_owned() } else { address };
    let status = clean::line(&format!("{} {}", verdict.status.id(), short(verdict.enhanced.as_deref(), 12)));
    [at, address, status, short(verdict.diagnostic.as_deref(), 120)]
}

fn listed(lines: &[[String; 4]]) -> String {
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).min(48);
    let (address, status) = (width(1), width(2));
    let mut out = String::new();
    for [at, who, what, said] in lines {
        let line = format!("{at}  {who:address$}  {what:status$}  {}", clean::cut(said, 80));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn bodies(task: &MailTask, all: &[(String, &Facts)]) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut octets = 0usize;
    for (id, facts) in all.iter().take(IN_FULL) {
        let Ok((_, subject, text, html)) = rendered(task, &Context::new(facts, id)) else { continue };
        let plain = || format!("<div style=\"white-space:pre-wrap;font-size:13px\">{}</div>", HtmlEscape(text.trim_end()));
        // A whole document can't stand inside another one.
        let document = |html: &str| html.get(..200).unwrap_or(html).to_ascii_lowercase().contains("<html") || html.contains("<!DOCTYPE");
        let html = html.filter(|html| !document(html)).unwrap_or_else(plain);
        octets = octets.saturating_add(text.len()).saturating_add(html.len());
        if octets > FULL_OCTETS {
            break;
        }
        bodies.push(Body { subject, text, html });
    }
    bodies
}

fn object_of_line([at, address, status, diagnostic]: &[String; 4]) -> Value {
    object(
        [("at", at), ("address", address), ("status", status), ("diagnostic", diagnostic)]
            .map(|(key, text)| (key, Value::from(text.as_str()))),
    )
}

fn object_of_body(body: &Body) -> Value {
    object([("subject", Value::from(body.subject.as_str())), ("html", Value::from_safe_string(body.html.clone()))])
}

fn object<const N: usize>(pairs: [(&'static str, Value); N]) -> Value {
    Value::from(BTreeMap::from(pairs))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        action::{MailTemplate, Task, context::sample_job, sample_facts},
        outbox::{JobId, Part},
    };

    fn task(to: &str) -> MailTask {
        let template = MailTemplate {
            name: "hard-bounce".to_owned(),
            subject: "{{ address }} bounced {{ count }} times".to_owned(),
            body: "The server said:\n{{ diagnostic }}\n".to_owned(),
            html: None,
        };
        MailTask { to: to.to_owned(), template, digest: None, at_most: None }
    }

    fn job(task: &MailTask, others: u16) -> Job {
        let id = |place| JobId { epoch: 42, event: 7, trigger: 1, place };
        let part = |place: u16| {
            let mut facts = sample_facts();
            facts.event.at = Timestamp::from_second(1_795_000_000 + i64::from(place) * 61).unwrap();
            facts.event.verdict.address = Some(format!("p{place}@example.org"));
            Part { id: id(place), facts }
        };
        sample_job(id(0), Task::Mail(task.clone()), part(0).facts, (1..=others).map(part).collect())
    }

    #[test]
    fn a_digest_as_it_is_read() {
        let task = task("ops@example.com");
        let mut job = job(&task, 7);
        (job.beyond, job.others[2].facts.event.verdict.address) = (12, None);
        job.others[0].facts.event.verdict.diagnostic = Some("<b>no</b>\r\nBcc: x@example.org".to_owned());
        let digest = digest(&job, &task, "mx.test").unwrap();
        assert_eq!((digest.to.as_str(), digest.subject.as_str()), ("ops@example.com", "20 × p0@example.org bounced 3 times, and others"));
        insta::assert_snapshot!("digest_text", digest.text);
        insta::assert_snapshot!("digest_html", digest.html);
    }

    #[test]
    fn alike_subjects_and_large_ones_are_bounded() {
        let mut task = task("ops@example.com");
        task.template.subject = "x".repeat(300);
        task.template.body = "{{ diagnostic }}".repeat(200);
        task.template.html = Some("<html><body>{{ diagnostic }}</body></html>".to_owned());
        let mut job = job(&task, 999);
        for part in &mut job.others {
            part.facts.event.verdict.diagnostic = Some("\"<&".repeat(1_300));
            part.facts.event.verdict.address = Some(format!("{}@example.org", "a".repeat(500)));
        }
        let digest = digest(&job, &task, "mx.test").unwrap();
        assert!(digest.subject.starts_with("1000 × xxx") && digest.subject.ends_with('…') && digest.subject.chars().count() < 250);
        assert!(digest.text.contains("And 500 more") && digest.html.contains("And 500 more"));
        assert!(digest.text.len() + digest.html.len() < 1_500_000, "{} {}", digest.text.len(), digest.html.len());
        assert_eq!(digest.html.matches("<html").count(), 1);
    }

    #[test]
    fn nobody_reads_of_another() {
        let task = task("{{ address }}");
        assert!(digest(&job(&task, 1), &task, "mx.test").unwrap_err().contains("different recipients"));
        let mut same = job(&task, 1);
        same.others[0].facts.event.verdict.address = Some("p0@example.org".to_owned());
        assert_eq!(digest(&same, &task, "mx.test").unwrap().to, "p0@example.org");
        same.others[0].facts.event.origin.signed = false;
        assert_eq!(digest(&same, &task, "mx.test").unwrap_err(), UNSIGNED);
    }
}

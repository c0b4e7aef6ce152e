//! What the operator hears of: each trouble in words, with what to do about it. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::{clean, rfc3339},
    taxonomy::Status,
};

/// Alerts of one kind go out at most once an hour. The names are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    JobsDied,
    TargetDown,
    TargetWell,
    Room,
    Blocks,
    Undetermined,
    Silence,
    ReloadRefused,
    Store,
    Certificate,
    Figures,
    Guarded,
}

impl Kind {
    /// Whether it is a state that lasts, judged again and again, and not something that happens at one moment.
    pub const fn lasts(self) -> bool {
        matches!(self, Kind::Room | Kind::Blocks | Kind::Undetermined | Kind::Silence | Kind::Certificate | Kind::Figures)
    }

    pub const fn id(self) -> &'static str {
        match self {
            Kind::JobsDied => "jobs-died",
            Kind::TargetDown => "target-down",
            Kind::TargetWell => "target-well",
            Kind::Room => "room",
            Kind::Blocks => "blocks",
            Kind::Undetermined => "undetermined",
            Kind::Silence => "silence",
            Kind::ReloadRefused => "reload-refused",
            Kind::Store => "store",
            Kind::Certificate => "certificate",
            Kind::Figures => "figures",
            Kind::Guarded => "guarded",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// A job of the outbox is dead.
    JobDied(DeadJob),
    /// A target has failed again and again for a minute.
    TargetDown(ClosedTarget),
    /// One of those that were told of is well again.
    TargetWell { host: String, lasted: SignedDuration },
    /// Bytes.
    Room { free: u64, min_free: u64 },
    /// Sender-fault blocks among an hour's mail.
    Blocks { blocks: u64, total: u64, by_status: Vec<(Status, u64)> },
    /// In a day, and the number from which it is trouble.
    Undetermined { count: u64, limit: u64 },
    /// Nothing has come in for so long; when the last mail came, if one ever did.
    Silence { lasts: SignedDuration, last: Option<Timestamp> },
    /// The errors, a line each.
    ReloadRefused { why: String },
    /// The store failed: the daemon stops.
    Store { why: String },
    /// The certificate of `smtp.tls`; `left` may be negative.
    Certificate { expires: Timestamp, left: SignedDuration },
    /// The store doesn't tell how things stand.
    Figures { why: String },
    /// So many hard bounces of one domain came at once that what triggers do to its people waits.
    Guarded { domain: String, hard_bounces: u64 },
}

/// A dead job as alerts and digests name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    pub id: String,
    /// `mail`, `post` or `forward`.
    pub kind: String,
    pub target: String,
    pub error: String,
}

/// A target whose jobs wait, as alerts and digests name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedTarget {
    /// A host, or `mail` for the relay.
    pub host: String,
    pub since: Timestamp,
    pub error: String,
}

impl ClosedTarget {
    /// One line; the error may hold what strangers wrote.
    pub fn line(&self) -> String {
        format!("{}, since {}: {}", clean::cut(&self.host, 80), rfc3339(self.since), clean::cut(&self.error, 200))
    }
}

impl DeadJob {
    /// One line; targets and errors may hold what strangers wrote.
    pub fn line(&self) -> String {
        format!("{}  {} to {}: {}", clean::cut(&self.id, 60), self.kind, clean::cut(&self.target, 80), clean::cut(&self.error, 200))
    }
}

impl Trouble {
    pub const fn kind(&self) -> Kind {
        match self {
            Trouble::JobDied(_) => Kind::JobsDied,
            Trouble::TargetDown(_) => Kind::TargetDown,
            Trouble::TargetWell { .. } => Kind::TargetWell,
            Trouble::Room { .. } => Kind::Room,
            Trouble::Blocks { .. } => Kind::Blocks,
            Trouble::Undetermined { .. } => Kind::Undetermined,
            Trouble::Silence { .. } => Kind::Silence,
            Trouble::ReloadRefused { .. } => Kind::ReloadRefused,
            Trouble::Store { .. } => Kind::Store,
            Trouble::Certificate { .. } => Kind::Certificate,
            Trouble::Figures { .. } => Kind::Figures,
            Trouble::Guarded { .. } => Kind::Guarded,
        }
    }

    /// One line, for the subject and the log.
    pub fn title(&self) -> String {
        match self {
            Trouble::JobDied(job) => format!("a job died: {} to {}", job.kind, clean::cut(&job.target, 80)),
            Trouble::TargetDown(target) => format!("a target fails: {}", clean::cut(&target.host, 80)),
            Trouble::TargetWell { host, lasted } => format!("well again after {}: {}", span(*lasted), clean::cut(host, 80)),
            Trouble::Room { free, min_free } if free < min_free => format!("no room: mail is put off, {} left", mib(*free)),
            Trouble::Room { free, .. } => format!("room gets short: {} left", mib(*free)),
            Trouble::Blocks { blocks, total, .. } => format!("our mail is being blocked: {blocks} of {total} in an hour"),
            Trouble::Undetermined { count, .. } => format!("{count} mails of a day could not be told"),
            Trouble::Silence { lasts, .. } => format!("nothing came in for {}", span(*lasts)),
            Trouble::ReloadRefused { .. } => "the new configuration was refused".to_owned(),
            Trouble::Store { .. } => "the store failed".to_owned(),
            Trouble::Certificate { left, .. } if left.is_negative() => "the TLS certificate has expired".to_owned(),
            Trouble::Certificate { left, .. } => format!("the TLS certificate expires in {}", span(*left)),
            Trouble::Figures { .. } => "the store doesn't answer".to_owned(),
            Trouble::Guarded { domain, .. } => format!("{} is guarded: its hard bounces surge", clean::cut(domain, 80)),
        }
    }

    /// What is the matter and what to do, several lines.
    pub fn text(&self) -> String {
        match self {
            Trouble::JobDied(job) => format!(
                "What a trigger asked for was not done, and will not be tried again by itself:\n\n  {}\n\n\
                 Once the cause is mended: bounced outbox retry ID. To give it up: bounced outbox drop ID. All of them: bounced outbox list\n",
                job.line()
            ),
            Trouble::TargetDown(target) => format!(
                "Attempt after attempt failed, so that its jobs wait, and one is tried now and then:\n\n  {}\n\n\
                 Nothing is lost: once it does its work they go on by themselves. Each job is given up after three days. What waits: bounced \
                 outbox list. To have it tried at once: systemctl reload bounced\n",
                target.line()
            ),
            Trouble::TargetWell { host, .. } => {
                format!("{} does its work again; the jobs that waited for it go on.\n", clean::cut(host, 80))
            }
            Trouble::Room { free, min_free } => format!(
                "{} are left on the disk that holds data_dir; below min_free ({}) senders are told to come again later (452), so that \
                 nothing is lost.\n\nMake room there, or shorten [keep] events and raw, or lower min_free.\n",
                mib(*free),
                mib(*min_free)
            ),
            Trouble::Blocks { blocks, total, by_status } => {
                let rows: String = by_status.iter().map(|(status, count)| format!("  {count:>8}  {}\n", status.title())).collect();
                format!(
                    "Of the {total} mails of the last hour, {blocks} say that receivers refuse us, not the recipient:\n\n{rows}\n\
                     These never count as hard bounces. Look whether the sending servers are on a blocklist, and at SPF, DKIM, DMARC and the PTR \
                     record; stop sending until it is mended: bounced events --status mail-block-known-spammer\n"
                )
            }
            Trouble::Undetermined { count, limit } => format!(
                "{count} mails of the last 24 hours fit no rule (from {limit} on you hear of it). Their raw mail is kept.\n\n\
                 Look at some: bounced events --status undetermined. A form of bounce that we don't know can be taught with [[rule]].\n"
            ),
            Trouble::Silence { lasts, last } => format!(
                "No mail has come in for {}; the last one came {}.\n\nIf you have been sending: look whether the MX record of smtp.domains \
                 points here (bounced check --dns), whether port 25 can be reached from outside, and whether the mails go out with \
                 return addresses of ours.\n",
                span(*lasts),
                last.map_or("before this daemon's memory".to_owned(), |at| format!("at {}", rfc3339(at)))
            ),
            Trouble::ReloadRefused { why } => format!(
                "The configuration was to be read again and has errors; the old one goes on.\n\n{}\n\nMend it, see that `bounced check` is \
                 content, and reload again.\n",
                clean::text(&clip(why))
            ),
            Trouble::Store { why } => format!(
                "The store failed, and the daemon stops, so that nothing is confirmed that isn't durable. Senders try again for days.\n\n  {}\n\n\
                 systemd starts it again. If this comes again, look at the disk (journalctl -u bounced, dmesg) and have the last backup \
                 at hand\n",
                clean::cut(why, 1000)
            ),
            Trouble::Certificate { expires, .. } => format!(
                "The certificate in smtp.tls is good until {}. Without a good one, senders that insist on TLS can't deliver.\n\n\
                 Renew it and reload: systemctl reload bounced\n",
                rfc3339(*expires)
            ),
            Trouble::Figures { why } => format!(
                "The store doesn't say how things stand, so that no other trouble can be seen:\n\n  {}\n\n\
                 Look at the log (journalctl -u bounced) and at the disk that holds data_dir.\n",
                clean::cut(why, 1000)
            ),
            Trouble::Guarded { domain, hard_bounces } => guarded(&clean::cut(domain, 80), *hard_bounces),
        }
    }
}

fn guarded(domain: &str, hard_bounces: u64) -> String {
    format!(
        "{hard_bounces} hard bounces of {domain} came within a short time, far more than is usual there. Either you mailed many dead addresses, \
         or the provider says \"unknown user\" to everyone. What triggers on hard bounces do to its people (tags, fields, suppression, sequences, \
         reports, resends, posts) waits until you decide; counting goes on.\n\n\
         What the server said: bounced events --status hard-bounce. What waits: bounced guard list\n\n\
         Is it true, then all that waits is done now, and the domain not guarded again for a day:\n\n  bounced guard release {domain}\n\n\
         Is it wrong, then what waits is thrown away, and these people's hard bounces are counted from none:\n\n  bounced guard drop {domain}\n"
    )
}

/// One mail for several troubles of one kind, and for those that were held back: subject without prefix, and text.
pub fn compose(troubles: &[Trouble], held_back: u64) -> Option<(String, String)> {
    let first = troubles.first()?;
    let count = troubles.len() as u64 + held_back;
    let mut text = first.text();
    let subject = match first {
        Trouble::JobDied(_) if count > 1 => format!("{count} jobs died"),
        Trouble::TargetDown(_) if count > 1 => format!("{count} targets fail"),
        Trouble::Guarded { .. } if count > 1 => format!("{count} domains are guarded"),
        _ => first.title(),
    };
    let others: Vec<String> = troubles.iter().skip(1).take(LISTED).map(line).collect();
    if !others.is_empty() {
        text.push_str(&format!("\nAnd also:\n\n{}\n", others.join("\n")));
    }
    let untold = (troubles.len() - 1 - others.len()) as u64 + held_back;
    if untold > 0 {
        text.push_str(&format!("\n{untold} more of this kind came since the last such alert; one goes out an hour at most.\n"));
    }
    Some((subject, text))
}

/// For troubles that were held back and whose particulars are gone with the process that saw them.
pub fn compose_forgotten(kind: Kind, held_back: u64) -> (String, String) {
    let subject = format!("{held_back} more alerts: {}", kind.id());
    (subject, format!("{held_back} alerts of this kind were held back ({}). The log has them: journalctl -u bounced\n", kind.id()))
}

/// How many troubles one mail lists beside the first.
pub const LISTED: usize = 20;

fn line(trouble: &Trouble) -> String {
    match trouble {
        Trouble::JobDied(job) => format!("  {}", job.line()),
        Trouble::TargetDown(target) => format!("  {}", target.line()),
        Trouble::Guarded { domain, hard_bounces } => format!("  {}: {hard_bounces} hard bounces", clean::cut(domain, 80)),
        other => format!("  {}", other.title()),
    }
}

/// The errors of a configuration are many lines; a mail needs no more than the first few thousand characters.
fn clip(text: &str) -> String {
    text.chars().take(8000).collect()
}

pub(super) fn mib(bytes: u64) -> String {
    match bytes / (1024 * 1024) {
        mib if mib >= 10_240 => format!("{} GiB", mib / 1024),
        mib => format!("{mib} MiB"),
    }
}

fn span(of: SignedDuration) -> String {
    match of.as_hours() {
        hours if hours >= 72 => format!("{} days", hours / 24),
        hours if hours >= 2 => format!("{hours} hours"),
        _ => format!("{} minutes", of.as_mins()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(error: &str) -> Trouble {
        let text = str::to_owned;
        Trouble::JobDied(DeadJob { id: text("1-2-3-4"), kind: text("mail"), target: text("ops@example.com"), error: text(error) })
    }

    #[test]
    fn what_strangers_wrote_stays_one_line() {
        let (subject, text) = compose(&[died("550 no\r\nBcc: x@example.org\u{1b}[2J")], 0).unwrap();
        assert_eq!(subject, "a job died: mail to ops@example.com");
        assert!(text.contains("mail to ops@example.com: 550 no Bcc: x@example.org [2J\n"), "{text}");
    }

    #[test]
    fn several_become_one_mail_that_counts_them_all() {
        let (subject, text) = compose(&[died("a"), died("b"), died("c")], 4).unwrap();
        assert_eq!(subject, "7 jobs died");
        assert!(text.contains(": b\n") && text.contains("4 more of this kind"), "{text}");
        let many = vec![died("x"); 100];
        let (subject, text) = compose(&many, 0).unwrap();
        assert_eq!(subject, "100 jobs died");
        assert!(text.contains("79 more of this kind") && text.lines().count() < 40, "{text}");
        assert_eq!(compose(&[], 3), None);
    }

    #[test]
    fn a_target_that_fails_and_is_well_again() {
        let since = "2026-11-23T08:00:00Z".parse().unwrap();
        let down =
            |host: &str| Trouble::TargetDown(ClosedTarget { host: host.to_owned(), since, error: "HTTP 503: no\r\nmore".to_owned() });
        let (subject, text) = compose(&[down("a.example")], 0).unwrap();
        assert_eq!(subject, "a target fails: a.example");
        assert!(text.contains("\n  a.example, since 2026-11-23T08:00:00Z: HTTP 503: no more\n"), "{text}");
        let (subject, text) = compose(&[down("a.example"), down("mail")], 0).unwrap();
        assert!(subject == "2 targets fail" && text.contains("\n  mail, since"), "{subject}\n{text}");
        let well = Trouble::TargetWell { host: "a.example".to_owned(), lasted: SignedDuration::from_mins(7) };
        assert_eq!(well.title(), "well again after 7 minutes: a.example");
    }

    #[test]
    fn a_guarded_domain_says_what_to_do() {
        let guarded = |domain: &str| Trouble::Guarded { domain: domain.to_owned(), hard_bounces: 201 };
        let (subject, text) = compose(&[guarded("example.org")], 0).unwrap();
        assert_eq!(subject, "example.org is guarded: its hard bounces surge");
        for words in ["201 hard bounces of example.org", "bounced guard release example.org\n", "bounced guard drop example.org\n"] {
            assert!(text.contains(words), "{words} in {text}");
        }
        let (subject, text) = compose(&[guarded("example.org"), guarded("example.com\r\nBcc: x")], 0).unwrap();
        assert_eq!(subject, "2 domains are guarded");
        assert!(text.contains("\n  example.com Bcc: x: 201 hard bounces\n"), "{text}");
    }

    #[test]
    fn figures_as_people_say_them() {
        assert_eq!((mib(300 << 20), mib(20 << 30)), ("300 MiB".to_owned(), "20 GiB".to_owned()));
        assert_eq!(span(SignedDuration::from_hours(25)), "25 hours");
        assert_eq!(span(SignedDuration::from_hours(100)), "4 days");
        assert_eq!(span(SignedDuration::from_mins(61)), "61 minutes");
        let silence = Trouble::Silence { lasts: SignedDuration::from_hours(25), last: None };
        assert_eq!(silence.title(), "nothing came in for 25 hours");
    }
}

//! Who wrote a mail: a mail system or a person, and of a person's mail what is their own.

use crate::message::Report;

use super::prose::system_address;

/// What a person wrote above what they quote: no quoted lines, nothing after an attribution, a rule or a signature.
pub fn opening(human: &str) -> String {
    let mut out = String::new();
    for line in human.lines().take(40) {
        let start = line.trim();
        let ends = start.starts_with("-- ")
            || start == "--"
            || start.starts_with("---")
            || start.starts_with("___")
            || start.starts_with("***")
            || start.starts_with("===");
        let lower = start.to_lowercase();
        let quotes = start.starts_with('>') || start.starts_with('|');
        let attribution = lower.ends_with(':')
            && [
                "wrote",
                "schrieb",
                "a écrit",
                "escribió",
                "ha scritto",
                "escreveu",
                "schreef",
                "napisał",
                "skrev",
                "пишет",
                "写道",
                "のメール",
            ]
            .iter()
            .any(|word| lower.contains(word));
        let header =
            ["from:", "von:", "de :", "de:", "da:", "van:", "od:", "от:", "差出人:", "发件人:"].iter().any(|word| lower.starts_with(word))
                && !out.trim().is_empty();
        if ends && !out.trim().is_empty() || quotes || attribution || header {
            break;
        }
        if !ends {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Where companies want to be written to.
const DESKS: &[&str] = &[
    "info",
    "help",
    "service",
    "services",
    "contact",
    "kontakt",
    "contacto",
    "customer",
    "customers",
    "sales",
    "office",
    "care",
    "team",
    "hello",
    "billing",
];

/// An address of a company, not of one of its people.
pub fn is_desk(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    local.split(['.', '-', '_']).any(|word| DESKS.contains(&word))
}

/// Whether the mail comes from a mail system: by its local part, its name, or no address at all.
pub fn is_daemon(report: &Report) -> bool {
    let header = &report.header;
    let names = [
        "mailer-daemon",
        "mailerdaemon",
        "mailer daemon",
        "mail delivery",
        "mail delivery system",
        "mail delivery subsystem",
        "postmaster",
        "mail administrator",
        "mail system",
        "system administrator",
        "systemadministrator",
        "content-filter",
        "microsoft outlook",
        "internet mail delivery",
        "mail daemon",
        "maildaemon",
        "email delivery",
        "delivery system",
        "mdaemon",
    ];
    let by_name = header.from_name.as_deref().map(str::to_lowercase).is_some_and(|name| names.iter().any(|known| name.contains(known)));
    by_name || is_daemon_address(report)
}

/// The same by its address alone: anybody may bear such a name.
pub fn is_daemon_address(report: &Report) -> bool {
    let header = &report.header;
    let locals = [
        "microsoftexchange",
        "mail-daemon",
        "bounce",
        "bounces",
        "mailadmin",
        "mail-admin",
        "mailsystem",
        "mail-system",
        "mta",
        "postoffice",
        "mail.daemon",
        "daemon",
        "nondeliver",
        "non-deliver",
        "ndr",
        "mailmaster",
        "emailsystem",
        "mailgate",
        "smtp",
    ];
    header.from.is_empty()
        || header.from.iter().any(|from| {
            let from = from.trim_matches(['<', '>', ' ']).to_lowercase();
            let local = from.split('@').next().unwrap_or_default();
            from.is_empty()
                || (system_address(&from) && !matches!(local, "noreply" | "no-reply" | "support" | "helpdesk" | "abuse" | "root"))
                || locals.iter().any(|known| local == *known || local.starts_with("microsoftexchange"))
        })
}

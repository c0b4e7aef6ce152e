//! What a notice says to people: up to where the original comes back, broken addresses made whole.

use std::sync::LazyLock;

use regex::Regex;

use super::text::cut;

/// So much of the human-readable part is read, in octets.
const MAX_HUMAN: usize = 64 * 1024;
/// A line that opens what is returned of the original.
static RETURNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)^\s*(?:",
        // sendmail's box "you do not need to resend your message" opens nothing.
        r"[-=_*#+]{2,}.{0,20}your message|",
        r"[-=_*#+]{2,}.{0,40}(?:copy of|original (?:message|mail|header)|message headers?|returned (?:message|mail)|unsent message|undelivered (?:message|mail)|forwarded message|headers? follow|message follows|(?:text|body) of (?:your|the) message|nachricht|message d'origine|mensaje original|messaggio originale)",
        r"|(?:return-path|received|dkim-signature|domainkey-signature|x-mailer|x-originating-ip)\s*:\s",
        // Mailman's notice to who wrote the original that comes back.
        r"|your mail to ['\u{2018}\x22].{1,80}['\u{2019}\x22] with the subject\s*$",
        r"|original message headers",
        r"|(?:ursprüngliche nachrichtenkopf|originale? nachrichtenkopf|kopfzeilen der ursprünglichen|en-têtes de messages? d'origine|encabezados de mensajes? originales|intestazioni originali|cabeçalhos (?:originais|de mensagens? originais)|oorspronkelijke berichtkoppen|oryginalne nagłówki|исходные заголовки|元のメッセージ ヘッダー|原始邮件头)",
        r"|(?:this is|below (?:this line )?is|the following is|here is) a copy of (?:the|your)",
        r"|(?:--- )?below this line is",
        r")"
    ))
    .ok()
});

/// An address in brackets that was broken over two lines.
static BROKEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<([^<>\s]{1,250})[ \t]*\n[ \t]*([^<>\s]{1,250})>").ok());

/// What was written for people: up to where the original comes back.
pub fn human(prose: &str) -> String {
    let prose = cut(prose, MAX_HUMAN);
    let joined = BROKEN.as_ref().map(|form| form.replace_all(prose, joined));
    let prose = joined.as_deref().unwrap_or(prose);
    let mut out = String::with_capacity(prose.len());
    for line in prose.lines() {
        let returned = RETURNED.as_ref().is_some_and(|form| form.is_match(line));
        // A notice that begins with its original has its words elsewhere; one that has said something ends here.
        if returned && out.chars().filter(|c| c.is_alphanumeric()).count() > 20 {
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A broken address made whole; anything else as it stood.
fn joined(found: &regex::Captures<'_>) -> String {
    let whole = format!("<{}{}>", found.get(1).map_or("", |part| part.as_str()), found.get(2).map_or("", |part| part.as_str()));
    if whole.matches('@').count() == 1 { whole } else { found.get(0).map_or_else(String::new, |all| all.as_str().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_returned_is_cut_off() {
        assert!(RETURNED.is_some() && BROKEN.is_some());
        assert_eq!(human("It could not be delivered, sorry.\nReceived: from x\nuser unknown"), "It could not be delivered, sorry.\n");
        let warning = "** THIS IS A WARNING MESSAGE ONLY **\n** YOU DO NOT NEED TO RESEND YOUR MESSAGE **\n<a@example.org>... Deferred\n";
        assert_eq!(human(warning), warning);
        assert_eq!(
            human("There is no such user here, sorry.\n--- Your message follows ---\nhello"),
            "There is no such user here, sorry.\n"
        );
        assert_eq!(human("for <alice@\n  example.org> no\n<a\nb>"), "for <alice@example.org> no\n<a\nb>\n");
    }
}

//! A mail of the operator's own to be sent in a bounced one's place: a whole mail (header, blank line, body) as minijinja source. Pure.
//!
//! Each header field's value is a source of its own and stays one field whatever a fact holds; the body is text, or HTML where Content-Type
//! says so, and facts are escaped for that.

use super::{
    Context,
    render::{Error, Kind, check_source, render},
};

/// A given mail taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Names as written, values unfolded.
    pub header: Vec<(String, String)>,
    pub body: String,
}

impl Given {
    /// # Errors
    /// What is wrong with the mail's form, in one line.
    pub fn parse(source: &str) -> Result<Given, String> {
        let source = source.replace("\r\n", "\n");
        let (head, body) = source.split_once("\n\n").ok_or("has no blank line; a mail is a header, a blank line and a body")?;
        let mut header: Vec<(String, String)> = Vec::new();
        for line in head.lines() {
            if line.starts_with([' ', '\t']) {
                let (_, value) = header.last_mut().ok_or("begins with a white space; a header field begins with its name")?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let field = line.split_once(':').filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
            let (name, value) = field.ok_or_else(|| format!("'{line}' is no header field; write it as \"Subject: …\""))?;
            header.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Given { header, body: body.to_owned() })
    }

    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The mail with the facts in it.
    ///
    /// # Errors
    /// Where a source can't be rendered.
    pub fn render(&self, context: &Context) -> Result<Given, Error> {
        let one = |(name, value): &(String, String)| Ok((name.clone(), render(kind_of(name), value, context)?));
        let header = self.header.iter().map(one).collect::<Result<_, Error>>()?;
        let body = if is_template(&self.body) { render(self.kind(), &self.body, context)? } else { self.body.clone() };
        Ok(Given { header, body })
    }

    fn kind(&self) -> Kind {
        if self.says("Content-Type", "text/html") { Kind::Html } else { Kind::Text }
    }

    fn says(&self, name: &str, beginning: &str) -> bool {
        let start = self.field(name).and_then(|value| value.get(..beginning.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    }
}

/// Tries a source out as the configuration is read.
pub fn check(source: &str) -> Result<(), String> {
    let given = Given::parse(source)?;
    for name in ["From", "Subject"] {
        if given.field(name).is_none_or(str::is_empty) {
            return Err(format!("has no {name}; a mail to a person needs one"));
        }
    }
    for (name, value) in &given.header {
        check_source(kind_of(name), value).map_err(|error| format!("{name}: {error}"))?;
    }
    if !is_template(&given.body) {
        return Ok(());
    }
    let text = given.field("Content-Type").is_none() || given.says("Content-Type", "text/");
    let encoding = "Content-Transfer-Encoding";
    let plain = given.field(encoding).is_none() || ["7bit", "8bit", "binary"].iter().any(|plain| given.says(encoding, plain));
    if !text || !plain {
        return Err("has several parts or an encoded body, where a template can't stand; write it as plain text or HTML".to_owned());
    }
    check_source(given.kind(), &given.body).map_err(|error| format!("body: {error}"))
}

/// A value may not add a recipient.
fn kind_of(name: &str) -> Kind {
    let addresses = ["From", "Sender", "Reply-To", "To", "Cc"];
    if addresses.iter().any(|other| name.eq_ignore_ascii_case(other)) { Kind::Address } else { Kind::HttpHeader }
}

fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::sample_facts;

    const MAIL: &str = "From: News <news@example.com>\r\nTo: {{ address }}\r\nSubject: Once more,\r\n {{ local }}\r\n\r\nHello {{ diagnostic }}\r\n\r\nBye\r\n";

    #[test]
    fn a_mail_with_the_facts_in_it() {
        assert_eq!(check(MAIL), Ok(()));
        let mut facts = sample_facts();
        facts.event.verdict.address = Some("alice@example.org".to_owned());
        facts.event.verdict.diagnostic = Some("<b>\r\nBcc: x@example.org".to_owned());
        let told = |source: &str| Given::parse(source).unwrap().render(&Context::new(&facts, "1"));
        let mail = told(MAIL).unwrap();
        assert_eq!((mail.field("to"), mail.field("SUBJECT")), (Some("alice@example.org"), Some("Once more, alice")));
        assert_eq!(mail.body, "Hello <b>\nBcc: x@example.org\n\nBye\n");
        let html =
            told(&MAIL.replace("Subject:", "Content-Type: text/html; charset=utf-8\r\nX-Said: {{ diagnostic }}\r\nSubject:")).unwrap();
        assert!(html.body.starts_with("Hello &lt;b&gt;"), "{}", html.body);
        assert_eq!(html.field("X-Said"), Some("<b> Bcc: x@example.org"));
        assert!(told(&MAIL.replace("{{ address }}", "{{ diagnostic }}")).is_err(), "no address");
    }

    #[test]
    fn what_is_no_mail() {
        let mime = |more: &str| MAIL.replace("Subject:", &format!("{more}\r\nSubject:"));
        for (source, says) in [
            ("Hello".to_owned(), "no blank line"),
            (MAIL.replace("From:", "X-From:"), "no From"),
            (MAIL.replace("Subject: Once more,\r\n {{ local }}", "Subject:"), "no Subject"),
            (MAIL.replace("To:", "To"), "no header field"),
            (format!(" {MAIL}"), "white space"),
            (MAIL.replace("{{ local }}", "{{ lokal }}"), "Subject: 'lokal'"),
            (MAIL.replace("Bye", "{% if %}"), "body: "),
            (mime("Content-Type: multipart/mixed; boundary=x"), "several parts"),
            (mime("Content-Transfer-Encoding: quoted-printable"), "encoded"),
        ] {
            let error = check(&source).unwrap_err();
            assert!(error.contains(says), "{source}: {error}");
        }
        let fixed = mime("Content-Type: multipart/mixed; boundary=x").replace("{{ diagnostic }}", "{ you }");
        assert_eq!(check(&fixed), Ok(()));
    }
}

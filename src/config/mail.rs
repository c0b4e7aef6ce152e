//! `[mail]`: how notifications leave.

use std::path::PathBuf;

use super::{
    EnvelopeFrom, Mail, Relay, Security, Smtp,
    files::Files,
    names,
    reader::{At, Table},
};

pub fn read(table: Table<'_>, files: &Files, smtp: &Smtp) -> Option<Mail> {
    let relay = table.need("relay", "\"smtp://127.0.0.1:25\"").and_then(|at| at.parsed(relay));
    let from = table.need("from", "\"Bounce daemon <bounced@example.com>\"");
    let from = from.and_then(|at| at.parsed(|text| names::mailbox(text).map(|_| text.trim().to_owned())));
    let envelope_from = table.get("envelope_from").map_or(Some(EnvelopeFrom::Own), |at| envelope_from(&at, smtp));
    let username = table.get("username").and_then(|at| at.parsed(username));
    let password_file = table.get("password_file").and_then(|at| {
        files.secrets(&at, 1)?;
        files.path(&at)
    });
    if table.get("username").is_some() && table.get("password_file").is_none() {
        table.fail("username", "needs a password; name the file that holds it in password_file");
    }
    if table.get("password_file").is_some() && table.get("username").is_none() {
        table.fail("password_file", "is of no use without username; give the username, or take it out");
    }
    table.close();
    Some(Mail { relay: relay?, from: from?, envelope_from: envelope_from?, username, password_file })
}

fn relay(text: &str) -> Result<Relay, String> {
    if let Some(folder) = text.strip_prefix("file:") {
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        return if folder.is_empty() {
            Err("'file:' names no folder; write it as \"file:data/mail\"".into())
        } else {
            Ok(Relay::File(PathBuf::from(folder)))
        };
    }
    let kinds = [("smtp://", Security::None, 25), ("smtp+starttls://", Security::StartTls, 587), ("smtps://", Security::Tls, 465)];
    let found = kinds.into_iter().find_map(|(scheme, security, port)| Some((text.strip_prefix(scheme)?, security, port)));
    let Some((host, security, port)) = found else {
        return Err(format!("'{text}' must begin with smtp://, smtp+starttls://, smtps:// or file:"));
    };
    if host.contains('@') {
        return Err("a relay holds no user name or password; use username and password_file".into());
    }
    let (host, port) = names::host_port(host.strip_suffix('/').unwrap_or(host), port)?;
    Ok(Relay::Smtp { host, port, security })
}

/// An envelope sender in our own domain must be one that we take: its bounces come to us.
fn envelope_from(at: &At<'_>, smtp: &Smtp) -> Option<EnvelopeFrom> {
    match at.text()?.trim() {
        "" => Some(EnvelopeFrom::Own),
        "<>" => Some(EnvelopeFrom::Null),
        text => {
            let address = at.ok(names::address(text))?;
            let refused = address
                .rsplit_once('@')
                .filter(|(local, domain)| smtp.domains.contains(&domain.to_lowercase()) && !smtp.plain.contains(&local.to_lowercase()));
            match refused {
                Some((local, _)) => {
                    at.fail(format_args!("bounces to it would be refused; put '{local}' into smtp.plain, or take this out"))
                }
                None => Some(EnvelopeFrom::Address(address)),
            }
        }
    }
}

fn username(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        Err("is empty or holds control characters".into())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays() {
        let smtp = |host: &str, port, security| Ok(Relay::Smtp { host: host.into(), port, security });
        assert_eq!(relay("smtp://127.0.0.1:25"), smtp("127.0.0.1", 25, Security::None));
        assert_eq!(relay("smtp://mail.example.com/"), smtp("mail.example.com", 25, Security::None));
        assert_eq!(relay("smtp+starttls://mail.example.com"), smtp("mail.example.com", 587, Security::StartTls));
        assert_eq!(relay("smtps://[::1]"), smtp("::1", 465, Security::Tls));
        assert_eq!(relay("file:data/mail"), Ok(Relay::File("data/mail".into())));
        assert_eq!(relay("file:///var/mail"), Ok(Relay::File("/var/mail".into())));
        for bad in ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://u:p@mail.example.com", "file:", "smtp://a/b"] {
            assert!(relay(bad).is_err(), "{bad}");
        }
    }
}

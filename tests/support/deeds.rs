//! What tests of triggers do again and again: bounces of a person, mails of the past, and looking into what came out.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use super::{client::Client, daemon::Daemon, mail_catcher::Caught, mails::Bounce};

/// How a person bounces; `Hard` for unknown users, `Full` for mailboxes over quota, `Busy` for a passing cause.
#[derive(Debug, Clone, Copy)]
pub enum Why {
    Hard,
    Full,
    Busy,
}

impl Why {
    pub fn of<'a>(self, serial: u64, to: &'a str, recipient: &'a str) -> Bounce<'a> {
        match self {
            Why::Hard => Bounce::unknown_user(serial, to, recipient),
            Why::Full => Bounce::mailbox_full(serial, to, recipient),
            Why::Busy => Bounce {
                status: "4.3.0",
                reply: "451 4.3.0 Temporary system problem, try again later",
                ..Bounce::unknown_user(serial, to, recipient)
            },
        }
    }
}

impl Daemon {
    /// One bounce by SMTP; no two with the same serial.
    #[track_caller]
    pub fn bounces(&self, serial: u64, address: &str, why: Why) {
        self.bounces_in(serial, address, why, None);
    }

    #[track_caller]
    pub fn bounces_in(&self, serial: u64, address: &str, why: Why, campaign: Option<&str>) {
        let rcpt = self.verp(address, campaign);
        Client::connect(self.smtp()).bounce(&rcpt, &why.of(serial, &rcpt, address).postfix());
    }

    /// A hard bounce as a file that came in `days` ago.
    pub fn past(&self, serial: u64, address: &str, days: i64) -> PathBuf {
        let rcpt = self.verp(address, None);
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let head = format!("Delivered-To: {rcpt}\r\nReceived: by mx.old.test id {serial}; {}\r\n", at.strftime("%a, %d %b %Y %T +0000"));
        let path = self.setup.dir.path().join(format!("past-{serial}.eml"));
        fs::write(&path, [head.as_bytes(), &Why::Hard.of(serial, &rcpt, address).postfix()].concat()).unwrap();
        path
    }

    pub fn import(&self, paths: &[PathBuf], args: &[&str]) -> Value {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.rows(&[&["import"], args, &paths].concat()).remove(0)
    }

    pub fn tags(&self, address: &str) -> Vec<String> {
        strings(&self.show(address)["tags"])
    }

    /// What a command that must fail says: one line.
    #[track_caller]
    pub fn complaint(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{args:?}: {text}");
        text
    }
}

pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// A form's fields, decoded.
pub fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(body).unwrap().replace('+', " ");
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            (bytes, rest) = match (first, more.get(..2)) {
                (b'%', Some(hex)) => {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
                    (bytes, &more[2..])
                }
                _ => {
                    bytes.push(*first);
                    (bytes, more)
                }
            };
        }
        String::from_utf8(bytes).unwrap()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

/// `webhook-signature` of a body under a secret file's line, as Standard Webhooks say.
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    use hmac::{Hmac, Mac};
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => data_encoding::BASE64.decode(encoded.as_bytes()).unwrap(),
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()))
}

/// A mail's parts, flat: type (with parameters), disposition, decoded content.
pub struct Part {
    pub content_type: String,
    pub head: String,
    pub content: Vec<u8>,
}

impl Part {
    pub fn text(&self) -> String {
        String::from_utf8(self.content.clone()).unwrap().replace("\r\n", "\n")
    }
}

/// All leaves of a mail, decoded by the mail-parser crate.
pub fn parts(mail: &Caught) -> Vec<Part> {
    use mail_parser::{MessageParser, MimeHeaders, PartType};
    let message = MessageParser::default().parse(&mail.data).unwrap();
    let leaves = message.parts.iter().filter(|part| !matches!(part.body, PartType::Multipart(_)));
    leaves
        .map(|part| {
            let of = part
                .content_type()
                .map_or_else(|| "text/plain".to_owned(), |of| format!("{}/{}", of.c_type, of.c_subtype.as_deref().unwrap_or("")));
            let head = mail.data[part.offset_header as usize..part.offset_body as usize].to_vec();
            Part { content_type: of, head: String::from_utf8_lossy(&head).into_owned(), content: part.contents().to_vec() }
        })
        .collect()
}

/// The text of a mail that has one part.
pub fn text(mail: &Caught) -> String {
    parts(mail).first().map(Part::text).unwrap_or_default()
}

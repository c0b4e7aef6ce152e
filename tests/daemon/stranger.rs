//! What a stranger may write: hostile text for every field of a report and of its envelope.

use proptest::prelude::*;

pub const PIECES: &[&str] = &[
    "\r",
    "\n",
    "\0",
    "\r\n ",
    "\r\nBcc: v@victim.test",
    "\r\n\r\n",
    "\t",
    "\u{1b}[2J",
    "\u{1b}]0;x\u{7}",
    "\u{9b}31m",
    "\u{85}",
    "\u{7f}",
    "\u{8}",
    "\u{202e}",
    "\u{200f}",
    "\u{2066}",
    "\u{2028}",
    "\u{feff}",
    "{{ address }}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{#",
    "=",
    "+",
    "-",
    "@",
    "=1+1",
    "@SUM(A1)",
    "+49",
    "\u{ff1d}1",
    "'",
    "\"",
    "\\",
    "\\u001b",
    "<b>",
    "</p><script>",
    "&lt;",
    ",",
    ";",
    "|",
    "%0d%0a",
    "../",
    "?x=",
    "#",
    "--outer",
    "2026-11-23T00:00:00Z ERROR forged",
    "user unknown",
    "550 5.1.1",
    "a",
    "é",
    " ",
];

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..6).prop_map(|pieces| pieces.concat())
}

/// A local part that a return address may stand for, quoted where it must be.
fn local() -> impl Strategy<Value = String> {
    let locals = vec![
        "=1+1",
        "+49",
        "-1",
        "@",
        "{{7*7}}",
        "\u{202e}evil",
        "a\u{200f}b",
        "\"=1+1 x\"",
        "\"a@b\"",
        "\"{{ 7 }}\"",
        "'or'1",
        "#comment",
        "`id`",
        "$(id)",
        "a|b",
        "\u{ff1d}1",
        "%0d%0a",
        "\u{feff}",
        "é",
        "..",
        "-rf",
        "/etc/passwd",
    ];
    prop::sample::select(locals).prop_map(str::to_owned)
}

/// A field's value raw, or in an encoded word, whose content no hop looks at.
fn field() -> impl Strategy<Value = String> {
    (hostile(), any::<bool>()).prop_map(|(text, encoded)| match encoded {
        true => format!("=?utf-8?B?{}?=", data_encoding::BASE64.encode(text.as_bytes())),
        false => text,
    })
}

/// Everything that a stranger writes: fields in their order, and what goes between them.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// As many as [`FIELDS`].
    pub fields: Vec<String>,
    pub local: String,
    pub helo: String,
}

pub const FIELDS: usize = 24;

pub fn stranger() -> impl Strategy<Value = Hostile> {
    let helo = "[a-z=+@{}\u{202e}\u{1b}-]{1,12}";
    (prop::collection::vec(field(), FIELDS), local(), helo).prop_map(|(fields, local, helo)| Hostile { fields, local, helo })
}

impl Hostile {
    pub fn address(&self) -> String {
        format!("{}@example.org", self.local)
    }

    pub fn mail(&self, serial: usize, rcpt: &str) -> Vec<u8> {
        let mut fields = self.fields.iter();
        let mut next = || fields.next().unwrap();
        let address = self.address();
        let mail = format!(
            "From: {} <MAILER-DAEMON@mx.example.net>\r\nTo: {}\r\nSubject: {}\r\nMessage-ID: <{}@mx.example.net>\r\nX-Field: {}\r\n\
             Date: {}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=_{serial}\"\r\n\r\n\
             --=_{serial}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n<{address}>: {}\r\n\r\n\
             --=_{serial}\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; {}\r\nOriginal-Envelope-Id: {}\r\nDSN-Gateway: smtp; {}\r\nReceived-From-MTA: dns; {}\r\nArrival-Date: {}\r\n\r\n\
             Original-Recipient: rfc822; {}\r\nFinal-Recipient: rfc822; {address}\r\nAction: failed {}\r\nStatus: 5.1.1 {}\r\n\
             Remote-MTA: dns; {}\r\nDiagnostic-Code: smtp; 550 5.1.1 {} user unknown {}\r\nLast-Attempt-Date: {}\r\nFinal-Log-ID: {}\r\n\r\n\
             --=_{serial}\r\nContent-Type: message/rfc822\r\n\r\n\
             Return-Path: <{rcpt}>\r\nFrom: {}\r\nTo: {address}\r\nSubject: {}\r\nMessage-ID: <{}@example.com>\r\n\r\nLetter {serial}.\r\n\
             --=_{serial}--\r\n",
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
            next(),
        );
        mail.into_bytes()
    }
}

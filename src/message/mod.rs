//! What a mail says: bytes → [`Report`].
//!
//! Pure and total. Any bytes give a report; what can't be read is simply absent from it. Time and memory are linear in the size of the
//! mail, nesting and the number of parts are counted before anything recursive sees them. Nothing here judges: no status, no
//! configuration, no clock. Should a library panic over a mail, the header alone is reported.

mod arf;
mod charset;
mod dsn;
mod fields;
mod header;
mod mailbox;
mod mdn;
mod media;
mod original;
mod outline;
mod parts;
mod prose;
mod report;
mod returned;
mod separator;
mod text;
mod trace;
mod words;

pub use outline::{PartSeen, Taken, outline};
pub use report::*;
pub use returned::returned;
pub(crate) use text::{cut_at, plain};
pub use trace::{Trace, trace};
pub use words::Words;

use parts::Part;

/// So many octets of a status part are read; a hundred recipients with long diagnostics fit.
const MAX_STATUS: usize = 512 * 1024;

/// A wrapped report is read up to so many octets.
const MAX_WRAPPED: usize = 1024 * 1024;

/// Reads one mail.
pub fn read(raw: &[u8]) -> Report<'_> {
    std::panic::catch_unwind(|| whole(raw, true, &mut |_, _| {}))
        .or_else(|_| std::panic::catch_unwind(|| header_only(raw)))
        .unwrap_or_default()
}

fn header_only(raw: &[u8]) -> Report<'_> {
    let (fields, _) = fields::header_block(raw, 0);
    Report { header: header::read(&fields), ..Report::default() }
}

/// `seen` is told of each part and what it was taken for.
fn whole<'m>(raw: &'m [u8], outermost: bool, seen: &mut dyn FnMut(&Part<'_>, Taken)) -> Report<'m> {
    let (fields, body) = fields::header_block(raw, 0);
    let mut report = Report { header: header::read(&fields), ..Report::default() };
    let parts = parts::split(raw, &fields, body);
    let among = |wanted: fn(&Role) -> bool| parts.iter().any(|part| wanted(&role(part)));
    let standard = among(|role| matches!(role, Role::Status)) && among(|role| matches!(role, Role::Returned));
    let mut reader = Reader { report: &mut report, texts: prose::Texts::default(), returned: None, status_seen: false, standard };
    for part in &parts {
        let before = reader.state();
        reader.part(part);
        seen(part, reader.since(before));
    }
    let Reader { texts, returned, .. } = reader;
    report.original = returned;
    report.original_whole = outermost && returned::find(raw, &parts).is_some();
    texts.finish(&mut report);
    if outermost {
        unwrap_report(&parts, &mut report);
    }
    if report.form == Form::Prose {
        report.form = media::Kind::of(&fields).form().or_else(|| parts.iter().find_map(|part| part.kind.form())).unwrap_or_default();
    }
    report
}

/// Some gateways wrap another MTA's report in a notice of their own that names nobody: then the report inside is the one that counts. What a
/// person forwards, and the original that a real report returns, are never opened.
fn unwrap_report(parts: &[Part<'_>], report: &mut Report<'_>) {
    if report.form != Form::Prose || !report.recipients.is_empty() || !prose::is_daemon(report) {
        return;
    }
    let Some(wrapped) = parts.iter().find(|part| part.kind.mime == "message/rfc822") else { return };
    let content = wrapped.bytes(MAX_WRAPPED);
    let kind = media::Kind::of(&fields::header_block(&content, 0).0);
    if kind.mime != "multipart/report" || kind.report_type.as_deref() != Some("delivery-status") {
        return;
    }
    let inner = whole(&content, false, &mut |_, _| {});
    if inner.form == Form::Dsn && !inner.recipients.is_empty() && prose::is_daemon(&inner) {
        report.form = inner.form;
        report.reporting_mta = inner.reporting_mta;
        report.original_envelope_id = inner.original_envelope_id;
        report.recipients = inner.recipients;
        report.original = inner.original.map(Original::into_owned);
    }
}

/// Takes the parts in their order.
struct Reader<'r, 'm> {
    report: &'r mut Report<'m>,
    texts: prose::Texts<'m>,
    returned: Option<Original<'m>>,
    /// A status or returned part was seen: text after it is not the human-readable one.
    status_seen: bool,
    /// By their types the parts are those of a whole delivery status (RFC 3462): then the text before it is what it claims to be.
    standard: bool,
}

/// What a part is, by its type, else by its look.
enum Role {
    Status,
    Feedback,
    Disposition,
    Returned,
    Text,
    Unknown,
}

fn role(part: &Part<'_>) -> Role {
    match part.kind.mime.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => Role::Status,
        "message/feedback-report" => Role::Feedback,
        "message/disposition-notification" | "message/global-disposition-notification" => Role::Disposition,
        "message/rfc822"
        | "message/global"
        | "message/partial"
        | "text/rfc822"
        | "text/rfc822-headers"
        | "text/rfc822-header"
        | "message/global-headers"
        | "message/rfc822-headers" => Role::Returned,
        "" | "text" | "text/plain" | "text/html" => Role::Text,
        mime if mime.starts_with("multipart") => Role::Text,
        _ => Role::Unknown,
    }
}

/// Whether a part of an unknown type begins as a report's machine part does.
fn begins_with_fields(part: &Part<'_>) -> bool {
    let head = part.bytes(256);
    let head = head.trim_ascii_start();
    ["reporting-mta:", "final-recipient:", "original-recipient:", "original-envelope-id:", "feedback-type:"]
        .iter()
        .any(|field| head.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field.as_bytes())))
}

impl<'m> Reader<'_, 'm> {
    fn part(&mut self, part: &Part<'m>) {
        match role(part) {
            Role::Status => self.status(part),
            Role::Feedback => self.feedback(part),
            Role::Disposition => self.disposition(part),
            Role::Returned => self.returned(part),
            Role::Text | Role::Unknown => self.by_look(part),
        }
    }

    /// The fields of a status part, also those that the header took because the blank line before them was lost.
    fn status_text(part: &Part<'_>) -> String {
        let lost = part.header.0.iter().filter(|field| !field.begins("content-"));
        let mut text: String = lost.map(|field| format!("{}: {}\n", field.name(), field.value())).collect();
        text.push_str(&part.text(MAX_STATUS));
        text
    }

    fn status(&mut self, part: &Part<'_>) {
        self.status_seen = true;
        dsn::read(&Self::status_text(part), self.report);
        self.form(Form::Dsn);
    }

    fn feedback(&mut self, part: &Part<'_>) {
        self.status_seen = true;
        if self.report.feedback.is_none() {
            self.report.feedback = Some(arf::read(&Self::status_text(part)));
        }
        self.form(Form::Arf);
    }

    fn disposition(&mut self, part: &Part<'_>) {
        self.status_seen = true;
        if self.report.disposition.is_none() {
            self.report.disposition = Some(mdn::read(&Self::status_text(part)));
        }
        self.form(Form::Mdn);
    }

    fn returned(&mut self, part: &Part<'m>) {
        self.status_seen = true;
        if self.returned.is_none() {
            let lost = || original::in_part_header(&part.header).filter(|_| !part.whole);
            self.returned = original::read_part(part.bytes(original::MAX_OCTETS)).or_else(lost);
        }
    }

    /// The first form that was found stands.
    fn form(&mut self, form: Form) {
        if self.report.form == Form::Prose {
            self.report.form = form;
        }
    }

    /// Parts whose type says nothing, or the wrong thing.
    fn by_look(&mut self, part: &Part<'m>) {
        let kind = &part.kind;
        let is_text = kind.is_text() || kind.is_html() || kind.is_multipart();
        if !is_text && kind.mime != "application/octet-stream" && !begins_with_fields(part) {
            return;
        }
        if self.standard && !self.status_seen && !kind.attachment && (kind.is_html() || kind.mime == "text/plain") {
            return self.texts.wait(part);
        }
        if kind.is_html() && self.texts.have(part) {
            return;
        }
        let text = part.text(prose::MAX_TEXT);
        if dsn::looks_like(&text) {
            self.status_seen = true;
            dsn::read(&text, self.report);
            self.form(Form::Dsn);
        } else if text.trim_start().get(..14).is_some_and(|head| head.eq_ignore_ascii_case("feedback-type:")) {
            self.feedback(part);
        } else if let Some(original) = self.returned_by_look(part, &text) {
            self.status_seen = true;
            self.returned.get_or_insert(original);
        } else if part.kind.attachment && !self.status_seen && is_text {
            self.texts.attach(text);
        } else if is_text && !self.status_seen {
            self.texts.add(part, text);
        }
    }

    /// An original under a wrong type: attached or after the status, or with its header in the place of the part's.
    fn returned_by_look(&self, part: &Part<'m>, text: &str) -> Option<Original<'m>> {
        if !part.whole
            && let Some(original) = original::in_part_header(&part.header)
        {
            return Some(original);
        }
        let expected = self.status_seen || part.kind.attachment || !part.kind.is_text();
        (expected && separator::is_mail_header(text)).then(|| original::read(text.as_bytes()).map(Original::into_owned)).flatten()
    }
}

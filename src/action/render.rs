//! Templates: minijinja source and facts → text escaped for where it goes. Pure.
//!
//! What can go wrong is an [`Error`], never a panic and never an endless loop: output, steps and nesting are bounded. A name that nobody
//! knows is an error already when the configuration is read, see [`check_source`].

use std::{
    collections::BTreeSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, value::ValueKind};

use super::{
    clean,
    context::{Context, NAMES},
    report,
};
use crate::address;

/// The longest text that a template may give, bytes.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// How far one rendering may go.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes.
    output: usize,
    /// minijinja's instructions.
    fuel: u64,
}

/// For the facts of one job.
const FACTS: Limits = Limits { output: MAX_OUTPUT, fuel: 200_000 };

/// For the people of a report: [`report::SHOWN`] of them with every column.
const REPORT: Limits = Limits { output: 8 * MAX_OUTPUT, fuel: 4_000_000 };

/// For a page of our own, into which what was rendered before is put.
const PAGE: Limits = Limits { output: 32 * MAX_OUTPUT, fuel: 200_000 };

/// Where a text goes, which decides how values are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A mail's header field: one line of at most [`clean::SUBJECT_CHARS`] characters.
    Header,
    /// The recipients of a mail: a value is one address or a part of it, never a list.
    Address,
    /// A mail's text.
    Text,
    /// A mail's HTML: values are escaped, and no filter can undo that.
    Html,
    /// A form's value or a string in JSON; the encoder that follows escapes it.
    Value,
    /// A URL: values are percent-encoded, so that they can change neither host nor path structure.
    Url,
    /// An HTTP header's value: one line.
    HttpHeader,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }
}

/// Renders one source.
pub fn render(kind: Kind, source: &str, context: &Context) -> Result<String, Error> {
    render_within(FACTS, kind, source, context)
}

/// Renders one source over the people of a report, see [`report::NAMES`].
pub fn render_report(kind: Kind, source: &str, context: &Context) -> Result<String, Error> {
    render_within(REPORT, kind, source, context)
}

/// Renders an HTML page of our own.
pub(super) fn render_page(source: &str, context: &Context) -> Result<String, Error> {
    run(PAGE, Kind::Html, source, context)
}

fn render_within(limits: Limits, kind: Kind, source: &str, context: &Context) -> Result<String, Error> {
    let raw = if source.contains('{') { run(limits, kind, source, context)? } else { source.to_owned() };
    let text = match kind {
        Kind::Header => clean::cut(&raw, clean::SUBJECT_CHARS),
        Kind::Address | Kind::HttpHeader => clean::line(&raw),
        Kind::Text | Kind::Html | Kind::Value => clean::text(&raw),
        Kind::Url => super::url::check_rendered(source, raw.trim()).map_err(Error)?,
    };
    Ok(text)
}

/// Renders every string of a JSON text. Keys and all else stay as they are; a value can't break out of its string.
pub fn render_json(source: &str, context: &Context) -> Result<String, Error> {
    let mut tree = parse_json(source)?;
    let mut room = MAX_OUTPUT;
    map_strings(&mut tree, &mut |text| {
        let rendered = render(Kind::Value, text, context)?;
        room = room.checked_sub(rendered.len()).ok_or_else(|| too_long(MAX_OUTPUT))?;
        *text = rendered;
        Ok(())
    })?;
    Ok(tree.to_string())
}

/// Tries a source out as the configuration is read: syntax, names, filters, and a rendering with and without optional facts.
pub fn check_source(kind: Kind, source: &str) -> Result<(), String> {
    if kind == Kind::Url {
        super::url::check_source(source)?;
    }
    check(FACTS, kind, source, &NAMES, [Context::sample, Context::bare])
}

/// [`check_source`] for the subject, text or HTML of a report, which have names of their own: [`report::NAMES`].
pub fn check_report_source(kind: Kind, source: &str) -> Result<(), String> {
    check(REPORT, kind, source, &report::NAMES, [report::sample, report::bare])
}

/// The facts that a source names, in order. Of one that is no template, none.
pub fn names(source: &str) -> BTreeSet<String> {
    let environment = environment(FACTS, Kind::Text);
    let template = environment.template_from_named_str("template", source);
    template.map(|template| template.undeclared_variables(false).into_iter().collect()).unwrap_or_default()
}

fn check(limits: Limits, kind: Kind, source: &str, names: &[&str], [sample, bare]: [fn() -> Context; 2]) -> Result<(), String> {
    if source.len() > MAX_OUTPUT {
        return Err(too_long(MAX_OUTPUT).0);
    }
    let render = |context: &Context| render_within(limits, kind, source, context).map(drop).map_err(|error| error.0);
    if !source.contains('{') {
        return render(&sample());
    }
    let environment = environment(limits, kind);
    let template = environment.template_from_named_str("template", source).map_err(|error| describe(&error).0)?;
    let mut unknown: Vec<String> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !names.contains(&name.as_str()) && environment.globals().all(|(global, _)| global != name))
        .collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        let near = names.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        return Err(format!("'{name}' is not known here; did you mean '{}'?", near.copied().unwrap_or_default()));
    }
    render(&sample())?;
    render(&bare()).map_err(|error| format!("{error} (tried with a mail that tells nothing)"))
}

fn parse_json(source: &str) -> Result<serde_json::Value, Error> {
    serde_json::from_str(source).map_err(|error| Error(format!("this is not JSON: {error}")))
}

fn map_strings(tree: &mut serde_json::Value, map: &mut dyn FnMut(&mut String) -> Result<(), Error>) -> Result<(), Error> {
    match tree {
        serde_json::Value::String(text) => map(text),
        serde_json::Value::Array(items) => items.iter_mut().try_for_each(|item| map_strings(item, map)),
        serde_json::Value::Object(fields) => fields.values_mut().try_for_each(|field| map_strings(field, map)),
        _ => Ok(()),
    }
}

fn run(limits: Limits, kind: Kind, source: &str, context: &Context) -> Result<String, Error> {
    let mut out = Bounded { bytes: Vec::new(), most: limits.output, full: false };
    let result = catch_unwind(AssertUnwindSafe(|| {
        let environment = environment(limits, kind);
        let template = environment.template_from_named_str("template", source)?;
        template.render_captured_to(&context.values, &mut out).map(drop)
    }));
    match result {
        _ if out.full => Err(too_long(limits.output)),
        Ok(Ok(())) => String::from_utf8(out.bytes).map_err(|_| Error::new("the template's output is not UTF-8")),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err(Error::new("the template could not be rendered")),
    }
}

fn environment(limits: Limits, kind: Kind) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.set_fuel(Some(limits.fuel));
    environment.set_recursion_limit(100);
    let escape = if kind == Kind::Html { AutoEscape::Html } else { AutoEscape::None };
    environment.set_auto_escape_callback(move |_| escape);
    // These would let a stranger's bytes through unescaped.
    environment.remove_filter("safe");
    if kind == Kind::Html {
        environment.remove_filter("tojson");
    }
    if kind == Kind::Url {
        // Every value is encoded anyway; people write the filter nonetheless.
        environment.add_filter("urlencode", |value: Value| value);
    }
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.set_formatter(move |out, state, value| format(kind, out, state, value));
    environment
}

/// An absent fact is the empty text, and `default` is written for just that.
fn default(value: &Value, other: Option<Value>) -> Value {
    if value.is_undefined() || value.is_none() || value.as_str() == Some("") {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    }
}

fn format(kind: Kind, out: &mut Output<'_>, _state: &State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    let text = plain(value);
    let written = match kind {
        Kind::Header | Kind::HttpHeader | Kind::Text | Kind::Value => out.write_str(&text),
        Kind::Html if value.is_safe() => out.write_str(&text),
        Kind::Html => write!(out, "{}", minijinja::HtmlEscape(&text)),
        Kind::Url => out.write_str(&super::url::encode(&text)),
        Kind::Address if is_address_part(&text) => out.write_str(&text),
        Kind::Address => {
            return Err(minijinja::Error::new(
                minijinja::ErrorKind::InvalidOperation,
                format!("'{}' can't stand in a mail address", clean::cut(&text, 80)),
            ));
        }
    };
    Ok(written?)
}

/// A value as text; true, false, lists and maps as JSON writes them.
fn plain(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool | ValueKind::Seq | ValueKind::Map => serde_json::to_string(value).unwrap_or_else(|_| value.to_string()),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// Whether a value can't be more than one address, or else a harmless part of one.
fn is_address_part(text: &str) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(c);
    text.chars().all(harmless) || address::split(text).is_some_and(|(local, _)| !local.contains('\\'))
}

fn describe(error: &minijinja::Error) -> Error {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let what = match error.kind() {
        minijinja::ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    Error(format!("{what}{line}"))
}

fn too_long(most: usize) -> Error {
    Error(format!("the template gives more than {} KiB", most / 1024))
}

struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + buffer.len() > self.most {
            self.full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

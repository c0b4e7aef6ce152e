//! Text → [`Config`]: the sections one after the other, then what they need of each other.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::tz::TimeZone;
use toml::de::DeTable;

use super::{
    Config, Errors, Smtp,
    files::Files,
    guard, mail, names,
    reader::{Reader, Table},
    report, rest, rule, sequence, smtp, step, templates, trigger, units, unused, verp,
};
use crate::{classify::OperatorRules, ledger::Rules};

/// A path of a UNIX socket is not longer, bytes (`sun_path`, less its end).
const SOCKET_PATH_MAX: usize = 107;

impl Config {
    /// Reads and checks a file and those that it names. What is wrong is told all at once. A path that begins with `$CREDENTIALS_DIRECTORY`
    /// takes it from the environment.
    pub fn load(path: &Path) -> Result<Config, Errors> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Config::read(&text(path)?, path, credentials)
    }

    /// `file` is for messages and is where relative paths begin; `credentials` is what systemd has in its variable of that name.
    pub fn read(text: &str, file: &Path, credentials: Option<PathBuf>) -> Result<Config, Errors> {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        walk(text, file, |top| sections(top, &Files { folder, credentials }))
    }
}

/// Only the operator's rules of a configuration, without the secrets that it names: for who may read the one and not the others.
pub fn operator_rules(path: &Path) -> Result<Arc<OperatorRules>, Errors> {
    walk(&text(path)?, path, |top| Some(rule::read(&top)))
}

fn text(path: &Path) -> Result<String, Errors> {
    fs::read_to_string(path).map_err(|error| {
        let reader = Reader::new("");
        reader.fail(1, "", format_args!("can't be read: {error}; name another file with --config"));
        reader.errors(path)
    })
}

fn walk<T>(text: &str, file: &Path, read: impl FnOnce(Table<'_>) -> Option<T>) -> Result<T, Errors> {
    let reader = Reader::new(text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.fail(reader.line(error.span().map_or(0, |span| span.start)), "", error.message());
    }
    if reader.failed() {
        return Err(reader.errors(file));
    }
    match read(Table::top(&reader, tree.get_ref())) {
        Some(read) if !reader.failed() => Ok(read),
        _ => Err(reader.errors(file)),
    }
}

fn sections(top: Table<'_>, files: &Files) -> Option<Config> {
    let hostname = top.need("hostname", "\"mx.returns.example.com\"").and_then(|at| at.parsed(names::domain));
    let data_dir = top.need("data_dir", "\"/var/lib/bounced\"").and_then(|at| at.parsed(path));
    let control_socket = top.get("control_socket").and_then(|at| at.parsed(path));
    let timezone = top.or("timezone", TimeZone::UTC, timezone);
    let min_free = min_free(&top);
    let smtp = top.get("smtp");
    if smtp.is_none() {
        top.fail("smtp", "is missing; write a section [smtp] with listen and domains");
    }
    let smtp = smtp.and_then(|at| smtp::read(at.table()?, files));
    let domains = smtp.as_ref().map(|smtp| smtp.domains.as_slice()).unwrap_or_default();
    let verp = verp::read(top.table("verp"), files, domains);
    let has_mail = top.get("mail").is_some();
    let mail = top.table("mail").zip(smtp.as_ref()).and_then(|(table, smtp)| mail::read(table, files, smtp));
    let templates = templates::read(top.table("templates"), files);
    let (reset_after, reset_on_delivered) = rest::count(top.table("count"));
    let keep = rest::keep(top.table("keep"));
    let means = step::Means {
        files,
        templates: &templates,
        smtp: smtp.as_ref(),
        has_mail,
        by_id: verp.as_ref().is_some_and(|verp| verp.codec.by_id()),
        keep: &keep,
        sequences: &sequence::names(&top.list("sequence")),
        reports: &sequence::names(&top.list("report")),
        gathered: Default::default(),
    };
    let rules = Rules {
        triggers: trigger::read(&top.list("trigger"), &means),
        reset_after,
        reset_on_delivered,
        sequences: sequence::read(&top.list("sequence"), &means),
        reports: report::read(&top.list("report"), &means),
        guard: guard::read(top.table("guard")),
        timezone: timezone.clone(),
    };
    if let Some((one, other)) = rules.clash().filter(|(one, other)| one.name != other.name) {
        top.fail("trigger", format_args!("'{}' and '{}' would give their jobs one id by chance; rename one", one.name, other.name));
    }
    unused::warn(&top, &rules);
    let operator_rules = rule::read(&top);
    let alerts = rest::alerts(top.table("alerts"), smtp.as_ref(), has_mail);
    let metrics = rest::metrics(top.table("metrics"));
    let control_socket = control_socket.or_else(|| data_dir.as_ref().map(|folder| folder.join("control.sock")));
    let too_long = control_socket.as_ref().is_some_and(|path| path.as_os_str().len() > SOCKET_PATH_MAX);
    if too_long {
        top.fail("control_socket", format_args!("is longer than the {SOCKET_PATH_MAX} bytes of a socket's path; set a shorter one"));
    }
    needs_mail(&smtp, has_mail, &top);
    let warnings = top.warnings();
    top.close();
    Some(Config {
        hostname: hostname?,
        data_dir: data_dir?,
        control_socket: control_socket?,
        timezone,
        min_free,
        smtp: smtp?,
        verp: verp?,
        mail,
        rules: Arc::new(rules),
        operator_rules,
        templates,
        alerts,
        keep,
        metrics,
        warnings,
    })
}

fn needs_mail(smtp: &Option<Smtp>, has_mail: bool, top: &Table<'_>) {
    if !has_mail && smtp.as_ref().is_some_and(|smtp| smtp.postmaster.is_some()) {
        top.fail("smtp", "postmaster passes mail on; write a [mail] section with relay and from, or take it out");
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.trim().is_empty() { Err("is empty; name a path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn timezone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| format!("'{text}' is no time zone known here; write it as \"Europe/Berlin\" or \"UTC\""))
}

fn min_free(top: &Table<'_>) -> u64 {
    let Some(at) = top.get("min_free") else { return 256 << 20 };
    let bytes = if at.is_text() { at.parsed(units::size) } else { at.integer(0..=u64::MAX) };
    bytes.unwrap_or(256 << 20)
}

//! `bounced explain`: one mail, step by step: what it is made of, what sort it is and why, whom it names, what was weighed, what decided, and
//! where in the mail the words stand.
//!
//! A mail in a file is told anew, by the tables and, where a configuration can be read, the operator's rules. Of an event the stored verdict
//! is shown, and the steps where its raw mail is still kept. Nothing a stranger wrote reaches the terminal unescaped.

mod event;
mod mark;
mod print;
mod steps;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use serde_json::Value;

use self::{print::Printer, steps::Explanation};
use super::{
    classify::verp_address,
    ended::{Failed, finish},
    mails,
    output::json_line,
};
use crate::{
    classify::{Envelope, OperatorRules, explain},
    config, message,
};

/// Show step by step why a mail was told as it was
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bounced explain bounce.eml\n  bounced explain bounces.mbox#3     the third of an mbox, as `bounced classify` names it\n  \
                  bounced explain 4711               an event of `bounced events`"
)]
pub struct ExplainArgs {
    /// A file, - for standard input, or the id of an event
    #[arg(value_name = "FILE|EVENT")]
    what: String,
    /// The envelope recipient of the file, a VERP address in the long form: whom it names is the truth
    #[arg(long, value_name = "ADDR")]
    verp_rcpt: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// `config` is where the configuration lies, `given` whether the caller said so.
pub fn run(config: &Path, given: bool, args: &ExplainArgs) -> ExitCode {
    finish(show(config, given, args))
}

fn show(config: &Path, given: bool, args: &ExplainArgs) -> Result<(), Failed> {
    let event = args.what.parse::<u64>().ok().filter(|_| !Path::new(&args.what).exists());
    let (stored, explanation) = match event {
        Some(id) => event::explain(config, id)?,
        None => (None, Some(of_file(config, given, args)?)),
    };
    let mut out = io::stdout().lock();
    if args.json {
        return Ok(json_line(&mut out, &object(stored, explanation)?)?);
    }
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut printer = Printer::new(&mut out, colour);
    if let Some(stored) = &stored {
        printer.event(stored)?;
    }
    if let Some(explanation) = &explanation {
        printer.explanation(explanation)?;
    }
    Ok(out.flush()?)
}

/// The steps, with the stored event beside them where there is one.
fn object(stored: Option<Value>, explanation: Option<Explanation>) -> Result<Value, Failed> {
    let mut object = match explanation {
        Some(explanation) => serde_json::to_value(explanation).map_err(io::Error::from)?,
        None => Value::Object(serde_json::Map::new()),
    };
    if let (Value::Object(object), Some(stored)) = (&mut object, stored) {
        object.insert("event".to_owned(), stored);
    }
    Ok(object)
}

fn of_file(config: &Path, given: bool, args: &ExplainArgs) -> Result<Explanation, Failed> {
    let verp = match args.verp_rcpt.as_deref() {
        None => None,
        Some(rcpt) => Some(verp_address(rcpt).ok_or_else(|| {
            Failed::Because(format!(
                "no address stands in --verp-rcpt '{rcpt}'; give one like b+campaign+sig+alice=example.org@returns.example.com"
            ))
        })?),
    };
    let rules = rules(config, given)?;
    let mail = mail(&args.what)?;
    let return_path = message::read(&mail.raw).header.return_path;
    let envelope = Envelope { reverse_path: return_path.as_deref(), verp_address: verp.as_deref() };
    Ok(explanation(&mail.source, &mail.raw, &envelope, &rules))
}

/// The operator's rules: a configuration that was named must be good; the usual one is used where it can be read.
fn rules(config: &Path, given: bool) -> Result<Arc<OperatorRules>, Failed> {
    match config::operator_rules(config) {
        Ok(rules) => Ok(rules),
        Err(errors) if given => Err(Failed::Config(errors)),
        Err(_) => Ok(Arc::default()),
    }
}

fn explanation(source: &str, raw: &[u8], envelope: &Envelope<'_>, rules: &OperatorRules) -> Explanation {
    let (report, parts) = message::outline(raw);
    let trace = explain(rules, &report, envelope);
    Explanation::new(source, raw, &report, &parts, trace, envelope.verp_address)
}

/// The one mail that `what` names: a file's, or, as `bounced classify` writes it, the n-th of an mbox (`box#3`).
fn mail(what: &str) -> Result<mails::Mail, Failed> {
    let number = what.rsplit_once('#').filter(|(_, number)| number.parse::<usize>().is_ok());
    let path = match number {
        Some((file, _)) if !Path::new(what).exists() => file,
        _ => what,
    };
    if Path::new(path).is_dir() {
        return Err(Failed::Because(format!("{path} is a folder; name one mail in it, `bounced classify {path}` lists them")));
    }
    let (mut found, mut more) = (None, false);
    mails::walk(&[PathBuf::from(path)], &mut |item| {
        if matches!(&item, Ok(mail) if path != what && mail.source != what) {
            return true;
        }
        more = found.is_some();
        found.get_or_insert(item);
        !more && path == what
    });
    if more {
        return Err(Failed::Because(format!("{path} holds several mails; name one as {path}#1")));
    }
    let found = found.ok_or_else(|| Failed::Because(format!("{path} has no such mail; `bounced classify {path}` lists them")))?;
    found.map_err(|error| Failed::Because(error.to_string()))
}

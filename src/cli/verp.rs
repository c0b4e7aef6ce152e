//! `bounced verp encode` and `decode`: the Return-Path for one recipient, and back.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use jiff::{Timestamp, ToSpan, civil::date};
use serde_json::{Value, json};

use super::output::{Output, cell, printable};
use crate::{
    address,
    config::Config,
    verp::{Codec, Decoded, Form, Payload, day_of},
};

/// The Return-Path for one recipient, and back
#[derive(Debug, Args)]
#[command(after_help = "Examples:  bounced verp encode alice@example.org --campaign spring\n           \
                        bounced verp decode b+spring+…+alice=example.org@returns.example.com")]
pub struct VerpArgs {
    #[command(subcommand)]
    command: VerpCommand,
}

#[derive(Debug, Subcommand)]
enum VerpCommand {
    /// Print the envelope sender for mail to ADDRESS
    #[command(after_help = "Example:  bounced verp encode alice@example.org --campaign spring")]
    Encode {
        address: String,
        /// Letters, digits and . _ -, at most 32
        #[arg(long)]
        campaign: Option<String>,
        /// Your own subscriber id, where verp.pattern has {id}; it is lowercased
        #[arg(long)]
        id: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Tell what a return address says, and whether it is genuine
    #[command(after_help = "Example:  bounced verp decode b+spring+…+alice=example.org@returns.example.com")]
    Decode {
        rcpt: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

enum Failed {
    /// Exit code 1.
    Work(String),
    /// Exit code 2.
    Config(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Work(error.to_string())
    }
}

pub fn run(config: &Path, args: &VerpArgs) -> ExitCode {
    let (code, what) = match verp(config, args) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Work(what)) => (1, what),
        Err(Failed::Config(what)) => (2, what),
    };
    // A closed pipe leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{what}");
    ExitCode::from(code)
}

fn verp(file: &Path, args: &VerpArgs) -> Result<(), Failed> {
    let config = Config::load(file).map_err(|errors| Failed::Config(errors.to_string()))?;
    let codec = &*config.verp.codec;
    let today = day_of(Timestamp::now());
    match &args.command {
        VerpCommand::Encode { address, campaign, id, json } => {
            let rcpt = codec.encode(address, campaign.as_deref(), id.as_deref(), today);
            let rcpt = rcpt.map_err(|error| Failed::Work(error.to_string()))?;
            let mut out = Output::new(*json);
            if out.json() {
                let row = json!({ "address": address::normal(address), "campaign": campaign, "id": id, "rcpt": rcpt });
                out.object(&row)?;
            } else {
                out.line(&rcpt)?;
            }
            Ok(out.flush()?)
        }
        VerpCommand::Decode { rcpt, json } => {
            let row = decode(codec, &config.smtp.domains, rcpt, today).map_err(Failed::Work)?;
            let mut out = Output::new(*json);
            if out.json() {
                out.object(&row)?
            } else {
                table(&mut out, &row)?
            }
            Ok(out.flush()?)
        }
    }
}

/// Days since 1970-01-01.
fn decode(codec: &Codec, domains: &[String], rcpt: &str, today: i32) -> Result<Value, String> {
    let bare = rcpt.trim().trim_start_matches('<').trim_end_matches('>');
    let (local, domain) = bare.rsplit_once('@').ok_or_else(|| format!("'{}' has no @; give the whole address", printable(rcpt)))?;
    if !domains.contains(&domain.to_lowercase()) {
        return Err(format!("'{}' is none of smtp.domains: {}", printable(domain), domains.join(", ")));
    }
    let decoded = codec.decode(local, domain, today).map_err(|refusal| format!("{}: {refusal}", printable(bare)))?;
    Ok(row(bare, &decoded))
}

fn row(rcpt: &str, decoded: &Decoded) -> Value {
    let form = match decoded.form {
        Form::Long => "long",
        Form::Short => "short",
        Form::Own => "own",
    };
    let (mut address, mut hash, mut id, mut job) = (None, None, None, None);
    match &decoded.payload {
        Payload::Address(text) => address = Some(text.clone()),
        Payload::Hash(key) => hash = Some(key.to_string()),
        Payload::Id(text) => id = Some(text.clone()),
        Payload::Own(text) => job = Some(text.clone()),
    }
    let day = decoded.day.and_then(|day| date(1970, 1, 1).checked_add(day.days()).ok()).map(|day| day.to_string());
    json!({
        "rcpt": rcpt, "form": form, "address": address, "hash": hash, "id": id, "job": job, "campaign": decoded.campaign, "day": day,
        "signed": decoded.signed, "expired": decoded.expired,
    })
}

fn table(out: &mut Output, row: &Value) -> io::Result<()> {
    for key in ["form", "address", "hash", "id", "job", "campaign", "day", "signed", "expired"] {
        let text = cell(&row[key]);
        if !text.is_empty() {
            out.line(&format!("{key:<9} {}", printable(&text)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verp::{Pattern, Spec};

    fn codec() -> Codec {
        Codec::new(Spec {
            pattern: Pattern::parse("b+{campaign}+{sig}+{local}={domain}").unwrap(),
            short: None,
            private: false,
            secrets: vec![b"correct horse battery staple".to_vec()],
            hash_key: None,
            domains: vec!["returns.test".into()],
            max_age_days: 60,
            require_signature: true,
        })
        .unwrap()
    }

    #[test]
    fn a_genuine_address_tells_all_it_says() {
        let (codec, domains) = (codec(), ["returns.test".to_owned()]);
        let rcpt = codec.encode("alice@example.org", Some("spring"), None, 20_780).unwrap();
        let row = decode(&codec, &domains, &format!("<{rcpt}>"), 20_900).unwrap();
        assert_eq!(
            row,
            json!({
                "rcpt": rcpt, "form": "long", "address": "alice@example.org", "hash": null, "id": null, "job": null,
                "campaign": "spring", "day": "2026-11-23", "signed": true, "expired": true,
            })
        );
    }

    #[test]
    fn what_is_not_genuine_says_why() {
        let (codec, domains) = (codec(), ["returns.test".to_owned()]);
        let error = |rcpt| decode(&codec, &domains, rcpt, 20_780).unwrap_err();
        assert!(error("alice").contains("no @"));
        assert!(error("alice@example.org").contains("smtp.domains"));
        assert!(error("alice@returns.test").contains("not a return address of ours"));
        assert!(error("b+-+aaaaaaaaaaaaa+alice=example.org@returns.test").contains("does not verify"));
    }
}

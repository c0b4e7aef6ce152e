//! `bounced set`, `tag`, `untag`, `reset`: by hand, what triggers do.

use std::{path::Path, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{
    ask,
    ended::{Failed, finish},
    output::Output,
    show::person,
};
use crate::control::{HandRequest, Request};

/// Set fields of one person; suppressed=true or false is the suppression
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced set alice@example.org optout=true note=\"moved away\" suppressed=true\n\n\
    true, false and whole numbers are kept as such, all else as text.")]
pub struct SetArgs {
    address: String,
    #[arg(required = true, value_name = "FIELD=VALUE", value_parser = field)]
    fields: Vec<(String, Value)>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Tag one person
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced tag alice@example.org vip")]
pub struct TagArgs {
    address: String,
    tag: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Take a tag from one person
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced untag alice@example.org third-strike")]
pub struct UntagArgs {
    address: String,
    tag: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Clear one person's counts and what fired
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced reset alice@example.org\n          bounced reset alice@example.org --status 'soft-bounce-*'\n\n\
    Tags, fields, suppression and sequences stay.")]
pub struct ResetArgs {
    address: String,
    /// Only this status, or those that begin so: soft-bounce-*
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn set(config: &Path, args: &SetArgs) -> ExitCode {
    finish(act(config, &args.address, HandRequest::Set { fields: args.fields.clone() }, args.json))
}

pub fn tag(config: &Path, args: &TagArgs) -> ExitCode {
    finish(act(config, &args.address, HandRequest::Tag { tag: args.tag.clone() }, args.json))
}

pub fn untag(config: &Path, args: &UntagArgs) -> ExitCode {
    finish(act(config, &args.address, HandRequest::Untag { tag: args.tag.clone() }, args.json))
}

pub fn reset(config: &Path, args: &ResetArgs) -> ExitCode {
    finish(act(config, &args.address, HandRequest::Reset { status: args.status.clone() }, args.json))
}

fn act(config: &Path, address: &str, act: HandRequest, json: bool) -> Result<(), Failed> {
    let mut out = Output::new(json);
    let request = Request::Hand { address: address.to_owned(), act };
    ask::ask(config, &request, &mut |row| if out.json() { out.object(&row) } else { person(&mut out, &row) })?;
    Ok(out.flush()?)
}

fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as FIELD=VALUE")?;
    let value = match value {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_as_people_write_them() {
        assert_eq!(field("optout=true"), Ok(("optout".into(), Value::Bool(true))));
        assert_eq!(field("tries=3"), Ok(("tries".into(), Value::from(3))));
        assert_eq!(field("email="), Ok(("email".into(), Value::from(""))));
        assert_eq!(field("a=b=c"), Ok(("a".into(), Value::from("b=c"))));
        assert!(field("optout").is_err());
    }
}

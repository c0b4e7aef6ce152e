//! `[verp]`: patterns, secrets and the key that people are counted under.

use std::sync::Arc;

use super::{
    Verp,
    files::Files,
    reader::{At, Table},
    status, units,
};
use crate::verp::{Codec, Pattern, Spec};

const SECRET_MIN: usize = 16;
/// The day stamp wraps after 15 bits; ages must stay well below half of that.
const MAX_AGE_DAYS: u64 = 10_000;

pub fn read(table: Option<Table<'_>>, files: &Files, domains: &[String]) -> Option<Verp> {
    let Some(table) = table else { return build(spec(None, None, domains), Vec::new(), |_, _| ()) };
    let secrets = table.get("secret_file").map(|at| files.secrets(&at, SECRET_MIN));
    let hash_key = table.get("hash_key_file").map(|at| hash_key(&at, files));
    let default = spec(secrets.clone().flatten(), hash_key.clone().flatten(), domains);
    let pattern = table.get("pattern").map(|at| parse(&at));
    let short = table.get("short").map(|at| parse(&at));
    let signing = secrets.is_some();
    let spec = default.map(|default| Spec {
        pattern: pattern.clone().flatten().unwrap_or(default.pattern),
        short: short.clone().flatten().or(default.short),
        private: table.boolean("private", false),
        max_age_days: max_age(&table),
        require_signature: table.boolean("require_signature", signing),
        ..default
    });
    let may_fire = table.list("unsigned_may_fire").iter().flat_map(status::one).collect();
    // What couldn't be read is said already, and says nothing about how the rest goes together.
    let unread = [secrets.is_some_and(|it| it.is_none()), hash_key.is_some_and(|it| it.is_none())];
    let unread = unread.contains(&true) || pattern.is_some_and(|it| it.is_none()) || short.is_some_and(|it| it.is_none());
    let verp = if unread { None } else { build(spec, may_fire, |key, what| table.fail(key, what)) };
    table.close();
    verp
}

fn build(spec: Option<Spec>, unsigned_may_fire: Vec<crate::taxonomy::Status>, fail: impl Fn(&str, &str)) -> Option<Verp> {
    let spec = spec?;
    let require_signature = spec.require_signature;
    let codec = Codec::new(spec).map_err(|error| fail(error.key, error.what)).ok()?;
    Some(Verp { codec: Arc::new(codec), require_signature, unsigned_may_fire })
}

/// What holds where nothing is written.
fn spec(secrets: Option<Vec<Vec<u8>>>, hash_key: Option<Vec<u8>>, domains: &[String]) -> Option<Spec> {
    let signing = secrets.is_some();
    Some(Spec {
        pattern: Pattern::parse("b+{campaign}+{sig}+{local}={domain}").ok()?,
        short: Some(Pattern::parse("h+{campaign}+{sig}+{hash}").ok()?),
        private: false,
        secrets: secrets.unwrap_or_default(),
        hash_key,
        domains: domains.to_vec(),
        max_age_days: 60,
        require_signature: signing,
    })
}

fn parse(at: &At<'_>) -> Option<Pattern> {
    at.ok(Pattern::parse(at.text()?))
}

fn hash_key(at: &At<'_>, files: &Files) -> Option<Vec<u8>> {
    let mut lines = files.secrets(at, SECRET_MIN)?;
    if lines.len() > 1 {
        return at.fail("the file has several lines; this key never changes, so leave the one that was first");
    }
    lines.pop()
}

fn max_age(table: &Table<'_>) -> i32 {
    let Some(at) = table.get("max_age") else { return 60 };
    let days = at.parsed(|text| {
        let days = units::duration(text)?.as_secs().div_ceil(units::DAY.as_secs());
        if days > MAX_AGE_DAYS { Err(format!("'{text}' is more than {MAX_AGE_DAYS} days; write less")) } else { Ok(days) }
    });
    days.and_then(|days| i32::try_from(days).ok()).unwrap_or(60)
}

//! `[smtp]`: where mail comes in.

use std::time::Duration;

use super::{
    Smtp, TlsFiles,
    files::Files,
    names,
    reader::{At, Table},
    units,
};
use crate::{action::Rate, address};

const MIB: u64 = 1 << 20;
const GUESSES: Rate = Rate { count: 100, per: Duration::from_secs(3_600) };

pub fn read(table: Table<'_>, files: &Files) -> Option<Smtp> {
    let listen = table.need("listen", "[\"[::]:25\"], or [] where systemd passes the sockets").and_then(|at| at.items());
    let domains = table.need("domains", "[\"returns.example.com\"]");
    let domains = domains.and_then(|at| {
        let items = at.items()?;
        if items.is_empty() { at.fail("is empty; name the domain whose MX this is") } else { Some(items) }
    });
    let domains: Vec<String> = all(&domains.unwrap_or_default(), names::domain);
    let smtp = Smtp {
        listen: all(&listen.unwrap_or_default(), names::socket),
        max_message_bytes: usize::try_from(max_message(&table)).unwrap_or(usize::MAX),
        max_connections: integer(&table, "max_connections", 1000, 100_000),
        max_connections_per_ip: integer(&table, "max_connections_per_ip", 50, 100_000),
        max_guesses_per_ip: table.or("max_guesses_per_ip", Some(GUESSES), units::rate_or_never),
        trusted_networks: all(&table.list("trusted_networks"), names::network),
        command_timeout: table.or("command_timeout", Duration::from_secs(60), units::duration),
        data_timeout: table.or("data_timeout", Duration::from_secs(600), units::duration),
        session_timeout: table.or("session_timeout", Duration::from_secs(1800), units::duration),
        tls: table.table("tls").and_then(|tls| tls_files(tls, files)),
        postmaster: table.get("postmaster").and_then(|at| outside(&at, &domains)),
        plain: table.list("plain").iter().filter_map(|at| at.parsed(plain)).collect(),
        domains,
    };
    table.close();
    Some(smtp)
}

/// An address that is not in one of our own domains: nobody reads mail there.
pub fn outside(at: &At<'_>, domains: &[String]) -> Option<String> {
    let address = at.parsed(names::address)?;
    inside(at, &address, domains).map_or(Some(address), |()| None)
}

/// Writes the error down where the address is in one of our own domains.
pub fn inside(at: &At<'_>, address: &str, domains: &[String]) -> Option<()> {
    let domain = address::domain(address)?.to_lowercase();
    if !domains.contains(&domain) {
        return None;
    }
    at.fail::<()>(format_args!("'{address}' is in smtp.domains, where nobody reads mail; name an address elsewhere"));
    Some(())
}

/// Each item read by `parse`; twice the same is an error.
fn all<T: PartialEq>(items: &[At<'_>], parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let mut values = Vec::new();
    for at in items {
        let Some(value) = at.parsed(&parse) else { continue };
        if values.contains(&value) {
            at.fail::<()>("stands twice; take one out");
        }
        values.push(value);
    }
    values
}

fn max_message(table: &Table<'_>) -> u64 {
    let Some(at) = table.get("max_message_bytes") else { return 10 * MIB };
    let bytes = if at.is_text() { at.parsed(units::size) } else { at.integer(0..=u64::MAX) };
    match bytes {
        Some(bytes) if !(64 * 1024..=1024 * MIB).contains(&bytes) => at.fail("must be between 64 KiB and 1 GiB"),
        bytes => bytes,
    }
    .unwrap_or(10 * MIB)
}

fn integer(table: &Table<'_>, name: &'static str, default: u64, most: u64) -> usize {
    usize::try_from(table.integer(name, default, 1..=most)).unwrap_or(usize::MAX)
}

fn tls_files(tls: Table<'_>, files: &Files) -> Option<TlsFiles> {
    let (cert, key) = (tls.need("cert", "\"tls/cert.pem\""), tls.need("key", "\"tls/key.pem\""));
    let (cert, key) = (cert.and_then(|at| files.readable(&at)), key.and_then(|at| files.readable(&at)));
    tls.close();
    Some(TlsFiles { cert: cert?, key: key? })
}

fn plain(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let fits = lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=._-".contains(&byte)) && (1..=64).contains(&lower.len());
    if !fits {
        return Err(format!("'{text}' is no local part; write what stands before the @, as in \"bounces\""));
    }
    if lower == "postmaster" || lower == "abuse" {
        return Err(format!("'{text}' is always taken; take it out here"));
    }
    Ok(lower)
}

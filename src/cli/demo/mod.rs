//! `bounced demo`: the main job on loopback, with an embedded store in a temporary folder: real bounces in by SMTP, verdicts and counters, a trigger,
//! its mail.

use std::{fs, net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use clap::Args;
use jiff::Timestamp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor, address::Envelope, transport::smtp::extension::ClientId};
use serde_json::Value;

use super::{
    ended::{Failed, finish},
    output::{Output, cell},
    run::{Daemon, LogFormat, start_log},
};
use crate::{
    config::Config,
    control::{self, By, EventFilter, Request},
    verp::day_of,
};

/// Bounces that real servers made of mails to servers that refuse; file name, the recipient it is about, and how often it comes.
const BOUNCES: [(&str, &str, &[u8]); 6] = [
    ("Postfix: user unknown", "gmail-nouser@gmail.test", include_bytes!("1-postfix-user-unknown.eml")),
    ("Exim: mailbox full", "icloud-full@icloud.test", include_bytes!("2-exim-mailbox-full.eml")),
    ("sendmail: our address is listed", "o365-spamhaus@contoso.test", include_bytes!("3-sendmail-known-spammer.eml")),
    ("Postfix: delayed", "quota4@fail.test", include_bytes!("4-postfix-delayed.eml")),
    ("Exim: no such domain", "nxdomain@nxdomain.test", include_bytes!("5-exim-dns-failure.eml")),
    ("sendmail: attachment refused", "gmail-attachment@gmail.test", include_bytes!("6-sendmail-attachment.eml")),
];

/// Shows the main job on loopback, in a temporary folder
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced demo\n\nNeeds no configuration and leaves nothing behind.")]
pub struct DemoArgs {
    /// Keep the folder with the configuration, the store and the mail, and say where it is
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &DemoArgs) -> ExitCode {
    start_log(LogFormat::Text, "warn");
    finish(demo(args))
}

fn demo(args: &DemoArgs) -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("bounced-demo.").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shown = runtime.block_on(show(folder.path()));
    runtime.shutdown_background();
    if args.keep {
        let mut out = Output::new(false);
        out.line(&format!("\nKept in {}", folder.keep().display()))?;
        out.flush()?;
    }
    shown
}

async fn show(folder: &Path) -> Result<(), Failed> {
    let mut out = Output::new(false);
    let path = configuration(folder)?;
    let config = Config::load(&path).map_err(Failed::Config)?;
    let codec = config.verp.codec.clone();
    let socket = config.control_socket.clone();
    let daemon = Daemon::start(config, Vec::new(), None).await.map_err(Failed::Because)?;
    let address = *daemon.addresses().first().ok_or_else(|| Failed::Because("the demo's daemon listens nowhere".to_owned()))?;
    out.line(&format!("The daemon listens on {address}; its store is in a temporary folder.\n"))?;
    out.line("1. Bounces that Postfix, Exim and sendmail made come in by SMTP, each at its signed return address:")?;
    let today = day_of(Timestamp::now());
    for (title, recipient, mail) in BOUNCES {
        let rcpt = codec.encode(recipient, Some("spring"), None, today).map_err(|error| Failed::Because(error.to_string()))?;
        let reply = send(address, &rcpt, mail).await?;
        out.line(&format!("   {title:<32} {reply}"))?;
    }
    let (title, recipient, mail) = BOUNCES[0];
    let rcpt = codec.encode(recipient, Some("spring"), None, today).map_err(|error| Failed::Because(error.to_string()))?;
    send(address, &rcpt, mail).await?;
    out.line(&format!("   {:<32} known, not counted again", format!("{title}, resent")))?;
    out.flush()?;
    let mail = wait_for_mail(&folder.join("mail")).await?;
    tokio::task::spawn_blocking(move || report(out, &socket, recipient, &mail))
        .await
        .map_err(|error| Failed::Because(error.to_string()))??;
    daemon.stop().await.map_err(Failed::Because)
}

/// The quickest configuration that does the main job.
fn configuration(folder: &Path) -> Result<std::path::PathBuf, Failed> {
    let secret = folder.join("verp.secret");
    fs::write(&secret, "the demo's secret, good for nothing else\n")?;
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let path = folder.join("bounced.toml");
    let folder = folder.to_str().ok_or_else(|| Failed::Because("the temporary folder's name is not UTF-8; set TMPDIR".to_owned()))?;
    fs::write(&path, include_str!("demo.toml").replace("@FOLDER@", folder))?;
    Ok(path)
}

/// As a server returns a bounce: with the null reverse-path.
async fn send(address: SocketAddr, rcpt: &str, mail: &[u8]) -> Result<String, Failed> {
    let because = |error: &dyn std::fmt::Display| Failed::Because(error.to_string());
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .hello_name(ClientId::Domain("mta.example.test".to_owned()))
        .build();
    let rcpt = rcpt.parse().map_err(|error| because(&error))?;
    let envelope = Envelope::new(None, vec![rcpt]).map_err(|error| because(&error))?;
    let response = transport.send_raw(&envelope, mail).await.map_err(|error| because(&error))?;
    Ok(format!("{} {}", response.code(), response.first_line().unwrap_or_default()))
}

/// The notification that the trigger makes, as it lies in the folder of the file relay.
async fn wait_for_mail(folder: &Path) -> Result<String, Failed> {
    for _ in 0..600 {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        if let Some(path) = names.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "eml")) {
            let text = fs::read_to_string(path)?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failed::Because("the trigger's mail did not come within 30 s".to_owned()))
}

fn report(mut out: Output, socket: &Path, recipient: &str, mail: &str) -> Result<(), Failed> {
    let mut rows = Vec::new();
    let filter = EventFilter { limit: 100, ..EventFilter::default() };
    control::ask(socket, &Request::Events(filter), &mut |row| {
        rows.push(["address", "status", "fault", "enhanced", "rule", "evidence", "fired"].map(|key| cell(&row[key])).to_vec());
        Ok(())
    })?;
    rows.reverse();
    out.line("\n2. What bounced made of them (bounced events):")?;
    out.table(&["address", "status", "fault", "code", "rule", "evidence", "fired"], &rows)?;
    let mut rows = Vec::new();
    control::ask(socket, &Request::Counts { by: By::Status }, &mut |row| {
        rows.push(["key", "count"].map(|key| cell(&row[key])).to_vec());
        Ok(())
    })?;
    out.line("\n3. The counters (bounced counts):")?;
    out.table(&["status", "count"], &rows)?;
    let mut person = Value::Null;
    control::ask(socket, &Request::Show { address: recipient.to_owned() }, &mut |row| {
        person = row;
        Ok(())
    })?;
    out.line(&format!("\n4. The trigger \"first hard bounce\" fired for {recipient} (bounced show --json):"))?;
    out.line(&format!("   {person}"))?;
    out.line("\n5. The mail that it made:")?;
    for line in mail.lines() {
        out.line(&format!("   {}", super::output::printable(line)))?;
    }
    out.line("\nNext: config/quickstart.toml, then the README's \"Setting it up in ten minutes\".")?;
    Ok(out.flush()?)
}

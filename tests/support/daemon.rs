//! The built binary with a generated configuration in a folder of its own.
//!
//! Ready means that the SMTP banner came. A daemon that is dropped is killed; where the test failed, the end of its log is shown.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use super::{await_some, ports};

pub const BINARY: &str = env!("CARGO_BIN_EXE_bounced");

/// What `BOUNCED_BINARY` names, a release build for instance; else [`BINARY`].
pub fn binary() -> PathBuf {
    env::var_os("BOUNCED_BINARY").map_or_else(|| BINARY.into(), PathBuf::from)
}
pub const DOMAIN: &str = "returns.test";
pub const SECRET: &str = "a secret of the tests, long enough to sign with";
pub const HASH_KEY: &str = "the key of the tests that names people, never rotated";

/// A configuration in the making; nothing runs yet.
pub struct Setup {
    pub dir: TempDir,
    pub smtp: SocketAddr,
    pub metrics: SocketAddr,
    config: Table,
}

impl Setup {
    /// `domains = ["returns.test"]`, signatures required, mail and alerts to `relay` (`smtp://127.0.0.1:PORT`).
    pub fn new(relay: &str) -> Setup {
        let dir = TempDir::with_prefix("bounced-test-").unwrap();
        let (smtp, metrics) = (ports::free(), ports::free());
        let path = |name: &str| dir.path().join(name).display().to_string();
        write_secret(&dir.path().join("verp.secret"), SECRET);
        write_secret(&dir.path().join("verp.hash"), HASH_KEY);
        let toml = format!(
            r#"
            hostname = "mx.returns.test"
            data_dir = "{data}"
            min_free = "1 MiB"
            [smtp]
            listen = ["{smtp}"]
            domains = ["{DOMAIN}"]
            plain = ["bounces", "fbl"]
            postmaster = "ops@example.com"
            max_connections_per_ip = 200
            [verp]
            secret_file = "{secret}"
            hash_key_file = "{hash}"
            [mail]
            relay = "{relay}"
            from = "Bounce daemon <bounced@example.com>"
            [alerts]
            to = ["ops@example.com"]
            [metrics]
            listen = "{metrics}"
            "#,
            data = path("data"),
            secret = path("verp.secret"),
            hash = path("verp.hash"),
        );
        Setup { dir, smtp, metrics, config: toml.parse().unwrap() }
    }

    /// Adds or replaces keys, given as TOML; tables are merged and arrays of tables grow.
    pub fn merge(&mut self, toml: &str) -> &mut Setup {
        let more: Table = toml.parse().unwrap_or_else(|error| panic!("the test's own TOML: {error}\n{toml}"));
        merge(&mut self.config, more);
        self
    }

    /// Takes a top-level key out, to be merged anew.
    pub fn without(&mut self, key: &str) -> &mut Setup {
        self.config.remove(key);
        self
    }

    pub fn with(mut self, toml: &str) -> Setup {
        self.merge(toml);
        self
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("bounced.toml")
    }

    pub fn write(&self) -> PathBuf {
        fs::write(self.config_path(), toml::to_string(&self.config).unwrap()).unwrap();
        self.config_path()
    }

    pub fn start(self) -> Daemon {
        let mut daemon = self.asleep();
        daemon.start();
        daemon
    }

    /// The daemon, not started: for commands that open the store themselves.
    pub fn asleep(self) -> Daemon {
        self.write();
        Daemon { setup: self, binary: BINARY.into(), run_args: Vec::new(), under: None, failpoints: None, env: Vec::new(), child: None }
    }
}

fn merge(into: &mut Table, more: Table) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (Some(toml::Value::Array(old)), toml::Value::Array(new)) if new.iter().all(toml::Value::is_table) => old.extend(new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

pub fn write_secret(path: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    writeln!(file, "{text}").unwrap();
}

pub struct Daemon {
    pub setup: Setup,
    pub binary: PathBuf,
    /// More arguments of `run`.
    pub run_args: Vec<String>,
    /// A program and its arguments that starts it and becomes it, such as strace's `-D`.
    pub under: Option<Vec<String>>,
    /// Where it dies by itself (`fail` crate), from its next start on.
    pub failpoints: Option<String>,
    /// More of its environment.
    pub env: Vec<(String, String)>,
    child: Option<Child>,
}

impl Daemon {
    pub fn smtp(&self) -> SocketAddr {
        self.setup.smtp
    }

    pub fn log_path(&self) -> PathBuf {
        self.setup.dir.path().join("bounced.log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Starts it (again) and waits for its banner.
    pub fn start(&mut self) {
        let child = self.spawn();
        self.adopt(child);
    }

    /// Starts it, and waits for nothing.
    pub fn spawn(&self) -> Child {
        assert!(self.child.is_none(), "already running");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = match &self.under {
            None => Command::new(&self.binary),
            Some(words) => {
                let mut words = words.iter();
                let mut command = Command::new(words.next().expect("a program"));
                command.args(words).arg(&self.binary);
                command
            }
        };
        command.arg("--config").arg(self.setup.config_path()).arg("run").args(&self.run_args);
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS").env_remove("FAILPOINTS");
        command.envs(self.failpoints.iter().map(|points| ("FAILPOINTS", points)));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// Takes a process that was started otherwise for the daemon and waits for its banner.
    pub fn adopt(&mut self, child: Child) {
        self.child = Some(child);
        await_some("the SMTP banner", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the daemon ended with {ended:?}:\n{}", tail(&self.log(), 40));
            let mut stream = TcpStream::connect_timeout(&self.setup.smtp, Duration::from_secs(1)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut code = [0; 3];
            stream.read_exact(&mut code).ok()?;
            (&code == b"220").then_some(())
        });
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("the daemon runs")), signal).unwrap();
    }

    /// SIGKILL: what a power cut looks like to the process.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How it has ended by itself; then it can be started again.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
        if ended.is_some() {
            self.child = None;
        }
        ended
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for an end that somebody else asked for.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon runs");
        await_some("the daemon to end", || child.try_wait().unwrap())
    }

    /// Runs a command of the binary with this configuration.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.setup.config_path()).args(args).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What a command prints; it must succeed.
    pub fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "bounced {args:?} gave {}:\n{out}{err}", output.status);
        out.into_owned()
    }

    /// The rows of a command with `--json`.
    pub fn rows(&self, args: &[&str]) -> Vec<Value> {
        let text = self.text(&[args, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
    }

    pub fn show(&self, address: &str) -> Value {
        let mut rows = self.rows(&["show", address]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    pub fn events(&self) -> Vec<Value> {
        self.rows(&["events", "--limit", "1000000"])
    }

    /// What `counts` says under one key, 0 where there is none.
    pub fn count(&self, by: &str, key: &str) -> u64 {
        let rows = self.rows(&["counts", "--by", by]);
        rows.iter().find(|row| row["key"] == key).map_or(0, |row| row["count"].as_u64().unwrap())
    }

    /// Waits until nothing waits or runs; gives what is dead.
    pub fn await_idle(&self) -> Vec<Value> {
        await_some("an idle outbox", || Some(self.rows(&["outbox", "list"])).filter(|jobs| jobs.iter().all(|job| job["state"] == "dead")))
    }

    /// The signed return address for a recipient.
    pub fn verp(&self, address: &str, campaign: Option<&str>) -> String {
        let mut args = vec!["verp", "encode", address];
        args.extend(campaign.iter().flat_map(|campaign| ["--campaign", campaign]));
        self.text(&args).trim().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ends so:\n{}", tail(&self.log(), 60));
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

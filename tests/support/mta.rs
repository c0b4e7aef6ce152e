//! Real mail servers in private instances: own configuration, queue and ports, all on 127.0.0.1, no DNS. They need root, as the programs do
//! when they start.
//!
//! Where a program isn't there the test says so on standard error and passes, unless BOUNCED_REQUIRE_MTAS=1 forbids that.

use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{await_some, client::Client};

/// Where mail goes and how.
pub struct Routes {
    /// Where the mail server listens.
    pub mta: SocketAddr,
    /// The daemon under test.
    pub bounced: SocketAddr,
    /// Whether mail to it must go over TLS.
    pub tls: bool,
    /// Takes mail for the operator (example.com).
    pub operator: SocketAddr,
    /// Everybody else's server.
    pub others: SocketAddr,
}

/// A running mail server; it stops when dropped.
pub trait Mta {
    fn log(&self) -> String;
}

/// A program by its variable, or where Debian puts it.
fn find(variable: &str, places: &[&str]) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let found = named.clone().into_iter().chain(places.iter().map(PathBuf::from)).find(|path| path.is_file());
    let root = rustix::process::geteuid().is_root();
    if found.is_some() && root {
        return found;
    }
    let why = if found.is_none() { format!("no {} here, {variable} names none", places[0]) } else { "not root".to_owned() };
    assert!(env::var("BOUNCED_REQUIRE_MTAS").as_deref() != Ok("1"), "BOUNCED_REQUIRE_MTAS=1 and this test can't run: {why}");
    // Past the capture of a passing test's output.
    let _ = writeln!(io::stderr(), "LEFT OUT: a test with a real mail server: {why}");
    None
}

/// A folder that the servers' own users can pass through.
fn open_dir() -> TempDir {
    let dir = TempDir::with_prefix("bounced-mta-").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn must(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

pub struct Postfix {
    command: PathBuf,
    dir: TempDir,
}

fn postfix_program() -> Option<PathBuf> {
    find("BOUNCED_POSTFIX", &["/usr/sbin/postfix", "/usr/local/sbin/postfix"])
}

impl Postfix {
    pub fn start(routes: &Routes) -> Option<Postfix> {
        let command = postfix_program()?;
        let dir = open_dir();
        let base = dir.path();
        let Routes { bounced, operator, others, .. } = routes;
        let at = |socket: &SocketAddr| format!("[{}]:{}", socket.ip(), socket.port());
        let transport = format!("returns.test smtp:{}\nexample.com smtp:{}\n* smtp:{}\n", at(bounced), at(operator), at(others));
        fs::write(base.join("transport"), transport).unwrap();
        fs::write(base.join("tls"), if routes.tls { format!("{} encrypt\n", at(bounced)) } else { String::new() }).unwrap();
        let settings = format!(
            "transport_maps = texthash:{0}/transport\nsmtp_tls_policy_maps = texthash:{0}/tls\nsmtp_tls_security_level = none\n\
             smtp_tls_loglevel = 1\nsmtp_dns_support_level = disabled\nsmtp_host_lookup = native\n\
             queue_run_delay = 2s\nminimal_backoff_time = 2s\nmaximal_backoff_time = 2s\n\
             delay_warning_time = 1s\nmaximal_queue_lifetime = 6s\nbounce_queue_lifetime = 1h\n",
            base.display()
        );
        Some(Postfix::run(command, dir, routes.mta, &settings, ""))
    }

    /// One that delivers by itself: more of main.cf and more services of master.cf, written for the folder in which it lives.
    pub fn delivering(address: SocketAddr, own: impl FnOnce(&Path) -> (String, String)) -> Option<Postfix> {
        let command = postfix_program()?;
        let dir = open_dir();
        let (settings, services) = own(dir.path());
        Some(Postfix::run(command, dir, address, &settings, &services))
    }

    fn run(command: PathBuf, dir: TempDir, address: SocketAddr, settings: &str, services: &str) -> Postfix {
        let base = dir.path();
        for name in ["config", "queue", "data"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        must(Command::new("chown").arg("postfix").arg(base.join("data")));
        let main = format!(
            "compatibility_level = 3.6\nmyhostname = mx.sender.test\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nqueue_directory = {0}/queue\ndata_directory = {0}/data\n\
             maillog_file = {0}/mail.log\nmaillog_file_prefixes = {0}\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n{settings}",
            base.display()
        );
        fs::write(base.join("config/main.cf"), main).unwrap();
        fs::write(base.join("config/master.cf"), format!("{}{services}", master_cf(address))).unwrap();
        let postfix = Postfix { command, dir };
        must(&mut postfix.postfix("start"));
        await_some("Postfix's banner", || Client::try_connect(address).ok());
        postfix
    }

    /// Where it lives.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Its master's.
    pub fn pid(&self) -> u32 {
        let pid = fs::read_to_string(self.dir.path().join("queue/pid/master.pid")).unwrap();
        pid.trim().parse().unwrap()
    }

    fn postfix(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.command);
        command.arg("-c").arg(self.dir.path().join("config")).arg(verb);
        command
    }
}

impl Mta for Postfix {
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("mail.log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix's log:\n{}", self.log());
        }
        let _ = self.postfix("stop").stdin(Stdio::null()).output();
    }
}

fn master_cf(address: SocketAddr) -> String {
    let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
        rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
        verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\n\
        showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
        anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
    format!("{address} inet n - n - - smtpd\n{services}")
}

pub struct Exim {
    command: PathBuf,
    dir: TempDir,
}

impl Exim {
    pub fn start(routes: &Routes) -> Option<Exim> {
        let command = find("BOUNCED_EXIM", &["/usr/sbin/exim4", "/usr/sbin/exim"])?;
        let dir = open_dir();
        let base = dir.path();
        for name in ["spool", "log"] {
            fs::create_dir(base.join(name)).unwrap();
            must(Command::new("chown").arg("Debian-exim:Debian-exim").arg(base.join(name)));
        }
        fs::write(base.join("exim.conf"), exim_conf(base, &command, routes)).unwrap();
        chown(base.join("exim.conf"), Some(0), Some(0)).unwrap();
        let exim = Exim { command, dir };
        must(&mut exim.exim(&["-bd", "-q2s"]));
        await_some("Exim's banner", || Client::try_connect(routes.mta).ok());
        Some(exim)
    }

    fn exim(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command.arg("-C").arg(self.dir.path().join("exim.conf")).args(args);
        command
    }
}

impl Mta for Exim {
    fn log(&self) -> String {
        ["main.log", "panic.log"].iter().filter_map(|name| fs::read_to_string(self.dir.path().join("log").join(name)).ok()).collect()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Exim's log:\n{}", self.log());
        }
        let pid = fs::read_to_string(self.dir.path().join("spool/exim.pid")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn exim_conf(base: &Path, command: &Path, routes: &Routes) -> String {
    let route = |socket: &SocketAddr| format!("{}::{}", socket.ip(), socket.port());
    format!(
        r#"
primary_hostname = mx.sender.test
exim_path = {exim}
spool_directory = {base}/spool
log_file_path = {base}/log/%s.log
pid_file_path = {base}/spool/exim.pid
log_selector = +tls_cipher
deliver_drop_privilege = true
disable_ipv6
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts =
dsn_advertise_hosts = *
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = accept
acl_smtp_data = accept
smtp_accept_queue_per_connection = 0
delay_warning = 1s:1h
ignore_bounce_errors_after = 10m
keep_environment =
begin routers
routes:
  driver = manualroute
  domains = *
  route_list = returns.test {bounced} ; example.com {operator} ; * {others}
  transport = ${{if eq{{$domain}}{{returns.test}}{{to_bounced}}{{remote}}}}
  self = send
begin transports
to_bounced:
  driver = smtp
  allow_localhost
  {tls}
remote:
  driver = smtp
  allow_localhost
  hosts_avoid_tls = *
begin retry
* * F,6s,2s
"#,
        exim = command.display(),
        base = base.display(),
        port = routes.mta.port(),
        bounced = route(&routes.bounced),
        operator = route(&routes.operator),
        others = route(&routes.others),
        tls = if routes.tls { "hosts_require_tls = *" } else { "hosts_avoid_tls = *" },
    )
}

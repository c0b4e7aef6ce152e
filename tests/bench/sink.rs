//! Postfix's smtp-sink, which throws away what it is sent.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use super::support::{await_some, client::Client, ports};

pub struct Sink {
    child: Child,
    pub address: SocketAddr,
}

impl Sink {
    /// `None` where it isn't installed.
    pub fn start() -> Option<Sink> {
        let address = ports::free();
        let program = ["/usr/sbin/smtp-sink", "/usr/bin/smtp-sink"].into_iter().find(|path| fs::exists(path).is_ok_and(|found| found))?;
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command.args(["-m", "1000"]).arg(address.to_string()).arg("1000").stdin(Stdio::null()).spawn().ok()?;
        let sink = Sink { child, address };
        await_some("smtp-sink's banner", || Client::try_connect(address).ok());
        Some(sink)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

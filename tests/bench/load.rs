//! The generator: prebuilt mails, one thread, all sessions at once, commands pipelined (RFC 2920) as Postfix's own client sends them. Server and
//! generator share the machine, so what it costs itself is told, too.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bounced::verp::Codec;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use super::{
    process,
    support::{client::stuffed, mails::Bounce},
};

/// A round ends after so long, however far it came.
const LONGEST: Duration = Duration::from_secs(60);
const END: &[u8] = b".\r\n";
const QUIT: &[u8] = b"QUIT\r\n";

/// One mail, ready to be written.
pub struct Shot {
    envelope: Vec<u8>,
    /// With the dot and a QUIT after it.
    content: Vec<u8>,
}

/// Whether a session ends with its mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// As servers send that have one bounce for this host.
    OneMail,
    /// As servers send that keep connections.
    KeptOpen,
}

/// What a round came to.
pub struct Round {
    pub mails: usize,
    pub seconds: f64,
    /// Of the server and all that it started.
    pub server_cpu: f64,
    pub generator_cpu: f64,
    /// From the first byte of a mail's session or command to its 250, sorted, seconds.
    latencies: Vec<f32>,
}

impl Round {
    pub fn rate(&self) -> f64 {
        self.mails as f64 / self.seconds
    }

    /// Seconds.
    pub fn cpu_per_thousand(&self) -> f64 {
        self.server_cpu * 1000.0 / self.mails as f64
    }

    /// The time within which `percent` of the mails were taken, milliseconds.
    pub fn latency(&self, percent: usize) -> f64 {
        let place = self.latencies.len().saturating_mul(percent) / 100;
        self.latencies.get(place.min(self.latencies.len().saturating_sub(1))).map_or(f64::NAN, |seconds| f64::from(*seconds) * 1000.0)
    }
}

/// Distinct bounces in Postfix's form, each about a person of its own.
pub fn shots(codec: &Codec, first: u64, count: usize) -> Rc<[Shot]> {
    let today = today();
    (first..first + count as u64)
        .map(|serial| {
            let person = format!("person{serial}@example.org");
            let rcpt = codec.encode(&person, Some("bench"), None, today).expect("an address");
            let mut content = stuffed(&Bounce::unknown_user(serial, &rcpt, &person).postfix());
            content.extend_from_slice(END);
            let envelope = format!("MAIL FROM:<> SIZE={}\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n", content.len());
            content.extend_from_slice(QUIT);
            Shot { envelope: envelope.into_bytes(), content }
        })
        .collect()
}

pub fn today() -> i32 {
    i32::try_from(jiff::Timestamp::now().as_second() / 86_400).expect("a day")
}

struct Pile {
    target: SocketAddr,
    sessions: Sessions,
    shots: Rc<[Shot]>,
    begun: Instant,
    next: Cell<usize>,
    latencies: RefCell<Vec<f32>>,
}

impl Pile {
    fn shot(&self) -> Option<&Shot> {
        let next = self.next.replace(self.next.get() + 1);
        self.shots.get(next).filter(|_| self.begun.elapsed() < LONGEST)
    }

    async fn session(&self) -> io::Result<()> {
        let mut open = None;
        while let Some(shot) = self.shot() {
            let begun = Instant::now();
            let mut wire = match open.take() {
                Some(wire) => wire,
                None => Wire::greet(self.target).await?,
            };
            wire.round(&shot.envelope, &[250, 250, 354]).await?;
            let kept = self.sessions == Sessions::KeptOpen;
            let content = if kept { shot.content.strip_suffix(QUIT).unwrap_or_default() } else { &shot.content };
            wire.round(content, &[250]).await?;
            self.latencies.borrow_mut().push(begun.elapsed().as_secs_f32());
            if kept {
                open = Some(wire);
            } else {
                wire.replies(&[221]).await?;
            }
        }
        Ok(())
    }
}

struct Wire {
    stream: TcpStream,
    buffer: [u8; 1024],
    start: usize,
    end: usize,
}

impl Wire {
    async fn greet(target: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        let mut wire = Wire { stream, buffer: [0; 1024], start: 0, end: 0 };
        wire.replies(&[220]).await?;
        wire.round(b"EHLO mx.sender.test\r\n", &[250]).await?;
        Ok(wire)
    }

    async fn round(&mut self, bytes: &[u8], codes: &[u16]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.replies(codes).await
    }

    /// Reads so many replies; their last lines must have these codes.
    async fn replies(&mut self, codes: &[u16]) -> io::Result<()> {
        for code in codes {
            loop {
                let line = self.line().await?;
                let text = self.buffer.get(line.clone()).unwrap_or_default();
                if text.get(3) == Some(&b'-') {
                    continue;
                }
                if !text.starts_with(code.to_string().as_bytes()) {
                    return Err(io::Error::other(format!("expected {code}, got {:?}", String::from_utf8_lossy(text))));
                }
                break;
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<std::ops::Range<usize>> {
        loop {
            if let Some(length) = self.buffer[self.start..self.end].iter().position(|byte| *byte == b'\n') {
                let line = self.start..self.start + length + 1;
                self.start = line.end;
                return Ok(line);
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.stream.read(&mut self.buffer[self.end..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.end += read,
            }
        }
    }
}

/// All sessions take from one pile until it is empty; the round ends when `done` says so of that many mails.
pub fn fire(target: SocketAddr, pid: u32, how: Sessions, sessions: usize, shots: &Rc<[Shot]>, done: impl Fn(usize) -> bool) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let (server, own, begun) = (process::tree_cpu(pid), process::own_cpu(), Instant::now());
    let latencies = RefCell::new(Vec::with_capacity(shots.len()));
    let pile = Rc::new(Pile { target, sessions: how, shots: shots.clone(), begun, next: Cell::new(0), latencies });
    LocalSet::new().block_on(&runtime, async {
        let open: Vec<_> = (0..sessions)
            .map(|_| {
                let pile = pile.clone();
                tokio::task::spawn_local(async move { pile.session().await })
            })
            .collect();
        for session in open {
            session.await.expect("a session").expect("mails are taken");
        }
    });
    let generator_cpu = process::own_cpu() - own;
    let mut latencies = pile.latencies.take();
    while !done(latencies.len()) {
        assert!(begun.elapsed() < LONGEST * 2, "{} mails were taken and didn't all arrive", latencies.len());
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_by(f32::total_cmp);
    Round { mails: latencies.len(), seconds, server_cpu: process::tree_cpu(pid) - server, generator_cpu, latencies }
}

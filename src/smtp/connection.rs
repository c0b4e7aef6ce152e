//! One connection: moves bytes between a socket and its [`Session`], keeps the deadlines, gets memory, speaks TLS.
//!
//! Promises: a 250 for a mail is sent only after `Handler::take` said `Ok`; who is slow gets 421 4.4.2, and a stop 421 4.3.2, but never in the midst of
//! a mail. What comes before the greeting is not obeyed. An error of the socket ends the dialogue without a word: whoever sends will try again.
//! Deadlines are monotonic and hold for a whole command or a whole mail, so bytes that drip in don't lengthen them.

use std::{
    future::{pending, poll_fn},
    io,
    mem::MaybeUninit,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use metrics::counter;
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Handler,
    guesses::Limit,
    limits::Share,
    reply,
    server::{Phase, Settings, Shared},
    session::{Note, Policy, Session, Step},
    telemetry,
};
use crate::intake::Door;

const READ: usize = 8 * 1024;
/// After hanging up, for so long and so many times more is read and dropped: unread octets would make the system reset the
/// connection, and the last reply could be lost with it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 64;

/// Talks until one side hangs up.
pub(super) async fn serve<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream, client: IpAddr) {
    let settings = shared.settings.load_full();
    let mut killed = shared.phase.subscribe();
    let mut dialogue = Dialogue::new(&shared, settings, client);
    tokio::select! {
        biased;
        () = reached(&mut killed, Phase::Killed) => tracing::warn!(%client, "dialogue cut off: out of time to stop"),
        result = dialogue.all(stream) => if let Err(error) = result {
            tracing::debug!(%client, %error, "connection lost");
        },
    }
}

/// Waits for a phase; for ever where it can't come any more.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    if phase.wait_for(|&phase| phase >= wanted).await.is_err() {
        pending::<()>().await;
    }
}

/// A limit past what the clock can count is none.
fn after(now: Instant, limit: Duration) -> Instant {
    now.checked_add(limit).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}

enum Outcome {
    Closed,
    StartTls,
}

enum Input {
    Some(usize),
    End,
    Late,
    Stopping,
}

struct Dialogue<'a, H> {
    shared: &'a Shared<H>,
    settings: Arc<Settings>,
    client: IpAddr,
    session: Session,
    phase: watch::Receiver<Phase>,
    share: Share,
    /// Of the whole dialogue.
    last_deadline: Instant,
    /// The turn for which `deadline` was set.
    turn: Option<u64>,
    deadline: Instant,
    /// Which guesses count; none of those whom we trust.
    guesses: Option<Limit>,
    /// The client's network has guessed too often.
    guessed_out: bool,
}

impl<'a, H: Handler> Dialogue<'a, H> {
    fn new(shared: &'a Shared<H>, settings: Arc<Settings>, client: IpAddr) -> Self {
        let (now, trusted) = (Instant::now(), settings.trusts(client));
        let guesses = settings.max_guesses_per_ip.filter(|_| !trusted);
        let policy = Policy {
            hostname: settings.hostname.clone(),
            max_message_bytes: settings.max_message_bytes,
            starttls: settings.tls.is_some(),
            trusted,
            refused_before: guesses.map_or(0, |limit| shared.guesses.of(client, limit, now.into_std())),
            client: Some(client),
        };
        Self {
            shared,
            client,
            session: Session::new(policy),
            phase: shared.phase.subscribe(),
            share: Share::default(),
            last_deadline: after(now, settings.session_timeout),
            turn: None,
            deadline: now,
            guesses,
            guessed_out: false,
            settings,
        }
    }

    async fn all(&mut self, mut stream: TcpStream) -> io::Result<()> {
        // RFC 5321, section 4.3.1: who doesn't wait for the greeting isn't a mail server.
        if recv(&stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok_and(|(_, octets)| octets > 0) {
            self.session.talked_early();
            self.report();
        }
        match self.talk(&mut stream).await? {
            Outcome::Closed => Ok(()),
            // Apart, so that a connection in plain text doesn't hold room for a TLS session.
            Outcome::StartTls => Box::pin(self.secured(stream)).await,
        }
    }

    async fn secured(&mut self, stream: TcpStream) -> io::Result<()> {
        let Some(tls) = self.settings.tls.clone() else { return Ok(()) };
        let limit = after(Instant::now(), self.settings.command_timeout).min(self.last_deadline);
        let handshake = tokio::select! {
            biased;
            () = reached(&mut self.phase, Phase::Draining) => return Ok(()),
            handshake = timeout_at(limit, tls.accept(stream)) => handshake,
        };
        let mut stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                counter!(telemetry::TLS, "version" => "failed").increment(1);
                tracing::debug!(client = %self.client, error = error.to_string(), "TLS handshake failed");
                return Ok(());
            }
            Err(_) => {
                counter!(telemetry::TIMEOUTS, "waited_for" => "tls").increment(1);
                return Ok(());
            }
        };
        let version = stream.get_ref().1.protocol_version().and_then(|version| version.as_str()).unwrap_or("other");
        counter!(telemetry::TLS, "version" => version).increment(1);
        self.session.secured();
        self.talk(&mut stream).await.map(drop)
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<Outcome> {
        let mut buffer = Vec::new();
        let (mut start, mut end) = (0, 0);
        loop {
            let mut input = buffer.get(start..end).unwrap_or_default();
            let step = self.session.step(&*self.shared.handler, &mut input);
            start = end - input.len();
            self.report();
            match step {
                Step::Read if self.guessed_out && !self.session.in_content() => self.session.end(&reply::TOO_MANY_GUESSES),
                Step::Read => {
                    self.give_back();
                    self.send(stream).await?;
                    match self.read(stream, &mut buffer).await? {
                        Input::Some(octets) => (start, end) = (0, octets),
                        Input::End => return Ok(Outcome::Closed),
                        Input::Late => self.session.end(&reply::TIMEOUT),
                        Input::Stopping => self.session.end(&reply::STOPPING),
                    }
                }
                Step::Pause(pause) => {
                    tokio::select! {
                        () = reached(&mut self.phase, Phase::Draining) => self.session.end(&reply::STOPPING),
                        () = tokio::time::sleep_until(self.last_deadline) => self.session.end(&reply::TIMEOUT),
                        () = tokio::time::sleep(pause) => {}
                    }
                    self.send(stream).await?;
                }
                Step::Memory(octets) => {
                    // Where there is some at once, what is to be said goes out together with 354.
                    let granted = self.shared.memory.take_now(octets, &mut self.share) || {
                        self.send(stream).await?;
                        self.shared.memory.take(octets, &mut self.share).await
                    };
                    self.session.granted(granted);
                    self.report();
                    self.give_back();
                }
                Step::Take(arrival) => {
                    let octets = arrival.raw.len() as u64;
                    let ours = arrival.mailboxes.iter().any(|mailbox| matches!(mailbox.door, Door::Verp(_) | Door::Own(_)));
                    let result = self.shared.handler.take(arrival).await;
                    if result.is_ok() {
                        counter!(telemetry::BYTES).increment(octets);
                        if ours {
                            self.shared.guesses.make_up(self.client);
                        }
                    }
                    self.session.taken(&result);
                    self.report();
                    self.give_back();
                }
                Step::StartTls => {
                    self.send(stream).await?;
                    return Ok(Outcome::StartTls);
                }
                Step::Close => {
                    self.send(stream).await?;
                    hang_up(stream).await?;
                    return Ok(Outcome::Closed);
                }
            }
        }
    }

    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<Input> {
        let in_content = self.session.in_content();
        if self.turn != Some(self.session.turn()) {
            self.turn = Some(self.session.turn());
            let limit = if in_content { self.settings.data_timeout } else { self.settings.command_timeout };
            self.deadline = after(Instant::now(), limit).min(self.last_deadline);
        }
        let read = tokio::select! {
            biased;
            () = reached(&mut self.phase, Phase::Draining), if !in_content => return Ok(Input::Stopping),
            read = timeout_at(self.deadline, some(stream, buffer)) => read,
        };
        match read {
            Ok(Ok(0)) => Ok(Input::End),
            Ok(read) => read.map(Input::Some),
            Err(_) => {
                counter!(telemetry::TIMEOUTS, "waited_for" => if in_content { "content" } else { "command" }).increment(1);
                Ok(Input::Late)
            }
        }
    }

    async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        let all = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        timeout(self.settings.command_timeout, all).await.unwrap_or_else(|_| {
            counter!(telemetry::TIMEOUTS, "waited_for" => "reply").increment(1);
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    fn report(&mut self) {
        for note in self.session.take_notes() {
            if let (Note::Recipient { .. }, Some(limit)) = (&note, self.guesses) {
                self.guessed(limit);
            }
            telemetry::note(self.client, note);
        }
    }

    fn guessed(&mut self, limit: Limit) {
        let guesses = self.shared.guesses.add(self.client, limit, Instant::now().into_std());
        self.guessed_out |= guesses >= limit.guesses;
        if guesses == limit.guesses {
            tracing::info!(client = %self.client, guesses, "too many wrong recipients; its network is turned away for a while");
        }
    }

    /// A mail that is recorded, refused or too big has no need of its memory.
    fn give_back(&mut self) {
        if self.session.memory() == 0 {
            self.share = Share::default();
        }
    }
}

/// Reads into a buffer on the stack and keeps what came: many connections that say nothing hold no memory for what they might say.
async fn some<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<usize> {
    *buffer = Vec::new();
    poll_fn(|context| {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
        buffer.extend_from_slice(room.filled());
        Poll::Ready(Ok(buffer.len()))
    })
    .await
}

async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    timeout(LINGER, async {
        stream.shutdown().await?;
        let mut rest = Vec::new();
        for _ in 0..LINGER_READS {
            if some(stream, &mut rest).await? == 0 {
                break;
            }
        }
        Ok(())
    })
    .await
    .unwrap_or(Ok(()))
}

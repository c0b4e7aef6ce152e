//! The daemon's end of the control socket: plain threads, since the answers come from blocking reads.

use std::{
    fs::{self, Permissions},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tracing::{debug, warn};

use super::{Line, Source, VERSION, Versioned, answer};

/// Who asks more than so many questions at once waits in the socket's backlog.
const MAX_CLIENTS: usize = 16;
/// Mails of the past come in requests of some megabytes, a single one may be longer.
const MAX_REQUEST_BYTES: u64 = 96 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Binds the socket (mode 0660) and answers on threads of its own until the process ends.
///
/// # Errors
/// The path can't be bound, or another daemon answers there.
pub fn serve(path: &Path, source: Source) -> io::Result<()> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers on this control socket"));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    let source = Arc::new(source);
    thread::Builder::new().name("control".into()).spawn(move || accept(&listener, &source))?;
    Ok(())
}

fn accept(listener: &UnixListener, source: &Arc<Source>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "accepting on the control socket failed");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        while clients.load(Ordering::Acquire) >= MAX_CLIENTS {
            thread::sleep(Duration::from_millis(10));
        }
        clients.fetch_add(1, Ordering::AcqRel);
        let (source, count) = (source.clone(), clients.clone());
        let spawned = thread::Builder::new().name("control-client".into()).spawn(move || {
            // A panic in an answer ends this thread only; the guard gives its place back.
            let _place = Place(count);
            if let Err(error) = converse(&stream, &source) {
                debug!(%error, "a control client went away");
            }
        });
        if let Err(error) = spawned {
            warn!(%error, "no thread for a control client");
        }
    }
}

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn converse(stream: &UnixStream, source: &Source) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST_BYTES)).read_line(&mut line)?;
    let mut out = BufWriter::new(stream);
    let mut send = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    };
    let last = match serde_json::from_str::<Versioned>(&line) {
        Ok(Versioned { v: VERSION, request }) => match answer(&request, source, &mut |row| send(&Line::Row(row))) {
            Ok(()) => Line::End,
            Err(error) => Line::Error(error.to_string()),
        },
        Ok(Versioned { v, .. }) => {
            Line::Error(format!("the daemon speaks version {VERSION} of this protocol, the command version {v}; restart the daemon"))
        }
        Err(error) => Line::Error(format!("the daemon doesn't know this request ({error}); is it older than the command? restart it")),
    };
    send(&last)?;
    out.flush()
}

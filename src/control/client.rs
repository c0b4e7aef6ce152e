//! The commands' end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{Line, Request, VERSION, Versioned};

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon listens: the command may open the store itself.
    #[error("no daemon answers on {0}")]
    NoDaemon(PathBuf),
    #[error("{0}: permission denied; run the command as root, as the daemon's user, or as a member of its group")]
    Denied(PathBuf),
    #[error("{0}")]
    Refused(String),
    #[error("the daemon's answer was cut off: {0}")]
    Cut(io::Error),
    /// The sink failed.
    #[error(transparent)]
    Output(io::Error),
}

/// Asks the daemon and hands each row to `row` as it comes.
///
/// # Errors
/// See [`AskError`].
pub fn ask(path: &Path, request: &Request, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AskError> {
    let mut stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::Denied(path.to_owned()),
        _ => AskError::NoDaemon(path.to_owned()),
    })?;
    let cut = AskError::Cut;
    stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(cut)?;
    let mut line = serde_json::to_vec(&Versioned { v: VERSION, request: request.clone() }).map_err(|error| cut(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(cut)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.map_err(cut)?).map_err(|error| cut(error.into()))? {
            Line::Row(value) => row(value).map_err(AskError::Output)?,
            Line::Error(why) => return Err(AskError::Refused(why)),
            Line::End => return Ok(()),
        }
    }
    Err(cut(io::ErrorKind::UnexpectedEof.into()))
}

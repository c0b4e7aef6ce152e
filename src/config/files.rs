//! The files that a configuration names: secrets, keys, certificates, templates. The only part of the configuration that looks outside.
//!
//! A relative path begins at the configuration's own folder; `$CREDENTIALS_DIRECTORY/…` at the folder where systemd puts credentials, and
//! where there is none (a command run by hand) at the configuration's own too, from where systemd takes them.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::reader::At;

const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";
/// A template or a secret is never longer, bytes.
const MAX: u64 = 1 << 20;

/// Where paths begin.
#[derive(Debug, Clone)]
pub struct Files {
    /// The configuration's folder.
    pub folder: PathBuf,
    /// What systemd has in its environment variable of that name.
    pub credentials: Option<PathBuf>,
}

impl Files {
    pub fn path(&self, at: &At<'_>) -> Option<PathBuf> {
        let text = at.text()?;
        if text.trim().is_empty() {
            return at.fail("is empty; name a file, or take the key out");
        }
        match Path::new(text).strip_prefix(CREDENTIALS) {
            Err(_) => Some(self.folder.join(text)),
            Ok(rest) => Some(self.credentials.as_ref().unwrap_or(&self.folder).join(rest)),
        }
    }

    /// A file that exists and can be read; what is in it is judged by whoever uses it.
    pub fn readable(&self, at: &At<'_>) -> Option<PathBuf> {
        let path = self.path(at)?;
        self.open(at, &path).map(|_| path)
    }

    pub fn text(&self, at: &At<'_>) -> Option<String> {
        let path = self.path(at)?;
        let bytes = self.bytes(at, &path)?;
        String::from_utf8(bytes).ok().or_else(|| at.fail(format_args!("{} is not UTF-8; save it as UTF-8", path.display())))
    }

    /// The lines of a file that only its owner and group may read. None is empty or shorter than `least` bytes.
    pub fn secrets(&self, at: &At<'_>, least: usize) -> Option<Vec<Vec<u8>>> {
        let path = self.path(at)?;
        let shown = path.display();
        if fs::metadata(&path).is_ok_and(|found| found.is_file() && found.mode() & 0o007 != 0) {
            at.fail::<()>(format_args!("{shown} is open to everyone; run: chmod 640 {shown}"));
        }
        let bytes = self.bytes(at, &path)?;
        let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec()).collect();
        let lines: Vec<Vec<u8>> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return at.fail(format_args!("{shown} is empty; make a secret with: openssl rand -base64 32 > {shown}"));
        }
        if let Some(short) = lines.iter().position(|line| line.len() < least) {
            return at.fail(format_args!(
                "secret {} in {shown} is shorter than {least} bytes; make one with: openssl rand -base64 32",
                short + 1
            ));
        }
        Some(lines)
    }

    fn open(&self, at: &At<'_>, path: &Path) -> Option<File> {
        let found = File::open(path)
            .and_then(|file| if file.metadata()?.is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(file) });
        match found {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                at.fail(format_args!("there is no {}; make it, or name another file", path.display()))
            }
            Err(error) => at.fail(format_args!("{} can't be read ({}); look at its owner and mode", path.display(), error.kind())),
        }
    }

    fn bytes(&self, at: &At<'_>, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        at.ok(self
            .open(at, path)?
            .take(MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{} can't be read: {error}", path.display())))?;
        if bytes.len() as u64 > MAX {
            return at.fail(format_args!("{} is longer than 1 MiB", path.display()));
        }
        Some(bytes)
    }
}

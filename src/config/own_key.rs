//! The key that people are counted under where the operator configures none: made once and kept in `data_dir/verp.hash`.
//!
//! It never changes: without it every person would be a stranger again. It is written whole and synced before it has its name, so that a power
//! cut leaves all of it or none; a file that is damaged is an error, never replaced. It is text, so that it can become the operator's own
//! `hash_key_file` by being copied.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Config;

pub const FILE: &str = "verp.hash";
/// Base32 characters of a key of 256 bits.
const LENGTH: usize = 52;

/// The key in `data_dir`, made if there is none; a missing `data_dir` is made too.
pub fn own_key(data_dir: &Path) -> io::Result<Vec<u8>> {
    let path = data_dir.join(FILE);
    if let Some(key) = existing(&path)? {
        return Ok(key);
    }
    DirBuilder::new().recursive(true).mode(0o750).create(data_dir)?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let text = data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    let draft = data_dir.join(format!("{FILE}.{:016x}", getrandom::u64().map_err(io::Error::other)?));
    let written = write(&draft, &text).and_then(|()| match fs::hard_link(&draft, &path) {
        // Another process was first: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // Left behind it does no harm.
    let _ = fs::remove_file(&draft);
    written?;
    File::open(data_dir)?.sync_all()?;
    existing(&path)?.ok_or_else(|| io::Error::other(format!("{} was taken away as it was made", path.display())))
}

fn write(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn existing(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let text = match fs::read(path) {
        Ok(bytes) => bytes.trim_ascii().to_vec(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    if text.len() < LENGTH || !text.iter().all(u8::is_ascii_alphanumeric) {
        let what = format!("{} is damaged; put it back from a backup: people are counted under it", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(text))
}

impl Config {
    /// Where the daemon keeps a key of its own; `None` where one is configured.
    pub fn own_key_file(&self) -> Option<PathBuf> {
        self.verp.codec.needs_own_key().then(|| self.data_dir.join(FILE))
    }

    /// With the key that people are counted under: the configured one, else the daemon's own, made if need be. Every command that counts or
    /// looks people up needs this first. Fails where the own key can't be read or made, and where a configured one would make strangers of
    /// all who are counted already.
    pub fn with_person_key(mut self) -> io::Result<Config> {
        if self.verp.codec.needs_own_key() {
            let key = own_key(&self.data_dir)?;
            self.verp.codec = std::sync::Arc::new((*self.verp.codec).clone().with_own_key(&key));
        } else if let Some(own) = existing(&self.data_dir.join(FILE))?
            && !self.verp.codec.counts_under(&own)
        {
            let own = self.data_dir.join(FILE);
            return Err(io::Error::other(format!(
                "verp.hash_key_file is another key than {own}, under which people are counted; copy {own} over it",
                own = own.display()
            )));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let key = own_key(&data).unwrap();
        assert_eq!(key.len(), LENGTH);
        assert_eq!(own_key(&data).unwrap(), key);
        assert_eq!(fs::metadata(data.join(FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
        assert_ne!(own_key(folder.path()).unwrap(), key);
    }

    #[test]
    fn a_damaged_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "abc\n").unwrap();
        assert_eq!(own_key(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"abc\n");
    }

    #[test]
    fn many_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| own_key(folder.path()))).collect();
            made.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

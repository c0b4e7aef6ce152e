//! How to open a store, and what it asks of the outside: a clock and the platter.

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use fail::fail_point;
use jiff::Timestamp;

use crate::verp::PersonKey;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// sled's page cache, bytes.
    pub cache_bytes: u64,
    /// So many changed rows, of 250 octets at most on the average, are held in memory before they are written to their place; as many again
    /// while they are. See [`super::table`].
    pub memory_rows: usize,
    pub keep_events: Duration,
    pub keep_raw: Duration,
    /// UTC now. Handed in, so that tests can move it; the writer never lets it go back.
    pub clock: Clock,
    /// The key that an address has of its own. With it only persons under another key (a sender's own subscriber id) get a row in the index
    /// by address; without it every person does.
    pub own_key: Option<KeyOf>,
    /// A segment of events or raw mails that has grown past so many bytes is followed by the next.
    pub segment_bytes: u64,
    /// Makes files durable. Other than [`Disk`] in tests only.
    pub platter: Arc<dyn Platter>,
}

pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub type KeyOf = Arc<dyn Fn(&str) -> PersonKey + Send + Sync>;

impl Options {
    /// The defaults of the configuration: events 400 days, raw mails 30 days; a page cache of 64 MiB.
    pub fn new(clock: Clock) -> Options {
        const DAY: u64 = 86_400;
        Options {
            cache_bytes: 64 << 20,
            memory_rows: 50_000,
            keep_events: Duration::from_secs(400 * DAY),
            keep_raw: Duration::from_secs(30 * DAY),
            clock,
            own_key: None,
            segment_bytes: 64 << 20,
            platter: Arc::new(Disk),
        }
    }
}

/// What makes written bytes survive a power cut. A test puts another in its place to see what would be left, or to let a sync fail.
pub trait Platter: Send + Sync {
    /// The bytes of `file`, which lies at `path`.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

impl<P: Platter + ?Sized> Platter for &P {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        (**self).sync(file, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        (**self).sync_dir(path)
    }
}

impl<P: Platter + ?Sized> Platter for Arc<P> {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        (**self).sync(file, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        (**self).sync_dir(path)
    }
}

/// The real one: fdatasync, and fsync for directories.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl Platter for Disk {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        // Tests see with this that they would notice a sync left out: of the files whose path ends so, or of all.
        fail_point!("leave-out-sync", |ending| match ending {
            Some(ending) if !path.to_string_lossy().ends_with(&ending) => file.sync_data(),
            _ => Ok(()),
        });
        // Without failpoints nobody asks for it.
        let _ = path;
        file.sync_data()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

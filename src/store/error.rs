//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf, sync::Arc};

/// Why a store isn't opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another bounced runs on this store ({0}); stop it first")]
    InUse(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the store has schema {found}, this bounced knows up to {known}; run the newer bounced that wrote it")]
    Newer { found: u8, known: u8 },
    #[error(
        "the store has schema {found}, from before the first release; this bounced can't read it: move it away and start with an empty folder"
    )]
    Older { found: u8 },
    #[error("the store is damaged ({0}); move data_dir's files away and put back a backup with `bounced restore`")]
    Damaged(String),
    #[error(
        "the store is empty, but {marker} says that event {sequence} was recorded; put the files back, or move data_dir's files away and put back a backup with `bounced restore`"
    )]
    Emptied { marker: PathBuf, sequence: u64 },
    #[error(
        "the store ends at event {found}, but event {recorded} was recorded; it lost data: put the files back, or move data_dir's files away and put back a backup with `bounced restore`"
    )]
    Behind { found: u64, recorded: u64 },
    #[error(
        "{marker} belongs to another store; put the files together that belong together, or move data_dir's files away and put back a backup with `bounced restore`"
    )]
    Foreign { marker: PathBuf },
}

/// Why the store doesn't answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A write or a sync failed: what is on the platter isn't known, and nothing more is taken. The process must end and be started again.
    #[error("the store failed: {0}")]
    Fatal(Arc<str>),
    #[error("the store is closed")]
    Closed,
    /// What was read makes no sense.
    #[error("the store is damaged: {0}")]
    Damaged(Arc<str>),
    #[error("the store can't be read: {0}")]
    Read(Arc<str>),
}

impl StoreError {
    pub(super) fn damaged(what: impl AsRef<str>) -> StoreError {
        StoreError::Damaged(what.as_ref().into())
    }

    pub(super) fn read(error: impl std::fmt::Display) -> StoreError {
        StoreError::Read(error.to_string().into())
    }

    pub(super) fn fatal(error: impl std::fmt::Display) -> StoreError {
        StoreError::read(error).into_fatal()
    }

    /// As everything is that goes wrong in a batch.
    pub(super) fn into_fatal(self) -> StoreError {
        match self {
            StoreError::Fatal(_) => self,
            // It was written as likely as read.
            StoreError::Read(why) => StoreError::Fatal(why),
            other => StoreError::Fatal(other.to_string().into()),
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        StoreError::read(error)
    }
}

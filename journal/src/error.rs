//! What can go wrong, typed.
//!
//! Damage (INV-14) is an error of its own that names segment, offset and reason, so that an operator knows which bytes
//! to look at. It is never repaired silently and never served.

use std::io;

use wallex_core::event::CodecError;
use wallex_core::id::Position;
use wallex_core::wallet::Inconsistency;

use crate::storage::LockHolder;

/// Bytes of the journal that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{segment} is damaged at offset {offset}: {reason}")]
pub struct Damage {
    /// The file.
    pub segment: String,
    /// The first byte of the frame, append or header that fails its checks.
    pub offset: u64,
    /// Which check failed.
    pub reason: String,
}

/// Why the journal cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes to this directory.
    #[error("the journal is in use by {0}")]
    Locked(LockHolder),
    /// Stored bytes fail their checks (INV-14).
    #[error("INV-14: {0}")]
    Damaged(#[from] Damage),
    /// The storage refuses.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the storage said.
        source: io::Error,
    },
    /// An event passes its checksum, and yet this version cannot read it.
    #[error("the event at position {position} cannot be read: {source}")]
    Unreadable {
        /// Where it is.
        position: Position,
        /// Why.
        source: CodecError,
    },
    /// Stored events contradict each other.
    #[error("the event at position {position} contradicts the ones before it: {source}")]
    Inconsistent {
        /// Where it is.
        position: Position,
        /// How.
        source: Inconsistency,
    },
    /// The directory holds the other kind of log: that of wallets, or that of opaque streams.
    #[error("{0} belongs to a log of another kind")]
    OtherLog(String),
    /// The options make no sense.
    #[error("segments of {0} bytes are not possible: between 4 KiB and 1 GiB")]
    SegmentSize(u64),
    /// The journal has stopped, because it does not know what is on the disk.
    #[error("the journal has stopped: {0}")]
    Stopped(String),
}

impl JournalError {
    pub(crate) fn damaged(segment: impl Into<String>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damaged(Damage { segment: segment.into(), offset, reason: reason.into() })
    }
}

/// Names the action and the file of a storage error.
pub(crate) trait During<T> {
    fn during(self, action: &'static str, file: &str) -> Result<T, JournalError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: &'static str, file: &str) -> Result<T, JournalError> {
        self.map_err(|source| JournalError::Io { action, file: file.to_owned(), source })
    }
}

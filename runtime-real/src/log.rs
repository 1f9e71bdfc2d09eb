//! The event store as HTTP reads it: histories, time travel, and the end of the log.
//!
//! Embedded it is the journal's files, whose blocking reads are kept away from the threads that serve requests; in
//! production it is KurrentDB.

use wallex_core::command::Unavailable;
use wallex_core::event::Event;
use wallex_core::id::{Position, Version, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;
use wallex_journal::{JournalError, OsStorage, Reader};

/// A point in a wallet's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Right after the event with this version.
    Version(Version),
    /// Right after the last event that is not later.
    Time(Timestamp),
}

/// Why the event store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The journal's files.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The read itself has gone wrong.
    #[error("reading the event store failed")]
    Panicked,
}

impl LogError {
    /// What clients are told.
    #[must_use]
    pub fn unavailable(&self) -> Unavailable {
        match self {
            Self::Journal(
                JournalError::Damaged(_) | JournalError::Unreadable { .. } | JournalError::Inconsistent { .. },
            ) => Unavailable::Damaged,
            Self::Journal(
                JournalError::Locked(_)
                | JournalError::OtherLog(_)
                | JournalError::Io { .. }
                | JournalError::SegmentSize(_)
                | JournalError::Stopped(_),
            )
            | Self::Panicked => Unavailable::EventStore,
        }
    }
}

/// A way to the event store; cheap to clone.
#[derive(Clone)]
pub enum Log {
    /// The embedded journal.
    Journal(Reader<OsStorage>),
}

impl Log {
    /// The end of the log, as far as is known here.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Journal(reader) => reader.position(),
        }
    }

    /// A wallet as it was; nothing when it did not exist then.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn wallet_at(&self, id: &WalletId, moment: Moment) -> Result<Option<Wallet>, LogError> {
        match self {
            Self::Journal(reader) => {
                let id = id.clone();
                blocking(reader, move |log| match moment {
                    Moment::Version(version) => log.wallet_at_version(&id, version),
                    Moment::Time(time) => log.wallet_at_time(&id, time),
                })
                .await
            }
        }
    }

    /// Events of a wallet from a version on, in order, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn events(&self, id: &WalletId, from: Version, limit: usize) -> Result<Vec<Event>, LogError> {
        match self {
            Self::Journal(reader) => {
                let id = id.clone();
                let recorded = blocking(reader, move |log| log.read_stream(&id, from, limit)).await?;
                Ok(recorded.into_iter().map(|recorded| recorded.event).collect())
            }
        }
    }

    /// When the first event after `position` happened, if there is one.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn time_of_next(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        match self {
            Self::Journal(reader) => {
                let next = blocking(reader, move |log| log.read_all(position, 1)).await?;
                Ok(next.first().map(|recorded| recorded.event.occurred_at))
            }
        }
    }

    /// Whether the event store answers: its last event is read back.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn ping(&self) -> Result<(), LogError> {
        let before = Position(self.position().0.saturating_sub(1));
        self.time_of_next(before).await.map(drop)
    }
}

async fn blocking<T: Send + 'static>(
    reader: &Reader<OsStorage>,
    read: impl FnOnce(&Reader<OsStorage>) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, LogError> {
    let reader = reader.clone();
    match tokio::task::spawn_blocking(move || read(&reader)).await {
        Ok(read) => Ok(read?),
        Err(_panicked) => Err(LogError::Panicked),
    }
}

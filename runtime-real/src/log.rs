//! The event store as HTTP reads it: histories, time travel, and the end of the log.
//!
//! Embedded it is the journal's files, whose blocking reads are kept away from the threads that serve requests; in
//! production it is KurrentDB.

use wallex_core::command::Unavailable;
use wallex_core::effect::{Completion, Effect, Input, Load};
use wallex_core::event::Event;
use wallex_core::id::{EffectId, Position, Version, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;
use wallex_journal::{JournalError, OsStorage, Reader};
use wallex_kurrentdb::store::EventStore;

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
    /// The server.
    #[error("the event store cannot be read: {0}")]
    Server(String),
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
            | Self::Server(_)
            | Self::Panicked => Unavailable::EventStore,
        }
    }
}

/// A way to the event store; cheap to clone.
#[derive(Clone)]
pub enum Log {
    /// The embedded journal.
    Journal(Reader<OsStorage>),
    /// KurrentDB.
    Server(EventStore),
}

impl Log {
    /// How many events there are after a position. A server's log is counted a part at a time: when it is far to its end,
    /// there are more. Nothing is counted only where nothing is.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn count_after(&self, position: Position) -> Result<u64, LogError> {
        match self {
            // The journal's positions count its events.
            Self::Journal(reader) => Ok(reader.position().0.saturating_sub(position.0)),
            Self::Server(store) => {
                store.count_after(position).await.map_err(|error| LogError::Server(error.to_string()))
            }
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
            Self::Server(store) => {
                let loads = vec![Load { wallet: id.clone(), known: Version(0) }];
                let loaded = match store.perform(Effect::Load(ASKED, loads)).await {
                    Some(Input::Loaded(_, completion)) => done(completion)?,
                    other => return Err(unexpected(other.as_ref())),
                };
                let events = loaded.into_iter().flat_map(|one| one.events);
                let until = |event: &Event| match moment {
                    Moment::Version(version) => event.version <= version,
                    Moment::Time(time) => event.occurred_at <= time,
                };
                let wallet = events.take_while(until).fold(None, |wallet, event| Some(Wallet::apply(wallet, &event)));
                Ok(wallet.filter(|wallet| !matches!(moment, Moment::Version(version) if wallet.version != version)))
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
            Self::Server(store) => {
                let to = Version(from.0.saturating_add(limit as u64).saturating_sub(1));
                match store.perform(Effect::ReadStream { effect: ASKED, wallet: id.clone(), from, to }).await {
                    Some(Input::StreamRead(_, completion)) => done(completion),
                    other => Err(unexpected(other.as_ref())),
                }
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
            Self::Server(store) => {
                match store.perform(Effect::ReadLog { effect: ASKED, after: position, limit: 1 }).await {
                    Some(Input::LogRead(_, completion)) => {
                        Ok(done(completion)?.first().map(|recorded| recorded.event.occurred_at))
                    }
                    other => Err(unexpected(other.as_ref())),
                }
            }
        }
    }

    /// Why there is no connection to the event store, when its client knows that there is none.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Journal(_) => None,
            Self::Server(store) => store.trouble(),
        }
    }

    /// The damage that a read met since the start, which no restart heals. KurrentDB looks after its own files.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        match self {
            Self::Journal(reader) => reader.damage().map(|damage| format!("the journal is damaged: {damage}")),
            Self::Server(_) => None,
        }
    }

    /// Whether the event store answers; embedded, its last event is read back.
    ///
    /// # Errors
    /// [`LogError`] says what is in the way.
    pub async fn ping(&self) -> Result<(), LogError> {
        match self {
            Self::Journal(reader) => {
                let before = Position(reader.position().0.saturating_sub(1));
                self.time_of_next(before).await.map(drop)
            }
            Self::Server(store) => store.health().await.map(drop).map_err(|error| LogError::Server(error.to_string())),
        }
    }
}

/// The core does not ask here, so the completion is for nobody else.
const ASKED: EffectId = EffectId(0);

fn done<T>(completion: Completion<T>) -> Result<T, LogError> {
    match completion {
        Completion::Done(value) => Ok(value),
        Completion::Failed(failure) => Err(LogError::Server(failure.reason)),
        Completion::Conflict | Completion::Unknown => Err(LogError::Server("no answer came".to_owned())),
    }
}

fn unexpected(input: Option<&Input>) -> LogError {
    tracing::error!(?input, "the event store answered another question");
    LogError::Panicked
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

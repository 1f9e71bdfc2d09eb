//! KurrentDB's log as the tools read it: from the beginning or after a position, beside running instances.

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, Position};
use wallex_kurrentdb::client::{ConnectError, ConnectionString, ConnectionStringError};
use wallex_kurrentdb::store::{EventStore, Options};

use crate::config::Config;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ServerLogError {
    /// The address is none.
    #[error("kurrentdb.url: {0}")]
    Setting(#[from] ConnectionStringError),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A read had no answer.
    #[error("the event store cannot be read: {0}")]
    Read(String),
}

/// A connection for reading.
pub struct ServerLog(EventStore);

impl ServerLog {
    /// Connects to the server that the configuration names. Must be called inside the runtime that reads.
    ///
    /// # Errors
    /// [`ServerLogError::Setting`] and [`ServerLogError::Connect`].
    pub async fn connect(config: &Config) -> Result<Self, ServerLogError> {
        let settings = ConnectionString::parse(config.kurrentdb.url.0.reveal())?;
        Ok(Self(EventStore::connect(&settings, Options::default()).await?))
    }

    /// Events after a position, in log order, at most `limit`; none at the end.
    ///
    /// # Errors
    /// [`ServerLogError::Read`].
    pub async fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, ServerLogError> {
        match self.0.perform(Effect::ReadLog { effect: EffectId(0), after, limit }).await {
            Some(Input::LogRead(_, Completion::Done(events))) => Ok(events),
            Some(Input::LogRead(_, Completion::Failed(failure))) => Err(ServerLogError::Read(failure.reason)),
            other => Err(ServerLogError::Read(format!("no answer came ({other:?})"))),
        }
    }
}

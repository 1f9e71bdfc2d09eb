//! The pipeline's database: the outbox, the progress of every consumer, the read model, the ledger, what was set aside.
//!
//! All but idempotency keys can be rebuilt from the event store. Rows and the checkpoint that they stand for change in
//! one transaction, so a replay changes nothing and a crash loses a whole step or none of it (INV-06, INV-08).
//!
//! | module | owns |
//! |---|---|
//! | [`sqlite`] | the embedded default: one file |
//! | [`postgres`] | production: a server that instances share, and the idempotency keys |
//! | [`queries`] | what readers ask, of whichever database there is |
//! | `form`, `error` | how values of the core stand in tables; what can go wrong, and which class of outcome it is |
//! | `waiting` | readers that wait for a version |

mod error;
mod form;
pub mod postgres;
pub mod queries;
pub mod sqlite;
mod waiting;

use std::path::Path;
use std::time::SystemTime;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::time::Timestamp;

pub use error::DatabaseError;
pub use postgres::{PostgresDatabase, PostgresOptions};
pub use queries::Queries;
pub use sqlite::SqliteDatabase;

/// The name of the feeder's checkpoint.
const FEEDER: &str = "outbox-feeder";

/// The pipeline's database; cheap to clone.
#[derive(Clone)]
pub enum Database {
    /// A file of this process.
    Sqlite(SqliteDatabase),
    /// A server that several instances share.
    Postgres(PostgresDatabase),
}

impl Database {
    /// Opens or creates a file and brings its schema to this version's.
    ///
    /// # Errors
    /// [`DatabaseError::Open`] or [`DatabaseError::Migrate`], with the file's name.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        Ok(Self::Sqlite(SqliteDatabase::open(path).await?))
    }

    /// What readers ask.
    #[must_use]
    pub fn queries(&self) -> Queries {
        match self {
            Self::Sqlite(database) => database.queries(),
            Self::Postgres(database) => database.queries(),
        }
    }

    /// Performs an effect of the feeder, the relay or a projector, and gives its completion; nothing for effects that
    /// are not this database's.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        match self {
            Self::Sqlite(database) => database.perform(effect).await,
            Self::Postgres(database) => database.perform(effect).await,
        }
    }

    /// Deletes up to `limit` outbox rows that were published before a point in time and that every consumer has
    /// passed. Says how many went; call it again while it is as many as `limit`.
    pub async fn delete_published_outbox(&self, before: Timestamp, limit: usize) -> Completion<u64> {
        match self {
            Self::Sqlite(database) => database.delete_published_outbox(before, limit).await,
            Self::Postgres(database) => database.delete_published_outbox(before, limit).await,
        }
    }

    /// Forgets up to `limit` idempotency keys that have expired. Says how many went; call it again while it is as many
    /// as `limit`. A file has none: the embedded profile keeps them with the events.
    pub async fn delete_expired_keys(&self, now: Timestamp, limit: usize) -> Completion<u64> {
        match self {
            Self::Sqlite(_) => Completion::Done(0),
            Self::Postgres(database) => database.delete_expired_keys(now, limit).await,
        }
    }

    /// Ends all connections. Transactions that run are finished first.
    pub async fn close(self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::Postgres(database) => database.close().await,
        }
    }
}

impl From<SqliteDatabase> for Database {
    fn from(database: SqliteDatabase) -> Self {
        Self::Sqlite(database)
    }
}

impl From<PostgresDatabase> for Database {
    fn from(database: PostgresDatabase) -> Self {
        Self::Postgres(database)
    }
}

/// For `updated_at` of the feeder's checkpoint, whose effect carries no time.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

//! PostgreSQL, for production: what [`super::sqlite`] keeps, and the idempotency keys beside it.
//!
//! Several instances use one database. Whoever moves a checkpoint locks it first, so instances wait for each other and
//! do not deadlock, and who comes second finds it elsewhere (INV-06, INV-08).
//!
//! | module | owns |
//! |---|---|
//! | `options`, `connection`, `transaction` | the way to the server, and what becomes of a transaction |
//! | `perform` | which effect is which transaction |
//! | `outbox`, `checkpoints`, `held`, `read_model`, `ledger`, `retention` | one table each, or nearly; what leaves |
//! | `keys` | the idempotency port: reserve, answer, release, forget (INV-05) |
//! | `queries` | what readers see |

mod checkpoints;
mod connection;
mod held;
mod keys;
mod ledger;
mod options;
mod outbox;
mod perform;
mod queries;
mod read_model;
mod retention;
mod transaction;

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgPool};
use wallex_core::effect::Completion;
use wallex_core::time::Timestamp;

pub use options::PostgresOptions;
pub use queries::PostgresQueries;

use super::error::{self, DatabaseError};
use super::form;
use super::queries::{Queries, Source};
use super::waiting::Waiting;
use transaction::Durability;

/// The pipeline's database on a server; cheap to clone.
///
/// An effect is one transaction on one connection. One that moves checkpoints locks them first (by partition), then
/// what they stand for; idempotency keys are locked by key. Retention locks no checkpoint, only the rows that go.
#[derive(Clone)]
pub struct PostgresDatabase {
    pool: PgPool,
    waiting: Arc<Waiting>,
}

impl PostgresDatabase {
    /// Connects, checks the server's version, and brings the schema to this version's. A server that is away is waited
    /// for as long as the options say; instances that start together migrate one after the other.
    ///
    /// # Errors
    /// [`DatabaseError::Url`], [`DatabaseError::Connect`], [`DatabaseError::Version`] or [`DatabaseError::Migrate`].
    pub async fn connect(options: &PostgresOptions) -> Result<Self, DatabaseError> {
        Ok(Self { pool: connection::open(options).await?, waiting: Arc::new(Waiting::new()) })
    }

    /// What readers ask.
    #[must_use]
    pub fn queries(&self) -> Queries {
        Queries::new(Source::Postgres(PostgresQueries::new(self.pool.clone())), Arc::clone(&self.waiting))
    }

    /// Deletes up to `limit` outbox rows that were published before a point in time and that every consumer has
    /// passed. Says how many went; call it again while it is as many as `limit`.
    pub async fn delete_published_outbox(&self, before: Timestamp, limit: usize) -> Completion<u64> {
        let work = async |connection: &mut PgConnection| retention::delete(connection, before, limit).await;
        transaction::run(&self.pool, Durability::Synced, work).await
    }

    /// Forgets up to `limit` idempotency keys that have expired. Says how many went; call it again while it is as many
    /// as `limit`.
    pub async fn delete_expired_keys(&self, now: Timestamp, limit: usize) -> Completion<u64> {
        let work = async |connection: &mut PgConnection| keys::delete_expired(connection, now, limit).await;
        transaction::run(&self.pool, Durability::Synced, work).await
    }

    /// Ends all connections. Transactions that run are finished first.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

//! SQLite, the embedded default: outbox, progress of every consumer, read model, ledger, and what was set aside.
//!
//! Everything here can be rebuilt from the journal. Rows and the checkpoint that they stand for change in one
//! transaction, so a replay changes nothing and a crash loses a whole step or none of it (INV-06, INV-08).
//!
//! | module | owns |
//! |---|---|
//! | `connection`, `transaction` | the file, its settings, its migrations; how a transaction ends |
//! | `perform` | which effect is which transaction |
//! | `known`, `numbers`, `rows` | how wallets stand in tables, and statements over many rows |
//! | `outbox`, `outbox_row`, `heads`, `checkpoints`, `held`, `read_model`, `ledger` | one table each, or nearly |
//! | `queries` | what readers see |

mod checkpoints;
mod connection;
mod heads;
mod held;
mod known;
mod ledger;
mod numbers;
mod outbox;
mod outbox_row;
mod perform;
mod queries;
mod read_model;
mod rows;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use wallex_core::effect::Completion;
use wallex_core::event::Recorded;
use wallex_core::id::Position;
use wallex_core::time::Timestamp;

pub use queries::SqliteQueries;

use super::error::{self, DatabaseError};
use super::form;
use super::queries::{Queries, Source};
use super::waiting::Waiting;
use known::Known;
use transaction::Writer;

/// The pipeline's database; cheap to clone.
#[derive(Clone)]
pub struct SqliteDatabase {
    writer: Arc<Writer>,
    readers: SqlitePool,
    waiting: Arc<Waiting>,
}

impl SqliteDatabase {
    /// Opens or creates the file and brings its schema to this version's.
    ///
    /// # Errors
    /// [`DatabaseError::Open`] or [`DatabaseError::Migrate`], with the file's name.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        let path = path.as_ref();
        let connection = connection::open_writer(path).await?;
        let readers = connection::open_readers(path).await?;
        let writer = Arc::new(Writer::new(path.to_owned(), connection));
        Ok(Self { writer, readers, waiting: Arc::new(Waiting::new()) })
    }

    /// What readers ask.
    #[must_use]
    pub fn queries(&self) -> Queries {
        Queries::new(Source::Sqlite(SqliteQueries::new(self.readers.clone())), Arc::clone(&self.waiting))
    }

    /// Published outbox rows after `after` and up to `up_to`, in order of position, of which `wanted` takes by
    /// partition and position. `limit` bounds the rows looked at; the position to go on from is nothing at the end.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Damaged`] with the position of a row that holds no event.
    pub(crate) async fn published(
        &self,
        after: Position,
        up_to: Position,
        limit: usize,
        wanted: impl Fn(u16, Position) -> bool,
    ) -> Result<(Vec<Recorded>, Option<Position>), DatabaseError> {
        outbox::read_published(&self.readers, after, up_to, limit, wanted).await
    }

    /// The position up to which everything is published or set aside, and how far each partition reaches below it.
    ///
    /// # Errors
    /// [`DatabaseError::Query`].
    pub(crate) async fn published_end(&self) -> Result<(Position, Vec<(u16, Position)>), DatabaseError> {
        outbox::published_end(&self.readers).await
    }

    /// Deletes up to `limit` outbox rows that were published before a point in time and that every consumer has
    /// passed. Says how many went; call it again while it is as many as `limit`.
    pub async fn delete_published_outbox(&self, before: Timestamp, limit: usize) -> Completion<u64> {
        let work = async |connection: &mut SqliteConnection, known: &mut Known| {
            // The last versions of rows that go must stand elsewhere.
            known.outbox.write(connection).await?;
            outbox::delete_published(connection, before, limit).await
        };
        self.writer.run(work).await
    }

    /// Ends all connections. Transactions that run are finished first.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

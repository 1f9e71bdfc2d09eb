//! What readers ask: wallets, their history, and how far the pipeline is, of whichever database there is.
//!
//! Reads go through connections of their own and see what is committed. None holds a transaction open between pages. A
//! reader that waits for a version (INV-12) is woken by this process' own projector; where other instances project too,
//! one reader at a time looks for all that wait.

mod cursor;
mod filter;
mod statement;
mod statistics;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::LedgerEntry;
use wallex_core::wallet::Wallet;

pub use cursor::{Cursor, CursorError};
pub use filter::{TransactionFilter, WalletFilter};
pub use statement::Statement;
pub use statistics::{ConsumerStatistics, Statistics};

pub(in crate::database) use filter::minor_bound;

use super::error::DatabaseError;
use super::postgres::PostgresQueries;
use super::sqlite::SqliteQueries;
use super::waiting::Waiting;

/// How often readers that wait for a version look for what other instances have projected.
const WAITING_LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Wallets that are looked for at once.
const WAITING_LOOK_WALLETS_MAX: usize = 1_000;

/// Answers readers; cheap to clone.
#[derive(Clone)]
pub struct Queries {
    source: Source,
    waiting: Arc<Waiting>,
}

/// Which database answers.
#[derive(Clone)]
pub(super) enum Source {
    Sqlite(SqliteQueries),
    Postgres(PostgresQueries),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is not this question's.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Queries {
    pub(super) fn new(source: Source, waiting: Arc<Waiting>) -> Self {
        Self { source, waiting }
    }

    /// A wallet of the read model.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn wallet(&self, wallet: &WalletId) -> Result<Option<Wallet>, QueryError> {
        match &self.source {
            Source::Sqlite(queries) => queries.wallet(wallet).await,
            Source::Postgres(queries) => queries.wallet(wallet).await,
        }
    }

    /// Wallets in order of creation.
    ///
    /// # Errors
    /// [`QueryError::Cursor`] when the cursor is another question's, or [`QueryError::Database`].
    pub async fn wallets(&self, filter: &WalletFilter) -> Result<Page<Wallet>, QueryError> {
        match &self.source {
            Source::Sqlite(queries) => queries.wallets(filter).await,
            Source::Postgres(queries) => queries.wallets(filter).await,
        }
    }

    /// Entries of a wallet, newest first unless the filter says otherwise; none for a wallet that has none.
    ///
    /// # Errors
    /// [`QueryError::Cursor`] when the cursor is another question's, or [`QueryError::Database`].
    pub async fn transactions(
        &self,
        wallet: &WalletId,
        filter: &TransactionFilter,
    ) -> Result<Page<LedgerEntry>, QueryError> {
        match &self.source {
            Source::Sqlite(queries) => queries.transactions(wallet, filter).await,
            Source::Postgres(queries) => queries.transactions(wallet, filter).await,
        }
    }

    /// How far the pipeline is.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn statistics(&self) -> Result<Statistics, QueryError> {
        match &self.source {
            Source::Sqlite(queries) => queries.statistics().await,
            Source::Postgres(queries) => queries.statistics().await,
        }
    }

    /// Waits until a wallet has reached `version` (INV-12), at most for `timeout`. Gives what is there then: nothing, or a
    /// wallet whose version is lower when the time ran out.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn wait_for_version(
        &self,
        wallet: &WalletId,
        version: Version,
        timeout: Duration,
    ) -> Result<Option<Wallet>, QueryError> {
        let reached = |found: &Option<Wallet>| found.as_ref().is_some_and(|wallet| wallet.version >= version);
        let found = self.wallet(wallet).await?;
        if reached(&found) {
            return Ok(found);
        }
        // Registered before the second look, so that no transaction in between is missed.
        let woken = self.waiting.register(wallet, version);
        let found = self.wallet(wallet).await?;
        if reached(&found) {
            drop(woken);
            self.waiting.unregister(wallet);
            return Ok(found);
        }
        let looked = async {
            tokio::select! {
                biased;
                _ = woken => Ok(()),
                failed = self.look_for_waiting() => failed,
            }
        };
        let ended = tokio::time::timeout(timeout, looked).await;
        if !matches!(ended, Ok(Ok(()))) {
            self.waiting.unregister(wallet);
        }
        ended.unwrap_or(Ok(()))?;
        self.wallet(wallet).await
    }

    /// Looks now and then for what other instances have projected, for all that wait; comes back only with an error.
    async fn look_for_waiting(&self) -> Result<(), QueryError> {
        loop {
            tokio::time::sleep(WAITING_LOOK_INTERVAL).await;
            match &self.source {
                // No other process writes to the file.
                Source::Sqlite(_) => std::future::pending().await,
                Source::Postgres(queries) => {
                    // Whoever comes first looks for everybody: one question at a time, however many wait.
                    let Some(mut turn) = self.waiting.turn() else { continue };
                    let wallets = self.waiting.waited_for(&mut turn, WAITING_LOOK_WALLETS_MAX);
                    self.waiting.found(&queries.versions(&wallets).await?);
                }
            }
        }
    }

    /// Ticks after every committed transaction of the read model.
    #[must_use]
    pub fn projected(&self) -> watch::Receiver<u64> {
        self.waiting.transactions()
    }

    /// Asks the database for nothing.
    ///
    /// # Errors
    /// [`QueryError::Database`] when it does not answer.
    pub async fn ping(&self) -> Result<(), QueryError> {
        match &self.source {
            Source::Sqlite(queries) => queries.ping().await,
            Source::Postgres(queries) => queries.ping().await,
        }
    }
}

/// Cuts the extra row off that tells whether there is a next page.
pub(super) fn page<T>(mut rows: Vec<(u64, T)>, limit: usize, question: [u8; 8]) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(key, _)| Cursor { key: *key, question });
    Page { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}

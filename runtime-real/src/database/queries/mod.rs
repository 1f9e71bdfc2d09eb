//! What readers ask: wallets, their history, and how far the pipeline is.
//!
//! Reads go through connections of their own and see what is committed. None holds a transaction open between pages, so
//! a slow reader does not keep the log of the database from being emptied.

mod cursor;
mod statistics;
mod transactions;
mod wallets;

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;
use wallex_core::id::{Version, WalletId};
use wallex_core::wallet::Wallet;

pub use cursor::{Cursor, CursorError};
pub use statistics::{ConsumerStatistics, Statistics};
pub use transactions::{Statement, TransactionFilter};
pub use wallets::WalletFilter;

use super::error::DatabaseError;
use super::waiting::Waiting;

/// Answers readers; cheap to clone.
#[derive(Clone)]
pub struct Queries {
    readers: SqlitePool,
    waiting: Arc<Waiting>,
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
    pub(super) fn new(readers: SqlitePool, waiting: Arc<Waiting>) -> Self {
        Self { readers, waiting }
    }

    /// A wallet of the read model.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn wallet(&self, wallet: &WalletId) -> Result<Option<Wallet>, QueryError> {
        wallets::one(&self.readers, wallet).await
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
        if tokio::time::timeout(timeout, woken).await.is_err() {
            self.waiting.unregister(wallet);
        }
        self.wallet(wallet).await
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
        sqlx::query("SELECT 1 FROM projector_checkpoints LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(())
    }
}

/// Cuts the extra row off that tells whether there is a next page.
fn page<T>(mut rows: Vec<(u64, T)>, limit: usize, question: [u8; 8]) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(key, _)| Cursor { key: *key, question });
    Page { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}

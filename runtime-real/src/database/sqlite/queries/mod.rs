//! What readers ask of the file: wallets, their history, and how far the pipeline is.
//!
//! Reads go through connections of their own and see what is committed. None holds a transaction open between pages, so
//! a slow reader does not keep the log of the database from being emptied.

mod statistics;
mod transactions;
mod wallets;

use sqlx::sqlite::SqlitePool;
use wallex_core::id::WalletId;
use wallex_core::wallet::Wallet;

use crate::database::queries::QueryError;

/// Reads the file; cheap to clone.
#[derive(Clone)]
pub struct SqliteQueries {
    readers: SqlitePool,
}

impl SqliteQueries {
    pub(super) fn new(readers: SqlitePool) -> Self {
        Self { readers }
    }

    pub(in crate::database) async fn wallet(&self, wallet: &WalletId) -> Result<Option<Wallet>, QueryError> {
        wallets::one(&self.readers, wallet).await
    }

    pub(in crate::database) async fn ping(&self) -> Result<(), QueryError> {
        sqlx::query("SELECT 1 FROM projector_checkpoints LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(())
    }
}

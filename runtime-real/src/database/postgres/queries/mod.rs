//! What readers ask of the server: wallets, their history, and how far the pipeline is.
//!
//! Each question is one statement on a connection of the pool and sees what is committed.

mod statistics;
mod transactions;
mod wallets;

use sqlx::postgres::{PgConnection, PgPool};
use wallex_core::id::{Version, WalletId};

use crate::database::form::{self, count};
use crate::database::postgres::transaction::read;
use crate::database::queries::QueryError;

/// Reads the server; cheap to clone.
#[derive(Clone)]
pub struct PostgresQueries {
    pool: PgPool,
}

impl PostgresQueries {
    pub(in crate::database) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The versions of those of these wallets that the read model has.
    pub(in crate::database) async fn versions(
        &self,
        wallets: &[WalletId],
    ) -> Result<Vec<(WalletId, Version)>, QueryError> {
        let question = async |connection: &mut PgConnection| {
            let found: Vec<(String, i64)> =
                sqlx::query_as("SELECT wallet_id, version FROM wallet_states WHERE wallet_id = ANY($1)")
                    .bind(wallets.iter().map(WalletId::as_str).collect::<Vec<_>>())
                    .fetch_all(connection)
                    .await?;
            Ok::<_, QueryError>(found)
        };
        let found = read(&self.pool, question).await?;
        found.into_iter().map(|(id, version)| Ok((form::wallet_id(&id)?, Version(count(version))))).collect()
    }

    pub(in crate::database) async fn ping(&self) -> Result<(), QueryError> {
        let question = async |connection: &mut PgConnection| {
            sqlx::query("SELECT FROM projector_checkpoints LIMIT 1").fetch_optional(connection).await?;
            Ok(())
        };
        read(&self.pool, question).await
    }
}

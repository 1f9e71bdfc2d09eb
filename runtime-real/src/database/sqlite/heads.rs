//! The last version of each wallet in a table that only grows: its unique key on (wallet, version).
//!
//! Rows of a wallet arrive in version order (INV-07), so a version that is not after the last one is a second one. A row
//! per wallet, moved once per transaction, costs a fraction of an index entry per event in a random place.

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::{Version, WalletId};

use super::error::Stop;
use super::form::int;
use super::rows::RowsStatement;

/// The heads of one table.
pub(super) struct Heads {
    /// For messages.
    name: &'static str,
    upsert: RowsStatement,
    head: &'static str,
}

pub(super) static OUTBOX: Heads = Heads {
    name: "outbox",
    upsert: RowsStatement::new(
        "INSERT OR ROLLBACK INTO outbox_heads (wallet, previous, version) VALUES",
        3,
        "ON CONFLICT (wallet) DO UPDATE SET previous = excluded.previous, version = excluded.version
         WHERE version <= excluded.previous",
    ),
    head: "SELECT previous, version FROM outbox_heads WHERE wallet = ?",
};

pub(super) static LEDGER: Heads = Heads {
    name: "ledger",
    upsert: RowsStatement::new(
        "INSERT OR ROLLBACK INTO ledger_heads (wallet, previous, version) VALUES",
        3,
        "ON CONFLICT (wallet) DO UPDATE SET previous = excluded.previous, version = excluded.version
         WHERE version <= excluded.previous",
    ),
    head: "SELECT previous, version FROM ledger_heads WHERE wallet = ?",
};

/// A row that arrives.
pub(super) struct Arrival<'e> {
    pub(super) wallet: i64,
    pub(super) id: &'e WalletId,
    pub(super) version: Version,
}

/// A wallet's rows in one transaction.
struct Step<'e> {
    wallet: i64,
    id: &'e WalletId,
    first: Version,
    last: Version,
}

impl Heads {
    /// Moves the heads over rows that arrive.
    ///
    /// # Errors
    /// [`Stop::Rejected`] with the wallet and the version that is not after the last one.
    pub(super) async fn advance(
        &self,
        connection: &mut SqliteConnection,
        mut arrivals: Vec<Arrival<'_>>,
    ) -> Result<(), Stop> {
        // Stable: within a wallet the order of arrival stays.
        arrivals.sort_by_key(|arrival| arrival.wallet);
        let mut steps: Vec<Step<'_>> = Vec::with_capacity(arrivals.len());
        for Arrival { wallet, id, version } in arrivals {
            match steps.last_mut().filter(|step| step.wallet == wallet) {
                Some(step) if version > step.last => step.last = version,
                Some(_) => return Err(self.refused(id, version)),
                None => steps.push(Step { wallet, id, first: version, last: version }),
            }
        }
        let result = self
            .upsert
            .execute(connection, &steps, |step, row| {
                row.int(step.wallet);
                row.int(int(step.first.0) - 1);
                row.int(int(step.last.0));
            })
            .await;
        let Err(stopped) = result else { return Ok(()) };
        if let Some(error) = stopped.error {
            return Err(Stop::Sql(error));
        }
        for step in stopped.chunk {
            let head: Option<(i64, i64)> =
                sqlx::query_as(self.head).bind(step.wallet).fetch_optional(&mut *connection).await?;
            // Heads that did move stand at this very step.
            if head != Some((int(step.first.0) - 1, int(step.last.0))) {
                return Err(self.refused(step.id, step.first));
            }
        }
        // Left are steps that the table took before, exactly like this.
        Err(stopped.chunk.first().map_or(Stop::Conflict, |step| self.refused(step.id, step.first)))
    }

    fn refused(&self, wallet: &WalletId, version: Version) -> Stop {
        Stop::Rejected(format!("wallet {wallet}: the {} has version {version} or a later one already", self.name))
    }
}

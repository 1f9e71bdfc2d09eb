//! The last version of each wallet in a table that only grows: its unique key on (wallet, version).
//!
//! Rows of a wallet arrive in version order (INV-07), so a version that is not after the last one is a second one. The
//! last versions stand in a table, and what has moved since it was written, in memory. It is written again when many have
//! moved, in the transaction that moves them, and its mark says up to which row it is complete; a start reads the rows
//! after the mark. An index entry for each event, or a row for each wallet of each transaction, would cost many times
//! that, and more the more wallets there are.

use std::hash::{BuildHasher as _, RandomState};

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::{Version, WalletId};
use wallex_core::index::{Index, index};

use super::error::Stop;
use super::form::{count, int};
use super::rows::RowsStatement;

/// Wallets that have moved, above which the table is written. Tests pass through many.
const MOVED_MAX: usize = if cfg!(test) { 3 } else { 65_536 };
/// Rows after which the table is written, however few wallets they are of: a start reads no more than these.
const ROWS_MAX: usize = if cfg!(test) { 16 } else { 262_144 };
/// Most wallets whose last version is kept in memory without need.
const KNOWN_MAX: usize = 262_144;

/// What is different about the two tables.
struct Table {
    /// For messages, and in `heads_marks`.
    name: &'static str,
    upsert: RowsStatement,
    /// Takes a JSON array of wallet numbers.
    find: &'static str,
    /// Takes the mark.
    newer: &'static str,
    /// The last row.
    last: &'static str,
}

static OUTBOX: Table = Table {
    name: "outbox",
    upsert: RowsStatement::new(
        "INSERT INTO outbox_heads (wallet, version) VALUES",
        2,
        "ON CONFLICT (wallet) DO UPDATE SET version = excluded.version",
    ),
    find: "SELECT h.wallet, h.version FROM json_each(?) j JOIN outbox_heads h ON h.wallet = j.value",
    newer: "SELECT wallet, max(event_version) FROM outbox_events WHERE position > ? GROUP BY wallet",
    last: "SELECT coalesce(max(position), 0) FROM outbox_events",
};

static LEDGER: Table = Table {
    name: "ledger",
    upsert: RowsStatement::new(
        "INSERT INTO ledger_heads (wallet, version) VALUES",
        2,
        "ON CONFLICT (wallet) DO UPDATE SET version = excluded.version",
    ),
    find: "SELECT h.wallet, h.version FROM json_each(?) j JOIN ledger_heads h ON h.wallet = j.value",
    newer: "SELECT wallet, max(version) FROM ledger_rows WHERE id > ? GROUP BY wallet",
    last: "SELECT coalesce(max(id), 0) FROM ledger_rows",
};

/// The heads of one table.
pub(super) struct Heads {
    table: &'static Table,
    /// What the table does not have yet; nothing before it was read.
    moved: Option<Index<i64, i64>>,
    /// Rows since the table was written.
    rows: usize,
    /// What the table has, as far as it was asked.
    known: Index<i64, i64>,
}

/// A row that arrives.
pub(super) struct Arrival<'e> {
    pub(super) wallet: i64,
    pub(super) id: &'e WalletId,
    pub(super) version: Version,
}

impl Heads {
    pub(super) fn of_outbox() -> Self {
        Self::of(&OUTBOX)
    }

    pub(super) fn of_ledger() -> Self {
        Self::of(&LEDGER)
    }

    fn of(table: &'static Table) -> Self {
        Self { table, moved: None, rows: 0, known: index(RandomState::new().hash_one(0)) }
    }

    /// Forgets everything: after a rollback or an unknown outcome.
    pub(super) fn clear(&mut self) {
        self.moved = None;
        self.known.clear();
    }

    /// Moves the heads over rows that arrive.
    ///
    /// # Errors
    /// [`Stop::Rejected`] with the wallet and the version that is not after the last one.
    pub(super) async fn advance(
        &mut self,
        connection: &mut SqliteConnection,
        arrivals: &[Arrival<'_>],
    ) -> Result<(), Stop> {
        self.know(connection, arrivals.iter().map(|arrival| arrival.wallet)).await?;
        for Arrival { wallet, id, version } in arrivals {
            if int(version.0) <= self.version(*wallet) {
                let name = self.table.name;
                return Err(Stop::Rejected(format!(
                    "wallet {id}: the {name} has version {version} or a later one already"
                )));
            }
            if let Some(moved) = &mut self.moved {
                moved.insert(*wallet, int(version.0));
            }
        }
        self.rows += arrivals.len();
        Ok(())
    }

    /// The last versions of these wallets, 0 for those without rows.
    pub(super) async fn versions(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: &[Option<i64>],
    ) -> Result<Vec<Version>, sqlx::Error> {
        self.know(connection, wallets.iter().flatten().copied()).await?;
        Ok(wallets.iter().map(|wallet| Version(wallet.map_or(0, |wallet| count(self.version(wallet))))).collect())
    }

    fn version(&self, wallet: i64) -> i64 {
        let moved = self.moved.as_ref().and_then(|moved| moved.get(&wallet));
        moved.or_else(|| self.known.get(&wallet)).copied().unwrap_or(0)
    }

    /// Reads what is not in memory.
    async fn know(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: impl Iterator<Item = i64>,
    ) -> Result<(), sqlx::Error> {
        if self.moved.is_none() {
            let mark: Option<i64> = sqlx::query_scalar("SELECT last FROM heads_marks WHERE name = ?")
                .bind(self.table.name)
                .fetch_optional(&mut *connection)
                .await?;
            let newer: Vec<(i64, i64)> =
                sqlx::query_as(self.table.newer).bind(mark.unwrap_or(0)).fetch_all(&mut *connection).await?;
            let mut moved = index(RandomState::new().hash_one(0));
            moved.extend(newer);
            self.moved = Some(moved);
            // How many rows that was is not known: it is enough.
            self.rows = ROWS_MAX;
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let mut missing = Vec::new();
        for wallet in wallets {
            let moved = self.moved.as_ref().is_some_and(|moved| moved.contains_key(&wallet));
            if !moved && !self.known.contains_key(&wallet) {
                self.known.insert(wallet, 0);
                missing.push(wallet.to_string());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let numbers = format!("[{}]", missing.join(","));
        let found: Vec<(i64, i64)> = sqlx::query_as(self.table.find).bind(numbers).fetch_all(connection).await?;
        self.known.extend(found);
        Ok(())
    }

    /// Writes the table when it is time. The rows that moved the heads must be written already.
    pub(super) async fn write_when_due(&mut self, connection: &mut SqliteConnection) -> Result<(), Stop> {
        match &self.moved {
            Some(moved) if moved.len() >= MOVED_MAX || self.rows >= ROWS_MAX => self.write(connection).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Writes the table: it is complete then.
    pub(super) async fn write(&mut self, connection: &mut SqliteConnection) -> Result<(), Stop> {
        self.know(connection, std::iter::empty()).await?;
        let Some(moved) = &mut self.moved else { return Ok(()) };
        // In the order of the table, so that each of its pages is visited once.
        let mut rows: Vec<(i64, i64)> = moved.drain(..).collect();
        rows.sort_unstable();
        self.table
            .upsert
            .execute(connection, &rows, |(wallet, version), row| {
                row.int(*wallet);
                row.int(*version);
            })
            .await?;
        self.known.extend(rows);
        let last: i64 = sqlx::query_scalar(self.table.last).fetch_one(&mut *connection).await?;
        sqlx::query("INSERT OR REPLACE INTO heads_marks (name, last) VALUES (?, ?)")
            .bind(self.table.name)
            .bind(last)
            .execute(connection)
            .await?;
        self.rows = 0;
        Ok(())
    }
}

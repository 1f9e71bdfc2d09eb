//! Postgres' tables as they stand in one read transaction: progress, read model, ledger sums, outbox rows in chunks.
//!
//! The transaction is read-only and sees one moment of all tables, so running instances are not disturbed. What is read
//! is turned into the verifier's own types; the statements of the service are not used.

use std::collections::HashMap;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Row as _};
use wallex_core::currency::Currency;
use wallex_core::id::OwnerId;
use wallex_core::projector::Consumer;

use super::columns::decoded;
use super::fold::{LedgerRow, Row};
use super::progress::Progress;
use super::tables::{CHUNK, FEEDER, OutboxRow, Shown, reached_by};

/// The tables, in one transaction.
pub struct ServerTables {
    connection: PgConnection,
    /// How far everybody got.
    pub progress: Progress,
    /// Rows of the outbox before this position may have been cleaned up.
    pub retained_from: u64,
    /// What they show.
    pub shown: Shown,
}

impl ServerTables {
    /// Connects and reads everything but the outbox.
    ///
    /// # Errors
    /// Whatever Postgres says.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.application_name("wallex-verify").disable_statement_logging();
        let (progress, shown) = (Progress::default(), Shown::default());
        let mut tables = Self { connection: options.connect().await?, progress, retained_from: 0, shown };
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut tables.connection).await?;
        tables.read_progress().await?;
        tables.read_retention().await?;
        tables.read_held().await?;
        tables.read_rows().await?;
        tables.read_ledger().await?;
        Ok(tables)
    }

    async fn read_progress(&mut self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("SELECT consumer_name, partition, position, applied FROM projector_checkpoints")
            .fetch_all(&mut self.connection)
            .await?;
        for row in rows {
            let (name, partition): (String, i16) = (row.try_get(0)?, row.try_get(1)?);
            let (position, applied) = (unsigned(&row, 2)?, unsigned(&row, 3)?);
            let partition = u16::try_from(partition).unwrap_or(u16::MAX);
            if name == FEEDER {
                self.progress.feeder.positions.insert(partition, position);
            } else if name == Consumer::Relay.name() {
                self.progress.relay.positions.insert(partition, position);
            } else if reached_by(&mut self.progress, &name).is_some() {
                self.shown.applied.entry(name).or_default().insert(partition, applied);
            } else {
                self.shown.unreadable.push(format!("projector_checkpoints: unknown consumer {name:?}"));
            }
        }
        Ok(())
    }

    /// Rows are cleaned up from the front, those that the relay holds back excepted, and the record of a batch goes with
    /// its last row.
    async fn read_retention(&mut self) -> Result<(), sqlx::Error> {
        let (row, batch): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT min(position) FROM outbox_events e WHERE NOT EXISTS
                 (SELECT 1 FROM held_events h WHERE h.consumer_name = $1 AND h.position = e.position)),
                 (SELECT min(last_position) FROM outbox_published)",
        )
        .bind(Consumer::Relay.name())
        .fetch_one(&mut self.connection)
        .await?;
        let published = self.progress.relay.positions.get(&0).copied().unwrap_or(0);
        let position = |found: Option<i64>| found.and_then(|position| u64::try_from(position).ok());
        let batch = position(batch).unwrap_or(published + 1);
        self.retained_from = position(row).map_or(batch, |row| row.min(batch));
        Ok(())
    }

    async fn read_held(&mut self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT consumer_name, wallet_id, min(event_version), max(event_version), count(*)
             FROM held_events GROUP BY consumer_name, wallet_id",
        )
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            let (name, wallet): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (from, to, count) = (unsigned(&row, 2)?, unsigned(&row, 3)?, unsigned(&row, 4)?);
            let Some(reached) = reached_by(&mut self.progress, &name) else {
                self.shown.unreadable.push(format!("held_events: unknown consumer {name:?}"));
                continue;
            };
            reached.held_from.insert(wallet.clone(), from);
            reached.held_to.insert(wallet, to);
            *self.shown.held.entry(name).or_default() += count;
        }
        Ok(())
    }

    async fn read_rows(&mut self) -> Result<(), sqlx::Error> {
        let mut versions = HashMap::new();
        let mut after = String::new();
        loop {
            let rows = sqlx::query(
                "SELECT wallet_id, version, balance, updated_us, created_us, owner_id, currency FROM wallet_states
                 WHERE wallet_id > $1 ORDER BY wallet_id LIMIT $2",
            )
            .bind(&after)
            .bind(CHUNK)
            .fetch_all(&mut self.connection)
            .await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0)?;
            for row in &rows {
                let wallet: String = row.try_get(0)?;
                let (owner, currency): (&str, &str) = (row.try_get(5)?, row.try_get(6)?);
                let (Ok(owner), Ok(currency)) = (OwnerId::parse(owner), Currency::parse(currency)) else {
                    self.shown.unreadable.push(format!("read model: the row of {wallet} has no owner or currency"));
                    continue;
                };
                let balance: i64 = row.try_get(2)?;
                let (version, balance) = (unsigned(row, 1)?, i128::from(balance));
                let (created_at, updated_at) = (row.try_get(4)?, row.try_get(3)?);
                versions.insert(wallet.clone(), version);
                self.shown.rows.insert(wallet, Row { owner, currency, balance, version, created_at, updated_at });
            }
        }
        self.progress.read_model.versions = Some(versions);
        Ok(())
    }

    async fn read_ledger(&mut self) -> Result<(), sqlx::Error> {
        let mut after = (String::new(), 0_i64);
        loop {
            let rows = sqlx::query(
                "SELECT wallet_id, version, kind, amount, balance, occurred_us, uuid_send(event_id),
                        uuid_send(command_id), uuid_send(transfer_id), counterparty, correlation_id, description, currency
                 FROM ledger_rows WHERE (wallet_id, version) > ($1, $2) ORDER BY wallet_id, version LIMIT $3",
            )
            .bind(&after.0)
            .bind(after.1)
            .bind(CHUNK)
            .fetch_all(&mut self.connection)
            .await?;
            let Some(last) = rows.last() else { break };
            after = (last.try_get(0)?, last.try_get(1)?);
            for row in &rows {
                self.add_ledger_row(row)?;
            }
        }
        self.progress.ledger.versions = Some(self.shown.heads.clone());
        Ok(())
    }

    fn add_ledger_row(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (wallet, version): (String, u64) = (row.try_get(0)?, unsigned(row, 1)?);
        let code: i16 = row.try_get(2)?;
        let kind = ["create", "credit", "debit", "transfer_in", "transfer_out"]
            .get(usize::try_from(code - 1).unwrap_or(usize::MAX))
            .copied();
        let (Some(kind), Some(event_id), Some(command_id)) = (kind, id(row, 6)?, id(row, 7)?) else {
            self.shown.unreadable.push(format!("ledger: {wallet} version {version} names no kind, event or command"));
            return Ok(());
        };
        let (amount, balance): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let ledger_row = LedgerRow {
            event_id,
            version,
            kind,
            amount: i128::from(amount),
            balance: i128::from(balance),
            currency: row.try_get(12)?,
            transfer_id: id(row, 8)?,
            counterparty: row.try_get(9)?,
            description: row.try_get(11)?,
            occurred_at: row.try_get(5)?,
            command_id,
            correlation_id: row.try_get(10)?,
        };
        self.shown.sums.entry(wallet.clone()).or_default().add(&ledger_row);
        let head = self.shown.heads.entry(wallet).or_default();
        *head = version.max(*head);
        Ok(())
    }

    /// The next rows of the outbox after a position, in order; none at the end.
    ///
    /// # Errors
    /// Whatever Postgres says.
    pub async fn outbox_after(&mut self, position: u64) -> Result<Vec<OutboxRow>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT position, wallet_id, event_version, event_type, uuid_send(event_id), payload::text
             FROM outbox_events WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(CHUNK)
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter().map(outbox_row).collect()
    }
}

fn outbox_row(row: &PgRow) -> Result<OutboxRow, sqlx::Error> {
    let code: i16 = row.try_get(3)?;
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    let event = match id(row, 4)? {
        Some(event_id) => decoded(event_id, code, row.try_get(5)?),
        None => Err("there is no event id".to_owned()),
    };
    Ok(OutboxRow { position: unsigned(row, 0)?, identity: (row.try_get(1)?, unsigned(row, 2)?, code), event })
}

fn id(row: &PgRow, column: usize) -> Result<Option<[u8; 16]>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
}

fn unsigned(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number)
        .map_err(|_| sqlx::Error::Protocol(format!("column {column} holds {number}, a negative number")))
}

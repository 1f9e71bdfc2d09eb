//! SQLite's tables as they stand in one read transaction: progress, read model, ledger sums, outbox rows in chunks.
//!
//! Opened read-only, so that a running service is not disturbed. Everything that is compared with the log is turned
//! into the verifier's own types here; nothing is trusted to agree.

use std::collections::HashMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _};
use wallex_core::currency::Currency;
use wallex_core::event::Event;
use wallex_core::id::OwnerId;
use wallex_core::projector::Consumer;

use super::columns::OutboxColumns;
use super::fold::{LedgerRow, LedgerSums, Row};
use super::progress::{Progress, Reached};

/// The consumer name under which the outbox keeps its own progress.
pub(super) const FEEDER: &str = "outbox-feeder";
/// Outbox rows read at once.
pub(super) const CHUNK: i64 = 4_096;

/// A wallet's fixed properties, under its number in the tables.
struct Numbered {
    wallet_id: String,
    currency: String,
}

/// The tables, in one transaction.
pub struct Tables {
    connection: SqliteConnection,
    numbers: HashMap<i64, Numbered>,
    /// How far everybody got.
    pub progress: Progress,
    /// Rows of the outbox before this position may have been cleaned up.
    pub retained_from: u64,
    /// What they show.
    pub shown: Shown,
}

/// What the tables show, other than the outbox.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Events set aside, by consumer.
    pub held: HashMap<String, u64>,
    /// Events applied, by consumer and partition, of consumers whose positions are not those of the log.
    pub applied: HashMap<String, HashMap<u16, u64>>,
    /// Rows of the read model, by wallet.
    pub rows: HashMap<String, Row>,
    /// Sums over the ledger, by wallet.
    pub sums: HashMap<String, LedgerSums>,
    /// The last version in the ledger, by wallet: what refuses a second entry for a version.
    pub heads: HashMap<String, u64>,
    /// Rows that cannot be read, in words.
    pub unreadable: Vec<String>,
}

/// One row of the outbox.
pub struct OutboxRow {
    /// Its place in the log.
    pub position: u64,
    /// Its identity columns: wallet, version, type.
    pub identity: (String, u64, u8),
    /// The event that it holds, or why it holds none.
    pub event: Result<Event, String>,
}

impl Tables {
    /// Opens the database file and reads everything but the outbox.
    ///
    /// # Errors
    /// Whatever SQLite says: no file, no such table, a damaged file.
    pub async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(super::BUSY_TIMEOUT);
        let mut tables = Self {
            connection: options.connect().await?,
            numbers: HashMap::new(),
            progress: Progress::default(),
            retained_from: 0,
            shown: Shown::default(),
        };
        // One transaction: all tables are seen as of the same moment.
        sqlx::query("BEGIN").execute(&mut tables.connection).await?;
        tables.read_progress().await?;
        tables.read_held().await?;
        tables.read_numbers().await?;
        tables.read_rows().await?;
        tables.read_ledger().await?;
        Ok(tables)
    }

    async fn read_progress(&mut self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("SELECT consumer_name, partition, position FROM projector_checkpoints")
            .fetch_all(&mut self.connection)
            .await?;
        for row in rows {
            let (name, partition, position): (String, u16, u64) =
                (row.try_get(0)?, row.try_get(1)?, unsigned(&row, 2)?);
            let reached = match reached_by(&mut self.progress, &name) {
                Some(reached) => reached,
                None if name == FEEDER => &mut self.progress.feeder,
                None => {
                    self.shown.unreadable.push(format!("projector_checkpoints: unknown consumer {name:?}"));
                    continue;
                }
            };
            reached.positions.insert(partition, position);
        }
        let published = self.progress.relay.positions.get(&0).copied().unwrap_or(0);
        // Rows are cleaned up from the front, those that the relay holds back excepted, and the record of a batch goes
        // with its last row.
        let (row, batch): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT min(position) FROM outbox_events e WHERE NOT EXISTS \
             (SELECT 1 FROM held_events h WHERE h.consumer_name = ?1 AND h.position = e.position)), \
             (SELECT min(last_position) FROM outbox_published)",
        )
        .bind(Consumer::Relay.name())
        .fetch_one(&mut self.connection)
        .await?;
        let position = |found: Option<i64>| found.and_then(|position| u64::try_from(position).ok());
        let batch = position(batch).unwrap_or(published + 1);
        self.retained_from = position(row).map_or(batch, |row| row.min(batch));
        Ok(())
    }

    async fn read_held(&mut self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT consumer_name, wallet_id, min(event_version), count(*) FROM held_events GROUP BY consumer_name, wallet_id",
        )
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            let (name, wallet): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (from, count) = (unsigned(&row, 2)?, unsigned(&row, 3)?);
            let Some(reached) = reached_by(&mut self.progress, &name) else {
                self.shown.unreadable.push(format!("held_events: unknown consumer {name:?}"));
                continue;
            };
            reached.held_from.insert(wallet, from);
            *self.shown.held.entry(name).or_default() += count;
        }
        Ok(())
    }

    async fn read_numbers(&mut self) -> Result<(), sqlx::Error> {
        let mut after = i64::MIN;
        loop {
            let rows = sqlx::query(
                "SELECT wallet, wallet_id, currency FROM wallet_numbers WHERE wallet > ?1 ORDER BY wallet LIMIT ?2",
            )
            .bind(after)
            .bind(CHUNK)
            .fetch_all(&mut self.connection)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                let numbered = Numbered { wallet_id: row.try_get(1)?, currency: row.try_get(2)? };
                self.numbers.insert(row.try_get(0)?, numbered);
            }
        }
    }

    async fn read_rows(&mut self) -> Result<(), sqlx::Error> {
        let mut after = i64::MIN;
        loop {
            let rows = sqlx::query(
                "SELECT wallet, version, balance, updated_us, created_us, owner_id FROM wallet_states \
                 WHERE wallet > ?1 ORDER BY wallet LIMIT ?2",
            )
            .bind(after)
            .bind(CHUNK)
            .fetch_all(&mut self.connection)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                let wallet: i64 = row.try_get(0)?;
                let owner: String = row.try_get(5)?;
                let numbered = self.numbers.get(&wallet);
                let currency = numbered.and_then(|numbered| Currency::parse(&numbered.currency).ok());
                let (Some(numbered), Some(currency), Ok(owner)) = (numbered, currency, OwnerId::parse(&owner)) else {
                    self.shown.unreadable.push(format!("read model: row {wallet} has no wallet, currency or owner"));
                    continue;
                };
                let balance: i64 = row.try_get(2)?;
                let shown = Row {
                    owner,
                    currency,
                    balance: i128::from(balance),
                    version: unsigned(row, 1)?,
                    created_at: row.try_get(4)?,
                    updated_at: row.try_get(3)?,
                };
                self.shown.rows.insert(numbered.wallet_id.clone(), shown);
            }
        }
    }

    async fn read_ledger(&mut self) -> Result<(), sqlx::Error> {
        let mark = self.read_heads().await?;
        // In the order of the file: the sums do not depend on it.
        let mut after = i64::MIN;
        loop {
            let rows = sqlx::query(
                "SELECT wallet, version, kind, amount, balance, occurred_us, event_id, command_id, transfer_id, \
                 counterparty, correlation_id, description, id FROM ledger_rows WHERE id > ?1 ORDER BY id LIMIT ?2",
            )
            .bind(after)
            .bind(CHUNK)
            .fetch_all(&mut self.connection)
            .await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(12)?;
            for row in &rows {
                self.add_ledger_row(row)?;
                // Newer rows are their own heads.
                let (wallet, id): (i64, i64) = (row.try_get(0)?, row.try_get(12)?);
                if let Some(numbered) = self.numbers.get(&wallet).filter(|_| id > mark) {
                    let head = self.shown.heads.entry(numbered.wallet_id.clone()).or_default();
                    *head = unsigned(row, 1)?.max(*head);
                }
            }
        }
        Ok(())
    }

    /// The heads as their table has them; gives up to which row that is.
    async fn read_heads(&mut self) -> Result<i64, sqlx::Error> {
        let heads = sqlx::query("SELECT wallet, version FROM ledger_heads").fetch_all(&mut self.connection).await?;
        for row in &heads {
            let wallet: i64 = row.try_get(0)?;
            match self.numbers.get(&wallet) {
                Some(numbered) => drop(self.shown.heads.insert(numbered.wallet_id.clone(), unsigned(row, 1)?)),
                None => self.shown.unreadable.push(format!("ledger_heads: row {wallet} names no wallet")),
            }
        }
        let mark: Option<i64> = sqlx::query_scalar("SELECT last FROM heads_marks WHERE name = 'ledger'")
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(mark.unwrap_or(0))
    }

    fn add_ledger_row(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        let wallet: i64 = row.try_get(0)?;
        let version = unsigned(row, 1)?;
        let code: i64 = row.try_get(2)?;
        let counterparty: Option<i64> = row.try_get(9)?;
        let kind = ["create", "credit", "debit", "transfer_in", "transfer_out"]
            .get(usize::try_from(code - 1).unwrap_or(usize::MAX))
            .copied();
        let other = counterparty.map(|number| self.numbers.get(&number));
        let (Some(numbered), Some(kind), Some(event_id), None | Some(Some(_))) =
            (self.numbers.get(&wallet), kind, id(row, 6)?, other)
        else {
            self.shown
                .unreadable
                .push(format!("ledger: row {wallet} version {version} names no wallet, kind or event"));
            return Ok(());
        };
        let (amount, balance): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let ledger_row = LedgerRow {
            event_id,
            version,
            kind,
            amount: i128::from(amount),
            balance: i128::from(balance),
            currency: &numbered.currency,
            transfer_id: id(row, 8)?.or((kind == "transfer_out").then_some(event_id)),
            counterparty: other.flatten().map(|other| other.wallet_id.as_str()),
            description: row.try_get(11)?,
            occurred_at: row.try_get(5)?,
            command_id: id(row, 7)?.unwrap_or_else(|| command_of(event_id)),
            correlation_id: row.try_get(10)?,
        };
        self.shown.sums.entry(numbered.wallet_id.clone()).or_default().add(&ledger_row);
        Ok(())
    }

    /// The next rows of the outbox after a position, in order; none at the end.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub async fn outbox_after(&mut self, position: u64) -> Result<Vec<OutboxRow>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT position, wallet, event_version, event_type, event_id, created_us, amount, balance, \
             counterparty, command_id, transfer_id, correlation_id, description, owner_id, trace_parent \
             FROM outbox_events WHERE position > ?1 ORDER BY position LIMIT ?2",
        )
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(CHUNK)
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter().map(|row| self.outbox_row(row)).collect()
    }

    fn outbox_row(&self, row: &SqliteRow) -> Result<OutboxRow, sqlx::Error> {
        let code: u8 = row.try_get(3)?;
        let event = match id(row, 4)? {
            Some(event_id) => self.event(row, event_id, code)?,
            None => Err("the event id has no 16 bytes".to_owned()),
        };
        let wallet_id = self.wallet_id(row.try_get(1)?).unwrap_or_default().to_owned();
        Ok(OutboxRow { position: unsigned(row, 0)?, identity: (wallet_id, unsigned(row, 2)?, code), event })
    }

    fn wallet_id(&self, number: Option<i64>) -> Option<&str> {
        self.numbers.get(&number?).map(|numbered| numbered.wallet_id.as_str())
    }

    /// The event that the columns of a row stand for.
    fn event(&self, row: &SqliteRow, event_id: [u8; 16], code: u8) -> Result<Result<Event, String>, sqlx::Error> {
        let wallet: i64 = row.try_get(1)?;
        let Some(numbered) = self.numbers.get(&wallet) else {
            return Ok(Err("the row has no wallet".to_owned()));
        };
        let counterparty: Option<i64> = row.try_get(8)?;
        let columns = OutboxColumns {
            event_id,
            code,
            wallet_id: &numbered.wallet_id,
            currency: &numbered.currency,
            version: unsigned(row, 2)?,
            occurred_us: row.try_get(5)?,
            amount: row.try_get(6)?,
            balance: row.try_get(7)?,
            counterparty: self.wallet_id(counterparty),
            command_id: id(row, 9)?.unwrap_or_else(|| command_of(event_id)),
            transfer_id: id(row, 10)?.unwrap_or(event_id),
            correlation_id: row.try_get(11)?,
            description: row.try_get(12)?,
            owner_id: row.try_get(13)?,
            trace_parent: row.try_get(14)?,
        };
        if counterparty.is_some() && columns.counterparty.is_none() {
            return Ok(Err("the counterparty has no wallet".to_owned()));
        }
        Ok(columns.event())
    }
}

/// The progress of a consumer that has messages to set aside.
pub(super) fn reached_by<'a>(progress: &'a mut Progress, name: &str) -> Option<&'a mut Reached> {
    let consumer =
        [Consumer::Relay, Consumer::ReadModel, Consumer::Ledger].into_iter().find(|one| one.name() == name)?;
    Some(match consumer {
        Consumer::Relay => &mut progress.relay,
        Consumer::ReadModel => &mut progress.read_model,
        Consumer::Ledger => &mut progress.ledger,
    })
}

/// Event ids number a command's events in the twelve bits after the UUID version; the command has zero there.
fn command_of(mut event_id: [u8; 16]) -> [u8; 16] {
    event_id[6] &= 0xf0;
    event_id[7] = 0;
    event_id
}

fn id(row: &SqliteRow, column: usize) -> Result<Option<[u8; 16]>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
}

fn unsigned(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number)
        .map_err(|_| sqlx::Error::Protocol(format!("column {column} holds {number}, a negative number")))
}

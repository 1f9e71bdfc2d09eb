//! Rows of `ledger_entries`: one for each event, never changed.
//!
//! Two keys guard them: (wallet, version), through the wallet's last version, and the event id. The projector skips what
//! it has applied already, so an entry that meets either of them is a contradiction, and the whole transaction is refused
//! by name (INV-08). The index for reading grows within an epoch of rows, so that what a transaction touches of it stays in
//! memory however long the ledger is; a history is read epoch by epoch.

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::{CommandId, EventId, TransferId, Version, WalletId};
use wallex_core::projector::{EntryKind, LedgerEntry};

use super::error::{Stop, is_constraint};
use super::form::{int, kind_code, minor_units};
use super::heads::Arrival;
use super::known::Known;
use super::numbers::{self, Numbers};
use super::rows::RowsStatement;

static INSERT: RowsStatement = RowsStatement::new(
    "INSERT OR ROLLBACK INTO ledger_rows (epoch, wallet, version, kind, amount, balance, occurred_us, event_id,
     command_id, transfer_id, counterparty, correlation_id, description) VALUES",
    13,
    "",
);

/// Rows of an epoch, about. Tests pass through many.
const EPOCH_ROWS: i64 = if cfg!(test) { 32 } else { 131_072 };

/// An entry with its numbers, and its sums in minor units.
struct Entry<'e> {
    entry: &'e LedgerEntry,
    wallet: i64,
    counterparty: Option<i64>,
    amount: i64,
    balance: i64,
}

/// Inserts entries; those of a wallet are in version order.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    known: &mut Known,
    entries: &[LedgerEntry],
) -> Result<(), Stop> {
    if entries.is_empty() {
        return Ok(());
    }
    let rows = numbered(connection, &mut known.numbers, entries).await?;
    let arrivals =
        rows.iter().map(|row| Arrival { wallet: row.wallet, id: &row.entry.wallet_id, version: row.entry.version });
    known.ledger.advance(connection, &arrivals.collect::<Vec<_>>()).await?;
    let epoch = epoch(connection, entries).await?;
    let result = INSERT
        .execute(connection, &rows, |Entry { entry, wallet, counterparty, amount, balance }, row| {
            row.int(epoch);
            row.int(*wallet);
            row.int(int(entry.version.0));
            row.int(kind_code(entry.kind));
            row.int(*amount);
            row.int(*balance);
            row.int(entry.occurred_at.as_micros());
            row.bytes(entry.event_id.as_bytes());
            row.optional_bytes(stored_command(entry).map(CommandId::as_bytes));
            row.optional_bytes(stored_transfer(entry).map(TransferId::as_bytes));
            row.optional_int(*counterparty);
            row.shared_text(Some(entry.correlation_id.to_shared()));
            row.shared_text(entry.description.clone());
        })
        .await;
    let Err(stopped) = result else { return known.ledger.write_when_due(connection).await };
    let chunk = stopped.chunk;
    let error = sqlx::Error::from(stopped);
    if is_constraint(&error) { Err(name_the_duplicate(connection, chunk, error).await?) } else { Err(error.into()) }
}

async fn numbered<'e>(
    connection: &mut SqliteConnection,
    numbers: &mut Numbers,
    entries: &'e [LedgerEntry],
) -> Result<Vec<Entry<'e>>, Stop> {
    let wallets = entries.iter().flat_map(|entry| {
        std::iter::once(&entry.wallet_id).chain(&entry.counterparty).map(|wallet| (wallet, entry.currency))
    });
    let mut numbers = numbers.resolve(connection, wallets).await?.into_iter();
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let LedgerEntry { wallet_id, version, amount, balance, .. } = entry;
        let Some(wallet) = numbers.next() else { break };
        let counterparty = entry.counterparty.as_ref().and_then(|_| numbers.next());
        let amount = minor_units(*amount, wallet_id, *version)?;
        let balance = minor_units(*balance, wallet_id, *version)?;
        rows.push(Entry { entry, wallet, counterparty, amount, balance });
    }
    // Stable, and in the order of the index: each of its pages is visited once, and a wallet's rows lie side by side.
    rows.sort_by_key(|row| row.wallet);
    Ok(rows)
}

/// The epoch for these entries, opened or extended to their times.
async fn epoch(connection: &mut SqliteConnection, entries: &[LedgerEntry]) -> Result<i64, sqlx::Error> {
    let rows: i64 =
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM ledger_rows").fetch_one(&mut *connection).await?;
    let epoch = rows / EPOCH_ROWS;
    let times = entries.iter().map(|entry| entry.occurred_at.as_micros());
    sqlx::query(
        "INSERT INTO ledger_epochs (epoch, first_us, last_us) VALUES (?, ?, ?) ON CONFLICT (epoch) DO UPDATE
         SET first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)",
    )
    .bind(epoch)
    .bind(times.clone().min())
    .bind(times.max())
    .execute(connection)
    .await?;
    Ok(epoch)
}

/// The command id, unless the event id tells it.
fn stored_command(entry: &LedgerEntry) -> Option<&CommandId> {
    (entry.command_id != command_of(entry.event_id)).then_some(&entry.command_id)
}

/// The command whose event this is, when its id has zero where events have their number.
pub(super) fn command_of(event_id: EventId) -> CommandId {
    let mut bytes = *event_id.as_bytes();
    bytes[6] &= 0xf0;
    bytes[7] = 0;
    CommandId::from_bytes(bytes)
}

/// The transfer id, unless it is the id of this very event.
fn stored_transfer(entry: &LedgerEntry) -> Option<&TransferId> {
    let own = entry.kind == EntryKind::TransferOut && entry.transfer_id == Some(TransferId::from(entry.event_id));
    if own { None } else { entry.transfer_id.as_ref() }
}

async fn name_the_duplicate(
    connection: &mut SqliteConnection,
    chunk: &[Entry<'_>],
    error: sqlx::Error,
) -> Result<Stop, sqlx::Error> {
    // The transaction is rolled back, so what is found was there before.
    for Entry { entry: LedgerEntry { wallet_id, version, event_id, .. }, .. } in chunk {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM ledger_rows WHERE event_id = ?")
            .bind(event_id.as_bytes().to_vec())
            .fetch_optional(&mut *connection)
            .await?;
        if found.is_some() {
            return Ok(Stop::Rejected(format!(
                "wallet {wallet_id} version {version}: the ledger has an entry for event {event_id} already"
            )));
        }
    }
    Ok(Stop::Sql(error))
}

/// The newest version of each wallet, 0 for those without entries.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    known: &mut Known,
    wallets: &[WalletId],
) -> Result<Vec<Version>, sqlx::Error> {
    let numbers = numbers::numbers(connection, wallets).await?;
    known.ledger.versions(connection, &numbers).await
}

//! Rows of `ledger_entries`: one for each event, never changed.
//!
//! Two unique indexes guard them: (wallet, version) and the event id. The projector skips what it has applied already,
//! so an entry that meets either of them is a contradiction, and the whole transaction is refused by name (INV-08).

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::{CommandId, EventId, TransferId, Version, WalletId};
use wallex_core::projector::{EntryKind, LedgerEntry};

use super::error::{Stop, is_constraint};
use super::form::{int, kind_code, minor_units};
use super::numbers::Numbers;
use super::rows::RowsStatement;

static INSERT: RowsStatement = RowsStatement::new(
    "INSERT INTO ledger_rows (wallet, version, kind, amount, balance, occurred_us, event_id, command_id, transfer_id,
     counterparty, correlation_id, description) VALUES",
    12,
    "",
);

/// An entry with its sums in minor units.
struct Entry<'e> {
    entry: &'e LedgerEntry,
    amount: i64,
    balance: i64,
}

/// Inserts entries.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    numbers: &mut Numbers,
    entries: &[LedgerEntry],
) -> Result<(), Stop> {
    let wallets = entries.iter().flat_map(|entry| {
        std::iter::once(&entry.wallet_id).chain(&entry.counterparty).map(|wallet| (wallet, entry.currency))
    });
    numbers.ensure(connection, wallets).await?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let amount = minor_units(entry.amount, &entry.wallet_id, entry.version)?;
        let balance = minor_units(entry.balance, &entry.wallet_id, entry.version)?;
        rows.push(Entry { entry, amount, balance });
    }
    let result = INSERT
        .execute(connection, &rows, |Entry { entry, amount, balance }, row| {
            row.int(numbers.of(&entry.wallet_id));
            row.int(int(entry.version.0));
            row.int(kind_code(entry.kind));
            row.int(*amount);
            row.int(*balance);
            row.int(entry.occurred_at.as_micros());
            row.bytes(entry.event_id.as_bytes());
            row.optional_bytes(stored_command(entry).map(CommandId::as_bytes));
            row.optional_bytes(stored_transfer(entry).map(TransferId::as_bytes));
            row.optional_int(entry.counterparty.as_ref().map(|wallet| numbers.of(wallet)));
            row.text(entry.correlation_id.as_str().to_owned());
            row.shared_text(entry.description.clone());
        })
        .await;
    let Err(stopped) = result else { return Ok(()) };
    let chunk = stopped.chunk;
    let error = sqlx::Error::from(stopped);
    if is_constraint(&error) {
        Err(name_the_duplicate(connection, numbers, chunk, error).await?)
    } else {
        Err(error.into())
    }
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
    numbers: &Numbers,
    chunk: &[Entry<'_>],
    error: sqlx::Error,
) -> Result<Stop, sqlx::Error> {
    // The rows of the chunk that failed are gone, so what is found was there before.
    for Entry { entry, .. } in chunk {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM ledger_rows WHERE (wallet = ? AND version = ?) OR event_id = ?")
                .bind(numbers.of(&entry.wallet_id))
                .bind(int(entry.version.0))
                .bind(entry.event_id.as_bytes().to_vec())
                .fetch_optional(&mut *connection)
                .await?;
        if found.is_some() {
            let LedgerEntry { wallet_id, version, event_id, .. } = entry;
            return Ok(Stop::Rejected(format!(
                "the ledger has an entry already for wallet {wallet_id} version {version} or for event {event_id}"
            )));
        }
    }
    Ok(Stop::Sql(error))
}

/// The newest version of each wallet, 0 for those without entries.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    wallets: &[WalletId],
) -> Result<Vec<Version>, sqlx::Error> {
    super::numbers::versions(
        connection,
        "SELECT j.key, coalesce((SELECT max(l.version) FROM ledger_rows l WHERE l.wallet = n.wallet), 0)
         FROM json_each(?) j JOIN wallet_numbers n ON n.wallet_id = j.value",
        wallets,
    )
    .await
}

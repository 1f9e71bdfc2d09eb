//! Rows of `ledger_entries`: one for each event, never changed.
//!
//! Two keys guard them: (wallet, version) and the event id. The projector skips what it has applied already, so an entry
//! that meets either of them is a contradiction, and the whole transaction is refused by name (INV-08).

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use wallex_core::id::{TransferId, Version, WalletId};
use wallex_core::projector::{EntryKind, LedgerEntry, partition_of};
use wallex_core::time::Timestamp;

use super::error::{Stop, postgres_error};
use super::form::{self, count, int, minor_units};

/// How many entries there are, by partition.
pub(super) fn events(entries: &[LedgerEntry]) -> BTreeMap<u16, i64> {
    let mut events: BTreeMap<u16, i64> = BTreeMap::new();
    for entry in entries {
        *events.entry(partition_of(&entry.wallet_id)).or_default() += 1;
    }
    events
}

/// Inserts entries; those of a wallet are in version order.
pub(super) async fn insert(connection: &mut PgConnection, entries: &[LedgerEntry], at: Timestamp) -> Result<(), Stop> {
    if entries.is_empty() {
        return Ok(());
    }
    let sums = |sum: fn(&LedgerEntry) -> wallex_core::money::Money| {
        entries.iter().map(|entry| minor_units(sum(entry), &entry.wallet_id, entry.version)).collect()
    };
    let amounts: Result<Vec<i64>, Stop> = sums(|entry| entry.amount);
    let balances: Result<Vec<i64>, Stop> = sums(|entry| entry.balance);
    let inserted = sqlx::query(
        "INSERT INTO ledger_rows (wallet_id, version, kind, scale, currency, amount, balance, occurred_us, event_id,
             command_id, transfer_id, counterparty, correlation_id, description, projected_at)
         SELECT wallet, version, kind, scale, currency, amount, balance, occurred, encode(event, 'hex')::uuid,
             encode(command, 'hex')::uuid, encode(transfer, 'hex')::uuid, counterparty, correlation, description,
             $15::text::timestamptz
         FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::text[], $13::text[], $14::text[])
             AS row (wallet, version, kind, scale, currency, amount, balance, occurred, event, command, transfer,
                     counterparty, correlation, description)",
    )
    .bind(entries.iter().map(|entry| entry.wallet_id.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| int(entry.version.0)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| kind_code(entry.kind)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| i16::try_from(entry.currency.scale()).unwrap_or(0)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.currency.code()).collect::<Vec<_>>())
    .bind(amounts?)
    .bind(balances?)
    .bind(entries.iter().map(|entry| entry.occurred_at.as_micros()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.event_id.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.command_id.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.transfer_id.as_ref().map(transfer_bytes)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.counterparty.as_ref().map(WalletId::as_str)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.correlation_id.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.description.as_deref()).collect::<Vec<_>>())
    .bind(at.to_string())
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(error) => Err(duplicate(&error).map_or_else(|| Stop::Sql(error), Stop::Rejected)),
    }
}

/// What the ledger has already, in words, when that is what the error is about.
fn duplicate(error: &sqlx::Error) -> Option<String> {
    let error = postgres_error(error)?;
    let detail = error.detail().unwrap_or_default();
    match error.constraint()? {
        "ledger_rows_version" => Some(format!("the ledger has an entry for this wallet and version already: {detail}")),
        "ledger_rows_event" => Some(format!("the ledger has an entry for this event already: {detail}")),
        _ => None,
    }
}

fn transfer_bytes(id: &TransferId) -> &[u8] {
    id.as_bytes().as_slice()
}

fn kind_code(kind: EntryKind) -> i16 {
    i16::try_from(form::kind_code(kind)).unwrap_or(0)
}

/// The newest version of each wallet, 0 for those without entries.
pub(super) async fn versions(connection: &mut PgConnection, wallets: &[WalletId]) -> Result<Vec<Version>, Stop> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT coalesce((SELECT l.version FROM ledger_rows l WHERE l.wallet_id = asked.wallet
                          ORDER BY l.version DESC LIMIT 1), 0)
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (wallet, nth) ORDER BY asked.nth",
    )
    .bind(wallets.iter().map(WalletId::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|version| Version(count(version))).collect())
}

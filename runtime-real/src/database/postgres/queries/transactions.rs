//! The history of a wallet: its ledger entries, in pages, in the order of versions.
//!
//! A page is one statement over a range of versions, which the cursor narrows. Filters and cursors are
//! [`crate::database::queries`]'; a CSV statement reads its pages through here too.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use wallex_core::id::{CommandId, CorrelationId, EventId, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{EntryKind, LedgerEntry};
use wallex_core::time::Timestamp;

use super::PostgresQueries;
use crate::database::error::DatabaseError;
use crate::database::form::{self, count, int, uuid_bytes};
use crate::database::postgres::transaction::read;
use crate::database::queries::{Page, QueryError, TransactionFilter, page};

macro_rules! entries {
    ($order:literal) => {
        concat!(
            "SELECT version, kind, amount, balance, occurred_us, uuid_send(event_id), uuid_send(command_id),
                    uuid_send(transfer_id), counterparty, correlation_id, description, currency
             FROM ledger_rows
             WHERE wallet_id = $1 AND version BETWEEN $2 AND $3 AND occurred_us >= $4 AND occurred_us < $5
               AND ($6::bigint IS NULL OR kind = $6)
             ORDER BY version ",
            $order,
            " LIMIT $7"
        )
    };
}

const NEWEST_FIRST: &str = entries!("DESC");
const OLDEST_FIRST: &str = entries!("ASC");

impl PostgresQueries {
    pub(in crate::database) async fn transactions(
        &self,
        wallet: &WalletId,
        filter: &TransactionFilter,
    ) -> Result<Page<LedgerEntry>, QueryError> {
        let question = filter.question(wallet);
        let after = filter.after.map(|cursor| cursor.key_for(question)).transpose()?;
        let mut first = 1;
        let mut last = if filter.kind == Some(EntryKind::Create) { 1 } else { i64::MAX };
        match after {
            Some(after) if filter.ascending => first = first.max(int(after).saturating_add(1)),
            Some(after) => last = last.min(int(after) - 1),
            None => {}
        }
        let query = sqlx::query(if filter.ascending { OLDEST_FIRST } else { NEWEST_FIRST })
            .bind(wallet.as_str())
            .bind(first)
            .bind(last)
            .bind(filter.from.map_or(i64::MIN, Timestamp::as_micros))
            .bind(filter.to.map_or(i64::MAX, Timestamp::as_micros))
            .bind(filter.kind.map(form::kind_code))
            .bind(int(filter.limit as u64 + 1));
        let run = async |connection: &mut PgConnection| Ok::<_, QueryError>(query.fetch_all(connection).await?);
        let rows = read(&self.pool, run).await?;
        let entries = rows.iter().map(|row| entry_of(row, wallet).map(|entry| (entry.version.0, entry)));
        Ok(page(entries.collect::<Result<_, DatabaseError>>()?, filter.limit, question))
    }
}

fn entry_of(row: &PgRow, wallet: &WalletId) -> Result<LedgerEntry, DatabaseError> {
    let currency = form::currency(row.try_get(11)?)?;
    let transfer: Option<&[u8]> = row.try_get(7)?;
    let counterparty: Option<&str> = row.try_get(8)?;
    let correlation: &str = row.try_get(9)?;
    let description: Option<&str> = row.try_get(10)?;
    Ok(LedgerEntry {
        event_id: EventId::from_bytes(uuid_bytes(row.try_get(5)?)?),
        wallet_id: wallet.clone(),
        version: Version(count(row.try_get(0)?)),
        kind: form::kind_of(i64::from(row.try_get::<i16, _>(1)?))?,
        amount: Money::from_minor_units(row.try_get(2)?, currency),
        balance: Money::from_minor_units(row.try_get(3)?, currency),
        currency,
        transfer_id: transfer.map(uuid_bytes).transpose()?.map(TransferId::from_bytes),
        counterparty: counterparty.map(form::wallet_id).transpose()?,
        description: description.map(Arc::from),
        occurred_at: Timestamp::from_micros(row.try_get(4)?),
        command_id: CommandId::from_bytes(uuid_bytes(row.try_get(6)?)?),
        correlation_id: CorrelationId::parse(correlation)
            .map_err(|error| DatabaseError::Damaged(format!("correlation id {correlation:?}: {error}")))?,
    })
}

//! The history of a wallet: its ledger entries, in pages or as a whole.
//!
//! The order is that of versions. The ledger is read epoch by epoch, those that lie outside a range of times left out, and
//! reading stops when the page is full.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wallex_core::currency::Currency;
use wallex_core::id::{CommandId, CorrelationId, EventId, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{EntryKind, LedgerEntry};
use wallex_core::time::Timestamp;

use super::SqliteQueries;
use crate::database::error::DatabaseError;
use crate::database::form::{self, count, int, uuid_bytes};
use crate::database::queries::{Page, QueryError, TransactionFilter, page};
use crate::database::sqlite::ledger::command_of;

macro_rules! entries_of {
    ($order:literal) => {
        concat!(
            "SELECT l.version, l.kind, l.amount, l.balance, l.occurred_us, l.event_id, l.command_id, l.transfer_id,
                    c.wallet_id, l.correlation_id, l.description
             FROM ledger_epochs p
             CROSS JOIN ledger_rows l ON l.epoch = p.epoch
             LEFT JOIN wallet_numbers c ON c.wallet = l.counterparty
             WHERE p.last_us >= ?4 AND p.first_us < ?5
               AND l.wallet = ?1 AND l.version >= ?2 AND l.version <= ?3
               AND l.occurred_us >= ?4 AND l.occurred_us < ?5 AND (?6 IS NULL OR l.kind = ?6)
             ORDER BY p.epoch ",
            $order,
            ", l.version ",
            $order,
            " LIMIT ?7"
        )
    };
}

const NEWEST_FIRST: &str = entries_of!("DESC");
const OLDEST_FIRST: &str = entries_of!("ASC");

/// What the tables know of a wallet.
struct Known<'w> {
    id: &'w WalletId,
    number: i64,
    currency: Currency,
}

impl SqliteQueries {
    pub(in crate::database) async fn transactions(
        &self,
        wallet: &WalletId,
        filter: &TransactionFilter,
    ) -> Result<Page<LedgerEntry>, QueryError> {
        let question = filter.question(wallet);
        let after = filter.after.map(|cursor| cursor.key_for(question)).transpose()?;
        let Some(known) = self.known(wallet).await? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let mut first = 1;
        let mut last = if filter.kind == Some(EntryKind::Create) { 1 } else { i64::MAX };
        match after {
            Some(after) if filter.ascending => first = first.max(int(after) + 1),
            Some(after) => last = last.min(int(after) - 1),
            None => {}
        }
        let rows = sqlx::query(if filter.ascending { OLDEST_FIRST } else { NEWEST_FIRST })
            .bind(known.number)
            .bind(first)
            .bind(last)
            .bind(filter.from.map_or(i64::MIN, Timestamp::as_micros))
            .bind(filter.to.map_or(i64::MAX, Timestamp::as_micros))
            .bind(filter.kind.map(form::kind_code))
            .bind(int(filter.limit as u64 + 1))
            .fetch_all(&self.readers)
            .await?;
        let entries = rows.iter().map(|row| entry_of(row, &known).map(|entry| (entry.version.0, entry)));
        Ok(page(entries.collect::<Result<_, DatabaseError>>()?, filter.limit, question))
    }

    async fn known<'w>(&self, id: &'w WalletId) -> Result<Option<Known<'w>>, QueryError> {
        let row: Option<(i64, String)> =
            sqlx::query_as("SELECT wallet, currency FROM wallet_numbers WHERE wallet_id = ?")
                .bind(id.as_str().to_owned())
                .fetch_optional(&self.readers)
                .await?;
        let Some((number, code)) = row else { return Ok(None) };
        Ok(Some(Known { id, number, currency: form::currency(&code)? }))
    }
}

fn entry_of(row: &SqliteRow, known: &Known<'_>) -> Result<LedgerEntry, DatabaseError> {
    let kind = form::kind_of(row.try_get(1)?)?;
    let event_id = EventId::from_bytes(uuid_bytes(row.try_get(5)?)?);
    let command: Option<&[u8]> = row.try_get(6)?;
    let transfer: Option<&[u8]> = row.try_get(7)?;
    let counterparty: Option<&str> = row.try_get(8)?;
    let correlation: &str = row.try_get(9)?;
    let description: Option<&str> = row.try_get(10)?;
    let transfer_id = match transfer {
        Some(bytes) => Some(TransferId::from_bytes(uuid_bytes(bytes)?)),
        None => (kind == EntryKind::TransferOut).then(|| TransferId::from(event_id)),
    };
    Ok(LedgerEntry {
        event_id,
        wallet_id: known.id.clone(),
        version: Version(count(row.try_get(0)?)),
        kind,
        amount: Money::from_minor_units(row.try_get(2)?, known.currency),
        balance: Money::from_minor_units(row.try_get(3)?, known.currency),
        currency: known.currency,
        transfer_id,
        counterparty: counterparty.map(form::wallet_id).transpose()?,
        description: description.map(Arc::from),
        occurred_at: Timestamp::from_micros(row.try_get(4)?),
        command_id: match command {
            Some(bytes) => CommandId::from_bytes(uuid_bytes(bytes)?),
            None => command_of(event_id),
        },
        correlation_id: CorrelationId::parse(correlation)
            .map_err(|error| DatabaseError::Damaged(format!("correlation id {correlation:?}: {error}")))?,
    })
}

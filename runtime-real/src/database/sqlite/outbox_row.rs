//! One event as a row of `outbox_events`, and back.
//!
//! The row holds what the wallet's entry in `wallet_numbers` does not say: a fifth of the bytes of the event's JSON, and
//! every byte of a row is written twice, into the WAL and into the file. The view `outbox` shows the JSON.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wallex_core::event::{Event, EventType, Fact, Recorded, TraceParent, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, EventId, Position, TransferId, Version};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;

use super::error::DatabaseError;
use super::form::{self, count, int};
use super::ledger::command_of;
use super::rows::Row;

/// What [`recorded`] reads, from `outbox_events e`, `wallet_numbers n` of the wallet and `wallet_numbers c` of the
/// counterparty.
macro_rules! columns {
    () => {
        "e.position, e.event_type, e.event_id, n.wallet_id, e.event_version, e.created_us, n.currency, e.amount,
         e.balance, c.wallet_id, e.command_id, e.transfer_id, e.correlation_id, e.description, e.owner_id, e.trace_parent"
    };
}
pub(super) use columns;

/// How many columns those are.
pub(super) const COLUMNS: usize = 16;

/// An event with its numbers.
pub(super) struct OutboxRow<'e> {
    pub(super) position: Position,
    pub(super) event: &'e Event,
    pub(super) wallet: i64,
    pub(super) counterparty: Option<i64>,
    pub(super) amount: i64,
    pub(super) balance: i64,
}

impl OutboxRow<'_> {
    /// Adds the columns of the row, in the order of the statement that inserts.
    pub(super) fn bind(&self, row: &mut Row) {
        let Self { position, event, wallet, counterparty, amount, balance } = *self;
        row.int(int(position.0));
        row.int(wallet);
        row.int(int(event.version.0));
        row.int(form::event_type_code(event.event_type()));
        row.bytes(event.event_id.as_bytes());
        row.int(event.occurred_at.as_micros());
        row.int(amount);
        row.int(balance);
        row.optional_int(counterparty);
        row.optional_bytes(stored_command(event).map(CommandId::as_bytes));
        row.optional_bytes(stored_transfer(event).map(TransferId::as_bytes));
        row.shared_text(Some(event.correlation_id.to_shared()));
        row.shared_text(event.description.clone());
        let owner = match &event.fact {
            Fact::Created { owner_id } => Some(owner_id.to_shared()),
            Fact::Credited { .. } | Fact::Debited { .. } => None,
        };
        row.shared_text(owner);
        row.shared_text(event.trace_parent.as_ref().map(TraceParent::to_shared));
    }
}

/// The command id, unless the event id tells it.
fn stored_command(event: &Event) -> Option<&CommandId> {
    (event.command_id != command_of(event.event_id)).then_some(&event.command_id)
}

/// The transfer id, unless it is the id of this very event.
fn stored_transfer(event: &Event) -> Option<&TransferId> {
    let id = &event.transfer()?.transfer_id;
    (*id != TransferId::from(event.event_id)).then_some(id)
}

/// The inverse of [`OutboxRow::bind`], from [`columns`].
pub(super) fn recorded(row: &SqliteRow) -> Result<Recorded, DatabaseError> {
    let position = Position(count(row.try_get(0)?));
    let event = event(row).map_err(|error| form::at_position(position, &error))?;
    Ok(Recorded { position, event })
}

fn event(row: &SqliteRow) -> Result<Event, DatabaseError> {
    let kind = form::event_type_of(row.try_get(1)?)?;
    let event_id = EventId::from_bytes(form::uuid_bytes(row.try_get(2)?)?);
    let currency = form::currency(row.try_get(6)?)?;
    let correlation: &str = row.try_get(12)?;
    let description: Option<&str> = row.try_get(13)?;
    let trace_parent: Option<&str> = row.try_get(15)?;
    let command: Option<&[u8]> = row.try_get(10)?;
    Ok(Event {
        event_id,
        wallet_id: form::wallet_id(row.try_get(3)?)?,
        version: Version(count(row.try_get(4)?)),
        occurred_at: Timestamp::from_micros(row.try_get(5)?),
        currency,
        amount: Money::from_minor_units(row.try_get(7)?, currency),
        balance: Money::from_minor_units(row.try_get(8)?, currency),
        description: description.map(Into::into),
        fact: fact(row, kind, event_id)?,
        command_id: match command {
            Some(bytes) => CommandId::from_bytes(form::uuid_bytes(bytes)?),
            None => command_of(event_id),
        },
        correlation_id: CorrelationId::parse(correlation)
            .map_err(|error| DatabaseError::Damaged(format!("correlation id {correlation:?}: {error}")))?,
        trace_parent: trace_parent.and_then(TraceParent::parse),
    })
}

fn fact(row: &SqliteRow, kind: EventType, event_id: EventId) -> Result<Fact, DatabaseError> {
    let counterparty: Option<&str> = row.try_get(9)?;
    let transfer_id: Option<&[u8]> = row.try_get(11)?;
    let transfer = match counterparty {
        None => None,
        Some(counterparty) => Some(TransferLeg {
            transfer_id: match transfer_id {
                Some(bytes) => TransferId::from_bytes(form::uuid_bytes(bytes)?),
                None => TransferId::from(event_id),
            },
            counterparty: form::wallet_id(counterparty)?,
        }),
    };
    Ok(match kind {
        EventType::WalletCreated => Fact::Created { owner_id: form::owner_id(row.try_get(14)?)? },
        EventType::WalletCredited => Fact::Credited { transfer },
        EventType::WalletDebited => Fact::Debited { transfer },
    })
}

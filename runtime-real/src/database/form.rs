//! How values of the core stand in tables: money as minor units, kinds as small numbers, ids as 16 bytes, events as
//! JSON in their outbox row.
//!
//! Every conversion is exact or refused; nothing passes through a float.

use serde::Deserialize;
use serde_json::value::RawValue;
use wallex_core::currency::Currency;
use wallex_core::event::{self, Event, EventType};
use wallex_core::id::{EventId, OwnerId, Position, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::EntryKind;

use super::error::{DatabaseError, Stop};

/// A count (position, version, offset) as SQLite's signed integer. None of them comes near its end.
pub(super) fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The inverse of [`int`].
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Minor units, when they fit: only a currency with four decimal places can have a balance that does not.
pub(super) fn minor_units(money: Money, wallet: &WalletId, version: Version) -> Result<i64, Stop> {
    i64::try_from(money.minor_units()).map_err(|_| {
        Stop::Rejected(format!("wallet {wallet} version {version}: the sum is beyond what an integer column holds"))
    })
}

pub(super) const fn event_type_code(kind: EventType) -> i64 {
    match kind {
        EventType::WalletCreated => 1,
        EventType::WalletCredited => 2,
        EventType::WalletDebited => 3,
    }
}

pub(super) fn event_type_of(code: i64) -> Result<EventType, DatabaseError> {
    let found = EventType::ALL.into_iter().find(|kind| event_type_code(*kind) == code);
    found.ok_or_else(|| DatabaseError::Damaged(format!("there is no event type {code}")))
}

pub(super) const fn kind_code(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Create => 1,
        EntryKind::Credit => 2,
        EntryKind::Debit => 3,
        EntryKind::TransferIn => 4,
        EntryKind::TransferOut => 5,
    }
}

pub(super) fn kind_of(code: i64) -> Result<EntryKind, DatabaseError> {
    let found = EntryKind::ALL.into_iter().find(|kind| kind_code(*kind) == code);
    found.ok_or_else(|| DatabaseError::Damaged(format!("there is no kind of ledger entry {code}")))
}

pub(super) fn uuid_bytes(bytes: &[u8]) -> Result<[u8; 16], DatabaseError> {
    bytes.try_into().map_err(|_| DatabaseError::Damaged(format!("an id has {} bytes instead of 16", bytes.len())))
}

pub(super) fn wallet_id(text: &str) -> Result<WalletId, DatabaseError> {
    WalletId::parse(text).map_err(|error| DatabaseError::Damaged(format!("wallet id {text:?}: {error}")))
}

pub(super) fn owner_id(text: &str) -> Result<OwnerId, DatabaseError> {
    OwnerId::parse(text).map_err(|error| DatabaseError::Damaged(format!("owner id {text:?}: {error}")))
}

pub(super) fn currency(code: &str) -> Result<Currency, DatabaseError> {
    Currency::parse(code).map_err(|error| DatabaseError::Damaged(format!("currency {code:?}: {error}")))
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// The event as `{"data": …, "metadata": …}`, both parts as the event store has them.
pub(super) fn payload_of(event: &Event) -> String {
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(b"{\"data\":");
    event::codec::encode_data(event, &mut out);
    out.extend_from_slice(b",\"metadata\":");
    event::codec::encode_metadata(event, &mut out);
    out.push(b'}');
    String::from_utf8(out).expect("events are written as UTF-8")
}

/// The inverse of [`payload_of`].
pub(super) fn event_of(event_id: &[u8], kind: EventType, payload: &str) -> Result<Event, DatabaseError> {
    let parts: Payload<'_> =
        serde_json::from_str(payload).map_err(|error| DatabaseError::Damaged(format!("payload: {error}")))?;
    let id = EventId::from_bytes(uuid_bytes(event_id)?);
    event::codec::decode(id, kind.name(), parts.data.get().as_bytes(), parts.metadata.get().as_bytes())
        .map_err(|error| DatabaseError::Damaged(format!("event {id}: {error}")))
}

/// The name of a place in the log, for messages.
pub(super) fn at_position(position: Position, error: &DatabaseError) -> DatabaseError {
    DatabaseError::Damaged(format!("outbox position {position}: {error}"))
}

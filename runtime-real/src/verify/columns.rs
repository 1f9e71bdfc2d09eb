//! An outbox row's columns as the event that they stand for.
//!
//! Written apart from the code that writes the rows: what it got wrong must not be read back wrong the same way.

use serde::Deserialize;
use serde_json::value::RawValue;
use wallex_core::currency::Currency;
use wallex_core::event::{Event, Fact, TraceParent, TransferLeg, codec};
use wallex_core::id::{CommandId, CorrelationId, EventId, OwnerId, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;

/// A row of the outbox.
pub(super) struct OutboxColumns<'r> {
    pub(super) event_id: [u8; 16],
    pub(super) code: u8,
    pub(super) wallet_id: &'r str,
    pub(super) currency: &'r str,
    pub(super) version: u64,
    pub(super) occurred_us: i64,
    pub(super) amount: i64,
    pub(super) balance: i64,
    pub(super) counterparty: Option<&'r str>,
    pub(super) command_id: [u8; 16],
    pub(super) transfer_id: [u8; 16],
    pub(super) correlation_id: &'r str,
    pub(super) description: Option<&'r str>,
    pub(super) owner_id: Option<&'r str>,
    pub(super) trace_parent: Option<&'r str>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

impl OutboxColumns<'_> {
    /// The event, or what is wrong in words.
    pub(super) fn event(&self) -> Result<Event, String> {
        let currency = said(Currency::parse(self.currency))?;
        let transfer = match self.counterparty {
            Some(counterparty) => Some(TransferLeg {
                transfer_id: TransferId::from_bytes(self.transfer_id),
                counterparty: said(WalletId::parse(counterparty))?,
            }),
            None => None,
        };
        let fact = match (type_name(self.code), self.owner_id) {
            (Some("WalletCreated"), Some(owner)) => Fact::Created { owner_id: said(OwnerId::parse(owner))? },
            (Some("WalletCredited"), None) => Fact::Credited { transfer },
            (Some("WalletDebited"), None) => Fact::Debited { transfer },
            (_, owner) => return Err(format!("event type {} with owner {owner:?}", self.code)),
        };
        Ok(Event {
            event_id: EventId::from_bytes(self.event_id),
            wallet_id: said(WalletId::parse(self.wallet_id))?,
            version: Version(self.version),
            occurred_at: Timestamp::from_micros(self.occurred_us),
            currency,
            amount: Money::from_minor_units(self.amount, currency),
            balance: Money::from_minor_units(self.balance, currency),
            description: self.description.map(Into::into),
            fact,
            command_id: CommandId::from_bytes(self.command_id),
            correlation_id: said(CorrelationId::parse(self.correlation_id))?,
            trace_parent: self.trace_parent.and_then(TraceParent::parse),
        })
    }
}

fn said<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|error| error.to_string())
}

/// The name behind an event type's code in the tables.
pub(super) fn type_name(code: u8) -> Option<&'static str> {
    ["WalletCreated", "WalletCredited", "WalletDebited"].get(usize::from(code).wrapping_sub(1)).copied()
}

/// The event of a row that holds its JSON, as the server's do.
pub(super) fn decoded(event_id: [u8; 16], code: u8, payload: &str) -> Result<Event, String> {
    let parts: Payload<'_> = serde_json::from_str(payload).map_err(|error| error.to_string())?;
    let name = type_name(code).ok_or_else(|| format!("unknown event type {code}"))?;
    let (data, metadata) = (parts.data.get().as_bytes(), parts.metadata.get().as_bytes());
    codec::decode(EventId::from_bytes(event_id), name, data, metadata).map_err(|error| error.to_string())
}

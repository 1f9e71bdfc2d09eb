//! The JSON of events: written by hand because every event passes here, read with serde.
//!
//! An event is stored in two parts, as event stores have it: `data` (the fact) and `metadata` (who caused it). The
//! shapes are fixed by `core/schemas/` and the golden bytes beside this file's tests; a change of either is a new
//! [`SCHEMA_VERSION`] and an upcaster. Money is a string of exact digits.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::upcast;
use super::{Event, EventType, Fact, TraceParent, TransferLeg};
use crate::currency::Currency;
use crate::id::{CommandId, CorrelationId, EventId, OwnerId, TransferId, Version, WalletId};
use crate::money::Money;
use crate::time::Timestamp;

/// The schema version that [`encode_data`] writes. Older ones are read through upcasters.
pub const SCHEMA_VERSION: u32 = 2;

/// Why stored bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// An event type that this version does not know.
    #[error("unknown event type {0:?}")]
    UnknownType(String),
    /// Written by a newer version of the service.
    #[error("schema version {0} is newer than {SCHEMA_VERSION}, the newest this version reads")]
    TooNew(u32),
    /// Not JSON of the expected shape.
    #[error("malformed event: {0}")]
    Malformed(String),
    /// Well-formed, with a member that is missing or out of range.
    #[error("invalid member {field:?} of an event: {reason}")]
    Invalid {
        /// The JSON member.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Appends the event's `data` object to `out`.
pub fn encode_data(event: &Event, out: &mut Vec<u8>) {
    out.reserve(384);
    out.extend_from_slice(b"{\"schemaVersion\":2,\"walletId\":\"");
    out.extend_from_slice(event.wallet_id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"version\":");
    out.extend_from_slice(itoa::Buffer::new().format(event.version.0).as_bytes());
    out.extend_from_slice(b",\"occurredAt\":\"");
    event.occurred_at.write_text(out);
    out.extend_from_slice(b"\",\"currency\":\"");
    out.extend_from_slice(event.currency.code().as_bytes());
    out.extend_from_slice(b"\",\"amount\":\"");
    event.amount.write_digits(out);
    out.extend_from_slice(b"\",\"balance\":\"");
    event.balance.write_digits(out);
    out.push(b'"');
    if let Fact::Created { owner_id } = &event.fact {
        out.extend_from_slice(b",\"ownerId\":\"");
        out.extend_from_slice(owner_id.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some(leg) = event.transfer() {
        out.extend_from_slice(b",\"transferId\":\"");
        leg.transfer_id.write_text(out);
        out.extend_from_slice(b"\",\"counterpartyWalletId\":\"");
        out.extend_from_slice(leg.counterparty.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some(description) = &event.description {
        out.extend_from_slice(b",\"description\":");
        write_json_string(description, out);
    }
    out.push(b'}');
}

/// Appends the event's `metadata` object to `out`.
pub fn encode_metadata(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"commandId\":\"");
    event.command_id.write_text(out);
    out.extend_from_slice(b"\",\"correlationId\":\"");
    out.extend_from_slice(event.correlation_id.as_str().as_bytes());
    if let Some(trace_parent) = &event.trace_parent {
        out.extend_from_slice(b"\",\"traceparent\":\"");
        out.extend_from_slice(trace_parent.as_str().as_bytes());
    }
    out.extend_from_slice(b"\"}");
}

/// Writes any text as a JSON string.
fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    schema_version: u32,
    #[serde(borrow)]
    wallet_id: Cow<'a, str>,
    version: u64,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    balance: Cow<'a, str>,
    #[serde(borrow)]
    owner_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transfer_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    counterparty_wallet_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    command_id: Cow<'a, str>,
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

/// Reads an event of any known schema version from its stored parts.
///
/// # Errors
/// [`CodecError`] says which part is not what it should be.
pub fn decode(event_id: EventId, event_type: &str, data: &[u8], metadata: &[u8]) -> Result<Event, CodecError> {
    let kind = EventType::parse(event_type).ok_or_else(|| CodecError::UnknownType(event_type.to_owned()))?;
    let meta: Metadata<'_> = serde_json::from_slice(metadata).map_err(malformed)?;
    match serde_json::from_slice::<Data<'_>>(data) {
        Ok(current) if current.schema_version == SCHEMA_VERSION => build(event_id, kind, &current, &meta),
        Ok(_) | Err(_) => {
            let upcast = upcast::to_current(data)?;
            build(event_id, kind, &serde_json::from_slice(&upcast).map_err(malformed)?, &meta)
        }
    }
}

pub(super) fn malformed(error: serde_json::Error) -> CodecError {
    CodecError::Malformed(error.to_string())
}

fn build(event_id: EventId, kind: EventType, data: &Data<'_>, meta: &Metadata<'_>) -> Result<Event, CodecError> {
    let currency = valid("currency", Currency::parse(&data.currency))?;
    let transfer = match (&data.transfer_id, &data.counterparty_wallet_id) {
        (Some(id), Some(counterparty)) => Some(TransferLeg {
            transfer_id: valid("transferId", TransferId::parse(id))?,
            counterparty: valid("counterpartyWalletId", WalletId::parse(counterparty))?,
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(invalid("transferId", "transferId and counterpartyWalletId go together"));
        }
    };
    let fact = match (kind, &data.owner_id) {
        (EventType::WalletCreated, Some(owner)) => Fact::Created { owner_id: valid("ownerId", OwnerId::parse(owner))? },
        (EventType::WalletCreated, None) => return Err(invalid("ownerId", "a creation names its owner")),
        (EventType::WalletCredited, _) => Fact::Credited { transfer },
        (EventType::WalletDebited, _) => Fact::Debited { transfer },
    };
    if data.version == 0 {
        return Err(invalid("version", "versions start at 1"));
    }
    Ok(Event {
        event_id,
        wallet_id: valid("walletId", WalletId::parse(&data.wallet_id))?,
        version: Version(data.version),
        occurred_at: valid("occurredAt", Timestamp::parse(&data.occurred_at))?,
        currency,
        amount: valid("amount", Money::parse(&data.amount, currency))?,
        balance: valid("balance", Money::parse(&data.balance, currency))?,
        description: data.description.as_deref().map(Arc::from),
        fact,
        command_id: valid("commandId", CommandId::parse(&meta.command_id))?,
        correlation_id: valid("correlationId", CorrelationId::parse(&meta.correlation_id))?,
        trace_parent: meta.traceparent.as_deref().and_then(TraceParent::parse),
    })
}

fn valid<T, E: std::fmt::Display>(field: &'static str, parsed: Result<T, E>) -> Result<T, CodecError> {
    parsed.map_err(|error| CodecError::Invalid { field, reason: error.to_string() })
}

fn invalid(field: &'static str, reason: &str) -> CodecError {
    CodecError::Invalid { field, reason: reason.to_owned() }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;

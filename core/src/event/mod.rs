//! Events: what happened to a wallet, as facts that never change.
//!
//! Owns the types, their JSON ([`codec`]) and the reading of older schema versions (`upcast`). Every event stands on
//! its own: amount, balance after, version, time, and who caused it. A transfer is a debit and a credit that name
//! each other through [`TransferLeg`] (INV-01).

pub mod codec;
mod upcast;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::id::{CommandId, CorrelationId, EventId, OwnerId, Position, TransferId, Version, WalletId};
use crate::money::Money;
use crate::time::Timestamp;

pub use codec::{CodecError, SCHEMA_VERSION};

/// A fact in the life of one wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Derives from the command ([`CommandId::event_id`]).
    pub event_id: EventId,
    /// The wallet it happened to.
    pub wallet_id: WalletId,
    /// The wallet's version after it, from 1.
    pub version: Version,
    /// When it was decided; never before the event that precedes it in the wallet.
    pub occurred_at: Timestamp,
    /// The wallet's currency.
    pub currency: Currency,
    /// The money moved (the opening balance of a creation), never negative.
    pub amount: Money,
    /// The wallet's balance after it.
    pub balance: Money,
    /// What the client wrote beside it.
    pub description: Option<Arc<str>>,
    /// What happened.
    pub fact: Fact,
    /// The command that caused it.
    pub command_id: CommandId,
    /// The request that caused it, as its client or the service named it.
    pub correlation_id: CorrelationId,
    /// The W3C trace context of the request, when it had one.
    pub trace_parent: Option<TraceParent>,
}

/// The three things that can happen to a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// It came into being, with an opening balance.
    Created {
        /// Whose it is.
        owner_id: OwnerId,
    },
    /// Money came in.
    Credited {
        /// The other side, when this is a leg of a transfer.
        transfer: Option<TransferLeg>,
    },
    /// Money went out.
    Debited {
        /// The other side, when this is a leg of a transfer.
        transfer: Option<TransferLeg>,
    },
}

/// What a leg of a transfer knows about the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferLeg {
    /// The same on both legs.
    pub transfer_id: TransferId,
    /// The wallet on the other side.
    pub counterparty: WalletId,
}

/// A W3C `traceparent` header: 55 lower-case hexadecimal digits and dashes, version 00.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceParent(Arc<str>);

/// An event at its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place among all events.
    pub position: Position,
    /// The event.
    pub event: Event,
}

/// The name of an event's kind, as stored and published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// [`Fact::Created`].
    WalletCreated,
    /// [`Fact::Credited`].
    WalletCredited,
    /// [`Fact::Debited`].
    WalletDebited,
}

impl EventType {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::WalletCreated, Self::WalletCredited, Self::WalletDebited];

    /// The name as stored and published.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WalletCreated => "WalletCreated",
            Self::WalletCredited => "WalletCredited",
            Self::WalletDebited => "WalletDebited",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Event {
    /// The name of its kind.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self.fact {
            Fact::Created { .. } => EventType::WalletCreated,
            Fact::Credited { .. } => EventType::WalletCredited,
            Fact::Debited { .. } => EventType::WalletDebited,
        }
    }

    /// The transfer it is a leg of.
    #[must_use]
    pub fn transfer(&self) -> Option<&TransferLeg> {
        match &self.fact {
            Fact::Created { .. } => None,
            Fact::Credited { transfer } | Fact::Debited { transfer } => transfer.as_ref(),
        }
    }
}

impl TraceParent {
    /// Checks the form `00-<32 hex>-<16 hex>-<2 hex>`; anything else is no trace context and is ignored by callers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let well_formed = bytes.len() == 55
            && bytes.starts_with(b"00-")
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                2 | 35 | 52 => *byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
            });
        well_formed.then(|| Self(Arc::from(text)))
    }

    /// The header's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header's text, shared and not copied.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// The stream that holds a wallet's events.
#[must_use]
pub fn stream_name(wallet: &WalletId) -> String {
    format!("wallet-{wallet}")
}

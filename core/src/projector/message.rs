//! What a projector reads and writes: messages in, rows out.
//!
//! Plain data, and the names that tables and brokers share: consumers, kinds of entries, and the partition of a wallet,
//! on which every broker and producer must agree (INV-07). What is applied is decided in `batch`, when and how often in
//! `machine`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::effect::Failure;
use crate::event::{Event, Fact};
use crate::id::{CommandId, CorrelationId, EventId, Position, TransferId, Version, WalletId};
use crate::limits::PARTITIONS;
use crate::money::Money;
use crate::time::Timestamp;
use crate::wallet::Wallet;

/// Who keeps progress of its own over the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Consumer {
    /// The relay, from the outbox to the topic.
    Relay,
    /// From the topic to `wallets_read_model`.
    ReadModel,
    /// From the topic to `ledger_entries`.
    Ledger,
}

impl Consumer {
    /// The name in tables, and the consumer group at the broker.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "kafka-publisher",
            Self::ReadModel => "read-model-projector",
            Self::Ledger => "ledger-projector",
        }
    }
}

/// A message of the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its partition.
    pub partition: u16,
    /// Its place in the partition, from 1, growing; there may be holes.
    pub offset: u64,
    /// The key: the wallet.
    pub wallet_id: WalletId,
    /// The event's id, from the message's headers.
    pub event_id: EventId,
    /// The event's version, from the message's headers.
    pub version: Version,
    /// The event, or why its bytes are none.
    pub event: Result<Event, Failure>,
}

/// How far a consumer got in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProgress {
    /// The partition.
    pub partition: u16,
    /// The last offset that was taken; 0 for none.
    pub offset: u64,
    /// Wallets of this partition with a dead letter of this consumer.
    pub held_wallets: Vec<WalletId>,
}

/// An event that a consumer set aside: a dead letter, or one that waits behind a dead letter of the same wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEvent {
    /// Who set it aside.
    pub consumer: Consumer,
    /// The wallet.
    pub wallet_id: WalletId,
    /// The event's id.
    pub event_id: EventId,
    /// The event's version.
    pub version: Version,
    /// Where the consumer met it: the position in the outbox, or the offset in its partition.
    pub partition: u16,
    /// See `partition`.
    pub offset: u64,
    /// The event, when it could be read.
    pub event: Option<Event>,
    /// Why it is a dead letter, and after how many attempts; nothing when it only waits.
    pub dead: Option<DeadLetter>,
}

/// Why an event was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The last error.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// Rows of one transaction of a projector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// For `wallets_read_model`: at most one change for each wallet.
    ReadModel(Vec<WalletChange>),
    /// For `ledger_entries`.
    Ledger(Vec<LedgerEntry>),
}

/// A change of one row of `wallets_read_model`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WalletChange {
    /// The wallet is new to the projection.
    Insert(Wallet),
    /// The row moves on from `expected`; a row at another version is a conflict.
    Update {
        /// Which.
        wallet_id: WalletId,
        /// The version the row must have.
        expected: Version,
        /// The version afterwards.
        version: Version,
        /// The balance afterwards.
        balance: Money,
        /// The time of the last event.
        updated_at: Timestamp,
    },
}

/// One row of `ledger_entries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The event it stands for; unique.
    pub event_id: EventId,
    /// The wallet.
    pub wallet_id: WalletId,
    /// The wallet's version; unique within the wallet.
    pub version: Version,
    /// What kind of movement.
    pub kind: EntryKind,
    /// Signed: what went out is negative. A transfer's two entries add up to zero.
    pub amount: Money,
    /// The wallet's balance after it.
    pub balance: Money,
    /// The wallet's currency.
    pub currency: Currency,
    /// The transfer it belongs to.
    pub transfer_id: Option<TransferId>,
    /// The other side of the transfer.
    pub counterparty: Option<WalletId>,
    /// What the client wrote beside it.
    pub description: Option<Arc<str>>,
    /// When.
    pub occurred_at: Timestamp,
    /// The command that caused it.
    pub command_id: CommandId,
    /// The request that caused it.
    pub correlation_id: CorrelationId,
}

/// The kinds of ledger entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// The opening balance.
    Create,
    /// Money from outside.
    Credit,
    /// Money to outside.
    Debit,
    /// Money from another wallet.
    TransferIn,
    /// Money to another wallet.
    TransferOut,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Create, Self::Credit, Self::Debit, Self::TransferIn, Self::TransferOut];

    /// The name in the table and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Credit => "credit",
            Self::Debit => "debit",
            Self::TransferIn => "transfer_in",
            Self::TransferOut => "transfer_out",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl From<&Event> for LedgerEntry {
    fn from(event: &Event) -> Self {
        let (kind, amount) = match &event.fact {
            Fact::Created { .. } => (EntryKind::Create, event.amount),
            Fact::Credited { transfer: None } => (EntryKind::Credit, event.amount),
            Fact::Credited { transfer: Some(_) } => (EntryKind::TransferIn, event.amount),
            Fact::Debited { transfer: None } => (EntryKind::Debit, event.amount.negated()),
            Fact::Debited { transfer: Some(_) } => (EntryKind::TransferOut, event.amount.negated()),
        };
        Self {
            event_id: event.event_id,
            wallet_id: event.wallet_id.clone(),
            version: event.version,
            kind,
            amount,
            balance: event.balance,
            currency: event.currency,
            transfer_id: event.transfer().map(|leg| leg.transfer_id),
            counterparty: event.transfer().map(|leg| leg.counterparty.clone()),
            description: event.description.clone(),
            occurred_at: event.occurred_at,
            command_id: event.command_id,
            correlation_id: event.correlation_id.clone(),
        }
    }
}

/// The partition of a wallet's events: the hash that Kafka's Java client uses for keys (murmur2), so that any
/// producer that follows it agrees.
#[must_use]
pub fn partition_of(wallet: &WalletId) -> u16 {
    let hash = murmur2(wallet.as_str().as_bytes()) & 0x7fff_ffff;
    (hash % u32::from(PARTITIONS)) as u16
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// A message as the embedded broker makes it from an outbox row: partition by key, offset by position.
#[must_use]
pub fn message_of(position: Position, event: Event) -> Message {
    Message {
        partition: partition_of(&event.wallet_id),
        offset: position.0,
        wallet_id: event.wallet_id.clone(),
        event_id: event.event_id,
        version: event.version,
        event: Ok(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_hash_is_that_of_kafkas_java_client() {
        // From the test of org.apache.kafka.common.utils.Utils.murmur2.
        for (text, expected) in
            [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }
}

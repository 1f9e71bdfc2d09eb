//! What the world tells the checkers: at every step ([`Observation`]), and once at the end ([`Evidence`]).
//!
//! Observations are borrowed and are told when they happen, at the place where they become true: an append when the
//! event store has it durably, an answer when the client has it, a row when its transaction is committed. Whether the
//! node that caused it ever hears of it is another matter.

use wallex_core::event::Recorded;
use wallex_core::id::{Position, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, LedgerEntry, Message, PartitionProgress, Projection};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::history::{Attempt, Outcome};

/// One thing that has become true.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// The event store has made one append durable: all its streams, in log order. A repeated append that is recognised
    /// changes nothing and is not told again.
    Appended(&'a [Recorded]),
    /// A client got an answer.
    Answered(&'a Attempt, &'a Outcome),
    /// The feeder's transaction was committed.
    OutboxWritten {
        /// New rows; those that were there already are left out.
        events: &'a [Recorded],
        /// The checkpoint before.
        from: Position,
        /// The checkpoint afterwards.
        to: Position,
    },
    /// The broker took a message.
    Published(&'a Message),
    /// The broker took a dead letter.
    DeadPublished(&'a HeldEvent),
    /// The relay's transaction was committed.
    RelayMarked {
        /// The checkpoint before.
        from: Position,
        /// The checkpoint afterwards.
        to: Position,
        /// Set aside in it.
        held: &'a [HeldEvent],
        /// Forgotten in it.
        released: &'a [wallex_core::id::EventId],
    },
    /// A projector's transaction was committed.
    Projected {
        /// Whose.
        consumer: Consumer,
        /// The rows.
        changes: &'a Projection,
        /// Partition, offset before, offset afterwards.
        checkpoints: &'a [(u16, u64, u64)],
        /// Set aside in it.
        held: &'a [HeldEvent],
        /// Forgotten in it.
        released: &'a [wallex_core::id::EventId],
    },
    /// The embedded database lost its newest commits in a power cut; what it has is the state of some earlier commit.
    DatabaseRolledBack(&'a Evidence),
    /// The journal was opened after a crash.
    JournalRecovered {
        /// Everything it serves.
        log: &'a [Recorded],
        /// Whether it reported damage instead.
        damaged: bool,
        /// Whether something was damaged, other than by the crash itself.
        rotten: bool,
    },
    /// Faults are over; from here on everything must converge.
    Healed,
}

/// Where and when, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Virtual time.
    pub at: Timestamp,
    /// The step of the trace.
    pub step: u64,
}

/// Everything durable, when the run is over.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The event store, in log order.
    pub log: Vec<Recorded>,
    /// The outbox, in log order.
    pub outbox: Vec<Recorded>,
    /// The topic, by partition.
    pub topic: Vec<Vec<Message>>,
    /// The topic of dead letters.
    pub dead_letters: Vec<HeldEvent>,
    /// `wallets_read_model`.
    pub read_model: Vec<Wallet>,
    /// `ledger_entries`.
    pub ledger: Vec<LedgerEntry>,
    /// What consumers have set aside.
    pub held: Vec<HeldEvent>,
    /// How far the outbox is filled.
    pub feeder: Position,
    /// How far the topic is filled.
    pub relay: Position,
    /// How far the projectors are.
    pub progress: Vec<(Consumer, PartitionProgress)>,
    /// Wallets that are still poisoned for a consumer on purpose: their events may be held.
    pub poisoned: Vec<(Consumer, WalletId)>,
    /// What has not come to rest within the time it has (INV-10), in words; empty when all has.
    pub unsettled: Vec<String>,
}

//! The vocabulary between a node and its runtime: what happened ([`Input`]) and what is to be done ([`Effect`]).
//!
//! Both are plain data: printable, comparable, serialisable. Every effect that can complete has an [`EffectId`], and
//! its completion names it. A completion is one of four things ([`Completion`]); it may come twice, late or never.
//! **Unknown is never folded into failure.**

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Answer, FinalAnswer, Fingerprint, Idempotency, KeyHash, Request};
use crate::event::{Event, Recorded};
use crate::id::{CommandId, EffectId, EventId, Position, RequestId, Version, WalletId};
use crate::projector::{Consumer, HeldEvent, Message, PartitionProgress, Projection};
use crate::time::Timestamp;
use crate::wallet::Wallet;

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completion<T> {
    /// It happened.
    Done(T),
    /// It did not happen, because the state it expected is not there (revision, checkpoint).
    Conflict,
    /// It did not happen.
    Failed(Failure),
    /// It may have happened: no answer came, or one that does not tell.
    Unknown,
}

/// Why something did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// For people.
    pub reason: String,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The dependency is away, full or overloaded: the same request may work later.
    Unavailable,
    /// The dependency refuses this very request: it will refuse it again.
    Rejected,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A command came in.
    Submit(Request),
    /// No more commands: finish what is begun, refuse the rest.
    Drain,
    /// Completes [`Effect::Reserve`]: one entry for each item, in order.
    Reserved(EffectId, Completion<Vec<Reservation>>),
    /// Completes [`Effect::Lease`]: whether each wallet was granted, in order.
    Leased(EffectId, Completion<Vec<bool>>),
    /// Completes [`Effect::Load`]: one entry for each wallet, in order.
    Loaded(EffectId, Completion<Vec<Loaded>>),
    /// Completes [`Effect::FindCommand`].
    Found(EffectId, Completion<Vec<Event>>),
    /// Completes [`Effect::Append`].
    Appended(EffectId, Completion<()>),
    /// Completes [`Effect::StoreAnswers`].
    AnswersStored(EffectId, Completion<()>),

    /// The log has grown up to this position (a hint; it may be missed).
    LogAdvanced(Position),
    /// Completes [`Effect::Lead`]: whether this node leads.
    Led(EffectId, Completion<bool>),
    /// Completes [`Effect::LoadFeederCheckpoint`].
    FeederCheckpoint(EffectId, Completion<Position>),
    /// Completes [`Effect::ReadLog`]: events after the position asked for, in order.
    LogRead(EffectId, Completion<Vec<Recorded>>),
    /// Completes [`Effect::WriteOutbox`].
    OutboxWritten(EffectId, Completion<()>),

    /// Completes [`Effect::LoadRelayProgress`].
    RelayProgress(EffectId, Completion<RelayProgress>),
    /// Completes [`Effect::ReadOutbox`]: outbox rows after the position asked for, in order.
    OutboxRead(EffectId, Completion<Vec<Recorded>>),
    /// Completes [`Effect::Publish`]: for each event, in order, nothing when it was acknowledged, else why not.
    Published(EffectId, Completion<Vec<Option<Failure>>>),
    /// Completes [`Effect::PublishDead`].
    DeadPublished(EffectId, Completion<()>),
    /// Completes [`Effect::MarkPublished`].
    PublishedMarked(EffectId, Completion<()>),

    /// The broker gave these partitions to a consumer of this node.
    PartitionsAssigned(Consumer, Vec<u16>),
    /// The broker took these partitions away.
    PartitionsRevoked(Consumer, Vec<u16>),
    /// Messages wait for a consumer (a hint; it may be missed).
    MessagesAvailable(Consumer),
    /// Completes [`Effect::LoadProgress`].
    Progress(EffectId, Completion<Vec<PartitionProgress>>),
    /// Completes [`Effect::Fetch`].
    Fetched(EffectId, Completion<Vec<Message>>),
    /// Completes [`Effect::LoadVersions`]: the version each wallet was projected to, in order.
    Versions(EffectId, Completion<Vec<Version>>),
    /// Completes [`Effect::ReadStream`]: the events asked for, in order.
    StreamRead(EffectId, Completion<Vec<Event>>),
    /// Completes [`Effect::Project`].
    Projected(EffectId, Completion<()>),
    /// An operator wants the events that a consumer holds back for a wallet to be tried again.
    RetryHeld(Consumer, WalletId),
    /// Completes [`Effect::LoadHeld`]: everything held for the wallet, in version order.
    HeldLoaded(EffectId, Completion<Vec<HeldEvent>>),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Answer a request. Needs no completion.
    Reply {
        /// Which request.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Look up idempotency keys, and reserve those that are new.
    Reserve(EffectId, Vec<Reserve>),
    /// Take or extend the leases of wallets until a point in time.
    Lease {
        /// Named by the completion.
        effect: EffectId,
        /// Sorted.
        wallets: Vec<WalletId>,
        /// When the leases end by themselves.
        until: Timestamp,
    },
    /// Give leases back, if this node still holds them. Needs no completion.
    Unlease(Vec<WalletId>),
    /// Read wallets: the state, or what is new since a known version.
    Load(EffectId, Vec<Load>),
    /// Find the events of a command in a wallet's stream, looking back from its end no further than a point in time.
    FindCommand {
        /// Named by the completion.
        effect: EffectId,
        /// Whose stream.
        wallet: WalletId,
        /// Which command.
        command: CommandId,
        /// Events before this time need not be read.
        not_before: Timestamp,
    },
    /// Append events to one or more streams, and idempotency records, all or nothing, durably.
    Append(EffectId, Arc<Append>),
    /// Store final answers under keys that were reserved before. `Conflict`: at least one was not stored because its
    /// reservation is held by somebody else now ([`KeyRecord::held_by`]); the others are.
    StoreAnswers(EffectId, Vec<KeyRecord>),
    /// Forget reservations that these attempts have made and still hold, because their commands are known not to have
    /// happened. What was taken over stays: the first attempt may have happened. Needs no completion.
    ReleaseKeys(Vec<(KeyHash, CommandId)>),

    /// Take or extend the lead of the pipeline among all instances until a point in time.
    Lead {
        /// Named by the completion.
        effect: EffectId,
        /// When the lead ends by itself.
        until: Timestamp,
    },
    /// Give the lead back, if this node still has it. Needs no completion.
    Resign,
    /// How far the outbox was filled.
    LoadFeederCheckpoint(EffectId),
    /// Read events of all streams, in log order.
    ReadLog {
        /// Named by the completion.
        effect: EffectId,
        /// Exclusive.
        after: Position,
        /// Most events wanted.
        limit: usize,
    },
    /// Insert outbox rows and move the feeder's checkpoint, in one transaction.
    WriteOutbox {
        /// Named by the completion.
        effect: EffectId,
        /// The checkpoint must be exactly here, else [`Completion::Conflict`].
        expected: Position,
        /// The rows.
        events: Arc<Vec<Recorded>>,
        /// The checkpoint afterwards.
        checkpoint: Position,
    },

    /// How far the relay got, and which wallets it holds back.
    LoadRelayProgress(EffectId),
    /// Read outbox rows in position order.
    ReadOutbox {
        /// Named by the completion.
        effect: EffectId,
        /// Exclusive.
        after: Position,
        /// Most rows wanted.
        limit: usize,
    },
    /// Publish events to the topic, keyed by wallet, in order. When one cannot be published, the later ones of the same
    /// wallet must not be either, and count as failed too.
    Publish(EffectId, Arc<Vec<Recorded>>),
    /// Publish dead letters to the dead-letter topic, before they are recorded as such. It may happen more than once.
    PublishDead(EffectId, Arc<Vec<HeldEvent>>),
    /// Record what was published, and what was given up or held back, in one transaction.
    MarkPublished {
        /// Named by the completion.
        effect: EffectId,
        /// The checkpoint must be exactly here, else [`Completion::Conflict`].
        expected: Position,
        /// The checkpoint afterwards: everything up to it is published or held.
        checkpoint: Position,
        /// When.
        at: Timestamp,
        /// Events given up ([`HeldEvent::dead`]) and events that wait behind one.
        held: Vec<HeldEvent>,
        /// Events that were held and are published now, to be forgotten.
        released: Vec<EventId>,
    },

    /// How far a consumer got in its partitions, and which wallets it holds back.
    LoadProgress {
        /// Named by the completion.
        effect: EffectId,
        /// The consumer.
        consumer: Consumer,
        /// Its partitions.
        partitions: Vec<u16>,
    },
    /// Fetch messages that are there now; none is an answer too.
    Fetch {
        /// Named by the completion.
        effect: EffectId,
        /// The consumer.
        consumer: Consumer,
        /// For each partition the last offset that was taken.
        after: Vec<(u16, u64)>,
        /// Most messages wanted.
        limit: usize,
    },
    /// The versions that wallets were projected to; 0 for a wallet that the projection does not have.
    LoadVersions {
        /// Named by the completion.
        effect: EffectId,
        /// The consumer.
        consumer: Consumer,
        /// The wallets.
        wallets: Vec<WalletId>,
    },
    /// Read a part of a wallet's stream from the event store.
    ReadStream {
        /// Named by the completion.
        effect: EffectId,
        /// The wallet.
        wallet: WalletId,
        /// First version wanted.
        from: Version,
        /// Last version wanted.
        to: Version,
    },
    /// Write rows and checkpoints of a consumer, in one transaction.
    Project {
        /// Named by the completion.
        effect: EffectId,
        /// The consumer.
        consumer: Consumer,
        /// The rows.
        changes: Projection,
        /// Partition, offset it must be at (else [`Completion::Conflict`]), offset afterwards.
        checkpoints: Vec<(u16, u64, u64)>,
        /// Events given up and events that wait behind one.
        held: Vec<HeldEvent>,
        /// Events that were held and are applied now, to be forgotten.
        released: Vec<EventId>,
        /// When.
        at: Timestamp,
    },
    /// Everything a consumer holds back for a wallet.
    LoadHeld {
        /// Named by the completion.
        effect: EffectId,
        /// The consumer.
        consumer: Consumer,
        /// The wallet.
        wallet: WalletId,
    },
}

/// One key to look up and reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// Key and payload.
    pub idempotency: Idempotency,
    /// The command that would run under it. Whatever becomes of the key, it also names this attempt
    /// ([`KeyRecord::held_by`]).
    pub command_id: CommandId,
    /// A pending reservation that is as old as this, by the clock of the store, belongs to a dead attempt and is taken over.
    /// A duration and no time: the clocks of those who ask may say anything.
    pub dead_after: Duration,
    /// How long the record is kept.
    pub kept_for: Duration,
}

/// What was found under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reservation {
    /// Nothing: it is reserved now.
    New,
    /// Another attempt is running.
    Pending {
        /// Its payload.
        fingerprint: Fingerprint,
    },
    /// An attempt that died, for the same payload: it is ours now, and may or may not have taken effect.
    TakenOver {
        /// Its payload.
        fingerprint: Fingerprint,
        /// The command it ran as.
        command_id: CommandId,
        /// When it was first reserved, by the clock of the store.
        reserved_at: Timestamp,
    },
    /// An answer.
    Finished {
        /// The payload it answers.
        fingerprint: Fingerprint,
        /// The answer.
        answer: FinalAnswer,
    },
}

/// One wallet to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Which.
    pub wallet: WalletId,
    /// The version that is known already; 0 for none.
    pub known: Version,
}

/// A wallet as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// The wallet at some version, if the store keeps snapshots and has one newer than what was known.
    pub snapshot: Option<Wallet>,
    /// The events after the snapshot, or else after the known version. All of them: afterwards the state is current.
    pub events: Vec<Event>,
}

/// One atomic append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The streams, each at most once.
    pub writes: Vec<StreamWrite>,
    /// Idempotency records that are decided by this very write; empty when they are kept elsewhere.
    pub records: Vec<KeyRecord>,
}

/// New events of one wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamWrite {
    /// The wallet.
    pub wallet: WalletId,
    /// The version it must have now; 0: it must not exist.
    pub expected: Version,
    /// The events, with versions from `expected + 1`.
    pub events: Vec<Event>,
}

/// An idempotency record with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Key and payload.
    pub idempotency: Idempotency,
    /// The command that ran.
    pub command_id: CommandId,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
    /// The attempt ([`Reserve::command_id`]) that reserved the key or took it over, and decided: whoever took it over since
    /// may decide otherwise, and then this answer must not be stored. Nothing for an answer that the event store vouches for.
    #[serde(default)]
    pub held_by: Option<CommandId>,
    /// The answer to replay.
    pub answer: FinalAnswer,
}

/// How far the relay got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayProgress {
    /// Everything up to here is published or held.
    pub checkpoint: Position,
    /// Wallets with a dead letter: their later events are held.
    pub held_wallets: Vec<WalletId>,
}

/// The effects of one machine that the runtime has not taken yet, and the source of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EffectQueue {
    next: u64,
    queue: VecDeque<Effect>,
}

/// Machines share the space of effect ids: each takes every `MACHINES`-th, so an id tells whose effect it names.
const MACHINES: u64 = 8;

impl EffectQueue {
    pub(crate) fn new(machine: u64) -> Self {
        assert!(machine < MACHINES);
        Self { next: machine + MACHINES, queue: VecDeque::new() }
    }

    pub(crate) fn machine_of(effect: EffectId) -> u64 {
        effect.0 % MACHINES
    }

    pub(crate) fn id(&mut self) -> EffectId {
        let id = EffectId(self.next);
        self.next += MACHINES;
        id
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        self.queue.pop_front()
    }
}

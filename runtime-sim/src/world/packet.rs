//! What travels between nodes, and what happens at a time of its own.
//!
//! Owns which packets may come twice, and how an effect is completed that has no answer: not done where nothing was
//! sent, else unknown (INV-05). Delays and losses are the network's; what a packet does is left to whoever gets it.

use std::sync::Arc;

use wallex_core::command::{Answer, Request};
use wallex_core::effect::{Append, Completion, Effect, Failure, FailureKind, Input};
use wallex_core::id::{EffectId, WalletId};
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use crate::fakes::InstanceId;
use crate::history::{AttemptId, Snapshot};
use crate::lane::Lane;
use crate::plan::Server;

/// A message.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// Client → instance.
    Submit { attempt: AttemptId, request: Arc<Request> },
    /// Client → instance: a wallet, from the store or at some version from the read model.
    Read { attempt: AttemptId, wallet: WalletId, from_store: bool, min_version: u64 },
    /// Instance → client.
    Reply { attempt: AttemptId, reply: Reply },
    /// Instance → server, with the time that the instance believes it is.
    Perform { life: InstanceId, clock: Timestamp, effect: Effect },
    /// Embedded instance → journal: what was decided in one turn, for one write and one sync.
    AppendGroup { life: InstanceId, group: Vec<(EffectId, Arc<Append>)> },
    /// Server → instance.
    Feed { life: InstanceId, input: Input },
    /// Nobody listens at the server's address, or the connection broke.
    Miss { life: InstanceId, effect: EffectId, how: Miss },
    /// Instance → server: a wallet for a read.
    Lookup { life: InstanceId, number: u64, wallet: WalletId },
    /// Server → instance.
    Found { life: InstanceId, number: u64, snapshot: Option<Snapshot> },
    /// Instance → broker: it is alive and wants partitions; by which deal it has those that it has, for each consumer.
    Member { life: InstanceId, deals: [(Consumer, u64); 2] },
    /// Broker → instance: its partitions, by which deal.
    Assigned { life: InstanceId, consumer: Consumer, deal: u64, partitions: Vec<u16> },
}

/// What a client hears.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer(Answer),
    Read(Option<Snapshot>),
    /// The read model has not got there in time.
    NotYet,
    /// Nobody listens.
    Unreachable,
}

/// How an adapter finds out that there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// There was no connection: nothing was sent.
    Refused,
    /// Whatever was sent may have been carried out.
    Unknown,
}

/// Something that happens at its time.
#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        from: Lane,
        to: Lane,
        message: u64,
        /// It comes once more, or came already.
        twice: bool,
        packet: Packet,
    },
    /// A server gets round to what it was asked, unless it has started again since.
    Serve {
        server: Server,
        epoch: u32,
        from: Lane,
        packet: Packet,
    },
    Wake(Lane),
    Fault(usize),
    /// The end of a fault that has to be undone.
    Undo(Undo),
    Boot(u8),
    /// An instance takes up its subscription to the log again.
    Subscribe(u8),
    /// Instances are told that the log has grown.
    HintLog,
    /// Readers of partitions are told that there are messages.
    HintMessages,
    /// The broker looks who has not been heard of.
    Sessions,
    Rebalance(Consumer),
    /// An embedded process whose journal has stopped is started again.
    Supervise,
    /// The embedded database syncs.
    Sync,
}

#[derive(Debug)]
pub(super) enum Undo {
    ServerUp(Server),
    Cure { consumer: Consumer, wallet: WalletId, version: u64, garbled: bool },
    Leader(u16),
    DiskRoom,
    Rot,
}

impl Packet {
    /// The process that asks something of a server.
    pub(super) fn asked_by(&self) -> Option<InstanceId> {
        match self {
            Self::Perform { life, .. }
            | Self::AppendGroup { life, .. }
            | Self::Lookup { life, .. }
            | Self::Member { life, .. } => Some(*life),
            Self::Submit { .. } | Self::Read { .. } | Self::Reply { .. } | Self::Feed { .. } | Self::Miss { .. } => {
                None
            }
            Self::Found { .. } | Self::Assigned { .. } => None,
        }
    }

    /// Whether the network may deliver it twice. A connection does not; but a proxy sends a request again that is safe to
    /// repeat, and an answer may cross the timeout that made the adapter ask again.
    pub(super) fn may_repeat(&self) -> bool {
        match self {
            Self::Perform { effect, .. } => match effect {
                Effect::Append(..)
                | Effect::Load(..)
                | Effect::FindCommand { .. }
                | Effect::StoreAnswers(..)
                | Effect::ReleaseKeys(_)
                | Effect::Lease { .. }
                | Effect::Publish(..)
                | Effect::PublishDead(..) => true,
                Effect::Reply { .. }
                | Effect::Reserve(..)
                | Effect::Unlease(_)
                | Effect::Lead { .. }
                | Effect::Resign
                | Effect::LoadFeederCheckpoint(_)
                | Effect::ReadLog { .. }
                | Effect::WriteOutbox { .. }
                | Effect::LoadRelayProgress(_)
                | Effect::ReadOutbox { .. }
                | Effect::MarkPublished { .. }
                | Effect::LoadProgress { .. }
                | Effect::Fetch { .. }
                | Effect::LoadVersions { .. }
                | Effect::ReadStream { .. }
                | Effect::Project { .. }
                | Effect::LoadHeld { .. } => false,
            },
            Self::Reply { .. } | Self::Feed { .. } | Self::Found { .. } | Self::Assigned { .. } => true,
            // Without a key a command that comes twice is two commands, as the contract says: no proxy may repeat it.
            Self::Submit { request, .. } => request.idempotency.is_some(),
            Self::Read { .. } | Self::Miss { .. } | Self::Lookup { .. } => false,
            Self::Member { .. } | Self::AppendGroup { .. } => false,
        }
    }

    /// Its kind, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Submit { .. } => "submit",
            Self::Read { .. } => "read",
            Self::Reply { .. } => "reply",
            Self::Perform { effect, .. } => effect_name(effect),
            Self::AppendGroup { .. } => "append",
            Self::Feed { input, .. } => input_name(input),
            Self::Miss { .. } => "miss",
            Self::Lookup { .. } => "lookup",
            Self::Found { .. } => "found",
            Self::Member { .. } => "member",
            Self::Assigned { .. } => "assigned",
        }
    }
}

fn missed<T>(how: Miss) -> Completion<T> {
    match how {
        Miss::Unknown => Completion::Unknown,
        Miss::Refused => {
            let reason = "no connection".to_owned();
            Completion::Failed(Failure { kind: FailureKind::Unavailable, reason })
        }
    }
}

/// Makes the completion of an effect that has no answer.
pub(super) type MakeMissed = fn(EffectId, Miss) -> Input;

/// The id of an effect that completes, and how to complete it without an answer.
pub(super) fn completing(effect: &Effect) -> Option<(EffectId, MakeMissed)> {
    Some(match effect {
        Effect::Reply { .. } | Effect::Unlease(_) | Effect::ReleaseKeys(_) | Effect::Resign => return None,
        Effect::Reserve(id, _) => (*id, |id, how| Input::Reserved(id, missed(how))),
        Effect::Lease { effect, .. } => (*effect, |id, how| Input::Leased(id, missed(how))),
        Effect::Load(id, _) => (*id, |id, how| Input::Loaded(id, missed(how))),
        Effect::FindCommand { effect, .. } => (*effect, |id, how| Input::Found(id, missed(how))),
        Effect::Append(id, _) => (*id, |id, how| Input::Appended(id, missed(how))),
        Effect::StoreAnswers(id, _) => (*id, |id, how| Input::AnswersStored(id, missed(how))),
        Effect::Lead { effect, .. } => (*effect, |id, how| Input::Led(id, missed(how))),
        Effect::LoadFeederCheckpoint(id) => (*id, |id, how| Input::FeederCheckpoint(id, missed(how))),
        Effect::ReadLog { effect, .. } => (*effect, |id, how| Input::LogRead(id, missed(how))),
        Effect::WriteOutbox { effect, .. } => (*effect, |id, how| Input::OutboxWritten(id, missed(how))),
        Effect::LoadRelayProgress(id) => (*id, |id, how| Input::RelayProgress(id, missed(how))),
        Effect::ReadOutbox { effect, .. } => (*effect, |id, how| Input::OutboxRead(id, missed(how))),
        Effect::Publish(id, _) => (*id, |id, how| Input::Published(id, missed(how))),
        Effect::PublishDead(id, _) => (*id, |id, how| Input::DeadPublished(id, missed(how))),
        Effect::MarkPublished { effect, .. } => (*effect, |id, how| Input::PublishedMarked(id, missed(how))),
        Effect::LoadProgress { effect, .. } => (*effect, |id, how| Input::Progress(id, missed(how))),
        Effect::Fetch { effect, .. } => (*effect, |id, how| Input::Fetched(id, missed(how))),
        Effect::LoadVersions { effect, .. } => (*effect, |id, how| Input::Versions(id, missed(how))),
        Effect::ReadStream { effect, .. } => (*effect, |id, how| Input::StreamRead(id, missed(how))),
        Effect::Project { effect, .. } => (*effect, |id, how| Input::Projected(id, missed(how))),
        Effect::LoadHeld { effect, .. } => (*effect, |id, how| Input::HeldLoaded(id, missed(how))),
    })
}

/// The effect that an input completes.
pub(super) fn completes(input: &Input) -> Option<EffectId> {
    Some(match input {
        Input::Submit(_)
        | Input::Drain
        | Input::LogAdvanced(_)
        | Input::PartitionsAssigned(..)
        | Input::PartitionsRevoked(..)
        | Input::MessagesAvailable(_)
        | Input::RetryHeld(..) => return None,
        Input::Reserved(id, _)
        | Input::Leased(id, _)
        | Input::Loaded(id, _)
        | Input::Found(id, _)
        | Input::Appended(id, _)
        | Input::AnswersStored(id, _)
        | Input::Led(id, _)
        | Input::FeederCheckpoint(id, _)
        | Input::LogRead(id, _)
        | Input::OutboxWritten(id, _)
        | Input::RelayProgress(id, _)
        | Input::OutboxRead(id, _)
        | Input::Published(id, _)
        | Input::DeadPublished(id, _)
        | Input::PublishedMarked(id, _)
        | Input::Progress(id, _)
        | Input::Fetched(id, _)
        | Input::Versions(id, _)
        | Input::StreamRead(id, _)
        | Input::Projected(id, _)
        | Input::HeldLoaded(id, _) => *id,
    })
}

/// The kind of an effect, in a word.
pub(super) fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Reply { .. } => "reply",
        Effect::Reserve(..) => "reserve",
        Effect::Lease { .. } => "lease",
        Effect::Unlease(_) => "unlease",
        Effect::Load(..) => "load",
        Effect::FindCommand { .. } => "find-command",
        Effect::Append(..) => "append",
        Effect::StoreAnswers(..) => "store-answers",
        Effect::ReleaseKeys(_) => "release-keys",
        Effect::Lead { .. } => "lead",
        Effect::Resign => "resign",
        Effect::LoadFeederCheckpoint(_) => "load-feeder-checkpoint",
        Effect::ReadLog { .. } => "read-log",
        Effect::WriteOutbox { .. } => "write-outbox",
        Effect::LoadRelayProgress(_) => "load-relay-progress",
        Effect::ReadOutbox { .. } => "read-outbox",
        Effect::Publish(..) => "publish",
        Effect::PublishDead(..) => "publish-dead",
        Effect::MarkPublished { .. } => "mark-published",
        Effect::LoadProgress { .. } => "load-progress",
        Effect::Fetch { .. } => "fetch",
        Effect::LoadVersions { .. } => "load-versions",
        Effect::ReadStream { .. } => "read-stream",
        Effect::Project { .. } => "project",
        Effect::LoadHeld { .. } => "load-held",
    }
}

/// The kind of an input, in a word.
pub(super) fn input_name(input: &Input) -> &'static str {
    match input {
        Input::Submit(_) => "submit",
        Input::Drain => "drain",
        Input::Reserved(..) => "reserved",
        Input::Leased(..) => "leased",
        Input::Loaded(..) => "loaded",
        Input::Found(..) => "found",
        Input::Appended(..) => "appended",
        Input::AnswersStored(..) => "answers-stored",
        Input::Led(..) => "led",
        Input::LogAdvanced(_) => "log-advanced",
        Input::FeederCheckpoint(..) => "feeder-checkpoint",
        Input::LogRead(..) => "log-read",
        Input::OutboxWritten(..) => "outbox-written",
        Input::RelayProgress(..) => "relay-progress",
        Input::OutboxRead(..) => "outbox-read",
        Input::Published(..) => "published",
        Input::DeadPublished(..) => "dead-published",
        Input::PublishedMarked(..) => "published-marked",
        Input::PartitionsAssigned(..) => "partitions-assigned",
        Input::PartitionsRevoked(..) => "partitions-revoked",
        Input::MessagesAvailable(_) => "messages-available",
        Input::Progress(..) => "progress",
        Input::Fetched(..) => "fetched",
        Input::Versions(..) => "versions",
        Input::StreamRead(..) => "stream-read",
        Input::Projected(..) => "projected",
        Input::RetryHeld(..) => "retry-held",
        Input::HeldLoaded(..) => "held-loaded",
    }
}

//! What the application submits, and what it gets back.
//!
//! Plain data. An [`Answer`] keeps apart what is final, what is known not to have happened and what is unknown; a
//! [`FinalAnswer`] is the same for every retry under its key (INV-05). Parsing and hashing are left to the runtime.

use serde::{Deserialize, Serialize};

use crate::event::{Event, TraceParent};
use crate::id::{CommandId, CorrelationId, RequestId, TransferId};
use crate::wallet::{IfMatch, Operation, Rejection, Wallet};

/// A command on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The runtime's number for it; the reply carries it.
    pub id: RequestId,
    /// Fresh for every request; when the request turns out to be a retry, the first attempt's id is used instead.
    pub command_id: CommandId,
    /// Goes into every event.
    pub correlation_id: CorrelationId,
    /// Goes into every event.
    pub trace_parent: Option<TraceParent>,
    /// Present when the client sent an `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
    /// What the version of the addressed wallet must be (`If-Match`); only with [`Work::One`].
    pub if_match: Option<IfMatch>,
    /// What is to be done.
    pub work: Work,
}

/// One operation, or several in one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A single operation.
    One(Operation),
    /// Several operations, decided in order, each seeing the earlier ones, appended together.
    Batch {
        /// Up to [`crate::limits::BATCH_OPERATIONS_MAX`].
        operations: Vec<Operation>,
        /// Whether one refusal refuses them all.
        atomic: bool,
    },
}

/// The identity of an idempotent request: hashes, made by the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Caller, route and key.
    pub key: KeyHash,
    /// Method, path and canonical body.
    pub fingerprint: Fingerprint,
}

/// 128 bits of a cryptographic hash over caller, route and idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyHash(pub [u8; 16]);

/// 128 bits of a cryptographic hash over method, path and canonical body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

/// The reply to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Decided, durable, and the same for every retry under the same key.
    Final {
        /// The outcome.
        answer: FinalAnswer,
        /// Whether it is the stored answer of an earlier attempt.
        replayed: bool,
    },
    /// Another attempt under the same key is running.
    InFlight,
    /// The key was used for another payload.
    KeyReused,
    /// Known not to have happened; it may be tried again.
    Unavailable(Unavailable),
    /// It may or may not have happened: a retry with the same key finds out.
    OutcomeUnknown,
}

/// An outcome that stands: what an idempotency record keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalAnswer {
    /// What was done, or why it was refused.
    pub outcome: Result<Success, Rejection>,
    /// Of the attempt that was decided; part of a refusal's body, so that replays are the same bytes.
    pub correlation_id: CorrelationId,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Success {
    /// The wallet after a creation, credit or debit.
    Wallet(Wallet),
    /// Both wallets after a transfer.
    Transfer {
        /// The id on both legs.
        transfer_id: TransferId,
        /// The source.
        from: Wallet,
        /// The destination.
        to: Wallet,
    },
    /// A result for each operation of a batch, in request order; all are successes when the batch is atomic.
    Batch(Vec<Result<Success, Rejection>>),
}

/// Why nothing happened, though the domain did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unavailable {
    /// [`crate::limits::COMMANDS_PENDING_MAX`] commands are waiting.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The event store refuses or cannot be reached.
    #[error("the event store is not available")]
    EventStore,
    /// The idempotency store refuses or cannot be reached.
    #[error("the idempotency store is not available")]
    IdempotencyStore,
    /// Other writers were faster, every time.
    #[error("the wallet is contended")]
    Contended,
    /// The command waited until its time was up, and had not begun to be written.
    #[error("the command waited too long for its turn")]
    TimedOut,
    /// The service is shutting down.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The stored events of a wallet contradict each other; an operator must look (`wallex verify`).
    #[error("the stored history of a wallet is damaged")]
    Damaged,
}

impl Work {
    /// The operations, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        match self {
            Self::One(operation) => std::slice::from_ref(operation),
            Self::Batch { operations, .. } => operations,
        }
    }
}

impl FinalAnswer {
    /// Whether the events of the command tell all of it. A refusal, of the whole or of one operation of a batch, leaves
    /// no trace in the event store.
    #[must_use]
    pub fn is_vouched_for(&self) -> bool {
        match &self.outcome {
            Ok(Success::Batch(results)) => results.iter().all(Result::is_ok),
            Ok(Success::Wallet(_) | Success::Transfer { .. }) => true,
            Err(_) => false,
        }
    }
}

impl Success {
    /// Builds the answer of one operation from the events it caused and the wallets right after them.
    ///
    /// `wallets` gives for each event the wallet as of that event, in the same order.
    ///
    /// # Panics
    /// When there is no event: an accepted operation causes at least one.
    #[must_use]
    pub fn of(events: &[Event], mut wallets: impl Iterator<Item = Wallet>) -> Self {
        let mut wallet = || wallets.next().expect("there is a wallet for each event, and at least one event");
        match events {
            [debit, _credit] => {
                Self::Transfer { transfer_id: TransferId::from(debit.event_id), from: wallet(), to: wallet() }
            }
            _ => Self::Wallet(wallet()),
        }
    }
}

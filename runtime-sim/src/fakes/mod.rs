//! What stands in for the servers: synchronous data structures with the semantics of the real things, never kinder.
//!
//! A fake performs an effect at once, as one transaction, and gives the completion. It has no network, no time and no
//! randomness of its own: the world delays, loses and repeats what goes to it and comes from it, and tells it the time
//! of its own node. What survives a crash is apart from what does not. The statements of `contracts/` run on every fake
//! of a port, so that the simulator stays honest (`tests/contracts`); what a fake has beyond them is tested in
//! `tests/fakes`.
//!
//! | module | stands in for |
//! |---|---|
//! | [`event_store`] | KurrentDB |
//! | [`database`] | Postgres, and SQLite, which may lose its newest commits to a power cut |
//! | [`broker`] | Kafka: topics, and consumer groups in [`groups`] |
//! | [`leases`] | Redis |
//! | [`embedded_store`] | nothing: the journal itself, on a [`Disk`] that fails |
//! | [`embedded_broker`] | the broker inside an embedded service |
//! | [`poison`] | rows and messages that are refused |

pub mod broker;
pub mod database;
pub mod embedded_broker;
pub mod embedded_store;
pub mod event_store;
pub mod groups;
pub mod leases;
pub mod poison;
mod route;

/// A disk that forgets, tears and rots: what was not synced is gone after [`restart`](Disk::restart), whole or in part,
/// as a seed says. It can be full and its syncs can fail; that it is slow is for the world to say.
pub use wallex_journal::testing::FaultyStorage as Disk;

pub use broker::Broker;
pub use database::{Database, Durability};
pub use embedded_broker::EmbeddedBroker;
pub use embedded_store::EmbeddedStore;
pub use event_store::EventStore;
pub use groups::Groups;
pub use leases::LeaseStore;
pub use poison::Poison;
pub use route::{Port, port_of};

use wallex_core::effect::{Completion, Failure, FailureKind};

/// One life of an instance: a process that starts again is another one, as a process that has lost its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct InstanceId(pub u32);

/// The request itself is wrong: it will be refused again.
pub(crate) fn rejected<T>(reason: impl Into<String>) -> Completion<T> {
    Completion::Failed(Failure { kind: FailureKind::Rejected, reason: reason.into() })
}

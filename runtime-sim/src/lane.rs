//! The nodes of the world: who sends and receives, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node: in the space-time diagram it has a lane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// A client of the service.
    Client(u8),
    /// A process of the service.
    Instance(u8),
    /// The source of truth. When embedded: the journal's disk.
    EventStore,
    /// Outbox, read model, ledger, checkpoints, idempotency.
    Database,
    /// The topic.
    Broker,
    /// Leases and leadership.
    Leases,
}

impl Lane {
    /// A number of its own, for hashing.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Client(number) => 0x100 + u16::from(number),
            Self::Instance(number) => 0x200 + u16::from(number),
            Self::EventStore => 1,
            Self::Database => 2,
            Self::Broker => 3,
            Self::Leases => 4,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(f, "client-{number}"),
            Self::Instance(number) => write!(f, "instance-{number}"),
            Self::EventStore => f.write_str("event-store"),
            Self::Database => f.write_str("database"),
            Self::Broker => f.write_str("broker"),
            Self::Leases => f.write_str("leases"),
        }
    }
}

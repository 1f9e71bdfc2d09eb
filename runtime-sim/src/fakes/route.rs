//! Which server an effect goes to.

use wallex_core::effect::Effect;

/// The servers that perform effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The client that waits for the answer.
    Client,
    /// Streams and the log.
    EventStore,
    /// Keys, outbox, progress, read model, ledger.
    Database,
    /// Topics.
    Broker,
    /// Leases and leadership.
    Leases,
}

/// The server that performs an effect, when idempotency keys are kept in the database.
#[must_use]
pub fn port_of(effect: &Effect) -> Port {
    match effect {
        Effect::Reply { .. } => Port::Client,
        Effect::Load(..)
        | Effect::FindCommand { .. }
        | Effect::Append(..)
        | Effect::ReadLog { .. }
        | Effect::ReadStream { .. } => Port::EventStore,
        Effect::Reserve(..)
        | Effect::StoreAnswers(..)
        | Effect::ReleaseKeys(_)
        | Effect::LoadFeederCheckpoint(_)
        | Effect::WriteOutbox { .. }
        | Effect::LoadRelayProgress(_)
        | Effect::ReadOutbox { .. }
        | Effect::MarkPublished { .. }
        | Effect::LoadProgress { .. }
        | Effect::LoadVersions { .. }
        | Effect::Project { .. }
        | Effect::LoadHeld { .. } => Port::Database,
        Effect::Publish(..) | Effect::PublishDead(..) | Effect::Fetch { .. } => Port::Broker,
        Effect::Lease { .. } | Effect::Unlease(_) | Effect::Lead { .. } | Effect::Resign => Port::Leases,
    }
}

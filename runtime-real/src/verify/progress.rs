//! How far everybody got, and where an event stands with them.
//!
//! Embedded, every consumer counts in positions of the log. Over Kafka the projectors count in offsets, and what they
//! took is read off their rows instead, together with their own count of it (INV-06).

use std::collections::{BTreeMap, HashMap};

use wallex_core::event::Event;

/// How far a consumer got: for each partition the last position it took, and for wallets it holds back the first
/// version it set aside. The feeder and the relay have partition 0 only.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// By partition.
    pub positions: HashMap<u16, u64>,
    /// By wallet.
    pub held_from: HashMap<String, u64>,
    /// By wallet, the last version that it set aside; for consumers with [`Reached::versions`].
    pub held_to: HashMap<String, u64>,
    /// By wallet, the version that the consumer itself shows, where positions are not those of the log: a consumer of
    /// Kafka counts in offsets. What lies behind that version is taken.
    pub versions: Option<HashMap<String, u64>>,
}

/// How far everybody got.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Log to outbox.
    pub feeder: Reached,
    /// Outbox to partitions.
    pub relay: Reached,
    /// Partitions to read model.
    pub read_model: Reached,
    /// Partitions to ledger.
    pub ledger: Reached,
}

/// Where an event stands with a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Still to come.
    Ahead,
    /// Set aside by the consumer.
    Held,
    /// Taken.
    Taken,
}

impl Reached {
    pub(super) fn standing(&self, partition: u16, position: u64, event: &Event) -> Standing {
        let wallet = event.wallet_id.as_str();
        let is_held = self.held_from.get(wallet).is_some_and(|from| event.version.0 >= *from);
        if let Some(versions) = &self.versions {
            let is_held = is_held && self.held_to.get(wallet).is_some_and(|to| event.version.0 <= *to);
            return match versions.get(wallet) {
                Some(shown) if event.version.0 <= *shown => Standing::Taken,
                Some(_) | None if is_held => Standing::Held,
                Some(_) | None => Standing::Ahead,
            };
        }
        let taken_up_to = self.positions.get(&partition).copied().unwrap_or(0);
        match (position > taken_up_to, is_held) {
            (true, _) => Standing::Ahead,
            (false, true) => Standing::Held,
            (false, false) => Standing::Taken,
        }
    }
}

/// Counts for one consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that are still to come.
    pub ahead: u64,
    /// Events that the consumer set aside.
    pub held: u64,
    /// Events that the consumer took, by partition.
    pub taken: BTreeMap<u16, u64>,
}

impl Counts {
    pub(super) fn count(&mut self, partition: u16, standing: Standing) {
        match standing {
            Standing::Ahead => self.ahead += 1,
            Standing::Held => self.held += 1,
            Standing::Taken => *self.taken.entry(partition).or_default() += 1,
        }
    }
}

/// Counts for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllCounts {
    /// See [`Progress::feeder`].
    pub feeder: Counts,
    /// See [`Progress::relay`].
    pub relay: Counts,
    /// See [`Progress::read_model`].
    pub read_model: Counts,
    /// See [`Progress::ledger`].
    pub ledger: Counts,
}

//! The traces of events on their way through a projector. A projection's rows do not say which trace they come from, so
//! what was fetched is remembered until it is written.

use std::collections::BTreeMap;

use wallex_core::event::Event;
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::{Consumer, Projection, WalletChange};

use super::effects::Mark;

/// Events remembered for each consumer before the oldest half is forgotten; their spans are missing then, and nothing
/// else.
const REMEMBERED_MAX: usize = 16_384;

/// Sampled events that were fetched and not written yet, by consumer.
#[derive(Default)]
pub(super) struct Pending {
    read_model: Generations,
    ledger: Generations,
}

/// The newest events and those before them: when the newest are many, they become the older ones.
#[derive(Default)]
struct Generations {
    newer: BTreeMap<(WalletId, Version), Mark>,
    older: BTreeMap<(WalletId, Version), Mark>,
}

impl Pending {
    /// Notes an event that a consumer has fetched, when its trace is recorded.
    pub(super) fn note(&mut self, consumer: Consumer, event: &Event) {
        if let Some(mark) = Mark::of(event)
            && let Some(generations) = self.of(consumer)
        {
            generations.note(event.version, mark);
        }
    }

    /// The marks of what a projection writes.
    pub(super) fn written(&mut self, consumer: Consumer, changes: &Projection) -> Vec<Mark> {
        let Some(generations) = self.of(consumer).filter(|generations| !generations.is_empty()) else {
            return Vec::new();
        };
        match changes {
            Projection::ReadModel(changes) => changes.iter().flat_map(|change| generations.of_change(change)).collect(),
            Projection::Ledger(entries) => entries
                .iter()
                .filter_map(|entry| generations.get(&(entry.wallet_id.clone(), entry.version)).cloned())
                .collect(),
        }
    }

    /// Forgets what was written.
    pub(super) fn forget(&mut self, consumer: Consumer, marks: &[Mark]) {
        if let Some(generations) = self.of(consumer) {
            for mark in marks {
                let key = (mark.wallet_id.clone(), mark.version);
                generations.newer.remove(&key);
                generations.older.remove(&key);
            }
        }
    }

    fn of(&mut self, consumer: Consumer) -> Option<&mut Generations> {
        match consumer {
            Consumer::ReadModel => Some(&mut self.read_model),
            Consumer::Ledger => Some(&mut self.ledger),
            Consumer::Relay => None,
        }
    }
}

impl Generations {
    fn note(&mut self, version: Version, mark: Mark) {
        if self.newer.len() >= REMEMBERED_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert((mark.wallet_id.clone(), version), mark);
    }

    fn is_empty(&self) -> bool {
        self.newer.is_empty() && self.older.is_empty()
    }

    fn get(&self, key: &(WalletId, Version)) -> Option<&Mark> {
        self.newer.get(key).or_else(|| self.older.get(key))
    }

    /// A change of a row stands for every version that it moves the row over.
    fn of_change(&self, change: &WalletChange) -> Vec<Mark> {
        let (wallet, after, upto) = match change {
            WalletChange::Insert(wallet) => (&wallet.id, Version(0), wallet.version),
            WalletChange::Update { wallet_id, expected, version, .. } => (wallet_id, *expected, *version),
        };
        let range = (wallet.clone(), Version(after.0 + 1))..=(wallet.clone(), upto);
        if range.start() > range.end() {
            return Vec::new();
        }
        self.older.range(range.clone()).chain(self.newer.range(range)).map(|(_, mark)| mark.clone()).collect()
    }
}

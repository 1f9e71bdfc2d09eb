//! The traces of events on their way through a projector. A projection's rows do not say which trace they come from, so
//! what was fetched is remembered until it is written.
//!
//! Only events whose trace is recorded are noted, and of those a bounded number: what is forgotten costs a span and
//! nothing else. When to note and to forget is left to `effects`.

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
        // What was fetched again after a change of generation stands in both.
        let older = self.older.range(range.clone()).filter(|(key, _)| !self.newer.contains_key(*key));
        older.chain(self.newer.range(range)).map(|(_, mark)| mark.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wallex_contracts::events::Log;
    use wallex_core::event::TraceParent;
    use wallex_core::projector::LedgerEntry;

    /// Events of one wallet with the versions from 1 on; the first is not sampled.
    fn events(count: usize) -> Vec<Event> {
        let mut log = Log::new("pending");
        let mut events: Vec<Event> = (0..count).map(|_| log.event("alice").event).collect();
        for (at, event) in events.iter_mut().enumerate() {
            let flags = if at == 0 { "00" } else { "01" };
            event.trace_parent =
                TraceParent::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"));
        }
        events
    }

    fn versions(marks: &[Mark]) -> Vec<u64> {
        marks.iter().map(|mark| mark.version.0).collect()
    }

    fn update(event: &Event, expected: u64) -> Projection {
        let (wallet_id, version) = (event.wallet_id.clone(), event.version);
        let (balance, updated_at) = (event.balance, event.occurred_at);
        Projection::ReadModel(vec![WalletChange::Update {
            wallet_id,
            expected: Version(expected),
            version,
            balance,
            updated_at,
        }])
    }

    #[test]
    fn a_row_stands_for_every_sampled_version_that_it_is_moved_over() {
        let (events, mut pending) = (events(4), Pending::default());
        for event in &events {
            pending.note(Consumer::ReadModel, event);
        }
        assert_eq!(versions(&pending.written(Consumer::ReadModel, &update(&events[3], 0))), [2, 3, 4]);
        assert_eq!(versions(&pending.written(Consumer::ReadModel, &update(&events[2], 2))), [3]);
        let written = pending.written(Consumer::ReadModel, &update(&events[2], 0));
        pending.forget(Consumer::ReadModel, &written);
        assert_eq!(versions(&pending.written(Consumer::ReadModel, &update(&events[3], 0))), [4]);
        assert!(pending.written(Consumer::ReadModel, &update(&events[0], 4)).is_empty());
    }

    #[test]
    fn consumers_are_told_apart_and_entries_found_by_their_version() {
        let (events, mut pending) = (events(3), Pending::default());
        for event in &events {
            pending.note(Consumer::Ledger, event);
        }
        let entries = Projection::Ledger(events.iter().map(LedgerEntry::from).collect());
        assert_eq!(versions(&pending.written(Consumer::Ledger, &entries)), [2, 3]);
        assert!(pending.written(Consumer::ReadModel, &update(&events[2], 0)).is_empty());
    }

    #[test]
    fn an_event_that_was_fetched_twice_is_written_once() {
        let (events, mut pending) = (events(2), Pending::default());
        pending.note(Consumer::ReadModel, &events[1]);
        pending.read_model.older = std::mem::take(&mut pending.read_model.newer);
        pending.note(Consumer::ReadModel, &events[1]);
        assert_eq!(versions(&pending.written(Consumer::ReadModel, &update(&events[1], 0))), [2]);
    }

    #[test]
    fn what_is_never_written_is_forgotten_at_last() {
        let (event, mut generations) = (events(2).remove(1), Generations::default());
        for version in 1..=3 * REMEMBERED_MAX as u64 {
            generations.note(Version(version), Mark::of(&event).unwrap());
        }
        assert!(generations.newer.len() + generations.older.len() <= REMEMBERED_MAX);
        let newest = (event.wallet_id.clone(), Version(3 * REMEMBERED_MAX as u64));
        assert!(generations.get(&newest).is_some());
    }
}

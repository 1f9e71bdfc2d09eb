//! An event store in memory: expected versions, atomic appends over many wallets, recognition of repeated appends.

use std::collections::BTreeMap;

use wallex_core::effect::{Append, Completion, Effect, Input, Loaded, Reservation, StreamWrite};
use wallex_core::event::Event;
use wallex_core::id::{Version, WalletId};

/// The streams, by wallet.
#[derive(Debug, Default)]
pub struct Store {
    streams: BTreeMap<WalletId, Vec<Event>>,
}

impl Store {
    /// Does what an effect asks for; nothing for effects that have no completion.
    pub fn perform(&mut self, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::Append(id, append) => Input::Appended(id, self.append(&append)),
            Effect::Load(id, loads) => {
                let loaded = loads.iter().map(|load| {
                    let events = self.tail(&load.wallet, load.known).to_vec();
                    Loaded { snapshot: None, events }
                });
                Input::Loaded(id, Completion::Done(loaded.collect()))
            }
            Effect::Lease { effect, wallets, .. } => Input::Leased(effect, Completion::Done(vec![true; wallets.len()])),
            Effect::Reserve(id, items) => Input::Reserved(id, Completion::Done(vec![Reservation::New; items.len()])),
            // Nothing else is asked for in a world without keys to take over and without a pipeline.
            Effect::Reply { .. }
            | Effect::Unlease(_)
            | Effect::FindCommand { .. }
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::LoadFeederCheckpoint(_)
            | Effect::ReadLog { .. }
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::ReadStream { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => return None,
        })
    }

    /// Events of all wallets.
    #[must_use]
    pub fn events(&self) -> usize {
        self.streams.values().map(Vec::len).sum()
    }

    /// The sum of all balances, in minor units.
    #[must_use]
    pub fn money(&self) -> i128 {
        self.streams.values().filter_map(|stream| stream.last()).map(|event| event.balance.minor_units()).sum()
    }

    fn tail(&self, wallet: &WalletId, known: Version) -> &[Event] {
        self.streams.get(wallet).and_then(|stream| stream.get(known.0 as usize..)).unwrap_or_default()
    }

    fn append(&mut self, append: &Append) -> Completion<()> {
        let is_there = |write: &StreamWrite| {
            let stored = self.tail(&write.wallet, write.expected).iter().map(|event| event.event_id);
            stored.take(write.events.len()).eq(write.events.iter().map(|event| event.event_id))
        };
        if append.writes.iter().all(is_there) {
            return Completion::Done(());
        }
        let fits = |write: &StreamWrite| self.streams.get(&write.wallet).map_or(0, Vec::len) as u64 == write.expected.0;
        if !append.writes.iter().all(fits) {
            return Completion::Conflict;
        }
        for write in &append.writes {
            self.streams.entry(write.wallet.clone()).or_default().extend(write.events.iter().cloned());
        }
        Completion::Done(())
    }
}

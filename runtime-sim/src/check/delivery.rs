//! How far events have come after the log: outbox, topic, projections, and what is set aside.
//!
//! A part of the [`super::Books`]. It notes what is observed and judges nothing: that is left to the checkers of
//! INV-06, INV-07 and INV-11. When the database loses its newest commits, its part is set back to what is left; the
//! topic is not.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::id::{EventId, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, Projection, WalletChange};

use crate::observe::{Evidence, Observation};

/// A message of the topic, as far as delivery needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) offset: u64,
    pub(crate) wallet: WalletId,
    pub(crate) version: u64,
}

/// What has reached what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) outbox: BTreeSet<EventId>,
    pub(crate) published: BTreeSet<EventId>,
    pub(crate) topic: BTreeMap<u16, Vec<Sent>>,
    pub(crate) projected: BTreeMap<(Consumer, WalletId), u64>,
    /// Versions set aside, and whether each is a dead letter.
    pub(crate) held: BTreeMap<(Consumer, WalletId), BTreeMap<u64, bool>>,
    held_ids: BTreeMap<(Consumer, EventId), (WalletId, u64)>,
}

impl Delivery {
    pub(super) fn take(&mut self, observation: &Observation<'_>) {
        match observation {
            Observation::OutboxWritten { events, .. } => {
                self.outbox.extend(events.iter().map(|recorded| recorded.event.event_id));
            }
            Observation::Published(message) => {
                self.published.insert(message.event_id);
                let (offset, wallet, version) = (message.offset, message.wallet_id.clone(), message.version.0);
                let sent = self.topic.entry(message.partition).or_default();
                let at = sent.partition_point(|before| before.offset < offset);
                if sent.get(at).is_none_or(|there| there.offset != offset) {
                    sent.insert(at, Sent { offset, wallet, version });
                }
            }
            Observation::RelayMarked { held, released, .. } => self.hold(Consumer::Relay, held, released),
            Observation::Projected { consumer, changes, held, released, .. } => {
                self.project(*consumer, changes);
                self.hold(*consumer, held, released);
            }
            Observation::DatabaseRolledBack(evidence) => self.roll_back(evidence),
            Observation::Appended(_)
            | Observation::Answered(..)
            | Observation::DeadPublished(_)
            | Observation::JournalRecovered { .. }
            | Observation::Healed => {}
        }
    }

    pub(crate) fn projected(&self, consumer: Consumer, wallet: &WalletId) -> u64 {
        self.projected.get(&(consumer, wallet.clone())).copied().unwrap_or(0)
    }

    /// The first version that a consumer has set aside for a wallet.
    pub(crate) fn first_held(&self, consumer: Consumer, wallet: &WalletId) -> Option<u64> {
        self.held.get(&(consumer, wallet.clone()))?.keys().next().copied()
    }

    /// The messages of a partition after one offset and up to another.
    pub(crate) fn sent(&self, partition: u16, after: u64, to: u64) -> &[Sent] {
        let sent = self.topic.get(&partition).map_or(&[][..], Vec::as_slice);
        let at = |offset: u64| sent.partition_point(|message| message.offset <= offset);
        sent.get(at(after)..at(to)).unwrap_or_default()
    }

    pub(crate) fn holds(&self, consumer: Consumer, event: EventId) -> bool {
        self.held_ids.contains_key(&(consumer, event))
    }

    fn project(&mut self, consumer: Consumer, changes: &Projection) {
        let mut reach = |wallet: &WalletId, version: u64| {
            let reached = self.projected.entry((consumer, wallet.clone())).or_default();
            *reached = version.max(*reached);
        };
        match changes {
            Projection::ReadModel(changes) => changes.iter().for_each(|change| match change {
                WalletChange::Insert(wallet) => reach(&wallet.id, wallet.version.0),
                WalletChange::Update { wallet_id, version, .. } => reach(wallet_id, version.0),
            }),
            Projection::Ledger(entries) => {
                entries.iter().for_each(|entry| reach(&entry.wallet_id, entry.version.0));
            }
        }
    }

    fn hold(&mut self, consumer: Consumer, held: &[HeldEvent], released: &[EventId]) {
        for event in released {
            let Some((wallet, version)) = self.held_ids.remove(&(consumer, *event)) else { continue };
            let place = (consumer, wallet);
            if let Some(versions) = self.held.get_mut(&place) {
                versions.remove(&version);
                if versions.is_empty() {
                    self.held.remove(&place);
                }
            }
        }
        for one in held {
            let place = (one.wallet_id.clone(), one.version.0);
            self.held.entry((consumer, place.0.clone())).or_default().insert(place.1, one.dead.is_some());
            self.held_ids.insert((consumer, one.event_id), place);
        }
    }

    /// The database is what it was before; the topic is what it is.
    fn roll_back(&mut self, evidence: &Evidence) {
        self.outbox = evidence.outbox.iter().map(|recorded| recorded.event.event_id).collect();
        self.projected.clear();
        self.held.clear();
        self.held_ids.clear();
        let rows = evidence.read_model.iter().map(|row| ((Consumer::ReadModel, row.id.clone()), row.version.0));
        self.projected.extend(rows);
        for entry in &evidence.ledger {
            let reached = self.projected.entry((Consumer::Ledger, entry.wallet_id.clone())).or_default();
            *reached = entry.version.0.max(*reached);
        }
        for held in &evidence.held {
            self.hold(held.consumer, std::slice::from_ref(held), &[]);
        }
    }
}

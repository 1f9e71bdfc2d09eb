//! One transaction of a projector: the version guard over a batch of messages, and the rows that come out.
//!
//! The guard (INV-03, INV-07): a version that is there already is skipped, the next one is applied, a later one is a gap
//! that the event store has to fill first. Nothing is ever applied out of order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Projector;
use super::message::{Consumer, DeadLetter, HeldEvent, LedgerEntry, Message, Projection, WalletChange};
use crate::event::Event;
use crate::id::{EventId, Version, WalletId};
use crate::index::{Index, index, seeded};
use crate::mutant::{self, Mutant};
use crate::wallet::Wallet;

/// What a transaction writes, and what is true when it is done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    changes: Projection,
    /// Partition, offset before, offset after.
    pub(super) checkpoints: Vec<(u16, u64, u64)>,
    pub(super) held: Vec<HeldEvent>,
    pub(super) released: Vec<EventId>,
    /// How many messages it covers.
    pub(super) messages: usize,
    /// The wallet whose held events this batch applies.
    pub(super) retried: Option<WalletId>,
    /// The last message, which is the only one when the batch has shrunk to the one at fault.
    last: Option<Message>,
    #[serde(with = "seeded")]
    versions: Index<WalletId, Version>,
    applied: u64,
    duplicates: u64,
}

/// Events that the topic left out.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) wallet: WalletId,
    pub(super) from: Version,
    pub(super) to: Version,
}

impl Batch {
    /// Guards and folds `messages`, with `filled` events in the gaps.
    ///
    /// # Errors
    /// The first [`Gap`] that `filled` does not cover.
    pub(super) fn build(projector: &Projector, messages: &[Message], filled: &[Event]) -> Result<Self, Gap> {
        let mut batch = Self::empty(projector.consumer, messages.len());
        batch.last = messages.last().cloned();
        let mut offsets: BTreeMap<u16, u64> = BTreeMap::new();
        for message in messages {
            offsets.insert(message.partition, message.offset);
            let applied = batch.version_of(projector, &message.wallet_id);
            if batch.must_wait(projector, &message.wallet_id) {
                // What comes again is applied already, or the dead letter itself: that one must not be set aside anew as
                // something that only waits.
                if message.version > applied.next() {
                    batch.held.push(held(projector.consumer, message, None));
                } else {
                    batch.duplicates += 1;
                }
                continue;
            }
            if message.version <= applied && !mutant::on(Mutant::GuardSkipped) {
                batch.duplicates += 1;
                continue;
            }
            if message.version > applied.next() {
                batch.fill(projector, message, applied, filled)?;
            }
            match &message.event {
                Ok(event) => batch.apply(projector, event),
                Err(failure) => {
                    let dead = DeadLetter { reason: failure.reason.clone(), attempts: 1 };
                    batch.held.push(held(projector.consumer, message, Some(dead)));
                }
            }
        }
        let before = |partition: u16| projector.offsets.get(&partition).copied().unwrap_or(0);
        batch.checkpoints =
            offsets.into_iter().map(|(partition, offset)| (partition, before(partition), offset)).collect();
        Ok(batch)
    }

    /// The events of a wallet that were held back and are tried again.
    pub(super) fn of_held(projector: &Projector, wallet: WalletId, events: &[Event], released: Vec<EventId>) -> Self {
        let mut batch = Self::empty(projector.consumer, 0);
        for event in events {
            if event.version == batch.version_of(projector, &wallet).next() && !mutant::on(Mutant::RetryForgets) {
                batch.apply(projector, event);
            }
        }
        batch.released = released;
        batch.retried = Some(wallet);
        batch
    }

    fn empty(consumer: Consumer, messages: usize) -> Self {
        Self {
            changes: match consumer {
                Consumer::Ledger => Projection::Ledger(Vec::with_capacity(messages)),
                Consumer::ReadModel | Consumer::Relay => Projection::ReadModel(Vec::with_capacity(messages)),
            },
            checkpoints: Vec::new(),
            held: Vec::new(),
            released: Vec::new(),
            messages,
            retried: None,
            last: None,
            versions: index(0),
            applied: 0,
            duplicates: 0,
        }
    }

    /// The rows, which nobody needs again: a batch that is not written is built anew from its messages.
    pub(super) fn take_changes(&mut self) -> Projection {
        std::mem::replace(&mut self.changes, Projection::Ledger(Vec::new()))
    }

    fn must_wait(&self, projector: &Projector, wallet: &WalletId) -> bool {
        if mutant::on(Mutant::DeadLetterHoldsNobody) {
            return false;
        }
        if mutant::on(Mutant::DeadLetterHoldsEverybody) {
            return !projector.held_wallets.is_empty() || !self.held.is_empty();
        }
        let newly_held = || self.held.iter().any(|one| one.wallet_id == *wallet);
        (!projector.held_wallets.is_empty() && projector.held_wallets.contains(wallet))
            || (!self.held.is_empty() && newly_held())
    }

    fn version_of(&self, projector: &Projector, wallet: &WalletId) -> Version {
        let known = self.versions.get(wallet).or_else(|| projector.versions.get(wallet));
        known.copied().unwrap_or_default()
    }

    fn fill(
        &mut self,
        projector: &Projector,
        message: &Message,
        applied: Version,
        filled: &[Event],
    ) -> Result<(), Gap> {
        let missing = applied.next()..message.version;
        let mut found: Vec<&Event> = filled
            .iter()
            .filter(|event| event.wallet_id == message.wallet_id && missing.contains(&event.version))
            .collect();
        found.sort_unstable_by_key(|event| event.version);
        found.dedup_by_key(|event| event.version);
        if found.len() as u64 != missing.end.0 - missing.start.0 {
            let to = Version(message.version.0 - 1);
            return Err(Gap { wallet: message.wallet_id.clone(), from: missing.start, to });
        }
        for event in found {
            self.apply(projector, event);
        }
        Ok(())
    }

    fn apply(&mut self, projector: &Projector, event: &Event) {
        let before = self.version_of(projector, &event.wallet_id);
        self.applied += 1;
        let (slot, in_batch) = self.versions.insert_full(event.wallet_id.clone(), event.version);
        match &mut self.changes {
            Projection::Ledger(entries) => entries.push(LedgerEntry::from(event)),
            // One change for each wallet, in the order in which the batch first touches it: `slot` is its place.
            Projection::ReadModel(changes) => match (in_batch, changes.get_mut(slot)) {
                (Some(_), Some(change)) => change.advance(event),
                (_, _) if before == Version(0) => changes.push(WalletChange::Insert(Wallet::apply(None, event))),
                (_, _) => changes.push(WalletChange::Update {
                    wallet_id: event.wallet_id.clone(),
                    expected: before,
                    version: event.version,
                    balance: event.balance,
                    updated_at: event.occurred_at,
                }),
            },
        }
    }

    /// Turns a batch of a single message, which the database refuses, into one that gives it up.
    pub(super) fn into_dead_letter(self, consumer: Consumer, reason: &str, attempts: u32) -> Option<Self> {
        let message = self.last?;
        let mut batch = Self::empty(consumer, 1);
        let dead = DeadLetter { reason: reason.to_owned(), attempts };
        batch.held.push(held(consumer, &message, Some(dead)));
        batch.checkpoints = self.checkpoints;
        Some(batch)
    }

    /// The transaction is committed.
    pub(super) fn commit(self, projector: &mut Projector) {
        for (partition, _, after) in self.checkpoints {
            projector.offsets.insert(partition, after);
        }
        projector.versions.extend(self.versions);
        for one in self.held {
            projector.statistics.dead_letters += u64::from(one.dead.is_some());
            projector.held_wallets.insert(one.wallet_id);
        }
        if let Some(wallet) = self.retried {
            projector.held_wallets.remove(&wallet);
        }
        projector.statistics.applied += self.applied;
        projector.statistics.duplicates += self.duplicates;
    }
}

impl WalletChange {
    fn advance(&mut self, event: &Event) {
        match self {
            Self::Insert(wallet) => wallet.advance(event),
            Self::Update { version, balance, updated_at, .. } => {
                *version = event.version;
                *balance = event.balance;
                *updated_at = event.occurred_at;
            }
        }
    }
}

fn held(consumer: Consumer, message: &Message, dead: Option<DeadLetter>) -> HeldEvent {
    HeldEvent {
        consumer,
        wallet_id: message.wallet_id.clone(),
        event_id: message.event_id,
        version: message.version,
        partition: message.partition,
        offset: message.offset,
        event: message.event.clone().ok(),
        dead,
    }
}

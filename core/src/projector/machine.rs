//! The projector: one consumer of the topic, its partitions, and its place in each.
//!
//! One batch at a time: fetch, guard versions, write rows and checkpoints in one transaction. So replays and duplicates
//! change nothing, and what a crash interrupts is done again (INV-06, INV-08). A batch that the database refuses is cut
//! in half until the event at fault stands alone; that one becomes a dead letter and holds back its wallet (INV-11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::message::{Consumer, HeldEvent, Message, PartitionProgress, Projection};
use crate::awaiting::Awaiting;
use crate::effect::{Completion, Effect, EffectQueue, Failure, FailureKind};
use crate::event::Event;
use crate::id::{EffectId, EventId, Version, WalletId};
use crate::index::{Index, index, seeded};
use crate::limits::{DELIVERY_ATTEMPTS_MAX, PIPELINE_BATCH_MAX, PROJECTED_VERSIONS_CACHED_MAX};
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

/// Projects the events of one consumer's partitions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Projector {
    pub(super) consumer: Consumer,
    state: State,
    /// The last offset taken, by partition.
    pub(super) offsets: BTreeMap<u16, u64>,
    pub(super) held_wallets: BTreeSet<WalletId>,
    /// The version that each wallet is projected to, as far as it is known.
    #[serde(with = "seeded")]
    pub(super) versions: Index<WalletId, Version>,
    assigned: BTreeSet<u16>,
    retries: BTreeSet<WalletId>,
    batch_max: usize,
    gathering: Duration,
    attempts: u32,
    hinted: bool,
    /// The last fetch gave less than it asked for: without a hint there is nothing more.
    drained: bool,
    pub(super) awaiting: Awaiting,
    pub(crate) effects: EffectQueue,
    pub(super) statistics: ProjectorStatistics,
}

/// Counters of a projector since the node began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectorStatistics {
    /// Events applied.
    pub applied: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Gaps that were filled from the event store.
    pub gaps: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// Events given up.
    pub dead_letters: u64,
}

// There is one of these for each projector: room is no concern.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Serialize, Deserialize)]
enum State {
    /// Progress has to be read.
    Starting,
    Idle,
    Behind,
    Fetching,
    /// Waits for the versions of wallets that it has not seen.
    Guarding(Vec<Message>, Vec<WalletId>),
    /// Waits for events that the topic left out.
    Filling {
        messages: Vec<Message>,
        filled: Vec<Event>,
        wallet: WalletId,
        until: Version,
    },
    /// Waits for [`Effect::PublishDead`].
    Announcing(Batch),
    Writing(Batch),
    LoadingHeld(WalletId),
    /// Waits for the version of a wallet whose held events are tried again.
    GuardingHeld(WalletId, Vec<HeldEvent>),
    /// Waits for the events of a wallet whose held events are tried again.
    ReadingHeld(WalletId, Vec<EventId>),
}

impl Projector {
    pub(crate) fn new(consumer: Consumer, now: Timestamp, machine: u64, hash_seed: u64, gathering: Duration) -> Self {
        Self {
            consumer,
            state: State::Starting,
            offsets: BTreeMap::new(),
            held_wallets: BTreeSet::new(),
            versions: index(hash_seed),
            assigned: BTreeSet::new(),
            retries: BTreeSet::new(),
            batch_max: PIPELINE_BATCH_MAX,
            gathering,
            attempts: 0,
            hinted: false,
            drained: false,
            awaiting: Awaiting::new(now),
            effects: EffectQueue::new(machine),
            statistics: ProjectorStatistics::default(),
        }
    }

    pub(crate) fn statistics(&self) -> ProjectorStatistics {
        self.statistics
    }

    /// The last offset taken, by partition.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (u16, u64)> {
        self.offsets.iter().map(|(partition, offset)| (*partition, *offset))
    }

    pub(crate) fn on_assigned(&mut self, partitions: &[u16]) {
        self.assigned.extend(partitions);
        self.reassign();
    }

    pub(crate) fn on_revoked(&mut self, partitions: &[u16]) {
        for partition in partitions {
            self.assigned.remove(partition);
        }
        self.reassign();
    }

    /// What is under way is left to itself: if it still happens, the checkpoint will show it.
    fn reassign(&mut self) {
        self.awaiting.forget();
        self.state = State::Starting;
    }

    pub(crate) fn on_messages_available(&mut self) {
        if matches!(self.state, State::Idle) {
            self.state = State::Behind;
        } else {
            self.hinted = true;
        }
    }

    pub(crate) fn on_retry_held(&mut self, wallet: WalletId) {
        self.retries.insert(wallet);
    }

    pub(crate) fn on_progress(&mut self, effect: EffectId, completion: Completion<Vec<PartitionProgress>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        let Completion::Done(progress) = completion else {
            return self.start_again();
        };
        self.offsets.clear();
        self.held_wallets.clear();
        self.versions.clear();
        for partition in progress.into_iter().filter(|one| self.assigned.contains(&one.partition)) {
            let offset = if mutant::on(Mutant::OffsetsLost) { 0 } else { partition.offset };
            self.offsets.insert(partition.partition, offset);
            self.held_wallets.extend(partition.held_wallets);
        }
        self.awaiting.succeeded();
        // Partitions may have been assigned since the question was asked.
        self.state = if self.offsets.len() == self.assigned.len() { State::Behind } else { State::Starting };
    }

    pub(crate) fn on_fetched(&mut self, effect: EffectId, completion: Completion<Vec<Message>>) {
        if !self.awaiting.completes(effect) || !matches!(self.state, State::Fetching) {
            return;
        }
        let Completion::Done(messages) = completion else {
            return self.start_again();
        };
        if messages.is_empty() {
            self.awaiting.succeeded();
            self.awaiting.poll_later();
            self.state = if std::mem::take(&mut self.hinted) { State::Behind } else { State::Idle };
            return;
        }
        self.drained = messages.len() < self.batch_max;
        if self.versions.len() > PROJECTED_VERSIONS_CACHED_MAX {
            self.versions.clear();
        }
        let mut unknown: Vec<WalletId> = Vec::new();
        for message in &messages {
            if !self.versions.contains_key(&message.wallet_id) {
                self.versions.insert(message.wallet_id.clone(), Version(0));
                unknown.push(message.wallet_id.clone());
            }
        }
        if unknown.is_empty() {
            return self.guard(messages, Vec::new());
        }
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::LoadVersions { effect, consumer: self.consumer, wallets: unknown.clone() });
        self.state = State::Guarding(messages, unknown);
    }

    pub(crate) fn on_versions(&mut self, effect: EffectId, completion: Completion<Vec<Version>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match (completion, std::mem::replace(&mut self.state, State::Starting)) {
            (Completion::Done(versions), State::Guarding(messages, wallets)) if versions.len() == wallets.len() => {
                self.versions.extend(wallets.into_iter().zip(versions));
                self.guard(messages, Vec::new());
            }
            (Completion::Done(versions), State::GuardingHeld(wallet, held)) if versions.len() == 1 => {
                self.versions.extend(versions.iter().map(|version| (wallet.clone(), *version)));
                self.read_held(wallet, &held);
            }
            (Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.start_again();
            }
        }
    }

    /// Runs the version guard over the messages; asks the event store for what the topic left out.
    fn guard(&mut self, messages: Vec<Message>, filled: Vec<Event>) {
        match Batch::build(self, &messages, &filled) {
            Ok(batch) => self.finish(batch),
            Err(gap) => {
                let effect = self.awaiting.expect(&mut self.effects);
                let (wallet, from, to) = (gap.wallet, gap.from, gap.to);
                self.effects.push(Effect::ReadStream { effect, wallet: wallet.clone(), from, to });
                self.state = State::Filling { messages, filled, wallet, until: to };
            }
        }
    }

    pub(crate) fn on_stream_read(&mut self, effect: EffectId, completion: Completion<Vec<Event>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match (completion, std::mem::replace(&mut self.state, State::Starting)) {
            (Completion::Done(events), State::Filling { messages, mut filled, wallet, until }) => {
                // The store must give all of the gap, else there is nothing right to write.
                let complete = events.last().is_some_and(|event| event.version == until && event.wallet_id == wallet);
                if !complete {
                    return self.start_again();
                }
                self.statistics.gaps += 1;
                filled.extend(events);
                self.guard(messages, filled);
            }
            (Completion::Done(events), State::ReadingHeld(wallet, released)) => {
                let batch = Batch::of_held(self, wallet, &events, released);
                self.write(batch);
            }
            (Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.start_again();
            }
        }
    }

    /// Dead letters are announced first: one that is only in the table would be missing from the topic for ever after a
    /// crash.
    fn finish(&mut self, batch: Batch) {
        let dead: Vec<HeldEvent> = batch.held.iter().filter(|one| one.dead.is_some()).cloned().collect();
        if dead.is_empty() {
            return self.write(batch);
        }
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::PublishDead(effect, Arc::new(dead)));
        self.state = State::Announcing(batch);
    }

    pub(crate) fn on_dead_published(&mut self, effect: EffectId, completion: Completion<()>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match (completion, std::mem::replace(&mut self.state, State::Starting)) {
            (Completion::Done(()), State::Announcing(batch)) => {
                self.awaiting.succeeded();
                self.write(batch);
            }
            (Completion::Done(()) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.statistics.failures += 1;
                self.start_again();
            }
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let mut checkpoints = batch.checkpoints.clone();
        if mutant::on(Mutant::OffsetBeforeRow) {
            let checkpoints = std::mem::take(&mut checkpoints);
            let first = self.offsets_alone(checkpoints);
            self.effects.push(first);
        }
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::Project {
            effect,
            consumer: self.consumer,
            changes: batch.take_changes(),
            checkpoints,
            held: if mutant::on(Mutant::HeldForgotten) { Vec::new() } else { batch.held.clone() },
            released: batch.released.clone(),
            at: self.awaiting.now(),
        });
        self.state = State::Writing(batch);
    }

    /// A transaction that moves offsets and writes no row, as only [`Mutant::OffsetBeforeRow`] wants it.
    fn offsets_alone(&mut self, checkpoints: Vec<(u16, u64, u64)>) -> Effect {
        Effect::Project {
            effect: self.effects.id(),
            consumer: self.consumer,
            changes: Projection::Ledger(Vec::new()),
            checkpoints,
            held: Vec::new(),
            released: Vec::new(),
            at: self.awaiting.now(),
        }
    }

    pub(crate) fn on_projected(&mut self, effect: EffectId, completion: Completion<()>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        let State::Writing(batch) = std::mem::replace(&mut self.state, State::Behind) else {
            return;
        };
        match completion {
            Completion::Done(()) => {
                if batch.messages < self.batch_max {
                    self.awaiting.pause(self.gathering);
                }
                let was_fetched = batch.retried.is_none();
                batch.commit(self);
                self.attempts = 0;
                self.batch_max = (self.batch_max * 2).min(PIPELINE_BATCH_MAX);
                self.awaiting.succeeded();
                if was_fetched && self.drained && !self.hinted {
                    self.awaiting.poll_later();
                    self.state = State::Idle;
                }
            }
            Completion::Failed(Failure { kind: FailureKind::Rejected, reason }) => self.on_rejected(batch, &reason),
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => {
                self.statistics.failures += 1;
                self.start_again();
            }
        }
    }

    /// The database refuses these rows: narrow them down, and in the end give up the one at fault.
    fn on_rejected(&mut self, batch: Batch, reason: &str) {
        self.statistics.failures += 1;
        if batch.retried.is_some() {
            // The wallet stays held; an operator may try again.
            return self.start_again();
        }
        if batch.messages > 1 {
            self.batch_max = (batch.messages / 2).max(1);
            self.versions.clear();
            return;
        }
        self.attempts += 1;
        if self.attempts < DELIVERY_ATTEMPTS_MAX {
            return self.awaiting.back_off();
        }
        match batch.into_dead_letter(self.consumer, reason, self.attempts) {
            Some(dead) => {
                self.attempts = 0;
                self.finish(dead);
            }
            None => self.start_again(),
        }
    }

    pub(crate) fn on_held_loaded(&mut self, effect: EffectId, completion: Completion<Vec<HeldEvent>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        let State::LoadingHeld(wallet) = std::mem::replace(&mut self.state, State::Behind) else {
            return;
        };
        match completion {
            Completion::Done(held) if held.is_empty() => {
                self.held_wallets.remove(&wallet);
            }
            Completion::Done(held) => {
                let effect = self.awaiting.expect(&mut self.effects);
                let wallets = vec![wallet.clone()];
                self.effects.push(Effect::LoadVersions { effect, consumer: self.consumer, wallets });
                self.state = State::GuardingHeld(wallet, held);
            }
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => {
                self.retries.insert(wallet);
                self.awaiting.back_off();
            }
        }
    }

    /// What was set aside is read again from the event store, which has it whole and in order.
    fn read_held(&mut self, wallet: WalletId, held: &[HeldEvent]) {
        let from = self.versions.get(&wallet).copied().unwrap_or_default().next();
        let to = held.iter().map(|one| one.version).max().unwrap_or(from);
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::ReadStream { effect, wallet: wallet.clone(), from, to });
        self.state = State::ReadingHeld(wallet, held.iter().map(|one| one.event_id).collect());
    }

    fn start_again(&mut self) {
        self.state = State::Starting;
        self.awaiting.back_off();
    }

    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.awaiting.advance(now);
        if self.awaiting.take_expired() {
            self.start_again();
        }
        if matches!(self.state, State::Idle) && self.awaiting.take_poll() {
            self.state = State::Behind;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.awaiting.poll_timeout()
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        if self.awaiting.may_act() && !self.assigned.is_empty() {
            self.act();
        }
        self.effects.pop()
    }

    fn act(&mut self) {
        match &self.state {
            State::Starting => {
                let effect = self.awaiting.expect(&mut self.effects);
                let partitions = self.assigned.iter().copied().collect();
                self.effects.push(Effect::LoadProgress { effect, consumer: self.consumer, partitions });
            }
            State::Idle | State::Behind if !self.retries.is_empty() => {
                if let Some(wallet) = self.retries.pop_first() {
                    let effect = self.awaiting.expect(&mut self.effects);
                    let held = Effect::LoadHeld { effect, consumer: self.consumer, wallet: wallet.clone() };
                    self.effects.push(held);
                    self.state = State::LoadingHeld(wallet);
                }
            }
            State::Behind => {
                self.hinted = false;
                let effect = self.awaiting.expect(&mut self.effects);
                let after = self.offsets.iter().map(|(partition, offset)| (*partition, *offset)).collect();
                self.effects.push(Effect::Fetch { effect, consumer: self.consumer, after, limit: self.batch_max });
                self.state = State::Fetching;
            }
            State::Idle
            | State::Fetching
            | State::Guarding(..)
            | State::Filling { .. }
            | State::Announcing(_)
            | State::Writing(_)
            | State::LoadingHeld(_)
            | State::GuardingHeld(..)
            | State::ReadingHeld(..) => {}
        }
    }
}

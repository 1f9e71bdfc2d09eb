//! The relay: outbox → topic, in position order, at least once (INV-06, INV-07).
//!
//! A batch is done when every event in it is acknowledged or held; then the checkpoint moves. An event that the broker
//! refuses again and again becomes a dead letter and holds back the later events of its wallet, and of no other
//! (INV-11). A broker that is away holds back everything, and nothing is given up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::awaiting::Awaiting;
use crate::effect::{Completion, Effect, EffectQueue, Failure, FailureKind, RelayProgress};
use crate::event::Recorded;
use crate::id::{EffectId, EventId, Position, WalletId};
use crate::limits::{DELIVERY_ATTEMPTS_MAX, PIPELINE_BATCH_MAX};
use crate::mutant::{self, Mutant};
use crate::projector::{Consumer, DeadLetter, HeldEvent, partition_of};
use crate::time::Timestamp;

/// Batches that the feeder may be ahead in memory; what is beyond is read from the outbox.
const PUSHED_BATCHES_MAX: usize = 8;

/// Publishes outbox rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relay {
    state: State,
    checkpoint: Position,
    held_wallets: BTreeSet<WalletId>,
    /// Rows that the feeder has just written, without a gap: the next batches, without reading them back.
    pushed: VecDeque<(Position, Arc<Vec<Recorded>>)>,
    /// The last row that the feeder of this node has written: up to there the outbox is known.
    filled: Position,
    retries: BTreeSet<WalletId>,
    attempts: u32,
    awaiting: Awaiting,
    pub(crate) effects: EffectQueue,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Starting,
    Idle,
    Behind,
    Reading,
    Publishing(Batch),
    /// Waits for [`Effect::PublishDead`].
    Announcing(Batch),
    /// Published or held: waits for [`Effect::MarkPublished`].
    Marking(Batch),
    LoadingHeld(WalletId),
}

#[derive(Debug, Serialize, Deserialize)]
struct Batch {
    /// The checkpoint when the batch is done.
    checkpoint: Position,
    /// Events not acknowledged yet, in order.
    open: Arc<Vec<Recorded>>,
    held: Vec<HeldEvent>,
    /// For a batch of held events that are tried again: they are forgotten when it is done.
    released: Vec<EventId>,
    retried: Option<WalletId>,
}

impl Relay {
    pub(crate) fn new(now: Timestamp, machine: u64) -> Self {
        Self {
            state: State::Starting,
            checkpoint: Position(0),
            held_wallets: BTreeSet::new(),
            pushed: VecDeque::new(),
            filled: Position(0),
            retries: BTreeSet::new(),
            attempts: 0,
            awaiting: Awaiting::new(now),
            effects: EffectQueue::new(machine),
        }
    }

    /// The position up to which everything is published or held.
    pub(crate) fn checkpoint(&self) -> Position {
        self.checkpoint
    }

    /// The feeder wrote rows after `before`.
    pub(crate) fn on_outbox_written(&mut self, before: Position, rows: Arc<Vec<Recorded>>) {
        if matches!(self.state, State::Idle) {
            self.state = State::Behind;
        }
        self.filled = rows.last().map_or(self.filled, |row| row.position);
        let next = match (&self.state, self.pushed.back()) {
            (_, Some((_, last))) => last.last().map(|row| row.position),
            (State::Publishing(batch) | State::Announcing(batch) | State::Marking(batch), None) => {
                Some(batch.checkpoint)
            }
            (State::Behind, None) => Some(self.checkpoint),
            (State::Starting | State::Idle | State::Reading | State::LoadingHeld(_), None) => None,
        };
        if next == Some(before) && self.pushed.len() < PUSHED_BATCHES_MAX {
            self.pushed.push_back((before, rows));
        }
    }

    pub(crate) fn on_retry_held(&mut self, wallet: WalletId) {
        self.retries.insert(wallet);
    }

    pub(crate) fn on_progress(&mut self, effect: EffectId, completion: Completion<RelayProgress>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match completion {
            Completion::Done(progress) => {
                self.checkpoint = progress.checkpoint;
                self.held_wallets = progress.held_wallets.into_iter().collect();
                self.awaiting.succeeded();
                self.state = State::Behind;
            }
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => self.start_again(),
        }
    }

    pub(crate) fn on_read(&mut self, effect: EffectId, completion: Completion<Vec<Recorded>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match completion {
            Completion::Done(rows) if rows.is_empty() => {
                self.awaiting.succeeded();
                self.awaiting.poll_later();
                self.state = State::Idle;
            }
            Completion::Done(rows) => self.begin(Arc::new(rows)),
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => self.start_again(),
        }
    }

    /// Sets aside what waits behind a dead letter, publishes the rest.
    fn begin(&mut self, rows: Arc<Vec<Recorded>>) {
        let checkpoint = rows.last().map_or(self.checkpoint, |row| row.position);
        let mut batch = Batch { checkpoint, open: rows, held: Vec::new(), released: Vec::new(), retried: None };
        self.attempts = 0;
        if !self.held_wallets.is_empty() {
            self.hold_back(&mut batch);
        }
        self.publish(batch);
    }

    /// Moves events of held wallets from `open` to `held`.
    fn hold_back(&self, batch: &mut Batch) {
        if mutant::on(Mutant::DeadLetterHoldsNobody) {
            return;
        }
        let (waiting, open): (Vec<_>, Vec<_>) =
            batch.open.iter().cloned().partition(|row| self.held_wallets.contains(&row.event.wallet_id));
        batch.held.extend(waiting.into_iter().map(|row| held(row, None)));
        batch.open = Arc::new(open);
    }

    fn publish(&mut self, batch: Batch) {
        if batch.open.is_empty() {
            return self.finish(batch);
        }
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::Publish(effect, Arc::clone(&batch.open)));
        self.state = State::Publishing(batch);
    }

    pub(crate) fn on_published(&mut self, effect: EffectId, completion: Completion<Vec<Option<Failure>>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        let State::Publishing(mut batch) = std::mem::replace(&mut self.state, State::Starting) else {
            return;
        };
        let results = match completion {
            Completion::Done(_) if mutant::on(Mutant::RefusedIsPublished) => vec![None; batch.open.len()],
            Completion::Done(results) if results.len() == batch.open.len() => results,
            Completion::Failed(_) | Completion::Unknown if mutant::on(Mutant::PublishWithoutAck) => {
                vec![None; batch.open.len()]
            }
            Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown => {
                // Publishing again is harmless: consumers skip versions that they have.
                self.state = State::Publishing(batch);
                return self.awaiting.back_off();
            }
        };
        let failed: Vec<(Recorded, Failure)> =
            batch.open.iter().zip(results).filter_map(|(row, failure)| Some((row.clone(), failure?))).collect();
        if failed.is_empty() {
            self.awaiting.succeeded();
            return self.finish(batch);
        }
        let refused = failed.iter().find(|(_, failure)| failure.kind == FailureKind::Rejected);
        if let Some((row, failure)) = refused {
            self.attempts += 1;
            if self.attempts >= DELIVERY_ATTEMPTS_MAX {
                let dead = DeadLetter { reason: failure.reason.clone(), attempts: self.attempts };
                batch.held.push(held(row.clone(), Some(dead)));
                self.held_wallets.insert(row.event.wallet_id.clone());
                let poison = row.position;
                batch.open =
                    Arc::new(failed.iter().map(|(row, _)| row.clone()).filter(|row| row.position != poison).collect());
                self.hold_back(&mut batch);
                self.attempts = 0;
                return self.publish(batch);
            }
        }
        batch.open = Arc::new(failed.into_iter().map(|(row, _)| row).collect());
        self.state = State::Publishing(batch);
        self.awaiting.back_off();
    }

    /// Everything is published or held. Dead letters are announced first: one that is only in the table would be
    /// missing from the topic for ever after a crash.
    fn finish(&mut self, batch: Batch) {
        let dead: Vec<HeldEvent> = batch.held.iter().filter(|one| one.dead.is_some()).cloned().collect();
        if dead.is_empty() {
            return self.mark(batch);
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
                self.mark(batch);
            }
            (Completion::Conflict | Completion::Failed(_) | Completion::Unknown, State::Announcing(batch)) => {
                self.state = State::Announcing(batch);
                self.awaiting.back_off();
            }
            (Completion::Done(()) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.start_again();
            }
        }
    }

    fn mark(&mut self, batch: Batch) {
        let effect = self.awaiting.expect(&mut self.effects);
        self.effects.push(Effect::MarkPublished {
            effect,
            expected: self.checkpoint,
            checkpoint: batch.checkpoint,
            at: self.awaiting.now(),
            held: if mutant::on(Mutant::HeldForgotten) { Vec::new() } else { batch.held.clone() },
            released: batch.released.clone(),
        });
        self.state = State::Marking(batch);
    }

    pub(crate) fn on_marked(&mut self, effect: EffectId, completion: Completion<()>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match (completion, std::mem::replace(&mut self.state, State::Starting)) {
            (Completion::Done(()), State::Marking(batch)) => {
                self.checkpoint = batch.checkpoint;
                if let Some(wallet) = batch.retried.filter(|_| batch.held.is_empty()) {
                    self.held_wallets.remove(&wallet);
                }
                self.awaiting.succeeded();
                self.state = State::Behind;
                // Rows that somebody else has written meanwhile are found by the next poll.
                if self.checkpoint == self.filled {
                    self.awaiting.poll_later();
                    self.state = State::Idle;
                }
            }
            (Completion::Done(()) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.start_again();
            }
        }
    }

    pub(crate) fn on_held_loaded(&mut self, effect: EffectId, completion: Completion<Vec<HeldEvent>>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        let State::LoadingHeld(wallet) = std::mem::replace(&mut self.state, State::Behind) else {
            return;
        };
        if let Completion::Done(events) = completion {
            let released = events.iter().map(|one| one.event_id).collect();
            let open = events
                .into_iter()
                .filter_map(|one| Some(Recorded { position: Position(one.offset), event: one.event? }))
                .collect();
            self.held_wallets.remove(&wallet);
            self.attempts = 0;
            let checkpoint = self.checkpoint;
            let batch = Batch { checkpoint, open: Arc::new(open), held: Vec::new(), released, retried: Some(wallet) };
            self.publish(batch);
        } else {
            self.retries.insert(wallet);
            self.awaiting.back_off();
        }
    }

    /// Another instance may have gone on meanwhile: what is under way is left to itself.
    pub(crate) fn take_up(&mut self) {
        self.pushed.clear();
        self.awaiting.forget();
        self.state = State::Starting;
    }

    fn start_again(&mut self) {
        self.pushed.clear();
        self.state = State::Starting;
        self.awaiting.back_off();
    }

    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.awaiting.advance(now);
        if self.awaiting.take_expired() && !matches!(self.state, State::Publishing(_) | State::Announcing(_)) {
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
        if self.awaiting.may_act() {
            self.act();
        }
        self.effects.pop()
    }

    fn act(&mut self) {
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Starting => {
                let id = self.awaiting.expect(&mut self.effects);
                self.effects.push(Effect::LoadRelayProgress(id));
                self.state = State::Starting;
            }
            State::Idle | State::Behind if !self.retries.is_empty() => {
                if let Some(wallet) = self.retries.pop_first() {
                    let effect = self.awaiting.expect(&mut self.effects);
                    let held = Effect::LoadHeld { effect, consumer: Consumer::Relay, wallet: wallet.clone() };
                    self.effects.push(held);
                    self.state = State::LoadingHeld(wallet);
                }
            }
            State::Behind => match self.pushed.pop_front() {
                Some((before, rows)) if before == self.checkpoint => self.begin(rows),
                Some(_) | None => {
                    self.pushed.clear();
                    let effect = self.awaiting.expect(&mut self.effects);
                    let (after, limit) = (self.checkpoint, PIPELINE_BATCH_MAX);
                    self.effects.push(Effect::ReadOutbox { effect, after, limit });
                }
            },
            State::Publishing(batch) => self.publish(batch),
            State::Announcing(batch) => self.finish(batch),
            waiting @ (State::Idle | State::Reading | State::Marking(_) | State::LoadingHeld(_)) => {
                self.state = waiting
            }
        }
    }
}

fn held(row: Recorded, dead: Option<DeadLetter>) -> HeldEvent {
    HeldEvent {
        consumer: Consumer::Relay,
        wallet_id: row.event.wallet_id.clone(),
        event_id: row.event.event_id,
        version: row.event.version,
        partition: partition_of(&row.event.wallet_id),
        offset: row.position.0,
        event: Some(row.event),
        dead,
    }
}

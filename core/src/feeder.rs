//! The feeder: event store → outbox, so that no crash between an append and the outbox can lose an event (INV-06).
//!
//! It reads the log after its checkpoint and writes rows and checkpoint in one transaction. The checkpoint moves by
//! compare-and-set: of two feeders only one can win a batch, the other starts again from what it finds. The rows carry
//! what the relay needs, and are handed to it at once ([`Feeder::take_written`]).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::awaiting::Awaiting;
use crate::effect::{Completion, Effect, EffectQueue};
use crate::event::Recorded;
use crate::id::{EffectId, Position};
use crate::limits::{FEEDER_PACE_MAX, FEEDER_PACE_MIN, FEEDER_PACE_PER_EVENT, PIPELINE_BATCH_MAX};
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

/// Fills the outbox from the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Feeder {
    state: State,
    checkpoint: Position,
    head: Position,
    awaiting: Awaiting,
    written: Option<(Position, Arc<Vec<Recorded>>)>,
    pace_min: Duration,
    pub(crate) effects: EffectQueue,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    /// The checkpoint has to be read.
    Starting,
    /// Nothing to read, as far as is known.
    Idle,
    /// There is more to read.
    Behind,
    Reading,
    Writing(Arc<Vec<Recorded>>),
}

impl Feeder {
    pub(crate) fn new(now: Timestamp, machine: u64, gathering: Duration) -> Self {
        Self {
            state: State::Starting,
            checkpoint: Position(0),
            head: Position(0),
            awaiting: Awaiting::new(now),
            written: None,
            pace_min: gathering.max(FEEDER_PACE_MIN),
            effects: EffectQueue::new(machine),
        }
    }

    /// The position up to which the outbox is filled.
    pub(crate) fn checkpoint(&self) -> Position {
        self.checkpoint
    }

    /// Whether there is nothing to read, as far as is known.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The newest batch of rows, with the checkpoint before it.
    pub(crate) fn take_written(&mut self) -> Option<(Position, Arc<Vec<Recorded>>)> {
        self.written.take()
    }

    pub(crate) fn on_log_advanced(&mut self, head: Position) {
        self.head = self.head.max(head);
        if matches!(self.state, State::Idle) && self.head > self.checkpoint {
            self.state = State::Behind;
        }
    }

    pub(crate) fn on_checkpoint(&mut self, effect: EffectId, completion: Completion<Position>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match completion {
            Completion::Done(checkpoint) => {
                self.checkpoint = checkpoint;
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
            Completion::Done(events) if events.is_empty() => {
                self.awaiting.succeeded();
                self.awaiting.poll_later();
                self.state = State::Idle;
            }
            Completion::Done(mut events) => {
                let last = events.last().map_or(self.checkpoint, |recorded| recorded.position);
                if mutant::on(Mutant::CursorOffByOne) && events.len() > 1 {
                    events.pop();
                }
                if mutant::on(Mutant::DualWrite) && self.head == Position(0) {
                    events.clear();
                }
                let events = Arc::new(events);
                let id = self.awaiting.expect(&mut self.effects);
                self.effects.push(Effect::WriteOutbox {
                    effect: id,
                    expected: self.checkpoint,
                    events: Arc::clone(&events),
                    checkpoint: last,
                });
                self.state = State::Writing(events);
            }
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => self.start_again(),
        }
    }

    pub(crate) fn on_written(&mut self, effect: EffectId, completion: Completion<()>) {
        if !self.awaiting.completes(effect) {
            return;
        }
        match (completion, std::mem::replace(&mut self.state, State::Behind)) {
            (Completion::Done(()), State::Writing(events)) => {
                let before = self.checkpoint;
                self.checkpoint = events.last().map_or(before, |recorded| recorded.position);
                self.awaiting.succeeded();
                if events.len() < PIPELINE_BATCH_MAX {
                    self.awaiting.pause(pace_after(self.pace_min, events.len()));
                    self.rest_if_caught_up();
                }
                self.written = Some((before, events));
            }
            // Where the checkpoint is tells what happened, whatever it was.
            (Completion::Done(()) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown, _) => {
                self.start_again();
            }
        }
    }

    /// A batch that was not full had all that there was. What came since has been hinted at; a hint that was missed is made
    /// good for by the next poll.
    fn rest_if_caught_up(&mut self) {
        if self.head <= self.checkpoint {
            self.awaiting.poll_later();
            self.state = State::Idle;
        }
    }

    /// Another instance may have gone on meanwhile: what is under way is left to itself.
    pub(crate) fn take_up(&mut self) {
        self.awaiting.forget();
        self.state = State::Starting;
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
        if self.awaiting.may_act() {
            match self.state {
                State::Starting => {
                    let id = self.awaiting.expect(&mut self.effects);
                    self.effects.push(Effect::LoadFeederCheckpoint(id));
                }
                State::Behind => {
                    let effect = self.awaiting.expect(&mut self.effects);
                    self.effects.push(Effect::ReadLog { effect, after: self.checkpoint, limit: PIPELINE_BATCH_MAX });
                    self.state = State::Reading;
                }
                State::Idle | State::Reading | State::Writing(_) => {}
            }
        }
        self.effects.pop()
    }
}

/// How long to wait after a batch of this many events.
fn pace_after(min: Duration, events: usize) -> Duration {
    let of_events = FEEDER_PACE_PER_EVENT.saturating_mul(u32::try_from(events).unwrap_or(u32::MAX));
    FEEDER_PACE_MAX.min(min.saturating_add(of_events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_event_is_followed_by_a_short_wait_and_a_flood_by_a_bounded_one() {
        let pace_after = |events| super::pace_after(FEEDER_PACE_MIN, events);
        assert_eq!(pace_after(1), Duration::from_micros(10_020));
        assert_eq!(pace_after(1_000), Duration::from_millis(30));
        assert_eq!(pace_after(PIPELINE_BATCH_MAX), FEEDER_PACE_MAX);
        assert_eq!(pace_after(usize::MAX), FEEDER_PACE_MAX);
    }
}

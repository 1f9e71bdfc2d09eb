//! What the machines of the pipeline have in common: one effect at a time, in time, with backoff after failures.
//!
//! Each of them does one thing after another; so each awaits at most one completion. A completion of anything else came
//! twice or too late, and is ignored. What does not complete in time has an unknown outcome.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::backoff;
use crate::effect::EffectQueue;
use crate::id::EffectId;
use crate::limits::EFFECT_TIMEOUT;
use crate::time::Timestamp;

/// A batch may take long on a slow disk: nothing is lost by waiting for it.
const BATCH_TIMEOUT: Duration = EFFECT_TIMEOUT.saturating_mul(6);
/// An idle machine looks for work this often, in case a hint was missed.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The effect that a machine waits for, and when it may act again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    now: Timestamp,
    effect: Option<(EffectId, Timestamp)>,
    not_before: Timestamp,
    poll_at: Option<Timestamp>,
    failures: u32,
    spread: u64,
}

impl Awaiting {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now, effect: None, not_before: now, poll_at: None, failures: 0, spread: 0 }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Whether nothing is awaited and no backoff runs.
    pub(crate) fn may_act(&self) -> bool {
        self.effect.is_none() && self.not_before <= self.now
    }

    pub(crate) fn expect(&mut self, effects: &mut EffectQueue) -> EffectId {
        let effect = effects.id();
        self.poll_at = None;
        self.effect = Some((effect, self.now.plus(BATCH_TIMEOUT)));
        effect
    }

    /// Whether this is the completion that is awaited; then nothing is awaited any more.
    pub(crate) fn completes(&mut self, effect: EffectId) -> bool {
        self.effect.take_if(|(awaited, _)| *awaited == effect).is_some()
    }

    /// Nothing is awaited any more: the completion will be ignored.
    pub(crate) fn forget(&mut self) {
        self.effect = None;
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn back_off(&mut self) {
        self.effect = None;
        self.poll_at = None;
        self.failures += 1;
        self.spread = self.spread.wrapping_add(1);
        self.not_before = self.now.plus(backoff(self.failures, self.spread));
    }

    /// No new effect for this long.
    pub(crate) fn pause(&mut self, duration: Duration) {
        self.not_before = self.now.plus(duration);
    }

    /// Whether the awaited effect has run out of time; then nothing is awaited any more.
    pub(crate) fn take_expired(&mut self) -> bool {
        let now = self.now;
        self.effect.take_if(|(_, deadline)| *deadline <= now).is_some()
    }

    pub(crate) fn poll_later(&mut self) {
        self.poll_at = Some(self.now.plus(POLL_INTERVAL));
    }

    /// Whether it is time to look for work without a hint.
    pub(crate) fn take_poll(&mut self) -> bool {
        let now = self.now;
        self.poll_at.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let deadline = self.effect.map(|(_, deadline)| deadline);
        let backoff = (self.effect.is_none() && self.not_before > self.now).then_some(self.not_before);
        earliest(earliest(deadline, backoff), self.poll_at)
    }
}

/// The earlier of two times, where there are any.
pub(crate) fn earliest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

//! Leadership: which of several instances fills the outbox and the topic.
//!
//! Two at once do no harm: checkpoints move by compare-and-set, and consumers skip versions that they have. So this is a
//! matter of speed alone, and a lease store that is away makes every instance a leader instead of none: events flow
//! (INV-06, INV-10), some of them twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::{Completion, Effect, EffectQueue};
use crate::id::EffectId;
use crate::limits::{EFFECT_TIMEOUT, LEADERSHIP_DURATION, LEADERSHIP_RENEWAL};
use crate::time::Timestamp;

/// Asks for the lead, renews it, and gives it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leadership {
    now: Timestamp,
    /// Until when this node leads.
    until: Option<Timestamp>,
    /// When to ask again.
    ask_at: Timestamp,
    asked: Option<Question>,
    over: bool,
    effects: EffectQueue,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Question {
    effect: EffectId,
    until: Timestamp,
    deadline: Timestamp,
}

impl Leadership {
    pub(crate) fn new(now: Timestamp, machine: u64) -> Self {
        let effects = EffectQueue::new(machine);
        Self { now, until: None, ask_at: now, asked: None, over: false, effects }
    }

    /// Whether this node leads now.
    pub(crate) fn leads(&self) -> bool {
        self.until.is_some_and(|until| until > self.now)
    }

    /// Whether this completion begins a lead.
    pub(crate) fn on_led(&mut self, effect: EffectId, completion: Completion<bool>) -> bool {
        let Some(question) = self.asked.take_if(|asked| asked.effect == effect) else {
            return false;
        };
        match completion {
            Completion::Done(true) => self.lead(question.until),
            Completion::Done(false) | Completion::Conflict => {
                self.until = None;
                self.ask_at = self.now.plus(LEADERSHIP_RENEWAL);
                false
            }
            Completion::Failed(_) | Completion::Unknown => self.lead(self.now.plus(LEADERSHIP_DURATION)),
        }
    }

    fn lead(&mut self, until: Timestamp) -> bool {
        let begins = !self.leads();
        self.until = Some(until);
        self.ask_at = self.now.plus(LEADERSHIP_RENEWAL);
        begins && self.leads()
    }

    /// Gives the lead back: another instance need not wait until it expires.
    pub(crate) fn resign(&mut self) {
        if !self.over {
            self.over = true;
            self.asked = None;
            if self.until.take().is_some() {
                self.effects.push(Effect::Resign);
            }
        }
    }

    /// Time has passed; says whether a lead begins, because nobody answered.
    pub(crate) fn advance(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let expired = self.asked.take_if(|asked| asked.deadline <= now).is_some();
        expired && self.lead(self.now.plus(LEADERSHIP_DURATION))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        if self.over {
            return None;
        }
        Some(self.asked.map_or(self.ask_at, |asked| asked.deadline))
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        if !self.over && self.asked.is_none() && self.ask_at <= self.now {
            let until = self.now.plus(LEADERSHIP_DURATION);
            let effect = self.effects.id();
            let deadline = self.now.plus(ANSWER_TIMEOUT);
            self.asked = Some(Question { effect, until, deadline });
            self.effects.push(Effect::Lead { effect, until });
        }
        self.effects.pop()
    }
}

/// An answer that takes longer is none: the lead would have expired meanwhile.
const ANSWER_TIMEOUT: Duration =
    if EFFECT_TIMEOUT.as_millis() < LEADERSHIP_RENEWAL.as_millis() { EFFECT_TIMEOUT } else { LEADERSHIP_RENEWAL };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Failure, FailureKind};

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn asked(leadership: &mut Leadership) -> EffectId {
        match leadership.poll_effect() {
            Some(Effect::Lead { effect, .. }) => effect,
            other => panic!("the lead was not asked for, but {other:?}"),
        }
    }

    #[test]
    fn a_granted_lead_begins_once_is_renewed_and_ends_by_itself() {
        let mut leadership = Leadership::new(START, 5);
        let effect = asked(&mut leadership);
        assert!(!leadership.leads());
        assert!(leadership.on_led(effect, Completion::Done(true)));
        assert!(leadership.leads());
        assert!(!leadership.on_led(effect, Completion::Done(true)), "a repeated completion begins nothing");
        assert_eq!(leadership.poll_effect(), None);

        leadership.advance(START.plus(LEADERSHIP_RENEWAL));
        let effect = asked(&mut leadership);
        assert!(!leadership.on_led(effect, Completion::Done(true)), "a renewal begins nothing");
        leadership.advance(START.plus(LEADERSHIP_DURATION));
        assert!(leadership.leads());
        leadership.advance(START.plus(LEADERSHIP_RENEWAL + LEADERSHIP_DURATION));
        assert!(!leadership.leads());
    }

    #[test]
    fn a_denied_lead_is_asked_for_again_later() {
        let mut leadership = Leadership::new(START, 5);
        let effect = asked(&mut leadership);
        assert!(!leadership.on_led(effect, Completion::Done(false)));
        assert_eq!(leadership.poll_effect(), None);
        assert_eq!(leadership.poll_timeout(), Some(START.plus(LEADERSHIP_RENEWAL)));
        leadership.advance(START.plus(LEADERSHIP_RENEWAL));
        asked(&mut leadership);
    }

    #[test]
    fn without_a_lease_store_every_instance_leads() {
        let failure = Failure { kind: FailureKind::Unavailable, reason: "away".to_owned() };
        for completion in [Completion::Failed(failure), Completion::Unknown] {
            let mut leadership = Leadership::new(START, 5);
            let effect = asked(&mut leadership);
            assert!(leadership.on_led(effect, completion));
            assert!(leadership.leads());
        }
        let mut silent = Leadership::new(START, 5);
        asked(&mut silent);
        let deadline = silent.poll_timeout().expect("an answer is awaited");
        assert!(silent.advance(deadline), "no answer at all begins a lead too");
    }

    #[test]
    fn who_resigns_asks_no_more() {
        let mut leadership = Leadership::new(START, 5);
        let effect = asked(&mut leadership);
        leadership.on_led(effect, Completion::Done(true));
        leadership.resign();
        assert_eq!(leadership.poll_effect(), Some(Effect::Resign));
        assert!(!leadership.leads());
        leadership.advance(START.plus(LEADERSHIP_DURATION * 3));
        assert_eq!((leadership.poll_effect(), leadership.poll_timeout()), (None, None));
    }
}

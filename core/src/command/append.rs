//! Group commit: one append for everything decided since the last drain, and what its outcome means.
//!
//! Done settles it; a conflict takes the wallets back to what the store has, reads what is new and decides again; a
//! failure answers "not done". Unknown is neither: the same append, with the same event ids and the same expected
//! versions, is repeated until the store says which it was, because a repeated append can take effect only once.

use std::sync::Arc;

use super::machine::{CommandMachine, Draft, Flight, PendingEffect, Phase, Retry, Storing};
use super::slot::{CommandSlot, Lease, SlotId, Stage};
use super::{Answer, Unavailable};
use crate::config::IdempotencyMode;
use crate::effect::{Append, Completion, Effect, KeyRecord, StreamWrite};
use crate::id::{EffectId, EventId};
use crate::limits::DECISIONS_PER_COMMAND_MAX;
use crate::mutant::{self, Mutant};

impl CommandMachine {
    /// Sends the append that is forming.
    pub(super) fn dispatch_draft(&mut self) {
        let Draft { commands, slots, events: _ } = std::mem::take(&mut self.draft);
        let mut writes = Vec::with_capacity(slots.len());
        for slot in &slots {
            let joined = &mut self.slots[*slot];
            joined.in_draft = false;
            if !joined.staged.is_empty() {
                let expected = joined.durable_version();
                let events = std::mem::take(&mut joined.staged);
                writes.push(StreamWrite { wallet: joined.id.clone(), expected, events });
            }
        }
        let records = match self.config.idempotency {
            IdempotencyMode::InAppend => commands.iter().filter_map(|command| self.record_of(*command)).collect(),
            IdempotencyMode::Separate => Vec::new(),
        };
        if writes.is_empty() && records.is_empty() {
            return self.settle(&commands, &slots);
        }
        if mutant::on(Mutant::AnswerBeforeAppend) {
            let effect = self.effects.id();
            self.effects.push(Effect::Append(effect, Arc::new(Append { writes, records })));
            return self.settle(&commands, &slots);
        }
        if mutant::on(Mutant::LegsApart) {
            for write in writes.drain(1.min(writes.len())..) {
                let effect = self.effects.id();
                self.effects
                    .push(Effect::Append(effect, Arc::new(Append { writes: vec![write], records: Vec::new() })));
            }
        }
        for slot in &slots {
            self.slots[*slot].in_flight = true;
            self.close(*slot);
        }
        self.statistics.appends += 1;
        self.statistics.appended_commands += commands.len() as u64;
        self.serial += 1;
        let flight = self.serial;
        let append = Arc::new(Append { writes, records });
        self.flights.insert(flight, Flight { commands, slots, append, attempts: Vec::new() });
        self.send_append(flight);
    }

    /// Sends a flight's append, for the first time or again.
    pub(super) fn send_append(&mut self, flight: u64) {
        let effect = self.expect(PendingEffect::Append(flight));
        if let Some(in_flight) = self.flights.get_mut(&flight) {
            in_flight.attempts.push(effect);
            let append = match in_flight.attempts.len() {
                again @ 2.. if mutant::on(Mutant::RetryWithNewIds) => Arc::new(with_new_ids(&in_flight.append, again)),
                _ => Arc::clone(&in_flight.append),
            };
            self.effects.push(Effect::Append(effect, append));
        }
    }

    pub(super) fn on_appended(&mut self, effect: EffectId, flight: u64, completion: Completion<()>) {
        let attempts = self.flights.get(&flight).map_or(0, |in_flight| in_flight.attempts.len());
        if completion == Completion::Unknown && mutant::on(Mutant::UnknownIsConflict) {
            return self.on_appended(effect, flight, Completion::Conflict);
        }
        if completion == Completion::Unknown && mutant::on(Mutant::UnknownIsFailure) {
            return self.land(flight).into_iter().for_each(|failed| self.refuse_all(&failed));
        }
        match completion {
            Completion::Done(()) => {
                if let Some(done) = self.land(flight) {
                    self.settle(&done.commands, &done.slots);
                }
            }
            Completion::Conflict => {
                self.statistics.conflicts += 1;
                if let Some(refused) = self.land(flight) {
                    self.decide_again(&refused);
                }
            }
            Completion::Failed(_) if attempts <= 1 => {
                if let Some(failed) = self.land(flight) {
                    self.refuse_all(&failed);
                }
            }
            // An earlier attempt may still have happened, whatever became of this one.
            Completion::Failed(_) | Completion::Unknown => self.append_unknown(effect, flight),
        }
    }

    pub(super) fn append_unknown(&mut self, effect: EffectId, flight: u64) {
        let Some(in_flight) = self.flights.get(&flight) else {
            return;
        };
        self.statistics.unknown_appends += 1;
        if in_flight.attempts.last() == Some(&effect) {
            self.retry_later(in_flight.attempts.len() as u32, Retry::Append(flight));
        }
    }

    /// Takes a flight whose outcome is known out of the air.
    fn land(&mut self, flight: u64) -> Option<Flight> {
        let landed = self.flights.remove(&flight)?;
        for attempt in &landed.attempts {
            self.pending.remove(attempt);
        }
        Some(landed)
    }

    /// What was decided is durable (or needed no write): answers the commands and frees the wallets.
    pub(super) fn settle(&mut self, commands: &[CommandSlot], slots: &[SlotId]) {
        self.serial += 1;
        for slot in slots {
            let settled = &mut self.slots[*slot];
            settled.queue.drain(..settled.decided);
            settled.decided = 0;
            settled.in_flight = false;
            settled.settle(self.serial);
            if !settled.queue.is_empty() {
                self.changed.push(*slot);
            } else if !settled.lingering && matches!(settled.lease, Lease::Until(_)) {
                settled.lingering = true;
                self.quiet.push_back((self.now, *slot));
            }
        }
        for command in commands {
            self.finish(*command);
        }
    }

    /// Answers a command whose outcome stands.
    fn finish(&mut self, command: CommandSlot) {
        let entry = &mut self.commands[command];
        if let (Some(_), IdempotencyMode::Separate) = (entry.request.idempotency, self.config.idempotency) {
            let is_refusal = entry.answer.as_ref().is_some_and(|answer| answer.outcome.is_err());
            let waits = entry.answer.as_ref().is_some_and(|answer| !answer.is_vouched_for());
            if is_refusal && mutant::on(Mutant::RefusalNotStored) {
                self.to_release.extend(entry.request.idempotency.map(|own| (own.key, entry.attempt)));
                return self.answer(command);
            }
            if let Some(record) = self.record_of(command) {
                // The events vouch for a success; a refusal leaves no trace but its record, so the answer waits for it.
                let waiting = waits.then_some(command);
                self.to_store.push(Storing { record, command: waiting, attempts: 0 });
                if waits {
                    let entry = &mut self.commands[command];
                    // A batch that was done in part stays one whose outcome is unknown until the record is there.
                    if is_refusal && entry.phase == Phase::Appending {
                        entry.phase = Phase::Storing;
                    }
                    return;
                }
            } else if let Some(idempotency) = self.commands[command].request.idempotency
                && !self.may_be_taken_over(command)
            {
                self.to_release.push((idempotency.key, self.commands[command].attempt));
            }
        }
        self.answer(command);
    }

    /// Sends the decided answer and forgets the command.
    pub(super) fn answer(&mut self, command: CommandSlot) {
        let mut done = self.forget(command);
        if let (Some(answer), false) = (done.answer.take(), done.phase == Phase::Abandoned) {
            let replayed = done.takeover.as_ref().is_some_and(|takeover| !takeover.found().is_empty());
            self.statistics.replayed += u64::from(replayed);
            self.reply(&done.request, Answer::Final { answer, replayed });
        }
    }

    /// The idempotency record of a decided command; nothing when it has no key, or when the request was at fault and
    /// the key stays free.
    fn record_of(&self, command: CommandSlot) -> Option<KeyRecord> {
        let entry = &self.commands[command];
        let idempotency = entry.request.idempotency?;
        let answer = entry.answer.as_ref()?;
        if answer.outcome.as_ref().is_err_and(|rejection| !rejection.is_final()) {
            return None;
        }
        let expires_at = self.now.plus(self.config.idempotency_ttl);
        let is_fenced = self.config.idempotency == IdempotencyMode::Separate && !answer.is_vouched_for();
        let held_by = is_fenced.then_some(entry.attempt);
        let command_id = entry.request.command_id;
        Some(KeyRecord { idempotency, command_id, expires_at, held_by, answer: answer.clone() })
    }

    /// Another writer was faster: back to what the store has, look again, decide again.
    fn decide_again(&mut self, flight: &Flight) {
        self.roll_back(flight, Stage::Cold);
        let exhausted: Vec<CommandSlot> = flight
            .commands
            .iter()
            .copied()
            .filter(|command| {
                let entry = &self.commands[*command];
                entry.phase == Phase::Abandoned || entry.decisions >= DECISIONS_PER_COMMAND_MAX
            })
            .collect();
        self.cancel(&exhausted, Unavailable::Contended);
    }

    /// The append did not happen and will not: nobody is kept waiting for a store that is away.
    fn refuse_all(&mut self, flight: &Flight) {
        self.roll_back(flight, Stage::Warm);
        self.cancel(&flight.commands, Unavailable::EventStore);
    }

    fn roll_back(&mut self, flight: &Flight, stage: Stage) {
        for slot in &flight.slots {
            let taken_back = &mut self.slots[*slot];
            taken_back.roll_back();
            taken_back.decided = 0;
            taken_back.in_flight = false;
            taken_back.stage = stage;
            self.changed.push(*slot);
        }
        for command in &flight.commands {
            let entry = &mut self.commands[*command];
            entry.waiting = entry.slots.len();
            entry.answer = None;
            if entry.phase == Phase::Appending {
                entry.phase = Phase::Queued;
            }
        }
    }
}

/// The same append under ids that no store has seen ([`Mutant::RetryWithNewIds`]).
fn with_new_ids(append: &Append, attempt: usize) -> Append {
    let mut append = append.clone();
    for event in append.writes.iter_mut().flat_map(|write| &mut write.events) {
        let mut bytes = *event.event_id.as_bytes();
        bytes[15] ^= attempt as u8;
        event.event_id = EventId::from_bytes(bytes);
    }
    append
}

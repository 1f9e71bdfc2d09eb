//! Idempotency keys: looked up before anything else, answered from when they are known, completed afterwards (INV-05).
//!
//! In [`crate::config::IdempotencyMode::InAppend`] the record is part of the append and this file only looks up. In
//! `Separate` mode a record is reserved first and completed after; what dies in between is taken over.

use super::machine::{CommandMachine, PendingEffect, Phase, Retry, Storing};
use super::slot::CommandSlot;
use super::takeover::Takeover;
use super::{Answer, Fingerprint, Idempotency, Unavailable};
use crate::config::IdempotencyMode;
use crate::effect::{Completion, Effect, Reservation, Reserve};
use crate::limits::{ANSWERS_TOGETHER_MAX, EFFECT_ATTEMPTS_MAX};
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

impl CommandMachine {
    /// A command with a key came in.
    pub(super) fn reserve(&mut self, command: CommandSlot, idempotency: Idempotency) {
        self.statistics.keyed += 1;
        if let Some(running) = self.keys.get(&idempotency.key) {
            let other = self.commands[*running].request.idempotency;
            let same = other.is_some_and(|other| other.fingerprint == idempotency.fingerprint)
                || mutant::on(Mutant::KeyWithoutPayload);
            let refused = self.commands.remove(command);
            return self.reply(&refused.request, if same { Answer::InFlight } else { Answer::KeyReused });
        }
        self.keys.insert(idempotency.key, command);
        if self.config.idempotency == IdempotencyMode::Separate {
            self.reserved.insert(self.commands[command].request.command_id, command);
        }
        self.commands[command].phase = Phase::Reserving;
        self.to_reserve.push(command);
    }

    pub(super) fn flush_reserves(&mut self) {
        if self.to_reserve.is_empty() || self.reservations_due().is_some_and(|due| due > self.now) {
            return;
        }
        let commands = std::mem::take(&mut self.to_reserve);
        let items = commands
            .iter()
            .filter_map(|command| {
                let request = &self.commands[*command].request;
                Some(Reserve {
                    idempotency: request.idempotency?,
                    command_id: request.command_id,
                    dead_after: self.config.takeover_after,
                    kept_for: self.config.idempotency_ttl,
                })
            })
            .collect();
        let effect = self.expect(PendingEffect::Reserve(commands));
        self.reserving = Some((effect, self.now));
        self.effects.push(Effect::Reserve(effect, items));
    }

    /// Until when new keys wait for the reservation that is under way, if they do. One that takes long holds up nobody.
    pub(super) fn reservations_due(&self) -> Option<Timestamp> {
        let (effect, since) = self.reserving.filter(|_| !self.to_reserve.is_empty())?;
        self.pending.contains_key(&effect).then(|| since.plus(self.config.gathering.reservations))
    }

    pub(super) fn on_reserved(&mut self, commands: Vec<CommandSlot>, completion: Completion<Vec<Reservation>>) {
        match completion {
            Completion::Done(found) if found.len() == commands.len() => {
                for (command, reservation) in commands.into_iter().zip(found) {
                    self.on_reservation(command, reservation);
                }
            }
            Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown => {
                for command in commands {
                    self.give_up(command, Unavailable::IdempotencyStore);
                }
            }
        }
    }

    fn on_reservation(&mut self, command: CommandSlot, reservation: Reservation) {
        let own = self.commands[command].request.idempotency.map(|idempotency| idempotency.fingerprint);
        let same = |found: Fingerprint| own == Some(found) || mutant::on(Mutant::KeyWithoutPayload);
        let answer = match reservation {
            Reservation::New => return self.proceed(command),
            Reservation::TakenOver { .. } if mutant::on(Mutant::TakeoverRunsAnew) => return self.proceed(command),
            Reservation::TakenOver { fingerprint, command_id, reserved_at } if same(fingerprint) => {
                self.commands[command].takeover = Some(Box::new(Takeover::new(reserved_at)));
                // A refusal must rest on what the wallets are from now on: see [`super::takeover`].
                self.serial += 1;
                self.commands[command].arrived = self.serial;
                let own = std::mem::replace(&mut self.commands[command].request.command_id, command_id);
                self.reserved.remove(&own);
                return self.proceed(command);
            }
            Reservation::Pending { fingerprint } if same(fingerprint) => Answer::InFlight,
            Reservation::Finished { fingerprint, answer } if same(fingerprint) => {
                self.statistics.replayed += 1;
                Answer::Final { answer, replayed: true }
            }
            Reservation::TakenOver { .. } | Reservation::Pending { .. } | Reservation::Finished { .. } => {
                Answer::KeyReused
            }
        };
        let answered = self.forget(command);
        if answered.phase != Phase::Abandoned {
            self.reply(&answered.request, answer);
        }
    }

    fn proceed(&mut self, command: CommandSlot) {
        if self.commands[command].phase == Phase::Abandoned {
            return self.give_up(command, Unavailable::TimedOut);
        }
        self.enqueue(command);
    }

    pub(super) fn flush_answers(&mut self) {
        let released = std::mem::take(&mut self.to_release);
        if !released.is_empty() && self.config.idempotency == IdempotencyMode::Separate {
            self.effects.push(Effect::ReleaseKeys(released));
        }
        if !self.to_store.is_empty() && self.answers_are_due() {
            self.store_at = None;
            let storing = std::mem::take(&mut self.to_store);
            self.store(storing);
        }
    }

    /// Answers that a client waits for are stored at once, and the others with them. Who repeats a request before its
    /// answer is stored finds the key in flight.
    fn answers_are_due(&mut self) -> bool {
        let (now, gathering) = (self.now, self.config.gathering.answers);
        let due = *self.store_at.get_or_insert(now.plus(gathering));
        let is_awaited = self.to_store.iter().any(|one| one.command.is_some());
        self.draining || is_awaited || due <= now || self.to_store.len() >= ANSWERS_TOGETHER_MAX
    }

    pub(super) fn store(&mut self, storing: Vec<Storing>) {
        let records = storing.iter().map(|one| one.record.clone()).collect();
        let effect = self.expect(PendingEffect::Store(storing));
        self.effects.push(Effect::StoreAnswers(effect, records));
    }

    pub(super) fn on_stored(&mut self, storing: Vec<Storing>, completion: Completion<()>) {
        match completion {
            Completion::Done(()) => {
                storing.into_iter().filter_map(|one| one.command).for_each(|command| self.answer(command));
                return;
            }
            // Somebody else holds one of the keys and may decide otherwise: all of them find out from their keys.
            Completion::Conflict => {
                storing.into_iter().filter_map(|one| one.command).for_each(|command| self.lose(command));
                return;
            }
            Completion::Failed(_) | Completion::Unknown => {}
        }
        // Storing the same answer again is harmless. What cannot be stored stays reserved: events vouch for what was
        // done, and a refusal did nothing.
        let mut again = Vec::new();
        for mut one in storing {
            one.attempts += 1;
            if one.attempts < EFFECT_ATTEMPTS_MAX {
                again.push(one);
            } else if let Some(command) = one.command {
                self.give_up(command, Unavailable::IdempotencyStore);
            }
        }
        if let Some(attempts) = again.first().map(|one| one.attempts) {
            self.retry_later(attempts, Retry::Store(again));
        }
    }

    /// Another instance has taken the command over: what it comes to, that one decides.
    fn lose(&mut self, command: CommandSlot) {
        let lost = self.forget(command);
        if lost.phase != Phase::Abandoned {
            self.reply(&lost.request, Answer::OutcomeUnknown);
        }
    }
}

//! Arrival order: which command may be decided next, and how commands leave the queues.
//!
//! A command waits in the queue of every wallet it touches. It may be decided when each of those slots is open and has
//! the command first among the undecided. The oldest command of all is first in all of its queues, so something can
//! always go on: no deadlock, and nobody is overtaken for ever.

use super::machine::{CommandMachine, Phase, Targets};
use super::slot::{CommandSlot, Lease, SlotId, Stage};
use super::{Answer, Unavailable, Work};
use crate::mutant::{self, Mutant};
use std::time::Duration;

/// Deadlines are looked at no more often than this.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl CommandMachine {
    /// Puts a command into the queues of its wallets.
    pub(super) fn enqueue(&mut self, command: CommandSlot) {
        let entry = &mut self.commands[command];
        let is_batch = matches!(entry.request.work, Work::Batch { .. });
        for operation in entry.request.work.operations() {
            let mut targets = None;
            for wallet in operation.wallets() {
                let (slot, evicted) = self.slots.of(wallet);
                if let Some(evicted) = evicted
                    && evicted.lease != Lease::None
                {
                    self.effects.push(crate::effect::Effect::Unlease(vec![evicted.id]));
                }
                targets = Some(targets.map_or([slot, slot], |[first, _]: Targets| [first, slot]));
                let waits = &mut self.slots[slot];
                // A batch may name a wallet many times; it waits once.
                if waits.queue.back() != Some(&command) {
                    waits.queue.push_back(command);
                    waits.touched = true;
                    entry.slots.push(slot);
                }
            }
            entry.targets.extend(targets.filter(|_| is_batch));
        }
        entry.waiting = entry.slots.len();
        entry.phase = Phase::Queued;
        self.changed.extend_from_slice(&entry.slots);
    }

    /// Looks at every slot whose front has changed: asks for what it lacks, and decides what can be decided.
    pub(super) fn process_changed(&mut self) {
        while let Some(slot) = self.changed.pop() {
            while self.clear_front(slot) {}
        }
    }

    /// Tells the first undecided command of an open slot that the slot is free for it, and decides it when that was
    /// the last one it waited for. Whether there may be more to do in this slot.
    fn clear_front(&mut self, slot: SlotId) -> bool {
        let Some(command) = self.slots[slot].next_undecided() else {
            return false;
        };
        if !self.is_open(slot) {
            return false;
        }
        if self.slots[slot].cleared_for != Some(command) {
            self.slots[slot].cleared_for = Some(command);
            self.commands[command].waiting -= 1;
        }
        if self.commands[command].waiting > 0 {
            return false;
        }
        if self.draft.events >= self.config.append_events_max {
            self.dispatch_draft();
            return true;
        }
        self.decide(command)
    }

    /// Whether commands of the slot can be decided now; asks for what is missing.
    fn is_open(&mut self, slot: SlotId) -> bool {
        let waits = &mut self.slots[slot];
        if waits.in_flight {
            return false;
        }
        if self.config.leases {
            match waits.lease {
                Lease::Until(until) if until > self.now => {}
                Lease::Asked => return false,
                // An append that is forming keeps the right it began with.
                Lease::Until(_) if waits.in_draft => {}
                Lease::None | Lease::Until(_) => {
                    waits.lease = Lease::Asked;
                    waits.attempts = 0;
                    self.to_lease.push(slot);
                    return false;
                }
            }
        }
        match waits.stage {
            Stage::Warm => true,
            Stage::Loading => false,
            Stage::Cold => {
                waits.stage = Stage::Loading;
                waits.loading_since = 0;
                waits.attempts = 0;
                self.to_load.push(slot);
                false
            }
        }
    }

    /// The slot is not free any more: a command that had been told so waits again.
    pub(super) fn close(&mut self, slot: SlotId) {
        if let Some(command) = self.slots[slot].cleared_for.take()
            && let Some(entry) = self.commands.get_mut(command)
            && entry.phase == Phase::Queued
        {
            entry.waiting += 1;
        }
    }

    /// Takes queued commands out of all queues and answers them: they did not happen.
    pub(super) fn cancel(&mut self, cancelled: &[CommandSlot], reason: Unavailable) {
        let mut affected: Vec<SlotId> = Vec::new();
        for command in cancelled {
            affected.extend_from_slice(&self.commands[*command].slots);
        }
        affected.sort_unstable();
        affected.dedup();
        let mut sorted = cancelled.to_vec();
        sorted.sort_unstable();
        for slot in affected {
            let waits = &mut self.slots[slot];
            waits.queue.retain(|command| sorted.binary_search(command).is_err());
            if waits.cleared_for.is_some_and(|command| sorted.binary_search(&command).is_ok()) {
                waits.cleared_for = None;
            }
            self.changed.push(slot);
        }
        for command in cancelled {
            self.give_up(*command, reason);
        }
    }

    /// The undecided commands of a slot.
    pub(super) fn undecided(&self, slot: SlotId) -> Vec<CommandSlot> {
        let waits = &self.slots[slot];
        waits.queue.iter().skip(waits.decided).copied().collect()
    }

    /// Answers commands whose time is up: those that wait did not happen; of those in flight nobody knows yet.
    pub(super) fn expire_commands(&mut self) {
        let mut waiting = Vec::new();
        let mut reserving = Vec::new();
        let mut storing = Vec::new();
        let mut unknown = Vec::new();
        let mut earliest = None;
        for (command, entry) in self.commands.iter() {
            if entry.deadline > self.now {
                earliest = Some(earliest.map_or(entry.deadline, |at: crate::time::Timestamp| at.min(entry.deadline)));
                continue;
            }
            match entry.phase {
                Phase::Queued => waiting.push(command),
                Phase::Reserving => reserving.push(command),
                Phase::Appending => unknown.push(command),
                Phase::Storing => storing.push(command),
                Phase::Abandoned => {}
            }
        }
        // One look at all commands serves every deadline of the next moment.
        self.expiry_check = earliest.map(|at| at.max(self.now.plus(EXPIRY_CHECK_INTERVAL)));
        self.cancel(&waiting, Unavailable::TimedOut);
        // The reservation may still be made; its completion finds the command abandoned and releases the key.
        for command in reserving {
            self.answer_early(command, Answer::Unavailable(Unavailable::TimedOut));
        }
        // A refusal did nothing, stored or not.
        for command in storing {
            self.answer_early(command, Answer::Unavailable(Unavailable::IdempotencyStore));
        }
        for command in unknown {
            if mutant::on(Mutant::ReleaseAfterUnknown) {
                let entry = &self.commands[command];
                self.to_release.extend(entry.request.idempotency.map(|own| (own.key, entry.attempt)));
            }
            self.answer_early(command, Answer::OutcomeUnknown);
        }
    }

    fn answer_early(&mut self, command: CommandSlot, answer: Answer) {
        let answer = if self.may_be_taken_over(command) { Answer::OutcomeUnknown } else { answer };
        let entry = &mut self.commands[command];
        entry.phase = Phase::Abandoned;
        let request = entry.request.id;
        self.effects.push(crate::effect::Effect::Reply { request, answer });
    }
}

//! Takeover of a dead idempotency record: find out from the event store whether the command took effect.
//!
//! Why no clock can make this wrong (docs/adr/0014): the first attempt decides only while its request has time left, which
//! is less than what the store lets pass before a takeover. So whatever it has decided rests on states from before the
//! takeover, and an append of it that is still on its way expects revisions that the takeover meets or has passed. If it
//! lands after the search, the states are the same, and so is the decision; otherwise it conflicts. A refusal therefore
//! rests on wallets that were read after the takeover.
//!
//! The first attempt reserved the key and died; nobody knows how far it came. Its events carry ids that derive from its
//! command id, so they can be recognised. The search runs when the command is first in all its queues and its wallets
//! are loaded: an event that lands later meets the expected version of ours, conflicts, and causes a new search. It
//! reads back from the end of the stream to the time of the reservation, not the whole history.

use serde::{Deserialize, Serialize};

use super::Unavailable;
use super::machine::{CommandMachine, PendingEffect, Retry};
use super::slot::{CommandSlot, Slot, SlotId};
use crate::effect::{Completion, Effect};
use crate::event::Event;
use crate::id::EffectId;
use crate::limits::{EFFECT_ATTEMPTS_MAX, TAKEOVER_CLOCK_MARGIN};
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

/// What a command knows of the attempt it took over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Takeover {
    reserved_at: Timestamp,
    attempts: u32,
    search: Search,
}

#[derive(Debug, Serialize, Deserialize)]
enum Search {
    Due,
    /// Effects still out, and the loads of the wallets that the search is valid for.
    Running {
        awaited: Vec<EffectId>,
        loads: u64,
        found: Vec<Event>,
    },
    Done {
        loads: u64,
        found: Vec<Event>,
    },
}

impl Takeover {
    pub(super) fn new(reserved_at: Timestamp) -> Self {
        Self { reserved_at, attempts: 0, search: Search::Due }
    }

    /// The events of the dead attempt, once the search is done.
    pub(super) fn found(&self) -> &[Event] {
        match &self.search {
            Search::Done { found, .. } => found,
            Search::Due | Search::Running { .. } => &[],
        }
    }
}

impl CommandMachine {
    /// Whether the command can be decided as far as an earlier attempt is concerned; starts the search when one is due.
    pub(super) fn search_is_done(&mut self, command: CommandSlot) -> bool {
        let entry = &self.commands[command];
        let Some(takeover) = &entry.takeover else {
            return true;
        };
        if mutant::on(Mutant::TakeoverWithoutSearch) {
            return true;
        }
        let loads = self.loads_of(command);
        match &takeover.search {
            Search::Running { .. } => false,
            Search::Done { loads: searched, found } if *searched == loads => {
                let newer: Vec<SlotId> = self.older_than(command, found);
                self.reload(&newer);
                newer.is_empty()
            }
            Search::Done { .. } | Search::Due => {
                self.start_search(command, loads);
                false
            }
        }
    }

    /// Looks for commands of this node among events that somebody else has written: another instance, whose clock may say
    /// anything, held their reservation for dead and ran them. Such a command is searched for before it is decided.
    pub(super) fn notice_takeovers(&mut self, events: &[Event]) {
        if self.reserved.is_empty() {
            return;
        }
        for event in events {
            if let Some(command) = self.reserved.get(&event.command_id)
                && let Some(entry) = self.commands.get_mut(*command)
            {
                let reserved_at = entry.deadline.minus(self.config.request_timeout);
                entry.takeover.get_or_insert_with(|| Box::new(Takeover::new(reserved_at)));
            }
        }
    }

    /// Wallets of the command that are older than events found of it, which landed after they were loaded.
    fn older_than(&self, command: CommandSlot, found: &[Event]) -> Vec<SlotId> {
        let is_older = |slot: &SlotId| {
            let Slot { id, .. } = &self.slots[*slot];
            let durable = self.slots[*slot].durable_version();
            found.iter().any(|event| event.wallet_id == *id && event.version > durable)
        };
        self.commands[command].slots.iter().copied().filter(is_older).collect()
    }

    fn loads_of(&self, command: CommandSlot) -> u64 {
        self.commands[command].slots.iter().map(|slot| self.slots[*slot].loads).sum()
    }

    fn start_search(&mut self, command: CommandSlot, loads: u64) {
        let entry = &self.commands[command];
        let wallets: Vec<_> = entry.slots.iter().map(|slot| self.slots[*slot].id.clone()).collect();
        let command_id = entry.request.command_id;
        let not_before = entry.takeover.as_ref().map_or(self.now, |takeover| takeover.reserved_at);
        let not_before = if mutant::on(Mutant::TakeoverLooksTooNear) {
            not_before.plus(TAKEOVER_CLOCK_MARGIN)
        } else {
            not_before.minus(TAKEOVER_CLOCK_MARGIN)
        };
        let mut awaited = Vec::with_capacity(wallets.len());
        for wallet in wallets {
            let effect = self.expect(PendingEffect::Find(command));
            awaited.push(effect);
            self.effects.push(Effect::FindCommand { effect, wallet, command: command_id, not_before });
        }
        if let Some(takeover) = &mut self.commands[command].takeover {
            takeover.search = Search::Running { awaited, loads, found: Vec::new() };
        }
    }

    pub(super) fn on_found(&mut self, effect: EffectId, command: CommandSlot, completion: Completion<Vec<Event>>) {
        let Some(takeover) = self.commands.get_mut(command).and_then(|entry| entry.takeover.as_mut()) else {
            return;
        };
        let Search::Running { awaited, loads, found } = &mut takeover.search else {
            return;
        };
        // The command's number may have passed to another one meanwhile.
        let Some(at) = awaited.iter().position(|one| *one == effect) else {
            return;
        };
        match completion {
            Completion::Done(events) => {
                awaited.swap_remove(at);
                found.extend(events);
                if awaited.is_empty() {
                    found.sort_unstable_by_key(|event| event.event_id);
                    takeover.search = Search::Done { loads: *loads, found: std::mem::take(found) };
                    let slots = &self.commands[command].slots;
                    self.changed.extend_from_slice(slots);
                }
            }
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => {
                takeover.attempts += 1;
                // No search may start before the delay is over.
                takeover.search = Search::Running { awaited: Vec::new(), loads: 0, found: Vec::new() };
                let attempts = takeover.attempts;
                if attempts < EFFECT_ATTEMPTS_MAX {
                    self.retry_later(attempts, Retry::Find(command));
                } else {
                    self.cancel(&[command], Unavailable::EventStore);
                }
            }
        }
    }

    pub(super) fn search_again(&mut self, command: CommandSlot) {
        if let Some(entry) = self.commands.get_mut(command)
            && let Some(takeover) = &mut entry.takeover
            && matches!(&takeover.search, Search::Running { awaited, .. } if awaited.is_empty())
        {
            takeover.search = Search::Due;
            let slots = &self.commands[command].slots;
            self.changed.extend_from_slice(slots);
        }
    }
}

//! The decision: the domain's pure functions, applied to the wallets as they stand with everything decided before.
//!
//! A decided command joins the append that is forming, and so does a refusal: what it was refused on may itself not be
//! durable yet. A refusal on state that another writer may have changed is taken only after a fresh look at the store.
//! What may be taken over is not accepted for the sake of what others add to the same append (INV-05): it waits for it.

use super::machine::{Command, CommandMachine, Phase, Targets};
use super::slot::{CommandSlot, Slot, SlotId, Slots, Stage};
use super::{FinalAnswer, Request, Success, Work};
use crate::config::IdempotencyMode;
use crate::event::Event;
use crate::id::{TransferId, WalletId};
use crate::index::{Index, index};
use crate::mutant::{self, Mutant};
use crate::wallet::{Cause, EVENTS_PER_OPERATION_MAX, Events, Operation, Refused, Rejection, Wallet, Wallets};

/// What became of one operation.
// It lives for a moment on the stack of the hot path, where a box would cost more than the room.
#[allow(clippy::large_enum_variant)]
enum Decided {
    /// It happens now.
    Accepted(Events),
    /// It happened before: in the attempt that this command took over.
    Found(Success, Events),
    Refused(Rejection),
}

/// The wallets of one operation: as in their slots, under what earlier operations of the same batch did to them.
struct View<'a> {
    slots: &'a Slots,
    own: Targets,
    overlay: Index<SlotId, Option<Wallet>>,
}

impl View<'_> {
    /// The slot of a wallet, which is most often one of the operation's own.
    fn slot(&self, id: &WalletId) -> Option<SlotId> {
        self.own.into_iter().find(|slot| self.slots[*slot].id == *id).or_else(|| self.slots.find(id))
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            if let Some(slot) = self.slot(&event.wallet_id) {
                let next = Wallet::apply(self.wallet(&event.wallet_id).cloned(), event);
                self.overlay.insert(slot, Some(next));
            }
        }
    }

    /// The wallets right after events of a dead attempt, as far as they are known.
    fn as_of(&self, events: &[Event]) -> impl Iterator<Item = Wallet> {
        let loaded = |event: &Event| self.slots[self.slot(&event.wallet_id)?].wallet.as_ref();
        events.iter().filter_map(move |event| Some(loaded(event)?.as_of(event)))
    }

    /// Takes the wallets that a dead attempt has changed back to where they were before it.
    fn rewind(&mut self, found: &[Event]) {
        for event in found {
            if let Some(slot) = self.slot(&event.wallet_id)
                && !self.overlay.contains_key(&slot)
            {
                let before = self.slots[slot].wallet.as_ref().and_then(|wallet| wallet.before(event));
                self.overlay.insert(slot, before);
            }
        }
    }

    /// Repeats what a dead attempt did.
    fn repeat(&mut self, events: &[Event]) {
        let after: Vec<Wallet> = self.as_of(events).collect();
        for wallet in after {
            if let Some(slot) = self.slot(&wallet.id) {
                self.overlay.insert(slot, Some(wallet));
            }
        }
    }
}

impl Wallets for View<'_> {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        let slot = self.slot(id)?;
        if !self.overlay.is_empty()
            && let Some(wallet) = self.overlay.get(&slot)
        {
            return wallet.as_ref();
        }
        self.slots[slot].wallet.as_ref()
    }
}

impl CommandMachine {
    /// Decides a command whose wallets are all free for it. Whether it is decided now; otherwise it waits for something.
    pub(super) fn decide(&mut self, command: CommandSlot) -> bool {
        if !self.search_is_done(command) {
            return false;
        }
        let own = self.targets(command, 0);
        let entry = &self.commands[command];
        let view = View { slots: &self.slots, own, overlay: index(self.config.hash_seed) };
        let found = entry.takeover.as_ref().map_or(&[][..], |takeover| takeover.found());
        let decided = match &entry.request.work {
            Work::Batch { atomic: false, .. } if found.is_empty() && self.config.sole_writer => {
                return self.decide_in_place(command);
            }
            Work::One(operation) => self.one(operation, &entry.request, &view, 0, found),
            Work::Batch { atomic, .. } => return self.decide_batch(command, *atomic),
        };
        match decided {
            Decided::Refused(_) if !self.is_fresh(command) => false,
            Decided::Refused(rejection) => self.join(command, Err(rejection), 0),
            Decided::Found(success, _) => self.join(command, Ok(success), 0),
            Decided::Accepted(_) if self.rests_on_others(command, [&decided]) => self.wait_for_the_append(),
            Decided::Accepted(events) => {
                let count = events.len();
                let success = self.stage(own, events);
                self.join(command, Ok(success), count)
            }
        }
    }

    /// The slots of the wallets that a command's operation number `at` names; the same one twice when there is one.
    fn targets(&self, command: CommandSlot, at: usize) -> Targets {
        let Command { targets, slots, .. } = &self.commands[command];
        targets.get(at).copied().unwrap_or_else(|| [slots[0], slots[slots.len() - 1]])
    }

    /// Decides a batch whose operations stand for themselves, one after the other: no refusal takes anything back, and
    /// with a single writer none needs a fresh look.
    fn decide_in_place(&mut self, command: CommandSlot) -> bool {
        let none = Work::Batch { operations: Vec::new(), atomic: false };
        let work = std::mem::replace(&mut self.commands[command].request.work, none);
        let mut events_staged = 0;
        let mut results = Vec::with_capacity(work.operations().len());
        for (at, operation) in work.operations().iter().enumerate() {
            let own = self.targets(command, at);
            let view = View { slots: &self.slots, own, overlay: index(self.config.hash_seed) };
            let request = &self.commands[command].request;
            results.push(match self.one(operation, request, &view, at * EVENTS_PER_OPERATION_MAX, &[]) {
                Decided::Refused(rejection) => Err(rejection),
                Decided::Found(success, _) => Ok(success),
                Decided::Accepted(events) => {
                    events_staged += events.len();
                    Ok(self.stage(own, events))
                }
            });
        }
        self.commands[command].request.work = work;
        self.join(command, Ok(Success::Batch(results)), events_staged)
    }

    fn decide_batch(&mut self, command: CommandSlot, atomic: bool) -> bool {
        let entry = &self.commands[command];
        let own = self.targets(command, 0);
        let mut view = View { slots: &self.slots, own, overlay: index(self.config.hash_seed) };
        let found = entry.takeover.as_ref().map_or(&[][..], |takeover| takeover.found());
        view.rewind(found);
        let decisions = self.each(command, &mut view, found);
        let refused: Vec<Refused> = (decisions.iter().enumerate())
            .filter_map(|(index, decided)| match decided {
                Decided::Refused(rejection) => Some(Refused { index, rejection: rejection.clone() }),
                Decided::Accepted(_) | Decided::Found(..) => None,
            })
            .collect();
        if !refused.is_empty() && !self.is_fresh(command) {
            return false;
        }
        if atomic && !refused.is_empty() {
            return self.join(command, Err(Rejection::Batch { refused }), 0);
        }
        if self.rests_on_others(command, &decisions) {
            return self.wait_for_the_append();
        }
        let mut events_staged = 0;
        let results = decisions
            .into_iter()
            .enumerate()
            .map(|(at, decided)| match decided {
                Decided::Refused(rejection) => Err(rejection),
                Decided::Found(success, _) => Ok(success),
                Decided::Accepted(events) => {
                    events_staged += events.len();
                    Ok(self.stage(self.targets(command, at), events))
                }
            })
            .collect();
        self.join(command, Ok(Success::Batch(results)), events_staged)
    }

    /// Decides the operations of a command one after the other, each on what the ones before it leave.
    fn each(&self, command: CommandSlot, view: &mut View<'_>, found: &[Event]) -> Vec<Decided> {
        let request = &self.commands[command].request;
        let mut decisions = Vec::with_capacity(request.work.operations().len());
        for (at, operation) in request.work.operations().iter().enumerate() {
            view.own = self.targets(command, at);
            let decided = self.one(operation, request, view, at * EVENTS_PER_OPERATION_MAX, found);
            match &decided {
                Decided::Accepted(events) => view.apply(events),
                Decided::Refused(_) => {}
                Decided::Found(_, events) => view.repeat(events),
            }
            decisions.push(decided);
        }
        decisions
    }

    /// Whether a command that may be taken over is accepted only with what others add to the append that is forming.
    /// Who takes it over sees the store alone, and would refuse for good what this append may still do: a refusal
    /// leaves no event that the two could meet at (docs/adr/0014).
    fn rests_on_others<'d>(&self, command: CommandSlot, decisions: impl IntoIterator<Item = &'d Decided>) -> bool {
        let Command { request, slots, .. } = &self.commands[command];
        if request.idempotency.is_none() || self.config.idempotency == IdempotencyMode::InAppend {
            return false;
        }
        let mut stored = index(self.config.hash_seed);
        for slot in slots.iter().filter(|slot| !self.slots[**slot].staged.is_empty()) {
            stored.insert(*slot, self.slots[*slot].stored());
        }
        if stored.is_empty() {
            return false;
        }
        let mut view = View { slots: &self.slots, own: self.targets(command, 0), overlay: stored };
        let alone = self.each(command, &mut view, &[]);
        let is_accepted = |decided: &Decided| matches!(decided, Decided::Accepted(_));
        decisions.into_iter().zip(&alone).any(|(with, without)| is_accepted(with) && !is_accepted(without))
    }

    /// Sends the append that is forming; the command is decided again when that is done.
    fn wait_for_the_append(&mut self) -> bool {
        self.dispatch_draft();
        true
    }

    /// Decides one operation; `index` is the number of its first event within the command.
    fn one(&self, operation: &Operation, request: &Request, view: &View<'_>, index: usize, found: &[Event]) -> Decided {
        if !found.is_empty() {
            let ids = [request.command_id.event_id(index), request.command_id.event_id(index + 1)];
            let own: Events = found.iter().filter(|event| ids.contains(&event.event_id)).cloned().collect();
            if !own.is_empty() {
                return Decided::Found(Success::of(&own, view.as_of(&own)), own);
            }
        }
        let cause = Cause {
            command_id: request.command_id,
            correlation_id: &request.correlation_id,
            trace_parent: request.trace_parent.as_ref(),
            now: self.now,
        };
        match operation.decide(view, request.if_match.as_ref(), &cause, index) {
            // All events of a command are in one append: what has none beside others that have was refused then.
            Ok(_) if !found.is_empty() => {
                Decided::Refused(Rejection::RefusedEarlier { wallet_id: operation.subject().clone() })
            }
            Ok(events) => Decided::Accepted(events),
            Err(rejection) if spans(operation, found) && !held_then(&rejection, operation, found) => {
                Decided::Refused(Rejection::RefusedEarlier { wallet_id: operation.subject().clone() })
            }
            Err(rejection) => Decided::Refused(rejection),
        }
    }

    /// Adds the events of one operation to its wallets, and gives the wallets as they are then.
    fn stage(&mut self, own: Targets, events: Events) -> Success {
        let mut transfer_id = None;
        let mut snapshots: smallvec::SmallVec<[Wallet; EVENTS_PER_OPERATION_MAX]> = smallvec::SmallVec::new();
        for event in events {
            let slot = own.into_iter().find(|slot| self.slots[*slot].id == event.wallet_id);
            let staged = &mut self.slots[slot.expect("a decision concerns wallets of its own operation only")];
            transfer_id = transfer_id.or_else(|| event.transfer().map(|_| TransferId::from(event.event_id)));
            match &mut staged.wallet {
                Some(wallet) => wallet.advance(&event),
                None => staged.wallet = Some(Wallet::apply(None, &event)),
            }
            snapshots.extend(staged.wallet.clone());
            if staged.staged.is_empty() {
                // Most wallets get one event in an append, and events are large.
                staged.staged.reserve_exact(1);
            }
            staged.staged.push(event);
        }
        if mutant::on(Mutant::AnswerSwapped) {
            snapshots.reverse();
        }
        let mut snapshots = snapshots.into_iter();
        match (transfer_id, snapshots.next(), snapshots.next()) {
            (Some(transfer_id), Some(from), Some(to)) => Success::Transfer { transfer_id, from, to },
            (_, first, _) => Success::Wallet(first.expect("an accepted operation causes at least one event")),
        }
    }

    /// Makes the decided command part of the append that is forming.
    fn join(&mut self, command: CommandSlot, outcome: Result<Success, Rejection>, events: usize) -> bool {
        let entry = &mut self.commands[command];
        entry.answer = Some(FinalAnswer { outcome, correlation_id: entry.request.correlation_id.clone() });
        entry.phase = Phase::Appending;
        entry.decisions += 1;
        for slot in &entry.slots {
            let joined = &mut self.slots[*slot];
            joined.decided += 1;
            joined.cleared_for = None;
            if !joined.in_draft {
                joined.in_draft = true;
                self.draft.slots.push(*slot);
            }
            if joined.queue.len() > joined.decided {
                self.changed.push(*slot);
            }
        }
        self.draft.commands.push(command);
        self.draft.events += events;
        true
    }

    /// Whether a refusal of this command would rest on current state. Where other processes write too, that is state
    /// read after the command arrived, or state that the append in formation will prove. If not, the stale slots are
    /// read again and the command waits.
    ///
    /// Two wallets of one operation are read one after the other. A wallet stays once it is there; so what the other one
    /// is refused on must have been read when this one was known to be there, else there may have been no moment at which
    /// both were as they were read.
    fn is_fresh(&mut self, command: CommandSlot) -> bool {
        if self.config.sole_writer || mutant::on(Mutant::RefuseFromCache) {
            return true;
        }
        let entry = &self.commands[command];
        let is_single = matches!(entry.request.work, Work::One(_));
        let stale: Vec<SlotId> = entry
            .slots
            .iter()
            .copied()
            .filter(|slot| {
                let Slot { staged, loaded_at, .. } = &self.slots[*slot];
                let others = entry.slots.iter().filter(|other| *other != slot && is_single);
                let since = others.map(|other| self.slots[*other].exists_since()).fold(entry.arrived, u64::max);
                staged.is_empty() && *loaded_at < since
            })
            .collect();
        self.reload(&stale);
        stale.is_empty()
    }

    /// Closes slots until they are read again. One with events in the append that is forming is read again anyway when
    /// that append meets what is newer.
    pub(super) fn reload(&mut self, slots: &[SlotId]) {
        for slot in slots.iter().filter(|slot| self.slots[**slot].staged.is_empty()).copied().collect::<Vec<_>>() {
            self.close(slot);
            self.slots[slot].stage = Stage::Cold;
            self.changed.push(slot);
        }
    }
}

/// Whether an operation reads one wallet as it was before the events of a dead attempt, and the other as it is now.
fn spans(operation: &Operation, found: &[Event]) -> bool {
    let is_taken_back = |wallet: &&WalletId| found.iter().any(|event| event.wallet_id == **wallet);
    let wallets = operation.wallets();
    wallets.iter().any(is_taken_back) && !wallets.iter().all(is_taken_back)
}

/// Whether an operation that spans two moments was refused for the same reason at the first: what is missing now was
/// missing then. But a destination that was missing then is only the reason when the source was there, and that may have
/// been created since. Any other reason rests on both wallets.
fn held_then(rejection: &Rejection, operation: &Operation, found: &[Event]) -> bool {
    let Rejection::WalletNotFound { wallet_id } = rejection else { return false };
    wallet_id == operation.subject() || !found.iter().any(|event| event.wallet_id == *wallet_id)
}

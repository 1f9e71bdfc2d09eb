//! Leases and loads: what a wallet needs before it can be decided on.
//!
//! The lease keeps other instances from trying at the same time, and nothing more: when it is denied for long, or the
//! lease store is away, the command goes on without it and the expected version decides.

use super::Unavailable;
use super::machine::{CommandMachine, PendingEffect, Retry};
use super::slot::{Lease, SlotId, Stage};
use crate::effect::{Completion, Effect, Load, Loaded};
use crate::limits::{EFFECT_ATTEMPTS_MAX, LEASE_ATTEMPTS_MAX, LEASE_DURATION, LEASE_LINGER};
use crate::time::Timestamp;
use crate::wallet::{Inconsistency, Wallet};

impl CommandMachine {
    pub(super) fn flush_leases(&mut self) {
        if self.to_lease.is_empty() {
            return;
        }
        let mut slots = std::mem::take(&mut self.to_lease);
        slots.sort_unstable_by(|a, b| self.slots[*a].id.cmp(&self.slots[*b].id));
        let wallets = slots.iter().map(|slot| self.slots[*slot].id.clone()).collect();
        let until = self.now.plus(LEASE_DURATION);
        let effect = self.expect(PendingEffect::Lease(slots, until));
        self.effects.push(Effect::Lease { effect, wallets, until });
    }

    pub(super) fn on_leased(&mut self, slots: Vec<SlotId>, until: Timestamp, completion: Completion<Vec<bool>>) {
        let granted = match completion {
            Completion::Done(granted) => granted,
            // The lease store is away: slower, not wrong.
            Completion::Conflict | Completion::Failed(_) | Completion::Unknown => Vec::new(),
        };
        let without = self.now.plus(LEASE_LINGER);
        for (at, slot) in slots.into_iter().enumerate() {
            let leased = &mut self.slots[slot];
            match granted.get(at) {
                Some(true) => leased.lease = Lease::Until(until),
                Some(false) if leased.attempts < LEASE_ATTEMPTS_MAX => {
                    leased.attempts += 1;
                    let attempts = leased.attempts;
                    self.statistics.lease_waits += 1;
                    self.retry_later(attempts, Retry::Lease(slot));
                    continue;
                }
                Some(false) | None => leased.lease = Lease::Until(without),
            }
            self.changed.push(slot);
        }
    }

    /// Gives back the leases of wallets that have been quiet for a while.
    pub(super) fn release_quiet_leases(&mut self) {
        let mut released = Vec::new();
        while let Some((since, slot)) = self.quiet.front().copied() {
            if since.plus(LEASE_LINGER) > self.now {
                break;
            }
            self.quiet.pop_front();
            let quiet = &mut self.slots[slot];
            if quiet.queue.is_empty() && !std::mem::take(&mut quiet.touched) {
                quiet.lingering = false;
                quiet.lease = Lease::None;
                released.push(quiet.id.clone());
            } else {
                self.quiet.push_back((self.now, slot));
            }
        }
        if !released.is_empty() {
            released.sort_unstable();
            self.effects.push(Effect::Unlease(released));
        }
    }

    pub(super) fn flush_loads(&mut self) {
        if self.to_load.is_empty() {
            return;
        }
        let slots = std::mem::take(&mut self.to_load);
        let loads = slots
            .iter()
            .map(|slot| Load { wallet: self.slots[*slot].id.clone(), known: self.slots[*slot].durable_version() })
            .collect();
        self.serial += 1;
        for slot in &slots {
            self.slots[*slot].loading_since = self.serial;
        }
        let effect = self.expect(PendingEffect::Load(slots, self.serial));
        self.effects.push(Effect::Load(effect, loads));
    }

    pub(super) fn on_loaded(&mut self, slots: Vec<SlotId>, asked_at: u64, completion: Completion<Vec<Loaded>>) {
        self.serial += 1;
        let mut loaded = match completion {
            Completion::Done(loaded) if loaded.len() == slots.len() => Some(loaded.into_iter()),
            Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown => None,
        };
        for slot in slots {
            let loaded = loaded.as_mut().and_then(Iterator::next);
            if !self.slots.is_loading(slot, asked_at) {
                continue;
            }
            match loaded {
                Some(loaded) => self.on_wallet_loaded(slot, asked_at, loaded),
                None => self.on_load_failed(slot),
            }
        }
    }

    fn on_wallet_loaded(&mut self, slot: SlotId, asked_at: u64, loaded: Loaded) {
        self.notice_takeovers(&loaded.events);
        let read = &mut self.slots[slot];
        let state = loaded.snapshot.or_else(|| read.wallet.take());
        read.loads += 1;
        match fold(state, &loaded.events) {
            Ok(state) => {
                read.wallet = state;
                read.settle(self.serial);
                read.stage = Stage::Warm;
                read.loaded_at = asked_at;
            }
            Err(_inconsistency) => {
                read.wallet = None;
                read.durable = None;
                read.stage = Stage::Cold;
                let waiting = self.undecided(slot);
                self.cancel(&waiting, Unavailable::Damaged);
            }
        }
        self.changed.push(slot);
    }

    fn on_load_failed(&mut self, slot: SlotId) {
        let read = &mut self.slots[slot];
        read.attempts += 1;
        if read.attempts < EFFECT_ATTEMPTS_MAX {
            let (attempts, asked_at) = (read.attempts, read.loading_since);
            self.retry_later(attempts, Retry::Load(slot, asked_at));
        } else {
            read.stage = Stage::Cold;
            let waiting = self.undecided(slot);
            self.cancel(&waiting, Unavailable::EventStore);
        }
    }
}

/// Folds stored events, none of which this machine has decided, into a state.
fn fold(mut state: Option<Wallet>, events: &[crate::event::Event]) -> Result<Option<Wallet>, Inconsistency> {
    for event in events {
        Wallet::check(state.as_ref(), event)?;
        state = Some(Wallet::apply(state, event));
    }
    Ok(state)
}

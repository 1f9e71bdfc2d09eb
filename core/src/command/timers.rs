//! Time: effects that never complete, things to be tried again, commands that waited too long.
//!
//! Says when the node wants to be woken, and brings every completion to the file whose effect it is. An effect that is
//! not completed in time has an unknown outcome, never a failed one; an append is still settled by a late completion
//! (INV-05). What an outcome means is left to that file, how long anything may take to [`crate::config`] and
//! [`crate::limits`].

use std::time::Duration;

use super::machine::{CommandMachine, Completed, Pending, PendingEffect, Retry, TimerReason};
use crate::awaiting::earliest;
use crate::effect::Completion;
use crate::id::EffectId;
use crate::limits::{LEASE_LINGER, RETRY_DELAY_MAX, RETRY_DELAY_MIN};
use crate::time::Timestamp;

/// The delay before attempt `attempts + 1`: doubles from [`RETRY_DELAY_MIN`] to [`RETRY_DELAY_MAX`], and lies between
/// half and all of that, spread by `spread` so that those who failed together do not come back together.
#[must_use]
pub(crate) fn backoff(attempts: u32, spread: u64) -> Duration {
    let full = RETRY_DELAY_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(RETRY_DELAY_MAX);
    let mixed = spread.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    full / 2 + full.mul_f64(mixed as f64 / 2_048.0)
}

impl CommandMachine {
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        let effect = self.pending.values().find_map(|pending| pending.deadline);
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        let quiet = self.quiet.front().map(|(since, _)| since.plus(LEASE_LINGER));
        let effect = effect.map(|at| (at, TimerReason::EffectTimeout));
        let retry = retry.map(|at| (at, TimerReason::Retry));
        let expiry = self.expiry_check.map(|at| (at, TimerReason::RequestTimeout));
        let quiet = quiet.map(|at| (at, TimerReason::LeaseLinger));
        let reserve = self.reservations_due().map(|at| (at, TimerReason::Retry));
        let store = self.store_at.map(|at| (at, TimerReason::Retry));
        earliest(earliest(earliest(effect, retry), earliest(expiry, quiet)), earliest(reserve, store))
    }

    pub(crate) fn handle_timeout(&mut self) {
        self.expire_effects();
        while let Some(entry) = self.retries.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let retry = entry.remove();
            self.retry(retry);
        }
        if self.expiry_check.is_some_and(|at| at <= self.now) {
            self.expire_commands();
        }
        self.release_quiet_leases();
    }

    /// An effect that did not complete in time has an unknown outcome. A late completion of an append still counts,
    /// one of anything else comes to nothing.
    fn expire_effects(&mut self) {
        let expired: Vec<EffectId> = self
            .pending
            .iter()
            .filter_map(|(effect, pending)| Some((effect, pending.deadline?)))
            .take_while(|(_, deadline)| *deadline <= self.now)
            .map(|(effect, _)| *effect)
            .collect();
        for effect in expired {
            if let Some(pending) = self.pending.get_mut(&effect)
                && let PendingEffect::Append(flight) = pending.of
            {
                pending.deadline = None;
                self.append_unknown(effect, flight);
            } else if let Some(pending) = self.pending.remove(&effect) {
                self.complete_unknown(effect, pending.of);
            }
        }
    }

    fn complete_unknown(&mut self, effect: EffectId, of: PendingEffect) {
        match of {
            PendingEffect::Reserve(commands) => self.on_reserved(commands, Completion::Unknown),
            PendingEffect::Lease(slots, until) => self.on_leased(slots, until, Completion::Unknown),
            PendingEffect::Load(slots, asked_at) => self.on_loaded(slots, asked_at, Completion::Unknown),
            PendingEffect::Find(command) => self.on_found(effect, command, Completion::Unknown),
            PendingEffect::Append(flight) => self.append_unknown(effect, flight),
            PendingEffect::Store(storing) => self.on_stored(storing, Completion::Unknown),
        }
    }

    fn retry(&mut self, retry: Retry) {
        match retry {
            Retry::Lease(slot) => self.to_lease.push(slot),
            // The slot may have gone on without it, or to another wallet.
            Retry::Load(slot, asked_at) if self.slots.is_loading(slot, asked_at) => self.to_load.push(slot),
            Retry::Load(..) => {}
            Retry::Append(flight) => self.send_append(flight),
            Retry::Store(storing) => self.store(storing),
            Retry::Find(command) => self.search_again(command),
        }
    }

    /// Routes a completion to what waits for it. One that nothing waits for came twice, or too late.
    pub(crate) fn complete(&mut self, effect: EffectId, completed: Completed) {
        // An append stays on the list until its flight lands: a late answer to an earlier attempt may settle it.
        let of = match self.pending.get_mut(&effect) {
            None => return,
            Some(Pending { of: PendingEffect::Append(flight), deadline }) => {
                *deadline = None;
                PendingEffect::Append(*flight)
            }
            Some(_) => match self.pending.remove(&effect) {
                Some(pending) => pending.of,
                None => return,
            },
        };
        match (completed, of) {
            (Completed::Reserved(completion), PendingEffect::Reserve(commands)) => {
                self.on_reserved(commands, completion)
            }
            (Completed::Leased(completion), PendingEffect::Lease(slots, until)) => {
                self.on_leased(slots, until, completion);
            }
            (Completed::Loaded(completion), PendingEffect::Load(slots, asked_at)) => {
                self.on_loaded(slots, asked_at, completion);
            }
            (Completed::Found(completion), PendingEffect::Find(command)) => self.on_found(effect, command, completion),
            (Completed::Appended(completion), PendingEffect::Append(flight)) => {
                self.on_appended(effect, flight, completion);
            }
            (Completed::Stored(completion), PendingEffect::Store(storing)) => self.on_stored(storing, completion),
            // The runtime completed an effect as something else: whatever it was, its outcome is not known.
            (_, of) => self.complete_unknown(effect, of),
        }
    }
}

//! Redis: leases that expire by its own clock and vanish when it restarts, and the one leadership.
//!
//! A lease belongs to one life of an instance. Its holder extends it and gives it back, nobody else does; everybody
//! takes it when it has run out. The holder asks for a duration: only the clock here decides when that is over, so an
//! instance whose clock is wrong may believe in a lease that is gone. What lasts less than a millisecond is not granted.

use std::collections::BTreeMap;
use std::time::Duration;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

use super::InstanceId;

/// Who asks, and what time it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub instance: InstanceId,
    /// The instance's clock when it asked: [`Effect::Lease`] names an end, and what goes out is the time up to it.
    pub clock: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    holder: InstanceId,
    until: Timestamp,
}

/// The shortest lease, as Redis counts milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// The leases, none of which survives a crash.
#[derive(Clone, Debug, Default)]
pub struct LeaseStore {
    wallets: BTreeMap<WalletId, Lease>,
    lead: Option<Lease>,
}

impl LeaseStore {
    /// Performs an effect; nothing for effects that have no completion or are not the lease store's.
    pub fn perform(&mut self, now: Timestamp, holder: Holder, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Lease { effect, wallets, until } => {
                let lease = lease(now, holder, until);
                let mut grant = |wallet| lease.is_some_and(|lease| self.grant(now, wallet, lease));
                let granted = wallets.into_iter().map(&mut grant).collect();
                Some(Input::Leased(effect, Completion::Done(granted)))
            }
            Effect::Unlease(wallets) => {
                for wallet in wallets {
                    if self.holder(now, &wallet) == Some(holder.instance) {
                        self.wallets.remove(&wallet);
                    }
                }
                None
            }
            Effect::Lead { effect, until } => {
                let free = self.leader(now).is_none_or(|leader| leader == holder.instance);
                let lease = lease(now, holder, until).filter(|_| free);
                self.lead = lease.or(self.lead);
                Some(Input::Led(effect, Completion::Done(lease.is_some())))
            }
            Effect::Resign => {
                self.lead.take_if(|lead| lead.holder == holder.instance);
                None
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::LoadFeederCheckpoint(_)
            | Effect::ReadLog { .. }
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::ReadStream { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => None,
        }
    }

    /// It starts again, empty.
    pub fn crash(&mut self) {
        *self = Self::default();
    }

    /// Who holds a wallet's lease.
    #[must_use]
    pub fn holder(&self, now: Timestamp, wallet: &WalletId) -> Option<InstanceId> {
        self.wallets.get(wallet).filter(|lease| lease.until > now).map(|lease| lease.holder)
    }

    /// Who leads.
    #[must_use]
    pub fn leader(&self, now: Timestamp) -> Option<InstanceId> {
        self.lead.filter(|lead| lead.until > now).map(|lead| lead.holder)
    }

    /// How many leases run.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> usize {
        self.wallets.values().filter(|lease| lease.until > now).count()
    }

    fn grant(&mut self, now: Timestamp, wallet: WalletId, lease: Lease) -> bool {
        let free = self.holder(now, &wallet).is_none_or(|holder| holder == lease.holder);
        if free {
            self.wallets.insert(wallet, lease);
        }
        free
    }
}

/// The lease that a holder asks for, unless it is over before it begins.
fn lease(now: Timestamp, holder: Holder, until: Timestamp) -> Option<Lease> {
    let duration = until.since(holder.clock);
    (duration >= SHORTEST).then(|| Lease { holder: holder.instance, until: now.plus(duration) })
}

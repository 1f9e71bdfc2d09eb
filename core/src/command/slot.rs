//! Slots: what the machine knows of each wallet that it has touched, and who waits for it.
//!
//! A slot is the unit of group commit: it takes part in at most one append in flight. Its queue holds commands in
//! arrival order; the first `decided` of them are in the append that is forming or in flight. The wallet's state runs
//! ahead of the store while they are, and [`Durable`] remembers where to go back to.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Version, WalletId};
use crate::index::{Index, index, seeded};
use crate::money::Money;
use crate::slab::Slab;
use crate::time::Timestamp;
use crate::wallet::Wallet;

/// Number of a slot.
pub(super) type SlotId = usize;
/// Number of a command in the machine.
pub(super) type CommandSlot = usize;

/// What is known about one wallet. Written down without what an idle slot does not have: there are many of those.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) id: WalletId,
    /// The state, staged events included; nothing when the wallet does not exist.
    pub(super) wallet: Option<Wallet>,
    /// The part of the state that events change, as it is in the store.
    pub(super) durable: Option<Durable>,
    pub(super) stage: Stage,
    pub(super) lease: Lease,
    /// The serial at which the newest completed load was asked for.
    pub(super) loaded_at: u64,
    /// The serial at which the load under way was asked for; 0 when none is. What an older one brings is too late: the
    /// slot has gone on without it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) loading_since: u64,
    /// The serial at which the store was first known to have the wallet; 0 while it is not.
    found_at: u64,
    /// Loads completed; a takeover's search is valid only for the load it was made after.
    pub(super) loads: u64,
    /// Failures in a row of the effect that the slot waits for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) attempts: u32,
    /// Commands in arrival order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) queue: VecDeque<CommandSlot>,
    /// How many at the front of the queue are decided.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) decided: usize,
    /// The undecided command at the front that has been told this slot is free for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) cleared_for: Option<CommandSlot>,
    /// Events of the append that is forming.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) staged: Vec<Event>,
    /// Whether the slot is in the append that is forming.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) in_draft: bool,
    /// Whether the slot is in an append in flight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) in_flight: bool,
    /// Second chance of the eviction clock.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) touched: bool,
    /// Whether the slot waits in the queue of wallets that may give their lease back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) lingering: bool,
}

/// How current the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It must be read (again) before the next decision.
    Cold,
    /// A load is on its way, or waits to be repeated.
    Loading,
    /// It can be decided on.
    Warm,
}

/// Whether the wallet is ours to write to, for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Lease {
    None,
    /// Asked for, or to be asked for again.
    Asked,
    /// Ours until then; or not granted in time, and gone without until then.
    Until(Timestamp),
}

/// The mutable part of a wallet as the store has it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Durable {
    balance: Money,
    version: Version,
    updated_at: Timestamp,
}

/// Whether a field need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Slot {
    fn new(id: WalletId) -> Self {
        Self {
            id,
            wallet: None,
            durable: None,
            stage: Stage::Cold,
            lease: Lease::None,
            loaded_at: 0,
            loading_since: 0,
            found_at: 0,
            loads: 0,
            attempts: 0,
            queue: VecDeque::new(),
            decided: 0,
            cleared_for: None,
            staged: Vec::new(),
            in_draft: false,
            in_flight: false,
            touched: true,
            lingering: false,
        }
    }

    /// The version that the store has.
    pub(super) fn durable_version(&self) -> Version {
        self.durable.map_or(Version(0), |durable| durable.version)
    }

    /// The serial since which the wallet is known to exist; 0 when it does not, and never when only events that are
    /// staged make it.
    pub(super) fn exists_since(&self) -> u64 {
        match (&self.wallet, self.found_at) {
            (None, _) => 0,
            (Some(_), 0) => u64::MAX,
            (Some(_), found_at) => found_at,
        }
    }

    /// The state is what the store has, as is known at this serial.
    pub(super) fn settle(&mut self, serial: u64) {
        if self.found_at == 0 && self.wallet.is_some() {
            self.found_at = serial;
        }
        self.durable = self.wallet.as_ref().map(|wallet| Durable {
            balance: wallet.balance,
            version: wallet.version,
            updated_at: wallet.updated_at,
        });
    }

    /// The wallet as the store has it.
    pub(super) fn stored(&self) -> Option<Wallet> {
        let Durable { balance, version, updated_at } = self.durable?;
        self.wallet.clone().map(|wallet| Wallet { balance, version, updated_at, ..wallet })
    }

    /// Back to what the store has.
    pub(super) fn roll_back(&mut self) {
        self.staged.clear();
        self.wallet = self.stored();
    }

    /// The first command that is not decided yet.
    pub(super) fn next_undecided(&self) -> Option<CommandSlot> {
        self.queue.get(self.decided).copied()
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.stage != Stage::Loading && self.lease != Lease::Asked && !self.in_flight
    }
}

/// All slots, bounded: idle ones make room for new ones.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slots {
    slots: Slab<Slot>,
    #[serde(with = "seeded")]
    by_wallet: Index<WalletId, SlotId>,
    capacity: usize,
    hand: usize,
}

/// Slots that the eviction clock looks at for each new one, at most.
const EVICTION_STEPS_MAX: usize = 64;

impl Slots {
    pub(super) fn new(capacity: usize, hash_seed: u64) -> Self {
        Self { slots: Slab::new(), by_wallet: index(hash_seed), capacity, hand: 0 }
    }

    /// The slot of a wallet, made when there is none, and the one that had to go for it.
    pub(super) fn of(&mut self, wallet: &WalletId) -> (SlotId, Option<Slot>) {
        if let Some(slot) = self.by_wallet.get(wallet) {
            return (*slot, None);
        }
        let evicted = self.evict();
        let slot = self.slots.insert(Slot::new(wallet.clone()));
        self.by_wallet.insert(wallet.clone(), slot);
        (slot, evicted)
    }

    /// Whether a slot, which may have gone to another wallet meanwhile, waits for the load that was asked for then.
    pub(super) fn is_loading(&self, slot: SlotId, asked_at: u64) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.stage == Stage::Loading && slot.loading_since == asked_at)
    }

    pub(super) fn find(&self, wallet: &WalletId) -> Option<SlotId> {
        self.by_wallet.get(wallet).copied()
    }

    /// Makes room for a new slot when the cache is full: second chance over a bounded number of slots. When all of
    /// them are busy the cache grows; the bound on pending commands bounds it then.
    fn evict(&mut self) -> Option<Slot> {
        if self.slots.len() < self.capacity {
            return None;
        }
        for _ in 0..EVICTION_STEPS_MAX {
            self.hand = if self.hand + 1 < self.slots.room() { self.hand + 1 } else { 0 };
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.touched => slot.touched = false,
                Some(slot) if slot.is_idle() && !slot.lingering => {
                    let slot = self.slots.remove(self.hand);
                    self.by_wallet.swap_remove(&slot.id);
                    return Some(slot);
                }
                Some(_) | None => {}
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

impl std::ops::Index<SlotId> for Slots {
    type Output = Slot;
    fn index(&self, slot: SlotId) -> &Slot {
        &self.slots[slot]
    }
}

impl std::ops::IndexMut<SlotId> for Slots {
    fn index_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[slot]
    }
}

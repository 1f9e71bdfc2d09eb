//! Events that a consumer set aside: dead letters, and those that wait behind one (INV-11).

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::id::{EventId, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, partition_of};

#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// An event is held once for each consumer; held again, it takes the newer reason.
    events: BTreeMap<(Consumer, EventId), HeldEvent>,
}

impl Held {
    /// Forgets what is applied now, and sets aside what is not.
    pub(super) fn exchange(&mut self, consumer: Consumer, released: &[EventId], held: Vec<HeldEvent>) {
        for event in released {
            self.events.remove(&(consumer, *event));
        }
        self.events.extend(held.into_iter().map(|one| ((one.consumer, one.event_id), one)));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &HeldEvent> {
        self.events.values()
    }

    /// Wallets of which a consumer holds events back, sorted.
    pub(super) fn wallets(&self, consumer: Consumer) -> Vec<WalletId> {
        let of_consumer = self.all().filter(|one| one.consumer == consumer);
        let wallets: BTreeSet<WalletId> = of_consumer.map(|one| one.wallet_id.clone()).collect();
        wallets.into_iter().collect()
    }

    pub(super) fn wallets_of(&self, consumer: Consumer, partition: u16) -> Vec<WalletId> {
        let mut wallets = self.wallets(consumer);
        wallets.retain(|wallet| partition_of(wallet) == partition);
        wallets
    }

    /// Everything held back for a wallet, in version order.
    pub(super) fn load(&self, consumer: Consumer, wallet: &WalletId) -> Vec<HeldEvent> {
        let of_wallet = self.all().filter(|one| one.consumer == consumer && one.wallet_id == *wallet);
        let mut held: Vec<HeldEvent> = of_wallet.cloned().collect();
        held.sort_by_key(|one| one.version);
        held
    }
}

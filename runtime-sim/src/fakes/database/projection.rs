//! Read model and ledger, each with its consumer's checkpoints in the same transaction (INV-07, INV-08).
//!
//! Refuses what real tables refuse (a row at another version, a second entry) and what is poisoned, before anything is
//! changed. What projectors set aside is in `held`; that all changes together is left to `tables`.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::effect::Completion;
use wallex_core::id::{EventId, Version, WalletId};
use wallex_core::projector::{Consumer, LedgerEntry, PartitionProgress, Projection, WalletChange};
use wallex_core::wallet::Wallet;

use super::held::Held;
use super::tables::Stop;
use crate::fakes::{Poison, rejected};

#[derive(Clone, Debug, Default)]
pub(super) struct Projections {
    offsets: BTreeMap<(Consumer, u16), u64>,
    wallets: BTreeMap<WalletId, Wallet>,
    ledger: BTreeMap<WalletId, BTreeMap<Version, LedgerEntry>>,
    entry_ids: BTreeSet<EventId>,
}

impl Projections {
    pub(super) fn offsets(&self) -> impl Iterator<Item = (Consumer, u16, u64)> {
        self.offsets.iter().map(|((consumer, partition), offset)| (*consumer, *partition, *offset))
    }

    pub(super) fn wallets(&self) -> impl Iterator<Item = &Wallet> {
        self.wallets.values()
    }

    pub(super) fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.wallets.get(id)
    }

    pub(super) fn ledger(&self) -> impl Iterator<Item = &LedgerEntry> {
        self.ledger.values().flat_map(BTreeMap::values)
    }

    fn offset(&self, consumer: Consumer, partition: u16) -> u64 {
        self.offsets.get(&(consumer, partition)).copied().unwrap_or(0)
    }

    pub(super) fn progress(&self, consumer: Consumer, partitions: &[u16], held: &Held) -> Vec<PartitionProgress> {
        let progress = partitions.iter().map(|partition| PartitionProgress {
            partition: *partition,
            offset: self.offset(consumer, *partition),
            held_wallets: held.wallets_of(consumer, *partition),
        });
        progress.collect()
    }

    pub(super) fn versions(&self, consumer: Consumer, wallets: &[WalletId]) -> Completion<Vec<Version>> {
        let version = |wallet: &WalletId| match consumer {
            Consumer::ReadModel => self.wallets.get(wallet).map(|row| row.version),
            Consumer::Ledger => self.ledger_head(wallet),
            Consumer::Relay => None,
        };
        if consumer == Consumer::Relay {
            return rejected("the relay projects nothing, so it has no versions");
        }
        Completion::Done(wallets.iter().map(|wallet| version(wallet).unwrap_or_default()).collect())
    }

    fn ledger_head(&self, wallet: &WalletId) -> Option<Version> {
        self.ledger.get(wallet)?.last_key_value().map(|(version, _)| *version)
    }

    pub(super) fn project(
        &mut self,
        consumer: Consumer,
        changes: Projection,
        checkpoints: &[(u16, u64, u64)],
        poison: &Poison,
    ) -> Result<(), Stop> {
        if checkpoints.iter().any(|(partition, expected, _)| self.offset(consumer, *partition) != *expected) {
            return Err(Stop::Conflict);
        }
        match changes {
            Projection::ReadModel(changes) => {
                self.check_changes(&changes, poison)?;
                changes.into_iter().for_each(|change| self.change(change));
            }
            Projection::Ledger(entries) => {
                self.check_entries(&entries, poison)?;
                entries.into_iter().for_each(|entry| self.enter(entry));
            }
        }
        self.offsets.extend(checkpoints.iter().map(|(partition, _, after)| ((consumer, *partition), *after)));
        Ok(())
    }

    fn check_changes(&self, changes: &[WalletChange], poison: &Poison) -> Result<(), Stop> {
        let mut changed: BTreeSet<&WalletId> = BTreeSet::new();
        for change in changes {
            let (id, from, to) = match change {
                WalletChange::Insert(wallet) => (&wallet.id, Version(1), wallet.version),
                WalletChange::Update { wallet_id, expected, version, .. } => (wallet_id, expected.next(), *version),
            };
            if let Some(version) = poison.first(Consumer::ReadModel, id, from, to) {
                return Err(refused(id, version));
            }
            let found = self.wallets.get(id).map(|row| row.version);
            let fits = match change {
                WalletChange::Insert(_) => found.is_none(),
                WalletChange::Update { expected, .. } => found == Some(*expected),
            };
            if !fits || !changed.insert(id) {
                let found = found.map_or_else(|| "missing".to_owned(), |version| format!("at version {version}"));
                return Err(Stop::Rejected(format!("wallet {id} is {found} in the read model, not before {from}")));
            }
        }
        Ok(())
    }

    fn change(&mut self, change: WalletChange) {
        match change {
            WalletChange::Insert(wallet) => {
                self.wallets.insert(wallet.id.clone(), wallet);
            }
            WalletChange::Update { wallet_id, version, balance, updated_at, .. } => {
                if let Some(row) = self.wallets.get_mut(&wallet_id) {
                    (row.version, row.balance, row.updated_at) = (version, balance, updated_at);
                }
            }
        }
    }

    fn check_entries(&self, entries: &[LedgerEntry], poison: &Poison) -> Result<(), Stop> {
        let mut heads: BTreeMap<&WalletId, Version> = BTreeMap::new();
        let mut ids: BTreeSet<EventId> = BTreeSet::new();
        for LedgerEntry { wallet_id, version, event_id, .. } in entries {
            if poison.first(Consumer::Ledger, wallet_id, *version, *version).is_some() {
                return Err(refused(wallet_id, *version));
            }
            let head = heads.insert(wallet_id, *version).or_else(|| self.ledger_head(wallet_id));
            if head.is_some_and(|head| *version <= head) {
                let reason = format!("wallet {wallet_id}: the ledger has version {version} or a later one already");
                return Err(Stop::Rejected(reason));
            }
            if self.entry_ids.contains(event_id) || !ids.insert(*event_id) {
                return Err(Stop::Rejected(format!("the ledger has event {event_id} already")));
            }
        }
        Ok(())
    }

    fn enter(&mut self, entry: LedgerEntry) {
        self.entry_ids.insert(entry.event_id);
        self.ledger.entry(entry.wallet_id.clone()).or_default().insert(entry.version, entry);
    }
}

fn refused(wallet: &WalletId, version: Version) -> Stop {
    Stop::Rejected(format!("the database does not take version {version} of wallet {wallet}"))
}

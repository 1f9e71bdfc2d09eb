//! Readers that wait until a wallet of the read model has reached a version (INV-12).
//!
//! Each waits for its own wallet: a committed transaction wakes those whose version it brought and no others, however
//! many wait. The last position is a hint for everybody else.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::WalletChange;

/// Who waits for what.
pub(super) struct Waiting {
    readers: Mutex<BTreeMap<WalletId, Vec<Reader>>>,
    turn: tokio::sync::Mutex<Turn>,
    transactions: watch::Sender<u64>,
}

/// The turn to look for what other processes have done: where the last look ended.
#[derive(Default)]
pub(super) struct Turn(Option<WalletId>);

struct Reader {
    version: Version,
    wake: oneshot::Sender<()>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { readers: Mutex::default(), turn: tokio::sync::Mutex::default(), transactions: watch::Sender::new(0) }
    }

    /// Ticks after every committed transaction of the read model.
    pub(super) fn transactions(&self) -> watch::Receiver<u64> {
        self.transactions.subscribe()
    }

    /// Resolves when the wallet reaches the version in a transaction that commits from now on.
    pub(super) fn register(&self, wallet: &WalletId, version: Version) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let of_wallet = readers.entry(wallet.clone()).or_default();
        of_wallet.retain(|reader| !reader.wake.is_closed());
        of_wallet.push(Reader { version, wake });
        woken
    }

    /// Forgets readers of a wallet that have given up.
    pub(super) fn unregister(&self, wallet: &WalletId) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_wallet) = readers.get_mut(wallet) {
            of_wallet.retain(|reader| !reader.wake.is_closed());
            if of_wallet.is_empty() {
                readers.remove(wallet);
            }
        }
    }

    /// The turn to look, unless somebody else has it. It ends with the guard.
    pub(super) fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, Turn>> {
        self.turn.try_lock().ok()
    }

    /// Up to `limit` wallets that are waited for, after those of the last look and round again.
    pub(super) fn waited_for(&self, turn: &mut Turn, limit: usize) -> Vec<WalletId> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let after = turn.0.take().map_or(Bound::Unbounded, Bound::Excluded);
        let wallets: Vec<WalletId> =
            readers.range((after, Bound::Unbounded)).map(|(id, _)| id).take(limit).cloned().collect();
        if wallets.len() == limit {
            turn.0 = wallets.last().cloned();
        }
        wallets
    }

    /// These wallets are found at these versions.
    pub(super) fn found(&self, versions: &[(WalletId, Version)]) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for (wallet, version) in versions {
            wake(&mut readers, wallet, *version);
        }
    }

    /// These changes are committed.
    pub(super) fn projected(&self, changes: &[WalletChange]) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.is_empty() {
            for change in changes {
                let (wallet, version) = reached(change);
                wake(&mut readers, wallet, version);
            }
        }
        drop(readers);
        self.transactions.send_modify(|transactions| *transactions += 1);
    }
}

fn wake(readers: &mut BTreeMap<WalletId, Vec<Reader>>, wallet: &WalletId, version: Version) {
    let Some(of_wallet) = readers.get_mut(wallet) else { return };
    for reader in of_wallet.extract_if(.., |reader| reader.version <= version) {
        // A reader that has gone needs no wake.
        let _gone = reader.wake.send(());
    }
    if of_wallet.is_empty() {
        readers.remove(wallet);
    }
}

fn reached(change: &WalletChange) -> (&WalletId, Version) {
    match change {
        WalletChange::Insert(wallet) => (&wallet.id, wallet.version),
        WalletChange::Update { wallet_id, version, .. } => (wallet_id, *version),
    }
}

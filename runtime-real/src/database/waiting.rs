//! Readers that wait until a wallet of the read model has reached a version (INV-12).
//!
//! Each waits for its own wallet: a committed transaction wakes those whose version it brought and no others, however
//! many wait. The last position is a hint for everybody else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::WalletChange;

/// Who waits for what.
pub(super) struct Waiting {
    readers: Mutex<HashMap<WalletId, Vec<Reader>>>,
    transactions: watch::Sender<u64>,
}

struct Reader {
    version: Version,
    wake: oneshot::Sender<()>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { readers: Mutex::default(), transactions: watch::Sender::new(0) }
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

    /// These changes are committed.
    pub(super) fn projected(&self, changes: &[WalletChange]) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.is_empty() {
            for change in changes {
                let (wallet, version) = reached(change);
                let Some(of_wallet) = readers.get_mut(wallet) else { continue };
                for reader in of_wallet.extract_if(.., |reader| reader.version <= version) {
                    // A reader that has gone needs no wake.
                    let _gone = reader.wake.send(());
                }
                if of_wallet.is_empty() {
                    readers.remove(wallet);
                }
            }
        }
        drop(readers);
        self.transactions.send_modify(|transactions| *transactions += 1);
    }
}

fn reached(change: &WalletChange) -> (&WalletId, Version) {
    match change {
        WalletChange::Insert(wallet) => (&wallet.id, wallet.version),
        WalletChange::Update { wallet_id, version, .. } => (wallet_id, *version),
    }
}

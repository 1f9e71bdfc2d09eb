//! Rows and messages that a server refuses, as it would refuse one whose content it cannot take. Switchable at any time.

use std::collections::BTreeSet;

use wallex_core::id::{Version, WalletId};
use wallex_core::projector::Consumer;

/// What is refused: [`Consumer::Relay`] stands for publishing, the others for their rows in the database.
#[derive(Clone, Debug, Default)]
pub struct Poison {
    refused: BTreeSet<(Consumer, WalletId, Version)>,
}

impl Poison {
    /// Refuses one event of a wallet from now on.
    pub fn refuse(&mut self, consumer: Consumer, wallet: WalletId, version: Version) {
        self.refused.insert((consumer, wallet, version));
    }

    /// Takes it from now on.
    pub fn cure(&mut self, consumer: Consumer, wallet: WalletId, version: Version) {
        self.refused.remove(&(consumer, wallet, version));
    }

    /// Takes everything from now on.
    pub fn cure_all(&mut self) {
        self.refused.clear();
    }

    /// What is refused now.
    pub fn refused(&self) -> impl Iterator<Item = &(Consumer, WalletId, Version)> {
        self.refused.iter()
    }

    /// The first of these versions that is refused.
    #[must_use]
    pub fn first(&self, consumer: Consumer, wallet: &WalletId, from: Version, to: Version) -> Option<Version> {
        if self.refused.is_empty() || from > to {
            return None;
        }
        let range = (consumer, wallet.clone(), from)..=(consumer, wallet.clone(), to);
        self.refused.range(range).next().map(|(_, _, version)| *version)
    }
}

//! The newest state of every wallet, in memory: what expected versions are checked against, and what `load` answers.
//!
//! While a group is being built its appends must see each other, so heads move before the frame is durable; whatever is
//! not durable in the end is taken back ([`Heads::back_to`]) before anybody else can look. So heads only ever show
//! durable frames (INV-04), and events that contradict them are refused (INV-01, INV-02, INV-03).

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use indexmap::map::Entry;
use wallex_core::event::Event;
use wallex_core::id::{Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Inconsistency, Wallet};

/// All wallets.
#[derive(Debug)]
pub(crate) struct Heads {
    wallets: IndexMap<WalletId, Wallet, FixedState>,
    undo: Vec<Undo>,
}

/// How to take a change back.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Created,
    Advanced { index: usize, balance: Money, version: Version, updated_at: Timestamp },
}

impl Heads {
    pub(crate) fn new(seed: u64) -> Self {
        Self { wallets: IndexMap::with_hasher(FixedState::with_seed(seed)), undo: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.wallets.len()
    }

    pub(crate) fn reserve(&mut self, wallets: usize) {
        self.wallets.reserve(wallets);
    }

    pub(crate) fn find(&self, wallet: &WalletId) -> Option<&Wallet> {
        self.wallets.get(wallet)
    }

    /// The place of a wallet, which stays the same while the journal is open.
    pub(crate) fn index_of(&self, wallet: &WalletId) -> Option<usize> {
        self.wallets.get_index_of(wallet)
    }

    pub(crate) fn at(&self, index: usize) -> &Wallet {
        &self.wallets[index]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Wallet> {
        self.wallets.values()
    }

    /// Puts a wallet in as a snapshot has it.
    pub(crate) fn restore(&mut self, wallet: Wallet) {
        self.wallets.insert(wallet.id.clone(), wallet);
    }

    /// Folds the next events of one wallet. When one does not fit, nothing is folded.
    pub(crate) fn fold(&mut self, known: Option<usize>, events: &[Event]) -> Result<Option<usize>, Inconsistency> {
        let mark = self.mark();
        let folded = self.fold_all(known, events);
        if folded.is_err() {
            self.back_to(mark);
        }
        folded
    }

    fn fold_all(&mut self, known: Option<usize>, events: &[Event]) -> Result<Option<usize>, Inconsistency> {
        let Some((first, rest)) = events.split_first() else { return Ok(known) };
        let (index, rest) = match known {
            Some(index) => {
                let Wallet { balance, version, updated_at, .. } = self.wallets[index];
                self.undo.push(Undo::Advanced { index, balance, version, updated_at });
                (index, events)
            }
            None => {
                Wallet::check(None, first)?;
                match self.wallets.entry(first.wallet_id.clone()) {
                    Entry::Vacant(vacant) => {
                        let index = vacant.index();
                        vacant.insert(Wallet::apply(None, first));
                        self.undo.push(Undo::Created);
                        (index, rest)
                    }
                    // Only when an append names one new wallet twice.
                    Entry::Occupied(wallet) => return Wallet::check(Some(wallet.get()), first).map(|()| None),
                }
            }
        };
        let wallet = &mut self.wallets[index];
        for event in rest {
            Wallet::check(Some(wallet), event)?;
            wallet.advance(event);
        }
        Ok(Some(index))
    }

    /// A point to return to.
    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back everything since the mark.
    pub(crate) fn back_to(&mut self, mark: usize) {
        for undo in self.undo.drain(mark..).rev() {
            match undo {
                Undo::Created => {
                    self.wallets.pop();
                }
                Undo::Advanced { index, balance, version, updated_at } => {
                    let wallet = &mut self.wallets[index];
                    (wallet.balance, wallet.version, wallet.updated_at) = (balance, version, updated_at);
                }
            }
        }
    }

    /// Everything up to now is durable.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }
}

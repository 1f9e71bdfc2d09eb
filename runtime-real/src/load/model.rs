//! What the client expects of its wallets: the balance-aware model behind the load.
//!
//! Owns a balance sheet of its own. Money is *available* only while no operation on its way may take it, so an
//! operation that the model allows is never refused by a correct service: every refusal is a finding (INV-01, INV-02).
//! *Settled* balances and versions are what the service must show when the load is over (INV-03).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use super::cents::Cents;

/// An index into the run's wallets.
pub type WalletIndex = usize;

/// One operation of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create a wallet with an opening balance.
    Create(WalletIndex, Cents),
    /// Put money in.
    Credit(WalletIndex, Cents),
    /// Take money out.
    Debit(WalletIndex, Cents),
    /// Move money from the first wallet to the second.
    Transfer(WalletIndex, WalletIndex, Cents),
}

/// The kinds of operations, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Operation::Create`].
    Create,
    /// [`Operation::Credit`].
    Credit,
    /// [`Operation::Debit`].
    Debit,
    /// [`Operation::Transfer`].
    Transfer,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Create, Self::Credit, Self::Debit, Self::Transfer];
}

impl Operation {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Create(..) => Kind::Create,
            Self::Credit(..) => Kind::Credit,
            Self::Debit(..) => Kind::Debit,
            Self::Transfer(..) => Kind::Transfer,
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    usable: AtomicBool,
    uncertain: AtomicBool,
    available: AtomicI64,
    settled: AtomicI64,
    versions: AtomicU64,
}

/// The wallets of one run.
#[derive(Debug)]
pub struct Accounts {
    run: String,
    accounts: Vec<Account>,
    brought_in: AtomicI64,
}

/// What a wallet must show at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The balance.
    pub balance: Cents,
    /// The version.
    pub version: u64,
}

impl Accounts {
    /// `count` wallets, none of which exists yet. `run` tells the wallets of this run from those of others.
    #[must_use]
    pub fn new(run: &str, count: usize) -> Self {
        let accounts = std::iter::repeat_with(Account::default).take(count).collect();
        Self { run: run.to_owned(), accounts, brought_in: AtomicI64::new(0) }
    }

    /// How many wallets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is no wallet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The wallet's id at the service.
    #[must_use]
    pub fn id(&self, wallet: WalletIndex) -> String {
        format!("load-{}-{wallet}", self.run)
    }

    /// The name of the run, a part of every idempotency key.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Whether the wallet was created.
    #[must_use]
    pub fn is_usable(&self, wallet: WalletIndex) -> bool {
        self.accounts[wallet].usable.load(Relaxed)
    }

    /// Sets money aside for an operation; false when the wallet may not have it.
    #[must_use]
    pub fn reserve(&self, wallet: WalletIndex, amount: Cents) -> bool {
        let account = &self.accounts[wallet];
        let enough = |available: i64| (available >= amount.0).then(|| available - amount.0);
        account.usable.load(Relaxed) && account.available.fetch_update(Relaxed, Relaxed, enough).is_ok()
    }

    /// The operation was acknowledged.
    pub fn settle(&self, operation: Operation) {
        match operation {
            Operation::Create(wallet, amount) => {
                self.money_in(wallet, amount);
                self.brought_in.fetch_add(amount.0, Relaxed);
                self.accounts[wallet].usable.store(true, Relaxed);
            }
            Operation::Credit(wallet, amount) => {
                self.money_in(wallet, amount);
                self.brought_in.fetch_add(amount.0, Relaxed);
            }
            Operation::Debit(wallet, amount) => {
                self.money_out(wallet, amount);
                self.brought_in.fetch_sub(amount.0, Relaxed);
            }
            Operation::Transfer(from, to, amount) => {
                self.money_out(from, amount);
                self.money_in(to, amount);
            }
        }
    }

    /// The operation is known not to have happened.
    pub fn give_back(&self, operation: Operation) {
        match operation {
            Operation::Create(..) | Operation::Credit(..) => {}
            Operation::Debit(wallet, amount) | Operation::Transfer(wallet, _, amount) => {
                self.accounts[wallet].available.fetch_add(amount.0, Relaxed);
            }
        }
    }

    /// Nobody knows whether the operation happened: its wallets cannot be compared any more.
    pub fn doubt(&self, operation: Operation) {
        match operation {
            Operation::Create(wallet, _) | Operation::Credit(wallet, _) | Operation::Debit(wallet, _) => {
                self.accounts[wallet].uncertain.store(true, Relaxed);
            }
            Operation::Transfer(from, to, _) => {
                self.accounts[from].uncertain.store(true, Relaxed);
                self.accounts[to].uncertain.store(true, Relaxed);
            }
        }
    }

    /// What the wallet must show now that no operation is on its way; nothing when that cannot be known.
    #[must_use]
    pub fn expected(&self, wallet: WalletIndex) -> Option<Expected> {
        let account = &self.accounts[wallet];
        (account.usable.load(Relaxed) && !account.uncertain.load(Relaxed)).then(|| Expected {
            balance: Cents(account.settled.load(Relaxed)),
            version: account.versions.load(Relaxed),
        })
    }

    /// Opening balances and credits minus debits: what all wallets together must hold.
    #[must_use]
    pub fn brought_in(&self) -> Cents {
        Cents(self.brought_in.load(Relaxed))
    }

    fn money_in(&self, wallet: WalletIndex, amount: Cents) {
        let account = &self.accounts[wallet];
        account.settled.fetch_add(amount.0, Relaxed);
        account.available.fetch_add(amount.0, Relaxed);
        account.versions.fetch_add(1, Relaxed);
    }

    fn money_out(&self, wallet: WalletIndex, amount: Cents) {
        let account = &self.accounts[wallet];
        account.settled.fetch_sub(amount.0, Relaxed);
        account.versions.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_wallets() -> Accounts {
        let accounts = Accounts::new("r", 2);
        accounts.settle(Operation::Create(0, Cents(1_000)));
        accounts.settle(Operation::Create(1, Cents(0)));
        accounts
    }

    #[test]
    fn money_on_its_way_cannot_be_spent_twice() {
        let accounts = two_wallets();
        assert!(accounts.reserve(0, Cents(700)));
        assert!(!accounts.reserve(0, Cents(700)));
        accounts.give_back(Operation::Debit(0, Cents(700)));
        assert!(accounts.reserve(0, Cents(1_000)));
    }

    #[test]
    fn a_transfer_moves_money_and_both_versions_and_brings_nothing_in() {
        let accounts = two_wallets();
        assert!(accounts.reserve(0, Cents(300)));
        assert!(!accounts.reserve(1, Cents(1)), "money arrives with the acknowledgement, not before");
        accounts.settle(Operation::Transfer(0, 1, Cents(300)));
        assert_eq!(accounts.expected(0), Some(Expected { balance: Cents(700), version: 2 }));
        assert_eq!(accounts.expected(1), Some(Expected { balance: Cents(300), version: 2 }));
        assert_eq!(accounts.brought_in(), Cents(1_000));
        assert!(accounts.reserve(1, Cents(300)));
    }

    #[test]
    fn a_wallet_with_an_unknown_outcome_is_not_compared() {
        let accounts = two_wallets();
        accounts.doubt(Operation::Transfer(0, 1, Cents(1)));
        assert_eq!((accounts.expected(0), accounts.expected(1)), (None, None));
    }
}

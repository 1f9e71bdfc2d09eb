//! The plain ledger that answers are held against: balances and versions, one operation at a time. Written from the
//! documented rules, on integers; it shares nothing with the engine.
//!
//! What was carried out can be taken back, since `search` tries one order after another. Batches that are no single
//! step, and which facts a refusal states, are `batch`'s.

use std::collections::BTreeMap;

use wallex_core::id::WalletId;

use crate::history::{Command, Refusal, Snapshot, Step, StepResult};

/// The highest balance, in hundredths.
const BALANCE_MAX: i64 = 90_000_000_000_000_000;

/// What a client saw, or would see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Done(Vec<StepResult>),
    Refused(Refusal),
    Read(Option<Snapshot>),
    /// What a refusal says of one wallet.
    Fact(Fact),
}

/// What holds of a wallet at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Missing,
    Exists,
    Balance(i64),
    /// A refusal that contradicts itself.
    Never,
}

/// A wallet: its version and balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) version: u64,
    pub(super) balance: i64,
}

/// All wallets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) accounts: BTreeMap<WalletId, Account>,
}

/// What wallets were before an operation, so that it can be taken back.
pub(super) type Undo = Vec<(WalletId, Option<Account>)>;

impl Ledger {
    /// Carries out a command; says what its client would see.
    pub(super) fn perform(&mut self, command: &Command, undo: &mut Undo) -> Seen {
        match command {
            Command::One { step, if_match } => match self.step(step, *if_match, undo) {
                Ok(shown) => Seen::Done(vec![Ok(shown)]),
                Err(refusal) => Seen::Refused(refusal),
            },
            Command::Batch { steps, atomic } => {
                let results: Vec<StepResult> = steps.iter().map(|step| self.step(step, None, undo)).collect();
                let refused = |(at, result): (usize, &StepResult)| Some((at, result.as_ref().err()?.clone()));
                let members: Vec<(usize, Refusal)> = results.iter().enumerate().filter_map(refused).collect();
                if !atomic || members.is_empty() {
                    return Seen::Done(results);
                }
                self.take_back(undo);
                Seen::Refused(Refusal { code: "batch-refused".into(), wallet: None, seen: None, members })
            }
            Command::ReadModel { wallet, .. } | Command::ReadStore { wallet } => {
                Seen::Read(self.accounts.get(wallet).map(|account| shown(wallet, *account)))
            }
        }
    }

    /// Whether a fact holds of a wallet.
    pub(super) fn holds(&self, wallet: &WalletId, fact: Fact) -> bool {
        let account = self.accounts.get(wallet);
        match fact {
            Fact::Missing => account.is_none(),
            Fact::Exists => account.is_some(),
            Fact::Balance(balance) => account.is_some_and(|account| account.balance == balance),
            Fact::Never => false,
        }
    }

    /// Undoes what was done, newest first.
    pub(super) fn take_back(&mut self, undo: &mut Undo) {
        for (wallet, before) in undo.drain(..).rev() {
            match before {
                Some(account) => self.accounts.insert(wallet, account),
                None => self.accounts.remove(&wallet),
            };
        }
    }

    /// The next version of a wallet.
    pub(super) fn next_version(&self, wallet: &WalletId) -> u64 {
        self.accounts.get(wallet).map_or(0, |account| account.version) + 1
    }

    fn step(&mut self, step: &Step, if_match: Option<u64>, undo: &mut Undo) -> StepResult {
        match step {
            Step::Create(wallet, balance) => match self.accounts.get(wallet) {
                Some(_) => Err(refusal("wallet-exists", wallet, None)),
                None => Ok(vec![self.put(wallet, Account { version: 0, balance: *balance }, undo)]),
            },
            Step::Credit(wallet, amount) => {
                let account = self.addressed(wallet, if_match)?;
                Ok(vec![self.put(wallet, raised(wallet, account, *amount)?, undo)])
            }
            Step::Debit(wallet, amount) => {
                let account = self.addressed(wallet, if_match)?;
                Ok(vec![self.put(wallet, lowered(wallet, account, *amount)?, undo)])
            }
            Step::Transfer(from, to, _) if from == to => Err(refusal("same-wallet", from, None)),
            Step::Transfer(from, to, amount) => {
                let source = self.addressed(from, if_match)?;
                let target = self.addressed(to, None)?;
                let (source, target) = (lowered(from, source, *amount)?, raised(to, target, *amount)?);
                Ok(vec![self.put(from, source, undo), self.put(to, target, undo)])
            }
        }
    }

    fn addressed(&self, wallet: &WalletId, if_match: Option<u64>) -> Result<Account, Refusal> {
        let account = *self.accounts.get(wallet).ok_or_else(|| refusal("wallet-not-found", wallet, None))?;
        match if_match {
            Some(expected) if expected != account.version => {
                Err(refusal("version-mismatch", wallet, i64::try_from(account.version).ok()))
            }
            Some(_) | None => Ok(account),
        }
    }

    fn put(&mut self, wallet: &WalletId, changed: Account, undo: &mut Undo) -> Snapshot {
        let account = Account { version: changed.version + 1, ..changed };
        undo.push((wallet.clone(), self.accounts.insert(wallet.clone(), account)));
        shown(wallet, account)
    }
}

fn shown(wallet: &WalletId, account: Account) -> Snapshot {
    Snapshot { wallet: wallet.clone(), balance: account.balance, version: account.version }
}

fn raised(wallet: &WalletId, account: Account, amount: i64) -> Result<Account, Refusal> {
    let balance = account.balance + amount;
    if balance > BALANCE_MAX { Err(refusal("balance-limit", wallet, None)) } else { Ok(Account { balance, ..account }) }
}

fn lowered(wallet: &WalletId, account: Account, amount: i64) -> Result<Account, Refusal> {
    let balance = account.balance - amount;
    if balance < 0 {
        return Err(refusal("insufficient-funds", wallet, Some(account.balance)));
    }
    Ok(Account { balance, ..account })
}

fn refusal(code: &'static str, wallet: &WalletId, seen: Option<i64>) -> Refusal {
    Refusal { code: code.into(), wallet: Some(wallet.clone()), seen, members: Vec::new() }
}

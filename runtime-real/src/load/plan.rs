//! Which operation comes next: a seeded choice that the model allows.
//!
//! Every worker draws from the seed and its number, for operations and for the jitter of retries. What it may choose
//! depends on the other workers' money too, so a seed repeats a run in kind, not operation by operation. Sending is
//! left to `worker`.

use super::cents::Cents;
use super::model::{Accounts, Operation, WalletIndex};

/// Which kinds of operations a run consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// 35% credits, 30% debits, 35% transfers.
    #[default]
    Mixed,
    /// Transfers only.
    Transfers,
    /// Credits only.
    Credits,
}

/// Opening balance of a wallet: 1,000.00.
const OPENING: Cents = Cents(100_000);
/// Opening balance of the hot wallet: 1,000,000.00, so that it can pay everybody at once.
const OPENING_HOT: Cents = Cents(100_000_000);
/// Largest amount of one operation: 100.00.
const AMOUNT_MAX: u64 = 10_000;
/// How many wallets are tried for one that can pay.
const TRIES: usize = 64;

/// A source of operations; each worker has its own.
#[derive(Debug)]
pub struct Plan {
    rng: Rng,
    mix: Mix,
    hot: bool,
}

impl Plan {
    /// The plan of one worker. With `hot`, every operation involves the first wallet.
    #[must_use]
    pub fn new(seed: u64, worker: usize, mix: Mix, hot: bool) -> Self {
        Self { rng: Rng::new(seed, worker as u64), mix, hot }
    }

    /// The creation of a wallet.
    #[must_use]
    pub fn creation(&self, wallet: WalletIndex) -> Operation {
        Operation::Create(wallet, if self.hot && wallet == 0 { OPENING_HOT } else { OPENING })
    }

    /// The next operation, its money set aside in the model; nothing when there is no wallet to work with.
    pub fn next(&mut self, accounts: &Accounts) -> Option<Operation> {
        let amount = Cents(1 + self.rng.below(AMOUNT_MAX) as i64);
        let draw = self.rng.below(100);
        let chosen = match self.mix {
            Mix::Mixed if draw < 35 => None,
            Mix::Mixed if draw < 65 => self.debit(accounts, amount),
            Mix::Mixed | Mix::Transfers => self.transfer(accounts, amount),
            Mix::Credits => None,
        };
        // When nobody can pay, money comes in: a credit is always allowed.
        chosen.or_else(|| self.subject(accounts).map(|wallet| Operation::Credit(wallet, amount)))
    }

    /// A number of milliseconds in `0..=bound`, for the jitter of retries.
    pub fn jitter(&mut self, bound: u64) -> u64 {
        self.rng.below(bound + 1)
    }

    fn debit(&mut self, accounts: &Accounts, amount: Cents) -> Option<Operation> {
        (0..TRIES).find_map(|_| {
            let wallet = self.subject(accounts)?;
            accounts.reserve(wallet, amount).then_some(Operation::Debit(wallet, amount))
        })
    }

    fn transfer(&mut self, accounts: &Accounts, amount: Cents) -> Option<Operation> {
        (0..TRIES).find_map(|_| {
            let (one, other) = (self.subject(accounts)?, self.any(accounts)?);
            let (from, to) = if self.rng.below(2) == 0 { (one, other) } else { (other, one) };
            (from != to && accounts.reserve(from, amount)).then_some(Operation::Transfer(from, to, amount))
        })
    }

    fn subject(&mut self, accounts: &Accounts) -> Option<WalletIndex> {
        if self.hot { accounts.is_usable(0).then_some(0) } else { self.any(accounts) }
    }

    fn any(&mut self, accounts: &Accounts) -> Option<WalletIndex> {
        (0..TRIES).find_map(|_| {
            let wallet = self.rng.below(accounts.len() as u64) as WalletIndex;
            accounts.is_usable(wallet).then_some(wallet)
        })
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same everywhere.
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; `bound` is small, so the bias of the multiplication does not matter.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(count: usize) -> Accounts {
        let accounts = Accounts::new("r", count);
        let plan = Plan::new(1, 0, Mix::Mixed, false);
        (0..count).for_each(|wallet| accounts.settle(plan.creation(wallet)));
        accounts
    }

    #[test]
    fn no_plan_ever_overdraws_the_model() {
        let accounts = accounts(5);
        let mut plan = Plan::new(7, 3, Mix::Mixed, false);
        let mut kinds = [0; 4];
        for _ in 0..20_000 {
            let operation = plan.next(&accounts).unwrap();
            kinds[operation.kind() as usize] += 1;
            accounts.settle(operation);
        }
        for wallet in 0..5 {
            assert!(accounts.expected(wallet).unwrap().balance >= Cents(0));
        }
        assert!(kinds[1..].iter().all(|count| *count > 4_000), "all kinds occur: {kinds:?}");
    }

    #[test]
    fn a_hot_run_of_transfers_always_involves_the_first_wallet() {
        let accounts = accounts(20);
        let mut plan = Plan::new(7, 0, Mix::Transfers, true);
        for _ in 0..1_000 {
            let operation = plan.next(&accounts).unwrap();
            assert!(
                matches!(operation, Operation::Transfer(0, to, _) if to != 0)
                    || matches!(operation, Operation::Transfer(_, 0, _))
            );
            accounts.settle(operation);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_operations() {
        let run = |seed| {
            let accounts = accounts(9);
            let mut plan = Plan::new(seed, 2, Mix::Mixed, false);
            (0..100).map(|_| plan.next(&accounts).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}

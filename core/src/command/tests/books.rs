//! The books of a naive bank: what every command must come to, worked out on plain integers.
//!
//! They share nothing with the engine, neither arithmetic nor types: a sum is a number of thousandths, wallets and
//! stored answers are maps, and an answer is text and numbers.

use std::collections::BTreeMap;

/// Thousandths of a unit, of whatever currency.
pub(super) type Sum = i64;

/// Nine hundred trillion units, which no balance may pass.
pub(super) const BALANCE_MAX: Sum = 900_000_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coin {
    Usd,
    Jpy,
    Bhd,
}

#[derive(Clone, Debug)]
pub(super) enum Order {
    Create { name: &'static str, coin: Coin, balance: Sum },
    Credit { name: &'static str, amount: Sum },
    Debit { name: &'static str, amount: Sum },
    Transfer { from: &'static str, to: &'static str, amount: Sum },
}

#[derive(Clone, Debug)]
pub(super) enum Job {
    One { order: Order, if_match: Option<u64> },
    Batch { orders: Vec<Order>, atomic: bool },
}

/// An idempotency key, and which payload was sent under it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: u8,
    pub(super) payload: u8,
}

/// A wallet as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) coin: String,
    pub(super) balance: String,
    pub(super) version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Wallet(Shown),
    Transfer(Shown, Shown),
    Batch(Vec<Outcome>),
    Refused(&'static str),
    /// An atomic batch: which of its operations are refused, and with which code.
    RefusedBatch(Vec<(usize, &'static str)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    KeyReused,
    /// With the correlation id of the request that decided it.
    Final {
        outcome: Outcome,
        replayed: bool,
        decided_by: String,
    },
}

#[derive(Clone, Copy, Debug)]
struct Account {
    coin: Coin,
    balance: Sum,
    version: u64,
}

#[derive(Debug)]
struct Stored {
    payload: u8,
    outcome: Outcome,
    decided_by: String,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    accounts: BTreeMap<&'static str, Account>,
    stored: BTreeMap<u8, Stored>,
}

impl Coin {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Jpy => "JPY",
            Self::Bhd => "BHD",
        }
    }

    /// The smallest sum there is of it.
    pub(super) fn step(self) -> Sum {
        match self {
            Self::Usd => 10,
            Self::Jpy => 1_000,
            Self::Bhd => 1,
        }
    }

    /// A sum of it in digits, with all of its decimal places.
    pub(super) fn digits(self, sum: Sum) -> String {
        let (whole, thousandths) = (sum / 1_000, sum % 1_000);
        match self {
            Self::Usd => format!("{whole}.{:02}", thousandths / 10),
            Self::Jpy => whole.to_string(),
            Self::Bhd => format!("{whole}.{thousandths:03}"),
        }
    }
}

impl Order {
    /// The wallet whose version `If-Match` speaks of.
    pub(super) fn subject(&self) -> &'static str {
        match self {
            Self::Create { name, .. } | Self::Credit { name, .. } | Self::Debit { name, .. } => name,
            Self::Transfer { from, .. } => from,
        }
    }
}

impl Outcome {
    /// Whether the request itself was at fault, so that its key stays free for the corrected one.
    fn is_fault_of_the_request(&self) -> bool {
        match self {
            Self::Refused(code) => *code == "validation-failed",
            Self::RefusedBatch(refused) => refused.iter().any(|(_, code)| *code == "validation-failed"),
            Self::Wallet(_) | Self::Transfer(..) | Self::Batch(_) => false,
        }
    }
}

impl Account {
    fn plus(self, amount: Sum) -> Result<Self, &'static str> {
        match self.balance + amount {
            _ if amount % self.coin.step() != 0 => Err("validation-failed"),
            balance if balance > BALANCE_MAX => Err("balance-limit"),
            balance => Ok(Self { balance, version: self.version + 1, ..self }),
        }
    }

    fn minus(self, amount: Sum) -> Result<Self, &'static str> {
        match self.balance - amount {
            _ if amount % self.coin.step() != 0 => Err("validation-failed"),
            balance if balance < 0 => Err("insufficient-funds"),
            balance => Ok(Self { balance, version: self.version + 1, ..self }),
        }
    }

    fn shown(self, name: &str) -> Shown {
        let (coin, balance) = (self.coin.code().to_owned(), self.coin.digits(self.balance));
        Shown { name: name.to_owned(), coin, balance, version: self.version }
    }
}

impl Books {
    /// The reply that a request must get, which is also written into the books.
    pub(super) fn expect(&mut self, correlation: &str, job: &Job, key: Option<Key>) -> Reply {
        if let Some(key) = key
            && let Some(stored) = self.stored.get(&key.name)
        {
            if stored.payload != key.payload {
                return Reply::KeyReused;
            }
            let (outcome, decided_by) = (stored.outcome.clone(), stored.decided_by.clone());
            return Reply::Final { outcome, replayed: true, decided_by };
        }
        let (outcome, decided_by) = (self.carry_out(job), correlation.to_owned());
        if let Some(Key { name, payload }) = key
            && !outcome.is_fault_of_the_request()
        {
            let (outcome, decided_by) = (outcome.clone(), decided_by.clone());
            self.stored.insert(name, Stored { payload, outcome, decided_by });
        }
        Reply::Final { outcome, replayed: false, decided_by }
    }

    /// The version of a wallet; 0 for one that does not exist.
    pub(super) fn version(&self, name: &str) -> u64 {
        self.accounts.get(name).map_or(0, |account| account.version)
    }

    /// All wallets as they stand.
    pub(super) fn wallets(&self) -> Vec<Shown> {
        self.accounts.iter().map(|(name, account)| account.shown(name)).collect()
    }

    fn carry_out(&mut self, job: &Job) -> Outcome {
        match job {
            Job::One { order, if_match } => self.execute(order, *if_match).unwrap_or_else(Outcome::Refused),
            Job::Batch { orders, atomic } => {
                let before = self.accounts.clone();
                let results: Vec<_> = orders.iter().map(|order| self.execute(order, None)).collect();
                let is_refused = |(at, result): (usize, &Result<Outcome, _>)| Some((at, *result.as_ref().err()?));
                let refused: Vec<_> = results.iter().enumerate().filter_map(is_refused).collect();
                if *atomic && !refused.is_empty() {
                    self.accounts = before;
                    return Outcome::RefusedBatch(refused);
                }
                Outcome::Batch(results.into_iter().map(|result| result.unwrap_or_else(Outcome::Refused)).collect())
            }
        }
    }

    fn execute(&mut self, order: &Order, if_match: Option<u64>) -> Result<Outcome, &'static str> {
        match *order {
            Order::Create { name, .. } if self.accounts.contains_key(name) => Err("wallet-exists"),
            Order::Create { name, coin, balance } => {
                Ok(Outcome::Wallet(self.write(name, Account { coin, balance, version: 1 })))
            }
            Order::Credit { name, amount } => {
                let after = self.account(name, if_match)?.plus(amount)?;
                Ok(Outcome::Wallet(self.write(name, after)))
            }
            Order::Debit { name, amount } => {
                let after = self.account(name, if_match)?.minus(amount)?;
                Ok(Outcome::Wallet(self.write(name, after)))
            }
            Order::Transfer { from, to, .. } if from == to => Err("same-wallet"),
            Order::Transfer { from, to, amount } => {
                let (source, destination) = (self.account(from, if_match)?, self.account(to, None)?);
                if source.coin != destination.coin {
                    return Err("currency-mismatch");
                }
                let (source, destination) = (source.minus(amount)?, destination.plus(amount)?);
                Ok(Outcome::Transfer(self.write(from, source), self.write(to, destination)))
            }
        }
    }

    fn account(&self, name: &str, if_match: Option<u64>) -> Result<Account, &'static str> {
        let account = self.accounts.get(name).ok_or("wallet-not-found")?;
        match if_match {
            Some(version) if version != account.version => Err("version-mismatch"),
            Some(_) | None => Ok(*account),
        }
    }

    fn write(&mut self, name: &'static str, account: Account) -> Shown {
        self.accounts.insert(name, account);
        account.shown(name)
    }
}

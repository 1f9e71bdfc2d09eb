//! What clients do, in numbers; the world turns it into requests.
//!
//! Wallets and keys are numbers and amounts are cents, so that plans are small and easy to shrink; [`Names`] gives them
//! their ids. What a seed's clients do is decided in `generate`, what they try again in `world/clients.rs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wallex_core::command::Work;
use wallex_core::currency::Currency;
use wallex_core::id::{OwnerId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::wallet::{Create, Credit, Debit, Operation, Transfer};

/// One thing that a client does, after a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How long the client waits first, in milliseconds.
    pub after_ms: u32,
    /// What it does.
    pub act: Act,
}

/// What a client does. Keys are numbers; the same number is the same `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A single operation.
    One {
        /// Its idempotency key, if it has one.
        key: Option<u32>,
        /// The operation.
        op: Op,
        /// Sends the version that this client saw last as `If-Match`.
        if_match: bool,
    },
    /// Several in one request.
    Batch {
        /// Its idempotency key, if it has one.
        key: Option<u32>,
        /// The operations.
        ops: Vec<Op>,
        /// All or nothing.
        atomic: bool,
    },
    /// Reads a wallet.
    Read {
        /// Which.
        wallet: u16,
        /// From the event store; else from the read model, at the version that this client saw last or later (INV-12).
        from_store: bool,
    },
}

/// One operation. Amounts are in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Creates a wallet.
    Create {
        /// Which.
        wallet: u16,
        /// Its first money.
        balance: u32,
    },
    /// Money in.
    Credit {
        /// Where.
        wallet: u16,
        /// How much.
        amount: u32,
    },
    /// Money out.
    Debit {
        /// Where.
        wallet: u16,
        /// How much.
        amount: u32,
    },
    /// Money between wallets.
    Transfer {
        /// Where from.
        from: u16,
        /// Where to.
        to: u16,
        /// How much.
        amount: u32,
    },
}

impl Act {
    /// The operations in it.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        match self {
            Self::One { op, .. } => std::slice::from_ref(op),
            Self::Batch { ops, .. } => ops,
            Self::Read { .. } => &[],
        }
    }

    /// Its idempotency key.
    #[must_use]
    pub fn key(&self) -> Option<u32> {
        match self {
            Self::One { key, .. } | Self::Batch { key, .. } => *key,
            Self::Read { .. } => None,
        }
    }
}

/// The ids of the wallets of a run, made once.
#[derive(Clone, Debug)]
pub struct Names {
    wallets: Vec<WalletId>,
    owner: OwnerId,
    currency: Currency,
    description: Arc<str>,
}

impl Names {
    /// Ids for so many wallets.
    ///
    /// # Panics
    /// Never: the names are well-formed.
    #[must_use]
    pub fn new(wallets: u16) -> Self {
        let wallet = |number| WalletId::parse(&format!("w{number}")).expect("the name is well-formed");
        Self {
            wallets: (0..wallets).map(wallet).collect(),
            owner: OwnerId::parse("owner").expect("the name is well-formed"),
            currency: Currency::parse("USD").expect("the currency is listed"),
            description: Arc::from("simulated"),
        }
    }

    /// The id of a wallet.
    #[must_use]
    pub fn wallet(&self, number: u16) -> WalletId {
        self.wallets[usize::from(number) % self.wallets.len()].clone()
    }

    /// What an act asks the service to do; nothing for a read.
    #[must_use]
    pub fn work(&self, act: &Act) -> Option<Work> {
        match act {
            Act::One { op, .. } => Some(Work::One(self.operation(*op))),
            Act::Batch { ops, atomic, .. } => {
                let operations = ops.iter().map(|op| self.operation(*op)).collect();
                Some(Work::Batch { operations, atomic: *atomic })
            }
            Act::Read { .. } => None,
        }
    }

    fn operation(&self, op: Op) -> Operation {
        match op {
            Op::Create { wallet, balance } => Operation::Create(Create {
                wallet_id: self.wallet(wallet),
                owner_id: self.owner.clone(),
                currency: self.currency,
                initial_balance: Money::from_minor_units(i64::from(balance), self.currency),
            }),
            Op::Credit { wallet, amount } => {
                let description = Some(Arc::clone(&self.description));
                Operation::Credit(Credit { wallet_id: self.wallet(wallet), amount: cents(amount), description })
            }
            Op::Debit { wallet, amount } => {
                Operation::Debit(Debit { wallet_id: self.wallet(wallet), amount: cents(amount), description: None })
            }
            Op::Transfer { from, to, amount } => {
                let (from, to) = (self.wallet(from), self.wallet(to));
                Operation::Transfer(Transfer { from, to, amount: cents(amount), description: None })
            }
        }
    }
}

fn cents(amount: u32) -> Amount {
    let amount = amount.max(1);
    Amount::parse(&format!("{}.{:02}", amount / 100, amount % 100)).expect("a positive number of cents is in range")
}

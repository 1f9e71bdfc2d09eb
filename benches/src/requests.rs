//! Requests as the service would submit them: wallets by number, creations, transfers of one cent.
//!
//! The same calls give the same requests, each with a command id of its own, and [`Pairs`] scatters wallets without
//! chance: two runs of a bench do the same work. Who carries them out is left to [`crate::machine`] and to the
//! programs.

use wallex_core::command::{Fingerprint, Idempotency, KeyHash, Request, Work};
use wallex_core::currency::Currency;
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Operation, Transfer};

/// Makes requests over a fixed set of wallets; every request has a command id of its own.
#[derive(Clone, Debug)]
pub struct Requests {
    wallets: Vec<WalletId>,
    owner: OwnerId,
    correlation: CorrelationId,
    usd: Currency,
    amount: Amount,
    made: u64,
}

impl Requests {
    /// Over `count` wallets.
    ///
    /// # Panics
    /// Never: the ids and amounts are well-formed.
    #[must_use]
    pub fn over(count: usize) -> Self {
        let wallets = (0..count).map(|at| WalletId::parse(&format!("wallet-{at:08}")).expect("well-formed")).collect();
        Self {
            wallets,
            owner: OwnerId::parse("owner").expect("well-formed"),
            correlation: CorrelationId::parse("5f0c1f9e-6f0c-4a42-9b7e-0d6f5a0c7f11").expect("well-formed"),
            usd: Currency::parse("USD").expect("listed"),
            amount: Amount::parse("0.01").expect("well-formed"),
            made: 0,
        }
    }

    /// The same wallets, with command ids that no other `lane` has.
    #[must_use]
    pub fn lane(&self, lane: u32) -> Self {
        Self { made: u64::from(lane) << 32, ..self.clone() }
    }

    /// How many wallets there are.
    #[must_use]
    pub fn wallets(&self) -> usize {
        self.wallets.len()
    }

    /// The id of a wallet.
    #[must_use]
    pub fn wallet(&self, at: usize) -> &WalletId {
        &self.wallets[at]
    }

    /// Creates wallet `at` with a million dollars.
    ///
    /// # Panics
    /// Never: the balance is in range.
    pub fn create(&mut self, now: Timestamp, at: usize) -> Request {
        let initial_balance = Money::parse("1000000", self.usd).expect("in range");
        let (wallet_id, owner_id) = (self.wallets[at].clone(), self.owner.clone());
        self.request(now, Operation::Create(Create { wallet_id, owner_id, currency: self.usd, initial_balance }))
    }

    /// Moves one cent.
    pub fn transfer(&mut self, now: Timestamp, (from, to): (usize, usize)) -> Request {
        let (from, to) = (self.wallets[from].clone(), self.wallets[to].clone());
        self.request(now, Operation::Transfer(Transfer { from, to, amount: self.amount, description: None }))
    }

    /// The same request under an idempotency key of its own.
    #[must_use]
    pub fn keyed(&self, mut request: Request) -> Request {
        // Keys are hashes, so their bytes are spread; a multiplication spreads these as well.
        let spread = u128::from(self.made).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let key = KeyHash(spread.to_be_bytes());
        request.idempotency = Some(Idempotency { key, fingerprint: Fingerprint([7; 16]) });
        request
    }

    fn request(&mut self, now: Timestamp, operation: Operation) -> Request {
        self.made += 1;
        Request {
            id: RequestId(self.made),
            command_id: CommandId::new(now, self.made),
            correlation_id: self.correlation.clone(),
            trace_parent: None,
            idempotency: None,
            if_match: None,
            work: Work::One(operation),
        }
    }
}

/// Pairs of different wallets out of `wallets`, scattered by fixed multiplicative steps: the same in every run.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    wallets: usize,
    next: usize,
}

impl Pairs {
    /// Beginning at a place of the sequence.
    #[must_use]
    pub fn new(wallets: usize, next: usize) -> Self {
        assert!(wallets > 1, "a transfer needs two wallets");
        Self { wallets, next }
    }

    /// Two wallets, each as likely as any other.
    pub fn spread(&mut self) -> (usize, usize) {
        self.next = self.next.wrapping_add(1);
        let from = self.next.wrapping_mul(7_919) % self.wallets;
        let to = self.next.wrapping_mul(104_729).wrapping_add(1) % self.wallets;
        (from, if to == from { (to + 1) % self.wallets } else { to })
    }

    /// Wallet 0, and any other.
    pub fn hot(&mut self) -> (usize, usize) {
        (0, self.spread().1.max(1))
    }
}

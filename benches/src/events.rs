//! Events as a log would hold them: wallets that are created, and transfers between them.
//!
//! They come from the domain's own `decide`, so versions, balances and ids are those of a real log.

use std::collections::HashMap;

use wallex_core::command::{Request, Work};
use wallex_core::effect::{Append, StreamWrite};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{Position, Version, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Cause, Wallet, Wallets};

use crate::requests::{Pairs, Requests};

/// A log in the making: the wallets as they stand, and the time.
pub struct Log {
    requests: Requests,
    pairs: Pairs,
    wallets: States,
    now: Timestamp,
    position: u64,
}

/// The wallets as they stand.
#[derive(Default)]
struct States(HashMap<WalletId, Wallet>);

impl Wallets for States {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.0.get(id)
    }
}

impl Log {
    /// An empty log over `wallets` wallets, which have to be created first.
    #[must_use]
    pub fn new(wallets: usize) -> Self {
        Self {
            requests: Requests::over(wallets),
            pairs: Pairs::new(wallets, 0),
            wallets: States::default(),
            now: Timestamp::from_micros(1_790_000_000_000_000),
            position: 0,
        }
    }

    /// The creation of wallet `at`.
    pub fn create(&mut self, at: usize) -> Vec<Event> {
        let request = self.requests.create(self.now, at);
        self.decide(&request)
    }

    /// Both legs of the next transfer, between scattered wallets.
    pub fn transfer(&mut self) -> Vec<Event> {
        let pair = self.pairs.spread();
        let request = self.requests.transfer(self.now, pair);
        self.decide(&request)
    }

    /// The time of the last event.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Gives events their places in the log.
    pub fn record(&mut self, events: Vec<Event>) -> Vec<Recorded> {
        let place = |event| {
            self.position += 1;
            Recorded { position: Position(self.position), event }
        };
        events.into_iter().map(place).collect()
    }

    /// # Panics
    /// When the domain refuses: wallets hold far more than is ever moved.
    fn decide(&mut self, request: &Request) -> Vec<Event> {
        self.now = Timestamp::from_micros(self.now.as_micros() + 20);
        let Work::One(operation) = &request.work else { unreachable!("requests are made one by one") };
        let cause = Cause {
            command_id: request.command_id,
            correlation_id: &request.correlation_id,
            trace_parent: None,
            now: self.now,
        };
        let events = operation.decide(&self.wallets, None, &cause, 0).expect("accepted");
        for event in &events {
            let before = self.wallets.0.remove(&event.wallet_id);
            self.wallets.0.insert(event.wallet_id.clone(), Wallet::apply(before, event));
        }
        events.into_vec()
    }
}

/// The append of one command's events: one write for each wallet.
#[must_use]
pub fn append_of(events: Vec<Event>) -> Append {
    let write = |event: Event| StreamWrite {
        wallet: event.wallet_id.clone(),
        expected: Version(event.version.0 - 1),
        events: vec![event],
    };
    Append { writes: events.into_iter().map(write).collect(), records: Vec::new() }
}

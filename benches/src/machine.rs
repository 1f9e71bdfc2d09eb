//! A node whose effects are answered at once: what remains is the cost of the command machine.

use wallex_core::command::{Request, Work};
use wallex_core::config::Config;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input, Loaded, Reservation};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Operation, Transfer};

/// A node with wallets in it, and the ids to address them.
pub struct Machine {
    node: Node,
    now: Timestamp,
    wallets: Vec<WalletId>,
    correlation: CorrelationId,
    requests: u64,
    replies: u64,
}

impl Machine {
    /// A node with `count` wallets of a million dollars each.
    ///
    /// # Panics
    /// Never: the ids and amounts are well-formed.
    #[must_use]
    pub fn with_wallets(count: usize) -> Self {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let wallets = (0..count).map(|at| WalletId::parse(&format!("wallet-{at:08}")).expect("well-formed")).collect();
        let correlation = CorrelationId::parse("5f0c1f9e-6f0c-4a42-9b7e-0d6f5a0c7f11").expect("well-formed");
        let mut machine =
            Self { node: Node::new(Config::default(), now), now, wallets, correlation, requests: 0, replies: 0 };
        let usd = Currency::parse("USD").expect("listed");
        let owner = OwnerId::parse("owner").expect("well-formed");
        for at in 0..count {
            let create = Create {
                wallet_id: machine.wallets[at].clone(),
                owner_id: owner.clone(),
                currency: usd,
                initial_balance: Money::parse("1000000", usd).expect("in range"),
            };
            machine.submit(Operation::Create(create));
            if at % 1_000 == 999 {
                machine.drain();
            }
        }
        machine.drain();
        machine
    }

    /// `count` transfers of one cent between wallets that `pick` chooses by number.
    ///
    /// # Panics
    /// Never: the amount is well-formed.
    pub fn transfers(&mut self, count: usize, mut pick: impl FnMut(usize) -> (usize, usize)) -> Vec<Request> {
        let amount = Amount::parse("0.01").expect("well-formed");
        (0..count)
            .map(|at| {
                let (from, to) = pick(at);
                let (from, to) = (self.wallets[from].clone(), self.wallets[to].clone());
                self.request(Operation::Transfer(Transfer { from, to, amount, description: None }))
            })
            .collect()
    }

    fn request(&mut self, operation: Operation) -> Request {
        self.requests += 1;
        Request {
            id: RequestId(self.requests),
            command_id: CommandId::new(self.now, self.requests),
            correlation_id: self.correlation.clone(),
            trace_parent: None,
            idempotency: None,
            if_match: None,
            work: Work::One(operation),
        }
    }

    fn submit(&mut self, operation: Operation) {
        let request = self.request(operation);
        self.node.handle(self.now, Input::Submit(request));
    }

    /// Runs requests through the node, all submitted before the first effect is taken; gives the number of replies.
    pub fn run(&mut self, requests: Vec<Request>) -> u64 {
        for request in requests {
            self.node.handle(self.now, Input::Submit(request));
        }
        self.drain()
    }

    fn drain(&mut self) -> u64 {
        let before = self.replies;
        while let Some(effect) = self.node.poll_effect() {
            if let Some(input) = self.complete(effect) {
                self.node.handle(self.now, input);
            }
        }
        self.replies - before
    }

    fn complete(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Reply { .. } => {
                self.replies += 1;
                None
            }
            Effect::Append(id, append) => {
                std::hint::black_box(&append);
                Some(Input::Appended(id, Completion::Done(())))
            }
            Effect::Lease { effect, wallets, .. } => {
                Some(Input::Leased(effect, Completion::Done(vec![true; wallets.len()])))
            }
            Effect::Load(id, loads) => {
                let none = || Loaded { snapshot: None, events: Vec::new() };
                Some(Input::Loaded(id, Completion::Done(loads.iter().map(|_| none()).collect())))
            }
            Effect::Reserve(id, items) => {
                Some(Input::Reserved(id, Completion::Done(vec![Reservation::New; items.len()])))
            }
            other => unreachable!("not an effect of the command machine: {other:?}"),
        }
    }
}

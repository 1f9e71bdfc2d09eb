//! A node whose effects are answered at once: what remains is the cost of the command machine.
//!
//! All in memory, on one thread, at one moment: appends are done, leases granted, keys new, and no wallet is in the
//! store. An effect of any other kind stops the bench; [`crate::topic`] has those of the pipeline.

use wallex_core::command::Request;
use wallex_core::config::Config;
use wallex_core::effect::{Completion, Effect, Input, Loaded, Reservation};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;

use crate::requests::Requests;

/// A node with wallets in it, and the requests to feed it.
pub struct Machine {
    node: Node,
    now: Timestamp,
    requests: Requests,
    replies: u64,
}

impl Machine {
    /// A node with `count` wallets of a million dollars each.
    #[must_use]
    pub fn with_wallets(count: usize) -> Self {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let mut machine =
            Self { node: Node::new(Config::default(), now), now, requests: Requests::over(count), replies: 0 };
        for at in 0..count {
            let create = machine.requests.create(now, at);
            machine.node.handle(now, Input::Submit(create));
            if at % 1_000 == 999 {
                machine.drain();
            }
        }
        machine.drain();
        machine
    }

    /// Transfers of one cent between wallets that `pairs` gives by number.
    pub fn transfers(&mut self, pairs: &[(usize, usize)]) -> Vec<Request> {
        pairs.iter().map(|pair| self.requests.transfer(self.now, *pair)).collect()
    }

    /// The same, each under an idempotency key of its own.
    pub fn keyed_transfers(&mut self, pairs: &[(usize, usize)]) -> Vec<Request> {
        let keyed = |pair: &(usize, usize)| {
            let request = self.requests.transfer(self.now, *pair);
            self.requests.keyed(request)
        };
        pairs.iter().map(keyed).collect()
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

    // A bench answers what it knows and stops at anything else.
    #[allow(clippy::wildcard_enum_match_arm)]
    fn complete(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Reply { answer, .. } => {
                std::hint::black_box(&answer);
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

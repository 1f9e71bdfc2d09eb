//! What a state costs: how large it is, and how long it keeps the thread of a node, for so many wallets in its cache.
//!
//! ```sh
//! cargo run --release -p wallex-recording --example state
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, Instant};

use wallex_core::command::{Request, Work};
use wallex_core::config::Config;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input, Loaded};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::Money;
use wallex_core::node::Node;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Operation};

const ROUNDS: usize = 9;
/// Commands handed over before the effects are drained.
const AT_ONCE: u64 = 256;
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn create(number: u64) -> Request {
    let currency = Currency::parse("USD").unwrap();
    let wallet_id = WalletId::parse(&format!("wallet-{number:08}")).unwrap();
    let owner_id = OwnerId::parse(&format!("owner-{number:08}")).unwrap();
    let initial_balance = Money::from_minor_units(10_000 + number as i64, currency);
    Request {
        id: RequestId(number + 1),
        command_id: CommandId::new(START, number),
        correlation_id: CorrelationId::parse(&format!("request-{number}")).unwrap(),
        trace_parent: None,
        idempotency: None,
        if_match: None,
        work: Work::One(Operation::Create(Create { wallet_id, owner_id, currency, initial_balance })),
    }
}

/// A node with this many wallets in its cache, over stores where everything works at once.
fn node(wallets: u64) -> Node {
    let mut node = Node::new(Config { leases: false, ..Config::default() }, START);
    for number in 0..wallets {
        node.handle(START, Input::Submit(create(number)));
        if (number + 1) % AT_ONCE != 0 && number + 1 != wallets {
            continue;
        }
        while let Some(effect) = node.poll_effect() {
            match effect {
                Effect::Load(id, loads) => {
                    let nothing = |_| Loaded { snapshot: None, events: Vec::new() };
                    let loaded = loads.into_iter().map(nothing).collect();
                    node.handle(START, Input::Loaded(id, Completion::Done(loaded)));
                }
                Effect::Append(id, _) => node.handle(START, Input::Appended(id, Completion::Done(()))),
                _ => {}
            }
        }
    }
    assert_eq!(node.commands().wallets_cached() as u64, wallets);
    node
}

fn median(mut measure: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            measure();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[ROUNDS / 2]
}

fn main() {
    for wallets in [0, 1_000, 100_000] {
        let node = node(wallets);
        let json = serde_json::to_vec(&node).unwrap();
        let written = median(|| drop(serde_json::to_vec(&node).unwrap()));
        let read = median(|| drop(serde_json::from_slice::<Node>(&json).unwrap()));
        println!(
            "{wallets:>7} wallets  {:>8.1} KiB  written in {:>7.2} ms  read in {:>7.2} ms (medians of {ROUNDS})",
            json.len() as f64 / 1024.0,
            written.as_secs_f64() * 1e3,
            read.as_secs_f64() * 1e3,
        );
    }
}

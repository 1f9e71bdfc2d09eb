//! Random commands one after the other, without faults: the books say beforehand what each of them comes to, to the
//! digit, the version and the code of the refusal (INV-01, 02, 03, 05).

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::books::{BALANCE_MAX, Books, Coin, Job, Key, Order, Outcome, Reply, Shown, Sum};
use super::world::*;
use crate::command::{Answer, Request, Success, Work};
use crate::config::Config;
use crate::currency::Currency;
use crate::id::{OwnerId, Version};
use crate::money::{Amount, Money};
use crate::node_twin::Twin as Node;
use crate::wallet::{Create, Credit, Debit, IfMatch, Operation, Rejection, Transfer, Wallet};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The largest amount of a request, in thousandths.
const AMOUNT_MAX: Sum = 1_000_000_000_000_000;

#[derive(Clone, Debug)]
struct Step {
    instance: Instance,
    command: Command,
}

/// Which instance gets the command.
#[derive(Clone, Copy, Debug)]
enum Instance {
    Same,
    /// The same one, after a restart.
    Restarted,
    /// Another one over the same stores, where there may be another.
    Other,
}

#[derive(Clone, Debug)]
enum Command {
    /// A single operation; `If-Match` lies this far from the version that the wallet has.
    One(Order, Option<i64>, Option<u8>),
    Batch(Vec<Order>, bool, Option<u8>),
    /// The n-th request that had a key, once more.
    Again(usize),
}

/// The books beside the requests that may come again.
#[derive(Default)]
struct Client {
    books: Books,
    keyed: Vec<(Job, Key)>,
}

fn order() -> impl Strategy<Value = Order> {
    let name = || prop::sample::select(&NAMES[..]);
    let coin = prop_oneof![8 => Just(Coin::Usd), 1 => Just(Coin::Jpy), 1 => Just(Coin::Bhd)];
    let balance = prop_oneof![6 => 0..200_000_i64, 2 => BALANCE_MAX - 50_000..=BALANCE_MAX];
    let amount = || {
        prop_oneof![
            6 => (1..100_i64).prop_map(|units| units * 1_000),
            6 => (1..10_000_i64).prop_map(|cents| cents * 10),
            1 => 1..100_000_i64,
            1 => Just(AMOUNT_MAX),
        ]
    };
    prop_oneof![
        3 => (name(), coin, balance).prop_map(|(name, coin, balance)| {
            Order::Create { name, coin, balance: balance - balance % coin.step() }
        }),
        3 => (name(), amount()).prop_map(|(name, amount)| Order::Credit { name, amount }),
        3 => (name(), amount()).prop_map(|(name, amount)| Order::Debit { name, amount }),
        5 => (name(), name(), amount()).prop_map(|(from, to, amount)| Order::Transfer { from, to, amount }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::option::weighted(0.4, 0_u8..10);
    let if_match = prop::option::weighted(0.3, prop::sample::select(&[0_i64, 0, 0, -1, 1][..]));
    let command = prop_oneof![
        8 => (order(), if_match, key()).prop_map(|(order, if_match, key)| Command::One(order, if_match, key)),
        3 => (prop::collection::vec(order(), 1..5), any::<bool>(), key())
            .prop_map(|(orders, atomic, key)| Command::Batch(orders, atomic, key)),
        3 => any::<usize>().prop_map(Command::Again),
    ];
    let instance = prop_oneof![
        6 => Just(Instance::Same), 1 => Just(Instance::Restarted), 3 => Just(Instance::Other),
    ];
    (instance, command).prop_map(|(instance, command)| Step { instance, command })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80)
}

impl Client {
    /// What a step sends. A new request has a payload of its own, whatever key it takes.
    fn next(&mut self, number: usize, command: Command) -> Option<(Job, Option<Key>)> {
        let payload = number as u8;
        let (job, name) = match command {
            Command::One(order, if_match, key) => {
                let has_one = !matches!(order, Order::Create { .. });
                let version = self.books.version(order.subject());
                let if_match = if_match.filter(|_| has_one).map(|away| version.saturating_add_signed(away));
                (Job::One { order, if_match }, key)
            }
            Command::Batch(orders, atomic, key) => (Job::Batch { orders, atomic }, key),
            Command::Again(at) => {
                let (job, key) = self.keyed.get(at % self.keyed.len().max(1))?;
                return Some((job.clone(), Some(*key)));
            }
        };
        let key = name.map(|name| Key { name, payload });
        self.keyed.extend(key.map(|key| (job.clone(), key)));
        Some((job, key))
    }
}

fn operation(order: &Order) -> Operation {
    let amount = |sum: Sum| Amount::parse(&Coin::Bhd.digits(sum)).unwrap();
    match *order {
        Order::Create { name, coin, balance } => {
            let currency = Currency::parse(coin.code()).unwrap();
            Operation::Create(Create {
                wallet_id: wallet(name),
                owner_id: OwnerId::parse("owner").unwrap(),
                currency,
                initial_balance: Money::parse(&coin.digits(balance), currency).unwrap(),
            })
        }
        Order::Credit { name, amount: sum } => {
            Operation::Credit(Credit { wallet_id: wallet(name), amount: amount(sum), description: None })
        }
        Order::Debit { name, amount: sum } => {
            Operation::Debit(Debit { wallet_id: wallet(name), amount: amount(sum), description: None })
        }
        Order::Transfer { from, to, amount: sum } => {
            Operation::Transfer(Transfer { from: wallet(from), to: wallet(to), amount: amount(sum), description: None })
        }
    }
}

fn request(world: &mut World, job: &Job, own: Option<Key>) -> Request {
    let (work, if_match) = match job {
        Job::One { order, if_match } => {
            (Work::One(operation(order)), if_match.map(|version| IfMatch::Version(Version(version))))
        }
        Job::Batch { orders, atomic } => {
            (Work::Batch { operations: orders.iter().map(operation).collect(), atomic: *atomic }, None)
        }
    };
    let idempotency = own.map(|own| key(&format!("k{}", own.name), own.payload));
    Request { if_match, idempotency, ..world.request(work) }
}

fn shown(wallet: &Wallet) -> Shown {
    let (name, coin) = (wallet.id.to_string(), wallet.currency.code().to_owned());
    Shown { name, coin, balance: wallet.balance.to_string(), version: wallet.version.0 }
}

fn outcome(outcome: &Result<Success, Rejection>) -> Outcome {
    match outcome {
        Ok(Success::Wallet(wallet)) => Outcome::Wallet(shown(wallet)),
        Ok(Success::Transfer { from, to, .. }) => Outcome::Transfer(shown(from), shown(to)),
        Ok(Success::Batch(results)) => Outcome::Batch(results.iter().map(self::outcome).collect()),
        Err(Rejection::Batch { refused }) => {
            Outcome::RefusedBatch(refused.iter().map(|one| (one.index, one.rejection.code())).collect())
        }
        Err(rejection) => Outcome::Refused(rejection.code()),
    }
}

fn reply(answer: &Answer) -> Reply {
    match answer {
        Answer::Final { answer, replayed } => {
            let decided_by = answer.correlation_id.as_str().to_owned();
            Reply::Final { outcome: outcome(&answer.outcome), replayed: *replayed, decided_by }
        }
        Answer::KeyReused => Reply::KeyReused,
        other => panic!("nothing is at fault, and nothing else runs: {other:?}"),
    }
}

/// What the event store holds: as many events as the version says, and the balance after the last one.
fn stored(world: &World) -> Vec<Shown> {
    let stored = world.streams.iter().map(|(name, stream)| {
        let last = stream.last().unwrap();
        let (name, coin) = (name.to_string(), last.currency.code().to_owned());
        Shown { name, coin, balance: last.balance.to_string(), version: stream.len() as u64 }
    });
    stored.collect()
}

fn run(config: &Config, steps: Vec<Step>) {
    let mut world = World::new(config.clone());
    let mut other = Node::new(config.clone(), world.now);
    let mut client = Client::default();
    for (number, step) in steps.into_iter().enumerate() {
        let Some((job, key)) = client.next(number, step.command) else { continue };
        match step.instance {
            Instance::Other if !config.sole_writer => std::mem::swap(&mut world.node, &mut other),
            Instance::Restarted => world.restart(config.clone()),
            Instance::Same | Instance::Other => {}
        }
        let request = request(&mut world, &job, key);
        let expected = client.books.expect(request.correlation_id.as_str(), &job, key);
        let request = world.submit_request(request);
        world.settle();
        assert_eq!(reply(world.answer(request)), expected, "{job:?} with {key:?}");
        assert_eq!(stored(&world), client.books.wallets(), "after {job:?} with {key:?}");
    }
    assert_eq!(world.node.commands().commands_pending(), 0);
}

/// The names of everything that an outcome is made of.
fn kinds(outcome: &Outcome, met: &mut BTreeSet<&'static str>) {
    match outcome {
        Outcome::Wallet(_) => drop(met.insert("wallet")),
        Outcome::Transfer(..) => drop(met.insert("transfer")),
        Outcome::Batch(results) => {
            met.insert("batch");
            results.iter().for_each(|result| kinds(result, met));
        }
        Outcome::Refused(code) => drop(met.insert(code)),
        Outcome::RefusedBatch(_) => drop(met.insert("batch-refused")),
    }
}

#[test]
fn the_commands_that_are_drawn_meet_every_answer_that_there_is() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..100 {
        let mut client = Client::default();
        for (number, step) in steps().new_tree(&mut runner).unwrap().current().into_iter().enumerate() {
            let Some((job, key)) = client.next(number, step.command) else { continue };
            match client.books.expect("r", &job, key) {
                Reply::KeyReused => drop(met.insert("idempotency-key-reused")),
                Reply::Final { replayed: true, .. } => drop(met.insert("replayed")),
                Reply::Final { outcome, replayed: false, .. } => kinds(&outcome, &mut met),
            }
        }
    }
    let all = [
        "balance-limit",
        "batch",
        "batch-refused",
        "currency-mismatch",
        "idempotency-key-reused",
        "insufficient-funds",
        "replayed",
        "same-wallet",
        "transfer",
        "validation-failed",
        "version-mismatch",
        "wallet",
        "wallet-exists",
        "wallet-not-found",
    ];
    assert_eq!(met.into_iter().collect::<Vec<_>>(), all);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_the_books_say_embedded(steps in steps()) {
        run(&embedded(), steps);
    }

    #[test]
    fn every_answer_is_what_the_books_say_with_several_instances(steps in steps()) {
        run(&shared(), steps);
    }

    #[test]
    fn every_answer_is_what_the_books_say_with_leases_and_hardly_any_cache(steps in steps()) {
        run(&Config { leases: true, wallets_cached_max: 1, ..shared() }, steps);
    }
}

//! One run of one seed: clients that submit, a node that decides, tasks that complete its effects late and repeatedly.
//!
//! Owns the madsim runtime of the run. Each run has an operating system thread of its own, because hash keys and random
//! generators of the standard library live as long as their thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use madsim::rand::Rng;
use madsim::runtime::Runtime;
use madsim::time::Instant;
use tokio::sync::mpsc;
use wallex_core::command::{Answer, Request, Work};
use wallex_core::config::Config;
use wallex_core::currency::Currency;
use wallex_core::effect::{Effect, Input};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Credit, Debit, Operation, Transfer};

use crate::store::Store;
use crate::trace::{Head, Kind, Note, Trace};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Commands that the clients submit.
    pub commands: u64,
    /// Whether the report contains the trace itself.
    pub keep_trace: bool,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// SHA-256 over every input and effect, in hexadecimal.
    pub trace_hash: String,
    /// Inputs and effects.
    pub steps: u64,
    /// Commands that were done.
    pub done: u64,
    /// Commands that the domain refused.
    pub refused: u64,
    /// Events in the store.
    pub events: usize,
    /// Money in the store, in minor units.
    pub money: i128,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// The trace, when it was asked for.
    pub trace: Vec<String>,
}

const WALLETS: u64 = 8;
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// Runs one seed, on a thread of its own.
///
/// # Panics
/// When the run itself panics: an assertion in the core has found something.
#[must_use]
pub fn run(options: Options) -> Report {
    let run = std::thread::spawn(move || {
        let runtime = Runtime::with_seed_and_config(options.seed, madsim::Config::default());
        runtime.block_on(simulate(options))
    });
    match run.join() {
        Ok(report) => report,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn simulate(options: Options) -> Report {
    let began = Instant::now();
    let now = || START.plus(began.elapsed());
    let trace = if options.keep_trace { Trace::keeping() } else { Trace::default() };
    let (inputs, incoming) = mpsc::unbounded_channel();
    let store = Arc::new(Mutex::new(Store::default()));
    madsim::task::spawn(clients(inputs.clone(), options.commands, began));
    let mut world = World {
        node: Node::new(Config { hash_seed: options.seed, ..Config::default() }, now()),
        store: Arc::clone(&store),
        inputs,
        incoming,
        trace,
        done: 0,
        refused: 0,
    };
    while world.done + world.refused < options.commands {
        let wait = world.node.poll_timeout().map_or(Duration::from_secs(1), |(at, _)| at.since(now()));
        tokio::select! {
            biased;
            Some(input) = world.incoming.recv() => {
                record(&mut world.trace, now(), Kind::Input, &input);
                world.node.handle(now(), input);
            }
            () = madsim::time::sleep(wait) => world.node.handle_timeout(now()),
        }
        world.drain(now());
    }
    let (steps, trace_hash) = (world.trace.steps(), world.trace.hash());
    let trace = world.trace.into_records().into_iter().map(|record| record.note.text).collect();
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    Report {
        trace_hash,
        steps,
        done: world.done,
        refused: world.refused,
        events: store.events(),
        money: store.money(),
        virtual_time: began.elapsed(),
        trace,
    }
}

struct World {
    node: Node,
    store: Arc<Mutex<Store>>,
    inputs: mpsc::UnboundedSender<Input>,
    incoming: mpsc::UnboundedReceiver<Input>,
    trace: Trace,
    done: u64,
    refused: u64,
}

impl World {
    fn drain(&mut self, now: Timestamp) {
        while let Some(effect) = self.node.poll_effect() {
            record(&mut self.trace, now, Kind::Effect, &effect);
            let Effect::Reply { answer, .. } = effect else {
                self.start(effect);
                continue;
            };
            match answer {
                Answer::Final { answer, .. } if answer.outcome.is_ok() => self.done += 1,
                Answer::Final { .. } => self.refused += 1,
                Answer::InFlight | Answer::KeyReused | Answer::Unavailable(_) | Answer::OutcomeUnknown => {
                    unreachable!("nothing fails in this world: {answer:?}")
                }
            }
        }
    }

    /// Completes an effect after a while; now and then the completion comes twice.
    fn start(&self, effect: Effect) {
        let (store, inputs) = (Arc::clone(&self.store), self.inputs.clone());
        madsim::task::spawn(async move {
            pause(200..3_000).await;
            let input = store.lock().unwrap_or_else(PoisonError::into_inner).perform(effect);
            pause(200..3_000).await;
            let Some(input) = input else { return };
            let again = madsim::rand::thread_rng().gen_bool(0.1).then(|| input.clone());
            // The run may be over: then nobody listens.
            let _over = inputs.send(input);
            if let Some(again) = again {
                pause(1..20_000).await;
                let _over = inputs.send(again);
            }
        });
    }
}

fn record(trace: &mut Trace, at: Timestamp, kind: Kind, what: &impl serde::Serialize) {
    let note = || Note { text: serde_json::to_string(what).unwrap_or_default(), ..Note::default() };
    trace.record(Head { at, lane: 0, kind, peer: None, message: 0 }, what, note);
}

async fn pause(micros: std::ops::Range<u64>) {
    let micros = madsim::rand::thread_rng().gen_range(micros);
    madsim::time::sleep(Duration::from_micros(micros)).await;
}

/// Creates the wallets, then submits random operations on them.
async fn clients(inputs: mpsc::UnboundedSender<Input>, commands: u64, began: Instant) {
    for number in 0..commands {
        let operation = if number < WALLETS { creation(number) } else { random_operation() };
        let now = START.plus(began.elapsed());
        let request = Request {
            id: RequestId(number),
            command_id: CommandId::new(now, madsim::rand::thread_rng().r#gen()),
            correlation_id: CorrelationId::parse(&format!("client-{number}")).expect("well-formed"),
            trace_parent: None,
            idempotency: None,
            if_match: None,
            work: Work::One(operation),
        };
        let _over = inputs.send(Input::Submit(request));
        pause(1..2_000).await;
    }
}

fn wallet(number: u64) -> WalletId {
    WalletId::parse(&format!("wallet-{number}")).expect("well-formed")
}

fn creation(number: u64) -> Operation {
    let currency = Currency::parse("USD").expect("listed");
    Operation::Create(Create {
        wallet_id: wallet(number),
        owner_id: OwnerId::parse("owner").expect("well-formed"),
        currency,
        initial_balance: Money::parse("100", currency).expect("in range"),
    })
}

fn random_operation() -> Operation {
    let mut random = madsim::rand::thread_rng();
    let (from, to) = (random.gen_range(0..WALLETS), random.gen_range(0..WALLETS - 1));
    let amount = Amount::parse(&random.gen_range(1..60).to_string()).expect("in range");
    let description = None;
    match random.gen_range(0..4) {
        0 => Operation::Credit(Credit { wallet_id: wallet(from), amount, description }),
        1 => Operation::Debit(Debit { wallet_id: wallet(from), amount, description }),
        _ => Operation::Transfer(Transfer {
            from: wallet(from),
            to: wallet((from + 1 + to) % WALLETS),
            amount,
            description,
        }),
    }
}

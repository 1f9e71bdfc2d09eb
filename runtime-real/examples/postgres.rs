//! Measures the Postgres database: outbox and projections in batches, idempotency keys from many commands at once.
//!
//! ```text
//! cargo run --release --example postgres -- postgres://user@host:port/EMPTY_DATABASE [TRANSFERS] [BATCH EVENTS]
//! ```
//!
//! Prints rows per second of each kind of transaction, and reservations with their answers per second for 1, 8 and 64
//! concurrent batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallex::database::{PostgresDatabase, PostgresOptions};
use wallex_contracts::database::{Log, at, changes, entries};
use wallex_core::command::{FinalAnswer, Fingerprint, Idempotency, KeyHash};
use wallex_core::effect::{Completion, Effect, Input, KeyRecord, Reserve};
use wallex_core::id::{CommandId, CorrelationId, EffectId, Position, WalletId};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, Projection};
use wallex_core::wallet::Rejection;

const EFFECT: EffectId = EffectId(1);
const WALLETS: usize = 1_000;
/// How long keys are measured for, at each concurrency.
const KEYS_FOR: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().expect("the URL of an empty database");
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (transfers, batch) = (number(20_000), number(2_000));
    let options = PostgresOptions::parse(&url).expect("a URL").connections_max(32);
    let database = PostgresDatabase::connect(&options).await.expect("a migrated database");
    pipeline(&database, &log(transfers), batch).await;
    for concurrency in [1, 8, 64] {
        keys(&database, concurrency).await;
    }
    database.close().await;
}

fn log(transfers: usize) -> Log {
    let mut log = Log::default();
    for number in 0..WALLETS {
        log.create(&format!("01a3185c-507b-7000-bfff-{:012x}", number * 7_919), 1_000_000);
    }
    let names: Vec<String> = log.wallets.keys().map(ToString::to_string).collect();
    for number in 0..transfers {
        let (from, to) = (number * 31 % WALLETS, (number * 17 + 1) % WALLETS);
        log.transfer(&names[from], &names[if from == to { (to + 1) % WALLETS } else { to }], 1);
    }
    log
}

#[allow(clippy::print_stdout, reason = "a measurement prints its result")]
async fn pipeline(database: &PostgresDatabase, log: &Log, batch: usize) {
    let mut spent: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut position = Position(0);
    for rows in log.rows.chunks(batch) {
        let end = rows.last().map_or(position, |row| row.position);
        let events = Arc::new(rows.to_vec());
        let write = Effect::WriteOutbox { effect: EFFECT, expected: position, events, checkpoint: end };
        let mark = Effect::MarkPublished {
            effect: EFFECT,
            expected: position,
            checkpoint: end,
            at: at(0),
            held: Vec::new(),
            released: Vec::new(),
        };
        for (name, effect) in [
            ("WriteOutbox", write),
            ("MarkPublished", mark),
            ("Project read model", project(Consumer::ReadModel, Projection::ReadModel(changes(rows)), position, end)),
            ("Project ledger", project(Consumer::Ledger, Projection::Ledger(entries(rows)), position, end)),
        ] {
            let began = Instant::now();
            let input = database.perform(effect).await;
            *spent.entry(name).or_default() += began.elapsed();
            let done = matches!(
                input,
                Some(
                    Input::OutboxWritten(_, Completion::Done(()))
                        | Input::PublishedMarked(_, Completion::Done(()))
                        | Input::Projected(_, Completion::Done(()))
                )
            );
            assert!(done, "{input:?}");
        }
        position = end;
    }
    for (name, spent) in spent {
        let rate = log.rows.len() as f64 / spent.as_secs_f64();
        println!("{name}: {rate:.0} events/s ({} events in batches of {batch})", log.rows.len());
    }
}

/// A projection that moves the checkpoints of all partitions, to the position for want of a broker's offsets.
fn project(consumer: Consumer, changes: Projection, before: Position, end: Position) -> Effect {
    Effect::Project {
        effect: EFFECT,
        consumer,
        changes,
        checkpoints: (0..PARTITIONS).map(|partition| (partition, before.0, end.0)).collect(),
        held: Vec::new(),
        released: Vec::new(),
        at: at(0),
    }
}

/// Reserves and answers keys, eight at a time, as a group of commands does.
#[allow(clippy::print_stdout, reason = "a measurement prints its result")]
async fn keys(database: &PostgresDatabase, concurrency: u64) {
    const AT_ONCE: u64 = 8;
    let began = Instant::now();
    let tasks: Vec<_> = (0..concurrency)
        .map(|task| {
            let database = database.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while began.elapsed() < KEYS_FOR {
                    let mine: Vec<u64> =
                        (0..AT_ONCE).map(|one| concurrency << 48 | task << 32 | (number + one)).collect();
                    reserve_and_answer(&database, &mine).await;
                    number += AT_ONCE;
                }
                number
            })
        })
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await.expect("no panic");
    }
    let rate = answered as f64 / began.elapsed().as_secs_f64();
    println!("Reserve + StoreAnswers: {rate:.0} keys/s ({AT_ONCE} at once, {concurrency} batches in flight)");
}

async fn reserve_and_answer(database: &PostgresDatabase, numbers: &[u64]) {
    let refused = Rejection::SameWallet { wallet_id: WalletId::parse("alice").expect("an id") };
    let correlation_id = CorrelationId::parse("request").expect("an id");
    let answer = FinalAnswer { outcome: Err(refused), correlation_id };
    let idempotency = |number: &u64| {
        // Keys are hashes: spread them.
        let spread = u128::from(*number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Idempotency { key: KeyHash(spread.to_be_bytes()), fingerprint: Fingerprint([7; 16]) }
    };
    let items = numbers.iter().map(|number| Reserve {
        idempotency: idempotency(number),
        command_id: CommandId::new(at(0), *number),
        dead_after: Duration::from_secs(30),
        kept_for: Duration::from_secs(86_400),
    });
    let found = database.perform(Effect::Reserve(EFFECT, items.collect())).await;
    assert!(matches!(found, Some(Input::Reserved(_, Completion::Done(_)))), "{found:?}");
    let records = numbers.iter().map(|number| KeyRecord {
        idempotency: idempotency(number),
        command_id: CommandId::new(at(0), *number),
        expires_at: at(86_400),
        held_by: None,
        answer: answer.clone(),
    });
    let stored = database.perform(Effect::StoreAnswers(EFFECT, records.collect())).await;
    assert!(matches!(stored, Some(Input::AnswersStored(_, Completion::Done(())))), "{stored:?}");
}

//! Several instances on one database: exactly one wins, nobody deadlocks, and what has expired goes.

use std::collections::BTreeMap;
use std::time::Duration;

use wallex::database::PostgresDatabase;
use wallex_contracts::database::{Log, at, changes, entries};
use wallex_core::command::{FinalAnswer, Fingerprint, Idempotency, KeyHash};
use wallex_core::effect::{Completion, Effect, Input, KeyRecord, Reservation, Reserve};
use wallex_core::id::{CommandId, CorrelationId, WalletId};
use wallex_core::projector::{Consumer, Projection, partition_of};
use wallex_core::wallet::Rejection;

use super::pipeline::{EFFECT, feeder, project, write};
use super::server::TestDatabase;

pub(crate) fn key(number: u64) -> Idempotency {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Idempotency { key: KeyHash(bytes), fingerprint: Fingerprint(bytes) }
}

/// Longer than a test takes, and less than a day.
const LONG: Duration = Duration::from_secs(3_600);

pub(crate) fn attempt(number: u64, command: u64) -> Reserve {
    Reserve { idempotency: key(number), command_id: CommandId::new(at(0), command), dead_after: LONG, kept_for: LONG }
}

/// An attempt to which every other one is dead.
fn late(number: u64, command: u64) -> Reserve {
    Reserve { dead_after: Duration::ZERO, ..attempt(number, command) }
}

/// An attempt whose record has expired as soon as it is there.
fn fleeting(number: u64, command: u64) -> Reserve {
    Reserve { kept_for: Duration::ZERO, ..attempt(number, command) }
}

fn record(number: u64, command: u64) -> KeyRecord {
    let refused = Rejection::SameWallet { wallet_id: WalletId::parse("alice").expect("an id") };
    KeyRecord {
        idempotency: key(number),
        command_id: CommandId::new(at(0), command),
        expires_at: wallex::driver::now().plus(LONG),
        held_by: None,
        answer: FinalAnswer { outcome: Err(refused), correlation_id: CorrelationId::parse("request").expect("an id") },
    }
}

async fn reserve(database: &PostgresDatabase, items: Vec<Reserve>) -> Vec<Reservation> {
    match database.perform(Effect::Reserve(EFFECT, items)).await {
        Some(Input::Reserved(EFFECT, Completion::Done(found))) => found,
        other => panic!("{other:?}"),
    }
}

/// Every attempt so far began a day ago.
async fn age(test: &TestDatabase) {
    let update = "UPDATE idempotency_keys SET attempted_us = attempted_us - 86400000000";
    sqlx::query(update).execute(&mut test.sql().await).await.expect("an update");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_instances_one_reserves_a_key_and_one_takes_it_over() {
    let test = TestDatabase::create().await;
    let (one, two) = (test.instance().await, test.instance().await);
    for number in 0..40 {
        let race = async |mine: Reserve, yours: Reserve| {
            let (one, two) = (one.clone(), two.clone());
            let one = tokio::spawn(async move { reserve(&one, vec![mine]).await });
            let two = tokio::spawn(async move { reserve(&two, vec![yours]).await });
            [one.await.expect("no panic").remove(0), two.await.expect("no panic").remove(0)]
        };
        let first = race(attempt(number, 10), attempt(number, 11)).await;
        assert_eq!(first.iter().filter(|found| **found == Reservation::New).count(), 1, "{first:?}");
        age(&test).await;
        let second = race(attempt(number, 20), attempt(number, 21)).await;
        let taken = second.iter().filter(|found| matches!(found, Reservation::TakenOver { .. })).count();
        assert_eq!(taken, 1, "{second:?}");
        let expired = 1_000 + number;
        assert_eq!(reserve(&one, vec![fleeting(expired, 29)]).await, [Reservation::New]);
        let third = race(attempt(expired, 30), attempt(expired, 31)).await;
        assert_eq!(third.iter().filter(|found| **found == Reservation::New).count(), 1, "{third:?}");
        for found in [first, second, third].iter().flatten() {
            assert!(!matches!(found, Reservation::Finished { .. }), "{found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_feeders_one_writes_and_the_other_meets_a_conflict() {
    let test = TestDatabase::create().await;
    let (one, two) = (test.instance().await, test.instance().await);
    let mut log = Log::default();
    log.create("alice", 1_000);
    for _ in 0..20 {
        log.credit("alice", 1);
    }
    let mut before = 0;
    for row in &log.rows {
        let race = |database: &PostgresDatabase| {
            let (database, rows) = (database.clone(), vec![row.clone()]);
            tokio::spawn(async move { write(&database, before, &rows).await })
        };
        let (first, second) = (race(&one), race(&two));
        let mut ended = [first.await.expect("no panic"), second.await.expect("no panic")];
        ended.sort_by_key(|completion| *completion != Completion::Done(()));
        assert_eq!(ended, [Completion::Done(()), Completion::Conflict]);
        before = row.position.0;
        assert_eq!(feeder(&one).await, Completion::Done(row.position));
    }
}

/// Batches of overlapping keys in different orders, and projections of overlapping partitions, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_of_the_same_rows_do_not_deadlock() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let mut log = Log::default();
    for number in 0..40 {
        log.create(&format!("wallet-{number}"), 100);
    }
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
    let mut writers = Vec::new();
    for writer in 0..8_u64 {
        let (database, rows) = (test.instance().await, log.rows.clone());
        writers.push(tokio::spawn(async move {
            for round in 0..12_u64 {
                use_keys(&database, writer, round).await;
            }
            let consumer = if writer.is_multiple_of(2) { Consumer::ReadModel } else { Consumer::Ledger };
            let mut won = 0;
            for row in &rows {
                // Two partitions at once, in either order.
                let (mine, other) = (partition_of(&row.event.wallet_id), (writer % 10) as u16);
                let mut checkpoints: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
                checkpoints.insert(other, (0, 0));
                checkpoints.insert(mine, (0, 0));
                let mut moves: Vec<_> =
                    checkpoints.into_iter().map(|(partition, (from, to))| (partition, from, to)).collect();
                if writer.is_multiple_of(3) {
                    moves.reverse();
                }
                let one = std::slice::from_ref(row);
                let rows = match consumer {
                    Consumer::ReadModel => Projection::ReadModel(changes(one)),
                    Consumer::Ledger | Consumer::Relay => Projection::Ledger(entries(one)),
                };
                match project(&database, consumer, rows, moves, Vec::new()).await {
                    Completion::Done(()) => won += 1,
                    // The row is there: another writer of this consumer was faster.
                    Completion::Failed(failure) => assert!(failure.reason.contains("already"), "{failure:?}"),
                    other @ (Completion::Conflict | Completion::Unknown) => panic!("{other:?}"),
                }
            }
            (consumer, won)
        }));
    }
    let mut won: BTreeMap<Consumer, usize> = BTreeMap::new();
    for writer in writers {
        let (consumer, rows) = writer.await.expect("no panic");
        *won.entry(consumer).or_default() += rows;
    }
    assert_eq!(won, BTreeMap::from([(Consumer::ReadModel, 40), (Consumer::Ledger, 40)]));
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut test.sql().await)
            .await
            .expect("statistics of the server");
    assert_eq!(deadlocks, 0);
}

/// Twenty keys that other writers use too, through everything that can be done with them.
async fn use_keys(database: &PostgresDatabase, writer: u64, round: u64) {
    let mut numbers: Vec<u64> = (0..20).map(|step| (step * 7 + writer * 3 + round) % 60).collect();
    if writer.is_multiple_of(2) {
        numbers.reverse();
    }
    // Some take over or renew what others have just reserved.
    let kind = [attempt, late, fleeting][((round + writer) % 3) as usize];
    let items = numbers.iter().map(|number| kind(*number, writer)).collect();
    let found = reserve(database, items).await;
    assert_eq!(found.len(), numbers.len());
    let records = numbers.iter().step_by(3).map(|number| record(*number, writer)).collect();
    let stored = database.perform(Effect::StoreAnswers(EFFECT, records)).await;
    assert_eq!(stored, Some(Input::AnswersStored(EFFECT, Completion::Done(()))));
    let released = numbers.iter().map(|number| (key(*number).key, CommandId::new(at(0), writer))).collect();
    assert_eq!(database.perform(Effect::ReleaseKeys(released)).await, None);
    assert!(matches!(database.delete_expired_keys(wallex::driver::now(), 10).await, Completion::Done(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_that_start_together_migrate_one_after_the_other() {
    let test = TestDatabase::create().await;
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let options = test.options();
            tokio::spawn(async move { PostgresDatabase::connect(&options).await })
        })
        .collect();
    for one in starting {
        let database = one.await.expect("no panic").expect("a migrated database");
        assert!(matches!(feeder(&database).await, Completion::Done(_)));
    }
}

#[tokio::test]
async fn expired_keys_are_deleted_in_batches_and_the_others_stay() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let old = (0..250).map(|number| fleeting(number, 1)).collect();
    reserve(&database, old).await;
    let new = (250..300).map(|number| attempt(number, 1)).collect();
    reserve(&database, new).await;
    let now = wallex::driver::now().plus(Duration::from_secs(60));
    for deleted in [100, 100, 50, 0] {
        assert_eq!(database.delete_expired_keys(now, 100).await, Completion::Done(deleted));
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys WHERE status = 'pending'")
        .fetch_one(&mut test.sql().await)
        .await
        .expect("a count");
    assert_eq!(left, 50);
}

//! What readers see, on the supported tables and through the service's queries.

use std::time::Duration;

use rust_decimal::Decimal;
use wallex::database::Queries;
use wallex::database::queries::{Cursor, CursorError, QueryError, TransactionFilter, WalletFilter};
use wallex_contracts::database::{Log, at, entries, id};
use wallex_core::effect::Completion;
use wallex_core::id::{OwnerId, Version};
use wallex_core::projector::{Consumer, DeadLetter, EntryKind, HeldEvent, LedgerEntry, Projection, partition_of};

use super::pipeline::{mark, project, take, take_all, write};
use super::server::{LONG, TestDatabase};

async fn all_wallets(queries: &Queries, filter: WalletFilter) -> Vec<String> {
    let (mut filter, mut ids) = (filter, Vec::new());
    loop {
        let page = queries.wallets(&filter).await.expect("a page");
        assert!(page.items.len() <= filter.limit);
        ids.extend(page.items.into_iter().map(|wallet| wallet.id.to_string()));
        match page.next {
            Some(next) => filter.after = Some(Cursor::decode(&next.encode()).expect("a cursor")),
            None => return ids,
        }
    }
}

async fn all_entries(queries: &Queries, wallet: &str, filter: TransactionFilter) -> Vec<LedgerEntry> {
    let (mut filter, mut entries) = (filter, Vec::new());
    loop {
        let page = queries.transactions(&id(wallet), &filter).await.expect("a page");
        entries.extend(page.items);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return entries,
        }
    }
}

fn long_log() -> Log {
    let mut log = Log::of_two();
    for minor in 1..20 {
        log.transfer("alice", "bob", minor);
        log.credit("bob", 3);
    }
    log
}

#[tokio::test]
async fn wallets_are_listed_in_order_of_creation_and_by_owner_and_balance() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let mut log = Log::default();
    for (name, minor) in [("z", 1_000), ("a", 999), ("m", 1_001), ("b", 0), ("c", 500_000)] {
        log.create(name, minor);
    }
    take_all(&database, &log, 0).await;
    let queries = database.queries();
    let list = async |owner: Option<&str>, min_balance: Option<Decimal>, max_balance: Option<Decimal>| {
        let owner_id = owner.map(|owner| OwnerId::parse(owner).expect("an id"));
        all_wallets(&queries, WalletFilter { owner_id, min_balance, max_balance, after: None, limit: 2 }).await
    };
    assert_eq!(list(None, None, None).await, ["z", "a", "m", "b", "c"]);
    assert_eq!(list(Some("owner"), None, None).await, ["z", "a", "m", "b", "c"]);
    assert_eq!(list(Some("nobody"), None, None).await, [""; 0]);
    assert_eq!(list(None, Some(Decimal::TEN), None).await, ["z", "m", "c"]);
    assert_eq!(list(None, None, Some(Decimal::TEN)).await, ["z", "a", "b"]);
    assert_eq!(list(Some("owner"), Some(Decimal::TEN), Some(Decimal::TEN)).await, ["z"]);
    assert_eq!(list(None, Some(Decimal::MIN), Some(Decimal::MAX)).await.len(), 5);
    for name in ["z", "b"] {
        assert_eq!(queries.wallet(&id(name)).await.expect("an answer").as_ref(), log.wallets.get(&id(name)));
    }
    assert_eq!(queries.wallet(&id("nobody")).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_history_is_whole_in_both_orders_and_filtered() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let log = long_log();
    take_all(&database, &log, 0).await;
    let queries = database.queries();
    let mut bobs: Vec<LedgerEntry> = entries(&log.rows);
    bobs.retain(|entry| entry.wallet_id == id("bob"));
    let filter = TransactionFilter { limit: 7, ascending: true, ..TransactionFilter::default() };
    assert_eq!(all_entries(&queries, "bob", filter.clone()).await, bobs);
    for (kind, from, to) in [
        (Some(EntryKind::TransferIn), None, None),
        (Some(EntryKind::Create), None, None),
        (Some(EntryKind::Debit), None, None),
        (None, Some(at(10)), Some(at(30))),
        (Some(EntryKind::Credit), Some(at(20)), None),
    ] {
        let mut expected = bobs.clone();
        expected.retain(|entry| {
            kind.is_none_or(|kind| entry.kind == kind)
                && from.is_none_or(|from| entry.occurred_at >= from)
                && to.is_none_or(|to| entry.occurred_at < to)
        });
        let found = all_entries(&queries, "bob", TransactionFilter { kind, from, to, ..filter.clone() }).await;
        assert_eq!(found, expected, "{kind:?} {from:?} {to:?}");
    }
    bobs.reverse();
    let newest_first = TransactionFilter { limit: 11, ..TransactionFilter::default() };
    assert_eq!(all_entries(&queries, "bob", newest_first.clone()).await, bobs);
    let mut statement = queries.statement(&id("bob"), newest_first.clone());
    let mut streamed = Vec::new();
    while let Some(chunk) = statement.next_chunk().await.expect("a chunk") {
        streamed.extend(chunk);
    }
    assert_eq!(streamed, bobs);
    let cursor = queries.transactions(&id("bob"), &newest_first).await.expect("a page").next;
    let foreign = queries.transactions(&id("alice"), &TransactionFilter { after: cursor, ..newest_first }).await;
    assert!(matches!(foreign, Err(QueryError::Cursor(CursorError::Foreign))), "{foreign:?}");
}

#[tokio::test]
async fn a_reader_of_one_instance_sees_what_another_one_projects() {
    let test = TestDatabase::create().await;
    let (reads, projects) = (test.instance().await, test.instance().await);
    let mut log = Log::default();
    log.create("alice", 1_000);
    take_all(&projects, &log, 0).await;
    let queries = reads.queries();
    let wait = async |version: u64, timeout: Duration| {
        let found = queries.wait_for_version(&id("alice"), Version(version), timeout).await.expect("an answer");
        found.map(|wallet| wallet.version.0)
    };
    assert_eq!(wait(1, Duration::ZERO).await, Some(1));
    assert_eq!(wait(2, Duration::from_millis(50)).await, Some(1), "the time runs out");
    log.credit("alice", 1);
    log.credit("alice", 1);
    let project = take_all(&projects, &log, 1);
    let (second, third, also_third, ()) = tokio::join!(wait(2, LONG), wait(3, LONG), wait(3, LONG), project);
    assert_eq!((second, third, also_third), (Some(3), Some(3), Some(3)));
    let none = queries.wait_for_version(&id("nobody"), Version(1), Duration::from_millis(50)).await;
    assert_eq!(none.expect("an answer"), None);
}

#[tokio::test]
async fn statistics_count_what_each_consumer_has_not_passed() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let mut log = Log::default();
    for number in 0..8 {
        log.create(&format!("wallet-{number}"), 100);
    }
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
    assert_eq!(mark(&database, 0, log.row(5).position.0, Vec::new(), Vec::new()).await, Completion::Done(()));
    take(&database, Consumer::ReadModel, &log.rows[..6]).await;
    take(&database, Consumer::Ledger, &log.rows[..4]).await;
    let statistics = database.queries().statistics().await.expect("statistics");
    assert_eq!(statistics.outbox_filled, log.end());
    assert_eq!((statistics.outbox_lag_events, statistics.outbox_oldest), (2, Some(log.row(6).event.occurred_at)));
    let lag = |consumer| {
        let one = statistics.consumers.iter().find(|one| one.consumer == consumer).expect("every consumer");
        (one.lag_events, one.oldest)
    };
    assert_eq!(lag(Consumer::Relay), (2, Some(log.row(6).event.occurred_at)));
    assert_eq!(lag(Consumer::ReadModel), (2, Some(log.row(6).event.occurred_at)));
    assert_eq!(lag(Consumer::Ledger), (4, Some(log.row(4).event.occurred_at)));
    let dead = dead(Consumer::Ledger, &log, 4);
    let none = Projection::Ledger(Vec::new());
    assert_eq!(project(&database, Consumer::Ledger, none, Vec::new(), vec![dead]).await, Completion::Done(()));
    let statistics = database.queries().statistics().await.expect("statistics");
    let ledger = statistics.consumers.iter().find(|one| one.consumer == Consumer::Ledger).expect("every consumer");
    assert_eq!((ledger.lag_events, ledger.dead_letters, ledger.waiting), (3, 1, 0));
    assert_eq!(ledger.oldest, Some(log.row(5).event.occurred_at));
    assert_eq!(statistics.dead_letters, 1);
}

fn dead(consumer: Consumer, log: &Log, row: usize) -> HeldEvent {
    let row = log.row(row);
    HeldEvent {
        consumer,
        wallet_id: row.event.wallet_id.clone(),
        event_id: row.event.event_id,
        version: row.event.version,
        partition: partition_of(&row.event.wallet_id),
        offset: row.position.0,
        event: Some(row.event.clone()),
        dead: Some(DeadLetter { reason: "no\0 good".to_owned(), attempts: 8 }),
    }
}

#[tokio::test]
async fn only_rows_that_are_published_old_and_passed_by_everybody_leave_the_outbox() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let mut log = Log::default();
    for number in 0..6 {
        log.create(&format!("wallet-{number}"), 100);
    }
    let far = at(1_000_000);
    let delete = async |before, limit| database.delete_published_outbox(before, limit).await;
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
    assert_eq!(delete(far, 100).await, Completion::Done(0), "nothing is published");
    assert_eq!(mark(&database, 0, log.row(3).position.0, Vec::new(), Vec::new()).await, Completion::Done(()));
    assert_eq!(delete(far, 100).await, Completion::Done(0), "nobody has passed");
    take(&database, Consumer::ReadModel, &log.rows[..4]).await;
    take(&database, Consumer::Ledger, &log.rows[..2]).await;
    assert_eq!(delete(at(0), 100).await, Completion::Done(0), "nothing is old");
    assert_eq!(delete(far, 1).await, Completion::Done(1), "no more than the limit");
    assert_eq!(delete(far, 100).await, Completion::Done(1), "up to what the ledger needs");
    let held = vec![dead(Consumer::Ledger, &log, 2)];
    let none = Projection::Ledger(Vec::new());
    assert_eq!(project(&database, Consumer::Ledger, none, Vec::new(), held).await, Completion::Done(()));
    assert_eq!(delete(far, 100).await, Completion::Done(1), "a dead letter holds its event itself");
    take(&database, Consumer::Ledger, &log.rows[3..4]).await;
    assert_eq!(delete(far, 100).await, Completion::Done(1));
    let left: Vec<i64> = sqlx::query_scalar("SELECT position FROM outbox ORDER BY position")
        .fetch_all(&mut test.sql().await)
        .await
        .expect("positions");
    assert_eq!(left, [log.row(4).position.0, log.row(5).position.0].map(|one| i64::try_from(one).expect("small")));
}

#[tokio::test]
async fn many_events_are_set_aside_at_once_and_the_last_word_on_each_counts() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let log = Log::of_two();
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
    let mut held: Vec<HeldEvent> = (0..4).map(|at| dead(Consumer::Ledger, &log, at)).collect();
    held[1] = HeldEvent { dead: None, event: None, ..held[1].clone() };
    let again = DeadLetter { reason: "again, with a NUL: \0".to_owned(), attempts: 9 };
    held.push(HeldEvent { dead: Some(again), ..held[0].clone() });
    let none = Projection::Ledger(Vec::new());
    assert_eq!(project(&database, Consumer::Ledger, none, Vec::new(), held.clone()).await, Completion::Done(()));
    let mut expected: Vec<(String, i64, Option<String>, bool)> = held[1..]
        .iter()
        .map(|one| {
            let reason = one.dead.as_ref().map(|dead| dead.reason.replace('\0', "\u{fffd}"));
            (one.wallet_id.to_string(), i64::try_from(one.version.0).expect("small"), reason, one.event.is_some())
        })
        .collect();
    expected.sort();
    let found: Vec<(String, i64, Option<String>, bool)> = sqlx::query_as(
        "SELECT wallet_id, event_version, reason, payload IS NOT NULL AND event_type IS NOT NULL FROM held_events
         ORDER BY wallet_id, event_version",
    )
    .fetch_all(&mut test.sql().await)
    .await
    .expect("rows");
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_supported_tables_say_what_the_service_knows() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let log = Log::of_two();
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
    let held = vec![dead(Consumer::Relay, &log, 1)];
    assert_eq!(mark(&database, 0, log.row(3).position.0, held, Vec::new()).await, Completion::Done(()));
    take(&database, Consumer::ReadModel, &log.rows).await;
    take(&database, Consumer::Ledger, &log.rows[..2]).await;
    let mut sql = test.sql().await;
    let lag: (i64, bool) = sqlx::query_as(
        "SELECT COUNT(*), MIN(created_at) = '2027-01-15T08:00:01.000042Z' FROM outbox WHERE processed_at IS NULL",
    )
    .fetch_one(&mut sql)
    .await
    .expect("the lag");
    assert_eq!(lag, (4, true), "the dead letter, and what comes after the checkpoint");
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT consumer_name, COUNT(*) FROM outbox_consumer_processing GROUP BY consumer_name ORDER BY 1",
    )
    .fetch_all(&mut sql)
    .await
    .expect("counts");
    let names = ["kafka-publisher", "ledger-projector", "read-model-projector"];
    assert_eq!(counts, names.map(|name| (name.to_owned(), 7)));
    let states: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT consumer_name, status, COUNT(*) FROM outbox_consumer_processing GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .fetch_all(&mut sql)
    .await
    .expect("states");
    let state = |consumer: &str, status: &str, rows| (consumer.to_owned(), status.to_owned(), rows);
    let expected = [
        state("kafka-publisher", "completed", 3),
        state("kafka-publisher", "dead_letter", 1),
        state("kafka-publisher", "pending", 3),
        state("ledger-projector", "completed", 2),
        state("ledger-projector", "pending", 5),
        state("read-model-projector", "completed", 7),
    ];
    assert_eq!(states, expected);
    let wallets: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT id, balance::text, version FROM wallets ORDER BY id")
            .fetch_all(&mut sql)
            .await
            .expect("wallets");
    let wallet = |id: &str, balance: &str, version| (id.to_owned(), balance.to_owned(), version);
    assert_eq!(wallets, [wallet("alice", "74.49", 3), wallet("bob", "25.56", 4)]);
    let letters: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT consumer_name, last_error, attempts FROM dead_letters")
            .fetch_all(&mut sql)
            .await
            .expect("letters");
    assert_eq!(letters, [("kafka-publisher".to_owned(), "no\u{fffd} good".to_owned(), 8)]);
    take(&database, Consumer::Ledger, &log.rows[2..]).await;
    let transfers: Vec<(String, i64)> = sqlx::query_as(
        "SELECT SUM(amount)::text, COUNT(*) FROM ledger_entries WHERE transfer_id IS NOT NULL GROUP BY transfer_id",
    )
    .fetch_all(&mut sql)
    .await
    .expect("transfers");
    assert_eq!(transfers, [("0.00".to_owned(), 2), ("0.00".to_owned(), 2)]);
}

//! The SQL that operators and checks may rely on.

use wallex_core::effect::Completion;
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, Projection, partition_of};

use super::world::{World, database, id};
use crate::database::sqlite::SqliteDatabase;

const LAG: &str = "SELECT COUNT(*), MIN(created_at) FROM outbox WHERE processed_at IS NULL";

async fn plan(database: &SqliteDatabase, sql: &str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&database.readers).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}

#[tokio::test]
async fn the_lag_is_a_count_and_a_time_and_reads_only_what_is_not_published() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 10_000);
    world.create("bob", "owner-2", "USD", 0);
    database.take(world.log.clone()).await;
    world.transfer("alice", "bob", 100);
    assert_eq!(database.do_write(2, world.after(2)).await, Completion::Done(()));
    let lag: (i64, Option<String>) = sqlx::query_as(LAG).fetch_one(&database.readers).await.unwrap();
    assert_eq!(lag, (2, Some("2027-01-15T08:00:02.000042Z".to_owned())));
    let steps = plan(&database, LAG).await;
    let of_events: Vec<&String> = steps.iter().filter(|step| step.contains(" e ") || step.contains(" p ")).collect();
    let allowed = [
        "SEARCH p USING INDEX outbox_published_at (published_at=?)",
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
    ];
    assert!(of_events.iter().all(|step| allowed.contains(&step.as_str())), "{steps:#?}");
    // The range inside published batches is entered for batches without a time: there are none.
    let untimed: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox_published WHERE published_at IS NULL")
        .fetch_one(&database.readers)
        .await
        .unwrap();
    assert_eq!(untimed, 0);
}

#[tokio::test]
async fn every_consumer_counts_every_event_and_says_how_it_stands() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 10_000);
    world.create("bob", "owner-2", "USD", 0);
    database.take(world.log.clone()).await;
    world.transfer("alice", "bob", 100);
    world.credit("bob", 7);
    assert_eq!(database.do_write(2, world.after(2)).await, Completion::Done(()));
    assert_eq!(database.do_mark(2, 4, Vec::new(), Vec::new()).await, Completion::Done(()));
    database.project_all(Consumer::ReadModel, &world.log[2..3]).await;
    let dead = HeldEvent {
        consumer: Consumer::Ledger,
        wallet_id: id("bob"),
        event_id: world.log[3].event.event_id,
        version: world.log[3].event.version,
        partition: partition_of(&id("bob")),
        offset: 4,
        event: Some(world.log[3].event.clone()),
        dead: Some(DeadLetter { reason: "refused".to_owned(), attempts: 8 }),
    };
    let waiting = HeldEvent {
        event_id: world.log[4].event.event_id,
        version: world.log[4].event.version,
        offset: 5,
        dead: None,
        ..dead.clone()
    };
    let nothing = Projection::Ledger(Vec::new());
    let held = vec![dead, waiting];
    let set_aside = database.do_project(Consumer::Ledger, nothing, Vec::new(), held, Vec::new()).await;
    assert_eq!(set_aside, Completion::Done(()));

    let counts: Vec<(String, i64)> =
        sqlx::query_as("SELECT consumer_name, COUNT(*) FROM outbox_consumer_processing GROUP BY consumer_name")
            .fetch_all(&database.readers)
            .await
            .unwrap();
    let each = ["kafka-publisher", "ledger-projector", "read-model-projector"].map(|name| (name.to_owned(), 5));
    assert_eq!(counts, each);
    let rows: Vec<(String, String, i64, Option<String>, bool)> = sqlx::query_as(
        "SELECT consumer_name || ' ' || o.position, status, attempts, last_error, p.processed_at IS NOT NULL
         FROM outbox_consumer_processing p JOIN outbox o USING (event_id) WHERE o.position > 2 ORDER BY 1",
    )
    .fetch_all(&database.readers)
    .await
    .unwrap();
    let row = |name: &str, status: &str, attempts, error: Option<&str>| {
        (name.to_owned(), status.to_owned(), attempts, error.map(str::to_owned), status == "completed")
    };
    assert_eq!(
        rows,
        [
            row("kafka-publisher 3", "completed", 1, None),
            row("kafka-publisher 4", "completed", 1, None),
            row("kafka-publisher 5", "pending", 0, None),
            row("ledger-projector 3", "pending", 0, None),
            row("ledger-projector 4", "dead_letter", 8, Some("refused")),
            row("ledger-projector 5", "held", 0, None),
            row("read-model-projector 3", "completed", 1, None),
            row("read-model-projector 4", "pending", 0, None),
            row("read-model-projector 5", "pending", 0, None),
        ]
    );
    let letters: Vec<(String, String, i64, String, i64)> =
        sqlx::query_as("SELECT consumer_name, wallet_id, event_version, last_error, events_waiting FROM dead_letters")
            .fetch_all(&database.readers)
            .await
            .unwrap();
    assert_eq!(letters, [("ledger-projector".to_owned(), "bob".to_owned(), 2, "refused".to_owned(), 1)]);
}

#[tokio::test]
async fn money_and_ids_are_readable_and_exact_in_every_scale() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    for (name, currency) in [("usd", "USD"), ("jpy", "JPY"), ("bhd", "BHD"), ("clf", "CLF")] {
        world.create(name, "owner-1", currency, 100_005);
    }
    world.create("usd2", "owner-1", "USD", 0);
    world.transfer("usd", "usd2", 100_001);
    database.take(world.log.clone()).await;
    let balances: Vec<(String, String, String)> =
        sqlx::query_as("SELECT id, balance, updated_at FROM wallets ORDER BY id")
            .fetch_all(&database.readers)
            .await
            .unwrap();
    for (wallet, balance, updated_at) in balances {
        let expected = &world.wallets[&id(&wallet)];
        let mut digits = Vec::new();
        expected.balance.write_digits(&mut digits);
        assert_eq!(balance.as_bytes(), digits, "{wallet}");
        assert_eq!(updated_at, expected.updated_at.to_string());
    }
    let entries: Vec<(String, String, String, String, String, i64)> = sqlx::query_as(
        "SELECT event_id, wallet_id, type, amount, command_id || ' ' || transfer_id, amount_minor FROM ledger_entries
         WHERE transfer_id IS NOT NULL ORDER BY version, wallet_id",
    )
    .fetch_all(&database.readers)
    .await
    .unwrap();
    let (debit, credit) = (&world.log[5].event, &world.log[6].event);
    let ids = format!("{} {}", debit.command_id, debit.transfer().unwrap().transfer_id);
    let row = |event: &wallex_core::event::Event, kind: &str, amount: &str, minor| {
        let (event_id, wallet) = (event.event_id.to_string(), event.wallet_id.to_string());
        (event_id, wallet, kind.to_owned(), amount.to_owned(), ids.clone(), minor)
    };
    assert_eq!(
        entries,
        [row(debit, "transfer_out", "-1000.01", -100_001), row(credit, "transfer_in", "1000.01", 100_001)]
    );
    let sums: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT wallet_id, SUM(l.amount_minor), w.balance_minor FROM ledger_entries l JOIN wallets_read_model w
         USING (wallet_id) GROUP BY wallet_id",
    )
    .fetch_all(&database.readers)
    .await
    .unwrap();
    assert_eq!(sums.len(), 5);
    assert!(sums.iter().all(|(_, sum, balance)| sum == balance), "{sums:?}");
}

#[tokio::test]
async fn one_wallets_history_is_found_through_the_index() {
    let (_directory, database) = database().await;
    let steps = plan(&database, "SELECT amount FROM ledger_entries WHERE wallet_id = 'alice' ORDER BY version").await;
    let found = "SEARCH l USING INDEX ledger_rows_version (epoch=? AND wallet=?)";
    assert!(steps.iter().any(|step| step == found), "{steps:#?}");
}

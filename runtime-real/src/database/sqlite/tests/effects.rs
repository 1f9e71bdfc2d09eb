//! Each effect: what it writes, when it refuses, and that a replay changes nothing.

use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{Position, Version};
use wallex_core::projector::{Consumer, Projection};

use super::world::{EFFECT, World, changes, database, entries, id};
use crate::database::sqlite::SqliteDatabase;

fn rejection<T: std::fmt::Debug>(completion: Completion<T>) -> String {
    match completion {
        Completion::Failed(Failure { kind: FailureKind::Rejected, reason }) => reason,
        other @ (Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown) => {
            panic!("not rejected: {other:?}")
        }
    }
}

fn world() -> World {
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 10_000);
    world.create("bob", "owner-2", "USD", 0);
    world.transfer("alice", "bob", 2_550);
    world.credit("bob", 5);
    world
}

async fn read_outbox(database: &SqliteDatabase, after: u64, limit: usize) -> Vec<Recorded> {
    match database.perform(Effect::ReadOutbox { effect: EFFECT, after: Position(after), limit }).await {
        Some(Input::OutboxRead(EFFECT, Completion::Done(rows))) => rows,
        other => panic!("{other:?}"),
    }
}

async fn versions(database: &SqliteDatabase, consumer: Consumer, names: &[&str]) -> Vec<Version> {
    let wallets = names.iter().map(|name| id(name)).collect();
    match database.perform(Effect::LoadVersions { effect: EFFECT, consumer, wallets }).await {
        Some(Input::Versions(EFFECT, Completion::Done(versions))) => versions,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn outbox_rows_are_read_as_they_were_written() {
    let (_directory, database) = database().await;
    let world = world();
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    assert_eq!(read_outbox(&database, 0, 100).await, world.log);
    assert_eq!(read_outbox(&database, 2, 2).await, world.log[2..4]);
    let checkpoint = database.perform(Effect::LoadFeederCheckpoint(EFFECT)).await;
    assert_eq!(checkpoint, Some(Input::FeederCheckpoint(EFFECT, Completion::Done(Position(5)))));
}

#[tokio::test]
async fn a_batch_of_more_rows_than_any_chunk_is_written_whole() {
    let (_directory, database) = database().await;
    let mut world = world();
    for _ in 0..700 {
        world.transfer("alice", "bob", 1);
    }
    database.take(world.log.clone()).await;
    assert_eq!(read_outbox(&database, 0, 10_000).await, world.log);
    let alice = database.queries().wallet(&id("alice")).await.unwrap();
    assert_eq!(alice.as_ref(), Some(&world.wallets[&id("alice")]));
    assert_eq!(versions(&database, Consumer::Ledger, &["bob"]).await, [Version(703)]);
}

#[tokio::test]
async fn a_replayed_step_is_a_conflict_and_changes_nothing() {
    let (_directory, database) = database().await;
    let world = world();
    database.take(world.log.clone()).await;
    let before = database.contents().await;
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Conflict);
    assert_eq!(database.do_mark(0, 5, Vec::new(), Vec::new()).await, Completion::Conflict);
    let partition = wallex_core::projector::partition_of(&id("alice"));
    for (consumer, rows) in [
        (Consumer::ReadModel, Projection::ReadModel(changes(&world.log))),
        (Consumer::Ledger, Projection::Ledger(entries(&world.log))),
    ] {
        let replayed = database.do_project(consumer, rows, vec![(partition, 0, 5)], Vec::new(), Vec::new()).await;
        assert_eq!(replayed, Completion::Conflict);
    }
    assert_eq!(database.contents().await, before);
}

#[tokio::test]
async fn a_version_that_the_outbox_has_is_refused_by_name_and_nothing_is_written() {
    let (_directory, database) = database().await;
    let world = world();
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    let before = database.contents().await;
    let mut again = world.log[4].clone();
    again.position = Position(6);
    let mut fresh = World::default();
    fresh.create("carol", "owner-3", "EUR", 1);
    let carol = Recorded { position: Position(7), event: fresh.log[0].event.clone() };
    let reason = rejection(database.do_write(5, vec![again.clone(), carol.clone()]).await);
    assert!(reason.contains("wallet bob") && reason.contains("version 3"), "{reason}");
    let twice = Recorded { position: Position(8), event: carol.event.clone() };
    let reason = rejection(database.do_write(5, vec![carol, twice]).await);
    assert!(reason.contains("wallet carol") && reason.contains("version 1"), "{reason}");
    assert_eq!(database.contents().await, before);
}

#[tokio::test]
async fn a_row_of_the_read_model_that_is_elsewhere_refuses_the_transaction_by_name() {
    let (_directory, database) = database().await;
    let mut world = world();
    database.take(world.log.clone()).await;
    world.credit("alice", 1);
    world.credit("alice", 1);
    world.credit("bob", 1);
    let before = database.contents().await;
    let late = Projection::ReadModel(changes(&world.log[6..]));
    let reason = rejection(database.do_project(Consumer::ReadModel, late, Vec::new(), Vec::new(), Vec::new()).await);
    assert_eq!(reason, "wallet alice is at version 2 in the read model, not at 3");
    let again = Projection::ReadModel(changes(&world.log[..2]));
    let reason = rejection(database.do_project(Consumer::ReadModel, again, Vec::new(), Vec::new(), Vec::new()).await);
    assert_eq!(reason, "wallet alice is in the read model already, at version 2");
    assert_eq!(database.contents().await, before);
}

#[tokio::test]
async fn an_update_of_a_wallet_that_nobody_knows_is_refused_by_name() {
    let (_directory, database) = database().await;
    let world = world();
    let rows = Projection::ReadModel(changes(&world.log[2..3]));
    let reason = rejection(database.do_project(Consumer::ReadModel, rows, Vec::new(), Vec::new(), Vec::new()).await);
    assert!(reason.contains("wallet alice"), "{reason}");
}

#[tokio::test]
async fn an_entry_that_the_ledger_has_refuses_the_transaction_by_name() {
    let (_directory, database) = database().await;
    let mut world = world();
    database.take(world.log.clone()).await;
    world.credit("alice", 1);
    let before = database.contents().await;
    let project = async |rows| {
        database.do_project(Consumer::Ledger, Projection::Ledger(rows), Vec::new(), Vec::new(), Vec::new()).await
    };
    let reason = rejection(project(entries(&world.log[4..])).await);
    assert!(reason.contains("wallet bob") && reason.contains("version 3"), "{reason}");
    // The next version, under the id of an event that has an entry.
    let mut disguised = entries(&world.log[5..]);
    disguised[0].event_id = world.log[0].event.event_id;
    let reason = rejection(project(disguised).await);
    assert!(reason.contains("wallet alice") && reason.contains(&world.log[0].event.event_id.to_string()), "{reason}");
    assert_eq!(database.contents().await, before);
}

#[tokio::test]
async fn versions_come_in_the_order_asked_for_and_unknown_wallets_are_at_zero() {
    let (_directory, database) = database().await;
    let world = world();
    database.take(world.log.clone()).await;
    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
        let found = versions(&database, consumer, &["bob", "nobody", "alice"]).await;
        assert_eq!(found, [Version(3), Version(0), Version(2)]);
    }
}

#[tokio::test]
async fn effects_of_other_ports_are_left_to_them() {
    let (_directory, database) = database().await;
    assert_eq!(database.perform(Effect::ReadLog { effect: EFFECT, after: Position(0), limit: 1 }).await, None);
    assert_eq!(database.perform(Effect::Unlease(vec![id("alice")])).await, None);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_writes_nothing_and_passes() {
    let (_directory, database) = database().await;
    let mut world = world();
    for _ in 0..400 {
        world.transfer("alice", "bob", 1);
    }
    let set_page_limit = async |pages: i64| {
        let mut transaction = database.writer.begin().await.unwrap();
        let (connection, _) = transaction.parts();
        let sql = format!("PRAGMA max_page_count = {pages}");
        let _: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await.unwrap();
        assert_eq!(transaction.end(Ok(())).await, Completion::Done(()));
    };
    let before = database.contents().await;
    set_page_limit(1).await;
    let full = database.do_write(0, world.log.clone()).await;
    assert!(
        matches!(&full, Completion::Failed(Failure { kind: FailureKind::Unavailable, reason }) if reason.contains("full")),
        "{full:?}"
    );
    assert_eq!(database.contents().await, before);
    set_page_limit(1_000_000).await;
    database.take(world.log.clone()).await;
    assert_eq!(read_outbox(&database, 0, 10_000).await, world.log);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_half_way_leaves_nothing_behind() {
    let (_directory, database) = database().await;
    let before = database.contents().await;
    {
        let mut transaction = database.writer.begin().await.unwrap();
        let (connection, _) = transaction.parts();
        sqlx::query("UPDATE projector_checkpoints SET position = 9").execute(connection).await.unwrap();
    }
    let world = world();
    assert_eq!(database.do_write(9, world.log.clone()).await, Completion::Conflict);
    assert_eq!(database.contents().await, before);
    database.take(world.log).await;
}

#[tokio::test]
async fn what_is_committed_survives_a_stop_without_a_goodbye() {
    let (directory, database) = database().await;
    let mut world = world();
    database.take(world.log.clone()).await;
    let contents = database.contents().await;
    // The files as a crash of the process leaves them: the log of the database is not copied into its file.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    let reopened = SqliteDatabase::open(copy.path().join("wallex.sqlite")).await.unwrap();
    assert_eq!(reopened.contents().await, contents);
    world.credit("alice", 1);
    reopened.take(world.after(5)).await;
    reopened.close().await;
    let again = SqliteDatabase::open(copy.path().join("wallex.sqlite")).await.unwrap();
    assert_eq!(again.queries().wallet(&id("alice")).await.unwrap().as_ref(), world.wallets.get(&id("alice")));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wallex.sqlite");
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let error = SqliteDatabase::open(&path).await.err().unwrap().to_string();
    assert!(error.contains("wallex.sqlite"), "{error}");
    let error = SqliteDatabase::open(directory.path().join("no/such/place")).await.err().unwrap().to_string();
    assert!(error.contains("no/such/place"), "{error}");
}

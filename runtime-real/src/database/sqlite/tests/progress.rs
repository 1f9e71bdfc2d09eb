//! Progress of the relay and the projectors, what they set aside, and what leaves the outbox.

use wallex_core::effect::{Completion, Effect, Input, RelayProgress};
use wallex_core::event::Recorded;
use wallex_core::id::{EventId, Position};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, PartitionProgress, Projection, partition_of};

use super::world::{EFFECT, World, at, database, id};
use crate::database::sqlite::SqliteDatabase;

fn held(consumer: Consumer, row: &Recorded, reason: Option<&str>) -> HeldEvent {
    HeldEvent {
        consumer,
        wallet_id: row.event.wallet_id.clone(),
        event_id: row.event.event_id,
        version: row.event.version,
        partition: partition_of(&row.event.wallet_id),
        offset: row.position.0,
        event: Some(row.event.clone()),
        dead: reason.map(|reason| DeadLetter { reason: reason.to_owned(), attempts: 8 }),
    }
}

async fn load_held(database: &SqliteDatabase, consumer: Consumer, wallet: &str) -> Vec<HeldEvent> {
    match database.perform(Effect::LoadHeld { effect: EFFECT, consumer, wallet: id(wallet) }).await {
        Some(Input::HeldLoaded(EFFECT, Completion::Done(held))) => held,
        other => panic!("{other:?}"),
    }
}

async fn progress(database: &SqliteDatabase, consumer: Consumer, partitions: Vec<u16>) -> Vec<PartitionProgress> {
    match database.perform(Effect::LoadProgress { effect: EFFECT, consumer, partitions }).await {
        Some(Input::Progress(EFFECT, Completion::Done(progress))) => progress,
        other => panic!("{other:?}"),
    }
}

async fn relay(database: &SqliteDatabase) -> RelayProgress {
    match database.perform(Effect::LoadRelayProgress(EFFECT)).await {
        Some(Input::RelayProgress(EFFECT, Completion::Done(progress))) => progress,
        other => panic!("{other:?}"),
    }
}

fn world() -> World {
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 10_000);
    world.create("bob", "owner-2", "USD", 0);
    world.transfer("alice", "bob", 100);
    world.transfer("alice", "bob", 100);
    world
}

#[tokio::test]
async fn a_new_database_is_at_the_beginning() {
    let (_directory, database) = database().await;
    assert_eq!(relay(&database).await, RelayProgress { checkpoint: Position(0), held_wallets: Vec::new() });
    let all = progress(&database, Consumer::Ledger, (0..PARTITIONS).collect()).await;
    assert_eq!(all.len(), usize::from(PARTITIONS));
    assert!(all.iter().all(|one| one.offset == 0 && one.held_wallets.is_empty()));
}

#[tokio::test]
async fn what_a_projector_sets_aside_is_loaded_in_order_and_released() {
    let (_directory, database) = database().await;
    let world = world();
    let partition = partition_of(&id("bob"));
    let consumer = Consumer::Ledger;
    let mut unreadable = held(consumer, &world.log[3], Some("the bytes are no event"));
    unreadable.event = None;
    let waiting = held(consumer, &world.log[5], None);
    let none = || Projection::Ledger(Vec::new());
    let set_aside = vec![waiting.clone(), unreadable.clone()];
    let checkpoints = vec![(partition, 0, 6)];
    let done = database.do_project(consumer, none(), checkpoints, set_aside, Vec::new()).await;
    assert_eq!(done, Completion::Done(()));
    assert_eq!(load_held(&database, consumer, "bob").await, [unreadable.clone(), waiting.clone()]);
    assert_eq!(load_held(&database, Consumer::ReadModel, "bob").await, []);
    assert_eq!(
        progress(&database, consumer, vec![partition]).await,
        [PartitionProgress { partition, offset: 6, held_wallets: vec![id("bob")] }]
    );
    let released: Vec<EventId> = vec![unreadable.event_id, waiting.event_id];
    assert_eq!(database.do_project(consumer, none(), Vec::new(), Vec::new(), released).await, Completion::Done(()));
    assert_eq!(load_held(&database, consumer, "bob").await, []);
}

#[tokio::test]
async fn what_the_relay_sets_aside_stays_unprocessed_until_it_is_released() {
    let (_directory, database) = database().await;
    let world = world();
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    let dead = held(Consumer::Relay, &world.log[3], Some("too large"));
    assert_eq!(database.do_mark(0, 6, vec![dead.clone()], Vec::new()).await, Completion::Done(()));
    assert_eq!(relay(&database).await, RelayProgress { checkpoint: Position(6), held_wallets: vec![id("bob")] });
    assert_eq!(unprocessed(&database).await, [4]);
    assert_eq!(database.do_mark(6, 6, Vec::new(), vec![dead.event_id]).await, Completion::Done(()));
    assert_eq!(unprocessed(&database).await, [0_i64; 0]);
    assert_eq!(relay(&database).await.held_wallets, []);
}

async fn unprocessed(database: &SqliteDatabase) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM outbox WHERE processed_at IS NULL ORDER BY position")
        .fetch_all(&database.readers)
        .await
        .unwrap()
}

async fn positions(database: &SqliteDatabase) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM outbox ORDER BY position").fetch_all(&database.readers).await.unwrap()
}

#[tokio::test]
async fn a_checkpoint_that_was_moved_back_gives_no_row_twice() {
    let (_directory, database) = database().await;
    let world = world();
    database.take(world.log.clone()).await;
    let mut transaction = database.writer.begin().await.unwrap();
    let moved = sqlx::query("UPDATE projector_checkpoints SET position = 2 WHERE consumer_name = 'kafka-publisher'");
    moved.execute(transaction.parts().0).await.unwrap();
    assert_eq!(transaction.end(Ok(())).await, Completion::Done(()));
    assert_eq!(unprocessed(&database).await, [3, 4, 5, 6]);
    assert_eq!(positions(&database).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(database.do_mark(2, 5, Vec::new(), Vec::new()).await, Completion::Done(()));
    assert_eq!(positions(&database).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(unprocessed(&database).await, [6]);
}

#[tokio::test]
async fn only_rows_that_are_published_old_and_passed_by_everybody_leave_the_outbox() {
    let (_directory, database) = database().await;
    let mut world = world();
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    let far = at(1_000_000);
    assert_eq!(database.delete_published_outbox(far, 100).await, Completion::Done(0), "nothing is published");
    assert_eq!(database.do_mark(0, 4, Vec::new(), Vec::new()).await, Completion::Done(()));
    assert_eq!(database.delete_published_outbox(far, 100).await, Completion::Done(0), "nobody has passed");
    database.project_all(Consumer::ReadModel, &world.log[..4]).await;
    database.project_all(Consumer::Ledger, &world.log[..3]).await;
    assert_eq!(database.delete_published_outbox(at(0), 100).await, Completion::Done(0), "nothing is old");
    let passed = if partition_of(&id("alice")) == partition_of(&id("bob")) { 3 } else { 2 };
    assert_eq!(
        database.delete_published_outbox(far, 100).await,
        Completion::Done(passed),
        "up to what the ledger needs"
    );
    let left: Vec<i64> = (i64::try_from(passed).unwrap() + 1..=6).collect();
    assert_eq!(positions(&database).await, left);
    // What follows is not held up by what is gone.
    database.project_all(Consumer::Ledger, &world.log[3..4]).await;
    assert_eq!(database.do_mark(4, 6, Vec::new(), Vec::new()).await, Completion::Done(()));
    database.project_all(Consumer::ReadModel, &world.log[4..]).await;
    database.project_all(Consumer::Ledger, &world.log[4..]).await;
    assert_eq!(database.delete_published_outbox(far, 1).await, Completion::Done(1), "no more than the limit");
    assert!(matches!(database.delete_published_outbox(far, 100).await, Completion::Done(rows) if rows > 0));
    assert_eq!(positions(&database).await, [0_i64; 0]);
    world.credit("alice", 1);
    database.take(world.after(6)).await;
    assert_eq!(positions(&database).await, [7]);
}

//! Outbox rows as columns and as JSON, and the last versions that refuse a second row.

use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::event::{Recorded, codec};
use wallex_core::id::{Position, Version};
use wallex_core::limits::BALANCE_MAX;
use wallex_core::money::Money;
use wallex_core::projector::{Consumer, Projection};

use super::world::{EFFECT, World, at, changes, database, entries, id};
use crate::database::sqlite::SqliteDatabase;

async fn read_outbox(database: &SqliteDatabase) -> Vec<Recorded> {
    match database.perform(Effect::ReadOutbox { effect: EFFECT, after: Position(0), limit: 10_000 }).await {
        Some(Input::OutboxRead(EFFECT, Completion::Done(rows))) => rows,
        other => panic!("{other:?}"),
    }
}

fn assert_rejected(completion: &Completion<()>) {
    let rejected = matches!(completion, Completion::Failed(Failure { kind: FailureKind::Rejected, .. }));
    assert!(rejected, "{completion:?}");
}

/// Every kind of event, in every scale, with and without what is optional.
fn kinds() -> World {
    let mut world = World::default();
    for currency in ["USD", "JPY", "BHD", "CLF"] {
        let names = [format!("{currency}-1"), format!("{currency}-2")];
        world.create(&names[0], "owner-1", currency, 100_005);
        world.create(&names[1], "owner-2", currency, 0);
        for minor in [1, 99_999] {
            world.transfer(&names[0], &names[1], minor);
            world.credit(&names[1], minor);
        }
    }
    world
}

#[tokio::test]
async fn the_payload_of_a_row_is_the_json_of_its_event() {
    let (_directory, database) = database().await;
    let world = kinds();
    database.take(world.log.clone()).await;
    assert_eq!(read_outbox(&database).await, world.log);
    let payloads: Vec<String> =
        sqlx::query_scalar("SELECT payload FROM outbox ORDER BY position").fetch_all(&database.readers).await.unwrap();
    assert_eq!(payloads.len(), world.log.len());
    for (payload, Recorded { event, .. }) in payloads.iter().zip(&world.log) {
        let (mut data, mut metadata) = (Vec::new(), Vec::new());
        codec::encode_data(event, &mut data);
        codec::encode_metadata(event, &mut metadata);
        let (data, metadata) = (String::from_utf8(data).unwrap(), String::from_utf8(metadata).unwrap());
        assert_eq!(*payload, format!(r#"{{"data":{data},"metadata":{metadata}}}"#));
    }
}

#[tokio::test]
async fn the_largest_sum_passes_the_outbox_whole() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("clf", "owner-1", "CLF", 1);
    let mut log = world.log.clone();
    let event = &mut log[0].event;
    event.balance = Money::parse(&BALANCE_MAX.to_string(), event.currency).unwrap();
    event.amount = event.balance;
    assert_eq!(database.do_write(0, log.clone()).await, Completion::Done(()));
    assert_eq!(read_outbox(&database).await, log);
    let payload: String = sqlx::query_scalar("SELECT payload FROM outbox").fetch_one(&database.readers).await.unwrap();
    assert!(payload.contains(r#""balance":"900000000000000.0000""#), "{payload}");
}

#[tokio::test]
async fn a_second_row_for_a_version_is_refused_after_any_stop_and_after_its_row_has_left() {
    let (directory, first) = database().await;
    let mut world = World::default();
    // More wallets than are kept in memory before the table is written, and some that it does not have yet.
    for number in 0..8 {
        world.create(&format!("wallet-{number}"), "owner", "USD", 1_000);
    }
    for number in 0..8 {
        first.take(world.after(number)[..1].to_vec()).await;
    }
    let refused = async |database: &SqliteDatabase| {
        let end = world.log.len() as u64;
        for row in &world.log {
            let again = Recorded { position: Position(end + 1), event: row.event.clone() };
            assert_rejected(&database.do_write(end, vec![again]).await);
            let rows = Projection::Ledger(entries(std::slice::from_ref(row)));
            assert_rejected(&database.do_project(Consumer::Ledger, rows, Vec::new(), Vec::new(), Vec::new()).await);
        }
    };
    refused(&first).await;
    // A stop without a goodbye, then one with.
    drop(first);
    let path = directory.path().join("wallex.sqlite");
    let second = SqliteDatabase::open(&path).await.unwrap();
    refused(&second).await;
    assert_eq!(second.delete_published_outbox(at(1_000_000), 100).await, Completion::Done(8));
    refused(&second).await;
    second.close().await;
    let third = SqliteDatabase::open(&path).await.unwrap();
    refused(&third).await;
    let found = Effect::LoadVersions {
        effect: EFFECT,
        consumer: Consumer::Ledger,
        wallets: vec![id("wallet-7"), id("nobody"), id("wallet-0")],
    };
    let versions = vec![Version(1), Version(0), Version(1)];
    assert_eq!(third.perform(found).await, Some(Input::Versions(EFFECT, Completion::Done(versions))));
}

#[tokio::test]
async fn an_update_of_a_row_that_is_missing_is_refused_by_name_and_leaves_nothing() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 1_000);
    world.credit("alice", 1);
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    let before = database.contents().await;
    let rows = Projection::ReadModel(changes(&world.log[1..]));
    let done = database.do_project(Consumer::ReadModel, rows, Vec::new(), Vec::new(), Vec::new()).await;
    let reason = "wallet alice is missing in the read model, not at 1".to_owned();
    assert_eq!(done, Completion::Failed(Failure { kind: FailureKind::Rejected, reason }));
    assert_eq!(database.contents().await, before);
}

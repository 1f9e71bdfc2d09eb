//! Power cuts: what each fake still has afterwards.

use std::sync::Arc;

use wallex_core::effect::{Append, Completion, Effect, Input, StreamWrite};
use wallex_core::event::Recorded;
use wallex_core::id::{Position, Version};
use wallex_core::projector::{Consumer, partition_of};
use wallex_sim::fakes::{Database, Disk, Durability, EmbeddedBroker, EmbeddedStore};

use crate::world::{EFFECT, START, recorded, wallet};

const SEGMENT_BYTES: u64 = 8 << 10;

fn write_outbox(database: &mut Database, row: Recorded) {
    let (expected, checkpoint) = (database.feeder_checkpoint(), row.position);
    let effect = Effect::WriteOutbox { effect: EFFECT, expected, events: Arc::new(vec![row]), checkpoint };
    assert_eq!(database.perform(START, effect), Some(Input::OutboxWritten(EFFECT, Completion::Done(()))));
}

fn mark(database: &mut Database, checkpoint: Position) {
    let expected = database.relay_checkpoint();
    let (held, released) = (Vec::new(), Vec::new());
    let effect = Effect::MarkPublished { effect: EFFECT, expected, checkpoint, at: START, held, released };
    assert_eq!(database.perform(START, effect), Some(Input::PublishedMarked(EFFECT, Completion::Done(()))));
}

#[test]
fn a_database_that_syncs_later_loses_its_newest_commits_and_no_older_ones() {
    let mut database = Database::new(Durability::AtSync);
    for position in 1..=3 {
        write_outbox(&mut database, recorded(position, "a", position));
    }
    database.sync();
    for position in 4..=6 {
        write_outbox(&mut database, recorded(position, "a", position));
    }
    assert_eq!(database.unsynced(), 3);
    database.crash(1);
    assert_eq!(database.feeder_checkpoint(), Position(4));
    assert_eq!(database.outbox().map(|row| row.position.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // It goes on from there.
    write_outbox(&mut database, recorded(5, "a", 5));
    database.crash(0);
    assert_eq!(database.feeder_checkpoint(), Position(3));
}

#[test]
fn a_database_that_syncs_at_commit_loses_nothing() {
    let mut database = Database::new(Durability::AtCommit);
    write_outbox(&mut database, recorded(1, "a", 1));
    database.crash(0);
    assert_eq!(database.feeder_checkpoint(), Position(1));
}

#[test]
fn the_embedded_broker_delivers_again_what_was_marked_and_waits_for_the_rest() {
    let mut database = Database::new(Durability::AtSync);
    let rows: Vec<Recorded> = (1..=4).map(|position| recorded(position, "a", position)).collect();
    rows.iter().for_each(|row| write_outbox(&mut database, row.clone()));
    let mut broker = EmbeddedBroker::start(&database);
    let publish = Effect::Publish(EFFECT, Arc::new(rows));
    let acknowledged = Some(Input::Published(EFFECT, Completion::Done(vec![None; 4])));
    assert_eq!(broker.perform(START, publish.clone()), acknowledged);
    mark(&mut database, Position(2));
    let partition = partition_of(&wallet("a"));
    assert_eq!(broker.messages(partition).len(), 4);
    let mut broker = EmbeddedBroker::start(&database);
    assert_eq!(broker.messages(partition).len(), 2);
    assert_eq!(broker.perform(START, publish), acknowledged);
    let fetch = Effect::Fetch { effect: EFFECT, consumer: Consumer::Ledger, after: vec![(partition, 1)], limit: 9 };
    let Some(Input::Fetched(EFFECT, Completion::Done(messages))) = broker.perform(START, fetch) else { panic!() };
    assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), [2, 3, 4]);
}

fn append(store: &mut EmbeddedStore, row: &Recorded) -> Completion<()> {
    let expected = Version(row.event.version.0 - 1);
    let write = StreamWrite { wallet: row.event.wallet_id.clone(), expected, events: vec![row.event.clone()] };
    let append = Append { writes: vec![write], records: Vec::new() };
    match store.perform(START, Effect::Append(EFFECT, Arc::new(append))) {
        Some(Input::Appended(EFFECT, completion)) => completion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_embedded_store_has_what_it_acknowledged_after_a_cut_in_the_middle_of_any_operation() {
    let mut cut_short = 0;
    for (seed, operation) in (0..60).enumerate() {
        let disk = Disk::default();
        disk.crash_at(operation);
        let mut acknowledged = Vec::new();
        if let Ok((mut store, _)) = EmbeddedStore::open(disk.clone(), SEGMENT_BYTES) {
            for version in 1..=30 {
                let row = recorded(version, "a", version);
                if append(&mut store, &row) != Completion::Done(()) {
                    cut_short += 1;
                    break;
                }
                acknowledged.push(row);
                if version % 10 == 0 && store.maintain(START).is_err() {
                    break;
                }
            }
        }
        let (store, recovery) = EmbeddedStore::open(disk.restart(seed as u64), SEGMENT_BYTES).unwrap();
        let log = store.log().unwrap();
        assert_eq!(recovery.position, store.position());
        assert_eq!(log[..acknowledged.len()], acknowledged[..], "INV-14, cut in operation {operation}");
        assert!(log.len() <= acknowledged.len() + 1, "INV-14: more than the one that had no answer");
    }
    assert!(cut_short > 20, "only {cut_short} cuts came while something was appended");
}

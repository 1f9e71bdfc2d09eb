//! The broker over a real database: order, redelivery, and what is no longer in memory.

use std::collections::BTreeMap;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::id::Position;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, Message, message_of, partition_of};

use super::Broker;
use crate::database::sqlite::tests::world::{EFFECT, World, database};

fn world(wallets: usize, rounds: usize) -> World {
    let mut world = World::default();
    for number in 0..wallets {
        world.create(&format!("wallet-{number}"), "owner", "USD", 1_000);
    }
    for round in 0..rounds {
        world.credit(&format!("wallet-{}", round * 7 % wallets), 1);
    }
    world
}

/// A consumer that takes everything there is, some messages at a time.
struct Reader {
    after: BTreeMap<u16, u64>,
    taken: Vec<Message>,
}

impl Reader {
    fn new() -> Self {
        Self { after: (0..PARTITIONS).map(|partition| (partition, 0)).collect(), taken: Vec::new() }
    }

    async fn drain(&mut self, broker: &Broker, limit: usize) {
        loop {
            let after: Vec<(u16, u64)> = self.after.iter().map(|(partition, offset)| (*partition, *offset)).collect();
            let messages = broker.fetch(Consumer::Ledger, &after, limit).await.unwrap();
            if messages.is_empty() {
                return;
            }
            assert!(messages.len() <= limit);
            for message in messages {
                let last = self.after.insert(message.partition, message.offset).unwrap();
                assert!(last < message.offset, "offsets of partition {} grow", message.partition);
                self.taken.push(message);
            }
        }
    }

    fn positions(&self) -> Vec<u64> {
        let mut positions: Vec<u64> = self.taken.iter().map(|message| message.offset).collect();
        positions.sort_unstable();
        positions
    }
}

#[tokio::test]
async fn messages_arrive_whole_in_the_partition_of_their_wallet_and_are_acknowledged() {
    let (_directory, database) = database().await;
    let broker = Broker::start(database).await.unwrap();
    let world = world(20, 30);
    let mut published = broker.published();
    assert_eq!(broker.publish(&world.log), vec![None; 50]);
    assert!(published.has_changed().unwrap());
    assert_eq!(*published.borrow_and_update(), Position(50));
    let mut reader = Reader::new();
    reader.drain(&broker, 7).await;
    assert_eq!(reader.positions(), (1..=50).collect::<Vec<u64>>());
    for message in &reader.taken {
        let row = &world.log[usize::try_from(message.offset).unwrap() - 1];
        assert_eq!(*message, message_of(row.position, row.event.clone()));
        assert_eq!(message.partition, partition_of(&row.event.wallet_id));
    }
}

#[tokio::test]
async fn what_is_published_again_is_acknowledged_and_delivered_once() {
    let (_directory, database) = database().await;
    let broker = Broker::start(database).await.unwrap();
    let world = world(5, 5);
    broker.publish(&world.log[..8]);
    assert_eq!(broker.publish(&world.log[4..]), vec![None; 6]);
    let mut reader = Reader::new();
    reader.drain(&broker, 100).await;
    assert_eq!(reader.positions(), (1..=10).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_consumer_behind_the_memory_reads_the_outbox_and_misses_nothing() {
    let (_directory, database) = database().await;
    let broker = Broker::with_capacity(database.clone(), 16).await.unwrap();
    let world = world(20, 180);
    let mut early = Reader::new();
    for (number, rows) in world.log.chunks(25).enumerate() {
        let before = rows[0].position.0 - 1;
        assert_eq!(database.do_write(before, rows.to_vec()).await, Completion::Done(()));
        broker.publish(rows);
        let marked = database.do_mark(before, before + 25, Vec::new(), Vec::new()).await;
        assert_eq!(marked, Completion::Done(()));
        if number == 1 {
            early.drain(&broker, 9).await;
        }
    }
    early.drain(&broker, 9).await;
    assert_eq!(early.positions(), (1..=200).collect::<Vec<u64>>());
    let mut late = Reader::new();
    late.drain(&broker, 64).await;
    assert_eq!(late.positions(), (1..=200).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_broker_that_starts_again_delivers_what_a_consumer_has_not_passed() {
    let (_directory, database) = database().await;
    let world = world(20, 80);
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    assert_eq!(database.do_mark(0, 60, Vec::new(), Vec::new()).await, Completion::Done(()));
    let mut reader = Reader::new();
    reader.drain(&Broker::start(database.clone()).await.unwrap(), 1_000).await;
    assert_eq!(reader.positions(), (1..=60).collect::<Vec<u64>>(), "what is not published is not delivered");
    // The relay goes on from its checkpoint.
    let broker = Broker::start(database).await.unwrap();
    broker.publish(&world.log[60..]);
    reader.drain(&broker, 1_000).await;
    assert_eq!(reader.positions(), (1..=100).collect::<Vec<u64>>());
    let mut other = Reader::new();
    other.drain(&broker, 3).await;
    assert_eq!(other.positions(), (1..=100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_the_relay_set_aside_is_not_delivered_from_the_outbox() {
    let (_directory, database) = database().await;
    let world = world(3, 3);
    assert_eq!(database.do_write(0, world.log.clone()).await, Completion::Done(()));
    let row = &world.log[5];
    let held = HeldEvent {
        consumer: Consumer::Relay,
        wallet_id: row.event.wallet_id.clone(),
        event_id: row.event.event_id,
        version: row.event.version,
        partition: partition_of(&row.event.wallet_id),
        offset: row.position.0,
        event: Some(row.event.clone()),
        dead: Some(DeadLetter { reason: "refused".to_owned(), attempts: 8 }),
    };
    assert_eq!(database.do_mark(0, 6, vec![held], Vec::new()).await, Completion::Done(()));
    let mut reader = Reader::new();
    reader.drain(&Broker::start(database).await.unwrap(), 100).await;
    assert_eq!(reader.positions(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_consumer_of_some_partitions_gets_those_and_no_others() {
    let (_directory, database) = database().await;
    let broker = Broker::start(database).await.unwrap();
    let world = world(40, 0);
    broker.publish(&world.log);
    let fetch =
        Effect::Fetch { effect: EFFECT, consumer: Consumer::ReadModel, after: vec![(3, 0), (7, 20)], limit: 100 };
    let Some(Input::Fetched(EFFECT, Completion::Done(messages))) = broker.perform(fetch).await else { panic!() };
    let expected: Vec<u64> = world
        .log
        .iter()
        .filter(|row| match partition_of(&row.event.wallet_id) {
            3 => true,
            7 => row.position.0 > 20,
            _ => false,
        })
        .map(|row| row.position.0)
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<u64>>(), expected);
    assert_eq!(broker.perform(Effect::LoadFeederCheckpoint(EFFECT)).await, None);
}

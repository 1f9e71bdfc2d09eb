//! What cannot be published or read is set aside, and nothing else is held up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use wallex_contracts::events::Log;
use wallex_core::effect::{Completion, Effect, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, partition_of};

use crate::world::{EFFECT, PATIENCE, World, shared};

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", shared()).set("group.id", "test-reader").set("auto.offset.reset", "earliest");
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_stands_in_its_topic_with_reason_and_origin() {
    let world = World::with(crate::world::settings(&shared()), &[]).await;
    let event = Log::new("dead").event("one").event;
    let letter = HeldEvent {
        consumer: Consumer::Ledger,
        wallet_id: event.wallet_id.clone(),
        event_id: event.event_id,
        version: event.version,
        partition: 4,
        offset: 12,
        event: Some(event.clone()),
        dead: Some(DeadLetter { reason: "the table refuses it".to_owned(), attempts: 8 }),
    };
    let unreadable = HeldEvent { event: None, ..letter.clone() };
    let effect = Effect::PublishDead(EFFECT, Arc::new(vec![letter, unreadable]));
    assert_eq!(world.broker.perform(effect).await, Some(Input::DeadPublished(EFFECT, Completion::Done(()))));

    let reader: BaseConsumer = client().create().unwrap();
    let mut partitions = rdkafka::TopicPartitionList::new();
    let topic = world.settings.dead_letters_topic();
    for partition in 0..5 {
        partitions.add_partition_offset(&topic, partition, rdkafka::Offset::Beginning).unwrap();
    }
    reader.assign(&partitions).unwrap();
    let started = Instant::now();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        assert!(started.elapsed() < PATIENCE, "the dead letters did not arrive");
        let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else { continue };
        assert_eq!(message.key(), Some(event.wallet_id.as_str().as_bytes()));
        let headers: BTreeMap<&str, &str> = message
            .headers()
            .unwrap()
            .iter()
            .map(|one| (one.key, str::from_utf8(one.value.unwrap()).unwrap()))
            .collect();
        let events_topic = world.settings.events_topic();
        for (key, value) in [
            ("event-id", event.event_id.to_string().as_str()),
            ("dead-consumer", "ledger-projector"),
            ("dead-reason", "the table refuses it"),
            ("dead-attempts", "8"),
            ("source-topic", &events_topic),
            ("source-partition", "4"),
            ("source-offset", "12"),
        ] {
            assert_eq!(headers.get(key), Some(&value), "{key}");
        }
        bodies.push(message.payload().map(<[u8]>::to_vec));
    }
    assert!(bodies[0].as_ref().is_some_and(|body| body.starts_with(b"{\"schemaVersion\"")));
    assert_eq!(bodies[1], None);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_events_do_not_stop_the_consumer() {
    let world = World::alone(&shared()).await;
    let mut log = Log::new("poison");
    let (before, after) = (log.event("one"), log.event("one"));
    let partition = partition_of(&before.event.wallet_id);
    world.publish_all(std::slice::from_ref(&before)).await;
    let stranger: FutureProducer = client().create().unwrap();
    let topic = world.settings.events_topic();
    let odd = FutureRecord::to(&topic).partition(i32::from(partition)).payload(b"\xff\x00".as_slice()).key("no wallet");
    stranger.send(odd.headers(OwnedHeaders::new()), Duration::from_secs(30)).await.unwrap();
    let empty: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).partition(i32::from(partition));
    stranger.send(empty, Duration::from_secs(30)).await.unwrap();
    world.publish_all(std::slice::from_ref(&after)).await;
    let is_after = |one: &wallex_core::projector::Message| one.event == Ok(after.event.clone());
    let mut messages = world.read(&[partition], |taken| taken.iter().any(is_after)).await;
    // An event whose acknowledgement was lost is published again.
    messages.dedup_by(|one, before| one.event.is_ok() && one.event == before.event);
    assert_eq!(messages[0].event, Ok(before.event));
    assert!(messages[1..3].iter().all(|one| one.event.is_err() && one.wallet_id.as_str().starts_with("unreadable:")));
    assert_eq!(messages[3].event, Ok(after.event));
}

/// The topic takes small messages only, so one event is refused by the broker, together with all that travelled with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_broker_refuses_holds_back_its_wallet_alone() {
    let world = World::alone(&shared()).await;
    let topic = world.settings.events_topic();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let small = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "2000");
    admin.alter_configs(&[small], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();

    let mut log = Log::new("refused");
    let mut events: Vec<Recorded> = log.many(4, 12);
    // Noise, so that it stays too large when it is compressed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noisy = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 58) as u8)
    };
    let noise: String = (0..4_000).map(|_| noisy()).collect();
    events[5].event.description = Some(noise.replace('\\', "/").replace('"', "'").into());
    let bad = events[5].event.wallet_id.clone();
    let started = Instant::now();
    let results = loop {
        assert!(started.elapsed() < PATIENCE, "the outcome is never known");
        if let Completion::Done(results) = world.publish(&events).await {
            break results;
        }
    };
    for (at, (one, result)) in events.iter().zip(&results).enumerate() {
        let expected = match at {
            5 => Some(FailureKind::Rejected),
            at if at > 5 && one.event.wallet_id == bad => Some(FailureKind::Unavailable),
            _ => None,
        };
        assert_eq!(result.as_ref().map(|failure| failure.kind), expected, "event {at}: {result:?}");
    }
    let partition = partition_of(&bad);
    let of_bad = world.read(&[partition], |taken| taken.iter().any(|one| one.wallet_id == bad)).await;
    assert!(of_bad.iter().filter(|one| one.wallet_id == bad).all(|one| one.version.0 == 1));
}

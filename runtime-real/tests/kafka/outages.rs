//! A Kafka that is killed, cut off, or silent: nothing acknowledged is lost, and no wallet's events change their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallex_contracts::events::Log;
use wallex_core::effect::Completion;
use wallex_core::event::Recorded;
use wallex_core::id::EventId;
use wallex_core::projector::Message;

use crate::own::OwnServer;
use crate::proxy::{Fault, Proxy};
use crate::world::{PATIENCE, World};

const ALL: [u16; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Every event is there, and each wallet's versions come in order when they come for the first time.
fn assert_whole(messages: &[Message], events: &[Recorded]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for message in messages {
        let last = last.entry(message.wallet_id.as_str()).or_insert(0);
        assert!(message.version.0 <= *last + 1, "{} jumps from {last} to {}", message.wallet_id, message.version);
        *last = message.version.0.max(*last);
    }
    for Recorded { event, .. } in events {
        assert!(last.get(event.wallet_id.as_str()) >= Some(&event.version.0), "{} is missing", event.event_id);
    }
}

fn has_all(messages: &[Message], events: &[Recorded]) -> bool {
    let there: BTreeSet<EventId> = messages.iter().map(|one| one.event_id).collect();
    events.iter().all(|one| there.contains(&one.event.event_id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kafka_that_is_killed_while_publishing_loses_nothing_that_it_acknowledged() {
    let server = Arc::new(OwnServer::start("kafka"));
    let world = World::alone(&format!("127.0.0.1:{}", server.ports().port)).await;
    let events = Log::new("killed").many(40, 6_000);
    let mut killing = None;
    let started = Instant::now();
    for (number, some) in events.chunks(300).enumerate() {
        if number == 5 {
            let server = Arc::clone(&server);
            killing = Some(tokio::task::spawn_blocking(move || {
                server.kill();
                server.restart();
            }));
        }
        world.publish_all(some).await;
        assert!(started.elapsed() < PATIENCE, "publishing takes too long");
    }
    killing.expect("Kafka is killed on the way").await.unwrap();
    let messages = world.read(&ALL, |taken| has_all(taken, &events)).await;
    assert_whole(&messages, &events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_that_fails_leaves_outcomes_unknown_and_never_wrong() {
    let server = OwnServer::start("kafka");
    let ports = server.ports();
    let proxy = Proxy::start(&format!("127.0.0.1:{}", ports.proxy), format!("127.0.0.1:{}", ports.proxied)).await;
    let world = World::alone(&proxy.address().to_string()).await;
    let events = Log::new("network").many(10, 400);
    world.publish_all(&events[..100]).await;
    for (fault, some) in [
        (Fault::SwallowAnswers, &events[100..200]),
        (Fault::Cut, &events[200..300]),
        (Fault::Swallow, &events[300..400]),
    ] {
        proxy.set(fault);
        let asked = Instant::now();
        let completion = world.publish(some).await;
        assert!(!matches!(completion, Completion::Done(ref results) if results.iter().all(Option::is_none)));
        assert!(asked.elapsed() < Duration::from_secs(30), "{fault:?}: the publisher gives up by itself");
        if fault == Fault::SwallowAnswers {
            assert_eq!(completion, Completion::Unknown, "what was sent and not answered may have been done");
        }
        assert!(world.broker.health().await.latency.is_none(), "{fault:?}: health shows it");
        // Nothing waits in the network when it comes back: bytes that were swallowed are gone with their connection.
        proxy.set(Fault::Cut);
        proxy.set(Fault::None);
        world.publish_all(some).await;
    }
    let messages = world.read(&ALL, |taken| has_all(taken, &events)).await;
    assert_whole(&messages, &events);
}

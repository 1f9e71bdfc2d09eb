//! Topics are made as the service needs them, and others are refused.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use wallex::broker::kafka::{KafkaBroker, StartError};
use wallex_contracts::events::Log;
use wallex_core::projector::Consumer;

use crate::own::OwnServer;
use crate::world::{World, settings, shared};

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", shared()).create().unwrap()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(Duration::from_secs(30)))
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_have_their_partitions_and_their_retention() {
    let world = World::with(settings(&shared()), &[]).await;
    let topics: [(String, usize, u64); 2] =
        [(world.settings.events_topic(), 10, 7), (world.settings.dead_letters_topic(), 5, 30)];
    for (topic, partitions, days) in topics {
        let admin = admin();
        let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(30)).unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), partitions, "{topic}");
        let configs = admin.describe_configs(&[ResourceSpecifier::Topic(&topic)], &options()).await.unwrap();
        let config = configs.into_iter().next().unwrap().unwrap();
        let retention = config.get("retention.ms").unwrap().value.clone();
        assert_eq!(retention, Some((days * 24 * 3_600_000).to_string()), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_another_number_of_partitions_is_refused_by_name() {
    let settings = settings(&shared());
    let topic = settings.events_topic();
    let wrong = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    admin().create_topics(&[wrong], &options()).await.unwrap()[0].as_ref().unwrap();
    let error = KafkaBroker::start(settings.clone(), &[]).await.err().unwrap();
    assert!(matches!(error, StartError::Partitions { found: 3, wanted: 10, .. }), "{error}");
    assert!(error.to_string().contains(&topic));
    admin().delete_topics(&[&topic, &settings.dead_letters_topic()], &options()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_found_to_be_wrong_when_kafka_comes_back_is_the_reason_that_health_gives() {
    let server = OwnServer::start("kafka");
    let address = format!("127.0.0.1:{}", server.ports().port);
    let settings = settings(&address);
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
    let topic = settings.events_topic();
    let wrong = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    client.create_topics(&[wrong], &options()).await.unwrap()[0].as_ref().unwrap();
    server.kill();
    let (broker, _inputs) = KafkaBroker::start(settings, &[]).await.expect("a Kafka that is away is no error");
    assert!(broker.health().await.reason.is_some());
    server.restart();
    let started = std::time::Instant::now();
    let wanted = format!("topic {topic} has 3 partitions, and 10 are needed");
    loop {
        let health = broker.health().await;
        let reason = health.reason.expect("nothing can be published at any time");
        assert!(!health.topics_ready);
        if health.latency.is_some() && reason.contains(&wanted) {
            break;
        }
        assert!(started.elapsed() < crate::world::PATIENCE, "the reason stays {reason}");
    }
    let error = broker.statistics().await.unwrap_err().to_string();
    assert!(error.contains(&wanted), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_show_sizes_and_the_lag_of_each_group() {
    let world = World::alone(&shared()).await;
    let events = Log::new("statistics").many(7, 50);
    world.publish_all(&events).await;
    let ends: Vec<(u16, u64)> = {
        let messages = world.read(&(0..10).collect::<Vec<_>>(), |taken| taken.len() >= 50).await;
        (0..10).map(|one| (one, messages.iter().filter(|two| two.partition == one).count() as u64)).collect()
    };
    // The consumer has passed everything; its group hears of that within a second or so.
    world.fetch(Consumer::ReadModel, &ends, 1).await;
    let started = std::time::Instant::now();
    let statistics = loop {
        let statistics = world.broker.statistics().await.unwrap();
        if statistics.groups[0].total() == 0 || started.elapsed() > crate::world::PATIENCE {
            break statistics;
        }
    };
    assert_eq!((statistics.topics[0].partitions, statistics.topics[0].messages), (10, 50));
    assert_eq!((statistics.topics[1].partitions, statistics.topics[1].messages), (5, 0));
    assert_eq!(statistics.groups[0].group, world.settings.group(Consumer::ReadModel));
    assert_eq!((statistics.groups[0].total(), statistics.groups[1].total()), (0, 50));
    let health = world.broker.health().await;
    assert!(health.latency.is_some() && health.reason.is_none() && health.topics_ready);
}

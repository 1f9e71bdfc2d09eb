//! A broker with topics and groups of its own, which go with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::sync::mpsc;
use wallex::broker::kafka::{KafkaBroker, KafkaSettings};
use wallex_contracts::Port;
use wallex_core::effect::{Completion, Effect, Failure, Input};
use wallex_core::event::Recorded;
use wallex_core::id::EffectId;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, Message};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const EFFECT: EffectId = EffectId(9);
pub(crate) const BOTH: [Consumer; 2] = [Consumer::ReadModel, Consumer::Ledger];

/// The address of the shared Kafka.
pub(crate) fn shared() -> String {
    let port = std::env::var("SERVICES_KAFKA_PORT").unwrap_or_else(|_| "29092".to_owned());
    format!("127.0.0.1:{port}")
}

/// Settings with names that nobody else has.
pub(crate) fn settings(brokers: &str) -> KafkaSettings {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    KafkaSettings { prefix: format!("test-{}-{nanos}-{number}-", std::process::id()), ..KafkaSettings::new(brokers) }
}

/// One instance's broker.
pub(crate) struct World {
    pub(crate) broker: KafkaBroker,
    pub(crate) settings: KafkaSettings,
    inputs: mpsc::UnboundedReceiver<Input>,
    assigned: BTreeSet<(Consumer, u16)>,
}

impl World {
    /// An instance whose consumers have all partitions.
    pub(crate) async fn alone(brokers: &str) -> Self {
        let mut world = Self::with(settings(brokers), &BOTH).await;
        world.wait_for_partitions(|assigned| assigned.len() == usize::from(PARTITIONS) * 2).await;
        world
    }

    /// An instance with these consumers.
    pub(crate) async fn with(settings: KafkaSettings, consumers: &[Consumer]) -> Self {
        let started = Instant::now();
        let (broker, inputs) = KafkaBroker::start(settings.clone(), consumers).await.unwrap();
        let world = Self { broker, settings, inputs, assigned: BTreeSet::new() };
        while !world.broker.health().await.topics_ready {
            let address = &world.settings.brokers;
            assert!(started.elapsed() < PATIENCE, "no Kafka at {address}: run ./scripts/services.sh up");
        }
        world
    }

    /// Takes what the consumers report until the assignment is as wanted.
    pub(crate) async fn wait_for_partitions(&mut self, wanted: impl Fn(&BTreeSet<(Consumer, u16)>) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(&self.assigned) {
                match self.inputs.recv().await.expect("the consumers run") {
                    Input::PartitionsAssigned(consumer, partitions) => {
                        for partition in partitions {
                            assert!(self.assigned.insert((consumer, partition)), "partition {partition} given twice");
                        }
                    }
                    Input::PartitionsRevoked(consumer, partitions) => {
                        for partition in partitions {
                            assert!(self.assigned.remove(&(consumer, partition)), "partition {partition} not given");
                        }
                    }
                    Input::MessagesAvailable(_) => {}
                    other => panic!("not from a broker: {other:?}"),
                }
            }
        });
        assert!(waited.await.is_ok(), "the partitions did not come: {:?}", self.assigned);
    }

    /// Waits for the hint that messages are there.
    pub(crate) async fn wait_for_hint(&mut self, consumer: Consumer) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.inputs.recv().await != Some(Input::MessagesAvailable(consumer)) {}
        });
        assert!(waited.await.is_ok(), "no hint came");
    }

    pub(crate) fn assigned(&self) -> &BTreeSet<(Consumer, u16)> {
        &self.assigned
    }

    /// Publishes once.
    pub(crate) async fn publish(&self, events: &[Recorded]) -> Completion<Vec<Option<Failure>>> {
        match self.broker.perform(Effect::Publish(EFFECT, Arc::new(events.to_vec()))).await {
            Some(Input::Published(EFFECT, completion)) => completion,
            other => panic!("publishing is answered by {other:?}"),
        }
    }

    /// Publishes until everything is acknowledged.
    pub(crate) async fn publish_all(&self, events: &[Recorded]) {
        let started = Instant::now();
        let mut open = events.to_vec();
        while !open.is_empty() {
            assert!(started.elapsed() < PATIENCE, "{} events were not acknowledged", open.len());
            if let Completion::Done(results) = self.publish(&open).await {
                open = open.into_iter().zip(results).filter_map(|(one, failure)| failure.map(|_| one)).collect();
            }
        }
    }

    pub(crate) async fn fetch(
        &self,
        consumer: Consumer,
        after: &[(u16, u64)],
        limit: usize,
    ) -> Completion<Vec<Message>> {
        let effect = Effect::Fetch { effect: EFFECT, consumer, after: after.to_vec(), limit };
        match self.broker.perform(effect).await {
            Some(Input::Fetched(EFFECT, completion)) => completion,
            other => panic!("a fetch is answered by {other:?}"),
        }
    }

    /// Reads these partitions from the beginning until `enough` says so.
    pub(crate) async fn read(&self, partitions: &[u16], enough: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let started = Instant::now();
        let mut after: Vec<(u16, u64)> = partitions.iter().map(|partition| (*partition, 0)).collect();
        let mut taken = Vec::new();
        while !enough(&taken) {
            assert!(started.elapsed() < PATIENCE, "only {} messages came", taken.len());
            let Completion::Done(messages) = self.fetch(Consumer::ReadModel, &after, 500).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            if messages.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for message in &messages {
                let place = after.iter_mut().find(|(partition, _)| *partition == message.partition).unwrap();
                assert!(place.1 < message.offset);
                place.1 = message.offset;
            }
            taken.extend(messages);
        }
        taken
    }
}

impl Port for World {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.broker.perform(effect).await
    }
}

impl Drop for World {
    /// Leaves the groups, and deletes the topics unless another instance did.
    fn drop(&mut self) {
        self.broker.stop();
        let settings = self.settings.clone();
        // Drop may be called inside of a runtime, where blocking on another is refused.
        let deleted = std::thread::spawn(move || delete_topics(&settings)).join();
        if deleted.is_err() && !std::thread::panicking() {
            eprintln!("topics with the prefix {} are left behind", self.settings.prefix);
        }
    }
}

fn delete_topics(settings: &KafkaSettings) {
    let (events, dead) = (settings.events_topic(), settings.dead_letters_topic());
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(3)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A server of the test's own may be gone already, and takes its topics along.
    let _deleted = runtime.block_on(admin.delete_topics(&[&events, &dead], &options));
}

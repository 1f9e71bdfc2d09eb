//! Addresses, names, and the configuration of the clients.
//!
//! Every timeout of the clients stands here, because they have to fit each other and the core: whatever is asked is
//! answered, or given up as unknown, before the core stops waiting for it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use wallex_core::projector::Consumer;

/// Partitions of the topic of dead letters.
pub const DEAD_LETTER_PARTITIONS: u16 = 5;
/// How long a publication may take before its outcome counts as unknown; below the core's patience with an effect.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a question about topics, groups or offsets may take.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How long health waits for an answer; below the patience of the HTTP interface, so that the client's reason is shown.
pub(super) const HEALTH_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A consumer that is silent for so long has died, and its partitions go to others.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message, in bytes; the broker's default is a little more.
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// How to reach Kafka, and how topics and groups are called.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Addresses to begin with, separated by commas.
    pub brokers: String,
    /// Stands before the names of topics and groups, so that several systems, or tests, share a cluster.
    pub prefix: String,
    /// Copies of each partition: 1 for one broker, 3 in production.
    pub replication: u16,
    /// How long events stay in their topic.
    pub events_retention: Duration,
    /// How long dead letters stay in theirs.
    pub dead_letters_retention: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl KafkaSettings {
    /// The defaults: no prefix, one copy, seven and thirty days.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            prefix: String::new(),
            replication: 1,
            events_retention: DAY * 7,
            dead_letters_retention: DAY * 30,
        }
    }

    /// The topic of events.
    #[must_use]
    pub fn events_topic(&self) -> String {
        format!("{}wallet-events", self.prefix)
    }

    /// The topic of dead letters.
    #[must_use]
    pub fn dead_letters_topic(&self) -> String {
        format!("{}wallet-events-dlq", self.prefix)
    }

    /// The group of a consumer.
    #[must_use]
    pub fn group(&self, consumer: Consumer) -> String {
        format!("{}{}", self.prefix, consumer.name())
    }

    /// What all clients share.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Notice)
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "wallex")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "6000")
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("log.connection.close", "false");
        config
    }

    /// The producer: idempotent, acknowledged by all replicas in sync, and stopping rather than leaving a gap.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("compression.type", "gzip")
            // Events are alike: the cheapest level saves nearly as much as the best, at a fraction of the work.
            .set("compression.level", "1")
            // A batch of the relay is handed over in a few milliseconds, and should travel in few requests.
            .set("linger.ms", "2")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("request.timeout.ms", "2000")
            // Giving up is the publisher's: it knows what is to be published again, and in which order.
            .set("message.timeout.ms", "0")
            .set("partitioner", "murmur2_random");
        config
    }

    /// A consumer in its group, which reads where the core says.
    pub(super) fn consumer(&self, consumer: Consumer) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.group(consumer))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
            .set("heartbeat.interval.ms", "1000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What retention has removed is read from the event store: the gap is seen by the versions.
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        config
    }
}

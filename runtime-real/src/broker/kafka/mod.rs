//! Kafka: the topic of events, its consumers, and the topic of dead letters. What partitions, offsets, progress and
//! order are in it is told at [`KafkaBroker`] (INV-06, INV-07, INV-08).
//!
//! | module | owns |
//! |---|---|
//! | `settings` | addresses, names, and the configuration of the clients |
//! | `record` | an event as a message, and back |
//! | `publisher` | publishing, and what is known of each event afterwards |
//! | `consumer`, `buffer` | one consumer: its thread, its place in the group, and what is read and not taken yet |
//! | `topics` | topics with the right partitions and retention |
//! | `statistics` | what health shows: connection, topics, lag |
//! | `context` | librdkafka's log, at a bounded rate |

mod buffer;
mod consumer;
mod context;
mod publisher;
mod record;
mod settings;
mod statistics;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::projector::Consumer;

use consumer::ConsumerThread;
use publisher::Publisher;

pub use settings::{DEAD_LETTER_PARTITIONS, KafkaSettings};
pub use statistics::{GroupLag, KafkaHealth, KafkaStatistics, StatisticsError, TopicStatistics};

/// Why Kafka cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A client refuses its configuration.
    #[error("the Kafka client cannot be set up: {0}")]
    Client(#[from] KafkaError),
    /// A topic is there, and is not what the service needs.
    #[error("topic {topic} has {found} partitions, and {wanted} are needed: wallets would change their partition")]
    Partitions {
        /// Its name.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it must have.
        wanted: usize,
    },
    /// The system gives no thread.
    #[error("no thread for a consumer: {0}")]
    Thread(#[from] std::io::Error),
}

/// The connection to Kafka; cheap to clone.
///
/// Performs [`Effect::Publish`], [`Effect::PublishDead`] and [`Effect::Fetch`], and tells the core which partitions
/// each consumer has been given ([`Input::PartitionsAssigned`], [`Input::PartitionsRevoked`]) and when messages wait.
///
/// - **Partition** = the core's `partition_of` (murmur2 of the wallet id, as Kafka's own clients hash keys): the
///   embedded broker, this adapter and any other producer agree on it.
/// - **Offsets**: the core counts from 1 and takes 0 for "nothing yet", so offset `n` of Kafka is `n + 1` in the core.
///   The core's "last taken" is then the very number that Kafka calls the committed offset (the next to read).
/// - **Progress** lives in the database, in one transaction with the rows. What is committed to the group is for tools
///   that show lag, and is never read back (INV-06, INV-08).
/// - **Order** per wallet is kept (INV-07): see `publisher`.
#[derive(Clone)]
pub struct KafkaBroker {
    settings: Arc<KafkaSettings>,
    publisher: Arc<Publisher>,
    consumers: Arc<[ConsumerThread]>,
    topics: Arc<topics::Topics>,
    stopped: Arc<AtomicBool>,
    _preparing: Arc<AbortOnDrop>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl KafkaBroker {
    /// Connects, creates topics that are missing, and lets these consumers join their groups. What they are given comes
    /// through the channel. A Kafka that is away is no error: everything begins when it is there.
    ///
    /// # Errors
    /// When a setting is refused, or a topic has another number of partitions.
    pub async fn start(
        settings: KafkaSettings,
        consumers: &[Consumer],
    ) -> Result<(Self, mpsc::UnboundedReceiver<Input>), StartError> {
        let settings = Arc::new(settings);
        let topics = Arc::new(topics::Topics::new(Arc::clone(&settings))?);
        topics.prepare().await?;
        let preparing = Arc::new(AbortOnDrop(tokio::spawn(Arc::clone(&topics).prepare_until_ready())));
        let publisher = Arc::new(Publisher::new(Arc::clone(&settings))?);
        let (inputs, received) = mpsc::unbounded_channel();
        let consumers = consumers
            .iter()
            .map(|one| ConsumerThread::start(*one, Arc::clone(&settings), Arc::clone(&topics), inputs.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let consumers = Arc::from(consumers);
        Ok((Self { settings, publisher, consumers, topics, stopped, _preparing: preparing }, received))
    }

    /// Performs an effect of this port; nothing for other effects.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Publish(id, events) => Some(Input::Published(id, self.publisher.publish(&events).await)),
            Effect::PublishDead(id, dead) => Some(Input::DeadPublished(id, self.publisher.publish_dead(&dead).await)),
            Effect::Fetch { effect, consumer, after, limit } => {
                Some(Input::Fetched(effect, self.fetch(consumer, &after, limit)))
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::LoadFeederCheckpoint(_)
            | Effect::ReadLog { .. }
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::LoadVersions { .. }
            | Effect::ReadStream { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => None,
        }
    }

    fn fetch(
        &self,
        consumer: Consumer,
        after: &[(u16, u64)],
        limit: usize,
    ) -> Completion<Vec<wallex_core::projector::Message>> {
        let Some(thread) = self.consumers.iter().find(|one| one.consumer() == consumer) else {
            let reason = format!("{} does not consume here", consumer.name());
            return Completion::Failed(Failure { kind: FailureKind::Unavailable, reason });
        };
        match thread.fetch(after, limit) {
            Ok(messages) => Completion::Done(messages),
            Err(reason) => Completion::Failed(Failure { kind: FailureKind::Unavailable, reason }),
        }
    }

    /// Whether Kafka can be used, and how fast it answers.
    pub async fn health(&self) -> KafkaHealth {
        statistics::health(&self.publisher, &self.topics).await
    }

    /// What is known to be wrong, without asking: the topics, or the last error of a connection, however long ago.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.topics.trouble().map(|why| why.to_string()).or_else(|| self.publisher.last_error())
    }

    /// Sizes of the topics and lag of the groups.
    ///
    /// # Errors
    /// [`StatisticsError`] says whether Kafka does not answer, or what is wrong with its topics.
    pub async fn statistics(&self) -> Result<KafkaStatistics, StatisticsError> {
        statistics::read(Arc::clone(&self.settings), &self.topics).await
    }

    /// Leaves the groups, so that others take over at once, and stops the threads. Waits for them: call it where
    /// blocking is allowed.
    pub fn stop(&self) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            for consumer in self.consumers.iter() {
                consumer.ask_to_stop();
            }
            for consumer in self.consumers.iter() {
                consumer.join();
            }
        }
    }
}

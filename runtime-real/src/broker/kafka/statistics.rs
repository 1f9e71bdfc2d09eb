//! What health shows of Kafka: whether it answers, how large the topics are, and how far behind each group is.
//!
//! Asked on demand, with a bounded wait, away from the threads that publish and consume. Lag is that of the offsets
//! committed to the group, which follow the database by a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::context::Log;
use super::publisher::Publisher;
use super::settings::{DEAD_LETTER_PARTITIONS, KafkaSettings, QUESTION_TIMEOUT};
use super::topics::Topics;

/// Whether Kafka can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaHealth {
    /// How long the producer's connection took to answer; nothing when it did not.
    pub latency: Option<Duration>,
    /// Why it cannot be used: it does not answer, or its topics are not as they should be.
    pub reason: Option<String>,
    /// Whether the topics are there and as they should be.
    pub topics_ready: bool,
}

/// Topics and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaStatistics {
    /// The topic of events, and that of dead letters.
    pub topics: Vec<TopicStatistics>,
    /// The groups of the projectors.
    pub groups: Vec<GroupLag>,
}

/// Why there are no figures.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The question was not answered.
    #[error(transparent)]
    Client(#[from] KafkaError),
    /// The topics are not as they should be.
    #[error("its topics cannot be used: {0}")]
    Topics(Arc<str>),
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStatistics {
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// Messages that are in it now.
    pub messages: u64,
}

/// How far behind a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// Its name.
    pub group: String,
    /// Partition, and messages that the group has not taken. Without a committed offset, all of them.
    pub partitions: Vec<(u16, u64)>,
}

impl GroupLag {
    /// Messages not taken, over all partitions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.partitions.iter().map(|(_, lag)| lag).sum()
    }
}

impl ConsumerContext for Log {}

pub(super) async fn health(publisher: &Publisher, topics: &Topics) -> KafkaHealth {
    let asked = Instant::now();
    let answered = publisher.ask_metadata().await;
    let latency = answered.is_ok().then(|| asked.elapsed());
    let trouble = topics.trouble();
    let topics_ready = trouble.is_none();
    let unusable = trouble.map(|why| format!("its topics cannot be used: {why}"));
    // That no answer came in time is the client's error; why not is what its connections have met.
    let silent = answered.err().map(|error| match publisher.last_error() {
        Some(last) => format!("{error}; last: {last}"),
        None => error.to_string(),
    });
    KafkaHealth { latency, reason: silent.or(unusable), topics_ready }
}

pub(super) async fn read(settings: Arc<KafkaSettings>, topics: &Topics) -> Result<KafkaStatistics, StatisticsError> {
    // Asking for partitions that are not there would only find out that they are not.
    if let Some(trouble) = topics.trouble() {
        return Err(StatisticsError::Topics(trouble));
    }
    let read = tokio::task::spawn_blocking(move || read_blocking(&settings)).await;
    Ok(read.map_err(|_| KafkaError::Canceled)??)
}

fn read_blocking(settings: &KafkaSettings) -> KafkaResult<KafkaStatistics> {
    let events = settings.events_topic();
    let mut topics = Vec::new();
    let mut ends = Vec::new();
    let mut groups = Vec::new();
    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
        // A client that only asks: it never joins the group.
        let client: BaseConsumer<Log> =
            BaseConsumer::from_config_and_context(&settings.consumer(consumer), Log::new("statistics"))?;
        if topics.is_empty() {
            ends = watermarks(&client, &events, PARTITIONS)?;
            let dead = watermarks(&client, &settings.dead_letters_topic(), DEAD_LETTER_PARTITIONS)?;
            topics = vec![sizes(&events, &ends), sizes(&settings.dead_letters_topic(), &dead)];
        }
        groups.push(GroupLag { group: settings.group(consumer), partitions: lag(&client, &events, &ends)? });
    }
    Ok(KafkaStatistics { topics, groups })
}

/// First and next offset of each partition.
fn watermarks(client: &BaseConsumer<Log>, topic: &str, partitions: u16) -> KafkaResult<Vec<(i64, i64)>> {
    (0..i32::from(partitions)).map(|one| client.fetch_watermarks(topic, one, QUESTION_TIMEOUT)).collect()
}

fn sizes(topic: &str, ends: &[(i64, i64)]) -> TopicStatistics {
    let messages = ends.iter().map(|(first, next)| u64::try_from(next - first).unwrap_or(0)).sum();
    TopicStatistics { topic: topic.to_owned(), partitions: u16::try_from(ends.len()).unwrap_or(u16::MAX), messages }
}

fn lag(client: &BaseConsumer<Log>, topic: &str, ends: &[(i64, i64)]) -> KafkaResult<Vec<(u16, u64)>> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..ends.len() {
        asked.add_partition(topic, i32::try_from(partition).unwrap_or(i32::MAX));
    }
    let committed = client.committed_offsets(asked, QUESTION_TIMEOUT)?;
    let lag_of = |(partition, (first, next)): (u16, &(i64, i64))| {
        let taken = committed.find_partition(topic, i32::from(partition)).map(|one| one.offset());
        let from = if let Some(Offset::Offset(taken)) = taken { taken.max(*first) } else { *first };
        (partition, u64::try_from(next - from).unwrap_or(0))
    };
    Ok((0_u16..).zip(ends).map(lag_of).collect())
}

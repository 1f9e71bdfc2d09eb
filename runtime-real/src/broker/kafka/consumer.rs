//! One consumer of the topic: a thread with a place in the group.
//!
//! The thread polls without a pause, because that is how a member of a group learns of rebalances; what it reads goes to
//! the [`Buffer`], from which fetches are served without waiting. It begins to read a partition only when the core has
//! said after which offset: progress is in the database, not in the group. Partitions come and go cooperatively: those
//! that stay are read on meanwhile (INV-06).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use wallex_core::effect::Input;
use wallex_core::projector::{Consumer, Message};

use super::buffer::Buffer;
use super::context::Log;
use super::record;
use super::settings::{KafkaSettings, QUESTION_TIMEOUT};
use super::topics::Topics;

/// How long one poll waits; also how soon the thread sees that it has to seek or to stop.
const POLL: Duration = Duration::from_millis(20);
/// How often the group is told how far the core got.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait before another attempt to set up a consumer.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The thread, and the way to what it has read.
pub(super) struct ConsumerThread {
    consumer: Consumer,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    consumer: Consumer,
    topic: String,
    buffer: Mutex<Buffer>,
    /// What the core has taken, to be told to the group.
    taken: Mutex<Vec<(u16, u64)>>,
    inputs: mpsc::UnboundedSender<Input>,
    stop: AtomicBool,
    log: Log,
}

impl ConsumerThread {
    pub(super) fn start(
        consumer: Consumer,
        settings: Arc<KafkaSettings>,
        topics: Arc<Topics>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            consumer,
            topic: settings.events_topic(),
            buffer: Mutex::default(),
            taken: Mutex::default(),
            inputs,
            stop: AtomicBool::new(false),
            log: Log::new(consumer.name()),
        });
        let run = {
            let shared = Arc::clone(&shared);
            move || run(&shared, &settings, &topics)
        };
        let thread = std::thread::Builder::new().name(format!("kafka-{}", consumer.name())).spawn(run)?;
        Ok(Self { consumer, shared, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn consumer(&self) -> Consumer {
        self.consumer
    }

    /// See [`Buffer::fetch`].
    pub(super) fn fetch(&self, after: &[(u16, u64)], limit: usize) -> Result<Vec<Message>, String> {
        *lock(&self.shared.taken) = after.to_vec();
        lock(&self.shared.buffer).fetch(after, limit)
    }

    pub(super) fn ask_to_stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Waits until the thread has left the group.
    pub(super) fn join(&self) {
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(consumer = self.consumer.name(), "the consumer's thread has panicked");
        }
    }
}

impl Drop for ConsumerThread {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// Consumes until it is told to stop; begins anew when a client is broken beyond repair.
fn run(shared: &Arc<Shared>, settings: &KafkaSettings, topics: &Topics) {
    while !shared.stop.load(Ordering::Acquire) {
        if !topics.is_ready() {
            std::thread::sleep(POLL);
            continue;
        }
        if let Err(error) = consume(shared, settings) {
            shared.log.warn(&format!("the consumer begins anew: {error}"));
            std::thread::sleep(RETRY_DELAY);
        }
        // Leaving the group revokes everything; a client that could not say so is gone all the same.
        let assigned = lock(&shared.buffer).assigned();
        shared.revoked(&assigned);
    }
}

fn consume(shared: &Arc<Shared>, settings: &KafkaSettings) -> KafkaResult<()> {
    let context = Membership { shared: Arc::clone(shared) };
    let client: BaseConsumer<Membership> =
        BaseConsumer::from_config_and_context(&settings.consumer(shared.consumer), context)?;
    client.subscribe(&[&shared.topic])?;
    let mut paused = 0;
    let mut committed_at = Instant::now();
    let mut committed = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        match client.poll(POLL) {
            Some(Ok(message)) => shared.read(&record::message_from(&message)),
            Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal),
            Some(Err(error)) => shared.log.warn(&error.to_string()),
            None => {}
        }
        seek(&client, shared);
        paused = pause_or_resume(&client, shared, paused)?;
        if committed_at.elapsed() >= COMMIT_INTERVAL {
            committed_at = Instant::now();
            tell_the_group(&client, shared, &mut committed);
        }
    }
    tell_the_group(&client, shared, &mut committed);
    Ok(())
}

/// Goes where the core wants to read.
fn seek(client: &BaseConsumer<Membership>, shared: &Shared) {
    let wanted = lock(&shared.buffer).seeks();
    for (partition, after) in wanted {
        let result = seek_one(client, &shared.topic, partition, after);
        match result {
            Ok(Ok(())) => lock(&shared.buffer).sought(partition, after, Ok(())),
            Ok(Err(reason)) => lock(&shared.buffer).sought(partition, after, Err(reason)),
            // Kafka is away, or the partition is still being set up: tried again with the next poll.
            Err(error) => return shared.log.warn(&format!("partition {partition}: {error}")),
        }
    }
}

/// The inner error is final for now: the topic is shorter than what the core has taken from it.
fn seek_one(
    client: &BaseConsumer<Membership>,
    topic: &str,
    partition: u16,
    after: u64,
) -> KafkaResult<Result<(), String>> {
    let (_, end) = client.fetch_watermarks(topic, i32::from(partition), QUESTION_TIMEOUT)?;
    if u64::try_from(end).is_ok_and(|end| end < after) {
        return Ok(Err(format!(
            "partition {partition} of {topic} ends at {end}, and {after} was taken already: the topic was made anew; \
             move the checkpoint back"
        )));
    }
    let next = i64::try_from(after).unwrap_or(i64::MAX);
    client.seek(topic, i32::from(partition), Offset::Offset(next), QUESTION_TIMEOUT)?;
    Ok(Ok(()))
}

/// Stops reading while the buffer is full; polling goes on. Takes and gives the number of partitions that are paused.
fn pause_or_resume(client: &BaseConsumer<Membership>, shared: &Shared, paused: usize) -> KafkaResult<usize> {
    let (full, room) = {
        let buffer = lock(&shared.buffer);
        (buffer.is_full(), buffer.has_room())
    };
    if full {
        // Partitions that came while others were paused are not paused yet.
        let assignment = client.assignment()?;
        if assignment.count() != paused {
            client.pause(&assignment)?;
        }
        return Ok(assignment.count());
    }
    if paused > 0 && room {
        client.resume(&client.assignment()?)?;
        return Ok(0);
    }
    Ok(paused)
}

/// For tools that show lag. Nothing depends on it, so it is not waited for.
fn tell_the_group(client: &BaseConsumer<Membership>, shared: &Shared, committed: &mut Vec<(u16, u64)>) {
    let assigned = lock(&shared.buffer).assigned();
    let mut taken = lock(&shared.taken).clone();
    taken.retain(|(partition, _)| assigned.contains(partition));
    if taken.is_empty() || taken == *committed {
        return;
    }
    let mut offsets = TopicPartitionList::new();
    for (partition, after) in &taken {
        let next = Offset::Offset(i64::try_from(*after).unwrap_or(i64::MAX));
        let _shown_later = offsets.add_partition_offset(&shared.topic, i32::from(*partition), next);
    }
    if client.commit(&offsets, CommitMode::Async).is_ok() {
        *committed = taken;
    }
}

impl Shared {
    fn read(&self, message: &Message) {
        let hint = lock(&self.buffer).push(message.clone());
        if hint {
            self.tell(Input::MessagesAvailable(self.consumer));
        }
    }

    fn assigned(&self, partitions: &[u16]) {
        lock(&self.buffer).assign(partitions);
        if !partitions.is_empty() {
            tracing::info!(consumer = self.consumer.name(), ?partitions, "assigned");
            self.tell(Input::PartitionsAssigned(self.consumer, partitions.to_vec()));
        }
    }

    fn revoked(&self, partitions: &[u16]) {
        lock(&self.buffer).revoke(partitions);
        if !partitions.is_empty() {
            tracing::info!(consumer = self.consumer.name(), ?partitions, "revoked");
            self.tell(Input::PartitionsRevoked(self.consumer, partitions.to_vec()));
        }
    }

    fn tell(&self, input: Input) {
        // A driver that has stopped needs to know nothing any more.
        let _stopped = self.inputs.send(input);
    }
}

/// The consumer's place in its group, as the client reports it on the polling thread.
struct Membership {
    shared: Arc<Shared>,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.shared.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.log.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, client: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<u16> =
            list.elements().iter().filter_map(|one| u16::try_from(one.partition()).ok()).collect();
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // What is read before the core has said from where is dropped. From the beginning, because the client may go
            // there later than told when a broker is away: read again is harmless, left out is not (INV-06, INV-10).
            let assigned = list
                .set_all_offsets(Offset::Beginning)
                .and_then(|()| if cooperative { client.incremental_assign(list) } else { client.assign(list) });
            self.shared.assigned(&partitions);
            assigned
        } else {
            self.shared.revoked(&partitions);
            if cooperative { client.incremental_unassign(list) } else { client.unassign() }
        };
        if let Err(error) = done {
            self.shared.log.warn(&format!("a rebalance failed: {error}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Publishing: events and dead letters, and what is known of each afterwards.
//!
//! **Order.** The producer is idempotent and stops rather than leave a gap, so what a partition gets is always the
//! beginning of what it was to get. An event that the client itself refuses keeps the later ones of its wallet from being
//! handed over at all; one that the broker refuses counts for the later ones too, and they are published again in order
//! (INV-07). A producer that has stopped, or that holds messages nobody waits for any more, is replaced.
//!
//! **Outcome.** An event is acknowledged, refused (it will be again), or unavailable (known not to be there). When the
//! outcome of a single one is not known, that of the whole publication is [`Completion::Unknown`]: the relay publishes
//! again, and consumers skip what they have (INV-06).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, config::RDKafkaLogLevel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wallex_core::effect::{Completion, Failure, FailureKind};
use wallex_core::event::Recorded;
use wallex_core::id::WalletId;
use wallex_core::projector::{Consumer, HeldEvent, partition_of};

use super::context::Log;
use super::record;
use super::settings::{HEALTH_TIMEOUT, KafkaSettings, PUBLISH_TIMEOUT};

pub(super) struct Publisher {
    settings: Arc<KafkaSettings>,
    producer: Mutex<Arc<Producer>>,
}

type Producer = ThreadedProducer<Reports>;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    /// Known not to be in the topic.
    Failed(Failure),
    /// It may be in the topic.
    Unknown,
}

impl Outcome {
    fn is_refused(&self) -> bool {
        matches!(self, Self::Failed(why) if why.kind == FailureKind::Rejected)
    }
}

/// The outcomes of one publication, as they come in.
struct Pending {
    state: Mutex<PendingState>,
}

struct PendingState {
    outcomes: Vec<Outcome>,
    open: usize,
    done: Option<oneshot::Sender<()>>,
}

/// One message's place in its publication; comes back with the delivery report.
struct Ticket {
    pending: Arc<Pending>,
    index: usize,
}

/// Takes the delivery reports, on the producer's thread.
struct Reports {
    log: Log,
}

impl Publisher {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Result<Self, KafkaError> {
        let producer = Mutex::new(Arc::new(new_producer(&settings)?));
        Ok(Self { settings, producer })
    }

    /// Publishes events in order.
    pub(super) async fn publish(&self, events: &[Recorded]) -> Completion<Vec<Option<Failure>>> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        let mut outcomes = self.send_events(events, deadline).await;
        let open = outcomes.iter().filter(|one| **one != Outcome::Acknowledged).count();
        if open > 1 && outcomes.iter().any(Outcome::is_refused) {
            self.narrow_down(events, &mut outcomes, deadline).await;
        }
        hold_back_later_ones(events, &mut outcomes);
        completion(outcomes)
    }

    /// A broker that refuses a message refuses all that travelled with it. They are published again in ever smaller
    /// parts, until the one at fault is alone.
    async fn narrow_down(&self, events: &[Recorded], outcomes: &mut [Outcome], deadline: Instant) {
        let mut stopped: BTreeSet<&WalletId> = BTreeSet::new();
        let mut parts: Vec<Vec<usize>> = Vec::new();
        push_halves(&mut parts, (0..events.len()).filter(|at| outcomes[*at] != Outcome::Acknowledged).collect());
        while let Some(part) = parts.pop() {
            let (behind_one, part): (Vec<usize>, Vec<usize>) =
                part.into_iter().partition(|at| stopped.contains(&events[*at].event.wallet_id));
            behind_one.into_iter().for_each(|at| outcomes[at] = behind());
            let again: Vec<Recorded> = part.iter().map(|at| events[*at].clone()).collect();
            let results = self.send_events(&again, deadline).await;
            let company_refused = part.len() > 1 && results.iter().any(Outcome::is_refused);
            let mut open = Vec::new();
            for (at, result) in part.into_iter().zip(results) {
                if result != Outcome::Acknowledged && company_refused {
                    open.push(at);
                } else if result != Outcome::Acknowledged {
                    stopped.insert(&events[at].event.wallet_id);
                }
                outcomes[at] = result;
            }
            push_halves(&mut parts, open);
        }
    }

    /// Publishes dead letters. All or nothing is not needed: they are published again until all are there.
    pub(super) async fn publish_dead(&self, dead: &[HeldEvent]) -> Completion<()> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        let (topic, events) = (self.settings.dead_letters_topic(), self.settings.events_topic());
        let send = |producer: &Producer, pending: &Arc<Pending>| {
            for (index, one) in dead.iter().enumerate() {
                let source = if one.consumer == Consumer::Relay { "outbox" } else { events.as_str() };
                let body = one.event.as_ref().map(record::body);
                let record = BaseRecord::with_opaque_to(&topic, Ticket::boxed(pending, index))
                    .key(one.wallet_id.as_str())
                    .headers(record::dead_headers(one, source));
                let record = match &body {
                    Some(body) => record.payload(body.as_slice()),
                    None => record,
                };
                if let Err((error, record)) = producer.send(record) {
                    record.delivery_opaque.report(refused_locally(&error));
                }
            }
        };
        match completion(self.send(dead.len(), send, deadline).await) {
            Completion::Done(results) => match results.into_iter().flatten().next() {
                Some(failure) => Completion::Failed(failure),
                None => Completion::Done(()),
            },
            Completion::Conflict => Completion::Conflict,
            Completion::Failed(failure) => Completion::Failed(failure),
            Completion::Unknown => Completion::Unknown,
        }
    }

    /// Asks Kafka for its brokers and the topic's, for as long as health waits.
    pub(super) async fn ask_metadata(&self) -> Result<(), KafkaError> {
        let producer = Arc::clone(&self.producer());
        let topic = self.settings.events_topic();
        let ask = move || producer.client().fetch_metadata(Some(&topic), HEALTH_TIMEOUT).map(drop);
        tokio::task::spawn_blocking(ask).await.map_err(|_| KafkaError::Canceled)?
    }

    /// The last error that the producer's connections have met.
    pub(super) fn last_error(&self) -> Option<String> {
        self.producer().client().context().log.last_error()
    }

    async fn send_events(&self, events: &[Recorded], deadline: Instant) -> Vec<Outcome> {
        let topic = self.settings.events_topic();
        let send = |producer: &Producer, pending: &Arc<Pending>| {
            let mut stopped: BTreeSet<&WalletId> = BTreeSet::new();
            for (index, Recorded { event, .. }) in events.iter().enumerate() {
                let ticket = Ticket::boxed(pending, index);
                if !stopped.is_empty() && stopped.contains(&event.wallet_id) {
                    ticket.report(behind());
                    continue;
                }
                let body = record::body(event);
                let record = BaseRecord::with_opaque_to(&topic, ticket)
                    .partition(i32::from(partition_of(&event.wallet_id)))
                    .key(event.wallet_id.as_str())
                    .payload(body.as_slice())
                    .headers(record::headers(event));
                if let Err((error, record)) = producer.send(record) {
                    record.delivery_opaque.report(refused_locally(&error));
                    stopped.insert(&event.wallet_id);
                }
            }
        };
        self.send(events.len(), send, deadline).await
    }

    /// Hands messages over and awaits their reports until the deadline.
    async fn send(
        &self,
        messages: usize,
        hand_over: impl FnOnce(&Producer, &Arc<Pending>),
        deadline: Instant,
    ) -> Vec<Outcome> {
        if messages == 0 {
            return Vec::new();
        }
        let (done, all_reported) = oneshot::channel();
        let pending = Arc::new(Pending::new(messages, done));
        let producer = Arc::clone(&self.producer());
        hand_over(&producer, &pending);
        let in_time = timeout_at(deadline, all_reported).await.is_ok();
        let has_stopped = producer.client().fatal_error().is_some();
        if !in_time || has_stopped {
            self.replace(producer);
        }
        pending.outcomes()
    }

    /// What the old producer still holds may arrive yet, or not: its outcome is unknown by now, and it is published
    /// again by the new one.
    fn replace(&self, old: Arc<Producer>) {
        {
            let mut current = self.producer();
            if Arc::ptr_eq(&current, &old) {
                match new_producer(&self.settings) {
                    Ok(fresh) => *current = Arc::new(fresh),
                    Err(error) => tracing::error!(%error, "no new producer for Kafka"),
                }
            }
        }
        // Its end flushes, which blocks.
        tokio::task::spawn_blocking(move || drop(old));
    }

    fn producer(&self) -> MutexGuard<'_, Arc<Producer>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_producer(settings: &KafkaSettings) -> Result<Producer, KafkaError> {
    Producer::from_config_and_context(&settings.producer(), Reports { log: Log::new("producer") })
}

impl Ticket {
    fn boxed(pending: &Arc<Pending>, index: usize) -> Box<Self> {
        Box::new(Self { pending: Arc::clone(pending), index })
    }

    fn report(&self, outcome: Outcome) {
        let mut state = self.pending.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = state.outcomes.get_mut(self.index) {
            *slot = outcome;
        }
        state.open = state.open.saturating_sub(1);
        if state.open == 0
            && let Some(done) = state.done.take()
        {
            // Whoever waited may have given up.
            let _late = done.send(());
        }
    }
}

impl Pending {
    fn new(messages: usize, done: oneshot::Sender<()>) -> Self {
        let state = PendingState { outcomes: vec![Outcome::Unknown; messages], open: messages, done: Some(done) };
        Self { state: Mutex::new(state) }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).outcomes.clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.report(match result {
            Ok(_) => Outcome::Acknowledged,
            Err((error, _)) => reported(error),
        });
    }
}

fn failed(kind: FailureKind, reason: &impl ToString) -> Outcome {
    Outcome::Failed(Failure { kind, reason: reason.to_string() })
}

fn behind() -> Outcome {
    failed(FailureKind::Unavailable, &"an earlier event of the same wallet was not published")
}

/// The client did not take the message: it is not in the topic.
fn refused_locally(error: &KafkaError) -> Outcome {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
        failed(FailureKind::Rejected, error)
    } else {
        failed(FailureKind::Unavailable, error)
    }
}

/// What a delivery report of a failure tells. Only these codes say that the message is not there.
fn reported(error: &KafkaError) -> Outcome {
    let Some(code) = error.rdkafka_error_code() else { return Outcome::Unknown };
    // An enumeration of the client library, with more than a hundred codes.
    #[allow(clippy::wildcard_enum_match_arm)]
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge
        | RDKafkaErrorCode::MessageBatchTooLarge
        | RDKafkaErrorCode::InvalidRecord
        | RDKafkaErrorCode::InvalidMessage
        | RDKafkaErrorCode::InvalidTimestamp
        | RDKafkaErrorCode::PolicyViolation => failed(FailureKind::Rejected, error),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::NotEnoughReplicas
        | RDKafkaErrorCode::TopicAuthorizationFailed => failed(FailureKind::Unavailable, error),
        _ => Outcome::Unknown,
    }
}

/// Whatever the reports say of events behind a failed one of the same wallet: they are published again after it.
fn hold_back_later_ones(events: &[Recorded], outcomes: &mut [Outcome]) {
    let mut stopped: BTreeSet<&WalletId> = BTreeSet::new();
    for (Recorded { event, .. }, outcome) in events.iter().zip(outcomes) {
        if stopped.contains(&event.wallet_id) {
            if *outcome == Outcome::Acknowledged {
                *outcome = behind();
            }
        } else if *outcome != Outcome::Acknowledged {
            stopped.insert(&event.wallet_id);
        }
    }
}

/// So that the first half comes off first.
fn push_halves(parts: &mut Vec<Vec<usize>>, mut part: Vec<usize>) {
    let second = part.split_off(part.len().div_ceil(2));
    parts.extend([second, part].into_iter().filter(|half| !half.is_empty()));
}

fn completion(outcomes: Vec<Outcome>) -> Completion<Vec<Option<Failure>>> {
    let mut results = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        match outcome {
            Outcome::Acknowledged => results.push(None),
            Outcome::Failed(failure) => results.push(Some(failure)),
            Outcome::Unknown => return Completion::Unknown,
        }
    }
    Completion::Done(results)
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;

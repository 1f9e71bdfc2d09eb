//! What a broker promises: order per wallet, delivery at least once, redelivery from any place, and bounds.
//!
//! The statements run over a topic of their own with nobody else in it. A broker may keep what it acknowledges in an
//! outbox of its own, so what is published is given to `Broker::publish`, which puts it there first where it has to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, EventId, WalletId};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, Message, partition_of};

use crate::Port;
use crate::events::Log;

/// A broker under test.
pub trait Broker: Port {
    /// Prepares for events being published, where the broker keeps them elsewhere too. Called once for each event.
    fn stored(&self, events: &[Recorded]) -> impl Future<Output = ()>;

    /// Waits until messages may be there.
    fn wait(&self) -> impl Future<Output = ()>;
}

/// How often [`Broker::wait`] is called before a message counts as lost.
const WAITS_MAX: usize = 3_000;
const EFFECT: EffectId = EffectId(1);

/// Publishes, again and again while the outcome is not "acknowledged", as the relay does.
async fn publish<B: Broker>(broker: &B, events: &[Recorded]) {
    let mut open: Vec<Recorded> = events.to_vec();
    for _ in 0..WAITS_MAX {
        let effect = Effect::Publish(EFFECT, Arc::new(open.clone()));
        match broker.perform(effect).await {
            Some(Input::Published(EFFECT, Completion::Done(results))) => {
                assert_eq!(results.len(), open.len(), "one result for each event");
                open = open.into_iter().zip(results).filter_map(|(one, failure)| failure.map(|_| one)).collect();
            }
            Some(Input::Published(EFFECT, Completion::Failed(_) | Completion::Unknown)) => {}
            other => panic!("publishing is answered by {other:?}"),
        }
        if open.is_empty() {
            return;
        }
        broker.wait().await;
    }
    panic!("{} events could not be published", open.len());
}

/// A consumer's place in all partitions.
struct Reader {
    consumer: Consumer,
    after: BTreeMap<u16, u64>,
}

impl Reader {
    fn new(consumer: Consumer) -> Self {
        Self { consumer, after: (0..PARTITIONS).map(|partition| (partition, 0)).collect() }
    }

    async fn fetch<B: Broker>(&self, broker: &B, limit: usize) -> Vec<Message> {
        let after = self.after.iter().map(|(partition, offset)| (*partition, *offset)).collect();
        match broker.perform(Effect::Fetch { effect: EFFECT, consumer: self.consumer, after, limit }).await {
            Some(Input::Fetched(EFFECT, Completion::Done(messages))) => messages,
            // An outage is no loss: the caller asks again.
            Some(Input::Fetched(EFFECT, Completion::Failed(_) | Completion::Unknown)) => Vec::new(),
            other => panic!("a fetch is answered by {other:?}"),
        }
    }

    /// Takes messages until every one of these events has been seen, and returns them in the order of delivery.
    async fn take<B: Broker>(&mut self, broker: &B, events: &[Recorded], limit: usize) -> Vec<Message> {
        let mut missing: Vec<EventId> = events.iter().map(|one| one.event.event_id).collect();
        let mut taken = Vec::new();
        for _ in 0..WAITS_MAX {
            let messages = self.fetch(broker, limit).await;
            assert!(messages.len() <= limit, "{} messages where at most {limit} were wanted", messages.len());
            let waits = messages.is_empty();
            for message in messages {
                let before = self.after.insert(message.partition, message.offset).expect("of a known partition");
                assert!(before < message.offset, "offsets of partition {} do not grow", message.partition);
                missing.retain(|id| *id != message.event_id);
                taken.push(message);
            }
            if missing.is_empty() {
                return taken;
            }
            if waits {
                broker.wait().await;
            }
        }
        panic!("{} of {} events never arrived", missing.len(), events.len());
    }
}

/// For each wallet, new versions come one after the other; what came before may come again.
fn assert_order(messages: &[Message]) {
    let mut last: BTreeMap<&WalletId, u64> = BTreeMap::new();
    for message in messages {
        let last = last.entry(&message.wallet_id).or_insert(0);
        assert!(message.version.0 <= *last + 1, "{} jumps from {last} to {}", message.wallet_id, message.version);
        *last = message.version.0.max(*last);
    }
}

/// Every event arrives, whole, in the partition of its wallet.
pub async fn every_event_arrives_whole_in_the_partition_of_its_wallet<B: Broker>(broker: B) {
    let mut log = Log::new("whole");
    let events = log.many(20, 60);
    broker.stored(&events).await;
    publish(&broker, &events).await;
    for message in Reader::new(Consumer::ReadModel).take(&broker, &events, 1_000).await {
        let sent = events.iter().find(|one| one.event.event_id == message.event_id).expect("an event that was sent");
        assert_eq!(message.event.as_ref(), Ok(&sent.event));
        assert_eq!((&message.wallet_id, message.version), (&sent.event.wallet_id, sent.event.version));
        assert_eq!(message.partition, partition_of(&sent.event.wallet_id));
    }
}

/// A wallet's events arrive in version order, over many publications and small fetches.
pub async fn a_wallets_events_arrive_in_version_order<B: Broker>(broker: B) {
    let mut log = Log::new("order");
    let events = log.many(5, 200);
    for some in events.chunks(23) {
        broker.stored(some).await;
        publish(&broker, some).await;
    }
    let messages = Reader::new(Consumer::ReadModel).take(&broker, &events, 7).await;
    assert_order(&messages);
}

/// What is published again arrives once or more, and never makes an earlier event come after a later one for the first
/// time.
pub async fn publishing_again_may_repeat_and_never_reorders<B: Broker>(broker: B) {
    let mut log = Log::new("again");
    let events = log.many(3, 40);
    broker.stored(&events).await;
    publish(&broker, &events[..30]).await;
    publish(&broker, &events[10..30]).await;
    publish(&broker, &events).await;
    let messages = Reader::new(Consumer::ReadModel).take(&broker, &events, 1_000).await;
    assert_order(&messages);
}

/// A consumer that goes back gets the same messages again, from any offset on.
pub async fn a_consumer_that_goes_back_gets_the_same_again<B: Broker>(broker: B) {
    let mut log = Log::new("back");
    let events = log.many(4, 40);
    broker.stored(&events).await;
    publish(&broker, &events).await;
    let first = Reader::new(Consumer::ReadModel).take(&broker, &events, 1_000).await;
    let half = &first[first.len() / 2..];
    let ids = |messages: &[Message], partition: u16| -> Vec<EventId> {
        messages.iter().filter(|one| one.partition == partition).map(|one| one.event_id).collect()
    };
    let mut reader = Reader::new(Consumer::ReadModel);
    for message in &first[..first.len() / 2] {
        reader.after.insert(message.partition, message.offset);
    }
    let wanted: Vec<Recorded> =
        events.iter().filter(|one| half.iter().any(|two| two.event_id == one.event.event_id)).cloned().collect();
    let again = reader.take(&broker, &wanted, 5).await;
    for partition in 0..PARTITIONS {
        assert_eq!(ids(&again, partition), ids(half, partition), "partition {partition}");
    }
}

/// What was fetched and not passed is fetched again.
pub async fn what_was_not_passed_is_delivered_again<B: Broker>(broker: B) {
    let mut log = Log::new("unpassed");
    let events = log.many(1, 5);
    broker.stored(&events).await;
    publish(&broker, &events).await;
    let mut reader = Reader::new(Consumer::ReadModel);
    let mut seen = Vec::new();
    for _ in 0..WAITS_MAX {
        seen = reader.fetch(&broker, 3).await;
        if seen.len() == 3 {
            break;
        }
        broker.wait().await;
    }
    assert_eq!(seen.len(), 3);
    let all = reader.take(&broker, &events, 1_000).await;
    assert_eq!(all[..3], seen, "the same messages come first again");
}

/// Two consumers each get everything.
pub async fn every_consumer_gets_everything<B: Broker>(broker: B) {
    let mut log = Log::new("both");
    let events = log.many(6, 30);
    broker.stored(&events).await;
    publish(&broker, &events).await;
    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
        assert_order(&Reader::new(consumer).take(&broker, &events, 1_000).await);
    }
}

/// Makes a test of each statement. `$run` drives a future to its end; `$broker` is an expression for a fresh broker,
/// which may await.
#[macro_export]
macro_rules! broker_contract {
    ($run:path, $broker:expr) => {
        $crate::statement_tests!(
            $run,
            $broker,
            broker,
            [
                every_event_arrives_whole_in_the_partition_of_its_wallet,
                a_wallets_events_arrive_in_version_order,
                publishing_again_may_repeat_and_never_reorders,
                a_consumer_that_goes_back_gets_the_same_again,
                what_was_not_passed_is_delivered_again,
                every_consumer_gets_everything,
            ]
        );
    };
}

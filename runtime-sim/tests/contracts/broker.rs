//! The broker's contract, on the topic of production and on the one inside an embedded process.

use std::sync::Arc;

use wallex_contracts::broker::Broker as Contract;
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::EffectId;
use wallex_core::limits::PARTITIONS;
use wallex_core::time::Timestamp;
use wallex_sim::fakes::{Broker, Database, EmbeddedBroker};

use super::fake::{Fake, Performs, START};

impl Contract for Fake<Broker> {
    async fn stored(&self, _: &[Recorded]) {}

    /// What was published is there at once.
    async fn wait(&self) {}
}

/// A broker whose partitions lose their leaders in turn: each effect meets a third of them without one.
#[derive(Default)]
struct Elections {
    broker: Broker,
    turn: u16,
}

impl Performs for Elections {
    fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        self.turn = self.turn.wrapping_add(1);
        for partition in 0..PARTITIONS {
            self.broker.set_leader(partition, partition % 3 != self.turn % 3);
        }
        self.broker.perform(now, effect)
    }
}

impl Contract for Fake<Elections> {
    async fn stored(&self, _: &[Recorded]) {}

    async fn wait(&self) {}
}

/// An embedded broker before its outbox; what is published is marked there, as the relay does.
#[derive(Default)]
struct Embedded {
    database: Database,
    broker: EmbeddedBroker,
    /// Whether the process starts again before each fetch.
    starts_again: bool,
}

const WRITE: EffectId = EffectId(2);

impl Embedded {
    fn store(&mut self, events: &[Recorded]) {
        let (expected, checkpoint) = (self.database.feeder_checkpoint(), events.last().unwrap().position);
        let events = Arc::new(events.to_vec());
        let write = Effect::WriteOutbox { effect: WRITE, expected, events, checkpoint };
        let written = self.database.perform(START, write);
        assert_eq!(written, Some(Input::OutboxWritten(WRITE, Completion::Done(()))));
    }

    fn mark(&mut self, events: &[Recorded]) {
        let expected = self.database.relay_checkpoint();
        let checkpoint = events.last().unwrap().position.max(expected);
        let (held, released) = (Vec::new(), Vec::new());
        let mark = Effect::MarkPublished { effect: WRITE, expected, checkpoint, at: START, held, released };
        let marked = self.database.perform(START, mark);
        assert_eq!(marked, Some(Input::PublishedMarked(WRITE, Completion::Done(()))));
    }
}

impl Performs for Embedded {
    fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        if let Effect::Publish(_, events) = &effect {
            self.mark(events);
        } else if self.starts_again {
            self.broker = EmbeddedBroker::start(&self.database);
        }
        self.broker.perform(now, effect)
    }
}

impl Contract for Fake<Embedded> {
    async fn stored(&self, events: &[Recorded]) {
        self.get().store(events);
    }

    async fn wait(&self) {}
}

mod fake {
    use super::super::fake::block_on;
    use super::*;

    wallex_contracts::broker_contract!(block_on, Fake::new(Broker::default()));
}

mod fake_whose_partitions_lose_their_leaders {
    use super::super::fake::block_on;
    use super::*;

    wallex_contracts::broker_contract!(block_on, Fake::new(Elections::default()));
}

mod embedded_fake {
    use super::super::fake::block_on;
    use super::*;

    wallex_contracts::broker_contract!(block_on, Fake::new(Embedded::default()));
}

mod embedded_fake_that_starts_again {
    use super::super::fake::block_on;
    use super::*;

    wallex_contracts::broker_contract!(block_on, Fake::new(Embedded { starts_again: true, ..Embedded::default() }));
}

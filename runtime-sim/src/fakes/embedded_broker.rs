//! The embedded broker: partitions in memory, in front of the outbox.
//!
//! Offsets are positions, so what is published again is known and taken once; like the real one it takes nothing that
//! lies before its last message, of whatever partition. Nothing of it survives a crash: the next life delivers again what
//! the outbox has up to the relay's checkpoint, without what the relay set aside (INV-06).

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::effect::{Completion, Effect, Failure, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{EventId, Position};
use wallex_core::projector::{Consumer, Message, message_of, partition_of};
use wallex_core::time::Timestamp;

use super::Database;

/// The partitions.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedBroker {
    partitions: BTreeMap<u16, Vec<Message>>,
    /// The last message, or how far the outbox was published before this life.
    last: Position,
}

impl EmbeddedBroker {
    /// A new life over what the database has.
    #[must_use]
    pub fn start(database: &Database) -> Self {
        let of_relay = database.held().filter(|held| held.consumer == Consumer::Relay);
        let aside: BTreeSet<EventId> = of_relay.map(|held| held.event_id).collect();
        let mut broker = Self::default();
        let published = database.outbox().take_while(|row| row.position <= database.relay_checkpoint());
        for row in published.filter(|row| !aside.contains(&row.event.event_id)) {
            broker.take(row);
        }
        broker.last = broker.last.max(database.relay_checkpoint());
        broker
    }

    /// Performs an effect; nothing for effects that are not the broker's.
    pub fn perform(&mut self, _now: Timestamp, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Publish(id, events) => {
                events.iter().for_each(|row| self.take(row));
                let acknowledged: Vec<Option<Failure>> = vec![None; events.len()];
                Some(Input::Published(id, Completion::Done(acknowledged)))
            }
            // The table of dead letters is all there is of them here.
            Effect::PublishDead(id, _) => Some(Input::DeadPublished(id, Completion::Done(()))),
            Effect::Fetch { effect, consumer: _, after, limit } => {
                Some(Input::Fetched(effect, Completion::Done(self.fetch(&after, limit))))
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::Lead { .. }
            | Effect::Resign
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

    /// The messages of a partition, in order.
    #[must_use]
    pub fn messages(&self, partition: u16) -> &[Message] {
        self.partitions.get(&partition).map(Vec::as_slice).unwrap_or_default()
    }

    fn take(&mut self, Recorded { position, event }: &Recorded) {
        if *position > self.last {
            self.last = *position;
            let messages = self.partitions.entry(partition_of(&event.wallet_id)).or_default();
            messages.push(message_of(*position, event.clone()));
        }
    }

    /// In order of position over all partitions, as the memory of the real one is.
    fn fetch(&self, after: &[(u16, u64)], limit: usize) -> Vec<Message> {
        let mut found: Vec<&Message> = Vec::new();
        for (partition, offset) in after {
            let messages = self.messages(*partition);
            let from = messages.partition_point(|message| message.offset <= *offset);
            found.extend(messages[from..].iter().take(limit));
        }
        found.sort_unstable_by_key(|message| message.offset);
        found.into_iter().take(limit).cloned().collect()
    }
}

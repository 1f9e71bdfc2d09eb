//! Kafka: the topic `wallet-events` by partitions, and the topic of dead letters.
//!
//! What was acknowledged is kept, in the order in which it arrived, and published again is there twice (INV-06, INV-07).
//! Offsets grow from 1 and leave holes, as transaction markers do. Fetching is not fenced: whoever asks for a partition
//! gets it, member of the group or not. A partition without a leader fails what goes to it.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::id::WalletId;
use wallex_core::projector::{Consumer, HeldEvent, Message, message_of, partition_of};
use wallex_core::time::Timestamp;

use super::Poison;

/// After so many messages of a partition one offset is left out.
const HOLE_EVERY: usize = 13;

/// The topics.
#[derive(Clone, Debug, Default)]
pub struct Broker {
    partitions: BTreeMap<u16, Vec<Message>>,
    dead: Vec<HeldEvent>,
    leaderless: BTreeSet<u16>,
    /// Where the next fetch begins: no partition starves the others.
    rotation: usize,
    poison: Poison,
    garbled: Poison,
}

impl Broker {
    /// Performs an effect; nothing for effects that are not the broker's.
    pub fn perform(&mut self, _now: Timestamp, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Publish(id, events) => Some(Input::Published(id, Completion::Done(self.publish(&events)))),
            Effect::PublishDead(id, letters) => {
                self.dead.extend(letters.iter().cloned());
                Some(Input::DeadPublished(id, Completion::Done(())))
            }
            Effect::Fetch { effect, consumer: _, after, limit } => {
                Some(Input::Fetched(effect, Completion::Done(self.fetch(after, limit))))
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

    /// Events that cannot be published.
    pub fn poison(&mut self) -> &mut Poison {
        &mut self.poison
    }

    /// Events whose bytes nobody can read once they are published (of [`Consumer::Relay`]).
    pub fn garbled(&mut self) -> &mut Poison {
        &mut self.garbled
    }

    /// Takes a partition's leader away, or gives it back.
    pub fn set_leader(&mut self, partition: u16, present: bool) {
        if present {
            self.leaderless.remove(&partition);
        } else {
            self.leaderless.insert(partition);
        }
    }

    /// All partitions have a leader again.
    pub fn heal(&mut self) {
        self.leaderless.clear();
    }

    /// The messages of a partition, in order.
    #[must_use]
    pub fn messages(&self, partition: u16) -> &[Message] {
        self.partitions.get(&partition).map(Vec::as_slice).unwrap_or_default()
    }

    /// The topic of dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> &[HeldEvent] {
        &self.dead
    }

    /// The last offset of each partition that has messages.
    pub fn ends(&self) -> impl Iterator<Item = (u16, u64)> {
        let last = |messages: &Vec<Message>| messages.last().map_or(0, |message| message.offset);
        self.partitions.iter().map(move |(partition, messages)| (*partition, last(messages)))
    }

    /// For each event nothing, or why it is not on the topic; after one, no later one of the same wallet is.
    fn publish(&mut self, events: &[Recorded]) -> Vec<Option<Failure>> {
        let mut stopped: BTreeMap<WalletId, Failure> = BTreeMap::new();
        let mut results = Vec::with_capacity(events.len());
        for recorded in events {
            let wallet = &recorded.event.wallet_id;
            let failure = stopped.get(wallet).cloned().or_else(|| self.refusal(recorded));
            if let Some(failure) = &failure {
                stopped.insert(wallet.clone(), failure.clone());
            } else {
                self.take(recorded);
            }
            results.push(failure);
        }
        results
    }

    fn refusal(&self, Recorded { event, .. }: &Recorded) -> Option<Failure> {
        if self.leaderless.contains(&partition_of(&event.wallet_id)) {
            let reason = "the partition has no leader".to_owned();
            return Some(Failure { kind: FailureKind::Unavailable, reason });
        }
        let refused = self.poison.first(Consumer::Relay, &event.wallet_id, event.version, event.version)?;
        let reason = format!("version {refused} of {} cannot be published", event.wallet_id);
        Some(Failure { kind: FailureKind::Rejected, reason })
    }

    fn take(&mut self, recorded: &Recorded) {
        let mut message = message_of(recorded.position, recorded.event.clone());
        let (wallet, version) = (&message.wallet_id, message.version);
        if self.garbled.first(Consumer::Relay, wallet, version, version).is_some() {
            let reason = "the message is no event".to_owned();
            message.event = Err(Failure { kind: FailureKind::Rejected, reason });
        }
        let messages = self.partitions.entry(message.partition).or_default();
        let hole = u64::from(messages.len() % HOLE_EVERY == HOLE_EVERY - 1);
        message.offset = messages.last().map_or(0, |last| last.offset) + 1 + hole;
        messages.push(message);
    }

    fn fetch(&mut self, mut after: Vec<(u16, u64)>, limit: usize) -> Vec<Message> {
        let start = self.rotation % after.len().max(1);
        after.rotate_left(start);
        self.rotation = self.rotation.wrapping_add(1);
        let mut fetched: Vec<Message> = Vec::new();
        for (partition, offset) in after {
            if self.leaderless.contains(&partition) {
                continue;
            }
            let messages = self.messages(partition);
            let from = messages.partition_point(|message| message.offset <= offset);
            fetched.extend(messages[from..].iter().take(limit - fetched.len()).cloned());
        }
        fetched
    }
}

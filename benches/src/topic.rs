//! A pipeline whose effects are answered at once and in memory: what remains is the cost of feeder, relay and
//! projectors.
//!
//! Log and topic are queues that are used up; of what is projected only the checkpoints are kept. Nothing fails and
//! nothing is set aside: an effect that an undisturbed pipeline does not ask for stops the bench.

use std::collections::{HashMap, VecDeque};

use wallex_core::config::{Config, Roles};
use wallex_core::effect::{Completion, Effect, Input, RelayProgress};
use wallex_core::event::Recorded;
use wallex_core::id::{Position, Version};
use wallex_core::limits::{FEEDER_PACE_MAX, PARTITIONS, PIPELINE_BATCH_MAX};
use wallex_core::node::Node;
use wallex_core::projector::{Consumer, Message, PartitionProgress, message_of};
use wallex_core::time::Timestamp;

/// A node with the pipeline's roles, and everything it asks for.
pub struct Topic {
    node: Node,
    now: Timestamp,
    log: VecDeque<Recorded>,
    head: Position,
    read_model: VecDeque<Message>,
    ledger: VecDeque<Message>,
    offsets: HashMap<(Consumer, u16), u64>,
}

impl Topic {
    /// A pipeline that has nothing to do.
    #[must_use]
    pub fn new() -> Self {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let roles = Roles { feeder: true, relay: true, projectors: true };
        let mut node = Node::new(Config { roles, ..Config::default() }, now);
        for consumer in [Consumer::ReadModel, Consumer::Ledger] {
            node.handle(now, Input::PartitionsAssigned(consumer, (0..PARTITIONS).collect()));
        }
        let mut topic = Self {
            node,
            now,
            log: VecDeque::new(),
            head: Position(0),
            read_model: VecDeque::new(),
            ledger: VecDeque::new(),
            offsets: HashMap::new(),
        };
        topic.drain();
        topic
    }

    /// Takes events from the log to both projections; gives the number of events that were applied, twice each.
    pub fn run(&mut self, events: Vec<Recorded>) -> u64 {
        let applied = |node: &Node| {
            let status = node.pipeline();
            status.read_model_statistics.applied + status.ledger_statistics.applied
        };
        let before = applied(&self.node);
        let wanted = 2 * events.len() as u64;
        self.head = events.last().map_or(self.head, |last| last.position);
        self.log.extend(events);
        self.node.handle(self.now, Input::LogAdvanced(self.head));
        self.drain();
        while applied(&self.node) - before < wanted {
            // The feeder waits a little before it reads a log that was short.
            self.now = self.now.plus(FEEDER_PACE_MAX);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        applied(&self.node) - before
    }

    fn drain(&mut self) {
        while let Some(effect) = self.node.poll_effect() {
            let published = matches!(effect, Effect::Publish(..));
            let input = self.complete(effect);
            self.node.handle(self.now, input);
            if published {
                self.node.handle(self.now, Input::MessagesAvailable(Consumer::ReadModel));
                self.node.handle(self.now, Input::MessagesAvailable(Consumer::Ledger));
            }
        }
    }

    // A bench answers what it knows and stops at anything else.
    #[allow(clippy::wildcard_enum_match_arm)]
    fn complete(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::LoadFeederCheckpoint(id) => Input::FeederCheckpoint(id, Completion::Done(Position(0))),
            Effect::ReadLog { effect, limit, .. } => {
                let count = limit.min(self.log.len());
                Input::LogRead(effect, Completion::Done(self.log.drain(..count).collect()))
            }
            Effect::WriteOutbox { effect, .. } => Input::OutboxWritten(effect, Completion::Done(())),
            Effect::LoadRelayProgress(id) => {
                let progress = RelayProgress { checkpoint: Position(0), held_wallets: Vec::new() };
                Input::RelayProgress(id, Completion::Done(progress))
            }
            Effect::ReadOutbox { effect, .. } => Input::OutboxRead(effect, Completion::Done(Vec::new())),
            Effect::Publish(id, events) => {
                for one in events.iter() {
                    let message = message_of(one.position, one.event.clone());
                    self.read_model.push_back(message.clone());
                    self.ledger.push_back(message);
                }
                Input::Published(id, Completion::Done(vec![None; events.len()]))
            }
            Effect::MarkPublished { effect, .. } => Input::PublishedMarked(effect, Completion::Done(())),
            Effect::LoadProgress { effect, consumer, partitions } => {
                let progress = partitions.into_iter().map(|partition| PartitionProgress {
                    partition,
                    offset: self.offsets.get(&(consumer, partition)).copied().unwrap_or(0),
                    held_wallets: Vec::new(),
                });
                Input::Progress(effect, Completion::Done(progress.collect()))
            }
            Effect::Fetch { effect, consumer, limit, .. } => {
                let queue = if consumer == Consumer::Ledger { &mut self.ledger } else { &mut self.read_model };
                let count = limit.min(queue.len());
                Input::Fetched(effect, Completion::Done(queue.drain(..count).collect()))
            }
            Effect::LoadVersions { effect, wallets, .. } => {
                Input::Versions(effect, Completion::Done(vec![Version(0); wallets.len()]))
            }
            Effect::Project { effect, consumer, changes, checkpoints, .. } => {
                std::hint::black_box(&changes);
                for (partition, _, after) in checkpoints {
                    self.offsets.insert((consumer, partition), after);
                }
                Input::Projected(effect, Completion::Done(()))
            }
            other => unreachable!("not an effect of an undisturbed pipeline: {other:?}"),
        }
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self::new()
    }
}

/// Events that the pipeline takes at once.
pub const GROUP: usize = PIPELINE_BATCH_MAX;

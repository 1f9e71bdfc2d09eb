//! The node: all machines of one process behind one entry and one exit.
//!
//! Contract with the runtime:
//!
//! 1. [`Node::handle`] every input that is there, then [`Node::poll_effect`] until there is no effect. Inputs handled
//!    before a drain share one append.
//! 2. Perform each effect and hand its completion back as an input. Completions may come in any order, twice, late, or
//!    never; what may have happened is [`crate::effect::Completion::Unknown`].
//! 3. Wake up at [`Node::poll_timeout`] and call [`Node::handle_timeout`].
//!
//! The node never asks for time, randomness or IO. The same inputs at the same times give the same effects (INV-13).

use serde::{Deserialize, Serialize};

use crate::awaiting::earliest;
use crate::command::{CommandMachine, Completed, TimerReason};
use crate::config::Config;
use crate::effect::{Completion, Effect, EffectQueue, Input};
use crate::feeder::Feeder;
use crate::id::{EffectId, Position};
use crate::leadership::Leadership;
use crate::projector::{Consumer, Projector, ProjectorStatistics};
use crate::relay::Relay;
use crate::time::Timestamp;

/// The machines of one process. All of their state is plain data: a node that is written down and read back goes on as
/// the original would.
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    commands: CommandMachine,
    leadership: Option<Leadership>,
    feeder: Option<Feeder>,
    relay: Option<Relay>,
    read_model: Option<Projector>,
    ledger: Option<Projector>,
}

/// Numbers of the machines in effect ids.
const COMMANDS: u64 = 0;
const FEEDER: u64 = 1;
const RELAY: u64 = 2;
const READ_MODEL: u64 = 3;
const LEDGER: u64 = 4;
const LEADERSHIP: u64 = 5;

/// How far the pipeline of a node got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineStatus {
    /// Whether this node fills the outbox and the topic, if its roles say that it does.
    pub leads: bool,
    /// The outbox is filled up to here.
    pub feeder: Position,
    /// The topic is filled up to here.
    pub relay: Position,
    /// Offsets taken by the read model, by partition.
    pub read_model: Vec<(u16, u64)>,
    /// Offsets taken by the ledger, by partition.
    pub ledger: Vec<(u16, u64)>,
    /// Counters of the read model's projector.
    pub read_model_statistics: ProjectorStatistics,
    /// Counters of the ledger's projector.
    pub ledger_statistics: ProjectorStatistics,
}

impl Node {
    /// A node that begins now.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> Self {
        let (roles, seed, gathering) = (config.roles, config.hash_seed, config.gathering);
        let projector = |consumer, machine| Projector::new(consumer, now, machine, seed, gathering.projectors);
        let led = config.leadership && (roles.feeder || roles.relay);
        Self {
            commands: CommandMachine::new(config, now, COMMANDS),
            leadership: led.then(|| Leadership::new(now, LEADERSHIP)),
            feeder: roles.feeder.then(|| Feeder::new(now, FEEDER, gathering.feeder)),
            relay: roles.relay.then(|| Relay::new(now, RELAY)),
            read_model: roles.projectors.then(|| projector(Consumer::ReadModel, READ_MODEL)),
            ledger: roles.projectors.then(|| projector(Consumer::Ledger, LEDGER)),
        }
    }

    /// The command machine, for its counters.
    #[must_use]
    pub fn commands(&self) -> &CommandMachine {
        &self.commands
    }

    /// How far the pipeline got.
    #[must_use]
    pub fn pipeline(&self) -> PipelineStatus {
        PipelineStatus {
            leads: self.leads(),
            feeder: self.feeder.as_ref().map(Feeder::checkpoint).unwrap_or_default(),
            relay: self.relay.as_ref().map(Relay::checkpoint).unwrap_or_default(),
            read_model: self.read_model.iter().flat_map(Projector::offsets).collect(),
            ledger: self.ledger.iter().flat_map(Projector::offsets).collect(),
            read_model_statistics: self.read_model.as_ref().map(Projector::statistics).unwrap_or_default(),
            ledger_statistics: self.ledger.as_ref().map(Projector::statistics).unwrap_or_default(),
        }
    }

    /// Whether the end of the log is news to the feeder. While it reads and writes it comes to that end by itself, so a
    /// runtime need not wake for every append.
    #[must_use]
    pub fn awaits_log(&self) -> bool {
        self.feeder.as_ref().is_some_and(Feeder::is_idle)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.advance(now);
        match input {
            Input::Submit(request) => self.commands.submit(request),
            Input::Drain => {
                self.commands.drain();
                if let Some(leadership) = &mut self.leadership {
                    leadership.resign();
                }
            }
            Input::Reserved(effect, completion) => self.commands.complete(effect, Completed::Reserved(completion)),
            Input::Leased(effect, completion) => self.commands.complete(effect, Completed::Leased(completion)),
            Input::Loaded(effect, completion) => self.commands.complete(effect, Completed::Loaded(completion)),
            Input::Found(effect, completion) => self.commands.complete(effect, Completed::Found(completion)),
            Input::Appended(effect, completion) => self.commands.complete(effect, Completed::Appended(completion)),
            Input::AnswersStored(effect, completion) => self.commands.complete(effect, Completed::Stored(completion)),
            Input::Led(effect, completion) => self.on_led(effect, completion),
            Input::LogAdvanced(head) => self.with_feeder(|feeder| feeder.on_log_advanced(head)),
            Input::FeederCheckpoint(effect, completion) => {
                self.with_feeder(|feeder| feeder.on_checkpoint(effect, completion));
            }
            Input::LogRead(effect, completion) => self.with_feeder(|feeder| feeder.on_read(effect, completion)),
            Input::OutboxWritten(effect, completion) => self.on_outbox_written(effect, completion),
            Input::RelayProgress(effect, completion) => self.with_relay(|relay| relay.on_progress(effect, completion)),
            Input::OutboxRead(effect, completion) => self.with_relay(|relay| relay.on_read(effect, completion)),
            Input::Published(effect, completion) => self.with_relay(|relay| relay.on_published(effect, completion)),
            Input::DeadPublished(effect, completion) if consumer_of(effect) == Consumer::Relay => {
                self.with_relay(|relay| relay.on_dead_published(effect, completion));
            }
            Input::DeadPublished(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_dead_published(effect, completion));
            }
            Input::PublishedMarked(effect, completion) => self.with_relay(|relay| relay.on_marked(effect, completion)),
            Input::PartitionsAssigned(consumer, partitions) => {
                self.with_projector(consumer, |projector| projector.on_assigned(&partitions));
            }
            Input::PartitionsRevoked(consumer, partitions) => {
                self.with_projector(consumer, |projector| projector.on_revoked(&partitions));
            }
            Input::MessagesAvailable(consumer) => self.with_projector(consumer, Projector::on_messages_available),
            Input::Progress(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_progress(effect, completion));
            }
            Input::Fetched(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_fetched(effect, completion));
            }
            Input::Versions(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_versions(effect, completion));
            }
            Input::StreamRead(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_stream_read(effect, completion));
            }
            Input::Projected(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_projected(effect, completion));
            }
            Input::RetryHeld(Consumer::Relay, wallet) => self.with_relay(|relay| relay.on_retry_held(wallet)),
            Input::RetryHeld(consumer, wallet) => {
                self.with_projector(consumer, |projector| projector.on_retry_held(wallet));
            }
            Input::HeldLoaded(effect, completion) if consumer_of(effect) == Consumer::Relay => {
                self.with_relay(|relay| relay.on_held_loaded(effect, completion));
            }
            Input::HeldLoaded(effect, completion) => {
                self.with_projector(consumer_of(effect), |projector| projector.on_held_loaded(effect, completion));
            }
        }
    }

    fn leads(&self) -> bool {
        self.leadership.as_ref().is_none_or(Leadership::leads)
    }

    fn on_led(&mut self, effect: EffectId, completion: Completion<bool>) {
        let begins = self.leadership.as_mut().is_some_and(|leadership| leadership.on_led(effect, completion));
        if begins {
            self.take_up_the_lead();
        }
    }

    /// The checkpoints tell how far whoever led before has come.
    fn take_up_the_lead(&mut self) {
        self.with_feeder(Feeder::take_up);
        self.with_relay(Relay::take_up);
    }

    /// What the feeder wrote is handed to the relay at once.
    fn on_outbox_written(&mut self, effect: EffectId, completion: Completion<()>) {
        let Some(feeder) = &mut self.feeder else { return };
        feeder.on_written(effect, completion);
        if let (Some((before, rows)), Some(relay)) = (feeder.take_written(), &mut self.relay) {
            relay.on_outbox_written(before, rows);
        }
    }

    fn with_feeder(&mut self, happen: impl FnOnce(&mut Feeder)) {
        if let Some(feeder) = &mut self.feeder {
            happen(feeder);
        }
    }

    fn with_relay(&mut self, happen: impl FnOnce(&mut Relay)) {
        if let Some(relay) = &mut self.relay {
            happen(relay);
        }
    }

    fn with_projector(&mut self, consumer: Consumer, happen: impl FnOnce(&mut Projector)) {
        let projector = match consumer {
            Consumer::Relay => None,
            Consumer::ReadModel => self.read_model.as_mut(),
            Consumer::Ledger => self.ledger.as_mut(),
        };
        if let Some(projector) = projector {
            happen(projector);
        }
    }

    /// The next thing to do, if there is one.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let leads = self.leads();
        self.commands
            .poll_effect()
            .or_else(|| self.leadership.as_mut().and_then(Leadership::poll_effect))
            .or_else(|| self.feeder.as_mut().filter(|_| leads).and_then(Feeder::poll_effect))
            .or_else(|| self.relay.as_mut().filter(|_| leads).and_then(Relay::poll_effect))
            .or_else(|| self.read_model.as_mut().and_then(Projector::poll_effect))
            .or_else(|| self.ledger.as_mut().and_then(Projector::poll_effect))
    }

    /// When [`Node::handle_timeout`] wants to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        let leads = self.leads();
        let mut pipeline = self.leadership.as_ref().and_then(Leadership::poll_timeout);
        if leads {
            pipeline = earliest(pipeline, self.feeder.as_ref().and_then(Feeder::poll_timeout));
            pipeline = earliest(pipeline, self.relay.as_ref().and_then(Relay::poll_timeout));
        }
        pipeline = earliest(pipeline, self.read_model.as_ref().and_then(Projector::poll_timeout));
        pipeline = earliest(pipeline, self.ledger.as_ref().and_then(Projector::poll_timeout));
        earliest(self.commands.poll_timeout(), pipeline.map(|at| (at, TimerReason::Poll)))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        self.commands.handle_timeout();
    }

    fn advance(&mut self, now: Timestamp) {
        self.commands.advance(now);
        if self.leadership.as_mut().is_some_and(|leadership| leadership.advance(now)) {
            self.take_up_the_lead();
        }
        if let Some(feeder) = &mut self.feeder {
            feeder.advance(now);
        }
        if let Some(relay) = &mut self.relay {
            relay.advance(now);
        }
        if let Some(projector) = &mut self.read_model {
            projector.advance(now);
        }
        if let Some(projector) = &mut self.ledger {
            projector.advance(now);
        }
    }
}

/// Whose effect this is, of the machines that consume.
fn consumer_of(effect: EffectId) -> Consumer {
    match EffectQueue::machine_of(effect) {
        READ_MODEL => Consumer::ReadModel,
        LEDGER => Consumer::Ledger,
        _ => Consumer::Relay,
    }
}

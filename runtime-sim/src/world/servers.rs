//! The servers: fakes that are up or down, take their time, and lose their connections when they die.
//!
//! A request that arrives waits for the server to get round to it. What a server carries out is told to the checkers at
//! that moment, whether its answer ever arrives or not.

use wallex_core::effect::{Completion, Effect, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::id::WalletId;
use wallex_core::projector::{Consumer, Message};
use wallex_core::time::Timestamp;

use super::inside::Inside;
use super::packet::{Event, Miss, Packet, completing};
use super::state::World;
use crate::fakes::database::Durability;
use crate::fakes::leases::Holder;
use crate::fakes::{Broker, Database, EventStore, Groups, InstanceId, LeaseStore};
use crate::history::Snapshot;
use crate::lane::Lane;
use crate::marks::Mark;
use crate::observe::Observation;
use crate::plan::Server;

/// A member that is not heard of for so long loses its partitions, in microseconds.
const SESSION_US: u64 = 3_000_000;
/// Nobody listens: so often, in a hundred, the caller is told.
const REFUSED_PERCENT: u32 = 80;

/// The servers' state. What a crash takes is in the fakes.
pub(super) struct Servers {
    pub(super) store: EventStore,
    pub(super) database: Database,
    pub(super) broker: Broker,
    pub(super) groups: Groups,
    pub(super) leases: LeaseStore,
    /// Instead of event store and broker, when embedded.
    pub(super) inside: Option<Inside>,
    up: [Power; 4],
    /// Who led last.
    led: Option<InstanceId>,
    pub(super) heard: std::collections::BTreeMap<InstanceId, u64>,
    pub(super) log_hinted: bool,
    /// Partitions with messages that nobody was told of yet.
    pub(super) unhinted: std::collections::BTreeSet<u16>,
}

/// Whether a server runs, and how often it has died. Several faults may keep it down at once.
#[derive(Clone, Copy, Default)]
struct Power {
    down: u32,
    epoch: u32,
}

impl Servers {
    pub(super) fn new(embedded: bool) -> Self {
        let durability = if embedded { Durability::AtSync } else { Durability::AtCommit };
        Self {
            store: EventStore::default(),
            database: Database::new(durability),
            broker: Broker::default(),
            groups: Groups::default(),
            leases: LeaseStore::default(),
            inside: embedded.then(Inside::default),
            up: [Power::default(); 4],
            led: None,
            heard: std::collections::BTreeMap::new(),
            log_hinted: false,
            unhinted: std::collections::BTreeSet::new(),
        }
    }

    pub(super) fn goes_down(&mut self, server: Server) {
        let power = &mut self.up[server as usize];
        power.down += 1;
        power.epoch += 1;
        match server {
            Server::Leases => self.leases.crash(),
            Server::Broker => {
                self.groups.crash();
                self.heard.clear();
            }
            Server::EventStore | Server::Database => {}
        }
    }

    pub(super) fn comes_up(&mut self, server: Server) {
        let power = &mut self.up[server as usize];
        power.down = power.down.saturating_sub(1);
    }

    /// Everything inside a process dies with it: what was asked is never done.
    pub(super) fn die_inside(&mut self) {
        self.leases.crash();
        for power in &mut self.up {
            power.epoch += 1;
        }
    }

    pub(super) fn is_up(&self, server: Server) -> bool {
        self.up[server as usize].down == 0
    }
}

fn server_of(lane: Lane) -> Option<Server> {
    match lane {
        Lane::EventStore => Some(Server::EventStore),
        Lane::Database => Some(Server::Database),
        Lane::Broker => Some(Server::Broker),
        Lane::Leases => Some(Server::Leases),
        Lane::Client(_) | Lane::Instance(_) => None,
    }
}

/// What the checkers are told of when it is committed.
fn writes_rows(effect: &Effect) -> bool {
    matches!(effect, Effect::WriteOutbox { .. } | Effect::MarkPublished { .. } | Effect::Project { .. })
}

impl World {
    /// A packet has come to a server. Whoever asks twice is not told that nobody listens: the other may be heard.
    pub(super) fn arrive(&mut self, from: Lane, to: Lane, twice: bool, packet: Packet) {
        let Some(server) = server_of(to) else { return };
        // What is inside a process is asked by its present life alone: a dead one asks nothing any more.
        if self.embedded() && packet.asked_by() != self.slots[0].life {
            return;
        }
        if !self.servers.is_up(server) {
            self.mark(Mark::ServerDown);
            let told = self.service.percent(REFUSED_PERCENT) && !twice;
            if let Packet::Perform { life, effect, .. } = &packet
                && let (Some((effect, _)), true) = (completing(effect), told)
            {
                self.send(to, from, Packet::Miss { life: *life, effect, how: Miss::Refused });
            }
            return;
        }
        let now = self.now();
        let (least, most) = self.plan.options.service_us;
        let takes = if self.embedded() { self.service.between(20, 200) } else { self.service.between(least, most) };
        let slow = self.network.slowness(now, to);
        let at = if self.embedded() {
            self.journal_gets_round(now + takes, slow, &packet)
        } else {
            if slow > 0 {
                self.mark(Mark::SlowServer);
            }
            now + takes + slow
        };
        let epoch = self.servers.up[server as usize].epoch;
        self.at(at, Event::Serve { server, epoch, from, packet });
    }

    /// A server gets round to a request. One that has started again since knows nothing of it.
    pub(super) fn serve(&mut self, server: Server, epoch: u32, from: Lane, packet: Packet) {
        let lane = server.lane();
        if self.servers.up[server as usize].epoch != epoch {
            if let Packet::Perform { life, effect, .. } = &packet
                && let Some((effect, _)) = completing(effect)
            {
                self.send(lane, from, Packet::Miss { life: *life, effect, how: Miss::Unknown });
            }
            return;
        }
        let answer = match packet {
            Packet::Perform { life, clock, effect } => {
                let input = self.perform(server, life, clock, effect);
                if let Some(input) = &input {
                    self.note_performed(life, input);
                }
                input.map(|input| Packet::Feed { life, input })
            }
            Packet::Lookup { life, number, wallet } => {
                let snapshot = match server {
                    Server::EventStore if self.embedded() => self.look_into_journal(&wallet),
                    Server::EventStore => self.servers.store.stream(&wallet, 0).next_back().map(|event| Snapshot {
                        wallet: wallet.clone(),
                        balance: i64::try_from(event.balance.minor_units()).unwrap_or(i64::MAX),
                        version: event.version.0,
                    }),
                    Server::Database => self.servers.database.wallet(&wallet).map(Snapshot::of),
                    Server::Broker | Server::Leases => None,
                };
                Some(Packet::Found { life, number, snapshot })
            }
            Packet::Member { life, deals } => {
                self.member(life, deals);
                None
            }
            Packet::AppendGroup { life, group } => {
                self.append_group(life, from, &group);
                None
            }
            Packet::Submit { .. }
            | Packet::Read { .. }
            | Packet::Reply { .. }
            | Packet::Feed { .. }
            | Packet::Miss { .. }
            | Packet::Found { .. }
            | Packet::Assigned { .. } => None,
        };
        let Some(answer) = answer else { return };
        let now = self.now();
        if self.network.loses_answer(now, server) {
            self.mark(Mark::PerformedUnheard);
            return;
        }
        self.send(lane, from, answer);
    }

    fn perform(&mut self, server: Server, life: InstanceId, clock: Timestamp, effect: Effect) -> Option<Input> {
        let now = self.time();
        match server {
            Server::EventStore if self.embedded() => self.perform_in_journal(now, effect),
            Server::EventStore => self.perform_in_store(now, life, effect),
            Server::Database => {
                let told = writes_rows(&effect).then(|| effect.clone());
                let input = self.servers.database.perform(now, effect);
                if let Some(told) = told {
                    self.tell_commit(&told, input.as_ref());
                }
                input
            }
            Server::Broker if self.embedded() => self.perform_in_memory(now, effect),
            Server::Broker => self.perform_in_broker(now, effect),
            Server::Leases => {
                let input = self.servers.leases.perform(now, Holder { instance: life, clock }, effect);
                if let Some(leader) = self.servers.leases.leader(now)
                    && self.servers.led.replace(leader).is_some_and(|before| before != leader)
                {
                    self.mark(Mark::LeaderChanged);
                }
                input
            }
        }
    }

    /// What is written, and whose process may die before it hears of it.
    pub(super) fn note_performed(&mut self, life: InstanceId, input: &Input) {
        let (Input::Appended(effect, Completion::Done(()))
        | Input::OutboxWritten(effect, Completion::Done(()))
        | Input::PublishedMarked(effect, Completion::Done(()))
        | Input::Projected(effect, Completion::Done(()))) = input
        else {
            return;
        };
        let slot = self.slots.iter_mut().find(|slot| slot.life == Some(life));
        if let Some(call) = slot.and_then(|slot| slot.calls.get_mut(effect)) {
            call.performed = true;
        }
    }

    fn perform_in_store(&mut self, now: Timestamp, life: InstanceId, effect: Effect) -> Option<Input> {
        if let Effect::Append(_, append) = &effect {
            let held = |wallet| self.servers.leases.holder(now, wallet) == Some(life);
            let without = append.writes.iter().map(|write| &write.wallet).filter(|wallet| !held(wallet));
            let without: Vec<&WalletId> = without.collect();
            if !without.is_empty() {
                self.mark(Mark::AppendWithoutLease);
            }
            let leased = self.slots.iter().find(|slot| slot.life == Some(life)).map(|slot| &slot.leased);
            if leased.is_some_and(|leased| without.iter().any(|wallet| leased.contains(*wallet))) {
                self.mark(Mark::LeaseExpired);
            }
        }
        let before = self.servers.store.log().len();
        let input = self.servers.store.perform(now, effect);
        let events: Vec<Recorded> = self.servers.store.log()[before..].to_vec();
        self.appended(&events);
        input
    }

    fn perform_in_broker(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        let publishes = matches!(effect, Effect::Publish(..));
        let dead = self.servers.broker.dead_letters().len();
        let before: Vec<(u16, u64)> = if publishes { self.servers.broker.ends().collect() } else { Vec::new() };
        let input = self.servers.broker.perform(now, effect);
        if publishes {
            let ended = |partition| before.iter().find(|(one, _)| *one == partition).map_or(0, |(_, end)| *end);
            let partitions: Vec<u16> = self.servers.broker.ends().map(|(partition, _)| partition).collect();
            let mut fresh: Vec<Message> = Vec::new();
            for partition in partitions {
                let messages = self.servers.broker.messages(partition).iter().rev();
                let newer = messages.take_while(|message| message.offset > ended(partition));
                let at = fresh.len();
                fresh.extend(newer.cloned());
                fresh[at..].reverse();
            }
            for message in &fresh {
                self.observe(&Observation::Published(message));
            }
            self.hint_messages(&fresh);
            self.mark_publishing(input.as_ref(), &fresh);
        }
        let letters = self.servers.broker.dead_letters()[dead..].to_vec();
        for letter in &letters {
            self.observe(&Observation::DeadPublished(letter));
        }
        input
    }

    fn mark_publishing(&mut self, input: Option<&Input>, fresh: &[Message]) {
        if fresh.iter().any(|message| message.event.is_err()) {
            self.mark(Mark::MessageGarbled);
        }
        let Some(Input::Published(_, Completion::Done(results))) = input else { return };
        for failure in results.iter().flatten() {
            self.mark(match failure.kind {
                FailureKind::Unavailable => Mark::Leaderless,
                FailureKind::Rejected => Mark::MessageRefused,
            });
        }
    }

    /// Who reads these partitions is told soon that there are messages.
    pub(super) fn hint_messages(&mut self, messages: &[Message]) {
        let is_new = self.servers.unhinted.is_empty();
        self.servers.unhinted.extend(messages.iter().map(|message| message.partition));
        if is_new && !messages.is_empty() {
            let after = self.service.between(500, 15_000);
            self.at(self.now() + after, Event::HintMessages);
        }
    }

    /// A transaction of the pipeline was committed, or was not.
    fn tell_commit(&mut self, effect: &Effect, input: Option<&Input>) {
        match (effect, input) {
            (Effect::WriteOutbox { expected, checkpoint, .. }, Some(Input::OutboxWritten(_, Completion::Done(())))) => {
                let rows: Vec<Recorded> = self.servers.database.outbox_after(*expected).cloned().collect();
                self.observe(&Observation::OutboxWritten { events: &rows, from: *expected, to: *checkpoint });
            }
            (
                Effect::MarkPublished { expected, checkpoint, held, released, .. },
                Some(Input::PublishedMarked(_, Completion::Done(()))),
            ) => {
                self.held(held.iter().any(|one| one.dead.is_some()), !released.is_empty());
                self.observe(&Observation::RelayMarked { from: *expected, to: *checkpoint, held, released });
            }
            (
                Effect::Project { consumer, changes, checkpoints, held, released, .. },
                Some(Input::Projected(_, Completion::Done(()))),
            ) => {
                self.held(held.iter().any(|one| one.dead.is_some()), !released.is_empty());
                let consumer = *consumer;
                self.observe(&Observation::Projected { consumer, changes, checkpoints, held, released });
            }
            (Effect::Project { .. }, Some(Input::Projected(_, Completion::Failed(failure))))
                if failure.kind == FailureKind::Rejected =>
            {
                self.mark(Mark::RowRefused);
            }
            (Effect::WriteOutbox { .. }, Some(Input::OutboxWritten(_, Completion::Conflict))) => {
                self.mark(Mark::FeederLostRace);
            }
            (Effect::MarkPublished { .. }, Some(Input::PublishedMarked(_, Completion::Conflict))) => {
                self.mark(Mark::RelayLostRace);
            }
            (Effect::Project { .. }, Some(Input::Projected(_, Completion::Conflict))) => {
                self.mark(Mark::ProjectorLostRace);
            }
            (_, _) => {}
        }
    }

    fn held(&mut self, dead: bool, released: bool) {
        if dead {
            self.mark(Mark::DeadLetterHeld);
        }
        if released {
            self.mark(Mark::DeadLetterReleased);
        }
    }

    /// An instance says that it is there: it is dealt partitions if it is new, and told which it has if it knows of others.
    fn member(&mut self, life: InstanceId, deals: [(Consumer, u64); 2]) {
        let now = self.now();
        self.servers.heard.insert(life, now);
        for (consumer, known) in deals {
            if !self.servers.groups.join(consumer, life).is_empty() {
                self.tell_partitions(consumer);
            } else if known != self.servers.groups.deal(consumer) {
                self.tell_member(consumer, life);
            }
        }
    }

    /// The broker tells every member what it has; who has left is not told.
    pub(super) fn tell_partitions(&mut self, consumer: Consumer) {
        let members: Vec<InstanceId> = self.servers.groups.members(consumer).collect();
        for life in members {
            self.tell_member(consumer, life);
        }
    }

    fn tell_member(&mut self, consumer: Consumer, life: InstanceId) {
        let Some(lane) = self.lane_of(life) else { return };
        let (deal, partitions) = (self.servers.groups.deal(consumer), self.servers.groups.partitions(consumer, life));
        self.send(Lane::Broker, lane, Packet::Assigned { life, consumer, deal, partitions });
    }

    pub(super) fn lane_of(&self, life: InstanceId) -> Option<Lane> {
        let place = self.slots.iter().position(|slot| slot.life == Some(life))?;
        Some(Lane::Instance(place as u8))
    }

    /// Who has not been heard of loses its partitions.
    pub(super) fn check_sessions(&mut self) {
        let now = self.now();
        self.at(now + SESSION_US / 3, Event::Sessions);
        if !self.servers.is_up(Server::Broker) {
            return;
        }
        let silent: Vec<InstanceId> =
            self.servers.heard.iter().filter(|(_, at)| **at + SESSION_US < now).map(|(life, _)| *life).collect();
        for life in silent {
            self.servers.heard.remove(&life);
            for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                if !self.servers.groups.leave(consumer, life).is_empty() {
                    self.tell_partitions(consumer);
                }
            }
        }
    }
}

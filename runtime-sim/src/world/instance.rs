//! An instance: drives the very node of the service, exactly as the node's contract says.
//!
//! A turn takes every packet that is there, feeds the node, drains its effects and sends each to its server. Timeouts are
//! the adapter's: what has no answer in time has an unknown outcome. A planned death comes between two effects of a drain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wallex_core::command::{Answer, Request};
use wallex_core::config::{Config, Gathering, IdempotencyMode, Roles};
use wallex_core::effect::{Append, Completion, Effect, Input};
use wallex_core::id::{CommandId, EffectId, RequestId};
use wallex_core::node::Node;
use wallex_core::projector::{Consumer, Projection};
use wallex_core::time::Timestamp;

use super::packet::{Packet, Reply, completes, completing, effect_name, input_name};
use super::reads::Reads;
use super::state::{Awaited, Call, World, named};
use super::{Shared, lock};
use crate::fakes::{InstanceId, Port, port_of};
use crate::history::AttemptId;
use crate::lane::Lane;
use crate::marks::Mark;
use crate::plan::{Plan, Topology};
use crate::trace::Kind;

/// How often an instance tells the broker that it is there, in microseconds.
const MEMBER_US: u64 = 700_000;
/// In so many turns of a hundred, every input is drained by itself.
const ONE_BY_ONE_PERCENT: u32 = 30;

/// The state of a process. It is gone when the process dies.
pub(super) struct Driver {
    me: u8,
    pub(super) lane: Lane,
    pub(super) life: InstanceId,
    node: Node,
    requests: BTreeMap<RequestId, AttemptId>,
    next_request: u64,
    reads: Reads,
    assigned: BTreeMap<Consumer, (u64, BTreeSet<u16>)>,
    /// Effects that the adapter has given up.
    expired: BTreeSet<EffectId>,
    member_at: u64,
    draining: Option<u64>,
    wakes_at: u64,
    /// When the node wants to be called, as of the last turn.
    timer: Option<Timestamp>,
}

/// Runs a process until it dies.
pub(super) async fn run(shared: Shared, me: u8, life: InstanceId) {
    let lane = Lane::Instance(me);
    let (mut driver, notify) = {
        let mut world = lock(&shared);
        (Driver::new(&mut world, me, life), world.mailbox(lane))
    };
    while driver.take_turn(&shared) {
        notify.notified().await;
    }
}

fn config(plan: &Plan) -> Config {
    let embedded = plan.topology == Topology::Embedded;
    let request_timeout = Duration::from_millis(plan.options.request_timeout_ms);
    Config {
        sole_writer: embedded,
        idempotency: if embedded { IdempotencyMode::InAppend } else { IdempotencyMode::Separate },
        leases: true,
        leadership: !embedded,
        request_timeout,
        effect_timeout: Duration::from_millis(plan.options.effect_timeout_ms),
        takeover_after: request_timeout * 3,
        hash_seed: plan.seed,
        gathering: if embedded { Gathering::default() } else { Gathering::BEFORE_SERVERS },
        roles: Roles { feeder: true, relay: true, projectors: true },
        ..Config::default()
    }
}

impl Driver {
    fn new(world: &mut World, me: u8, life: InstanceId) -> Self {
        let mut node = Node::new(config(&world.plan), world.clock(me));
        if world.embedded() {
            for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                let all = (0..wallex_core::limits::PARTITIONS).collect();
                node.handle(world.clock(me), Input::PartitionsAssigned(consumer, all));
            }
        }
        Self {
            me,
            lane: Lane::Instance(me),
            life,
            node,
            requests: BTreeMap::new(),
            next_request: 0,
            reads: Reads::default(),
            assigned: BTreeMap::new(),
            expired: BTreeSet::new(),
            member_at: 0,
            draining: None,
            wakes_at: 0,
            timer: None,
        }
    }

    /// One turn; says whether the process lives on.
    fn take_turn(&mut self, shared: &Arc<Mutex<World>>) -> bool {
        let world = &mut *lock(shared);
        let slot = &world.slots[usize::from(self.me)];
        if slot.life != Some(self.life) || world.stopped {
            return false;
        }
        let now = world.now();
        let (paused_until, busy_until) = (slot.paused_until, slot.busy_until);
        if paused_until.max(busy_until) > now {
            if paused_until > now {
                world.mark(Mark::Paused);
            }
            world.wake_at(self.lane, paused_until.max(busy_until));
            return true;
        }
        let one_by_one = world.service.percent(ONE_BY_ONE_PERCENT);
        while let Some(packet) = world.take(self.lane) {
            self.accept(world, packet);
            if one_by_one && !self.drain_effects(world) {
                return false;
            }
        }
        self.expire_calls(world, now);
        self.reads.poll(world, self.lane, self.life, now);
        let clock = world.clock(self.me);
        if self.timer.is_some_and(|at| at <= clock) {
            world.step(self.lane, Kind::Timer, None, 0, &(), || named("timer"));
            self.node.handle_timeout(clock);
        }
        if !self.drain_effects(world) {
            return false;
        }
        if self.is_drained(world, now) {
            world.end_gracefully(self.me);
            return false;
        }
        self.keep_membership(world, now);
        if let Some(busy) = world.network.busy_after_turn(now, self.lane) {
            world.mark(Mark::SlowTurn);
            world.slots[usize::from(self.me)].busy_until = now + busy;
        }
        self.sleep(world, now);
        true
    }

    fn sleep(&mut self, world: &mut World, now: u64) {
        let clock = world.clock(self.me);
        self.timer = self.node.poll_timeout().map(|(at, _)| at);
        let timer = self.timer.map(|at| now + at.since(clock).as_micros() as u64);
        let call = world.slots[usize::from(self.me)].next_deadline();
        let member = (!world.embedded()).then_some(self.member_at);
        let next = [timer, call, member, self.draining, self.reads.next_at()].into_iter().flatten().min();
        if let Some(at) = next
            && (at < self.wakes_at || self.wakes_at <= now)
        {
            self.wakes_at = at.max(now + 500);
            world.wake_at(self.lane, at);
        }
    }

    fn accept(&mut self, world: &mut World, packet: Packet) {
        match packet {
            Packet::Submit { attempt, request } => self.submit(world, attempt, &request),
            Packet::Read { attempt, wallet, from_store, min_version } => {
                let now = world.now();
                self.reads.add(now, attempt, wallet, from_store, min_version);
            }
            Packet::Feed { life, input } if life == self.life => self.complete(world, input),
            Packet::Miss { life, effect, how } if life == self.life => {
                let missed = world.slots[usize::from(self.me)].calls.get(&effect).map(|call| call.missed);
                if let Some(missed) = missed {
                    self.complete(world, missed(effect, how));
                }
            }
            Packet::Found { life, number, snapshot } if life == self.life => {
                self.reads.found(world, self.lane, number, snapshot);
            }
            Packet::Assigned { life, consumer, deal, partitions } if life == self.life => {
                self.assign(world, consumer, deal, partitions);
            }
            // For a process that ran here before, or for nobody.
            Packet::Feed { .. } | Packet::Miss { .. } | Packet::Found { .. } | Packet::Assigned { .. } => {}
            Packet::Reply { .. } | Packet::Perform { .. } | Packet::Lookup { .. } | Packet::Member { .. } => {}
            Packet::AppendGroup { .. } => {}
        }
    }

    fn submit(&mut self, world: &mut World, attempt: AttemptId, request: &Request) {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.requests.insert(id, attempt);
        // As the real runtime does: a fresh command for whatever comes in.
        let command_id = CommandId::new(world.clock(self.me), world.ids.draw());
        self.feed(world, Input::Submit(Request { id, command_id, ..request.clone() }));
    }

    /// A completion. It may come twice, or after the adapter has given up: the node is told all the same.
    fn complete(&mut self, world: &mut World, input: Input) {
        if let Some(effect) = completes(&input) {
            match world.slots[usize::from(self.me)].calls.remove(&effect) {
                Some(call) => self.mark_completion(world, &input, &call),
                None if self.expired.contains(&effect) => world.mark(Mark::CompletedLate),
                None => world.mark(Mark::CompletedTwice),
            }
        }
        self.feed(world, input);
    }

    fn feed(&mut self, world: &mut World, input: Input) {
        let name = input_name(&input);
        world.step(self.lane, Kind::Input, None, 0, &input, || super::describe::input(name, &input));
        let led = matches!(input, Input::Led(..));
        self.node.handle(world.clock(self.me), input);
        if led {
            let leads = self.node.pipeline().leads;
            let me = usize::from(self.me);
            world.slots[me].leads = leads;
            let other = world.slots.iter().enumerate().any(|(at, slot)| at != me && slot.life.is_some() && slot.leads);
            if leads && other {
                world.mark(Mark::TwoLeaders);
            }
        }
    }

    fn mark_completion(&mut self, world: &mut World, input: &Input, call: &Call) {
        match (input, &call.what) {
            (Input::Appended(_, completion), Awaited::Append(append)) => {
                let Some(first) = append.writes.first().and_then(|write| write.events.first()) else { return };
                let doubtful = &mut world.slots[usize::from(self.me)].doubtful;
                let doubted = match completion {
                    Completion::Unknown => {
                        doubtful.insert(first.event_id, ());
                        return;
                    }
                    Completion::Done(()) | Completion::Conflict | Completion::Failed(_) => {
                        doubtful.remove(&first.event_id).is_some()
                    }
                };
                match completion {
                    Completion::Done(()) if doubted => world.mark(Mark::UnknownAppendDone),
                    Completion::Conflict => {
                        world.mark(Mark::ConflictRetried);
                        if doubted {
                            world.mark(Mark::UnknownAppendNotDone);
                        }
                    }
                    Completion::Done(()) | Completion::Failed(_) | Completion::Unknown => {}
                }
            }
            (Input::Found(_, Completion::Done(events)), _) => {
                world.mark(if events.is_empty() { Mark::TakeoverNotFound } else { Mark::TakeoverFound });
            }
            (Input::Leased(_, Completion::Done(granted)), Awaited::Lease(wallets)) => {
                if granted.contains(&false) {
                    world.mark(Mark::LeaseDenied);
                }
                let leased = &mut world.slots[usize::from(self.me)].leased;
                for (wallet, granted) in wallets.iter().zip(granted) {
                    if *granted {
                        leased.insert(wallet.clone());
                    } else {
                        leased.remove(wallet);
                    }
                }
            }
            (Input::StreamRead(_, Completion::Done(events)), _) if !events.is_empty() => world.mark(Mark::GapFetched),
            (_, _) => {}
        }
    }

    fn assign(&mut self, world: &mut World, consumer: Consumer, deal: u64, partitions: Vec<u16>) {
        let wanted: BTreeSet<u16> = partitions.into_iter().collect();
        let (_, has) = self.assigned.insert(consumer, (deal, wanted.clone())).unwrap_or_default();
        let revoked: Vec<u16> = has.difference(&wanted).copied().collect();
        let assigned: Vec<u16> = wanted.difference(&has).copied().collect();
        if !revoked.is_empty() {
            let writing = |call: &Call| matches!(call.what, Awaited::Project(of) if of == consumer);
            if world.slots[usize::from(self.me)].calls.values().any(writing) {
                world.mark(Mark::RebalanceInMidBatch);
            }
            self.feed(world, Input::PartitionsRevoked(consumer, revoked));
        }
        if !assigned.is_empty() {
            self.feed(world, Input::PartitionsAssigned(consumer, assigned));
        }
    }

    fn keep_membership(&mut self, world: &mut World, now: u64) {
        if self.member_at <= now && !world.embedded() {
            self.member_at = now + MEMBER_US;
            let deal = |consumer| (consumer, self.assigned.get(&consumer).map_or(0, |(deal, _)| *deal));
            let deals = [deal(Consumer::ReadModel), deal(Consumer::Ledger)];
            world.send(self.lane, Lane::Broker, Packet::Member { life: self.life, deals });
        }
    }

    fn expire_calls(&mut self, world: &mut World, now: u64) {
        let me = usize::from(self.me);
        while let Some((deadline, effect)) = world.slots[me].deadlines.front().copied()
            && deadline <= now
        {
            world.slots[me].deadlines.pop_front();
            let Some(missed) = world.slots[me].calls.get(&effect).map(|call| call.missed) else { continue };
            self.complete(world, missed(effect, super::packet::Miss::Unknown));
            self.expired.insert(effect);
        }
    }

    /// Asked to finish: nothing more is taken, and when nothing is begun any more, or time is up, it ends.
    fn is_drained(&mut self, world: &mut World, now: u64) -> bool {
        if let Some(until) = world.slots[usize::from(self.me)].drain.take()
            && self.draining.is_none()
        {
            self.draining = Some(until);
            self.feed(world, Input::Drain);
            if !self.drain_effects(world) {
                return true;
            }
        }
        let Some(until) = self.draining else { return false };
        let idle = self.node.commands().commands_pending() == 0;
        if idle {
            world.mark(Mark::Drained);
        }
        idle || until <= now
    }

    /// Sends every effect on its way; false when the process dies in the midst of it.
    fn drain_effects(&mut self, world: &mut World) -> bool {
        let mut group: Vec<(EffectId, Arc<Append>)> = Vec::new();
        let mut drained = 0;
        while let Some(effect) = self.node.poll_effect() {
            let slot = &mut world.slots[usize::from(self.me)];
            if let Some((left, down_us)) = slot.dying {
                if left <= 1 {
                    if drained > 0 {
                        world.mark(Mark::CrashInMidDrain);
                    }
                    world.die(self.me, down_us);
                    return false;
                }
                slot.dying = Some((left - 1, down_us));
            }
            drained += 1;
            let name = effect_name(&effect);
            world.step(self.lane, Kind::Effect, None, 0, &effect, || super::describe::effect(name, &effect));
            self.dispatch(world, effect, &mut group);
        }
        if !group.is_empty() {
            world.send(self.lane, Lane::EventStore, Packet::AppendGroup { life: self.life, group });
        }
        true
    }

    fn dispatch(&mut self, world: &mut World, effect: Effect, group: &mut Vec<(EffectId, Arc<Append>)>) {
        if let Effect::Reply { request, answer } = effect {
            return self.reply(world, request, answer);
        }
        if let Some((id, missed)) = completing(&effect) {
            let now = world.now();
            // Nothing is lost within one process, so an embedded instance waits for as long as it takes.
            let patience = if world.embedded() { u64::MAX / 2 } else { world.plan.options.call_timeout_ms * 1_000 };
            let what = awaited(world, &effect);
            let slot = &mut world.slots[usize::from(self.me)];
            slot.calls.insert(id, Call { missed, what, performed: false });
            slot.deadlines.push_back((now + patience, id));
        }
        if let Effect::Unlease(wallets) = &effect {
            let leased = &mut world.slots[usize::from(self.me)].leased;
            for wallet in wallets {
                leased.remove(wallet);
            }
        }
        let server = match port_of(&effect) {
            Port::EventStore => Lane::EventStore,
            // Idempotency records are in the journal there.
            Port::Database
                if world.embedded()
                    && matches!(effect, Effect::Reserve(..) | Effect::StoreAnswers(..) | Effect::ReleaseKeys(_)) =>
            {
                Lane::EventStore
            }
            Port::Database => Lane::Database,
            Port::Broker => Lane::Broker,
            Port::Leases => Lane::Leases,
            Port::Client => return,
        };
        // One write and one sync for all of a turn.
        if let (Effect::Append(id, append), true) = (&effect, world.embedded()) {
            return group.push((*id, Arc::clone(append)));
        }
        let clock = world.clock(self.me);
        world.send(self.lane, server, Packet::Perform { life: self.life, clock, effect });
    }

    fn reply(&mut self, world: &mut World, request: RequestId, answer: Answer) {
        let Some(attempt) = self.requests.remove(&request) else { return };
        match &answer {
            Answer::Final { replayed: true, .. } => world.mark(Mark::KeyReplayed),
            Answer::Final { answer, .. } if answer.outcome.is_err() => world.mark(Mark::Refused),
            Answer::Final { .. } => {}
            Answer::InFlight => world.mark(Mark::KeyInFlight),
            Answer::KeyReused => world.mark(Mark::KeyReused),
            Answer::Unavailable(_) => world.mark(Mark::Unavailable),
            Answer::OutcomeUnknown => world.mark(Mark::OutcomeUnknown),
        }
        world.reply(self.lane, attempt, Reply::Answer(answer));
    }
}

fn awaited(world: &mut World, effect: &Effect) -> Awaited {
    if let Effect::Project { changes, held, released, .. } = effect
        && held.is_empty()
        && released.is_empty()
        && match changes {
            Projection::ReadModel(changes) => changes.is_empty(),
            Projection::Ledger(entries) => entries.is_empty(),
        }
    {
        // The batch moves the checkpoint and nothing else: it had everything.
        world.mark(Mark::DuplicateSkipped);
    }
    if let Effect::Append(_, append) = effect {
        Awaited::Append(Arc::clone(append))
    } else if let Effect::Project { consumer, .. } = effect {
        Awaited::Project(*consumer)
    } else if let Effect::Lease { wallets, .. } = effect {
        Awaited::Lease(wallets.clone())
    } else if matches!(effect, Effect::FindCommand { .. }) {
        Awaited::Find
    } else if matches!(effect, Effect::WriteOutbox { .. }) {
        Awaited::Outbox
    } else if matches!(effect, Effect::MarkPublished { .. }) {
        Awaited::Mark
    } else {
        Awaited::Other
    }
}

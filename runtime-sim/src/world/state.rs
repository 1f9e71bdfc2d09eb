//! What all nodes share: time, the network, the servers, and the record of what happens.
//!
//! It stands behind one lock that is never held across a wait. Nodes take it for a turn, so a turn is atomic, as it is
//! in one thread of a process; everything between turns is the network's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use madsim::runtime::NodeHandle;
use madsim::time::TimeHandle;
use serde::Serialize;
use tokio::sync::Notify;
use wallex_core::effect::Append;
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, EventId, WalletId};
use wallex_core::time::Timestamp;

use super::packet::{Event, MakeMissed, Packet};
use super::rot::Rotten;
use super::servers::Servers;
use crate::chance::{Chance, Concern};
use crate::check::Checks;
use crate::fakes::{Disk, InstanceId};
use crate::history::{AttemptId, History};
use crate::lane::Lane;
use crate::marks::{Mark, Marks};
use crate::network::{Fate, Network};
use crate::observe::{Moment, Observation};
use crate::plan::{FaultKind, Names, Plan, Topology};
use crate::trace::{Head, Kind, Note, Trace};

/// When every run begins.
pub const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// Everything outside the nodes' own state.
pub(crate) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) names: Names,
    /// Asked directly: the way through the standard library's clock costs ten times as much.
    clock: TimeHandle,
    began: Duration,
    /// Time stands still while a node has the lock.
    now: u64,
    pub(super) network: Network<Event>,
    pub(super) pump: Arc<Notify>,
    /// Until when the pump sleeps.
    pub(super) pump_wakes_at: u64,
    /// Of the clients, then of the instances.
    mailboxes: Vec<Mailbox>,
    pub(super) servers: Servers,
    pub(super) slots: Vec<Slot>,
    pub(super) lives: u32,
    pub(super) checks: Checks,
    pub(super) history: History,
    pub(super) trace: Trace,
    pub(super) marks: Marks,
    /// What clients choose.
    pub(super) clients: Chance,
    pub(super) service: Chance,
    pub(super) ids: Chance,
    pub(super) disks: Chance,
    pub(super) clients_done: usize,
    /// Whether a proxy may send a command with a key twice.
    resubmits: bool,
    /// Attempts that it has sent twice.
    pub(super) resubmitted: BTreeSet<AttemptId>,
    /// The byte of the embedded disk that has rotted.
    pub(super) rotten: Option<Rotten>,
    pub(super) healed: bool,
    /// When that was, in microseconds.
    pub(super) healed_at: u64,
    pub(super) ended_at: Duration,
    pub(super) verdict: Option<crate::check::Verdict>,
    /// A checker has found something: the run is over.
    pub(super) stopped: bool,
    pub(super) tally: super::Tally,
}

#[derive(Default)]
struct Mailbox {
    packets: VecDeque<Packet>,
    notify: Arc<Notify>,
}

/// The place of an instance: what outlives its process.
pub(super) struct Slot {
    /// The process that runs, if one does.
    pub(super) life: Option<InstanceId>,
    pub(super) process: Option<NodeHandle>,
    /// How wrong the machine's clock is.
    pub(super) skew_us: i64,
    /// How wrong the clock of the process is: it follows the machine's forward, never back, as the real runtime's does.
    pub(super) ahead_us: i64,
    pub(super) paused_until: u64,
    /// A slow process is still busy with its last turn.
    pub(super) busy_until: u64,
    /// It dies after so many more effects, and stays away for so long.
    pub(super) dying: Option<(u16, u64)>,
    pub(super) drain: Option<u64>,
    /// Effects that the running process waits for.
    pub(super) calls: BTreeMap<EffectId, Call>,
    /// When the adapter gives them up, in that order; those that are completed are still there.
    pub(super) deadlines: VecDeque<(u64, EffectId)>,
    /// Appends of unknown outcome, by their first event.
    pub(super) doubtful: BTreeMap<EventId, ()>,
    pub(super) leads: bool,
    /// Leases that the process was granted and has not given back.
    pub(super) leased: BTreeSet<WalletId>,
    /// Its subscription to the log is not broken.
    pub(super) subscribed: bool,
    pub(super) disk: Disk,
    /// It dies in the middle of a write, and stays away for so long.
    pub(super) power_cut: Option<u64>,
}

/// An effect that has no completion yet.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) missed: MakeMissed,
    pub(super) what: Awaited,
    /// The server has done it; the process has not heard of it.
    pub(super) performed: bool,
}

/// What matters about an effect when its process dies.
#[derive(Debug)]
pub(super) enum Awaited {
    Append(Arc<Append>),
    Lease(Vec<WalletId>),
    Find,
    Outbox,
    Mark,
    Project(wallex_core::projector::Consumer),
    Other,
}

impl Slot {
    /// When the adapter gives up the next call. All of them have the same time, so the oldest is the first.
    pub(super) fn next_deadline(&mut self) -> Option<u64> {
        while let Some((_, effect)) = self.deadlines.front()
            && !self.calls.contains_key(effect)
        {
            self.deadlines.pop_front();
        }
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }
}

impl World {
    pub(super) fn new(plan: Arc<Plan>, trace: Trace) -> Self {
        let (seed, options) = (plan.seed, &plan.options);
        let slot = |_| Slot {
            life: None,
            process: None,
            skew_us: 0,
            ahead_us: 0,
            paused_until: 0,
            busy_until: 0,
            dying: None,
            drain: None,
            calls: BTreeMap::new(),
            deadlines: VecDeque::new(),
            doubtful: BTreeMap::new(),
            leads: false,
            leased: BTreeSet::new(),
            subscribed: false,
            disk: Disk::default(),
            power_cut: None,
        };
        let embedded = plan.topology == Topology::Embedded;
        let mailboxes = plan.clients.len() + usize::from(options.instances);
        Self {
            names: Names::new(options.wallets),
            began: TimeHandle::current().elapsed(),
            clock: TimeHandle::current(),
            now: 0,
            network: Network::new(seed, options, embedded),
            pump: Arc::default(),
            pump_wakes_at: 0,
            mailboxes: std::iter::repeat_with(Mailbox::default).take(mailboxes).collect(),
            servers: Servers::new(embedded),
            slots: (0..options.instances).map(slot).collect(),
            lives: 0,
            checks: Checks::default(),
            history: History::default(),
            trace,
            marks: Marks::default(),
            clients: Chance::of(seed, Concern::Clients),
            service: Chance::of(seed, Concern::Service),
            ids: Chance::of(seed, Concern::Ids),
            disks: Chance::of(seed, Concern::Disk),
            clients_done: 0,
            resubmits: options.kinds.contains(&FaultKind::Resubmits),
            resubmitted: BTreeSet::new(),
            rotten: None,
            healed: false,
            healed_at: 0,
            ended_at: Duration::ZERO,
            verdict: None,
            stopped: false,
            tally: super::Tally::default(),
            plan,
        }
    }

    pub(super) fn read_clock(&mut self) {
        self.now = u64::try_from((self.clock.elapsed() - self.began).as_micros()).unwrap_or(u64::MAX);
    }

    /// Microseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The true time.
    pub(super) fn time(&self) -> Timestamp {
        START.plus(Duration::from_micros(self.now()))
    }

    /// The time by the clock of an instance.
    pub(super) fn clock(&self, instance: u8) -> Timestamp {
        Timestamp::from_micros(self.time().as_micros() + self.slots[usize::from(instance)].ahead_us)
    }

    pub(super) fn embedded(&self) -> bool {
        self.plan.topology == Topology::Embedded
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.network.push(at, event);
        if at < self.pump_wakes_at {
            self.pump.notify_one();
        }
    }

    /// Wakes a node at a time; not at once, so that a node that is never content cannot stop time.
    pub(super) fn wake_at(&mut self, lane: Lane, at: u64) {
        let at = at.max(self.now() + 500);
        self.at(at, Event::Wake(lane));
    }

    fn mailbox_of(&self, lane: Lane) -> Option<usize> {
        match lane {
            Lane::Client(number) => Some(usize::from(number)),
            Lane::Instance(number) => Some(self.plan.clients.len() + usize::from(number)),
            Lane::EventStore | Lane::Database | Lane::Broker | Lane::Leases => None,
        }
    }

    fn open(&mut self, lane: Lane) -> Option<&mut Mailbox> {
        self.mailbox_of(lane).and_then(|at| self.mailboxes.get_mut(at))
    }

    pub(super) fn mailbox(&self, lane: Lane) -> Arc<Notify> {
        let mailbox = self.mailbox_of(lane).and_then(|at| self.mailboxes.get(at));
        mailbox.map(|mailbox| Arc::clone(&mailbox.notify)).unwrap_or_default()
    }

    pub(super) fn put(&mut self, lane: Lane, packet: Packet) {
        if let Some(mailbox) = self.open(lane) {
            mailbox.packets.push_back(packet);
            mailbox.notify.notify_one();
        }
    }

    pub(super) fn nudge(&self, lane: Lane) {
        if let Some(mailbox) = self.mailbox_of(lane).and_then(|at| self.mailboxes.get(at)) {
            mailbox.notify.notify_one();
        }
    }

    pub(super) fn take(&mut self, lane: Lane) -> Option<Packet> {
        self.open(lane)?.packets.pop_front()
    }

    pub(super) fn empty(&mut self, lane: Lane) {
        if let Some(mailbox) = self.open(lane) {
            mailbox.packets.clear();
        }
    }

    /// Sends a message, which may come late, twice or never.
    pub(super) fn send(&mut self, from: Lane, to: Lane, packet: Packet) {
        let now = self.now();
        let may_repeat = packet.may_repeat() && (self.resubmits || !matches!(packet, Packet::Submit { .. }));
        let fate = self.network.judge(now, from, to, may_repeat);
        let message = self.network.messages;
        let name = packet.name();
        self.step(from, Kind::Send, Some(to), message, &(), || named(name));
        match fate {
            Fate::Lost => self.step(from, Kind::Drop, Some(to), message, &(), || named(name)),
            Fate::Arrives(after, repeat) => {
                let twice = repeat.is_some();
                if let Some(again) = repeat {
                    self.step(from, Kind::Duplicate, Some(to), message, &again, || named(name));
                    let packet = packet.clone();
                    if let Packet::Submit { attempt, .. } = packet {
                        self.mark(Mark::CommandRepeated);
                        self.resubmitted.insert(attempt);
                    }
                    self.at(now + again, Event::Deliver { from, to, message, twice, packet });
                }
                self.at(now + after, Event::Deliver { from, to, message, twice, packet });
            }
        }
    }

    /// Records a step.
    pub(super) fn step(
        &mut self,
        lane: Lane,
        kind: Kind,
        peer: Option<Lane>,
        message: u64,
        what: &(impl Serialize + ?Sized),
        note: impl FnOnce() -> Note,
    ) {
        let head = Head { at: self.time(), lane: lane.number(), kind, peer: peer.map(Lane::number), message };
        self.trace.record(head, what, note);
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { at: self.time(), step: self.trace.steps() }
    }

    /// Tells the checkers.
    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        let moment = self.moment();
        if self.checks.observe(moment, observation).is_some() {
            self.stopped = true;
        }
    }

    /// The event store has made one append durable.
    pub(super) fn appended(&mut self, events: &[Recorded]) {
        if events.is_empty() {
            return;
        }
        let states = || {
            let state = |recorded: &Recorded| crate::trace::WalletState {
                wallet: recorded.event.wallet_id.clone(),
                version: recorded.event.version.0,
                balance: i64::try_from(recorded.event.balance.minor_units()).unwrap_or(i64::MAX),
            };
            let text = format!("{} events, up to position {}", events.len(), events[events.len() - 1].position);
            let wallets = events.iter().map(|recorded| recorded.event.wallet_id.clone()).collect();
            Note { name: "append".to_owned(), text, wallets, states: events.iter().map(state).collect() }
        };
        self.step(Lane::EventStore, Kind::Append, None, 0, events, states);
        self.tally.events += events.len() as u64;
        self.observe(&Observation::Appended(events));
        if !self.servers.log_hinted {
            self.servers.log_hinted = true;
            // A subscription gathers what comes within a few milliseconds.
            let after = self.service.between(500, 20_000);
            self.at(self.now() + after, Event::HintLog);
        }
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.reach(mark);
    }
}

pub(super) fn named(name: &str) -> Note {
    Note { name: name.to_owned(), ..Note::default() }
}

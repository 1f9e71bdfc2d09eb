//! Faults happen here: what the plan says, when it says it.
//!
//! A fault sets something in the network, a server, a disk or a process, and a part of the world does the rest. What
//! lasts is undone at its time, and everything when the run heals. Also here: how instances hear of a log that has
//! grown, of new messages and of their partitions.

use wallex_core::effect::Input;
use wallex_core::id::Version;
use wallex_core::projector::Consumer;

use super::packet::{Event, Packet, Undo};
use super::state::World;
use crate::lane::Lane;
use crate::marks::Mark;
use crate::network::Spell;
use crate::plan::{Fault, Server};
use crate::trace::{Kind, Note};

/// How wrong a clock may be: two of them differ by less than [`wallex_core::limits::TAKEOVER_CLOCK_MARGIN`] then.
const SKEW_MAX_US: i64 = 240_000_000;
/// How long after its end a subscription to the log is taken up again, and how long after a try that failed.
const SUBSCRIBE_AGAIN_US: u64 = 300_000;

impl World {
    /// A fault of the plan begins.
    pub(super) fn inflict(&mut self, number: usize) {
        if self.healed {
            return;
        }
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(planned) = plan.faults.get(number) else { return };
        let fault = &planned.fault;
        let (now, until) = (self.now(), self.now() + fault.lasts_ms() * 1_000);
        self.step(lane_of(fault), Kind::Fault, None, 0, fault, || Note {
            name: fault.name().to_owned(),
            text: serde_json::to_string(fault).unwrap_or_default(),
            ..Note::default()
        });
        match *fault {
            Fault::Crash { instance, after_effects: 0, down_ms } => self.crash(instance, down_ms * 1_000),
            Fault::Crash { instance, after_effects, down_ms } => {
                self.slot(instance).dying = Some((after_effects, down_ms * 1_000));
            }
            Fault::PowerCut { after_operations: 0, down_ms } => self.cut_power(down_ms * 1_000),
            Fault::PowerCut { after_operations, down_ms } => {
                let slot = self.slot(0);
                slot.disk.crash_at(slot.disk.operations() + u64::from(after_operations));
                slot.power_cut = Some(down_ms * 1_000);
            }
            Fault::GracefulRestart { instance, .. } => {
                self.slot(instance).drain = Some(until);
                self.nudge_instance(instance);
            }
            Fault::Pause { instance, .. } => self.slot(instance).paused_until = until,
            Fault::ServerDown { server, .. } => self.take_down(server, until),
            Fault::Partition { .. }
            | Fault::Isolate { .. }
            | Fault::BadNetwork { .. }
            | Fault::Slow { .. }
            | Fault::LostAnswers { .. }
            | Fault::SlowDisk { .. } => {
                if let Some(spell) = spell_of(fault) {
                    self.network.cast(until, spell);
                }
            }
            Fault::ClockJump { instance, by_ms } => self.jump_clock(instance, by_ms),
            Fault::LeasesLost => self.lose_leases(),
            Fault::RebalanceStorm { consumer, times, gap_ms } => {
                for storm in 0..u64::from(times) {
                    self.at(now + storm * gap_ms * 1_000, Event::Rebalance(consumer));
                }
            }
            Fault::PoisonRows { consumer, wallet, .. } => self.poison(consumer, wallet, false, until),
            Fault::PoisonMessages { wallet, garbled, .. } => self.poison(Consumer::Relay, wallet, garbled, until),
            Fault::Leaderless { partition, .. } => {
                self.servers.broker.set_leader(partition, false);
                self.at(until, Event::Undo(Undo::Leader(partition)));
            }
            Fault::DiskFull { .. } => {
                let disk = &self.slot(0).disk;
                disk.set_capacity(Some(disk.used()));
                self.at(until, Event::Undo(Undo::DiskRoom));
            }
            Fault::SyncsFail { count } => self.slot(0).disk.fail_syncs(u64::from(count)),
            Fault::Rot { at_ppm, bit, .. } => {
                self.rot(at_ppm, bit);
                self.at(until, Event::Undo(Undo::Rot));
            }
        }
    }

    fn take_down(&mut self, server: Server, until: u64) {
        if server == Server::Leases {
            self.lose_leases();
        }
        self.servers.goes_down(server);
        for place in 0..self.slots.len() {
            self.keep_subscription(place as u8);
        }
        self.at(until, Event::Undo(Undo::ServerUp(server)));
    }

    /// A fault of the plan is over.
    pub(super) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::ServerUp(server) => self.servers.comes_up(*server),
            Undo::Cure { consumer, wallet, version, garbled } => {
                let version = Version(*version);
                if *garbled {
                    self.servers.broker.garbled().cure(*consumer, wallet.clone(), version);
                } else if *consumer == Consumer::Relay {
                    self.servers.broker.poison().cure(*consumer, wallet.clone(), version);
                } else {
                    self.servers.database.poison().cure(*consumer, wallet.clone(), version);
                }
            }
            Undo::Leader(partition) => self.servers.broker.set_leader(*partition, true),
            Undo::DiskRoom => self.slot(0).disk.set_capacity(None),
            Undo::Rot => self.restore(),
        }
    }

    /// The plan's faults are over; what is broken comes back.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.restore();
        for slot in &mut self.slots {
            slot.dying = None;
            (slot.paused_until, slot.busy_until) = (0, 0);
            slot.power_cut = None;
            if !slot.disk.has_crashed() {
                slot.disk.crash_at(u64::MAX);
            }
            slot.disk.set_capacity(None);
            slot.disk.fail_syncs(0);
        }
        for server in Server::ALL {
            while !self.servers.is_up(server) {
                self.servers.comes_up(server);
            }
        }
        self.servers.broker.heal();
        self.servers.broker.poison().cure_all();
        self.servers.broker.garbled().cure_all();
        self.servers.database.poison().cure_all();
        for instance in 0..self.plan.options.instances {
            self.nudge_instance(instance);
        }
        self.step(Lane::Database, Kind::Heal, None, 0, &(), || super::state::named("heal"));
        self.observe(&crate::observe::Observation::Healed);
    }

    fn slot(&mut self, instance: u8) -> &mut super::state::Slot {
        let places = self.slots.len();
        &mut self.slots[usize::from(instance) % places]
    }

    fn nudge_instance(&self, instance: u8) {
        let place = usize::from(instance) % self.slots.len();
        self.nudge(Lane::Instance(place as u8));
    }

    fn jump_clock(&mut self, instance: u8, by_ms: i64) {
        let slot = self.slot(instance);
        let before = slot.skew_us;
        slot.skew_us = (before + by_ms * 1_000).clamp(-SKEW_MAX_US, SKEW_MAX_US);
        slot.ahead_us = slot.ahead_us.max(slot.skew_us);
        let (runs, forward) = (slot.life.is_some(), slot.skew_us > before);
        if runs {
            self.mark(if forward { Mark::ClockForward } else { Mark::ClockBack });
        }
        self.nudge_instance(instance);
    }

    /// The lease store comes back empty. Nobody has a lease any more, and nobody knows.
    fn lose_leases(&mut self) {
        if self.servers.leases.held(self.time()) > 0 {
            self.mark(Mark::LeasesLost);
        }
        self.servers.leases.crash();
        for slot in &mut self.slots {
            slot.leased.clear();
        }
    }

    /// A process dies at once. An embedded one takes the machine with it, half of the time.
    fn crash(&mut self, instance: u8, down_us: u64) {
        let place = (usize::from(instance) % self.slots.len()) as u8;
        if self.embedded() && self.slots[0].life.is_some() && self.disks.percent(50) {
            self.cut_power(down_us);
        } else {
            self.die(place, down_us);
        }
    }

    /// The next event of a wallet, and a later one, are refused for a while.
    fn poison(&mut self, consumer: Consumer, wallet: u16, garbled: bool, until: u64) {
        let wallet = self.names.wallet(wallet);
        let newest = self.checks.books().entries(&wallet).len() as u64;
        for version in [newest + 1, newest + 4] {
            let refused = (consumer, wallet.clone(), Version(version));
            if garbled {
                self.servers.broker.garbled().refuse(refused.0, refused.1, refused.2);
            } else if consumer == Consumer::Relay {
                self.servers.broker.poison().refuse(refused.0, refused.1, refused.2);
            } else {
                self.servers.database.poison().refuse(refused.0, refused.1, refused.2);
            }
            self.at(until, Event::Undo(Undo::Cure { consumer, wallet: wallet.clone(), version, garbled }));
        }
    }

    /// The broker moves partitions about.
    pub(super) fn rebalance(&mut self, consumer: Consumer) {
        let _notices = self.servers.groups.rebalance(consumer);
        self.tell_partitions(consumer);
    }

    /// Instances are told that the log has grown.
    pub(super) fn hint_log(&mut self) {
        self.servers.log_hinted = false;
        let head = match &self.servers.inside {
            Some(inside) => inside.told,
            None => self.servers.store.head(),
        };
        for place in 0..self.slots.len() {
            self.keep_subscription(place as u8);
            if let (Some(life), true) = (self.slots[place].life, self.slots[place].subscribed) {
                let input = Input::LogAdvanced(head);
                self.send(Lane::EventStore, Lane::Instance(place as u8), Packet::Feed { life, input });
            }
        }
    }

    /// A subscription ends with the event store, and with the connection to it.
    pub(super) fn keep_subscription(&mut self, place: u8) {
        if self.slots[usize::from(place)].subscribed && !self.can_subscribe(place) {
            self.slots[usize::from(place)].subscribed = false;
            self.at(self.now() + SUBSCRIBE_AGAIN_US, Event::Subscribe(place));
        }
    }

    /// It is taken up again when that is possible, and tells at once how far the log is.
    pub(super) fn subscribe(&mut self, place: u8) {
        let slot = &self.slots[usize::from(place)];
        let (Some(life), false) = (slot.life, slot.subscribed) else { return };
        if !self.can_subscribe(place) {
            return self.at(self.now() + SUBSCRIBE_AGAIN_US, Event::Subscribe(place));
        }
        self.slots[usize::from(place)].subscribed = true;
        self.mark(Mark::SubscriptionResumed);
        let input = Input::LogAdvanced(self.servers.store.head());
        self.send(Lane::EventStore, Lane::Instance(place), Packet::Feed { life, input });
    }

    /// What is inside one process needs no connection.
    fn can_subscribe(&self, place: u8) -> bool {
        let (store, instance) = (Lane::EventStore, Lane::Instance(place));
        let reachable = self.servers.is_up(Server::EventStore) && !self.network.is_cut(self.now(), store, instance);
        self.embedded() || reachable
    }

    /// Who reads partitions with new messages is told of them.
    pub(super) fn hint_messages_now(&mut self) {
        let partitions = std::mem::take(&mut self.servers.unhinted);
        for place in 0..self.slots.len() {
            if let Some(life) = self.slots[place].life {
                for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                    let owns = |partition: &u16| self.servers.groups.owner(consumer, *partition) == Some(life);
                    if !self.embedded() && !partitions.iter().any(owns) {
                        continue;
                    }
                    let input = Input::MessagesAvailable(consumer);
                    self.send(Lane::Broker, Lane::Instance(place as u8), Packet::Feed { life, input });
                }
            }
        }
    }
}

/// Where a fault is drawn.
/// What a fault does to messages on their way, when it does something to them.
fn spell_of(fault: &Fault) -> Option<Spell> {
    Some(match *fault {
        Fault::Partition { from, to, direction, .. } => Spell::Cut { from, to, direction },
        Fault::Isolate { node, .. } => Spell::Isolated(node),
        Fault::BadNetwork { from, to, loss_ppm, duplicates_ppm, extra_delay_us, .. } => {
            Spell::Bad { from, to, loss_ppm, duplicates_ppm, extra_delay_us }
        }
        Fault::Slow { node, extra_us, .. } => Spell::Slow { node, extra_us },
        Fault::SlowDisk { extra_us, .. } => Spell::Slow { node: Lane::EventStore, extra_us },
        Fault::LostAnswers { server, percent, .. } => Spell::LostAnswers { server, percent },
        Fault::Crash { .. }
        | Fault::PowerCut { .. }
        | Fault::GracefulRestart { .. }
        | Fault::Pause { .. }
        | Fault::ServerDown { .. }
        | Fault::ClockJump { .. }
        | Fault::LeasesLost
        | Fault::RebalanceStorm { .. }
        | Fault::PoisonRows { .. }
        | Fault::PoisonMessages { .. }
        | Fault::Leaderless { .. }
        | Fault::DiskFull { .. }
        | Fault::SyncsFail { .. }
        | Fault::Rot { .. } => return None,
    })
}

fn lane_of(fault: &Fault) -> Lane {
    match fault {
        Fault::Crash { instance, .. }
        | Fault::GracefulRestart { instance, .. }
        | Fault::Pause { instance, .. }
        | Fault::ClockJump { instance, .. } => Lane::Instance(*instance),
        Fault::ServerDown { server, .. } | Fault::LostAnswers { server, .. } => server.lane(),
        Fault::Partition { from, .. } => *from,
        Fault::Isolate { node, .. } | Fault::Slow { node, .. } => *node,
        Fault::BadNetwork { from, to, .. } => from.or(*to).unwrap_or(Lane::Database),
        Fault::LeasesLost => Lane::Leases,
        Fault::RebalanceStorm { .. } | Fault::PoisonMessages { .. } | Fault::Leaderless { .. } => Lane::Broker,
        Fault::PoisonRows { .. } => Lane::Database,
        Fault::PowerCut { .. } | Fault::DiskFull { .. } | Fault::SyncsFail { .. } => Lane::EventStore,
        Fault::SlowDisk { .. } | Fault::Rot { .. } => Lane::EventStore,
    }
}

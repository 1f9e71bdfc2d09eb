//! The life and death of processes.
//!
//! A process dies whole: its task is killed, its node is dropped, and what travels to it finds nobody. What it had sent
//! before goes on by itself. The next life is another one: it has no memory and no lease.

use std::sync::Arc;

use madsim::runtime::Handle;

use super::packet::{Event, Packet, Reply};
use super::state::{Awaited, Call, World, named};
use super::{Shared, instance, lock};
use crate::fakes::InstanceId;
use crate::history::AttemptId;
use crate::lane::Lane;
use crate::marks::Mark;
use crate::trace::Kind;

/// How long a process that could not start waits before the next try, in microseconds.
const START_AGAIN_US: u64 = 200_000;
/// How long a new process takes to start after a graceful end, in microseconds.
const RESTART_US: u64 = 50_000;
/// Nobody listens there: so often, in a hundred, the client is told.
const REFUSED_PERCENT: u32 = 80;

/// Starts a process at a place, unless one runs there.
pub(super) fn boot(shared: &Shared, me: u8) {
    let life = {
        let mut world = lock(shared);
        if world.slots[usize::from(me)].life.is_some() {
            return;
        }
        if world.embedded() && !world.open_journal() {
            let again = world.now() + START_AGAIN_US;
            world.at(again, Event::Boot(me));
            return;
        }
        world.lives += 1;
        let life = InstanceId(world.lives);
        let lane = Lane::Instance(me);
        world.empty(lane);
        let slot = &mut world.slots[usize::from(me)];
        slot.life = Some(life);
        slot.ahead_us = slot.skew_us;
        slot.subscribed = true;
        world.keep_subscription(me);
        world.step(lane, Kind::Restart, None, 0, &life, || named("start"));
        life
    };
    let node = Handle::current().create_node().name(format!("instance-{me} life {}", life.0)).build();
    drop(node.spawn(instance::run(Arc::clone(shared), me, life)));
    lock(shared).slots[usize::from(me)].process = Some(node);
}

impl World {
    /// A process dies now, and another one starts after a while.
    pub(super) fn die(&mut self, me: u8, down_us: u64) {
        let at = usize::from(me);
        if self.slots[at].life.is_none() {
            return;
        }
        let calls = std::mem::take(&mut self.slots[at].calls);
        for call in calls.values() {
            self.mark_unfinished(call);
        }
        self.end(me);
        let lane = Lane::Instance(me);
        self.step(lane, Kind::Crash, None, 0, &down_us, || named("crash"));
        let back = self.now() + down_us;
        self.at(back, Event::Boot(me));
    }

    fn mark_unfinished(&mut self, call: &Call) {
        match &call.what {
            Awaited::Append(_) if call.performed => self.mark(Mark::CrashAfterAppend),
            Awaited::Find => self.mark(Mark::CrashInTakeover),
            Awaited::Mark => {
                self.mark(Mark::CrashAfterPublish);
                self.mark_transaction(call);
            }
            Awaited::Project(_) | Awaited::Outbox => self.mark_transaction(call),
            Awaited::Append(_) | Awaited::Lease(_) | Awaited::Other => {}
        }
    }

    /// Rows and checkpoint are one transaction: it is done, or it is not.
    fn mark_transaction(&mut self, call: &Call) {
        self.mark(if call.performed { Mark::CrashAfterCommit } else { Mark::CrashBeforeCommit });
    }

    /// A process has finished what it had begun.
    pub(super) fn end_gracefully(&mut self, me: u8) {
        self.end(me);
        self.step(Lane::Instance(me), Kind::Crash, None, 0, &(), || named("stop"));
        let back = self.now() + RESTART_US;
        self.at(back, Event::Boot(me));
    }

    fn end(&mut self, me: u8) {
        let slot = &mut self.slots[usize::from(me)];
        slot.life = None;
        (slot.leads, slot.dying, slot.drain) = (false, None, None);
        (slot.paused_until, slot.busy_until) = (0, 0);
        slot.leased.clear();
        slot.doubtful.clear();
        slot.calls.clear();
        slot.deadlines.clear();
        if let Some(process) = slot.process.take() {
            Handle::current().kill(process.id());
        }
        self.empty(Lane::Instance(me));
        if self.embedded() {
            self.servers.die_inside();
            if let Some(inside) = &mut self.servers.inside {
                inside.store = None;
                inside.busy_until = 0;
            }
        }
    }

    /// An instance answers a client.
    pub(super) fn reply(&mut self, from: Lane, attempt: AttemptId, reply: Reply) {
        let client = self.history.attempts()[attempt.0 as usize].client;
        self.send(from, Lane::Client(client as u8), Packet::Reply { attempt, reply });
    }

    /// A packet has come to a place where a process may run.
    pub(super) fn reach(&mut self, from: Lane, me: u8, packet: Packet) {
        let lane = Lane::Instance(me);
        if self.slots[usize::from(me)].life.is_some() {
            return self.put(lane, packet);
        }
        let told = self.service.percent(REFUSED_PERCENT);
        match packet {
            Packet::Submit { attempt, .. } | Packet::Read { attempt, .. } if told => {
                self.send(lane, from, Packet::Reply { attempt, reply: Reply::Unreachable });
            }
            Packet::Submit { .. } | Packet::Read { .. } | Packet::Reply { .. } | Packet::Perform { .. } => {}
            Packet::AppendGroup { .. } | Packet::Feed { .. } | Packet::Miss { .. } | Packet::Lookup { .. } => {}
            Packet::Found { .. } | Packet::Member { .. } | Packet::Assigned { .. } => {}
        }
    }
}

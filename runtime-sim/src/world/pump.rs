//! The one task that lets things happen at their time: deliveries, servers' work, timers, faults.
//!
//! Takes what is due from the network's queue, in its order, and hands it on; instances and clients are woken and take
//! turns of their own. How long a message takes is left to [`crate::network`].

use std::sync::Arc;
use std::time::Duration;

use super::packet::{Event, Packet};
use super::state::{World, named};
use super::{Shared, lock, process};
use crate::lane::Lane;
use crate::trace::Kind;

/// The pump never sleeps longer, in microseconds.
const SLEEP_MAX_US: u64 = 1_000_000;

/// What is certain to happen in a run.
pub(super) fn begin(shared: &Shared) {
    let world = &mut *lock(shared);
    for instance in 0..world.plan.options.instances {
        // They do not start all at once.
        let at = u64::from(instance) * 3_000;
        world.at(at, Event::Boot(instance));
    }
    let plan = Arc::clone(&world.plan);
    for (number, planned) in plan.faults.iter().enumerate() {
        world.at(planned.at_ms * 1_000, Event::Fault(number));
    }
    if world.embedded() {
        world.at(100_000, Event::Sync);
    } else {
        world.at(1_000_000, Event::Sessions);
    }
}

pub(super) async fn run(shared: Shared) {
    let sooner = Arc::clone(&lock(&shared).pump);
    loop {
        let sleep = loop {
            let boots = lock(&shared).happen();
            if boots.is_empty() {
                let world = &mut *lock(&shared);
                let now = world.now();
                let at = world.network.next_at().unwrap_or(u64::MAX).min(now + SLEEP_MAX_US);
                world.pump_wakes_at = at;
                break Duration::from_micros(at.saturating_sub(now));
            }
            for instance in boots {
                process::boot(&shared, instance);
            }
        };
        tokio::select! {
            biased;
            () = madsim::time::sleep(sleep) => {}
            () = sooner.notified() => {}
        }
    }
}

impl World {
    /// Lets everything happen that is due; gives the instances that are to be started.
    fn happen(&mut self) -> Vec<u8> {
        // What happens now may make more happen now.
        self.pump_wakes_at = 0;
        let mut boots = Vec::new();
        while let Some(event) = {
            let now = self.now();
            self.network.pop(now)
        } {
            if self.stopped {
                continue;
            }
            match event {
                Event::Deliver { from, to, message, twice, packet } => self.deliver(from, to, message, twice, packet),
                Event::Serve { server, epoch, from, packet } => self.serve(server, epoch, from, packet),
                Event::Wake(lane) => self.nudge(lane),
                Event::Fault(number) => self.inflict(number),
                Event::Undo(undo) => self.undo(&undo),
                Event::Boot(instance) => boots.push(instance),
                Event::Subscribe(instance) => self.subscribe(instance),
                Event::HintLog => self.hint_log(),
                Event::HintMessages => self.hint_messages_now(),
                Event::Sessions => self.check_sessions(),
                Event::Rebalance(consumer) => self.rebalance(consumer),
                Event::Supervise => self.supervise(),
                Event::Sync => self.sync_database(),
            }
        }
        boots
    }

    fn deliver(&mut self, from: Lane, to: Lane, message: u64, twice: bool, packet: Packet) {
        let name = packet.name();
        self.step(to, Kind::Deliver, Some(from), message, &(), || named(name));
        match to {
            Lane::Client(_) => self.put(to, packet),
            Lane::Instance(me) => self.reach(from, me, packet),
            Lane::EventStore | Lane::Database | Lane::Broker | Lane::Leases => self.arrive(from, to, twice, packet),
        }
    }
}

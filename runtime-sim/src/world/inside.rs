//! What an embedded instance has inside: the very journal of the service on a disk that can fail, and a broker in memory.
//!
//! Both live and die with the process. The disk stays; after a power cut the next process finds what a seed says of what
//! was not synced (INV-14). The database is a file beside it, and loses its newest commits.

use std::sync::Arc;

use wallex_core::effect::{Append, Completion, Effect, Input, Load};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, Position, Version, WalletId};
use wallex_core::projector::Message;
use wallex_core::time::Timestamp;

use super::packet::{Event, Packet};
use super::state::World;
use crate::fakes::{EmbeddedBroker, EmbeddedStore, InstanceId};
use crate::history::Snapshot;
use crate::lane::Lane;
use crate::marks::Mark;
use crate::observe::Observation;

/// How long a process that cannot go on stays until it is started again, in microseconds.
const SUPERVISOR_US: u64 = 250_000;
/// So often, in a hundred groups, the journal does its background work.
const MAINTENANCE_PERCENT: u32 = 2;
/// Events read at once.
const READ_MAX: usize = 4_096;

/// The insides of the one process.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub(super) store: Option<EmbeddedStore>,
    pub(super) broker: EmbeddedBroker,
    /// The checkers know of everything up to here.
    pub(super) told: Position,
    /// Somebody has noticed that the journal has stopped.
    supervised: bool,
    /// Until when the journal is busy with what it was given to write.
    pub(super) busy_until: u64,
}

impl World {
    /// Opens the journal; says whether the process can run.
    pub(super) fn open_journal(&mut self) -> bool {
        let disk = self.slots[0].disk.clone();
        let opened = EmbeddedStore::open(disk, self.plan.options.segment_bytes);
        // What a start does not read, because a snapshot covers it, a verification does.
        let verified = opened.and_then(|(store, recovery)| match self.rotten {
            Some(_) => store.verify().map(|()| (store, recovery)),
            None => Ok((store, recovery)),
        });
        match verified.and_then(|(store, recovery)| store.log().map(|log| (store, recovery, log))) {
            Ok((store, recovery, log)) => {
                if recovery.torn.is_some() {
                    self.mark(Mark::TornTailCut);
                }
                let told = self.servers.inside.as_ref().map_or(Position(0), |inside| inside.told);
                let fresh: Vec<Recorded> = log.iter().filter(|one| one.position > told).cloned().collect();
                if !fresh.is_empty() {
                    self.mark(Mark::UnacknowledgedRecovered);
                }
                if let Some(inside) = &mut self.servers.inside {
                    inside.told = store.position().max(told);
                    inside.broker = EmbeddedBroker::start(&self.servers.database);
                    inside.store = Some(store);
                }
                self.appended(&fresh);
                let rotten = self.rotten.is_some();
                self.observe(&Observation::JournalRecovered { log: &log, damaged: false, rotten });
                true
            }
            Err(error) => {
                let damaged = matches!(error, wallex_journal::JournalError::Damaged(_));
                if damaged {
                    let rotten = self.rotten.is_some();
                    if rotten {
                        self.mark(Mark::RotReported);
                    }
                    self.observe(&Observation::JournalRecovered { log: &[], damaged, rotten });
                }
                // The power may go while the journal is being opened.
                if self.slots[0].disk.has_crashed() {
                    let seed = self.disks.draw();
                    self.slots[0].disk = self.slots[0].disk.restart(seed);
                }
                false
            }
        }
    }

    /// When the journal gets round to something: it writes one group after the other, and a slow disk delays writes.
    pub(super) fn journal_gets_round(&mut self, at: u64, slow: u64, packet: &Packet) -> u64 {
        let Packet::AppendGroup { .. } = packet else { return at };
        if slow > 0 {
            self.mark(Mark::SlowDisk);
        }
        let Some(inside) = &mut self.servers.inside else { return at };
        inside.busy_until = inside.busy_until.max(at) + slow;
        inside.busy_until
    }

    pub(super) fn append_group(&mut self, life: InstanceId, from: Lane, group: &[(EffectId, Arc<Append>)]) {
        let now = self.time();
        let maintained = self.service.percent(MAINTENANCE_PERCENT);
        let Some(store) = self.servers.inside.as_mut().and_then(|inside| inside.store.as_mut()) else { return };
        let (full, failed) = (store.disk().full_writes(), store.disk().failed_syncs());
        let inputs = store.append(now, group);
        if maintained {
            // A disk that is full or fails loses nothing here.
            let _full = store.maintain(now);
        }
        let (crashed, stopped) = (store.disk().has_crashed(), store.stopped().is_some());
        let (full, failed) = (store.disk().full_writes() > full, store.disk().failed_syncs() > failed);
        for (mark, reached) in [(Mark::DiskFull, full), (Mark::SyncFailed, failed)] {
            if reached {
                self.mark(mark);
            }
        }
        if crashed {
            let down_us = self.slots[0].power_cut.take().unwrap_or(SUPERVISOR_US);
            self.mark(Mark::PowerCutInWrite);
            return self.cut_power(down_us);
        }
        self.tell_appended(now, group);
        for input in inputs {
            self.note_performed(life, &input);
            self.send(Lane::EventStore, from, Packet::Feed { life, input });
        }
        if stopped && !self.servers.inside.as_ref().is_some_and(|inside| inside.supervised) {
            self.mark(Mark::JournalStopped);
            if let Some(inside) = &mut self.servers.inside {
                inside.supervised = true;
            }
            self.at(self.now() + SUPERVISOR_US, Event::Supervise);
        }
    }

    /// Whoever looks at the health check starts a process again whose journal has stopped.
    pub(super) fn supervise(&mut self) {
        let Some(inside) = &mut self.servers.inside else { return };
        inside.supervised = false;
        if inside.store.as_ref().is_some_and(|store| store.stopped().is_some()) {
            self.die(0, SUPERVISOR_US);
        }
    }

    /// What is in the journal now and was not before, append by append.
    fn tell_appended(&mut self, now: Timestamp, group: &[(EffectId, Arc<Append>)]) {
        let Some(inside) = &mut self.servers.inside else { return };
        let Some(store) = &mut inside.store else { return };
        if store.position() <= inside.told {
            return;
        }
        let read = Effect::ReadLog { effect: EffectId(0), after: inside.told, limit: READ_MAX };
        let Some(Input::LogRead(_, Completion::Done(fresh))) = store.perform(now, read) else { return };
        inside.told = fresh.last().map_or(inside.told, |last| last.position);
        let mut rest = &fresh[..];
        for (_, append) in group {
            let events = append.writes.iter().map(|write| write.events.len()).sum::<usize>().min(rest.len());
            let first = append.writes.first().and_then(|write| write.events.first());
            if first.map(|event| event.event_id) == rest.first().map(|recorded| recorded.event.event_id) {
                let (appended, after) = rest.split_at(events);
                self.appended(appended);
                rest = after;
            }
        }
        self.appended(rest);
    }

    pub(super) fn perform_in_journal(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        self.servers.inside.as_mut()?.store.as_mut()?.perform(now, effect)
    }

    pub(super) fn look_into_journal(&mut self, wallet: &WalletId) -> Option<Snapshot> {
        let now = self.time();
        let load = Effect::Load(EffectId(0), vec![Load { wallet: wallet.clone(), known: Version(0) }]);
        let Some(Input::Loaded(_, Completion::Done(loaded))) = self.perform_in_journal(now, load) else { return None };
        loaded.into_iter().next()?.snapshot.as_ref().map(Snapshot::of)
    }

    pub(super) fn perform_in_memory(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        let Effect::Publish(_, events) = &effect else {
            return self.servers.inside.as_mut()?.broker.perform(now, effect);
        };
        let mut partitions: Vec<(u16, usize)> = Vec::new();
        let inside = self.servers.inside.as_mut()?;
        for row in events.iter() {
            let partition = wallex_core::projector::partition_of(&row.event.wallet_id);
            if !partitions.iter().any(|(known, _)| *known == partition) {
                partitions.push((partition, inside.broker.messages(partition).len()));
            }
        }
        let input = inside.broker.perform(now, effect);
        let fresh: Vec<Message> = partitions
            .iter()
            .flat_map(|(partition, before)| inside.broker.messages(*partition)[*before..].iter().cloned())
            .collect();
        for message in &fresh {
            self.observe(&Observation::Published(message));
        }
        self.hint_messages(&fresh);
        input
    }

    /// The power goes: the process is gone, and so is what was not synced.
    pub(super) fn cut_power(&mut self, down_us: u64) {
        let seed = self.disks.draw();
        let disk = self.slots[0].disk.restart(seed);
        self.die(0, down_us);
        self.slots[0].disk = disk;
        let unsynced = self.servers.database.unsynced();
        if unsynced > 0 {
            let kept = self.disks.below(unsynced as u64 + 1) as usize;
            self.servers.database.crash(kept);
            if kept < unsynced {
                self.mark(Mark::DatabaseRolledBack);
                let left = self.evidence(Vec::new());
                self.observe(&Observation::DatabaseRolledBack(&left));
            }
        }
    }

    /// The embedded database makes its commits safe from time to time.
    pub(super) fn sync_database(&mut self) {
        self.servers.database.sync();
        let next = self.now() + self.service.between(20_000, 400_000);
        self.at(next, Event::Sync);
    }
}

//! Reads of an instance: a wallet from the event store, or from the read model at a version (INV-12).
//!
//! What a reader asks for may not be projected yet: then the read waits, asks again, and gives up in time. As in the
//! real service, none of this passes through the core.

use std::collections::BTreeMap;

use wallex_core::id::WalletId;
use wallex_core::mutant::{self, Mutant};

use super::packet::{Packet, Reply};
use super::state::World;
use crate::fakes::InstanceId;
use crate::history::{AttemptId, Snapshot};
use crate::lane::Lane;
use crate::marks::Mark;

/// How long a read waits for its version, in microseconds.
const PATIENCE_US: u64 = 1_500_000;
/// How soon it asks again when the version is not there; twice as late every time.
const AGAIN_US: u64 = 25_000;
/// How soon it asks again when no answer came.
const LOST_US: u64 = 400_000;

/// The reads that wait.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: BTreeMap<u64, Waiting>,
    numbers: u64,
}

#[derive(Debug)]
struct Waiting {
    attempt: AttemptId,
    wallet: WalletId,
    from_store: bool,
    min_version: u64,
    ask_at: u64,
    until: u64,
    again_us: u64,
}

impl Reads {
    pub(super) fn add(&mut self, now: u64, attempt: AttemptId, wallet: WalletId, from_store: bool, min_version: u64) {
        self.numbers += 1;
        let until = now + PATIENCE_US;
        let (ask_at, again_us) = (now, AGAIN_US);
        let read = Waiting { attempt, wallet, from_store, min_version, ask_at, until, again_us };
        self.waiting.insert(self.numbers, read);
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.waiting.values().map(|read| read.ask_at.min(read.until)).min()
    }

    /// Asks what is to be asked, and gives up what has waited too long.
    pub(super) fn poll(&mut self, world: &mut World, from: Lane, life: InstanceId, now: u64) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting.retain(|number, read| {
            if read.until <= now {
                world.mark(Mark::ReadGaveUp);
                world.reply(from, read.attempt, Reply::NotYet);
                return false;
            }
            if read.ask_at <= now {
                read.ask_at = now + LOST_US;
                let to = if read.from_store { Lane::EventStore } else { Lane::Database };
                world.send(from, to, Packet::Lookup { life, number: *number, wallet: read.wallet.clone() });
            }
            true
        });
    }

    pub(super) fn found(&mut self, world: &mut World, from: Lane, number: u64, snapshot: Option<Snapshot>) {
        let Some(read) = self.waiting.get_mut(&number) else { return };
        let found = snapshot.as_ref().map_or(0, |snapshot| snapshot.version);
        if found < read.min_version && !mutant::on(Mutant::ReadTooEarly) {
            read.ask_at = world.now() + read.again_us;
            read.again_us *= 2;
            return world.mark(Mark::ReadWaited);
        }
        world.reply(from, read.attempt, Reply::Read(snapshot));
        self.waiting.remove(&number);
    }
}

//! After the faults: everything must come to rest within a bound (INV-10), or the run says what has not.
//!
//! Looks at what clients have and what servers hold, not at what instances say of themselves. What is held back is
//! tried again, as an operator would do it. How long to wait is the module's above; the verdict is left to the
//! checkers, for whom the evidence is gathered here.

use wallex_core::effect::Input;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, HeldEvent, PartitionProgress};

use super::packet::Packet;
use super::state::World;
use crate::lane::Lane;
use crate::observe::Evidence;

impl World {
    /// What has not come to rest yet, in words.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let mut open = Vec::new();
        let clients = self.plan.clients.len();
        if self.clients_done < clients {
            open.push(format!("{} of {clients} clients have no final answer yet", clients - self.clients_done));
        }
        for (place, slot) in self.slots.iter().enumerate() {
            if slot.life.is_none() {
                open.push(format!("instance-{place} does not run"));
            }
        }
        let head = self.checks.books().wallets().filter_map(|(_, all)| all.last()).map(|entry| entry.position).max();
        let head = head.unwrap_or_default();
        let database = &self.servers.database;
        if database.feeder_checkpoint() < head {
            open.push(format!("the outbox is filled up to {} of {head}", database.feeder_checkpoint()));
        }
        if database.relay_checkpoint() < head {
            open.push(format!("the topic is filled up to {} of {head}", database.relay_checkpoint()));
        }
        for held in database.held() {
            let HeldEvent { consumer, wallet_id, version, .. } = held;
            open.push(format!("{} holds version {version} of {wallet_id}", consumer.name()));
        }
        let (mut rows, mut behind) = (0, 0);
        for (wallet, entries) in self.checks.books().wallets() {
            rows += entries.len();
            let version = database.wallet(wallet).map_or(0, |wallet| wallet.version.0);
            if version < entries.len() as u64 {
                behind += 1;
            }
        }
        if behind > 0 {
            open.push(format!("the read model is behind in {behind} wallets"));
        }
        let entries = database.ledger().count();
        if entries < rows {
            open.push(format!("the ledger has {entries} of {rows} entries"));
        }
        open
    }

    /// An operator has what is held back tried again.
    pub(super) fn retry_held(&mut self) {
        let mut held: Vec<_> = self.servers.database.held().map(|one| (one.consumer, one.wallet_id.clone())).collect();
        held.sort();
        held.dedup();
        for (consumer, wallet) in held {
            for place in 0..self.slots.len() {
                let Some(life) = self.slots[place].life else { continue };
                let partition = wallex_core::projector::partition_of(&wallet);
                let theirs = match consumer {
                    Consumer::Relay => self.embedded() || self.slots[place].leads,
                    Consumer::ReadModel | Consumer::Ledger => {
                        self.embedded() || self.servers.groups.owner(consumer, partition) == Some(life)
                    }
                };
                if theirs {
                    let input = Input::RetryHeld(consumer, wallet.clone());
                    self.put(Lane::Instance(place as u8), Packet::Feed { life, input });
                }
            }
        }
    }

    /// Everything durable, for the verdict.
    pub(super) fn evidence(&self, unsettled: Vec<String>) -> Evidence {
        let database = &self.servers.database;
        let (log, topic) = match &self.servers.inside {
            Some(inside) => {
                let log = inside.store.as_ref().and_then(|store| store.log().ok()).unwrap_or_default();
                (log, (0..PARTITIONS).map(|partition| inside.broker.messages(partition).to_vec()).collect())
            }
            None => {
                let topic = (0..PARTITIONS).map(|partition| self.servers.broker.messages(partition).to_vec());
                (self.servers.store.log().to_vec(), topic.collect())
            }
        };
        let progress = database.offsets().map(|(consumer, partition, offset)| {
            let of_partition = |held: &&HeldEvent| held.consumer == consumer && held.partition == partition;
            let mut held_wallets: Vec<_> =
                database.held().filter(of_partition).map(|held| held.wallet_id.clone()).collect();
            held_wallets.sort();
            held_wallets.dedup();
            (consumer, PartitionProgress { partition, offset, held_wallets })
        });
        Evidence {
            log,
            outbox: database.outbox().cloned().collect(),
            topic,
            dead_letters: self.servers.broker.dead_letters().to_vec(),
            read_model: database.wallets().cloned().collect(),
            ledger: database.ledger().cloned().collect(),
            held: database.held().cloned().collect(),
            feeder: database.feeder_checkpoint(),
            relay: database.relay_checkpoint(),
            progress: progress.collect(),
            poisoned: Vec::new(),
            unsettled,
        }
    }
}

//! Consumer groups: which instance reads which partition for which consumer.
//!
//! A change of members moves partitions, and says so by inputs for the instances: first what is taken away, then what is
//! given. The broker cannot make anybody listen. An input may come late or never, so an instance may go on with
//! partitions that are another's by now; [`super::broker`] does not stop it, and the checkpoints have to.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::effect::Input;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::InstanceId;

/// An input for an instance.
pub type Notice = (InstanceId, Input);

/// The groups. Memberships live with connections: a broker that restarts has none.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: BTreeMap<Consumer, Group>,
    /// Deals so far, over all groups and lives of the broker.
    deals: u64,
}

#[derive(Clone, Debug, Default)]
struct Group {
    members: BTreeSet<InstanceId>,
    owners: BTreeMap<u16, InstanceId>,
    /// Changes with every rebalance, so that partitions move also when the members stay.
    generation: u16,
    /// Which deal of all this is; 0 before the first.
    deal: u64,
}

impl Groups {
    /// An instance joins a group; one that is in already changes nothing.
    pub fn join(&mut self, consumer: Consumer, instance: InstanceId) -> Vec<Notice> {
        let is_new = self.groups.entry(consumer).or_default().members.insert(instance);
        if is_new { self.rebalance(consumer) } else { Vec::new() }
    }

    /// An instance leaves, or is not heard of any more. The notices name it too: it may still run.
    pub fn leave(&mut self, consumer: Consumer, instance: InstanceId) -> Vec<Notice> {
        let was_there = self.groups.entry(consumer).or_default().members.remove(&instance);
        if was_there { self.rebalance(consumer) } else { Vec::new() }
    }

    /// Deals all partitions of a group anew.
    pub fn rebalance(&mut self, consumer: Consumer) -> Vec<Notice> {
        self.deals += 1;
        let group = self.groups.entry(consumer).or_default();
        group.deal = self.deals;
        group.rebalance(consumer)
    }

    /// Which deal stands: a member that knows of another one has other partitions than it should.
    #[must_use]
    pub fn deal(&self, consumer: Consumer) -> u64 {
        self.groups.get(&consumer).map_or(0, |group| group.deal)
    }

    /// The broker starts again and knows no members.
    pub fn crash(&mut self) {
        self.groups.clear();
    }

    /// Who reads a partition.
    #[must_use]
    pub fn owner(&self, consumer: Consumer, partition: u16) -> Option<InstanceId> {
        self.groups.get(&consumer)?.owners.get(&partition).copied()
    }

    /// The members of a group.
    pub fn members(&self, consumer: Consumer) -> impl Iterator<Item = InstanceId> {
        self.groups.get(&consumer).into_iter().flat_map(|group| group.members.iter().copied())
    }

    /// The partitions of an instance.
    #[must_use]
    pub fn partitions(&self, consumer: Consumer, instance: InstanceId) -> Vec<u16> {
        let owners = self.groups.get(&consumer).into_iter().flat_map(|group| &group.owners);
        owners.filter(|(_, owner)| **owner == instance).map(|(partition, _)| *partition).collect()
    }
}

impl Group {
    fn rebalance(&mut self, consumer: Consumer) -> Vec<Notice> {
        self.generation = self.generation.wrapping_add(1);
        let members: Vec<InstanceId> = self.members.iter().copied().collect();
        let mut revoked: BTreeMap<InstanceId, Vec<u16>> = BTreeMap::new();
        let mut assigned: BTreeMap<InstanceId, Vec<u16>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let before = self.owners.remove(&partition);
            let dealt = usize::from(partition.wrapping_add(self.generation)) % members.len().max(1);
            let after = members.get(dealt).copied();
            self.owners.extend(after.map(|owner| (partition, owner)));
            if before != after {
                before.into_iter().for_each(|owner| revoked.entry(owner).or_default().push(partition));
                after.into_iter().for_each(|owner| assigned.entry(owner).or_default().push(partition));
            }
        }
        let revoked = revoked.into_iter().map(|(owner, them)| (owner, Input::PartitionsRevoked(consumer, them)));
        let assigned = assigned.into_iter().map(|(owner, them)| (owner, Input::PartitionsAssigned(consumer, them)));
        revoked.chain(assigned).collect()
    }
}

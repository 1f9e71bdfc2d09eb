//! The broker: offsets, leaders, groups.

use std::sync::Arc;

use wallex_core::effect::{Completion, Effect, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, Message, partition_of};
use wallex_sim::fakes::{Broker, Groups, InstanceId};

use crate::world::{EFFECT, START, recorded, wallet};

fn publish(broker: &mut Broker, rows: &[Recorded]) -> Vec<Option<FailureKind>> {
    let input = broker.perform(START, Effect::Publish(EFFECT, Arc::new(rows.to_vec())));
    let Some(Input::Published(EFFECT, Completion::Done(results))) = input else { panic!("{input:?}") };
    results.into_iter().map(|failure| failure.map(|failure| failure.kind)).collect()
}

fn fetch(broker: &mut Broker, after: Vec<(u16, u64)>, limit: usize) -> Vec<Message> {
    let effect = Effect::Fetch { effect: EFFECT, consumer: Consumer::Ledger, after, limit };
    let input = broker.perform(START, effect);
    let Some(Input::Fetched(EFFECT, Completion::Done(messages))) = input else { panic!("{input:?}") };
    messages
}

#[test]
fn offsets_of_a_partition_grow_from_one_and_leave_holes() {
    let mut broker = Broker::default();
    let rows: Vec<Recorded> = (1..=40).map(|version| recorded(version, "a", version)).collect();
    assert_eq!(publish(&mut broker, &rows), vec![None; 40]);
    let offsets: Vec<u64> = broker.messages(partition_of(&wallet("a"))).iter().map(|message| message.offset).collect();
    assert_eq!((offsets[0], offsets.len()), (1, 40));
    assert!(offsets.is_sorted_by(|before, after| before < after) && offsets[39] > 40, "{offsets:?}");
}

#[test]
fn no_partition_starves_behind_another() {
    let mut broker = Broker::default();
    let rows: Vec<Recorded> =
        (0..200).map(|at| recorded(at + 1, ["a", "b", "c", "d"][at as usize % 4], at / 4 + 1)).collect();
    publish(&mut broker, &rows);
    let all: Vec<(u16, u64)> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let seen: std::collections::BTreeSet<u16> =
        (0..PARTITIONS).flat_map(|_| fetch(&mut broker, all.clone(), 5)).map(|message| message.partition).collect();
    let wanted = ["a", "b", "c", "d"].map(|name| partition_of(&wallet(name)));
    assert_eq!(seen, wanted.into_iter().collect());
}

#[test]
fn a_partition_without_leader_fails_what_goes_to_it_and_nothing_else() {
    let mut broker = Broker::default();
    let (lost, kept) = (partition_of(&wallet("a")), partition_of(&wallet("b")));
    assert_ne!(lost, kept);
    broker.set_leader(lost, false);
    let rows = [recorded(1, "a", 1), recorded(2, "b", 1), recorded(3, "a", 2)];
    let away = Some(FailureKind::Unavailable);
    assert_eq!(publish(&mut broker, &rows), [away, None, away]);
    broker.heal();
    assert_eq!(publish(&mut broker, &rows), [None; 3]);
    let versions = |partition: u16| broker.messages(partition).iter().map(|one| one.version.0).collect::<Vec<u64>>();
    assert_eq!((versions(lost), versions(kept)), (vec![1, 2], vec![1, 1]));
}

#[test]
fn after_an_event_that_is_refused_no_later_one_of_its_wallet_is_published() {
    let mut broker = Broker::default();
    let rows = [recorded(1, "a", 1), recorded(2, "a", 2), recorded(3, "b", 1), recorded(4, "a", 3)];
    broker.poison().refuse(Consumer::Relay, wallet("a"), rows[1].event.version);
    let refused = Some(FailureKind::Rejected);
    assert_eq!(publish(&mut broker, &rows), [None, refused, None, refused]);
}

/// The partitions that notices leave an instance with.
fn follow(notices: &[(InstanceId, Input)], held: &mut [std::collections::BTreeSet<u16>]) {
    for (instance, input) in notices {
        let held = &mut held[instance.0 as usize];
        if let Input::PartitionsAssigned(_, partitions) = input {
            held.extend(partitions);
        } else if let Input::PartitionsRevoked(_, partitions) = input {
            partitions.iter().for_each(|partition| assert!(held.remove(partition)));
        }
    }
}

#[test]
fn every_partition_has_one_reader_and_the_notices_say_which() {
    let mut groups = Groups::default();
    let mut held = vec![std::collections::BTreeSet::new(); 3];
    let consumer = Consumer::ReadModel;
    for step in 0..12_u32 {
        let instance = InstanceId(step % 3);
        let notices = match step {
            0..3 | 8 => groups.join(consumer, instance),
            5 | 9 => groups.leave(consumer, instance),
            _ => groups.rebalance(consumer),
        };
        assert!(notices.iter().any(|(_, input)| matches!(input, Input::PartitionsAssigned(..))), "step {step}");
        follow(&notices, &mut held);
        let owned: usize = held.iter().map(|partitions| partitions.len()).sum();
        assert_eq!(owned, usize::from(PARTITIONS));
        for (instance, partitions) in held.iter().enumerate() {
            let owned = groups.partitions(consumer, InstanceId(instance as u32));
            assert_eq!(owned, partitions.iter().copied().collect::<Vec<_>>());
        }
    }
    groups.crash();
    assert_eq!((groups.owner(consumer, 0), groups.members(consumer).count()), (None, 0));
}

//! Partitions move between instances, and nothing is lost on the way.

use wallex_contracts::events::Log;
use wallex_core::effect::Completion;
use wallex_core::projector::{Consumer, partition_of};

use crate::world::{PATIENCE, World, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_gets_half_of_the_partitions_and_gives_them_back_when_it_leaves() {
    let mut first = World::alone(&shared()).await;
    let events = Log::new("rebalance").many(20, 200);
    first.publish_all(&events[..100]).await;
    let mut second = World::with(first.settings.clone(), &[Consumer::ReadModel]).await;
    second.wait_for_partitions(|assigned| assigned.len() == 5).await;
    first.wait_for_partitions(|assigned| assigned.len() == 15).await;
    let theirs: Vec<u16> = second.assigned().iter().map(|(_, partition)| *partition).collect();
    let ours: Vec<u16> =
        first.assigned().iter().filter(|(consumer, _)| *consumer == Consumer::ReadModel).map(|(_, one)| *one).collect();
    assert!(theirs.iter().all(|one| !ours.contains(one)), "{ours:?} and {theirs:?} overlap");

    first.publish_all(&events[100..]).await;
    for (world, partitions) in [(&first, &ours), (&second, &theirs)] {
        let due = events.iter().filter(|one| partitions.contains(&partition_of(&one.event.wallet_id))).count();
        let read = world.read(partitions, |taken| taken.len() >= due).await;
        assert!(read.iter().all(|message| partitions.contains(&message.partition)));
    }
    let gone = first.fetch(Consumer::ReadModel, &[(theirs[0], 0)], 10).await;
    assert_eq!(gone, Completion::Done(Vec::new()), "a partition of another instance gives nothing");

    second.broker.stop();
    second.wait_for_partitions(|assigned| assigned.is_empty()).await;
    first.wait_for_partitions(|assigned| assigned.len() == 20).await;
    let all: Vec<u16> = (0..10).collect();
    let read = first.read(&all, |taken| taken.len() >= events.len()).await;
    assert_eq!(read.len(), events.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_told_when_messages_come() {
    let mut world = World::alone(&shared()).await;
    let event = Log::new("hint").event("one");
    let partition = partition_of(&event.event.wallet_id);
    // It has asked once, so it stands at the end and waits.
    let started = std::time::Instant::now();
    while world.fetch(Consumer::Ledger, &[(partition, 0)], 10).await != Completion::Done(Vec::new()) {
        assert!(started.elapsed() < PATIENCE);
    }
    world.publish_all(std::slice::from_ref(&event)).await;
    world.wait_for_hint(Consumer::Ledger).await;
    let Completion::Done(messages) = world.fetch(Consumer::Ledger, &[(partition, 0)], 10).await else {
        panic!("the fetch failed")
    };
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].event.as_ref(), Ok(&event.event));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_beyond_the_end_of_the_topic_is_said_and_not_waited_for() {
    let world = World::alone(&shared()).await;
    let started = std::time::Instant::now();
    let reason = loop {
        assert!(started.elapsed() < PATIENCE, "nothing was said");
        if let Completion::Failed(failure) = world.fetch(Consumer::ReadModel, &[(3, 17)], 10).await {
            break failure.reason;
        }
    };
    assert!(reason.contains("partition 3") && reason.contains("17"), "{reason}");
}

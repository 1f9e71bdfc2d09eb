//! Two instances of the service over the fakes.

use std::time::Duration;

use wallex_core::command::{Answer, Fingerprint, Idempotency, KeyHash};
use wallex_core::event::Recorded;
use wallex_core::id::{Position, Version};
use wallex_core::projector::Consumer;

use crate::world::{World, create, transfer, wallet};

const LONG: Duration = Duration::from_secs(60);

/// Four wallets, and transfers among them through both instances.
fn busy() -> World {
    let mut world = World::new(2);
    for name in ["a", "b", "c", "d"] {
        world.submit(0, create(name, "100"), None);
    }
    world.run(Duration::from_secs(1));
    for round in 0..40 {
        let names = ["a", "b", "c", "d"];
        let (from, to) = (names[round % 4], names[(round + 1 + round / 4 % 3) % 4]);
        world.submit(round % 2, transfer(from, to, "1"), None);
    }
    world
}

fn is_done(answer: &Answer) -> bool {
    matches!(answer, Answer::Final { answer, .. } if answer.outcome.is_ok())
}

#[test]
fn every_command_is_answered_and_both_projections_follow_the_log() {
    let mut world = busy();
    world.run(LONG);
    assert_eq!(world.answers.len(), 44);
    assert!(world.answers.values().all(is_done), "{:?}", world.answers);
    assert_eq!(world.store.log().len(), 4 + 80);
    assert_eq!(world.read_model(), world.fold());
    let positions: Vec<Position> = world.store.log().iter().map(|recorded| recorded.position).collect();
    assert!(positions.is_sorted() && positions[1].0 > positions[0].0 + 1, "{positions:?}");
    assert_eq!(world.database.outbox().map(|row| row.position).collect::<Vec<_>>(), positions);
    assert_eq!(world.database.ledger().count(), positions.len());
    assert_eq!(world.database.relay_checkpoint(), world.store.head());
}

#[test]
fn a_key_is_answered_alike_by_every_instance() {
    let mut world = World::new(2);
    let idempotency = Idempotency { key: KeyHash([1; 16]), fingerprint: Fingerprint([2; 16]) };
    let first = world.submit(0, create("a", "100"), Some(idempotency));
    world.run(Duration::from_secs(1));
    let again = world.submit(1, create("a", "100"), Some(idempotency));
    let other = Idempotency { fingerprint: Fingerprint([3; 16]), ..idempotency };
    let reused = world.submit(1, create("a", "7"), Some(other));
    world.run(Duration::from_secs(1));
    let (Answer::Final { answer, replayed: false }, Answer::Final { answer: repeated, replayed: true }) =
        (&world.answers[&first], &world.answers[&again])
    else {
        panic!("{:?}", world.answers);
    };
    assert_eq!(answer, repeated);
    assert_eq!(world.answers[&reused], Answer::KeyReused);
    assert_eq!(world.store.log().len(), 1);
}

#[test]
fn a_row_that_is_refused_holds_back_its_wallet_until_it_is_cured() {
    let mut world = busy();
    world.database.poison().refuse(Consumer::Ledger, wallet("b"), Version(3));
    world.run(LONG);
    let held: Vec<_> = world.database.held().cloned().collect();
    let dead = held.iter().filter(|one| one.dead.is_some());
    assert_eq!(dead.map(|one| one.version).collect::<Vec<_>>(), [Version(3)]);
    assert!(held.iter().all(|one| one.wallet_id == wallet("b") && one.consumer == Consumer::Ledger));
    assert_eq!(world.database.ledger().count() + held.len(), world.store.log().len());
    assert_eq!(world.broker.dead_letters().len(), 1);

    world.database.poison().cure_all();
    for node in &mut world.nodes {
        node.handle(world.now, wallex_core::effect::Input::RetryHeld(Consumer::Ledger, wallet("b")));
    }
    world.run(LONG);
    assert_eq!(world.database.held().count(), 0);
    assert_eq!(world.database.ledger().count(), world.store.log().len());
}

#[test]
fn an_event_that_cannot_be_published_is_given_up_and_can_be_retried() {
    let mut world = busy();
    world.broker.poison().refuse(Consumer::Relay, wallet("c"), Version(2));
    world.run(LONG);
    let behind = |row: &Recorded| row.event.wallet_id == wallet("c") && row.event.version >= Version(2);
    let expected = world.store.log().iter().filter(|row| behind(row)).count();
    assert_eq!(world.database.held().count(), expected);

    world.broker.poison().cure_all();
    for node in &mut world.nodes {
        node.handle(world.now, wallex_core::effect::Input::RetryHeld(Consumer::Relay, wallet("c")));
    }
    world.run(LONG);
    assert_eq!(world.database.held().count(), 0);
    assert_eq!(world.read_model(), world.fold());
}

#[test]
fn a_message_that_nobody_can_read_is_set_aside_and_comes_back_from_the_event_store() {
    let mut world = busy();
    world.broker.garbled().refuse(Consumer::Relay, wallet("d"), Version(4));
    world.run(LONG);
    let dead = world.database.held().filter(|one| one.dead.is_some());
    assert_eq!(
        dead.map(|one| (one.consumer, one.version)).collect::<Vec<_>>(),
        [(Consumer::ReadModel, Version(4)), (Consumer::Ledger, Version(4)),]
    );
    for node in &mut world.nodes {
        for consumer in [Consumer::ReadModel, Consumer::Ledger] {
            node.handle(world.now, wallex_core::effect::Input::RetryHeld(consumer, wallet("d")));
        }
    }
    world.run(LONG);
    assert_eq!(world.database.held().count(), 0);
    assert_eq!(world.read_model(), world.fold());
}

#[test]
fn rebalances_and_a_lease_store_that_forgets_everything_lose_nothing() {
    let mut world = busy();
    for round in 0..20_u64 {
        world.run(Duration::from_millis(3 + 7 * round));
        let consumer = [Consumer::ReadModel, Consumer::Ledger][round as usize % 2];
        let notices = world.groups.rebalance(consumer);
        world.deliver(notices);
        world.leases.crash();
    }
    world.run(LONG);
    assert!(world.answers.values().all(is_done), "{:?}", world.answers);
    assert_eq!(world.read_model(), world.fold());
    assert_eq!(world.database.ledger().count(), world.store.log().len());
}

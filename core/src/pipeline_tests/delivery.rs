//! Every event reaches every consumer, once and in order, whatever the topic has doubled or lost.

use super::*;

#[test]
fn every_event_reaches_both_projections_in_order() {
    let mut world = World::new();
    for name in ["a", "b", "a", "c", "a", "b"] {
        world.happen(name);
    }
    world.run(5);
    world.assert_converged(&[]);
    let status = world.node.pipeline();
    assert_eq!((status.feeder, status.relay), (Position(6), Position(6)));
}

#[test]
fn duplicates_on_the_topic_are_skipped() {
    let mut world = World::new();
    world.happen("a");
    world.happen("a");
    world.run(5);
    let again: Vec<Message> = world.topic.clone();
    for mut message in again {
        message.offset = world.topic.len() as u64 + 1;
        world.topic.push(message);
    }
    world.run(5);
    world.assert_converged(&[]);
    assert_eq!(world.node.pipeline().ledger_statistics.duplicates, 2);
}

#[test]
fn a_dead_letter_that_is_delivered_again_stays_one() {
    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
        let mut world = World::new();
        world.poison.insert((consumer, WalletId::parse("a").unwrap(), Version(2)));
        world.happen("a");
        world.happen("a");
        world.run(20);
        for mut message in world.topic.clone() {
            message.offset = world.topic.len() as u64 + 1;
            world.topic.push(message);
        }
        world.run(20);
        let [one] = &world.held[..] else { panic!("INV-11: {:?}", world.held) };
        assert_eq!((one.version, one.dead.is_some()), (Version(2), true), "{consumer:?}");
    }
}

#[test]
fn a_gap_on_the_topic_is_filled_from_the_event_store() {
    let mut world = World::new();
    for _ in 0..5 {
        world.happen("a");
    }
    // The topic has lost the versions 1, 3 and 4.
    world.relay = Position(5);
    world.feeder = Position(5);
    world.outbox = world.log.clone();
    for at in [1, 4] {
        let mut message = message_of(world.log[at].position, world.log[at].event.clone());
        message.offset = world.topic.len() as u64 + 1;
        world.topic.push(message);
    }
    world.run(5);
    world.assert_converged(&[]);
    assert!(world.node.pipeline().read_model_statistics.gaps >= 1);
}

#[test]
fn a_dead_letter_holds_back_its_wallet_alone_and_replays_in_order() {
    for consumer in [Consumer::Relay, Consumer::ReadModel, Consumer::Ledger] {
        let mut world = World::new();
        world.poison.insert((consumer, WalletId::parse("a").unwrap(), Version(2)));
        for name in ["a", "b", "a", "b", "a", "c", "a"] {
            world.happen(name);
        }
        world.run(20);
        world.assert_converged(&["a"]);
        let versions: Vec<u64> = world.held.iter().map(|one| one.version.0).collect();
        assert_eq!(versions, [2, 3, 4], "{consumer:?}");
        let dead = world.held[0].dead.as_ref().unwrap();
        assert_eq!((dead.attempts, dead.reason.as_str()), (DELIVERY_ATTEMPTS_MAX, "poison"));
        assert!(world.held[1..].iter().all(|one| one.dead.is_none()));

        world.restart();
        world.happen("a");
        world.run(10);
        assert_eq!(world.held.len(), 4, "{consumer:?}: still held after a restart");

        world.poison.clear();
        world.node.handle(world.now, Input::RetryHeld(consumer, WalletId::parse("a").unwrap()));
        world.run(10);
        assert!(world.held.is_empty(), "{consumer:?}: {:?}", world.held);
        world.happen("a");
        world.run(10);
        world.assert_converged(&[]);
    }
}

#[test]
fn bytes_that_are_no_event_become_a_dead_letter_at_once() {
    let mut world = World::new();
    world.happen("a");
    world.run(5);
    let mut message = message_of(Position(2), event("b", 1));
    message.offset = world.topic.len() as u64 + 1;
    message.event = Err(rejected());
    world.topic.push(message);
    world.run(5);
    let held: Vec<_> = world.held.iter().map(|one| (one.consumer, one.wallet_id.as_str().to_owned())).collect();
    assert_eq!(held.len(), 2, "{held:?}");
    world.happen("a");
    world.run(5);
    world.assert_converged(&["b"]);
}

#[test]
fn of_two_feeders_only_one_wins_a_batch() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.happen(name);
    }
    let mut other = Node::new(config(), world.now);
    for _ in 0..40 {
        let effects: Vec<Effect> = std::iter::from_fn(|| other.poll_effect()).collect();
        for effect in effects {
            // The other feeder's write comes second, every time.
            world.step();
            let input = world.perform(effect);
            other.handle(world.now, input);
        }
        world.step();
    }
    assert_eq!(world.outbox.len(), 3, "INV-06: each event once");
    world.run(5);
    world.assert_converged(&[]);
}

#[test]
fn only_who_leads_fills_the_outbox_and_takes_up_what_the_leader_before_left() {
    let mut world = World::with(Config { leadership: true, ..config() });
    world.happen("a");
    world.granted = false;
    world.run(5);
    assert!(world.outbox.is_empty(), "who does not lead fills nothing");
    assert!(!world.node.pipeline().leads);

    // Whoever led before has filled the outbox and published.
    world.outbox = world.log.clone();
    (world.feeder, world.relay) = (Position(1), Position(1));
    world.topic.push(message_of(Position(1), world.log[0].event.clone()));
    world.granted = true;
    world.happen("a");
    world.run(5);
    assert!(world.node.pipeline().leads);
    assert_eq!(world.topic.len(), 2, "nothing is published twice");
    world.assert_converged(&[]);
}

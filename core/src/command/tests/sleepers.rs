//! An instance that slept so long, or whose clock lies so far back, that another one took over what it was doing (INV-05).

use super::world::*;
use crate::command::Answer;
use crate::effect::{Effect, Input};
use crate::node_twin::Twin as Node;

/// Two instances over the same stores: the world's own is the one that is awake.
struct Sleeper {
    world: World,
    asleep: Node,
    /// What it was waiting for when it fell asleep.
    loaded: Input,
    request: u64,
}

/// An instance that has reserved a key and waits for its wallets; then it sleeps until its reservation counts as dead.
fn asleep() -> Sleeper {
    let mut world = World::new(shared());
    world.submit(create("a", "10"));
    world.submit(create("b", "0"));
    world.settle();
    world.restart(shared());
    let request = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    let loaded = until(&mut world, |effect| matches!(effect, Effect::Load(..)));
    let loaded = world.perform(loaded).unwrap();
    let asleep = std::mem::replace(&mut world.node, Node::new(shared(), world.now));
    world.pass(shared().takeover_after * 2);
    Sleeper { world, asleep, loaded, request }
}

/// Performs effects up to the first one that is wanted, which is given back.
fn until(world: &mut World, wanted: fn(&Effect) -> bool) -> Effect {
    loop {
        let mut found = None;
        for effect in world.effects() {
            if wanted(&effect) {
                found = Some(effect);
            } else if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn a_command_that_was_taken_over_meanwhile_is_not_decided_again() {
    let Sleeper { mut world, asleep, loaded, request } = asleep();
    world.submit(credit("a", "1"));
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { .. }));
    world.node = asleep;
    world.handle(loaded);
    world.settle();
    assert_eq!((world.balance("a"), world.balance("b")), (usd("7"), usd("4")), "INV-05: once");
    assert_eq!(*world.answer(request), Answer::OutcomeUnknown, "it did happen, elsewhere");
}

#[test]
fn a_key_that_was_taken_over_meanwhile_is_not_released() {
    let Sleeper { mut world, asleep, loaded, request } = asleep();
    world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    let store = until(&mut world, |effect| matches!(effect, Effect::StoreAnswers(..)));
    let awake = std::mem::replace(&mut world.node, asleep);
    let now = world.now;
    world.node.handle_timeout(now);
    world.handle(loaded);
    world.settle();
    assert_eq!(*world.answer(request), Answer::OutcomeUnknown);
    world.node = awake;
    let stored = world.perform(store).unwrap();
    world.handle(stored);
    world.settle();
    world.restart(shared());
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { replayed: true, .. }), "{:?}", world.answer(retry));
    assert_eq!(world.balance("b"), usd("4"), "INV-05: once");
}

/// As [`asleep`], but only the clocks differ: to the instance no time has passed.
fn behind() -> Sleeper {
    let mut sleeper = asleep();
    sleeper.world.submit(credit("a", "1"));
    sleeper
}

#[test]
fn a_command_that_was_taken_over_early_is_found_in_what_it_reads() {
    let Sleeper { mut world, asleep, loaded, request } = behind();
    let before = world.now.minus(shared().takeover_after * 2);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    let Answer::Final { answer: expected, .. } = world.answer(retry).clone() else { panic!("{:?}", world.answers) };
    world.node = asleep;
    world.now = before;
    world.handle(loaded);
    world.settle();
    assert_eq!((world.balance("a"), world.balance("b")), (usd("7"), usd("4")), "INV-05: once");
    let Answer::Final { answer, replayed: true } = world.answer(request) else { panic!("{:?}", world.answers) };
    assert_eq!(answer.outcome, expected.outcome, "INV-05: every answer is the same");
}

#[test]
fn a_key_that_was_taken_over_early_is_not_released() {
    let Sleeper { mut world, asleep, loaded: _, request } = behind();
    let before = world.now.minus(shared().takeover_after * 2);
    world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    let store = until(&mut world, |effect| matches!(effect, Effect::StoreAnswers(..)));
    let awake = std::mem::replace(&mut world.node, asleep);
    let now = std::mem::replace(&mut world.now, before);
    world.pass(shared().request_timeout);
    world.settle();
    assert!(matches!(world.answer(request), Answer::Unavailable(_)));
    (world.node, world.now) = (awake, now);
    let stored = world.perform(store).unwrap();
    world.handle(stored);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { replayed: true, .. }), "{:?}", world.answer(retry));
    assert_eq!(world.balance("b"), usd("4"), "INV-05: once");
}

//! What gathers where effects are dear: new keys behind a reservation, and answers that nobody waits for.

use std::time::Duration;

use super::world::*;
use crate::config::{Config, Gathering};
use crate::effect::Effect;

const PATIENCE: Duration = Duration::from_millis(50);
const ANSWERS: Duration = Duration::from_millis(20);
const NOTHING: [usize; 0] = [];

fn gathering() -> Config {
    Config { gathering: Gathering { reservations: PATIENCE, answers: ANSWERS, ..Gathering::default() }, ..shared() }
}

/// How many keys each reservation among these effects has.
fn reserved(effects: &[Effect]) -> Vec<usize> {
    let items = |effect: &Effect| if let Effect::Reserve(_, items) = effect { Some(items.len()) } else { None };
    effects.iter().filter_map(items).collect()
}

/// How many answers each storing among these effects has.
fn stored(effects: &[Effect]) -> Vec<usize> {
    let records =
        |effect: &Effect| if let Effect::StoreAnswers(_, records) = effect { Some(records.len()) } else { None };
    effects.iter().filter_map(records).collect()
}

/// Performs everything but what stores answers, until nothing else is left.
fn run(world: &mut World, mut effects: Vec<Effect>) -> Vec<Effect> {
    let mut storing = Vec::new();
    while !effects.is_empty() {
        for effect in effects {
            if matches!(effect, Effect::StoreAnswers(..)) {
                storing.push(effect);
            } else if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
        effects = world.effects();
    }
    storing
}

#[test]
fn keys_that_come_while_a_reservation_is_under_way_go_together_behind_it() {
    let mut world = World::new(gathering());
    world.submit_keyed(create("a", "1"), key("k1", 1));
    let first = world.effects();
    assert_eq!(reserved(&first), [1], "a lone key waits for nothing");
    world.submit_keyed(create("b", "1"), key("k2", 2));
    assert_eq!(reserved(&world.effects()), NOTHING);
    world.submit_keyed(create("c", "1"), key("k3", 3));
    assert_eq!(reserved(&world.effects()), NOTHING);
    let input = first.into_iter().find_map(|effect| world.perform(effect)).expect("the completion");
    world.handle(input);
    assert_eq!(reserved(&world.effects()), [2]);
}

#[test]
fn a_reservation_that_takes_long_holds_up_nobody() {
    let mut world = World::new(gathering());
    world.submit_keyed(create("a", "1"), key("k1", 1));
    assert_eq!(reserved(&world.effects()), [1]);
    world.submit_keyed(create("b", "1"), key("k2", 2));
    assert_eq!(reserved(&world.effects()), NOTHING);
    world.wake();
    assert_eq!(reserved(&world.effects()), [1], "and nothing else needs to happen for it");
}

#[test]
fn answers_that_events_vouch_for_are_stored_together_a_moment_later() {
    let mut world = World::new(gathering());
    for name in ["a", "b", "c"] {
        world.submit_keyed(create(name, "1"), key(name, 1));
        let effects = world.effects();
        assert_eq!(stored(&run(&mut world, effects)), NOTHING);
    }
    world.pass(ANSWERS);
    assert_eq!(stored(&world.effects()), [3]);
}

#[test]
fn a_refusal_waits_for_its_record_and_the_record_for_nothing() {
    let mut world = World::new(gathering());
    world.submit_keyed(create("a", "1"), key("k1", 1));
    let effects = world.effects();
    run(&mut world, effects);
    let refused = world.submit_keyed(debit("a", "4"), key("k2", 2));
    let effects = world.effects();
    let storing = run(&mut world, effects);
    assert_eq!(stored(&storing), [2], "and what has gathered goes with it");
    for effect in storing {
        let input = world.perform(effect).expect("a completion");
        world.handle(input);
    }
    world.settle();
    assert_eq!(world.outcome(refused), Err("insufficient-funds"));
}

#[test]
fn a_node_that_drains_stores_what_has_gathered() {
    let mut world = World::new(gathering());
    world.submit_keyed(create("a", "1"), key("k1", 1));
    let effects = world.effects();
    assert_eq!(stored(&run(&mut world, effects)), NOTHING);
    world.handle(crate::effect::Input::Drain);
    assert_eq!(stored(&world.effects()), [1]);
}

//! Idempotency keys: every row of the contract's table, in both modes.

use super::world::*;
use crate::command::Answer;
use crate::config::Config;
use crate::effect::{Completion, Effect, Failure, FailureKind, Input};
use crate::id::Version;

fn both() -> [Config; 2] {
    [embedded(), shared()]
}

#[test]
fn a_repeat_is_answered_with_the_stored_answer() {
    for config in both() {
        let mut world = World::new(config.clone());
        world.submit(create("a", "10"));
        world.settle();
        let first = world.submit_keyed(debit("a", "4"), key("k", 1));
        world.settle();
        world.restart(config);
        let repeat = world.submit_keyed(debit("a", "4"), key("k", 1));
        world.settle();
        let (Answer::Final { answer: one, replayed: false }, Answer::Final { answer: two, replayed: true }) =
            (world.answer(first), world.answer(repeat))
        else {
            panic!("{:?}", world.answers)
        };
        assert_eq!(one, two);
        assert_eq!(world.balance("a"), usd("6"));
    }
}

#[test]
fn refusals_of_the_domain_are_stored_and_replayed() {
    for config in both() {
        let mut world = World::new(config);
        world.submit(create("a", "1"));
        world.settle();
        let first = world.submit_keyed(debit("a", "4"), key("k", 1));
        world.settle();
        world.submit(credit("a", "100"));
        world.settle();
        let repeat = world.submit_keyed(debit("a", "4"), key("k", 1));
        world.settle();
        assert_eq!(
            (world.outcome(first), world.outcome(repeat)),
            (Err("insufficient-funds"), Err("insufficient-funds"))
        );
        assert_eq!(world.balance("a"), usd("101"));
    }
}

#[test]
fn another_payload_under_the_same_key_is_refused_running_or_finished() {
    for config in both() {
        let mut world = World::new(config);
        let first = world.submit_keyed(create("a", "1"), key("k", 1));
        let running = world.submit_keyed(create("b", "1"), key("k", 2));
        let same = world.submit_keyed(create("a", "1"), key("k", 1));
        world.settle();
        let finished = world.submit_keyed(create("b", "1"), key("k", 2));
        world.settle();
        assert!(world.outcome(first).is_ok());
        assert_eq!(*world.answer(running), Answer::KeyReused);
        assert_eq!(*world.answer(same), Answer::InFlight);
        assert_eq!(*world.answer(finished), Answer::KeyReused);
    }
}

#[test]
fn a_request_at_fault_leaves_its_key_free() {
    for config in both() {
        let mut world = World::new(config);
        world.submit(create("a", "1"));
        world.settle();
        let wrong = world.submit_keyed(credit("a", "0.001"), key("k", 1));
        world.settle();
        let right = world.submit_keyed(credit("a", "0.01"), key("k", 2));
        world.settle();
        assert_eq!(world.outcome(wrong), Err("validation-failed"));
        assert!(world.outcome(right).is_ok());
    }
}

#[test]
fn an_unavailable_event_store_leaves_the_key_free() {
    for config in both() {
        let mut world = World::new(config);
        world.submit(create("a", "1"));
        world.settle();
        world.submit_keyed(credit("a", "1"), key("k", 1));
        for _ in 0..4 {
            for effect in world.effects() {
                let input = match effect {
                    Effect::Append(id, _) => {
                        let reason = "away".to_owned();
                        Some(Input::Appended(
                            id,
                            Completion::Failed(Failure { kind: FailureKind::Unavailable, reason }),
                        ))
                    }
                    other => world.perform(other),
                };
                if let Some(input) = input {
                    world.handle(input);
                }
            }
        }
        let retry = world.submit_keyed(credit("a", "1"), key("k", 1));
        world.settle();
        assert!(world.outcome(retry).is_ok());
        assert_eq!(world.balance("a"), usd("2"));
    }
}

/// Runs a keyed command until its append is out, and then the instance dies.
fn die_in_append(world: &mut World, took_effect: bool) {
    world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    loop {
        for effect in world.effects() {
            if let Effect::Append(_, append) = &effect {
                if took_effect {
                    assert_eq!(world.append(append), Completion::Done(()));
                }
                return world.restart(shared());
            }
            if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
    }
}

fn two_wallets() -> World {
    let mut world = World::new(shared());
    world.submit(create("a", "10"));
    world.submit(create("b", "0"));
    world.settle();
    world
}

#[test]
fn a_dead_attempt_is_in_flight_until_it_counts_as_dead() {
    let mut world = two_wallets();
    die_in_append(&mut world, true);
    let early = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert_eq!(*world.answer(early), Answer::InFlight);
}

#[test]
fn the_takeover_of_an_attempt_that_took_effect_rebuilds_its_answer() {
    let mut world = two_wallets();
    die_in_append(&mut world, true);
    world.submit(credit("a", "100"));
    world.settle();
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    let Answer::Final { answer, replayed: true } = world.answer(retry) else { panic!("{:?}", world.answers) };
    let Ok(crate::command::Success::Transfer { from, to, transfer_id }) = &answer.outcome else { panic!() };
    assert_eq!((from.balance, from.version, to.balance), (usd("6"), Version(2), usd("4")), "as it was right after");
    assert_eq!(Some(*transfer_id), world.streams[&wallet("b")][1].transfer().map(|leg| leg.transfer_id));
    assert_eq!(world.streams[&wallet("b")].len(), 2, "INV-05: once");
}

#[test]
fn the_takeover_of_an_attempt_that_did_not_take_effect_executes_it() {
    let mut world = two_wallets();
    die_in_append(&mut world, false);
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { replayed: false, .. }));
    assert_eq!((world.balance("a"), world.balance("b")), (usd("6"), usd("4")));
}

#[test]
fn an_append_of_the_dead_that_lands_after_the_search_is_still_found() {
    let mut world = two_wallets();
    world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    let mut late = None;
    while late.is_none() {
        for effect in world.effects() {
            match effect {
                Effect::Append(_, append) => late = Some(append),
                other => {
                    if let Some(input) = world.perform(other) {
                        world.handle(input);
                    }
                }
            }
        }
    }
    world.restart(shared());
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    // Until the second attempt sends its own append; the first one's lands just before it.
    loop {
        let effects = world.effects();
        let own = effects.iter().any(|effect| matches!(effect, Effect::Append(..)));
        if own {
            let late = late.take().unwrap();
            assert_eq!(world.append(&late), Completion::Done(()));
        }
        for effect in effects {
            if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
        if own {
            break;
        }
    }
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { .. }));
    assert_eq!((world.balance("a"), world.balance("b")), (usd("6"), usd("4")), "INV-05: once");
    assert_eq!(world.streams[&wallet("a")].len(), 2);
}

#[test]
fn a_takeover_that_cannot_search_does_not_claim_that_nothing_happened() {
    let mut world = two_wallets();
    die_in_append(&mut world, true);
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    for _ in 0..60 {
        for effect in world.effects() {
            let input = match effect {
                Effect::FindCommand { effect, .. } => Some(Input::Found(effect, Completion::Unknown)),
                other => world.perform(other),
            };
            if let Some(input) = input {
                world.handle(input);
            }
        }
        world.wake();
    }
    assert_eq!(*world.answer(retry), Answer::OutcomeUnknown);
    world.pass(shared().takeover_after * 2);
    let again = world.submit_keyed(transfer("a", "b", "4"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(again), Answer::Final { replayed: true, .. }));
    assert_eq!(world.balance("b"), usd("4"), "INV-05: once");
}

#[test]
fn a_refusal_is_not_answered_before_it_is_stored() {
    let mut world = World::new(shared());
    let refused = world.submit_keyed(credit("nobody", "1"), key("k", 1));
    loop {
        let effects = world.effects();
        if effects.iter().any(|effect| matches!(effect, Effect::StoreAnswers(..))) {
            assert!(!world.answers.contains_key(&refused));
            for effect in effects {
                let input = world.perform(effect).unwrap();
                world.handle(input);
            }
            break;
        }
        for effect in effects {
            if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
    }
    world.settle();
    assert_eq!(world.outcome(refused), Err("wallet-not-found"));
}

//! Completions that conflict, fail, come twice, late, never, or as unknown.

use std::time::Duration;

use super::world::*;
use crate::command::{Answer, Unavailable, Work};
use crate::config::Config;
use crate::effect::{Completion, Effect, Failure, FailureKind, Input};
use crate::id::{EffectId, Version};
use crate::limits;

fn failure() -> Failure {
    Failure { kind: FailureKind::Unavailable, reason: "away".to_owned() }
}

fn the_append(effects: &[Effect]) -> (EffectId, std::sync::Arc<crate::effect::Append>) {
    let appends: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Append(id, append) => Some((*id, append.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(appends.len(), 1, "{effects:?}");
    appends.into_iter().next().unwrap()
}

fn world_with(config: Config, wallets: &[(&str, &str)]) -> World {
    let mut world = World::new(config);
    for (name, balance) in wallets {
        world.submit(create(name, balance));
    }
    world.settle();
    world
}

#[test]
fn a_conflict_reads_the_tail_and_decides_again() {
    let mut world = world_with(shared(), &[("a", "10")]);
    let request = world.submit(debit("a", "10"));
    let (append, _) = the_append(&world.effects());
    // Another instance was faster.
    let mut other = world_with(shared(), &[]);
    other.streams = world.streams.clone();
    other.submit(debit("a", "3"));
    other.settle();
    world.streams = other.streams;

    world.handle(Input::Appended(append, Completion::Conflict));
    let effects = world.effects();
    let [Effect::Load(_, loads)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(loads[0].known.0, 1, "only the missing tail is read");
    let input = world.perform(effects[0].clone()).unwrap();
    world.handle(input);
    world.settle();
    assert_eq!(world.outcome(request), Err("insufficient-funds"));
    assert_eq!(world.node.commands().statistics().conflicts, 1);
}

#[test]
fn a_stale_refusal_is_never_answered_where_others_write_too() {
    let mut world = world_with(shared(), &[("a", "0")]);
    let mut other = world_with(shared(), &[]);
    other.streams = world.streams.clone();
    other.submit(credit("a", "5"));
    other.settle();
    world.streams = other.streams;
    let request = world.submit(debit("a", "5"));
    world.settle();
    assert!(world.outcome(request).is_ok(), "the cache said no, the store says yes");
}

#[test]
fn a_transfer_is_not_refused_on_wallets_that_were_never_so_at_one_moment() {
    let mut world = World::new(shared());
    let request = world.submit(transfer("a", "b", "1"));
    let Some(Effect::Load(id, loads)) = world.effects().pop() else { panic!("both wallets are read") };
    let names: Vec<_> = loads.iter().map(|load| load.wallet.clone()).collect();
    let read = |world: &mut World, name: &str| {
        let at = names.iter().position(|one| *one == wallet(name)).unwrap();
        match world.perform(Effect::Load(id, loads.clone())) {
            Some(Input::Loaded(_, Completion::Done(mut loaded))) => loaded.swap_remove(at),
            other => panic!("{other:?}"),
        }
    };
    // The destination is read, then it is created, then the source is created, then that is read.
    let to = read(&mut world, "b");
    let waits = std::mem::replace(&mut world.node, crate::node_twin::Twin::new(shared(), world.now));
    for name in ["b", "a"] {
        world.submit(create(name, "10"));
        world.settle();
    }
    world.node = waits;
    let from = read(&mut world, "a");
    let loaded = if names[0] == wallet("a") { vec![from, to] } else { vec![to, from] };
    world.handle(Input::Loaded(id, Completion::Done(loaded)));
    world.settle();
    assert!(world.outcome(request).is_ok(), "INV-09: there was no moment with a source and without a destination");
}

#[test]
fn endless_conflicts_end_in_a_refusal_that_says_so() {
    let mut world = world_with(shared(), &[("a", "10")]);
    let request = world.submit(debit("a", "1"));
    for _ in 0..=limits::DECISIONS_PER_COMMAND_MAX {
        for effect in world.effects() {
            let input = match effect {
                Effect::Append(id, _) => Some(Input::Appended(id, Completion::Conflict)),
                other => world.perform(other),
            };
            if let Some(input) = input {
                world.handle(input);
            }
        }
        let loads = world.effects();
        for effect in loads {
            if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
    }
    assert_eq!(*world.answer(request), Answer::Unavailable(Unavailable::Contended));
    assert_eq!(world.balance("a"), usd("10"));
}

#[test]
fn a_failed_append_did_not_happen_and_the_wallet_goes_on() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    let failed = world.submit(debit("a", "10"));
    let (append, _) = the_append(&world.effects());
    let waiting = world.submit(debit("a", "4"));
    world.handle(Input::Appended(append, Completion::Failed(failure())));
    world.settle();
    assert_eq!(*world.answer(failed), Answer::Unavailable(Unavailable::EventStore));
    assert!(world.outcome(waiting).is_ok());
    assert_eq!(world.balance("a"), usd("6"));
}

#[test]
fn an_unknown_append_is_repeated_as_it_was_until_the_store_tells() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    let request = world.submit(debit("a", "10"));
    let (first, content) = the_append(&world.effects());
    assert_eq!(world.append(&content), Completion::Done(()), "it happened, but the answer is lost");
    world.handle(Input::Appended(first, Completion::Unknown));
    assert!(world.effects().is_empty());
    world.wake();
    let (second, again) = the_append(&world.effects());
    assert_ne!(first, second);
    assert_eq!(content, again);
    let completion = world.append(&again);
    world.handle(Input::Appended(second, completion));
    world.settle();
    assert!(world.outcome(request).is_ok());
    assert_eq!(world.streams[&wallet("a")].len(), 2, "INV-05: once");
}

#[test]
fn a_failure_after_an_unknown_is_still_unknown() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    let request = world.submit(debit("a", "10"));
    let (first, content) = the_append(&world.effects());
    world.handle(Input::Appended(first, Completion::Unknown));
    world.wake();
    let (second, _) = the_append(&world.effects());
    world.handle(Input::Appended(second, Completion::Failed(failure())));
    world.settle();
    assert!(!world.answers.contains_key(&request), "nobody may say that it did not happen");
    // The first attempt lands late, and its own late completion settles the matter.
    assert_eq!(world.append(&content), Completion::Done(()));
    world.handle(Input::Appended(first, Completion::Done(())));
    world.settle();
    assert!(world.outcome(request).is_ok());
}

#[test]
fn completions_that_come_twice_or_too_late_change_nothing() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    let mut history = Vec::new();
    let request = world.submit(debit("a", "4"));
    loop {
        let inputs: Vec<Input> = world.effects().into_iter().filter_map(|effect| world.perform(effect)).collect();
        if inputs.is_empty() {
            break;
        }
        for input in inputs {
            world.handle(input.clone());
            world.handle(input.clone());
            history.push(input);
        }
    }
    for input in history {
        world.handle(input);
    }
    world.settle();
    assert!(world.outcome(request).is_ok());
    assert_eq!(world.balance("a"), usd("6"));
}

#[test]
fn an_append_without_any_answer_is_reported_as_unknown_in_time_and_resolved_later() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    let request = world.submit_keyed(debit("a", "10"), key("k", 1));
    let effects = world.effects();
    let input = world.perform(effects[0].clone()).unwrap();
    world.handle(input);
    let (_, content) = the_append(&world.effects());
    for _ in 0..100 {
        world.wake();
        world.effects();
    }
    assert_eq!(*world.answer(request), Answer::OutcomeUnknown);
    let retry = world.submit_keyed(debit("a", "10"), key("k", 1));
    world.effects();
    assert_eq!(*world.answer(retry), Answer::InFlight, "the key stays with the attempt in doubt");

    assert_eq!(world.append(&content), Completion::Done(()));
    for _ in 0..100 {
        world.wake();
        world.settle();
    }
    let retry = world.submit_keyed(debit("a", "10"), key("k", 1));
    world.settle();
    assert!(matches!(world.answer(retry), Answer::Final { replayed: true, .. }));
    assert_eq!(world.streams[&wallet("a")].len(), 2, "INV-05: once");
}

#[test]
fn commands_behind_an_append_in_doubt_time_out_as_not_done() {
    let mut world = world_with(embedded(), &[("a", "10"), ("b", "0")]);
    world.submit(debit("a", "1"));
    world.effects();
    let waiting = world.submit(transfer("a", "b", "1"));
    let free = world.submit(credit("b", "1"));
    world.effects();
    world.pass(limits::REQUEST_TIMEOUT + Duration::from_millis(100));
    world.effects();
    assert_eq!(*world.answer(waiting), Answer::Unavailable(Unavailable::TimedOut));
    assert_eq!(*world.answer(free), Answer::Unavailable(Unavailable::TimedOut), "it stood behind the transfer");
    let next = world.submit(credit("b", "2"));
    world.settle();
    assert!(world.outcome(next).is_ok(), "the other wallet is free again");
}

#[test]
fn a_store_that_cannot_be_read_is_tried_again_and_then_given_up() {
    let mut world = World::new(embedded());
    let request = world.submit(credit("a", "1"));
    for _ in 0..limits::EFFECT_ATTEMPTS_MAX {
        for effect in world.effects() {
            if let Effect::Load(id, _) = effect {
                world.handle(Input::Loaded(id, Completion::Failed(failure())));
            }
        }
        world.wake();
    }
    world.effects();
    assert_eq!(*world.answer(request), Answer::Unavailable(Unavailable::EventStore));
}

#[test]
fn a_lease_store_that_is_away_costs_nothing_but_the_lease() {
    let mut world = World::new(Config { leases: true, ..shared() });
    let request = world.submit(create("a", "1"));
    let effects = world.effects();
    let [Effect::Lease { effect, .. }] = &effects[..] else { panic!("{effects:?}") };
    world.handle(Input::Leased(*effect, Completion::Unknown));
    world.settle();
    assert!(world.outcome(request).is_ok());
}

#[test]
fn a_lease_that_somebody_else_holds_is_waited_for_and_then_done_without() {
    let mut world = World::new(Config { leases: true, ..shared() });
    let request = world.submit(create("a", "1"));
    let mut asked = 0;
    for effect in world.effects() {
        let Effect::Lease { effect, .. } = effect else { panic!("{effect:?}") };
        asked += 1;
        world.handle(Input::Leased(effect, Completion::Done(vec![false])));
    }
    while asked <= limits::LEASE_ATTEMPTS_MAX {
        world.wake();
        for effect in world.effects() {
            if let Effect::Lease { effect, .. } = effect {
                asked += 1;
                world.handle(Input::Leased(effect, Completion::Done(vec![false])));
            }
        }
    }
    world.settle();
    assert_eq!(asked, limits::LEASE_ATTEMPTS_MAX + 1);
    assert!(world.outcome(request).is_ok());
}

#[test]
fn quiet_wallets_give_their_lease_back() {
    let mut world = World::new(Config { leases: true, ..embedded() });
    world.submit(create("a", "1"));
    world.settle();
    let mut released = Vec::new();
    for _ in 0..4 {
        world.wake();
        released.extend(world.effects());
    }
    assert_eq!(released, [Effect::Unlease(vec![wallet("a")])]);
}

#[test]
fn a_damaged_stream_is_refused_and_not_served() {
    let mut world = world_with(embedded(), &[("a", "10")]);
    world.submit(credit("a", "1"));
    world.settle();
    world.streams.get_mut(&wallet("a")).unwrap().remove(0);
    world.restart(embedded());
    let request = world.submit(credit("a", "1"));
    world.settle();
    assert_eq!(*world.answer(request), Answer::Unavailable(Unavailable::Damaged));
}

/// The first load among effects, and the rest.
fn load_of(effects: Vec<Effect>) -> (Effect, Vec<Effect>) {
    let (mut loads, rest): (Vec<_>, Vec<_>) =
        effects.into_iter().partition(|effect| matches!(effect, Effect::Load(..)));
    assert_eq!(loads.len(), 1, "{loads:?}");
    (loads.remove(0), rest)
}

#[test]
fn a_load_that_comes_after_a_newer_one_changes_nothing() {
    let mut world = world_with(shared(), &[("a", "5"), ("b", "1")]);
    let work = Work::Batch { operations: vec![debit("a", "10"), credit("b", "1")], atomic: false };
    let batch = world.request(work);
    let batch = world.submit_request(batch);
    let (first, _) = load_of(world.effects());
    // It arrives while the wallets are read for the batch: its own refusal needs another look at `a`.
    let late = world.submit(debit("a", "10"));
    let input = world.perform(first).expect("a completion");
    world.handle(input);
    let (slow, appending) = load_of(world.effects());
    let slow = world.perform(slow).expect("a completion, which takes its time");
    // The append of the batch meets another writer, so all of its wallets are read again, and that is quicker.
    world.elsewhere(shared(), credit("a", "100"));
    world.elsewhere(shared(), credit("b", "1"));
    let conflicts: Vec<Input> = appending.into_iter().filter_map(|effect| world.perform(effect)).collect();
    conflicts.into_iter().for_each(|input| world.handle(input));
    let (again, _) = load_of(world.effects());
    let input = world.perform(again).expect("a completion");
    world.handle(input);
    let appending = world.effects();
    world.handle(slow);
    // Another conflict takes `a` back to what the store has, not to what was about to be written.
    world.elsewhere(shared(), credit("a", "1"));
    let conflicts: Vec<Input> = appending.into_iter().filter_map(|effect| world.perform(effect)).collect();
    conflicts.into_iter().for_each(|input| world.handle(input));
    let (again, _) = load_of(world.effects());
    let Effect::Load(_, loads) = &again else { unreachable!("a load") };
    let known: Vec<_> = loads.iter().filter(|load| load.wallet == wallet("a")).map(|load| load.known).collect();
    assert_eq!(known, [Version(2)]);
    let input = world.perform(again).expect("a completion");
    world.handle(input);
    world.settle();
    assert!(world.outcome(batch).is_ok() && world.outcome(late).is_ok());
    assert_eq!(world.balance("a"), usd("86"));
}

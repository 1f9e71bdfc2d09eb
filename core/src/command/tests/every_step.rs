//! A keyed transfer in which every single effect, one after the other, comes to anything: it happens or not, and its
//! completion tells, is unknown, comes twice, late or never. The money moves once, and a repeat finds out what
//! happened.

use std::collections::BTreeSet;

use super::model::{Fate, check_log, complete};
use super::world::*;
use crate::command::{Answer, FinalAnswer, Success};
use crate::config::Config;
use crate::effect::{Completion, Effect, Input};
use crate::limits::REQUEST_TIMEOUT;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Told(Fate),
    /// It happens, and there is no completion.
    SilentDone,
    /// It happens, and its completion comes twice.
    Twice,
    /// It happens, and its completion comes when the command has long been answered.
    Late,
}

const FAULTS: [Fault; 8] = [
    Fault::Told(Fate::LostAnswer),
    Fault::Told(Fate::LostRequest),
    Fault::Told(Fate::Failed),
    Fault::Told(Fate::Never),
    Fault::Told(Fate::Denied(0)),
    Fault::SilentDone,
    Fault::Twice,
    Fault::Late,
];

/// What there is of the key before the request comes.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// An attempt that died before its append.
    DeadBeforeAppend,
    /// An attempt that died after its append, and before it could say so.
    DeadAfterAppend,
}

fn submit(world: &mut World) -> u64 {
    world.submit_keyed(transfer("a", "b", "4"), key("k", 1))
}

/// Two wallets, and an instance that has just begun.
fn begin(config: &Config, before: Before) -> World {
    let mut world = World::new(config.clone());
    world.submit(create("a", "10"));
    world.submit(create("b", "0"));
    world.settle();
    world.restart(config.clone());
    if matches!(before, Before::Nothing) {
        return world;
    }
    let dead = submit(&mut world);
    let mut append = None;
    while append.is_none() {
        for effect in world.effects() {
            if let Effect::Append(_, content) = &effect {
                append = Some(content.clone());
            } else if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
    }
    if let (Before::DeadAfterAppend, Some(append)) = (before, append) {
        assert_eq!(world.append(&append), Completion::Done(()));
    }
    world.restart(config.clone());
    world.pass(config.takeover_after * 2);
    assert!(!world.answers.contains_key(&dead));
    world
}

/// Completes effects until the request's time is over, the n-th of them with a fault.
fn run(world: &mut World, mut fault: impl FnMut(&Effect) -> Option<Fault>) -> Vec<Input> {
    let (end, mut late) = (world.now.plus(REQUEST_TIMEOUT), Vec::new());
    while world.now < end {
        let effects = world.effects();
        if effects.is_empty() && world.node.poll_timeout().is_none() {
            break;
        }
        if effects.is_empty() {
            world.wake();
        }
        for effect in effects {
            let given: Vec<Input> = match fault(&effect) {
                None => world.perform(effect).into_iter().collect(),
                Some(Fault::Told(fate)) => complete(world, effect, fate).into_iter().collect(),
                Some(Fault::SilentDone) => {
                    world.perform(effect);
                    Vec::new()
                }
                Some(Fault::Twice) => world.perform(effect).into_iter().flat_map(|one| [one.clone(), one]).collect(),
                Some(Fault::Late) => {
                    late.extend(world.perform(effect));
                    Vec::new()
                }
            };
            given.into_iter().for_each(|input| world.handle(input));
        }
    }
    late
}

/// Lets everything come to its end, without faults.
fn calm(world: &mut World) {
    for _ in 0..100 {
        world.settle();
        world.wake();
    }
    world.settle();
}

fn final_answer(world: &World, request: u64) -> FinalAnswer {
    match world.answer(request) {
        Answer::Final { answer, .. } => answer.clone(),
        other => panic!("not final: {other:?}"),
    }
}

/// The n-th effect of the transfer comes to something; afterwards a repeat finds out what happened.
fn transfer_with(config: &Config, before: Before, faulted: usize, fault: Fault) {
    let mut world = begin(config, before);
    let request = submit(&mut world);
    let mut count = 0;
    let late = run(&mut world, |_| {
        count += 1;
        (count - 1 == faulted).then_some(fault)
    });
    calm(&mut world);
    late.into_iter().for_each(|input| world.handle(input));
    calm(&mut world);
    let moved = world.streams[&wallet("a")].len() == 2;
    match world.answer(request) {
        Answer::Final { answer, .. } => assert!(moved && answer.outcome.is_ok(), "INV-04: {answer:?}"),
        // Said of this request: an attempt before it may have been faster, and a repeat finds out.
        Answer::Unavailable(_) => assert_eq!(moved, matches!(before, Before::DeadAfterAppend), "it did nothing"),
        Answer::OutcomeUnknown => {}
        Answer::InFlight | Answer::KeyReused => panic!("{:?}", world.answers),
    }
    assert_eq!(world.node.commands().commands_pending(), 0);

    world.pass(config.takeover_after * 2);
    let repeat = submit(&mut world);
    calm(&mut world);
    let answer = final_answer(&world, repeat);
    let Ok(Success::Transfer { from, to, .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!((from.balance, to.balance), (usd("6"), usd("4")));
    if matches!(world.answer(request), Answer::Final { .. }) {
        assert_eq!(final_answer(&world, request), answer, "INV-05: every answer is the same");
    }
    check_log(&world);
    assert_eq!((world.balance("a"), world.balance("b")), (usd("6"), usd("4")), "INV-05: once");
}

fn name_of(effect: &Effect) -> String {
    let name = format!("{effect:?}");
    name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap().to_owned()
}

/// The effects of a transfer without faults, each of which is then faulted in every way.
fn every_step(config: &Config, before: Before) -> BTreeSet<String> {
    let mut names = Vec::new();
    let mut world = begin(config, before);
    submit(&mut world);
    run(&mut world, |effect| {
        names.push(name_of(effect));
        None
    });
    for faulted in 0..names.len() {
        for fault in FAULTS {
            transfer_with(config, before, faulted, fault);
        }
    }
    names.into_iter().collect()
}

#[test]
fn every_single_effect_of_a_transfer_may_come_to_anything() {
    let config = Config { leases: true, ..embedded() };
    let names = every_step(&config, Before::Nothing);
    assert_eq!(names, BTreeSet::from(["Append", "Lease", "Load", "Reply", "Reserve", "Unlease"].map(str::to_owned)));
}

#[test]
fn every_single_effect_of_a_transfer_whose_key_is_reserved_first_may_come_to_anything() {
    let config = Config { leases: true, ..shared() };
    let names = every_step(&config, Before::Nothing);
    let all = ["Append", "Lease", "Load", "Reply", "Reserve", "StoreAnswers", "Unlease"];
    assert_eq!(names, BTreeSet::from(all.map(str::to_owned)));
}

#[test]
fn every_single_effect_of_a_takeover_may_come_to_anything() {
    let config = Config { leases: true, ..shared() };
    let names = every_step(&config, Before::DeadBeforeAppend);
    let all = ["Append", "FindCommand", "Lease", "Load", "Reply", "Reserve", "StoreAnswers", "Unlease"];
    assert_eq!(names, BTreeSet::from(all.map(str::to_owned)));
    let names = every_step(&config, Before::DeadAfterAppend);
    let all = ["FindCommand", "Lease", "Load", "Reply", "Reserve", "StoreAnswers", "Unlease"];
    assert_eq!(names, BTreeSet::from(all.map(str::to_owned)));
}

//! Random commands under random faults, against a model that shares no code with the engine.
//!
//! The model keeps cents in a map and learns an operation's fate from the store's log alone. INV-01, 02, 03 and 05 are
//! checked over the whole log; every answer must fit what the log says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::*;
use crate::command::Answer;
use crate::config::Config;
use crate::effect::{Completion, Effect, Failure, FailureKind, Input};
use crate::event::Fact;
use crate::wallet::Operation;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Submit(Operation, Option<u8>),
    /// Perform the n-th effect that waits, with a fate.
    Complete(usize, Fate),
    /// Repeat the n-th completion that was ever given.
    Again(usize),
    Wake,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Honest,
    /// It happens, and the answer is lost.
    LostAnswer,
    /// It does not happen, and the answer is lost.
    LostRequest,
    Failed,
    Never,
    /// Of the wallets of a lease, some are held by somebody else: one bit for each.
    Denied(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(&NAMES[..]);
    let amount = || (1_u32..900).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
    prop_oneof![
        1 => (name(), amount()).prop_map(|(name, balance)| create(name, &balance)),
        3 => (name(), amount()).prop_map(|(name, amount)| credit(name, &amount)),
        3 => (name(), amount()).prop_map(|(name, amount)| debit(name, &amount)),
        4 => (name(), name(), amount()).prop_map(|(from, to, amount)| transfer(from, to, &amount)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        12 => Just(Fate::Honest), 1 => Just(Fate::LostAnswer), 1 => Just(Fate::LostRequest), 1 => Just(Fate::Failed),
        1 => Just(Fate::Never), 1 => any::<u8>().prop_map(Fate::Denied),
    ];
    prop_oneof![
        4 => (operation(), prop::option::of(0_u8..12)).prop_map(|(operation, key)| Step::Submit(operation, key)),
        8 => (any::<usize>(), fate).prop_map(|(at, fate)| Step::Complete(at, fate)),
        1 => any::<usize>().prop_map(Step::Again),
        1 => Just(Step::Wake),
    ]
}

/// A completion that says nothing of the outcome, or that nothing was done.
fn said<T>(fate: Fate) -> Completion<T> {
    let reason = "away".to_owned();
    match fate {
        Fate::Failed => Completion::Failed(Failure { kind: FailureKind::Unavailable, reason }),
        Fate::Honest | Fate::LostAnswer | Fate::LostRequest | Fate::Never | Fate::Denied(_) => Completion::Unknown,
    }
}

/// That completion as the input that an effect waits for.
fn answered(effect: &Effect, fate: Fate) -> Input {
    match effect {
        Effect::Append(id, _) => Input::Appended(*id, said(fate)),
        Effect::Lease { effect, .. } => Input::Leased(*effect, said(fate)),
        Effect::Load(id, _) => Input::Loaded(*id, said(fate)),
        Effect::Reserve(id, _) => Input::Reserved(*id, said(fate)),
        Effect::StoreAnswers(id, _) => Input::AnswersStored(*id, said(fate)),
        Effect::FindCommand { effect, .. } => Input::Found(*effect, said(fate)),
        other => panic!("nothing waits for {other:?}"),
    }
}

/// What an effect's completion looks like under a fate.
pub(super) fn complete(world: &mut World, effect: Effect, fate: Fate) -> Option<Input> {
    if matches!(effect, Effect::Reply { .. } | Effect::Unlease(_) | Effect::ReleaseKeys(_)) {
        return world.perform(effect);
    }
    match (fate, &effect) {
        (Fate::Denied(bits), Effect::Lease { effect, wallets, .. }) => {
            let granted = (0..wallets.len()).map(|at| bits >> (at % 8) & 1 == 1).collect();
            Some(Input::Leased(*effect, Completion::Done(granted)))
        }
        (Fate::Honest | Fate::Denied(_), _) => world.perform(effect),
        (Fate::LostAnswer, _) => {
            let lost = answered(&effect, fate);
            world.perform(effect);
            Some(lost)
        }
        (Fate::LostRequest | Fate::Failed, _) => Some(answered(&effect, fate)),
        (Fate::Never, _) => None,
    }
}

fn cents(money: crate::money::Money) -> i64 {
    i64::try_from(money.minor_units()).unwrap()
}

/// Folds the store's log without the engine: balances, versions, effects by command.
pub(super) fn check_log(world: &World) -> BTreeMap<String, i64> {
    let mut balances = BTreeMap::new();
    let mut by_command: BTreeMap<String, (i64, usize, bool)> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    let mut outside = 0;
    for (wallet, stream) in &world.streams {
        let mut balance = 0;
        for (at, event) in stream.iter().enumerate() {
            assert_eq!(event.version.0, at as u64 + 1, "INV-03 in {wallet}");
            assert!(ids.insert(event.event_id), "INV-05: {} twice", event.event_id);
            let signed = match event.fact {
                Fact::Debited { .. } => -cents(event.amount),
                Fact::Created { .. } | Fact::Credited { .. } => cents(event.amount),
            };
            balance += signed;
            assert_eq!(balance, cents(event.balance), "INV-01 in {wallet}");
            assert!(balance >= 0, "INV-02 in {wallet}");
            let is_leg = event.transfer().is_some();
            let effect = by_command.entry(event.command_id.to_string()).or_default();
            *effect = (effect.0 + if is_leg { signed } else { 0 }, effect.1 + 1, is_leg);
            outside += if is_leg { 0 } else { signed };
        }
        balances.insert(wallet.to_string(), balance);
    }
    for (command, (sum, events, is_transfer)) in by_command {
        assert_eq!(sum, 0, "INV-01: both legs of {command}");
        assert_eq!(events, if is_transfer { 2 } else { 1 }, "INV-05: command {command}");
    }
    assert_eq!(balances.values().sum::<i64>(), outside, "INV-01 over all wallets");
    balances
}

/// One answer for each request; it fits the log (INV-04), and is the same for all attempts under one key (INV-05).
fn check_answers(world: &World, submitted: &[(u64, Option<u8>)]) {
    let mut by_key: BTreeMap<u8, &crate::command::FinalAnswer> = BTreeMap::new();
    for (request, name) in submitted {
        let [answer] = &world.answers[request][..] else { panic!("{request}: {:?}", world.answers[request]) };
        let correlation = format!("r{request}");
        let in_log = world.streams.values().flatten().any(|event| event.correlation_id.as_str() == correlation);
        match (answer, name) {
            (Answer::Final { answer, .. }, None) => assert_eq!(answer.outcome.is_ok(), in_log, "INV-04: {request}"),
            (Answer::Final { answer, .. }, Some(name)) => {
                assert_eq!(by_key.entry(*name).or_insert(answer), &answer, "INV-05: key k{name}");
                let first = answer.correlation_id.as_str();
                let in_log = world.streams.values().flatten().any(|event| event.correlation_id.as_str() == first);
                assert_eq!(answer.outcome.is_ok(), in_log, "INV-04: key k{name}");
            }
            (Answer::Unavailable(_), _) => assert!(!in_log, "request {request} was said not to have happened"),
            (Answer::OutcomeUnknown | Answer::InFlight | Answer::KeyReused, _) => {}
        }
    }
}

fn run(config: &Config, steps: Vec<Step>) {
    let mut world = World::new(config.clone());
    let mut waiting: Vec<Effect> = Vec::new();
    let mut given: Vec<Input> = Vec::new();
    let mut submitted: Vec<(u64, Option<u8>)> = Vec::new();
    for step in steps {
        match step {
            Step::Submit(operation, None) => {
                let request = world.submit(operation);
                submitted.push((request, None));
            }
            Step::Submit(_, Some(name)) => {
                // One payload for each key, whatever was drawn.
                let operation = credit(NAMES[usize::from(name) % 4], &format!("{}", name + 1));
                let request = world.submit_keyed(operation, key(&format!("k{name}"), name));
                submitted.push((request, Some(name)));
            }
            Step::Complete(at, fate) if !waiting.is_empty() => {
                let effect = waiting.swap_remove(at % waiting.len());
                if let Some(input) = complete(&mut world, effect, fate) {
                    given.push(input.clone());
                    world.handle(input);
                }
            }
            Step::Again(at) if !given.is_empty() => {
                let input = given[at % given.len()].clone();
                world.handle(input);
            }
            Step::Complete(..) | Step::Again(_) => {}
            Step::Wake => world.wake(),
        }
        waiting.extend(world.effects());
        check_log(&world);
    }
    // The faults end: everything is answered, once.
    for _ in 0..200 {
        for effect in std::mem::take(&mut waiting) {
            if let Some(input) = complete(&mut world, effect, Fate::Honest) {
                world.handle(input);
            }
        }
        world.settle();
        world.wake();
        world.settle();
    }
    let balances = check_log(&world);
    check_answers(&world, &submitted);
    assert_eq!(world.node.commands().commands_pending(), 0);
    for name in NAMES {
        let expected = balances.get(name).copied();
        let probe = world.submit(credit(name, "1"));
        world.settle();
        match (expected, world.outcome(probe)) {
            (Some(before), Ok(crate::command::Success::Wallet(wallet))) => {
                assert_eq!(cents(wallet.balance), before + 100)
            }
            (None, Err("wallet-not-found")) => {}
            (expected, outcome) => panic!("{name}: the log says {expected:?}, the machine {outcome:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_versions_and_effects_hold_under_any_faults_embedded(steps in prop::collection::vec(step(), 1..80)) {
        run(&embedded(), steps);
    }

    /// Wallets go out of the cache and come back, and are leased before they are written to.
    #[test]
    fn money_versions_and_effects_hold_under_any_faults_in_a_small_cache(steps in prop::collection::vec(step(), 1..80)) {
        run(&crate::config::Config { wallets_cached_max: 2, leases: true, ..embedded() }, steps);
    }

    #[test]
    fn money_versions_and_effects_hold_under_any_faults_shared(steps in prop::collection::vec(step(), 1..80)) {
        run(&shared(), steps);
    }

    #[test]
    fn money_versions_and_effects_hold_under_any_faults_embedded_with_leases(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&Config { leases: true, ..embedded() }, steps);
    }

    #[test]
    fn money_versions_and_effects_hold_under_any_faults_shared_with_leases(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&Config { leases: true, ..shared() }, steps);
    }
}

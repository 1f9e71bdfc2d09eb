//! Takeovers of batches that were refused in part, of refusals, and of what lands while it is looked for (INV-05).

use super::world::*;
use crate::command::{Answer, FinalAnswer, Success, Work};
use crate::effect::{Completion, Effect};
use crate::wallet::{Operation, Rejection};

fn batch(world: &mut World, operations: Vec<Operation>) -> u64 {
    let mut request = world.request(Work::Batch { operations, atomic: false });
    request.idempotency = Some(key("k", 1));
    world.submit_request(request)
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

fn is_append(effect: &Effect) -> bool {
    matches!(effect, Effect::Append(..))
}

fn is_reserve(effect: &Effect) -> bool {
    matches!(effect, Effect::Reserve(..))
}

fn is_store(effect: &Effect) -> bool {
    matches!(effect, Effect::StoreAnswers(..))
}

/// Two wallets, one with 10 and one with nothing.
fn wallets() -> World {
    let mut world = World::new(shared());
    world.submit(create("a", "10"));
    world.submit(create("b", "0"));
    world.settle();
    world
}

fn results(answer: &Answer) -> &[Result<Success, Rejection>] {
    match answer {
        Answer::Final { answer: FinalAnswer { outcome: Ok(Success::Batch(results)), .. }, .. } => results,
        other => panic!("no batch was done: {other:?}"),
    }
}

/// Runs a batch up to its append, which takes effect, and lets the instance die and count as dead.
fn die_after_append(world: &mut World, operations: Vec<Operation>) {
    batch(world, operations);
    let Effect::Append(_, append) = until(world, is_append) else { panic!() };
    assert_eq!(world.append(&append), Completion::Done(()));
    world.restart(shared());
    world.pass(shared().takeover_after * 2);
}

#[test]
fn what_a_dead_batch_was_refused_is_not_done_by_its_takeover() {
    let mut world = wallets();
    let operations = || vec![debit("b", "5"), credit("a", "1")];
    die_after_append(&mut world, operations());
    world.submit(credit("b", "100"));
    world.settle();
    let retry = batch(&mut world, operations());
    world.settle();
    assert_eq!((world.balance("a"), world.balance("b")), (usd("11"), usd("100")), "INV-05: once");
    let [Err(refused), Ok(Success::Wallet(credited))] = results(world.answer(retry)) else {
        panic!("{:?}", world.answers)
    };
    assert_eq!((refused.code(), credited.balance), ("refused-earlier", usd("11")));
    let again = batch(&mut world, operations());
    world.settle();
    assert_eq!(results(world.answer(again)), results(world.answer(retry)), "INV-05: the same answer");
}

#[test]
fn a_takeover_gives_the_refusals_of_wallets_that_the_dead_batch_changed_as_they_were() {
    let mut world = wallets();
    let operations = || vec![debit("a", "8"), debit("a", "7"), create("c", "1"), debit("c", "2"), credit("a", "1")];
    die_after_append(&mut world, operations());
    world.submit(credit("a", "100"));
    world.submit(credit("c", "100"));
    world.settle();
    let retry = batch(&mut world, operations());
    world.settle();
    let balances: Vec<_> = results(world.answer(retry))
        .iter()
        .map(|result| match result {
            Ok(Success::Wallet(wallet)) => Ok(wallet.balance),
            Err(Rejection::InsufficientFunds { balance, .. }) => Err(*balance),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(balances, [Ok(usd("2")), Err(usd("2")), Ok(usd("1")), Err(usd("1")), Ok(usd("3"))]);
    assert_eq!(world.balance("a"), usd("103"), "INV-05: once");
}

#[test]
fn a_batch_that_is_refused_in_part_is_answered_when_its_answer_is_stored() {
    let mut world = wallets();
    let request = batch(&mut world, vec![debit("b", "5"), credit("a", "1")]);
    let store = until(&mut world, is_store);
    assert!(!world.answers.contains_key(&request), "only the record knows what was refused");
    let stored = world.perform(store).unwrap();
    world.handle(stored);
    world.settle();
    assert!(matches!(results(world.answer(request)), [Err(_), Ok(_)]));
}

#[test]
fn a_batch_that_is_refused_in_part_is_unknown_while_its_answer_is_not_stored() {
    let mut world = wallets();
    let request = batch(&mut world, vec![debit("b", "5"), credit("a", "1")]);
    until(&mut world, is_store);
    world.pass(shared().request_timeout * 2);
    world.effects();
    assert_eq!(*world.answer(request), Answer::OutcomeUnknown, "a part of it is done");
}

#[test]
fn a_refusal_whose_key_was_taken_over_is_neither_stored_nor_answered() {
    let mut world = wallets();
    let slow = world.submit_keyed(debit("b", "5"), key("k", 1));
    let store = until(&mut world, is_store);
    let asleep = std::mem::replace(&mut world.node, crate::node_twin::Twin::new(shared(), world.now));
    world.submit(credit("b", "9"));
    world.settle();
    let before = world.now;
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(debit("b", "5"), key("k", 1));
    let Effect::Append(id, append) = until(&mut world, is_append) else { panic!() };
    let late = world.perform(store).unwrap();
    let awake = std::mem::replace(&mut world.node, asleep);
    let now = std::mem::replace(&mut world.now, before);
    world.handle(late);
    world.settle();
    assert_eq!(*world.answer(slow), Answer::OutcomeUnknown, "whoever took it over decides");
    (world.node, world.now) = (awake, now);
    let appended = world.perform(Effect::Append(id, append)).unwrap();
    world.handle(appended);
    world.settle();
    assert!(world.outcome(retry).is_ok());
    world.restart(shared());
    let again = world.submit_keyed(debit("b", "5"), key("k", 1));
    world.settle();
    assert!(world.outcome(again).is_ok(), "INV-05: the same answer");
    assert_eq!(world.balance("b"), usd("4"), "INV-05: once");
}

#[test]
fn what_a_dead_attempt_does_between_load_and_search_is_read_again() {
    let mut world = wallets();
    world.submit_keyed(create("c", "3"), key("k", 1));
    let Effect::Append(_, late) = until(&mut world, is_append) else { panic!() };
    world.restart(shared());
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(create("c", "3"), key("k", 1));
    let search = until(&mut world, |effect| matches!(effect, Effect::FindCommand { .. }));
    assert_eq!(world.append(&late), Completion::Done(()));
    let found = world.perform(search).unwrap();
    world.handle(found);
    world.settle();
    let Ok(Success::Wallet(created)) = world.outcome(retry) else { panic!("{:?}", world.answers) };
    assert_eq!((created.balance, world.streams[&wallet("c")].len()), (usd("3"), 1));
}

#[test]
fn a_takeover_refuses_only_on_what_was_read_after_it() {
    let mut world = wallets();
    world.submit_keyed(debit("b", "5"), key("k", 1));
    let reserve = until(&mut world, is_reserve);
    world.perform(reserve);
    world.restart(shared());
    world.pass(shared().takeover_after * 2);
    let retry = world.submit_keyed(debit("b", "5"), key("k", 1));
    let reserve = until(&mut world, is_reserve);
    // The wallet is read for another command before the key is taken over, and credited by another instance.
    world.submit(debit("b", "1"));
    world.settle();
    let waits = std::mem::replace(&mut world.node, crate::node_twin::Twin::new(shared(), world.now));
    world.submit(credit("b", "9"));
    world.settle();
    world.node = waits;
    let taken = world.perform(reserve).unwrap();
    world.handle(taken);
    world.settle();
    assert!(world.outcome(retry).is_ok(), "a first attempt that read the wallet since may have been done");
    assert_eq!(world.balance("b"), usd("4"));
}

#[test]
fn what_a_batch_had_refused_is_refused_again_only_on_what_held_at_one_moment() {
    let mut world = wallets();
    let operations = || vec![credit("a", "1"), transfer("a", "c", "500")];
    batch(&mut world, operations());
    let Effect::Append(_, append) = until(&mut world, is_append) else { panic!() };
    assert_eq!(world.append(&append), Completion::Done(()));
    world.restart(shared());
    world.pass(shared().takeover_after * 2);
    world.submit(create("c", "3"));
    world.settle();
    let retry = batch(&mut world, operations());
    world.settle();
    // `c` was missing when `a` had too little, and neither is a reason that held of both.
    let Ok(Success::Batch(results)) = world.outcome(retry) else { panic!("{:?}", world.answers) };
    assert!(matches!(&results[..], [Ok(_), Err(Rejection::RefusedEarlier { .. })]), "{results:?}");
}

#[test]
fn a_destination_that_a_batch_created_itself_is_missing_again_only_when_the_source_was_there() {
    let operations = || vec![transfer("c", "n", "5"), transfer("n", "c", "5"), create("n", "1")];
    let missing = |world: &World, retry| {
        let Ok(Success::Batch(results)) = world.outcome(retry) else { panic!("{:?}", world.answers) };
        let named = |result: &Result<Success, Rejection>| match result {
            Err(Rejection::WalletNotFound { wallet_id }) => Some(wallet_id.to_string()),
            Ok(_) | Err(_) => None,
        };
        results.iter().map(named).collect::<Vec<_>>()
    };
    for (source_is_created_meanwhile, first_names) in [(true, None), (false, Some("c".to_owned()))] {
        let mut world = wallets();
        batch(&mut world, operations());
        let Effect::Append(_, append) = until(&mut world, is_append) else { panic!() };
        assert_eq!(world.append(&append), Completion::Done(()));
        world.restart(shared());
        world.pass(shared().takeover_after * 2);
        if source_is_created_meanwhile {
            world.submit(create("c", "9"));
            world.settle();
        }
        let retry = batch(&mut world, operations());
        world.settle();
        // The first attempt named the source, whatever it could say of the destination.
        assert_eq!(missing(&world, retry), [first_names, Some("n".to_owned()), None]);
    }
}

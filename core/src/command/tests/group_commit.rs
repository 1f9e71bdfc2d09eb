//! Order and grouping: what goes into which append, and who is answered when.

use super::world::*;
use crate::command::{Answer, Success, Unavailable, Work};
use crate::config::Config;
use crate::effect::{Completion, Effect, Input, Load, Loaded};
use crate::id::{EffectId, Version};

#[test]
fn a_creation_leases_loads_appends_and_then_replies() {
    let mut world = World::new(Config { leases: true, ..embedded() });
    let request = world.submit(create("a", "10"));
    let until = world.now.plus(crate::limits::LEASE_DURATION);
    let lease = EffectId(8);
    assert_eq!(world.effects(), [Effect::Lease { effect: lease, wallets: vec![wallet("a")], until }]);

    world.handle(Input::Leased(lease, Completion::Done(vec![true])));
    let load = EffectId(16);
    assert_eq!(world.effects(), [Effect::Load(load, vec![Load { wallet: wallet("a"), known: Version(0) }])]);

    world.handle(Input::Loaded(load, Completion::Done(vec![Loaded { snapshot: None, events: vec![] }])));
    let effects = world.effects();
    let [Effect::Append(append, content)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((content.writes.len(), content.writes[0].expected), (1, Version(0)));
    assert!(world.answers.is_empty(), "INV-04: nothing is answered before it is durable");

    world.handle(Input::Appended(*append, Completion::Done(())));
    let effects = world.effects();
    assert!(matches!(&effects[..], [Effect::Reply { .. }]), "{effects:?}");
    let Ok(Success::Wallet(snapshot)) = world.outcome(request) else { panic!() };
    assert_eq!((snapshot.balance, snapshot.version), (usd("10"), Version(1)));
}

#[test]
fn commands_that_arrive_during_an_append_go_into_the_next_one_together() {
    let mut world = World::new(embedded());
    world.submit(create("hot", "0"));
    world.settle();
    world.submit(credit("hot", "1"));
    let first = world.effects();
    for _ in 0..5 {
        world.submit(credit("hot", "1"));
    }
    assert!(world.effects().is_empty(), "the wallet takes part in one append at a time");
    for effect in first {
        let input = world.perform(effect).unwrap();
        world.handle(input);
    }
    let second: Vec<Effect> =
        world.effects().into_iter().filter(|effect| matches!(effect, Effect::Append(..))).collect();
    let [Effect::Append(_, content)] = &second[..] else { panic!("{second:?}") };
    let versions: Vec<u64> = content.writes[0].events.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, [3, 4, 5, 6, 7]);
}

#[test]
fn both_legs_of_a_transfer_and_everything_else_that_is_ready_share_one_append() {
    let mut world = World::new(embedded());
    world.submit(create("a", "10"));
    world.submit(create("b", "0"));
    world.submit(create("c", "5"));
    world.settle();
    world.appends.clear();
    let transferred = world.submit(transfer("a", "b", "4"));
    world.submit(credit("c", "1"));
    world.submit(transfer("b", "c", "4"));
    world.settle();
    assert_eq!(world.appends, [3]);
    let Ok(Success::Transfer { from, to, .. }) = world.outcome(transferred) else { panic!() };
    assert_eq!((from.balance, to.balance, to.version), (usd("6"), usd("4"), Version(2)));
    assert_eq!((world.balance("b"), world.balance("c")), (usd("0"), usd("10")));
}

#[test]
fn arrival_order_is_kept_across_wallets() {
    let mut world = World::new(embedded());
    world.submit(create("a", "1"));
    world.submit(create("b", "0"));
    world.settle();
    // Holds `a` busy; the transfer waits for it, and the debit of `b` behind the transfer is not let past.
    world.submit(credit("a", "1"));
    let busy = world.effects();
    world.submit(transfer("a", "b", "2"));
    let last = world.submit(debit("b", "2"));
    assert!(world.effects().is_empty());
    for effect in busy {
        let input = world.perform(effect).unwrap();
        world.handle(input);
    }
    world.settle();
    assert!(world.outcome(last).is_ok(), "the debit was decided after the transfer that fills the wallet");
}

#[test]
fn a_refusal_waits_for_the_append_that_it_rests_on() {
    let mut world = World::new(embedded());
    world.submit(create("a", "10"));
    world.settle();
    world.submit(debit("a", "10"));
    let refused = world.submit(debit("a", "1"));
    let effects = world.effects();
    assert!(!world.answers.contains_key(&refused), "the first debit is not durable yet");
    for effect in effects {
        let input = world.perform(effect).unwrap();
        world.handle(input);
    }
    world.settle();
    assert_eq!(world.outcome(refused), Err("insufficient-funds"));
}

#[test]
fn a_refusal_without_anything_to_write_needs_no_append() {
    let mut world = World::new(embedded());
    let refused = world.submit(credit("nobody", "1"));
    world.settle();
    assert_eq!(world.outcome(refused), Err("wallet-not-found"));
    assert!(world.appends.is_empty());
}

#[test]
fn an_atomic_batch_happens_whole_or_not_at_all() {
    let mut world = World::new(embedded());
    let good = world.request(Work::Batch {
        operations: vec![create("a", "5"), create("b", "0"), transfer("a", "b", "5"), debit("b", "5")],
        atomic: true,
    });
    let good = world.submit_request(good);
    world.settle();
    let Ok(Success::Batch(results)) = world.outcome(good) else { panic!() };
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(world.appends, [2]);

    let bad = world
        .request(Work::Batch { operations: vec![credit("a", "1"), debit("b", "1"), debit("b", "2")], atomic: true });
    let bad = world.submit_request(bad);
    world.settle();
    let Answer::Final { answer, .. } = world.answer(bad) else { panic!() };
    let Err(crate::wallet::Rejection::Batch { refused }) = &answer.outcome else { panic!() };
    assert_eq!(refused.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.balance("a"), usd("0"), "the credit did not happen either");
}

#[test]
fn an_independent_batch_has_a_result_for_each_operation() {
    let mut world = World::new(embedded());
    let operations = vec![create("a", "5"), debit("a", "9"), credit("a", "1"), create("a", "1")];
    let batch = world.request(Work::Batch { operations, atomic: false });
    let batch = world.submit_request(batch);
    world.settle();
    let Ok(Success::Batch(results)) = world.outcome(batch) else { panic!() };
    let codes: Vec<_> =
        results.iter().map(|result| result.as_ref().err().map(crate::wallet::Rejection::code)).collect();
    assert_eq!(codes, [None, Some("insufficient-funds"), None, Some("wallet-exists")]);
    assert_eq!(world.balance("a"), usd("6"));
}

#[test]
fn a_full_queue_is_back_pressure() {
    let mut world = World::new(Config { commands_pending_max: 2, ..embedded() });
    world.submit(create("a", "1"));
    world.submit(create("b", "1"));
    let refused = world.submit(create("c", "1"));
    world.settle();
    assert_eq!(*world.answer(refused), Answer::Unavailable(Unavailable::Overloaded));
    let accepted = world.submit(create("c", "1"));
    world.settle();
    assert!(world.outcome(accepted).is_ok());
}

#[test]
fn a_draining_node_finishes_what_is_begun_and_refuses_the_rest() {
    let mut world = World::new(embedded());
    let begun = world.submit(create("a", "1"));
    world.handle(Input::Drain);
    let late = world.submit(create("b", "1"));
    world.settle();
    assert!(world.outcome(begun).is_ok());
    assert_eq!(*world.answer(late), Answer::Unavailable(Unavailable::ShuttingDown));
}

#[test]
fn a_cache_smaller_than_the_traffic_changes_nothing_but_the_loads() {
    let mut world = World::new(Config { wallets_cached_max: 2, ..embedded() });
    for name in ["a", "b", "c", "d", "e", "f"] {
        world.submit(create(name, "10"));
        world.settle();
    }
    for round in 0..3 {
        for (from, to) in [("a", "b"), ("c", "d"), ("e", "f"), ("b", "e")] {
            let request = world.submit(transfer(from, to, "1"));
            world.settle();
            assert!(world.outcome(request).is_ok(), "round {round}, {from} to {to}");
        }
    }
    assert!(world.node.commands().wallets_cached() <= 4);
    assert_eq!((world.balance("a"), world.balance("e")), (usd("7"), usd("10")));
}

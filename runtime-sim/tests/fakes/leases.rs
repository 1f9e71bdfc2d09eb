//! Leases: time is the store's own, and nothing survives its restart.

use std::time::Duration;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::time::Timestamp;
use wallex_sim::fakes::leases::Holder;
use wallex_sim::fakes::{InstanceId, LeaseStore};

use crate::world::{EFFECT, START, wallet};

const SECOND: Duration = Duration::from_secs(1);

fn lease(store: &mut LeaseStore, now: Timestamp, instance: u32, clock: Timestamp) -> bool {
    let effect = Effect::Lease { effect: EFFECT, wallets: vec![wallet("a")], until: clock.plus(10 * SECOND) };
    let holder = Holder { instance: InstanceId(instance), clock };
    let Some(Input::Leased(EFFECT, Completion::Done(granted))) = store.perform(now, holder, effect) else {
        panic!("a lease is answered");
    };
    granted == [true]
}

fn lead(store: &mut LeaseStore, now: Timestamp, instance: u32) -> bool {
    let holder = Holder { instance: InstanceId(instance), clock: now };
    let effect = Effect::Lead { effect: EFFECT, until: now.plus(5 * SECOND) };
    matches!(store.perform(now, holder, effect), Some(Input::Led(EFFECT, Completion::Done(true))))
}

#[test]
fn an_instance_with_a_wrong_clock_gets_a_lease_of_the_right_length() {
    let mut store = LeaseStore::default();
    assert!(lease(&mut store, START, 1, START.plus(3_600 * SECOND)));
    assert!(!lease(&mut store, START.plus(9 * SECOND), 2, START));
    assert!(lease(&mut store, START.plus(10 * SECOND), 2, START));
    assert_eq!(store.holder(START.plus(19 * SECOND), &wallet("a")), Some(InstanceId(2)));
}

#[test]
fn a_store_that_restarts_gives_everything_to_whoever_asks_first() {
    let mut store = LeaseStore::default();
    assert!(lease(&mut store, START, 1, START) && lead(&mut store, START, 1));
    assert!(!lead(&mut store, START, 2));
    store.crash();
    assert_eq!((store.held(START), store.leader(START)), (0, None));
    assert!(lease(&mut store, START, 2, START) && lead(&mut store, START, 2));
}

#[test]
fn only_the_leader_resigns() {
    let mut store = LeaseStore::default();
    assert!(lead(&mut store, START, 1));
    for (instance, leader) in [(2, Some(InstanceId(1))), (1, None)] {
        let holder = Holder { instance: InstanceId(instance), clock: START };
        assert_eq!(store.perform(START, holder, Effect::Resign), None);
        assert_eq!(store.leader(START), leader);
    }
}

#[test]
fn what_is_over_before_it_begins_is_not_granted() {
    let mut store = LeaseStore::default();
    let late = START.plus(10 * SECOND);
    let effect = Effect::Lead { effect: EFFECT, until: START };
    let holder = Holder { instance: InstanceId(1), clock: late };
    assert_eq!(store.perform(late, holder, effect), Some(Input::Led(EFFECT, Completion::Done(false))));
    let effect = Effect::Lease { effect: EFFECT, wallets: vec![wallet("a")], until: START };
    assert_eq!(store.perform(late, holder, effect), Some(Input::Leased(EFFECT, Completion::Done(vec![false]))));
    assert_eq!((store.held(late), store.leader(late)), (0, None));
}

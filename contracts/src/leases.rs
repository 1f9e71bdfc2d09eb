//! What leases promise: one holder at a time, extended and given back by that holder alone, and an end that comes by
//! itself.
//!
//! Leases save work; they do not keep money right. So an implementation may answer "failed" or "unknown" at any time,
//! but what it grants must be exclusive.

use std::time::Duration;

use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::id::{EffectId, WalletId};
use wallex_core::time::Timestamp;

use crate::Port;

/// Leases under test.
pub trait Leases: Port + Sized {
    /// Another holder of the same leases.
    fn another_holder(&self) -> Self;

    /// The time that the leases go by.
    fn now(&self) -> Timestamp;

    /// Lets time pass.
    fn pass(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// A lease that outlives its test.
const LONG: Duration = Duration::from_secs(600);
/// A lease that does not.
const SHORT: Duration = Duration::from_millis(300);
/// Longer than the short one.
const LATER: Duration = Duration::from_millis(600);
const EFFECT: EffectId = EffectId(1);

async fn lease<L: Leases>(leases: &L, names: &[&str], duration: Duration) -> Vec<bool> {
    let wallets = wallets(names);
    let until = leases.now().plus(duration);
    match leases.perform(Effect::Lease { effect: EFFECT, wallets, until }).await {
        Some(Input::Leased(EFFECT, Completion::Done(granted))) => granted,
        other => panic!("a lease is answered by {other:?}"),
    }
}

async fn unlease<L: Leases>(leases: &L, names: &[&str]) {
    assert_eq!(leases.perform(Effect::Unlease(wallets(names))).await, None, "giving back needs no completion");
}

async fn lead<L: Leases>(leases: &L, duration: Duration) -> bool {
    let until = leases.now().plus(duration);
    match leases.perform(Effect::Lead { effect: EFFECT, until }).await {
        Some(Input::Led(EFFECT, Completion::Done(leads))) => leads,
        other => panic!("the lead is answered by {other:?}"),
    }
}

fn wallets(names: &[&str]) -> Vec<WalletId> {
    names.iter().map(|name| WalletId::parse(name).expect("a wallet id")).collect()
}

/// Nobody else gets a lease while it is held, and each wallet of a request is answered on its own.
pub async fn a_lease_is_exclusive_while_it_is_held<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert_eq!(lease(&leases, &["a", "b"], LONG).await, [true, true]);
    assert_eq!(lease(&other, &["b", "c"], LONG).await, [false, true]);
    assert_eq!(lease(&leases, &["a", "b", "c"], LONG).await, [true, true, false]);
}

/// A lease ends by itself, and is free for others then.
pub async fn a_lease_ends_by_itself<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert_eq!(lease(&leases, &["a"], SHORT).await, [true]);
    leases.pass(LATER).await;
    assert_eq!(lease(&other, &["a"], LONG).await, [true]);
    assert_eq!(lease(&leases, &["a"], LONG).await, [false], "whoever lost it has no claim left");
}

/// Its holder extends a lease; it then lasts as long as was asked for last.
pub async fn its_holder_extends_a_lease<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert_eq!(lease(&leases, &["a"], SHORT).await, [true]);
    assert_eq!(lease(&leases, &["a"], LONG).await, [true]);
    leases.pass(LATER).await;
    assert_eq!(lease(&other, &["a"], LONG).await, [false]);
}

/// A request that is denied leaves the lease as long as it was.
pub async fn a_denied_request_extends_nothing<L: Leases>(leases: L) {
    let (other, third) = (leases.another_holder(), leases.another_holder());
    assert_eq!(lease(&leases, &["a"], SHORT).await, [true]);
    // On a machine that is too slow the first lease is over by now, and this one is granted: then it is given back.
    if lease(&other, &["a"], LONG).await == [true] {
        unlease(&other, &["a"]).await;
    }
    leases.pass(LATER).await;
    assert_eq!(lease(&third, &["a"], LONG).await, [true]);
}

/// A lease that is given back is free at once; nobody else can give it back.
pub async fn only_its_holder_gives_a_lease_back<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert_eq!(lease(&leases, &["a", "b"], LONG).await, [true, true]);
    unlease(&other, &["a", "b"]).await;
    assert_eq!(lease(&other, &["a"], LONG).await, [false]);
    unlease(&leases, &["a", "never-held"]).await;
    assert_eq!(lease(&other, &["a", "b"], LONG).await, [true, false]);
}

/// One of several leads until it resigns.
pub async fn one_leads_until_it_resigns<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert!(lead(&leases, LONG).await);
    assert!(!lead(&other, LONG).await);
    assert!(lead(&leases, LONG).await, "the leader renews");
    assert_eq!(other.perform(Effect::Resign).await, None);
    assert!(!lead(&other, LONG).await, "nobody resigns for the leader");
    assert_eq!(leases.perform(Effect::Resign).await, None);
    assert!(lead(&other, LONG).await);
}

/// A leader that does not renew is replaced.
pub async fn a_silent_leader_is_replaced<L: Leases>(leases: L) {
    let other = leases.another_holder();
    assert!(lead(&leases, SHORT).await);
    leases.pass(LATER).await;
    assert!(lead(&other, LONG).await);
    assert!(!lead(&leases, LONG).await);
}

/// Makes a test of each statement about wallets. `$run` drives a future to its end; `$leases` is an expression for fresh
/// leases, which may await.
#[macro_export]
macro_rules! leases_contract {
    ($run:path, $leases:expr) => {
        $crate::statement_tests!(
            $run,
            $leases,
            leases,
            [
                a_lease_is_exclusive_while_it_is_held,
                a_lease_ends_by_itself,
                its_holder_extends_a_lease,
                a_denied_request_extends_nothing,
                only_its_holder_gives_a_lease_back,
            ]
        );
    };
}

/// Like [`leases_contract`], for the lead of the pipeline, which systems of one instance do not have.
#[macro_export]
macro_rules! lead_contract {
    ($run:path, $leases:expr) => {
        $crate::statement_tests!($run, $leases, leases, [one_leads_until_it_resigns, a_silent_leader_is_replaced,]);
    };
}

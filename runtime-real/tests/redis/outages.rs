//! A Redis that is killed or silent is noticed, and used again when it is back.

use std::time::{Duration, Instant};

use wallex::driver::now;
use wallex::leases::redis::RedisLeases;
use wallex_core::effect::{Completion, Effect, FailureKind, Input};
use wallex_core::id::{EffectId, WalletId};

use crate::own::OwnServer;
use crate::proxy::{Fault, Proxy};

const EFFECT: EffectId = EffectId(3);
/// Only what hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn lease(leases: &RedisLeases) -> Completion<Vec<bool>> {
    let (wallets, until) = (vec![WalletId::parse("alice").unwrap()], now().plus(Duration::from_secs(600)));
    let asked = leases.perform(Effect::Lease { effect: EFFECT, wallets, until });
    // However long the machine takes: an answer comes while Redis gives none.
    match tokio::time::timeout(PATIENCE, asked).await.expect("an answer of some kind comes") {
        Some(Input::Leased(EFFECT, completion)) => completion,
        other => panic!("a lease is answered by {other:?}"),
    }
}

pub(crate) async fn granted_again(leases: &RedisLeases) {
    let started = Instant::now();
    while lease(leases).await != Completion::Done(vec![true]) {
        assert!(started.elapsed() < PATIENCE, "leases are not granted again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_refuses_at_once_and_serves_again_when_it_is_back() {
    let server = OwnServer::start("redis");
    let leases = RedisLeases::new(&format!("redis://127.0.0.1:{}", server.ports().port), "killed").unwrap();
    granted_again(&leases).await;
    assert_eq!(leases.check_version().await, Ok(()));
    server.kill();
    let started = Instant::now();
    loop {
        match lease(&leases).await {
            Completion::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::Unavailable);
                break;
            }
            // The connection broke under the first question.
            Completion::Unknown => assert!(started.elapsed() < PATIENCE, "it never becomes a refusal"),
            other => panic!("a dead Redis answers {other:?}"),
        }
    }
    let health = leases.health().await;
    assert!(health.latency.is_none() && health.reason.is_some());
    assert!(leases.failures() > 0);
    assert_eq!(leases.check_version().await, Ok(()), "it may be away when the service starts");
    server.restart();
    granted_again(&leases).await;
    assert!(leases.health().await.latency.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_falls_silent_leaves_the_outcome_unknown_and_is_left_alone_for_a_moment() {
    let server = OwnServer::start("redis");
    let proxy = Proxy::start("127.0.0.1:0", format!("127.0.0.1:{}", server.ports().port)).await;
    let leases = RedisLeases::new(&format!("redis://{}", proxy.address()), "silent").unwrap();
    granted_again(&leases).await;
    proxy.set(Fault::SwallowAnswers);
    assert_eq!(lease(&leases).await, Completion::Unknown);
    let asked = Instant::now();
    let next = lease(&leases).await;
    if asked.elapsed() < Duration::from_millis(200) {
        assert!(matches!(next, Completion::Failed(_)), "not asked again at once, but {next:?}");
    }
    proxy.set(Fault::None);
    granted_again(&leases).await;
    // The lease that was taken without an answer was ours: the same holder has it, another does not get it.
    assert_eq!(lease(&leases.another_holder()).await, Completion::Done(vec![false]));
}

/// Whoever asks for encryption does not get a connection without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_tls_is_not_used_when_the_address_asks_for_tls() {
    let server = OwnServer::start("redis");
    let port = server.ports().port;
    let leases = RedisLeases::new(&format!("rediss://127.0.0.1:{port}"), "tls").unwrap();
    let refused = lease(&leases).await;
    assert!(matches!(refused, Completion::Failed(_) | Completion::Unknown), "{refused:?}");
    assert!(leases.health().await.reason.is_some());
    granted_again(&RedisLeases::new(&format!("redis://127.0.0.1:{port}"), "tls").unwrap()).await;
}

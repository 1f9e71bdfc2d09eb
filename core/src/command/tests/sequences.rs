//! Whole lists of effects, in order and to the last field, from a submission until the machine is quiet again.

use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::command::{Answer, FinalAnswer, Idempotency, Success, Work};
use crate::config::Config;
use crate::currency::Currency;
use crate::effect::{Append, Effect, KeyRecord, Load, Reserve, StreamWrite};
use crate::event::{Event, Fact, TransferLeg};
use crate::id::{CommandId, CorrelationId, EffectId, OwnerId, RequestId, TransferId, Version};
use crate::time::Timestamp;
use crate::wallet::{Rejection, Wallet};

const TAKEOVER_AFTER: Duration = Duration::from_secs(30);
const KEY_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
const LEASE: Duration = Duration::from_secs(10);

fn leased() -> Config {
    Config { leases: true, ..shared() }
}

/// Wallets `a` with 10 and `b` with 1, and an instance that has just begun.
fn world() -> World {
    let mut world = World::new(leased());
    world.submit(create("a", "10"));
    world.submit(create("b", "1"));
    world.settle();
    world.restart(leased());
    world
}

/// Performs everything honestly until nothing is left to do, and then lets the leases go; gives every effect, in order.
fn all_effects(world: &mut World) -> Vec<Effect> {
    let mut all = Vec::new();
    loop {
        let effects = world.effects();
        if effects.is_empty() && world.node.poll_timeout().is_none() {
            return all;
        }
        if effects.is_empty() {
            world.wake();
        }
        for effect in effects {
            all.push(effect.clone());
            if let Some(input) = world.perform(effect) {
                world.handle(input);
            }
        }
    }
}

/// The id of the third request of a world, which is the first one after [`world`].
fn command_id(world: &World) -> CommandId {
    CommandId::new(world.now, 3)
}

fn reserve(own: Idempotency, command_id: CommandId) -> Reserve {
    Reserve { idempotency: own, command_id, dead_after: TAKEOVER_AFTER, kept_for: KEY_KEPT_FOR }
}

fn record(
    own: Idempotency,
    command_id: CommandId,
    now: Timestamp,
    held_by: Option<CommandId>,
    answer: &FinalAnswer,
) -> KeyRecord {
    KeyRecord { idempotency: own, command_id, expires_at: now.plus(KEY_KEPT_FOR), held_by, answer: answer.clone() }
}

#[test]
fn a_keyed_transfer_reserves_leases_loads_appends_replies_stores_its_answer_and_gives_the_leases_back() {
    let mut world = world();
    let (now, id, own) = (world.now, command_id(&world), key("k", 1));
    let transfer_id = TransferId::from(id.event_id(0));
    let request = world.submit_keyed(transfer("a", "b", "4"), own);
    assert_eq!(request, 3);
    let effects = all_effects(&mut world);

    let leg = |counterparty: &str| Some(TransferLeg { transfer_id, counterparty: wallet(counterparty) });
    let event = |name: &str, at: usize, balance: &str, fact: Fact| Event {
        event_id: id.event_id(at),
        wallet_id: wallet(name),
        version: Version(2),
        occurred_at: now,
        currency: Currency::parse("USD").unwrap(),
        amount: usd("4"),
        balance: usd(balance),
        description: None,
        fact,
        command_id: id,
        correlation_id: CorrelationId::parse("r3").unwrap(),
        trace_parent: None,
    };
    let after = |name: &str, balance: &str| Wallet {
        id: wallet(name),
        owner_id: OwnerId::parse("owner").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        balance: usd(balance),
        version: Version(2),
        created_at: now,
        updated_at: now,
    };
    let write =
        |name: &str, event: Event| StreamWrite { wallet: wallet(name), expected: Version(1), events: vec![event] };
    let debited = event("a", 0, "6", Fact::Debited { transfer: leg("b") });
    let credited = event("b", 1, "5", Fact::Credited { transfer: leg("a") });
    let answer = FinalAnswer {
        outcome: Ok(Success::Transfer { transfer_id, from: after("a", "6"), to: after("b", "5") }),
        correlation_id: CorrelationId::parse("r3").unwrap(),
    };
    let record = record(own, id, now, None, &answer);
    assert_eq!(
        effects,
        [
            Effect::Reserve(EffectId(8), vec![reserve(own, id)]),
            Effect::Lease { effect: EffectId(16), wallets: vec![wallet("a"), wallet("b")], until: now.plus(LEASE) },
            Effect::Load(
                EffectId(24),
                vec![Load { wallet: wallet("b"), known: Version(0) }, Load { wallet: wallet("a"), known: Version(0) },],
            ),
            Effect::Append(
                EffectId(32),
                Arc::new(Append { writes: vec![write("a", debited), write("b", credited)], records: Vec::new() }),
            ),
            // The events vouch for a success: nobody waits for the record.
            Effect::Reply { request: RequestId(3), answer: Answer::Final { answer, replayed: false } },
            Effect::StoreAnswers(EffectId(40), vec![record]),
            Effect::Unlease(vec![wallet("a"), wallet("b")]),
        ]
    );
}

#[test]
fn a_keyed_refusal_appends_nothing_and_is_answered_only_when_it_is_stored() {
    let mut world = world();
    let (now, id, own) = (world.now, command_id(&world), key("k", 1));
    world.submit_keyed(debit("a", "11"), own);
    let effects = all_effects(&mut world);

    let answer = FinalAnswer {
        outcome: Err(Rejection::InsufficientFunds {
            wallet_id: wallet("a"),
            balance: usd("10"),
            requested: usd("11"),
            currency: Currency::parse("USD").unwrap(),
        }),
        correlation_id: CorrelationId::parse("r3").unwrap(),
    };
    let record = record(own, id, now, Some(id), &answer);
    assert_eq!(
        effects,
        [
            Effect::Reserve(EffectId(8), vec![reserve(own, id)]),
            Effect::Lease { effect: EffectId(16), wallets: vec![wallet("a")], until: now.plus(LEASE) },
            Effect::Load(EffectId(24), vec![Load { wallet: wallet("a"), known: Version(0) }]),
            Effect::StoreAnswers(EffectId(32), vec![record]),
            Effect::Reply { request: RequestId(3), answer: Answer::Final { answer, replayed: false } },
            Effect::Unlease(vec![wallet("a")]),
        ]
    );
}

/// How many events each append has.
fn appended(effects: &[Effect]) -> Vec<usize> {
    let appends = effects.iter().filter_map(|effect| {
        let Effect::Append(_, append) = effect else { return None };
        Some(append.writes.iter().map(|write| write.events.len()).sum())
    });
    appends.collect()
}

#[test]
fn who_may_be_taken_over_waits_for_the_append_that_it_would_be_refused_without() {
    // `a` has 10: the second command needs the first one's money, the third does not.
    let commands = || [credit("a", "5"), debit("a", "12"), debit("a", "1")];
    let mut world = world();
    for (command, name) in commands().into_iter().zip(["k1", "k2", "k3"]) {
        world.submit_keyed(command, key(name, 1));
    }
    assert_eq!(appended(&all_effects(&mut world)), [1, 2]);
    assert_eq!(world.balance("a"), usd("2"));

    let mut unkeyed = self::world();
    for command in commands() {
        unkeyed.submit(command);
    }
    assert_eq!(appended(&all_effects(&mut unkeyed)), [3], "nobody takes over what has no key");

    let mut enough = self::world();
    for (command, name) in [credit("a", "5"), debit("a", "9"), debit("a", "1")].into_iter().zip(["k1", "k2", "k3"]) {
        enough.submit_keyed(command, key(name, 1));
    }
    assert_eq!(appended(&all_effects(&mut enough)), [3], "each would be accepted alone");

    let mut batch = self::world();
    batch.submit_keyed(credit("a", "5"), key("k1", 1));
    let mut request = batch.request(Work::Batch { operations: vec![debit("a", "12"), debit("b", "1")], atomic: false });
    request.idempotency = Some(key("k2", 1));
    batch.submit_request(request);
    assert_eq!(appended(&all_effects(&mut batch)), [1, 2]);
}

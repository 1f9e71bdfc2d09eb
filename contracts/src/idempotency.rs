//! Idempotency keys that are kept apart from the events: one attempt at a time, the first answer stands (INV-05).
//!
//! Each statement wants an empty store. `idempotency_contract!` makes a test of each:
//!
//! ```ignore
//! wallex_contracts::idempotency_contract!(#[tokio::test] { MyKeys::empty().await });
//! wallex_contracts::idempotency_contract!(run = my_world::block_on, { MyKeys::empty().await });
//! ```

use std::time::Duration;

use wallex_core::command::{FinalAnswer, Fingerprint, Idempotency, KeyHash, Success};
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input, KeyRecord, Reservation, Reserve};
use wallex_core::id::{CommandId, CorrelationId, EffectId, OwnerId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Rejection, Wallet};

use crate::Port;

/// Makes a test of each statement; see the module.
#[macro_export]
macro_rules! idempotency_contract {
    (#[$attribute:meta] $port:block) => {
        $crate::idempotency_contract! { @each (#[$attribute]) $port }
    };
    (run = $run:path, $port:block) => {
        $crate::idempotency_contract! { @each (run $run) $port }
    };
    (@each $how:tt $port:block) => {
        $crate::statements! { idempotency $how $port
            a_new_key_is_reserved_and_then_pending
            of_one_batch_each_key_has_its_own_answer
            a_finished_key_gives_its_answer_for_ever
            a_refusal_is_an_answer_too
            another_payload_is_told_the_payload_of_the_first
            a_reservation_is_taken_over_only_when_it_is_dead
            a_takeover_keeps_the_command_and_the_time_of_the_first_attempt
            a_dead_reservation_is_taken_over_once
            another_payload_takes_nothing_over
            an_answer_needs_the_reservation_of_its_command
            the_first_answer_stands
            a_refusal_is_stored_by_the_holder_of_its_key_only
            an_answer_is_stored_as_often_as_it_is_asked_for
            only_its_holder_releases_a_key
            a_key_that_was_taken_over_is_not_released_by_its_first_holder
            a_key_that_was_taken_over_is_not_released_by_who_took_it
            a_released_key_is_new_again
            an_answered_key_is_not_released
            an_expired_key_is_new_again
        }
    };
}

const EFFECT: EffectId = EffectId(11);
/// Longer than any statement takes: time is the port's own affair.
const LONG: Duration = Duration::from_secs(24 * 3_600);
/// Long ago, and long after.
const PAST: Timestamp = Timestamp::from_micros(1);
const FUTURE: Timestamp = Timestamp::from_micros(8_000_000_000_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000 + 7)
}

fn key(number: u8) -> Idempotency {
    Idempotency { key: KeyHash([number; 16]), fingerprint: Fingerprint([number ^ 0xa5; 16]) }
}

fn with_other_payload(number: u8) -> Idempotency {
    Idempotency { fingerprint: Fingerprint([0xee; 16]), ..key(number) }
}

fn command(number: u64) -> CommandId {
    CommandId::new(at(0), number)
}

/// An attempt under a key, to which others still live.
fn attempt(idempotency: Idempotency, command_id: CommandId) -> Reserve {
    Reserve { idempotency, command_id, dead_after: LONG, kept_for: LONG }
}

/// An attempt so late that every other one is dead.
fn late(idempotency: Idempotency, command_id: CommandId) -> Reserve {
    Reserve { dead_after: Duration::ZERO, ..attempt(idempotency, command_id) }
}

/// An attempt whose record has expired as soon as it is there.
fn fleeting(idempotency: Idempotency, command_id: CommandId) -> Reserve {
    Reserve { kept_for: Duration::ZERO, ..attempt(idempotency, command_id) }
}

fn answer_of(version: u64) -> FinalAnswer {
    let currency = Currency::parse("USD").expect("a currency");
    let wallet = Wallet {
        id: WalletId::parse("alice").expect("an id"),
        owner_id: OwnerId::parse("owner").expect("an id"),
        currency,
        balance: Money::from_minor_units(1_050, currency),
        version: Version(version),
        created_at: at(0),
        updated_at: at(1),
    };
    FinalAnswer {
        outcome: Ok(Success::Wallet(wallet)),
        correlation_id: CorrelationId::parse("request/1").expect("an id"),
    }
}

fn record(idempotency: Idempotency, command_id: CommandId, answer: FinalAnswer) -> KeyRecord {
    KeyRecord { idempotency, command_id, expires_at: FUTURE, held_by: None, answer }
}

async fn reserve_all(port: &impl Port, items: Vec<Reserve>) -> Vec<Reservation> {
    match port.perform(Effect::Reserve(EFFECT, items)).await {
        Some(Input::Reserved(EFFECT, Completion::Done(found))) => found,
        other => panic!("not the completion of this effect: {other:?}"),
    }
}

async fn reserve(port: &impl Port, item: Reserve) -> Reservation {
    let mut found = reserve_all(port, vec![item]).await;
    assert_eq!(found.len(), 1, "one entry for each item");
    found.remove(0)
}

async fn store(port: &impl Port, records: Vec<KeyRecord>) {
    let stored = port.perform(Effect::StoreAnswers(EFFECT, records)).await;
    assert_eq!(stored, Some(Input::AnswersStored(EFFECT, Completion::Done(()))));
}

async fn release(port: &impl Port, key: Idempotency, command: CommandId) {
    assert_eq!(port.perform(Effect::ReleaseKeys(vec![(key.key, command)])).await, None, "it needs no completion");
}

fn pending(key: Idempotency) -> Reservation {
    Reservation::Pending { fingerprint: key.fingerprint }
}

fn finished(key: Idempotency, answer: FinalAnswer) -> Reservation {
    Reservation::Finished { fingerprint: key.fingerprint, answer }
}

/// The first attempt has the key, every other one meets it.
pub async fn a_new_key_is_reserved_and_then_pending(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, pending(key(1)));
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, pending(key(1)), "its own command, too");
}

/// A batch is answered item by item, in order; of two items with one key the first comes first.
pub async fn of_one_batch_each_key_has_its_own_answer(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(3), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, attempt(key(5), command(2))).await, Reservation::New);
    store(port, vec![record(key(5), command(2), answer_of(1))]).await;
    let numbers = [9, 3, 7, 5, 9, 1];
    let items = numbers.iter().enumerate().map(|(at, number)| attempt(key(*number), command(10 + at as u64)));
    let expected = [
        Reservation::New,
        pending(key(3)),
        Reservation::New,
        finished(key(5), answer_of(1)),
        pending(key(9)),
        Reservation::New,
    ];
    assert_eq!(reserve_all(port, items.collect()).await, expected);
    assert_eq!(reserve_all(port, Vec::new()).await, []);
}

/// An answer is given to everybody who comes later, exactly as it was stored.
pub async fn a_finished_key_gives_its_answer_for_ever(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    store(port, vec![record(key(1), command(1), answer_of(4))]).await;
    for item in [attempt(key(1), command(2)), late(key(1), command(3)), attempt(key(1), command(1))] {
        assert_eq!(reserve(port, item).await, finished(key(1), answer_of(4)));
    }
}

/// A refusal by the domain is replayed like a success.
pub async fn a_refusal_is_an_answer_too(port: &impl Port) {
    let refused = FinalAnswer {
        outcome: Err(Rejection::SameWallet { wallet_id: WalletId::parse("alice").expect("an id") }),
        ..answer_of(1)
    };
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    store(port, vec![record(key(1), command(1), refused.clone())]).await;
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, finished(key(1), refused));
}

/// Whoever comes with another payload sees whose key it is: pending or finished, never new.
pub async fn another_payload_is_told_the_payload_of_the_first(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, attempt(with_other_payload(1), command(2))).await, pending(key(1)));
    store(port, vec![record(key(1), command(1), answer_of(1))]).await;
    let found = reserve(port, attempt(with_other_payload(1), command(3))).await;
    assert_eq!(found, finished(key(1), answer_of(1)));
}

/// An attempt that may still run keeps its key; a dead one loses it.
pub async fn a_reservation_is_taken_over_only_when_it_is_dead(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, pending(key(1)));
    let found = reserve(port, late(key(1), command(2))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
}

/// Whoever takes over learns which command may have taken effect, and since when: the first attempt's, every time.
pub async fn a_takeover_keeps_the_command_and_the_time_of_the_first_attempt(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    let mut since = None;
    for number in [2, 3, 4] {
        let found = reserve(port, late(key(1), command(number))).await;
        let Reservation::TakenOver { fingerprint, command_id, reserved_at } = found else { panic!("{found:?}") };
        assert_eq!((fingerprint, command_id), (key(1).fingerprint, command(1)));
        assert_eq!(*since.get_or_insert(reserved_at), reserved_at);
    }
    store(port, vec![record(key(1), command(1), answer_of(2))]).await;
    assert_eq!(reserve(port, late(key(1), command(5))).await, finished(key(1), answer_of(2)));
}

/// A takeover is an attempt like the first: until it is dead, nobody else takes over.
pub async fn a_dead_reservation_is_taken_over_once(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    let items = vec![late(key(1), command(2)), late(key(1), command(3))];
    let found = reserve_all(port, items).await;
    assert!(matches!(found[0], Reservation::TakenOver { .. }), "{found:?}");
    assert_eq!(found[1], pending(key(1)));
    assert_eq!(reserve(port, attempt(key(1), command(4))).await, pending(key(1)));
    let found = reserve(port, late(key(1), command(4))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
}

/// A dead attempt is only for its own payload to take over.
pub async fn another_payload_takes_nothing_over(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, late(with_other_payload(1), command(2))).await, pending(key(1)));
    let found = reserve(port, late(key(1), command(3))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
}

/// An answer without a reservation, or for another command's, is not stored; others of its batch are.
pub async fn an_answer_needs_the_reservation_of_its_command(port: &impl Port) {
    for number in [1, 2] {
        assert_eq!(reserve(port, attempt(key(number), command(1))).await, Reservation::New);
    }
    let records = vec![
        record(key(1), command(9), answer_of(9)),
        record(key(2), command(1), answer_of(1)),
        record(key(3), command(1), answer_of(3)),
    ];
    store(port, records).await;
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, pending(key(1)));
    assert_eq!(reserve(port, attempt(key(2), command(2))).await, finished(key(2), answer_of(1)));
    assert_eq!(reserve(port, attempt(key(3), command(2))).await, Reservation::New);
}

/// Of two answers the first is the answer (INV-05).
pub async fn the_first_answer_stands(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    store(port, vec![record(key(1), command(1), answer_of(1))]).await;
    store(port, vec![record(key(1), command(1), answer_of(2))]).await;
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, finished(key(1), answer_of(1)));
}

/// A refusal that was decided under one reservation is not stored under the next one, whose holder may decide otherwise;
/// other answers of its batch are, and so is the refusal of whoever holds the key now (INV-05).
pub async fn a_refusal_is_stored_by_the_holder_of_its_key_only(port: &impl Port) {
    for number in [1, 2] {
        assert_eq!(reserve(port, attempt(key(number), command(number.into()))).await, Reservation::New);
    }
    let found = reserve(port, late(key(1), command(3))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
    let refused = |number: u8, attempt: u64| KeyRecord {
        held_by: Some(command(attempt)),
        ..record(key(number), command(number.into()), answer_of(number.into()))
    };
    let stored = port.perform(Effect::StoreAnswers(EFFECT, vec![refused(1, 1), refused(2, 2)])).await;
    assert_eq!(stored, Some(Input::AnswersStored(EFFECT, Completion::Conflict)));
    assert_eq!(reserve(port, attempt(key(1), command(4))).await, pending(key(1)));
    assert_eq!(reserve(port, attempt(key(2), command(4))).await, finished(key(2), answer_of(2)));
    for _ in 0..2 {
        store(port, vec![refused(1, 3)]).await;
    }
    assert_eq!(reserve(port, attempt(key(1), command(4))).await, finished(key(1), answer_of(1)));
}

/// Storing again what was stored, after an unknown outcome, changes nothing and is done.
pub async fn an_answer_is_stored_as_often_as_it_is_asked_for(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    for _ in 0..3 {
        store(port, vec![record(key(1), command(1), answer_of(1))]).await;
    }
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, finished(key(1), answer_of(1)));
}

/// A command that does not hold a key releases nothing.
pub async fn only_its_holder_releases_a_key(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    release(port, key(1), command(2)).await;
    release(port, key(2), command(1)).await;
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, pending(key(1)));
}

/// Whoever took over runs under the first attempt's command; the first attempt, should it live, must not give the key away
/// under it.
pub async fn a_key_that_was_taken_over_is_not_released_by_its_first_holder(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    let found = reserve(port, late(key(1), command(2))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
    release(port, key(1), command(1)).await;
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, pending(key(1)));
    store(port, vec![record(key(1), command(1), answer_of(1))]).await;
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, finished(key(1), answer_of(1)));
}

/// An attempt that never heard that it took over gives up and releases; the first attempt may have happened all the same.
pub async fn a_key_that_was_taken_over_is_not_released_by_who_took_it(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    let found = reserve(port, late(key(1), command(2))).await;
    assert!(matches!(found, Reservation::TakenOver { .. }), "{found:?}");
    release(port, key(1), command(2)).await;
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, pending(key(1)));
    let found = reserve(port, late(key(1), command(3))).await;
    assert!(matches!(found, Reservation::TakenOver { command_id, .. } if command_id == command(1)), "{found:?}");
}

/// A key that was released is reserved like one that was never seen, for any payload.
pub async fn a_released_key_is_new_again(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    release(port, key(1), command(1)).await;
    assert_eq!(reserve(port, attempt(with_other_payload(1), command(2))).await, Reservation::New);
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, pending(with_other_payload(1)));
    release(port, key(1), command(1)).await;
    assert_eq!(reserve(port, attempt(key(1), command(3))).await, pending(with_other_payload(1)), "held by another");
}

/// A release that comes after the answer takes nothing back.
pub async fn an_answered_key_is_not_released(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    store(port, vec![record(key(1), command(1), answer_of(1))]).await;
    release(port, key(1), command(1)).await;
    assert_eq!(reserve(port, attempt(key(1), command(2))).await, finished(key(1), answer_of(1)));
}

/// After its time a record counts no more, answered or not, for any payload.
pub async fn an_expired_key_is_new_again(port: &impl Port) {
    assert_eq!(reserve(port, attempt(key(1), command(1))).await, Reservation::New);
    assert_eq!(reserve(port, fleeting(key(2), command(1))).await, Reservation::New);
    let expired = KeyRecord { expires_at: PAST, ..record(key(1), command(1), answer_of(1)) };
    store(port, vec![expired]).await;
    for number in [1, 2] {
        let other = with_other_payload(number);
        assert_eq!(reserve(port, attempt(other, command(3))).await, Reservation::New, "key {number}");
        assert_eq!(reserve(port, attempt(other, command(4))).await, pending(other));
    }
    // The answer of the attempt that was forgotten comes too late.
    store(port, vec![record(key(2), command(1), answer_of(1))]).await;
    assert_eq!(reserve(port, attempt(key(2), command(5))).await, pending(with_other_payload(2)));
}

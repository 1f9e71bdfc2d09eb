//! Given events, when an operation, then events or a refusal.

use std::collections::BTreeMap;

use super::*;
use crate::currency::Currency;
use crate::event::{Event, Fact};
use crate::id::{CommandId, CorrelationId, OwnerId, Version, WalletId};
use crate::limits::BALANCE_MAX;
use crate::money::{Amount, Money};
use crate::time::Timestamp;

struct Given(BTreeMap<WalletId, Wallet>);

impl Wallets for Given {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.0.get(id)
    }
}

fn id(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

fn amount(digits: &str) -> Amount {
    Amount::parse(digits).unwrap()
}

fn create(name: &str, currency: &str, balance: &str) -> Operation {
    let currency = Currency::parse(currency).unwrap();
    Operation::Create(Create {
        wallet_id: id(name),
        owner_id: OwnerId::parse("owner").unwrap(),
        currency,
        initial_balance: Money::parse(balance, currency).unwrap(),
    })
}

fn credit(name: &str, digits: &str) -> Operation {
    Operation::Credit(Credit { wallet_id: id(name), amount: amount(digits), description: Some("why".into()) })
}

fn debit(name: &str, digits: &str) -> Operation {
    Operation::Debit(Debit { wallet_id: id(name), amount: amount(digits), description: None })
}

fn transfer(from: &str, to: &str, digits: &str) -> Operation {
    Operation::Transfer(Transfer { from: id(from), to: id(to), amount: amount(digits), description: None })
}

fn decide(given: &Given, operation: &Operation, if_match: Option<u64>, seconds: i64) -> Result<Events, Rejection> {
    let if_match = if_match.map(|version| IfMatch::Version(Version(version)));
    decide_if(given, operation, if_match.as_ref(), seconds)
}

fn decide_if(
    given: &Given,
    operation: &Operation,
    if_match: Option<&IfMatch>,
    seconds: i64,
) -> Result<Events, Rejection> {
    let now = Timestamp::from_micros(seconds * 1_000_000);
    let correlation_id = CorrelationId::parse("test").unwrap();
    let command_id = CommandId::new(now, 7);
    let cause = Cause { command_id, correlation_id: &correlation_id, trace_parent: None, now };
    operation.decide(given, if_match, &cause, 0)
}

/// The wallets after these operations, all of which must be accepted, one second apart.
fn given(operations: &[Operation]) -> Given {
    let mut given = Given(BTreeMap::new());
    for (at, operation) in operations.iter().enumerate() {
        let events = decide(&given, operation, None, at as i64 + 1).unwrap();
        apply(&mut given, &events);
    }
    given
}

fn apply(given: &mut Given, events: &[Event]) {
    for event in events {
        let before = given.0.remove(&event.wallet_id);
        Wallet::check(before.as_ref(), event).unwrap();
        given.0.insert(event.wallet_id.clone(), Wallet::apply(before, event));
    }
}

/// Wallet, version, kind, amount, balance of each event, for short tables.
fn summary(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let kind = match &event.fact {
            Fact::Created { .. } => "created",
            Fact::Credited { .. } => "credited",
            Fact::Debited { .. } => "debited",
        };
        format!("{} v{} {kind} {} -> {}", event.wallet_id, event.version, event.amount, event.balance)
    };
    events.iter().map(line).collect()
}

#[test]
fn accepted_operations_cause_these_events() {
    let two = || vec![create("a", "USD", "10"), create("b", "USD", "0")];
    for (before, when, then) in [
        (vec![], create("a", "USD", "150"), vec!["a v1 created 150.00 -> 150.00"]),
        (vec![], create("a", "JPY", "0"), vec!["a v1 created 0 -> 0"]),
        (two(), credit("a", "0.05"), vec!["a v2 credited 0.05 -> 10.05"]),
        (two(), debit("a", "10"), vec!["a v2 debited 10.00 -> 0.00"]),
        (two(), transfer("a", "b", "10.00"), vec!["a v2 debited 10.00 -> 0.00", "b v2 credited 10.00 -> 10.00"]),
    ] {
        let events = decide(&given(&before), &when, None, 100).unwrap();
        assert_eq!(summary(&events), then, "{when:?}");
    }
}

#[test]
fn refused_operations_cause_nothing_and_say_why() {
    let wallets = || vec![create("a", "USD", "10"), create("b", "USD", "0"), create("y", "JPY", "5")];
    let full = || {
        let mut operations = vec![create("a", "USD", &BALANCE_MAX.to_string()), create("b", "USD", "10")];
        operations.push(debit("a", "0.01"));
        operations
    };
    for (before, when, code) in [
        (wallets(), create("a", "EUR", "1"), "wallet-exists"),
        (wallets(), credit("nobody", "1"), "wallet-not-found"),
        (wallets(), debit("nobody", "1"), "wallet-not-found"),
        (wallets(), transfer("nobody", "a", "1"), "wallet-not-found"),
        (wallets(), transfer("a", "nobody", "1"), "wallet-not-found"),
        (wallets(), debit("a", "10.01"), "insufficient-funds"),
        (wallets(), transfer("a", "b", "10.01"), "insufficient-funds"),
        (wallets(), transfer("a", "a", "1"), "same-wallet"),
        (wallets(), transfer("nobody", "nobody", "1"), "same-wallet"),
        (wallets(), transfer("a", "y", "1"), "currency-mismatch"),
        (wallets(), credit("a", "0.001"), "validation-failed"),
        (wallets(), credit("y", "0.5"), "validation-failed"),
        (full(), credit("a", "0.02"), "balance-limit"),
        (full(), transfer("b", "a", "0.02"), "balance-limit"),
    ] {
        let refusal = decide(&given(&before), &when, None, 100).unwrap_err();
        assert_eq!(refusal.code(), code, "{when:?}: {refusal}");
    }
}

#[test]
fn a_conditional_write_needs_the_version_it_names() {
    let before = given(&[create("a", "USD", "10"), create("b", "USD", "0"), credit("a", "1")]);
    for operation in [credit("a", "1"), debit("a", "1"), transfer("a", "b", "1")] {
        assert!(decide(&before, &operation, Some(2), 100).is_ok());
        let refusal = decide(&before, &operation, Some(1), 100).unwrap_err();
        assert_eq!(
            refusal,
            Rejection::VersionMismatch { wallet_id: id("a"), expected: Version(1), actual: Version(2) },
            "{operation:?}"
        );
    }
}

#[test]
fn a_condition_may_name_several_versions_or_none_that_a_wallet_can_have() {
    let before = given(&[create("a", "USD", "10"), credit("a", "1")]);
    let when = |versions: &[u64]| {
        let condition = IfMatch::AnyOf(versions.iter().copied().map(Version).collect());
        decide_if(&before, &credit("a", "1"), Some(&condition), 100)
    };
    assert!(when(&[1, 2]).is_ok());
    for (versions, expected) in [(&[1, 3][..], 1), (&[], 0)] {
        let refusal = when(versions).unwrap_err();
        let (expected, actual) = (Version(expected), Version(2));
        assert_eq!(refusal, Rejection::VersionMismatch { wallet_id: id("a"), expected, actual });
    }
}

#[test]
fn a_single_version_is_serialized_as_before_there_were_several() {
    let text = |condition: &IfMatch| serde_json::to_string(condition).unwrap();
    let (one, several) = (IfMatch::Version(Version(3)), IfMatch::AnyOf(vec![Version(3), Version(4)]));
    assert_eq!((text(&one), text(&several)), ("3".to_owned(), "[3,4]".to_owned()));
    for condition in [one, several] {
        assert_eq!(serde_json::from_str::<IfMatch>(&text(&condition)).unwrap(), condition);
    }
}

#[test]
fn the_legs_of_a_transfer_carry_the_same_money_and_name_each_other() {
    let before = given(&[create("a", "USD", "10"), create("b", "USD", "0")]);
    let events = decide(&before, &transfer("a", "b", "3"), None, 100).unwrap();
    let (debit, credit) = (&events[0], &events[1]);
    let (out, into) = (debit.transfer().unwrap(), credit.transfer().unwrap());
    assert_eq!((debit.amount, out.transfer_id), (credit.amount, into.transfer_id));
    assert_eq!((&out.counterparty, &into.counterparty), (&id("b"), &id("a")));
    assert_ne!(debit.event_id, credit.event_id);
}

#[test]
fn time_never_runs_backwards_within_a_wallet() {
    let mut wallets = given(&[create("a", "USD", "10")]);
    let late = decide(&wallets, &credit("a", "1"), None, 500).unwrap();
    apply(&mut wallets, &late);
    let clock_went_back = decide(&wallets, &credit("a", "1"), None, 400).unwrap();
    assert_eq!(clock_went_back[0].occurred_at, late[0].occurred_at);
}

#[test]
fn events_that_do_not_follow_are_found_out() {
    let wallets = given(&[create("a", "USD", "10"), create("b", "USD", "10")]);
    let a = wallets.wallet(&id("a"));
    let good = decide(&wallets, &debit("a", "4"), None, 100).unwrap()[0].clone();
    assert_eq!(Wallet::check(a, &good), Ok(()));
    let usd = Currency::parse("USD").unwrap();
    let wrong_version = Event { version: Version(3), ..good.clone() };
    assert!(matches!(Wallet::check(a, &wrong_version), Err(Inconsistency::Version { .. })));
    let wrong_balance = Event { balance: Money::parse("7", usd).unwrap(), ..good.clone() };
    assert!(matches!(Wallet::check(a, &wrong_balance), Err(Inconsistency::Balance { .. })));
    let below_floor =
        Event { amount: Money::parse("11", usd).unwrap(), balance: Money::parse("-1", usd).unwrap(), ..good.clone() };
    assert!(matches!(Wallet::check(a, &below_floor), Err(Inconsistency::Balance { .. })));
    let second_birth = Event { fact: Fact::Created { owner_id: OwnerId::parse("x").unwrap() }, ..good.clone() };
    assert!(matches!(Wallet::check(a, &second_birth), Err(Inconsistency::Creation { .. })));
    let orphan = Event { version: Version(1), ..good.clone() };
    assert!(matches!(Wallet::check(None, &orphan), Err(Inconsistency::Creation { .. })));
    let foreign = Event { version: Version(2), ..good };
    assert!(matches!(Wallet::check(wallets.wallet(&id("b")), &foreign), Err(Inconsistency::Foreign { .. })));
}

#[test]
fn an_answer_can_be_rebuilt_from_the_wallet_and_one_of_its_events() {
    let mut wallets = given(&[create("a", "USD", "10")]);
    let events = decide(&wallets, &debit("a", "4"), None, 100).unwrap();
    apply(&mut wallets, &events);
    let then = wallets.wallet(&id("a")).unwrap().clone();
    let more = decide(&wallets, &credit("a", "90"), None, 200).unwrap();
    apply(&mut wallets, &more);
    assert_eq!(wallets.wallet(&id("a")).unwrap().as_of(&events[0]), then);
}

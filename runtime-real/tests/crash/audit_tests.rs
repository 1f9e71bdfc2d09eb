//! The audit, seen to fail: each lie that a broken service could tell is planted in a sound history, and is found.

use super::*;
use crate::history::{Journal, Request};

fn event(wallet: &str, version: u64, kind: &str, change: i64, balance: i64, cause: &str) -> Event {
    Event {
        id: format!("{wallet}-{version}"),
        wallet: wallet.to_owned(),
        version,
        kind: kind.to_owned(),
        change,
        balance,
        transfer: None,
        correlation: cause.to_owned(),
    }
}

fn leg(mut event: Event, other: &str) -> Event {
    event.transfer = Some(("t".to_owned(), other.to_owned()));
    event
}

/// Two wallets, a credit, and a transfer.
fn events() -> BTreeMap<String, Vec<Event>> {
    let a = vec![
        event("a", 1, "WalletCreated", 1_000, 1_000, "c1"),
        event("a", 2, "WalletCredited", 500, 1_500, "c3"),
        leg(event("a", 3, "WalletDebited", -300, 1_200, "c4"), "b"),
    ];
    let b = vec![event("b", 1, "WalletCreated", 0, 0, "c2"), leg(event("b", 2, "WalletCredited", 300, 300, "c4"), "a")];
    BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)])
}

fn record(cause: &str, operation: Operation, outcome: Outcome) -> Record {
    let request = Request {
        shape: Shape::Single,
        operations: vec![operation],
        key: cause.to_owned(),
        correlation: cause.to_owned(),
    };
    Record { request, outcome, fruitless: 0, resolved_late: false }
}

fn answered(body: &str) -> Outcome {
    Outcome::Answered { status: 200, body: body.as_bytes().to_vec() }
}

fn shown(wallet: &str, version: u64, balance: &str) -> String {
    format!(r#"{{"id":"{wallet}","version":{version},"balance":{balance}}}"#)
}

fn history() -> History {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let transferred = format!(r#"{{"fromWallet":{},"toWallet":{}}}"#, shown("a", 3, "12.00"), shown("b", 2, "3.00"));
    let records = vec![
        record("c1", Operation::Create { wallet: a.clone(), opening: 1_000 }, answered(&shown("a", 1, "10.00"))),
        record("c2", Operation::Create { wallet: b.clone(), opening: 0 }, answered(&shown("b", 1, "0.00"))),
        record("c3", Operation::Credit { wallet: a.clone(), cents: 500 }, answered(&shown("a", 2, "15.00"))),
        record("c4", Operation::Transfer { from: a, to: b, cents: 300 }, answered(&transferred)),
    ];
    History { clients: vec![Journal { records, ..Journal::default() }] }
}

fn findings(history: &History, events: &BTreeMap<String, Vec<Event>>) -> Vec<String> {
    let mut findings = Vec::new();
    check_streams(events, &mut findings);
    check_transfers(events, &mut findings);
    check_effects(history, events, &mut findings);
    check_order(history, &mut findings);
    check_money(history, events, &mut findings);
    findings
}

fn found_with(change: impl FnOnce(&mut History, &mut BTreeMap<String, Vec<Event>>)) -> bool {
    let (mut history, mut events) = (history(), events());
    change(&mut history, &mut events);
    !findings(&history, &events).is_empty()
}

#[test]
fn a_sound_history_has_no_finding() {
    assert_eq!(findings(&history(), &events()), Vec::<String>::new());
}

#[test]
fn an_acknowledged_operation_that_is_lost_is_found() {
    assert!(found_with(|_, events| drop(events.get_mut("b").unwrap().pop())), "one leg");
    assert!(found_with(|_, events| {
        events.get_mut("a").unwrap().truncate(2);
        events.get_mut("b").unwrap().truncate(1);
    }));
}

#[test]
fn an_operation_that_took_effect_twice_is_found() {
    assert!(found_with(|_, events| {
        events.get_mut("a").unwrap().push(event("a", 4, "WalletCredited", 500, 1_700, "c3"));
    }));
}

#[test]
fn effects_of_refused_and_of_unheard_of_requests_are_found() {
    assert!(found_with(|history, _| {
        history.clients[0].records[2].outcome = Outcome::Answered { status: 422, body: b"{}".to_vec() };
    }));
    assert!(found_with(|_, events| {
        events.get_mut("a").unwrap().push(event("a", 4, "WalletCredited", 1, 1_201, "somebody"));
    }));
}

#[test]
fn an_abandoned_request_may_have_all_or_nothing_but_not_what_was_known_not_done() {
    let abandon = |maybe_done| {
        move |history: &mut History| {
            history.clients[0].records[3].outcome = Outcome::Abandoned { maybe_done };
        }
    };
    assert!(!found_with(|history, _| abandon(true)(history)));
    assert!(found_with(|history, _| abandon(false)(history)));
    assert!(found_with(|history, events| {
        abandon(true)(history);
        events.get_mut("b").unwrap().pop();
    }));
}

#[test]
fn an_answer_that_the_log_does_not_have_is_found() {
    assert!(found_with(|history, _| history.clients[0].records[2].outcome = answered(&shown("a", 2, "15.01"))));
    assert!(found_with(|history, _| history.clients[0].records[2].outcome = answered(&shown("a", 9, "15.00"))));
}

#[test]
fn gaps_and_wrong_balances_and_repeated_ids_are_found() {
    assert!(found_with(|_, events| events.get_mut("a").unwrap()[2].version = 4));
    assert!(found_with(|_, events| events.get_mut("a").unwrap()[1].balance = 1_499));
    assert!(found_with(|_, events| events.get_mut("b").unwrap()[0].id = "a-1".to_owned()));
}

#[test]
fn an_answer_out_of_order_is_found() {
    assert!(found_with(|history, _| history.clients[0].records.swap(2, 3)));
}

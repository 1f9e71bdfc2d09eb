//! Each fault that the fold exists to find, planted and found.

use std::sync::Arc;

use wallex_core::event::{Event, Fact, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;

use super::super::progress::{Counts, Reached};
use super::*;

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

/// An event of wallet `wallet`; `change` and `balance` are cents.
fn event(wallet: &str, version: u64, change: i64, balance: i64, fact: Fact) -> Event {
    let command = CommandId::new(Timestamp::from_micros(1_000_000), version * 1_000 + u64::from(wallet.as_bytes()[0]));
    Event {
        event_id: command.event_id(0),
        wallet_id: WalletId::parse(wallet).unwrap(),
        version: Version(version),
        occurred_at: Timestamp::from_micros(1_000_000 + version as i64),
        currency: usd(),
        amount: Money::from_minor_units(change.abs(), usd()),
        balance: Money::from_minor_units(balance, usd()),
        description: Some(Arc::from("text")),
        fact,
        command_id: command,
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
    }
}

fn created(wallet: &str, balance: i64) -> Event {
    event(wallet, 1, balance, balance, Fact::Created { owner_id: OwnerId::parse("o").unwrap() })
}

fn credited(wallet: &str, version: u64, change: i64, balance: i64) -> Event {
    event(wallet, version, change, balance, Fact::Credited { transfer: None })
}

fn leg(transfer: u8, counterparty: &str) -> Option<TransferLeg> {
    let transfer_id = TransferId::from_bytes([transfer; 16]);
    Some(TransferLeg { transfer_id, counterparty: WalletId::parse(counterparty).unwrap() })
}

fn transferred(from: (&str, u64, i64), to: (&str, u64, i64), cents: i64) -> [Event; 2] {
    [
        event(from.0, from.1, cents, from.2, Fact::Debited { transfer: leg(7, to.0) }),
        event(to.0, to.1, cents, to.2, Fact::Credited { transfer: leg(7, from.0) }),
    ]
}

fn everything() -> Reached {
    Reached { positions: (0..u16::MAX).map(|partition| (partition, u64::MAX)).collect(), ..Reached::default() }
}

fn fold(events: &[Event], progress: &Progress) -> (HashMap<WalletId, Folded>, [Verdict; 3]) {
    let mut fold = LogFold::new(progress);
    for (at, event) in events.iter().enumerate() {
        fold.take(at as u64 + 1, event);
    }
    fold.finish()
}

/// Violations of INV-01, INV-02, INV-03.
fn violations(events: &[Event]) -> [bool; 3] {
    fold(events, &Progress::default()).1.map(|verdict| !verdict.holds())
}

fn sound() -> Vec<Event> {
    let mut events = vec![created("a", 1_000), created("b", 0), credited("a", 2, 500, 1_500)];
    events.extend(transferred(("a", 3, 1_200), ("b", 2, 300), 300));
    events.push(event("b", 3, 300, 0, Fact::Debited { transfer: None }));
    events
}

#[test]
fn a_sound_log_violates_nothing() {
    assert_eq!(violations(&sound()), [false; 3]);
}

#[test]
fn a_balance_that_its_events_do_not_add_up_to_is_found() {
    let mut events = sound();
    events[2].balance = Money::from_minor_units(1_600, usd());
    assert!(violations(&events)[0]);
}

#[test]
fn a_transfer_with_one_leg_is_found() {
    let mut events = sound();
    events.remove(4);
    events.remove(4);
    assert_eq!(violations(&events), [true, false, false]);
}

#[test]
fn legs_that_do_not_match_are_found() {
    let mut other_amount = vec![created("a", 1_000), created("b", 0)];
    let [debit, _] = transferred(("a", 2, 700), ("b", 2, 300), 300);
    let [_, credit] = transferred(("a", 2, 700), ("b", 2, 299), 299);
    other_amount.extend([debit.clone(), credit]);
    assert_eq!(violations(&other_amount), [true, false, false]);

    let mut other_wallet = vec![created("a", 1_000), created("b", 0), created("c", 0)];
    let credit_of_c = event("c", 2, 300, 300, Fact::Credited { transfer: leg(7, "a") });
    other_wallet.extend([debit, credit_of_c]);
    assert_eq!(violations(&other_wallet), [true, false, false]);
}

#[test]
fn a_balance_below_zero_is_found_even_when_it_adds_up() {
    let events = [created("a", 100), event("a", 2, 300, -200, Fact::Debited { transfer: None })];
    assert_eq!(violations(&events), [false, true, false]);
}

#[test]
fn gaps_repeats_and_orphans_are_found() {
    assert!(violations(&[created("a", 100), credited("a", 3, 1, 101)])[2], "a gap");
    assert!(violations(&[created("a", 100), credited("a", 2, 1, 101), credited("a", 2, 1, 102)])[2], "a repeat");
    assert!(violations(&[credited("a", 1, 1, 1)])[2], "a credit without creation");
    assert!(violations(&[created("a", 100), created("a", 100)])[2], "a second creation");
}

#[test]
fn projections_are_expected_at_their_own_checkpoints() {
    let events = sound();
    let partition = partition_of(&events[0].wallet_id);
    let read_model = Reached { positions: HashMap::from([(partition, 3)]), ..Reached::default() };
    let ledger = Reached { held_from: HashMap::from([("b".to_owned(), 2)]), ..everything() };
    let progress = Progress { feeder: everything(), relay: everything(), read_model, ledger };
    let (wallets, _) = fold(&events, &progress);
    let (a, b) = (&wallets[&events[0].wallet_id], &wallets[&events[1].wallet_id]);
    assert_eq!(a.read_model.as_ref().map(|row| (row.version, row.balance)), Some((2, 1_500)));
    assert_eq!((a.ledger.count, a.ledger.amount), (3, 1_200));
    assert_eq!((b.ledger.count, b.ledger.amount), (1, 0), "held back from version 2 on");
    assert_eq!((b.now.version, b.now.balance), (3, 0));
}

#[test]
fn what_the_relay_holds_back_is_expected_nowhere() {
    let events = sound();
    let relay = Reached { held_from: HashMap::from([("a".to_owned(), 2)]), ..everything() };
    let progress = Progress { feeder: everything(), relay, read_model: everything(), ledger: everything() };
    let mut fold = LogFold::new(&progress);
    (1..).zip(&events).for_each(|(position, event)| fold.take(position, event));
    let numbers = |counts: &Counts| (counts.ahead, counts.held);
    assert_eq!((numbers(&fold.counts.relay), numbers(&fold.counts.ledger)), ((0, 2), (2, 0)));
    let (wallets, _) = fold.finish();
    assert_eq!(wallets[&events[0].wallet_id].ledger.count, 1);
}

#[test]
fn the_hash_of_a_ledger_sees_every_column_and_no_order() {
    let one = created("a", 100);
    let other = credited("a", 2, 5, 105);
    let sums = |events: &[&Event]| {
        let mut sums = LedgerSums::default();
        events.iter().for_each(|event| sums.add(&ledger_row(event, event.amount.minor_units())));
        sums
    };
    assert_eq!(sums(&[&one, &other]), sums(&[&other, &one]));
    let changed = Event { description: Some(Arc::from("other text")), ..other.clone() };
    assert_ne!(sums(&[&one, &other]).hash, sums(&[&one, &changed]).hash);
}

#[test]
fn what_a_consumer_of_offsets_took_is_read_off_its_rows() {
    let events = [created("a", 10), credited("a", 2, 5, 15), credited("a", 3, 5, 20), created("b", 10)];
    let shows = |wallet: &str, version| Reached {
        versions: Some(HashMap::from([(wallet.to_owned(), version)])),
        ..Reached::default()
    };
    let read_model = Reached {
        held_from: HashMap::from([("b".to_owned(), 1)]),
        held_to: HashMap::from([("b".to_owned(), 1)]),
        ..shows("a", 2)
    };
    let progress = Progress { feeder: everything(), relay: everything(), read_model, ledger: shows("b", 1) };
    let mut fold = LogFold::new(&progress);
    for (position, event) in (1..).zip(&events) {
        fold.take(position, event);
    }
    let numbers = |counts: &Counts| (counts.ahead, counts.held, counts.taken.values().sum::<u64>());
    assert_eq!((numbers(&fold.counts.read_model), numbers(&fold.counts.ledger)), ((1, 1, 2), (3, 0, 1)));
    let (wallets, _) = fold.finish();
    let a = &wallets[&WalletId::parse("a").unwrap()];
    assert_eq!(a.read_model.as_ref().map(|row| (row.version, row.balance)), Some((2, 15)));
    assert_eq!(a.ledger.count, 0);
}

//! Each way in which tables can disagree with the log, planted and found.

use wallex_core::currency::Currency;
use wallex_core::event::Fact;
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Version};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;

use super::super::fold::Row;
use super::*;

const CREATED: u8 = 1;

fn row(version: u64, balance: i128) -> Row {
    let (owner, currency) = (OwnerId::parse("o").unwrap(), Currency::parse("USD").unwrap());
    Row { owner, currency, balance, version, created_at: 1, updated_at: 2 }
}

fn sums(count: u64, amount: i128, hash: u64) -> LedgerSums {
    LedgerSums { count, amount, hash }
}

fn wallet() -> WalletId {
    WalletId::parse("a").unwrap()
}

fn log() -> HashMap<WalletId, Folded> {
    let folded = Folded { now: row(3, 500), read_model: Some(row(2, 400)), ledger: sums(3, 500, 99) };
    HashMap::from([(wallet(), folded)])
}

fn tables() -> Shown {
    Shown {
        rows: HashMap::from([("a".to_owned(), row(2, 400))]),
        sums: HashMap::from([("a".to_owned(), sums(3, 500, 99))]),
        heads: HashMap::from([("a".to_owned(), 3)]),
        ..Shown::default()
    }
}

/// Whether INV-06 and INV-08 hold.
fn verdicts(tables: &Shown) -> [bool; 2] {
    OutboxCheck::default().finish(tables, &log(), &AllCounts::default()).map(|verdict| verdict.holds())
}

#[test]
fn projections_that_equal_the_fold_at_their_checkpoints_hold() {
    assert_eq!(verdicts(&tables()), [true, true]);
}

#[test]
fn what_is_missing_violates_inv_06() {
    let lost_row = Shown { rows: HashMap::new(), ..tables() };
    assert_eq!(verdicts(&lost_row), [false, true]);
    let old_row = Shown { rows: HashMap::from([("a".to_owned(), row(1, 100))]), ..tables() };
    assert_eq!(verdicts(&old_row), [false, true]);
    let two = || ("a".to_owned(), 2);
    let lost_entry = [("a".to_owned(), sums(2, 500, 98))];
    let never_written = Shown { sums: HashMap::from(lost_entry.clone()), heads: HashMap::from([two()]), ..tables() };
    assert_eq!(verdicts(&never_written), [false, true]);
    let deleted = Shown { sums: HashMap::from(lost_entry), ..tables() };
    assert_eq!(verdicts(&deleted), [false, false]);
}

#[test]
fn what_differs_violates_inv_08() {
    for shown in [row(2, 401), row(3, 500), Row { owner: OwnerId::parse("p").unwrap(), ..row(2, 400) }] {
        let tables = Shown { rows: HashMap::from([("a".to_owned(), shown)]), ..tables() };
        assert_eq!(verdicts(&tables), [true, false]);
    }
    for shown in [sums(3, 501, 99), sums(3, 500, 98), sums(4, 500, 99)] {
        let heads = HashMap::from([("a".to_owned(), shown.count)]);
        let tables = Shown { sums: HashMap::from([("a".to_owned(), shown)]), heads, ..tables() };
        assert_eq!(verdicts(&tables), [true, false]);
    }
    let mut foreign = tables();
    foreign.heads.insert("a".to_owned(), 4);
    assert_eq!(verdicts(&foreign), [true, false]);
    foreign = tables();
    foreign.rows.insert("nobody".to_owned(), row(1, 0));
    assert_eq!(verdicts(&foreign), [true, false]);
    let unreadable = Shown { unreadable: vec!["a row".to_owned()], ..tables() };
    assert_eq!(verdicts(&unreadable), [true, false]);
}

#[test]
fn events_that_were_set_aside_must_be_kept() {
    let mut counts = AllCounts::default();
    counts.ledger.held = 2;
    let held = |count| Shown { held: HashMap::from([(Consumer::Ledger.name().to_owned(), count)]), ..tables() };
    let verdict =
        |tables: &Shown| OutboxCheck::default().finish(tables, &log(), &counts).map(|verdict| verdict.holds());
    assert_eq!(verdict(&held(2)), [true, true]);
    assert_eq!(verdict(&held(1)), [false, true]);
}

fn event() -> Event {
    let command_id = CommandId::new(Timestamp::from_micros(1), 7);
    let currency = Currency::parse("USD").unwrap();
    Event {
        event_id: command_id.event_id(0),
        wallet_id: wallet(),
        version: Version(1),
        occurred_at: Timestamp::from_micros(1),
        currency,
        amount: Money::zero(currency),
        balance: Money::zero(currency),
        description: None,
        fact: Fact::Created { owner_id: OwnerId::parse("o").unwrap() },
        command_id,
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
    }
}

#[test]
fn an_outbox_row_is_its_event_or_a_violation() {
    let sound = || OutboxRow { position: 1, identity: ("a".to_owned(), 1, CREATED), event: Ok(event()) };
    let holds = |row: Option<OutboxRow>, may_be_cleaned_up| {
        let mut check = OutboxCheck::default();
        check.compare(1, &event(), row.as_ref(), may_be_cleaned_up);
        [check.missing.holds(), check.differing.holds()]
    };
    assert_eq!(holds(Some(sound()), false), [true, true]);
    assert_eq!(holds(None, true), [true, true]);
    assert_eq!(holds(None, false), [false, true]);
    let other_identity = OutboxRow { identity: ("a".to_owned(), 2, CREATED), ..sound() };
    let other_event = OutboxRow { event: Ok(Event { version: Version(2), ..event() }), ..sound() };
    let no_event = OutboxRow { event: Err("not JSON".to_owned()), ..sound() };
    for row in [other_identity, other_event, no_event] {
        assert_eq!(holds(Some(row), false), [true, false]);
    }
}

#[test]
fn events_that_a_consumer_counted_and_does_not_show_violate_inv_06() {
    let name = Consumer::Ledger.name().to_owned();
    let mut counts = AllCounts::default();
    counts.ledger.taken.insert(4, 3);
    for (applied, holds) in [(3, true), (4, false), (2, false)] {
        let applied = HashMap::from([(name.clone(), HashMap::from([(4, applied)]))]);
        let verdicts = OutboxCheck::default().finish(&Shown { applied, ..tables() }, &log(), &counts);
        assert_eq!(verdicts.map(|verdict| verdict.holds()), [holds, true]);
    }
}

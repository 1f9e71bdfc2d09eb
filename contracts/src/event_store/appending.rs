//! What an append promises: exact versions, all wallets or none, and a repeat that is recognised (INV-01, INV-03,
//! INV-05).
//!
//! Each statement ends with a look at everything: the log and all wallets are as the [`Ledger`] has them, so what is
//! refused has written nothing. Idempotency records are no part of these appends.

use wallex_core::effect::{Append, Completion};
use wallex_core::id::{CommandId, Version};
use wallex_core::time::Timestamp;

use super::ask::{append, assert_same, write};
use crate::Port;
use crate::ledger::{Ledger, together};

/// Creations, credits and transfers are found afterwards, with every member as it was written.
pub async fn what_was_appended_is_loaded(store: &impl Port) {
    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
    }
    for amount in ["0.01", "20"] {
        let credited = ledger.credit("a", amount);
        write(store, &mut ledger, &credited).await;
        let transferred = ledger.transfer("b", "a", amount);
        write(store, &mut ledger, &transferred).await;
    }
    assert_same(store, &ledger).await;
}

/// Two creations of one wallet: the first is done.
pub async fn version_zero_means_that_the_wallet_must_not_exist(store: &impl Port) {
    let mut ledger = Ledger::default();
    let (first, second) = (ledger.create("a"), ledger.create("a"));
    write(store, &mut ledger, &first).await;
    assert_eq!(append(store, &second).await, Completion::Conflict);
    assert_same(store, &ledger).await;
}

/// Versions that are behind the wallet, ahead of it, or of a wallet that does not exist.
pub async fn an_append_at_another_version_is_a_conflict_and_writes_nothing(store: &impl Port) {
    let mut ledger = Ledger::default();
    let created = ledger.create("a");
    write(store, &mut ledger, &created).await;
    let (first, second) = (ledger.credit("a", "1"), ledger.credit("a", "2"));
    write(store, &mut ledger, &first).await;
    assert_eq!(append(store, &second).await, Completion::Conflict, "behind");

    let mut ahead = ledger.clone();
    let skipped = ahead.credit("a", "3");
    ahead.accept(&skipped);
    let later = ahead.credit("a", "4");
    assert_eq!(append(store, &later).await, Completion::Conflict, "ahead");

    let unborn = ahead.create("b");
    ahead.accept(&unborn);
    let credit = ahead.credit("b", "5");
    assert_eq!(append(store, &credit).await, Completion::Conflict, "a wallet that does not exist");
    assert_same(store, &ledger).await;
}

/// Every append again, at once and after others: done, and the log is as before.
pub async fn a_repeated_append_is_done_and_writes_nothing(store: &impl Port) {
    let mut ledger = Ledger::default();
    let mut written = Vec::new();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
        written.push(created);
    }
    for _ in 0..3 {
        let mut decided = ledger.clone();
        let transferred = decided.transfer("a", "b", "1.50");
        decided.accept(&transferred);
        let both = together(&transferred, &decided.credit("b", "7"));
        write(store, &mut ledger, &both).await;
        assert_eq!(append(store, &both).await, Completion::Done(()), "at once");
        written.push(both);
    }
    for earlier in &written {
        assert_eq!(append(store, earlier).await, Completion::Done(()), "after others");
    }
    assert_same(store, &ledger).await;
}

/// The same money at the same place, under another command.
pub async fn a_repeat_with_other_ids_is_a_conflict(store: &impl Port) {
    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
    }
    let (first, second) = (ledger.transfer("a", "b", "1"), ledger.transfer("a", "b", "1"));
    write(store, &mut ledger, &first).await;
    assert_eq!(append(store, &second).await, Completion::Conflict);
    let (third, fourth) = (ledger.credit("a", "1"), ledger.credit("a", "1"));
    write(store, &mut ledger, &third).await;
    assert_eq!(append(store, &fourth).await, Completion::Conflict);
    assert_same(store, &ledger).await;
}

/// The same ids at an earlier version.
pub async fn a_repeat_at_another_place_is_a_conflict(store: &impl Port) {
    let mut ledger = Ledger::default();
    let created = ledger.create("a");
    write(store, &mut ledger, &created).await;
    let first = ledger.credit("a", "1");
    write(store, &mut ledger, &first).await;
    let second = ledger.credit("a", "2");
    write(store, &mut ledger, &second).await;

    let mut moved = second.clone();
    moved.writes[0].expected = Version(1);
    moved.writes[0].events[0].version = Version(2);
    assert_eq!(append(store, &moved).await, Completion::Conflict);
    assert_same(store, &ledger).await;
}

/// Two events, of which the first is there already: not the same append.
pub async fn an_append_that_is_there_in_part_is_a_conflict(store: &impl Port) {
    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
    }
    let first = ledger.credit("a", "1");
    write(store, &mut ledger, &first).await;
    let second = ledger.credit("a", "2");
    assert_eq!(append(store, &together(&first, &second)).await, Completion::Conflict, "longer than what is there");

    let elsewhere = ledger.credit("b", "3");
    assert_eq!(append(store, &together(&first, &elsewhere)).await, Completion::Conflict, "one wallet of two");
    assert_same(store, &ledger).await;
}

/// One stale leg, whichever it is, keeps both from being written; so does a wallet that does not exist.
pub async fn several_wallets_are_written_all_or_nothing(store: &impl Port) {
    let mut ledger = Ledger::default();
    for name in ["a", "b", "c"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
    }
    for stale in ["a", "b"] {
        let transferred = ledger.transfer("a", "b", "10");
        let meanwhile = ledger.credit(stale, "1");
        write(store, &mut ledger, &meanwhile).await;
        assert_eq!(append(store, &transferred).await, Completion::Conflict, "{stale} is stale");
        assert_same(store, &ledger).await;
    }
    let mut other = ledger.clone();
    let unborn = other.create("d");
    other.accept(&unborn);
    let transferred = other.transfer("c", "d", "10");
    assert_eq!(append(store, &transferred).await, Completion::Conflict, "d does not exist");
    let transferred = other.transfer("a", "c", "10");
    write(store, &mut ledger, &transferred).await;
    assert_same(store, &ledger).await;
}

/// A group commit: many commands on a few wallets.
pub async fn many_events_of_a_wallet_go_in_one_append(store: &impl Port) {
    let mut ledger = Ledger::default();
    let mut group = Append { writes: Vec::new(), records: Vec::new() };
    let mut decided = Ledger::default();
    for name in ["a", "b", "c"] {
        let created = decided.create(name);
        decided.accept(&created);
        group = together(&group, &created);
    }
    for round in 0..100 {
        let (from, to) = [("a", "b"), ("b", "c"), ("c", "a")][round % 3];
        let transferred = decided.transfer(from, to, "0.01");
        decided.accept(&transferred);
        group = together(&group, &transferred);
    }
    write(store, &mut ledger, &group).await;
    assert_eq!(ledger.events.len(), 203);
    assert_same(store, &ledger).await;
    assert_eq!(append(store, &group).await, Completion::Done(()), "a repeat");
    assert_same(store, &ledger).await;
}

/// No write, nothing to do.
pub async fn an_append_of_nothing_is_done(store: &impl Port) {
    let nothing = Append { writes: Vec::new(), records: Vec::new() };
    assert_eq!(append(store, &nothing).await, Completion::Done(()));
    assert_same(store, &Ledger::default()).await;
    // An id that no command has.
    let never = CommandId::new(Timestamp::from_micros(0), 1);
    assert_eq!(super::ask::find(store, "a", never, Timestamp::from_micros(0)).await, []);
}

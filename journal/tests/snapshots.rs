//! A snapshot and the frames after it give exactly what all frames give.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use wallex_core::command::FinalAnswer;
use wallex_core::effect::Append;
use wallex_core::id::{Position, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Journal, Storage};
use world::*;

type Everything = (BTreeMap<WalletId, Wallet>, Vec<Option<FinalAnswer>>);

fn everything(journal: &Journal<FaultyStorage>, appends: &[Append]) -> Everything {
    let wallets = journal.wallets().map(|head| (head.id.clone(), head.clone())).collect();
    let keys = appends.iter().flat_map(|append| &append.records).map(|record| record.idempotency.key);
    (wallets, keys.map(|key| journal.reserve(&key, NOW).unwrap().map(|(_, answer)| answer)).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Transfer(usize, usize),
    Snapshot,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..12_usize).prop_map(Step::Create),
        8 => (0..12_usize, 0..12_usize).prop_map(|(from, to)| Step::Transfer(from, to)),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_and_tail_equal_a_full_replay(steps in steps(), seed in any::<u64>()) {
        let mut storage = FaultyStorage::default();
        let mut ledger = Ledger::default();
        let mut appends: Vec<Append> = Vec::new();
        let mut journal = open(&storage).0;
        for step in steps {
            match step {
                Step::Create(index) if !ledger.wallets.contains_key(&wallet(&format!("w{index}"))) => {
                    let append = ledger.create(&format!("w{index}"));
                    prop_assert_eq!(journal.append(&[&append], NOW), [done()]);
                    appends.push(append);
                }
                Step::Create(_) => {}
                Step::Transfer(from, to) => {
                    // Refusals are answers too.
                    let append = ledger.transfer(&format!("w{from}"), &format!("w{to}"), "0.25");
                    prop_assert_eq!(journal.append(&[&append], NOW), [done()]);
                    appends.push(append);
                }
                Step::Snapshot => {
                    let since = journal.maintenance().events_since_snapshot();
                    let written = journal.maintenance().write_snapshot(NOW).unwrap();
                    prop_assert!(written.is_some() || since == 0);
                    prop_assert_eq!(journal.maintenance().events_since_snapshot(), 0);
                }
                Step::Restart => {
                    drop(journal);
                    storage = storage.restart(seed);
                    journal = open(&storage).0;
                }
            }
        }
        drop(journal);
        let (with_snapshot, recovery) = open(&storage);
        prop_assert!(recovery.damaged_snapshots.is_empty());
        let found = everything(&with_snapshot, &appends);
        ledger.assert_same(&with_snapshot);
        prop_assert!(found.1.iter().all(Option::is_some));
        drop(with_snapshot);
        for name in storage.list().unwrap() {
            if name.ends_with(".snap") {
                storage.remove(&name).unwrap();
            }
        }
        let (without, recovery) = open(&storage);
        prop_assert_eq!(recovery.snapshot, None);
        prop_assert_eq!(everything(&without, &appends), found);
    }
}

#[test]
fn a_start_reads_only_what_came_after_the_snapshot() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let maintenance = journal.maintenance();
    assert_eq!(maintenance.write_snapshot(NOW).unwrap(), None, "there is nothing yet");
    ledger.fill(&mut journal, 50);
    assert_eq!(maintenance.events_since_snapshot(), 103);
    assert_eq!(maintenance.write_snapshot(NOW).unwrap(), Some(Position(103)));
    assert_eq!(maintenance.write_snapshot(NOW).unwrap(), None, "nothing is new");
    ledger.fill(&mut journal, 2);
    assert_eq!(maintenance.events_since_snapshot(), 4);
    drop(journal);
    let (journal, recovery) = open(&storage.restart(1));
    assert_eq!((recovery.snapshot, recovery.frames_read, recovery.events_read), (Some(Position(103)), 2, 4));
    assert_eq!(journal.maintenance().events_since_snapshot(), 4);
    ledger.assert_same(&journal);
}

#[test]
fn a_damaged_snapshot_is_reported_and_the_one_before_it_is_used() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    for _ in 0..3 {
        ledger.fill(&mut journal, 10);
        journal.maintenance().write_snapshot(NOW).unwrap();
    }
    drop(journal);
    let snapshots = || storage.list().unwrap().into_iter().filter(|name| name.ends_with(".snap")).count();
    assert_eq!(snapshots(), 2, "older ones are removed");
    let newest = file(&storage, ".snap", 2);
    for byte in 0..storage.content(&newest).unwrap().len() as u64 {
        let unused = 64..72;
        if unused.contains(&byte) {
            continue;
        }
        let storage = storage.restart(1);
        storage.rot(&newest, byte, 1);
        let (journal, recovery) = open(&storage);
        assert_eq!(recovery.damaged_snapshots.len(), 1, "byte {byte}");
        assert_eq!(recovery.damaged_snapshots[0].segment, newest);
        assert_eq!(recovery.snapshot, Some(Position(43)));
        ledger.assert_same(&journal);
    }
    for name in [&newest, &file(&storage, ".snap", 1)] {
        storage.rot(name, 80, 1);
    }
    let (mut journal, recovery) = open(&storage);
    assert_eq!((recovery.damaged_snapshots.len(), recovery.snapshot), (2, None));
    ledger.assert_same(&journal);
    ledger.fill(&mut journal, 1);
    let written = journal.maintenance().write_snapshot(NOW).unwrap();
    assert_eq!(written, Some(journal.position()), "a new one does not build on a damaged one");
    drop(journal);
    let (journal, recovery) = open(&storage);
    assert_eq!(recovery.snapshot, written);
    ledger.assert_same(&journal);
}

#[test]
fn expired_keys_are_left_out_of_snapshots() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 10);
    journal.maintenance().write_snapshot(NOW).unwrap();
    let mut kept = ledger.transfer("a", "b", "1");
    kept.records[0].expires_at = Timestamp::from_micros(LATER.as_micros() + 1);
    assert_eq!(journal.append(&[&kept], NOW), [done()]);
    journal.maintenance().write_snapshot(LATER).unwrap();
    drop(journal);
    let (journal, recovery) = open(&storage);
    assert_eq!(recovery.keys, 1);
    assert!(journal.reserve(&kept.records[0].idempotency.key, LATER).unwrap().is_some());
}

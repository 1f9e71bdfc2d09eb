//! INV-04 and INV-14: whatever the moment of the crash, what was acknowledged is there, and of the rest each append is
//! there as a whole or not at all.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use std::collections::BTreeMap;

use wallex_core::effect::{Append, Completion};
use wallex_core::event::Event;
use wallex_core::id::EventId;
use wallex_journal::storage::{Access, File};
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Journal, JournalError, Storage};
use world::*;

/// A run over several segments, with groups, a snapshot, an index build and a prepared segment in between.
/// Returns the appends in the order in which they were asked for, with their outcomes.
fn scripted_run(storage: &FaultyStorage) -> Vec<(Append, Completion<()>)> {
    let mut asked = Vec::new();
    let Ok((mut journal, _)) = Journal::open(storage.clone(), small()) else { return asked };
    let maintenance = journal.maintenance();
    let mut ledger = Ledger::default();
    let mut groups: Vec<Vec<Append>> = vec![vec![ledger.create("a"), ledger.create("b"), ledger.create("c")]];
    for round in 0..12 {
        let mut group = Vec::new();
        for index in 0..=(round % 4) {
            let (from, to) = [("a", "b"), ("b", "c"), ("c", "a")][(round + index) % 3];
            group.push(ledger.transfer(from, to, "1.25"));
        }
        groups.push(group);
    }
    for (round, group) in groups.into_iter().enumerate() {
        let outcomes = journal.append(&group, NOW);
        asked.extend(group.into_iter().zip(outcomes));
        if round % 3 == 1 {
            let _ = maintenance.prepare_next_segment();
        }
        if round % 4 == 2 {
            let _ = maintenance.write_snapshot(NOW);
            let _ = maintenance.build_indexes();
        }
    }
    asked
}

fn check(storage: &FaultyStorage, asked: &[(Append, Completion<()>)], what: &str) -> Journal<FaultyStorage> {
    let (journal, _) = Journal::open(storage.clone(), small()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let events: Vec<Event> = log(&journal.reader()).into_iter().map(|recorded| recorded.event).collect();
    let found: BTreeMap<EventId, &Event> = events.iter().map(|event| (event.event_id, event)).collect();
    assert_eq!(found.len(), events.len(), "{what}: an event is there twice");
    let mut expected = 0;
    for (append, outcome) in asked {
        let ids: Vec<EventId> = append.writes.iter().flat_map(|write| &write.events).map(|one| one.event_id).collect();
        let there = ids.iter().filter(|id| found.contains_key(*id)).count();
        assert!(there == 0 || there == ids.len(), "{what}: an append is there in part");
        match outcome {
            Completion::Done(()) => assert_eq!(there, ids.len(), "{what}: an acknowledged append is lost"),
            Completion::Failed(_) | Completion::Conflict => assert_eq!(there, 0, "{what}: a failed append is there"),
            Completion::Unknown => {}
        }
        expected += there;
        let key = &append.records[0].idempotency.key;
        let answer = journal.reserve(key, NOW).unwrap().map(|(_, answer)| answer);
        assert_eq!(answer, (there > 0).then(|| append.records[0].answer.clone()), "{what}");
    }
    assert_eq!(expected, events.len(), "{what}: there is an event that nobody asked for");
    let mut ledger = Ledger::default();
    for event in &events {
        let write = wallex_core::effect::StreamWrite {
            wallet: event.wallet_id.clone(),
            expected: event.version,
            events: vec![event.clone()],
        };
        ledger.accept(&Append { writes: vec![write], records: Vec::new() });
    }
    ledger.assert_same(&journal);
    journal
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged_and_halves_nothing() {
    let undisturbed = FaultyStorage::default();
    let asked = scripted_run(&undisturbed);
    assert!(asked.iter().all(|(_, outcome)| *outcome == done()));
    let operations = undisturbed.operations();
    assert!(operations > 60, "the run is to do something: {operations}");
    for operation in 1..=operations {
        for seed in 0..6 {
            let storage = FaultyStorage::default();
            storage.crash_at(operation);
            let asked = scripted_run(&storage);
            assert!(storage.has_crashed());
            let what = format!("operation {operation}, seed {seed}");
            let after = storage.restart(seed * 1_000 + operation);
            let mut journal = check(&after, &asked, &what);
            // It goes on from there, and survives the next crash too.
            let mut more = Ledger::default().create("later");
            more.records.clear();
            assert_eq!(journal.append(&[&more], NOW), [done()], "{what}");
            drop(journal);
            let (journal, recovery) = open(&after.restart(seed));
            assert_eq!(recovery.torn, None, "{what}: what was cut stays cut");
            assert!(journal.wallet(&wallet("later")).is_some(), "{what}");
        }
    }
}

#[test]
fn a_crash_during_recovery_changes_nothing() {
    for operation in 3..40 {
        let storage = FaultyStorage::default();
        storage.crash_at(operation);
        let asked = scripted_run(&storage);
        let torn = storage.restart(operation);
        for recovery_operation in 1..4 {
            let second = torn.restart(0);
            second.crash_at(recovery_operation);
            drop(Journal::open(second.clone(), small()));
            check(&second.restart(7), &asked, &format!("operation {operation}, then {recovery_operation}"));
        }
    }
}

#[test]
fn a_torn_end_is_cut_and_reported_and_the_prefix_survives() {
    let (storage, ledger) = filled(4);
    let name = file(&storage, ".seg", 1);
    let offset = used(&storage, &name);
    // The first sectors of a frame, without its end.
    let whole = storage.content(&name).unwrap();
    let storage = storage.restart(1);
    let torn = storage.open(&name, Access::Write).unwrap();
    torn.write_at(&whole[64..364], offset).unwrap();
    let (journal, recovery) = open(&storage);
    let found = recovery.torn.unwrap();
    assert_eq!((found.segment.as_str(), found.offset, found.bytes), (name.as_str(), offset, 300));
    ledger.assert_same(&journal);
    drop(journal);
    let (journal, recovery) = open(&storage.restart(1));
    assert_eq!(recovery.torn, None);
    ledger.assert_same(&journal);
}

#[test]
fn a_full_disk_is_a_clean_refusal_and_passes() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 2);
    storage.set_capacity(Some(storage.used()));
    let mut refused = 0;
    for _ in 0..20 {
        let append = ledger.pending_transfer("a", "b", "1");
        let outcome = journal.append(&[&append], NOW).remove(0);
        match outcome {
            Completion::Done(()) => ledger.accept(&append),
            Completion::Failed(failure) => {
                assert!(failure.reason.contains("allocate"), "{}", failure.reason);
                refused += 1;
            }
            Completion::Conflict | Completion::Unknown => panic!("{outcome:?}"),
        }
        ledger.assert_same(&journal);
    }
    assert!(refused > 5);
    assert_eq!(journal.stopped(), None);
    assert!(journal.maintenance().prepare_next_segment().is_err());
    assert!(storage.list().unwrap().iter().all(|name| !name.ends_with(".tmp")), "nothing takes space for nothing");
    ledger.assert_same(&open(&storage.restart(1)).0);
    storage.set_capacity(None);
    ledger.fill(&mut journal, 30);
    ledger.assert_same(&journal);
    ledger.assert_same(&open(&storage.restart(1)).0);
}

#[test]
fn a_frame_that_no_longer_fits_on_the_disk_is_taken_back() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 2);
    // A frame larger than a segment makes the file grow.
    let mut scratch = ledger.clone();
    let group: Vec<Append> = (0..40).map(|index| scratch.create(&format!("w{index}"))).collect();
    storage.set_capacity(Some(storage.used() + (9 << 10)));
    assert!(journal.append(&group, NOW).iter().all(is_failed));
    ledger.assert_same(&journal);
    storage.set_capacity(None);
    ledger.fill(&mut journal, 3);
    ledger.assert_same(&journal);
    ledger.assert_same(&open(&storage.restart(3)).0);
}

#[test]
fn a_failed_sync_is_rolled_back_and_goes_on_in_a_fresh_segment() {
    for transfers in 0..12 {
        let storage = FaultyStorage::default();
        let mut ledger = Ledger::default();
        let (mut journal, _) = open(&storage);
        ledger.fill(&mut journal, transfers);
        let segments = journal.maintenance().segments();
        storage.fail_syncs(1);
        let append = ledger.pending_transfer("a", "b", "1");
        assert!(is_failed(&journal.append(&[&append], NOW)[0]));
        ledger.assert_same(&journal);
        ledger.assert_same(&open(&storage.restart(transfers as u64)).0);
        assert_eq!(journal.append(&[&append], NOW), [done()], "the same append, a second time");
        ledger.accept(&append);
        assert!(journal.maintenance().segments() > segments);
        ledger.fill(&mut journal, 20);
        ledger.assert_same(&journal);
        ledger.assert_same(&open(&storage.restart(transfers as u64)).0);
    }
}

#[test]
fn a_failed_sync_that_cannot_be_rolled_back_is_unknown_and_stops_the_journal() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 3);
    storage.fail_syncs(3);
    let append = ledger.pending_transfer("a", "b", "1");
    assert_eq!(journal.append(&[&append], NOW), [Completion::Unknown]);
    assert!(journal.stopped().unwrap().contains("the sync has failed"));
    assert!(is_failed(&journal.append(&[&append], NOW)[0]), "nothing is built on sand");
    ledger.assert_same(&journal);
    assert!(matches!(journal.close(NOW), Err(JournalError::Stopped(_))));
    for seed in 0..20 {
        let (journal, _) = open(&storage.restart(seed));
        let mut with_it = ledger.clone();
        with_it.accept(&append);
        let whole = log(&journal.reader()).len() == with_it.events.len();
        if whole { with_it.assert_same(&journal) } else { ledger.assert_same(&journal) }
    }
}

//! INV-04 and INV-14 for opaque streams: whatever the moment of the crash, what was acknowledged is there, and of the
//! rest each append is there as a whole or not at all.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use std::collections::BTreeMap;

use wallex_core::time::Timestamp;
use wallex_journal::Options;
use wallex_journal::raw::*;
use wallex_journal::testing::FaultyStorage;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const PAGE: Limits = Limits { events: 7, bytes: 1 << 20 };
const STREAMS: [&str; 3] = ["a", "b", "c"];

fn options() -> Options {
    Options { segment_bytes: 4 << 10, ..Options::default() }
}

/// The appends that a run asks for, in groups: one or two streams each, some deletions, no repeats.
fn groups() -> Vec<Vec<Append>> {
    let mut number = 0_u128;
    let mut event = |kind: &str, data: String| {
        number += 1;
        let metadata = vec![7; (number % 200) as usize];
        NewEvent { id: number.to_be_bytes(), kind: kind.to_owned(), is_json: true, data: data.into_bytes(), metadata }
    };
    let any = |stream: &str| Expectation { stream: stream.to_owned(), expected: Expected::Any };
    let mut groups = Vec::new();
    for round in 0..14 {
        let mut group = Vec::new();
        for index in 0..=round % 4 {
            let [one, other] = [STREAMS[(round + index) % 3], STREAMS[(round + index + 1) % 3]];
            let events =
                vec![(0, event("x", "1".repeat(50))), (1, event("y", "2".repeat(90))), (0, event("z", String::new()))];
            group.push(Append::new(vec![any(one), any(other)], events));
        }
        if round % 5 == 4 {
            let hides = event(METADATA_TYPE, format!("{{\"$tb\":{}}}", if round > 10 { LAST_REVISION } else { 3 }));
            group.push(Append::to_stream("$$c".to_owned(), Expected::Any, vec![hides]));
        }
        groups.push(group);
    }
    groups
}

fn run(storage: &FaultyStorage) -> Vec<(Append, Outcome)> {
    let mut asked = Vec::new();
    let Ok((mut log, _)) = Log::open(storage.clone(), options()) else { return asked };
    for (round, group) in groups().into_iter().enumerate() {
        let outcomes = log.append(&group, NOW);
        asked.extend(group.into_iter().zip(outcomes));
        if round % 3 == 1 {
            let _ = log.reader().prepare_next_segment();
        }
    }
    asked
}

fn whole(log: &Log<FaultyStorage>) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    loop {
        let from = all.last().map_or(0, |last| last.position + 1);
        let page = log.reader().log(from, Direction::Forwards, PAGE).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What the log holds is exactly these appends, one after another.
fn assert_holds(log: &Log<FaultyStorage>, appends: &[&Append], what: &str) {
    let found = whole(log);
    let mut expected = Vec::new();
    let mut streams: BTreeMap<&str, u64> = BTreeMap::new();
    for append in appends {
        for (stream, event) in append.parts() {
            let next = streams.entry(stream).or_default();
            expected.push((expected.len() as u64 + 1, stream.to_owned(), *next, event.clone()));
            *next += 1;
        }
    }
    let found: Vec<_> = found.into_iter().map(|one| (one.position, one.stream, one.revision, one.event)).collect();
    assert_eq!(found, expected, "{what}");
    for (stream, next) in streams {
        assert_eq!(log.reader().state(stream).next, next, "{what}: {stream}");
    }
}

fn check(storage: &FaultyStorage, asked: &[(Append, Outcome)], what: &str) -> Log<FaultyStorage> {
    let (log, _) = Log::open(storage.clone(), options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let ids: Vec<[u8; 16]> = whole(&log).into_iter().map(|event| event.event.id).collect();
    let mut there = Vec::new();
    for (append, outcome) in asked {
        let is_there = append.parts().any(|(_, event)| ids.contains(&event.id));
        match outcome {
            Outcome::Done(_) => assert!(is_there, "{what}: an acknowledged append is lost"),
            Outcome::Failed(_) | Outcome::Refused(_) => assert!(!is_there, "{what}: a failed append is there"),
            Outcome::Unknown => {}
        }
        if is_there {
            there.push(append);
        }
    }
    assert_holds(&log, &there, what);
    log
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged_and_halves_nothing() {
    let undisturbed = FaultyStorage::default();
    let asked = run(&undisturbed);
    assert!(asked.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done(_))));
    let operations = undisturbed.operations();
    assert!(operations > 40, "the run is to do something: {operations}");
    for operation in 1..=operations {
        for seed in 0..6 {
            let storage = FaultyStorage::default();
            storage.crash_at(operation);
            let asked = run(&storage);
            assert!(storage.has_crashed());
            let what = format!("operation {operation}, seed {seed}");
            let after = storage.restart(seed * 1_000 + operation);
            let mut log = check(&after, &asked, &what);
            // It goes on from there, and survives the next crash too.
            let event = NewEvent { id: [9; 16], kind: "k".to_owned(), is_json: false, data: vec![], metadata: vec![] };
            let more = Append::to_stream("later".to_owned(), Expected::NoStream, vec![event]);
            assert!(matches!(log.append(&[&more], NOW)[0], Outcome::Done(_)), "{what}");
            drop(log);
            let (log, recovered) = Log::open(after.restart(seed), options()).unwrap();
            assert_eq!(recovered.torn, None, "{what}: what was cut stays cut");
            assert_eq!(log.reader().state("later").next, 1, "{what}");
        }
    }
}

#[test]
fn a_failed_sync_takes_the_whole_group_back_with_what_rested_on_it() {
    for rounds in 0..8 {
        let storage = FaultyStorage::default();
        let (mut log, _) = Log::open(storage.clone(), options()).unwrap();
        let groups = groups();
        for group in &groups[..rounds] {
            log.append(group, NOW);
        }
        let before: Vec<&Append> = groups[..rounds].iter().flatten().collect();
        storage.fail_syncs(1);
        let event = NewEvent { id: [9; 16], kind: "k".to_owned(), is_json: false, data: vec![], metadata: vec![] };
        let append = Append::to_stream("n".to_owned(), Expected::NoStream, vec![event.clone()]);
        let other = NewEvent { id: [8; 16], ..event };
        let conflicting = Append::to_stream("n".to_owned(), Expected::NoStream, vec![other]);
        for outcome in log.append(&[&append, &append, &conflicting], NOW) {
            assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        }
        assert_holds(&log, &before, "after the failed sync");
        assert!(matches!(log.append(&[&append], NOW)[0], Outcome::Done(_)), "the same append, a second time");
        let mut with_it = before.clone();
        with_it.push(&append);
        assert_holds(&log, &with_it, "after the second attempt");
        drop(log);
        let (log, _) = Log::open(storage.restart(rounds as u64), options()).unwrap();
        assert_holds(&log, &with_it, "after the restart");
    }
}

#[test]
fn a_failed_sync_that_cannot_be_taken_back_is_unknown_and_stops_the_log() {
    let storage = FaultyStorage::default();
    let (mut log, _) = Log::open(storage.clone(), options()).unwrap();
    let groups = groups();
    log.append(&groups[0], NOW);
    storage.fail_syncs(3);
    assert!(log.append(&groups[1], NOW).iter().all(|outcome| *outcome == Outcome::Unknown));
    assert!(log.stopped().unwrap().contains("the sync has failed"));
    assert!(log.append(&groups[2], NOW).iter().all(|outcome| matches!(outcome, Outcome::Failed(_))));
    let before: Vec<&Append> = groups[0].iter().collect();
    assert_holds(&log, &before, "what is durable is still served");
    for seed in 0..20 {
        let (log, _) = Log::open(storage.restart(seed), options()).unwrap();
        let with_it: Vec<&Append> = groups[..2].iter().flatten().collect();
        let is_whole = whole(&log).len() > groups[0].iter().map(|append| append.parts().count()).sum();
        assert_holds(&log, if is_whole { &with_it } else { &before }, "after the restart");
    }
}

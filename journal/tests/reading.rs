//! Reading while writing, by position, by wallet and by time, from this process and from another.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wallex_core::id::{CommandId, Position, Version};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Journal, JournalError, Options, OsStorage, Reader, Storage};
use world::*;

#[test]
fn any_range_of_the_log_can_be_read() {
    let (storage, ledger) = filled(60);
    let (journal, _) = open(&storage.restart(1));
    let reader = journal.reader();
    let count = ledger.events.len();
    for after in (0..count).rev() {
        for limit in [0, 1, 2, 5, 1_000] {
            let read = reader.read_all(Position(after as u64), limit).unwrap();
            let expected = &ledger.events[after..count.min(after + limit)];
            assert!(read.iter().map(|one| &one.event).eq(expected), "after {after}, {limit}");
            assert!(read.iter().zip(after as u64 + 1..).all(|(one, position)| one.position.0 == position));
        }
    }
    assert!(reader.read_all(Position(count as u64), 10).unwrap().is_empty());
    assert!(reader.read_all(Position(u64::MAX), 10).unwrap().is_empty());
}

#[test]
fn any_range_of_a_stream_can_be_read_both_ways() {
    let (storage, ledger) = filled(60);
    let (journal, _) = open(&storage.restart(1));
    let reader = journal.reader();
    let stream: Vec<_> = ledger.events.iter().filter(|event| event.wallet_id == wallet("b")).cloned().collect();
    for from in 1..=stream.len() + 1 {
        for limit in [0, 1, 3, 1_000] {
            let version = Version(from as u64);
            let read = reader.read_stream(&wallet("b"), version, limit).unwrap();
            let expected = stream.iter().skip(from - 1).take(limit);
            assert!(read.iter().map(|one| &one.event).eq(expected), "from {from}, {limit}");
            let read = reader.read_stream_backwards(&wallet("b"), Some(version), limit).unwrap();
            let expected = stream.iter().take(from).rev().take(limit);
            assert!(read.iter().map(|one| &one.event).eq(expected), "back from {from}, {limit}");
        }
    }
    assert!(reader.read_stream(&wallet("nobody"), Version(1), 10).unwrap().is_empty());
    assert!(reader.read_stream_backwards(&wallet("nobody"), None, 10).unwrap().is_empty());
}

#[test]
fn a_wallet_can_be_seen_at_any_version_and_time() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let mut states: Vec<Wallet> = Vec::new();
    let at = |minute: i64| Timestamp::from_micros(NOW.as_micros() + minute * 60_000_000);
    let mut appends = vec![ledger.create("a"), ledger.create("b")];
    for minute in 1..30_i64 {
        let mut append = ledger.pending_transfer("a", "b", "1");
        for write in &mut append.writes {
            write.events[0].occurred_at = at(minute);
        }
        ledger.accept(&append);
        appends.push(append);
    }
    for append in &appends {
        assert_eq!(journal.append(&[append], NOW), [done()]);
        states.extend(journal.wallet(&wallet("a")).filter(|head| states.last() != Some(*head)).cloned());
    }
    let reader = journal.reader();
    for (version, state) in (1..).map(Version).zip(&states) {
        assert_eq!(reader.wallet_at_version(&wallet("a"), version).unwrap().as_ref(), Some(state));
    }
    assert_eq!(reader.wallet_at_version(&wallet("a"), Version(0)).unwrap(), None);
    assert_eq!(reader.wallet_at_version(&wallet("a"), Version(31)).unwrap(), None);
    for minute in 0..30 {
        let state = reader.wallet_at_time(&wallet("a"), at(minute).plus(std::time::Duration::from_secs(30))).unwrap();
        assert_eq!(state.as_ref(), Some(&states[minute as usize]));
    }
    assert_eq!(reader.wallet_at_time(&wallet("a"), at(-1)).unwrap(), None);
    assert_eq!(reader.wallet_at_time(&wallet("nobody"), at(5)).unwrap(), None);

    let command = appends[7].writes[0].events[0].command_id;
    let found = reader.find_command(&wallet("a"), command, at(0)).unwrap();
    assert_eq!(found, appends[7].writes[0].events);
    assert!(reader.find_command(&wallet("a"), CommandId::new(NOW, 77_777), at(0)).unwrap().is_empty());
}

#[test]
fn index_files_are_built_used_and_made_again_when_they_are_damaged_or_gone() {
    let (storage, ledger) = filled(60);
    let storage = storage.restart(1);
    let (journal, _) = open(&storage);
    let full = journal.maintenance().segments() as usize - 1;
    assert_eq!(journal.maintenance().build_indexes().unwrap(), full);
    assert_eq!(journal.maintenance().build_indexes().unwrap(), 0);
    ledger.assert_same(&journal);
    drop(journal);

    let (journal, _) = open(&storage);
    ledger.assert_same(&journal);
    drop(journal);
    storage.rot(&file(&storage, ".idx", 1), 9, 1);
    let index = storage.content(&file(&storage, ".idx", 2)).unwrap();
    for byte in 40 + 8 * 1_024..index.len() as u64 {
        storage.rot(&file(&storage, ".idx", 2), byte, 1);
    }
    storage.remove(&file(&storage, ".idx", 3)).unwrap();
    let (journal, _) = open(&storage);
    ledger.assert_same(&journal);
    assert_eq!(journal.maintenance().build_indexes().unwrap(), 3);
    ledger.assert_same(&journal);
    drop(journal);
    ledger.assert_same(&open(&storage).0);
}

#[test]
fn many_threads_read_what_is_durable_while_the_writer_writes() {
    let directory = tempfile::tempdir().unwrap();
    let storage = OsStorage::create(directory.path().join("journal")).unwrap();
    let (mut journal, _) = Journal::open(storage, Options { segment_bytes: 64 << 10, ..small() }).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&mut journal, 0);
    let finished = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, finished) = (journal.reader(), finished.clone());
            std::thread::spawn(move || {
                let mut next = 0;
                loop {
                    let last_round = finished.load(Ordering::Acquire);
                    let known = reader.position();
                    let read = reader.read_all(Position(next), 50).unwrap();
                    assert!(known.0 <= next || !read.is_empty(), "a known position can be read");
                    for recorded in &read {
                        next += 1;
                        assert_eq!(recorded.position.0, next);
                    }
                    let newest = reader.read_stream_backwards(&wallet("a"), None, 2).unwrap();
                    assert!(!newest.is_empty());
                    if last_round && read.is_empty() {
                        return next;
                    }
                }
            })
        })
        .collect();
    let background = std::thread::spawn({
        let (maintenance, finished) = (journal.maintenance(), finished.clone());
        move || {
            while !finished.load(Ordering::Acquire) {
                maintenance.prepare_next_segment().unwrap();
                maintenance.build_indexes().unwrap();
                maintenance.write_snapshot(NOW).unwrap();
            }
        }
    });
    ledger.fill(&mut journal, 600);
    finished.store(true, Ordering::Release);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), ledger.events.len() as u64);
    }
    background.join().unwrap();
    ledger.assert_same(&journal);
}

#[test]
fn another_process_can_read_a_journal_that_is_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let storage = OsStorage::create(directory.path()).unwrap();
    let empty = Reader::open_read_only(storage.clone()).unwrap();
    assert_eq!(empty.refresh().unwrap(), Position(0));
    let (mut journal, _) = open(&storage);
    let mut ledger = Ledger::default();
    for round in 0..20 {
        ledger.fill(&mut journal, round);
        assert_eq!(empty.refresh().unwrap(), Position(ledger.events.len() as u64));
        let fresh = Reader::open_read_only(OsStorage::existing(directory.path()).unwrap()).unwrap();
        for reader in [&empty, &fresh] {
            assert!(log(reader).iter().map(|one| &one.event).eq(&ledger.events));
            ledger.assert_stream(reader, &wallet("a"));
        }
    }
}

#[test]
fn one_process_writes_and_the_next_one_is_told_who() {
    let directory = tempfile::tempdir().unwrap();
    let storage = OsStorage::create(directory.path()).unwrap();
    assert_eq!(storage.lock_holder().unwrap(), None);
    let (journal, _) = open(&storage);
    journal.describe("http://127.0.0.1:3000").unwrap();
    let Err(JournalError::Locked(holder)) = Journal::open(storage.clone(), small()) else { panic!("two writers") };
    assert_eq!((holder.pid, holder.note.as_str()), (std::process::id(), "http://127.0.0.1:3000"));
    journal.close(NOW).unwrap();
    let (journal, _) = open(&storage);
    drop(journal);
    open(&storage);
}

#[test]
fn a_real_disk_keeps_everything_across_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let storage = OsStorage::create(directory.path().join("deep/er")).unwrap();
    let mut ledger = Ledger::default();
    for round in 0..6 {
        let (mut journal, recovery) = open(&storage);
        assert_eq!(recovery.position.0, ledger.events.len() as u64);
        assert_eq!(recovery.torn, None);
        if round % 2 == 0 {
            journal.maintenance().prepare_next_segment().unwrap();
        }
        ledger.fill(&mut journal, 15);
        ledger.assert_same(&journal);
        if round == 3 {
            journal.maintenance().write_snapshot(NOW).unwrap();
        }
        if round % 3 == 0 { journal.close(NOW).unwrap() } else { drop(journal) }
    }
    assert!(!storage.list().unwrap().iter().any(|name| name.ends_with(".tmp") && name.starts_with("seg")));
}

#[test]
fn segment_sizes_that_make_no_sense_are_refused() {
    for segment_bytes in [0, 4_095, (1 << 30) + 1] {
        let options = Options { segment_bytes, ..Options::default() };
        let opened = Journal::open(FaultyStorage::default(), options);
        assert!(matches!(opened, Err(JournalError::SegmentSize(size)) if size == segment_bytes));
    }
}

#[test]
fn who_follows_the_log_reads_the_same_as_who_reads_the_files() {
    let (storage, mut ledger) = filled(20);
    let (mut journal, _) = open(&storage.restart(1));
    let reader = journal.reader();
    let followed = Position(ledger.events.len() as u64);
    assert!(reader.read_all(followed, 10).unwrap().is_empty(), "the follower has come to the end");
    // Refused and repeated appends leave nothing behind in memory either.
    let refused = ledger.pending_transfer("a", "nobody", "1");
    let repeated = ledger.transfer("a", "b", "0.02");
    let outcomes = journal.append(&[&repeated, &refused, &repeated], NOW);
    assert_eq!((&outcomes[0], &outcomes[2]), (&done(), &done()));
    ledger.fill(&mut journal, 30);
    let count = ledger.events.len();
    for after in 0..count {
        for limit in [1, 2, 5, 1_000] {
            let read = reader.read_all(Position(after as u64), limit).unwrap();
            let expected = &ledger.events[after..count.min(after + limit)];
            assert!(read.iter().map(|one| &one.event).eq(expected), "after {after}, {limit}");
            assert!(read.iter().zip(after as u64 + 1..).all(|(one, position)| one.position.0 == position));
        }
    }
    assert_eq!(log(&reader), log(&journal.reader()));
    ledger.assert_same(&journal);
}

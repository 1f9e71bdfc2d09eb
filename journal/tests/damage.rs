//! INV-14: damage is reported with file and offset, and never served.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use wallex_core::effect::Load;
use wallex_core::id::{Position, Version};
use wallex_journal::storage::{Access, File};
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Damage, Journal, JournalError, Reader, Storage};
use world::*;

fn damage_of<T>(result: Result<T, JournalError>) -> Damage {
    match result {
        Err(JournalError::Damaged(damage)) => damage,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("damage was not noticed"),
    }
}

/// The offsets of the frames of a segment.
fn frames(storage: &FaultyStorage, name: &str) -> Vec<(u64, u64)> {
    let content = storage.content(name).unwrap();
    let mut frames = Vec::new();
    let mut at = 64;
    while content.get(at) == Some(&0xff) {
        let length = u32::from_le_bytes(content[at + 4..at + 8].try_into().unwrap());
        frames.push((at as u64, u64::from(length)));
        at += length as usize;
    }
    frames
}

#[test]
fn any_flipped_bit_in_the_middle_of_the_last_segment_is_reported_where_it_is() {
    let (storage, _) = filled(4);
    let name = file(&storage, ".seg", 1);
    let frames = frames(&storage, &name);
    let (offset, length) = frames[frames.len() - 2];
    for byte in 0..length {
        let storage = storage.restart(1);
        storage.rot(&name, offset + byte, 1 << (byte % 8));
        let damage = damage_of(Journal::open(storage.clone(), small()));
        assert_eq!((damage.segment.as_str(), damage.offset), (name.as_str(), offset), "byte {byte}");
    }
}

#[test]
fn any_flipped_bit_in_an_old_segment_is_reported_where_it_is() {
    let (storage, _) = filled(40);
    let name = file(&storage, ".seg", 1);
    let all = frames(&storage, &name);
    for (offset, length) in [all[0], all[all.len() - 1]] {
        for byte in 0..length {
            let storage = storage.restart(1);
            storage.rot(&name, offset + byte, 0x10);
            let damage = damage_of(Journal::open(storage.clone(), small()));
            assert_eq!((damage.segment.as_str(), damage.offset), (name.as_str(), offset), "byte {byte}");
        }
    }
}

#[test]
fn a_flipped_bit_in_the_last_acknowledged_frame_is_damage_and_no_torn_end() {
    let (storage, _) = filled(4);
    let name = file(&storage, ".seg", 1);
    let (offset, length) = *frames(&storage, &name).last().unwrap();
    for byte in 0..length - 8 {
        let storage = storage.restart(1);
        storage.rot(&name, offset + byte, 0x20);
        let damage = damage_of(Journal::open(storage.clone(), small()));
        assert_eq!((damage.segment.as_str(), damage.offset), (name.as_str(), offset), "byte {byte}");
    }
}

#[test]
fn after_an_orderly_end_even_a_lost_last_frame_is_damage() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 4);
    let name = file(&storage, ".seg", 1);
    let (offset, length) = *frames(&storage, &name).last().unwrap();
    journal.close(NOW).unwrap();
    let (journal, recovery) = open(&storage);
    assert_eq!(recovery.torn, None);
    ledger.assert_same(&journal);
    drop(journal);
    let segment = storage.open(&name, Access::Write).unwrap();
    segment.write_at(&vec![0; length as usize], offset).unwrap();
    let damage = damage_of(Journal::open(storage, small()));
    assert_eq!((damage.segment, damage.offset), (name, offset));
}

#[test]
fn nothing_is_changed_on_a_damaged_disk() {
    let (storage, _) = filled(4);
    let name = file(&storage, ".seg", 1);
    let storage = storage.restart(1);
    storage.rot(&name, frames(&storage, &name)[2].0 + 100, 1);
    let before = (storage.operations(), storage.content(&name));
    damage_of(Journal::open(storage.clone(), small()));
    assert_eq!((storage.operations(), storage.content(&name)), before);
}

#[test]
fn rot_under_a_running_journal_is_reported_by_every_read_and_spares_the_rest() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 2);
    let damaged = ledger.transfer("a", "b", "1");
    assert_eq!(journal.append(&[&damaged], NOW), [done()]);
    let name = file(&storage, ".seg", 1);
    let all = frames(&storage, &name);
    assert_eq!(all.len(), 6, "all in one segment");
    ledger.fill(&mut journal, 40);
    let (offset, _) = all[all.len() - 1];
    let reader = journal.reader();
    assert_eq!(reader.damage(), None);
    storage.rot(&name, offset + 300, 4);
    let before = Position(3 + 2 * (all.len() as u64 - 4));
    assert_eq!(reader.read_all(Position(0), before.0 as usize).unwrap().len() as u64, before.0);
    assert_eq!(damage_of(reader.read_all(before, 1)).offset, offset);
    assert_eq!(damage_of(reader.verify()).offset, offset);
    let version = damaged.writes[0].events[0].version;
    // Whoever meets it names the frame, also those that read the append in it alone.
    let found = damage_of(reader.read_stream(&wallet("a"), version, 1));
    assert_eq!((found.segment.as_str(), found.offset), (name.as_str(), offset));
    assert_eq!(damage_of(journal.reserve(&damaged.records[0].idempotency.key, NOW)).offset, offset);
    let remembered = journal.reader().damage().cloned().unwrap();
    assert_eq!((remembered.segment.as_str(), remembered.offset), (name.as_str(), offset));
    assert_eq!(damage_of(journal.maintenance().write_snapshot(NOW)).offset, offset);
    assert!(reader.read_stream(&wallet("a"), Version(1), 2).is_err(), "an index is not built over damage");
    assert!(journal.load(&Load { wallet: wallet("a"), known: Version(0) }).snapshot.is_some());
    let more = ledger.transfer("a", "b", "1");
    assert_eq!(journal.append(&[more], NOW), [done()]);
}

#[test]
fn a_missing_segment_is_damage() {
    let (storage, _) = filled(40);
    for number in [1, 2] {
        let storage = storage.restart(1);
        let name = file(&storage, ".seg", number);
        storage.remove(&name).unwrap();
        assert_eq!(damage_of(Journal::open(storage.clone(), small())).segment, name);
        assert_eq!(damage_of(Reader::open_read_only(storage)).segment, name);
    }
}

#[test]
fn a_damaged_segment_header_is_damage() {
    let (storage, _) = filled(40);
    for number in [1, 2] {
        let name = file(&storage, ".seg", number);
        for byte in 0..64 {
            let storage = storage.restart(1);
            storage.rot(&name, byte, 0x80);
            let damage = damage_of(Journal::open(storage, small()));
            assert_eq!((damage.segment.as_str(), damage.offset), (name.as_str(), 0), "byte {byte}");
        }
    }
}

#[test]
fn a_lost_last_segment_shows_when_a_snapshot_knows_of_it() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 40);
    journal.maintenance().write_snapshot(NOW).unwrap();
    drop(journal);
    let count = storage.list().unwrap().iter().filter(|name| name.ends_with(".seg")).count();
    let name = file(&storage, ".seg", count);
    let emptied = storage.restart(1);
    storage.remove(&name).unwrap();
    assert_eq!(damage_of(Journal::open(storage, small())).segment, name);
    let segment = emptied.open(&name, Access::Write).unwrap();
    segment.write_at(&[0; 8 << 10][64..], 64).unwrap();
    assert_eq!(damage_of(Journal::open(emptied, small())).segment, name);
}

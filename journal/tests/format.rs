//! The bytes on the disk: a journal that was written once must be readable for ever.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use wallex_journal::testing::FaultyStorage;
use world::*;

/// Whoever changes one of these numbers changes the format: old journals need a way in first.
#[test]
fn the_bytes_of_segment_index_and_snapshot_are_pinned() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 8);
    let refused = ledger.pending_transfer("a", "nobody", "1");
    assert_eq!(journal.append(&[refused], NOW), [done()]);
    journal.maintenance().build_indexes().unwrap();
    journal.maintenance().write_snapshot(NOW).unwrap();
    let check = |ending, number| {
        let name = file(&storage, ending, number);
        format!("{name} {:08x}", crc32c::crc32c(&storage.content(&name).unwrap()))
    };
    let found = [check(".seg", 1), check(".seg", 2), check(".idx", 1), check(".snap", 1)];
    assert_eq!(found, PINNED);
}

const PINNED: [&str; 4] = [
    "00000000000000000001.seg 35e26640",
    "00000000000000000002.seg 734077d0",
    "00000000000000000001.idx 04b6dc8a",
    "00000000000000000013.snap 6ee07656",
];

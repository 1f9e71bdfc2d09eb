use wallex_core::effect::{Failure, FailureKind};
use wallex_core::id::{EventId, Version, WalletId};

use super::*;

fn message(partition: u16, offset: u64) -> Message {
    let event = Err(Failure { kind: FailureKind::Rejected, reason: "not looked at".to_owned() });
    let event_id = EventId::from_bytes([7; 16]);
    Message { partition, offset, wallet_id: WalletId::parse("w").unwrap(), event_id, version: Version(1), event }
}

fn offsets(messages: &[Message]) -> Vec<(u16, u64)> {
    messages.iter().map(|one| (one.partition, one.offset)).collect()
}

fn fill(buffer: &mut Buffer, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        buffer.push(message(1, offset));
    }
}

/// Partitions 1 and 2, read from the beginning.
fn reading() -> Buffer {
    let mut buffer = Buffer::default();
    buffer.assign(&[1, 2]);
    assert!(buffer.fetch(&[(1, 0), (2, 0)], 9).unwrap().is_empty());
    assert_eq!(buffer.seeks(), [(1, 0), (2, 0)]);
    buffer.sought(1, 0, Ok(()));
    buffer.sought(2, 0, Ok(()));
    buffer
}

#[test]
fn what_was_not_passed_is_given_again() {
    let mut buffer = reading();
    for offset in [1, 2, 5] {
        buffer.push(message(1, offset));
    }
    assert_eq!(offsets(&buffer.fetch(&[(1, 0)], 9).unwrap()), [(1, 1), (1, 2), (1, 5)]);
    assert_eq!(offsets(&buffer.fetch(&[(1, 0)], 2).unwrap()), [(1, 1), (1, 2)]);
    assert_eq!(offsets(&buffer.fetch(&[(1, 2)], 9).unwrap()), [(1, 5)]);
    assert!(buffer.fetch(&[(1, 5)], 9).unwrap().is_empty());
    assert!(buffer.seeks().is_empty());
}

#[test]
fn a_fetch_from_elsewhere_makes_the_reader_seek_and_drops_what_was_read() {
    for elsewhere in [1, 9] {
        let mut buffer = reading();
        fill(&mut buffer, 1..=3);
        buffer.fetch(&[(1, 2)], 9).unwrap();
        assert!(buffer.fetch(&[(1, elsewhere)], 9).unwrap().is_empty());
        assert_eq!(buffer.seeks(), [(1, elsewhere)]);
        assert!(!buffer.push(message(1, 4)), "a message of the old place is not kept");
        buffer.sought(1, elsewhere, Ok(()));
        buffer.push(message(1, elsewhere + 1));
        assert_eq!(offsets(&buffer.fetch(&[(1, elsewhere)], 9).unwrap()), [(1, elsewhere + 1)]);
    }
}

#[test]
fn a_seek_that_was_overtaken_by_another_does_not_count() {
    let mut buffer = reading();
    buffer.fetch(&[(1, 7)], 9).unwrap();
    buffer.fetch(&[(1, 8)], 9).unwrap();
    buffer.sought(1, 7, Ok(()));
    assert_eq!(buffer.seeks(), [(1, 8)]);
}

#[test]
fn a_full_partition_leaves_room_for_the_others() {
    let mut buffer = reading();
    fill(&mut buffer, 1..=100);
    buffer.push(message(2, 1));
    let found = offsets(&buffer.fetch(&[(1, 0), (2, 0)], 10).unwrap());
    assert_eq!(found.len(), 10);
    assert!(found.contains(&(2, 1)));
    let first: Vec<_> = found.iter().filter(|(partition, _)| *partition == 1).map(|(_, offset)| *offset).collect();
    assert_eq!(first, (1..=9).collect::<Vec<u64>>());
}

#[test]
fn a_revoked_partition_gives_nothing_and_frees_its_room() {
    let mut buffer = reading();
    fill(&mut buffer, 1..=3);
    buffer.revoke(&[1]);
    assert_eq!(buffer.messages, 0);
    assert_eq!(buffer.assigned(), [2]);
    assert!(!buffer.push(message(1, 4)));
    assert!(buffer.fetch(&[(1, 0), (2, 0)], 9).unwrap().is_empty());
}

#[test]
fn the_core_is_told_once_until_it_fetches() {
    let mut buffer = reading();
    assert!(buffer.push(message(1, 1)));
    assert!(!buffer.push(message(1, 2)));
    buffer.fetch(&[(1, 0)], 1).unwrap();
    assert!(buffer.push(message(1, 3)));
}

#[test]
fn a_broken_partition_says_why_and_is_looked_at_again() {
    let mut buffer = reading();
    buffer.fetch(&[(1, 7)], 9).unwrap();
    buffer.sought(1, 7, Err("it ends at 3".to_owned()));
    assert_eq!(buffer.fetch(&[(1, 7)], 9), Err("it ends at 3".to_owned()));
    assert_eq!(buffer.seeks(), [(1, 7)]);
}

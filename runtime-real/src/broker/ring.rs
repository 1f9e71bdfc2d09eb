//! The newest messages of all partitions, in order of position, and where older ones have to be read.
//!
//! Everything published after the floor is here. For each partition the ring knows the last position up to the floor, so
//! that a partition without new messages is not searched in the outbox again and again.

use std::collections::{BTreeMap, VecDeque};

use wallex_core::id::Position;
use wallex_core::projector::Message;

pub(super) struct Ring {
    messages: VecDeque<Message>,
    capacity: usize,
    floor: Position,
    last: Position,
    /// Partition and the last position it has at or below the floor; it may be set too high, never too low.
    older: BTreeMap<u16, u64>,
}

impl Ring {
    pub(super) fn new(capacity: usize, floor: Position, ends: Vec<(u16, Position)>) -> Self {
        let older = ends.into_iter().map(|(partition, end)| (partition, end.0)).collect();
        Self { messages: VecDeque::new(), capacity: capacity.max(1), floor, last: floor, older }
    }

    pub(super) fn floor(&self) -> Position {
        self.floor
    }

    /// The position of the newest message.
    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// Adds a message, unless it was published before.
    pub(super) fn push(&mut self, position: Position, message: impl FnOnce() -> Message) {
        if position <= self.last {
            return;
        }
        self.last = position;
        self.messages.push_back(message());
        if self.messages.len() > self.capacity
            && let Some(oldest) = self.messages.pop_front()
        {
            self.floor = Position(oldest.offset);
            self.older.insert(oldest.partition, oldest.offset);
        }
    }

    /// Whether a partition has messages after `offset` that are no longer here.
    pub(super) fn must_read(&self, partition: u16, offset: u64) -> bool {
        self.older.get(&partition).is_some_and(|older| *older > offset)
    }

    /// The outbox was read from these offsets up to a position, to its end, and held these messages.
    pub(super) fn read_up_to(&mut self, up_to: Position, after: &[(u16, u64)], found: &[Message]) {
        for (partition, offset) in after {
            let has_some = found.iter().any(|message| message.partition == *partition);
            if let Some(older) = self.older.get_mut(partition)
                // What left the memory while the outbox was read lies after that position.
                && *older <= up_to.0
                && !has_some
            {
                *older = *offset;
            }
        }
    }

    /// The messages after the given offsets, oldest first.
    pub(super) fn after(&self, offsets: &[(u16, u64)], limit: usize) -> Vec<Message> {
        let Some(from) = offsets.iter().map(|(_, offset)| *offset).min() else { return Vec::new() };
        let start = self.messages.partition_point(|message| message.offset <= from);
        let mut taken: [Option<u64>; 64] = [None; 64];
        let mut others = BTreeMap::new();
        for (partition, offset) in offsets {
            match taken.get_mut(usize::from(*partition)) {
                Some(slot) => *slot = Some(*offset),
                None => {
                    others.insert(*partition, *offset);
                }
            }
        }
        let is_new = |message: &&Message| {
            let offset = match taken.get(usize::from(message.partition)) {
                Some(slot) => *slot,
                None => others.get(&message.partition).copied(),
            };
            offset.is_some_and(|offset| message.offset > offset)
        };
        self.messages.range(start..).filter(is_new).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::projector::{message_of, partition_of};

    use super::*;
    use crate::database::sqlite::tests::world::{World, id};

    fn ring_of_one() -> (Ring, Vec<Message>) {
        let mut world = World::default();
        world.create("alice", "owner", "USD", 1);
        world.credit("alice", 1);
        world.credit("alice", 1);
        let messages = world.log.into_iter().map(|row| message_of(row.position, row.event)).collect();
        (Ring::new(1, Position(0), Vec::new()), messages)
    }

    #[test]
    fn a_message_that_leaves_memory_while_the_outbox_is_read_is_still_looked_for() {
        let partition = partition_of(&id("alice"));
        let (mut ring, messages) = ring_of_one();
        for message in &messages {
            ring.push(Position(message.offset), || message.clone());
        }
        assert_eq!(ring.floor(), Position(2));
        // The outbox was read when the floor was still at 0.
        ring.read_up_to(Position(0), &[(partition, 0)], &[]);
        assert!(ring.must_read(partition, 0));
        // Read up to the floor, and nothing there (set aside by the relay): not asked for again.
        ring.read_up_to(Position(2), &[(partition, 0)], &[]);
        assert!(!ring.must_read(partition, 0));
        assert_eq!(ring.after(&[(partition, 0)], 9), messages[2..]);
    }

    #[test]
    fn a_partition_without_older_messages_is_not_looked_for() {
        let (ring, _) = ring_of_one();
        assert!(!ring.must_read(3, 0));
        let ring = Ring::new(1, Position(9), vec![(3, Position(5))]);
        assert!(ring.must_read(3, 4));
        assert!(!ring.must_read(3, 5));
    }
}

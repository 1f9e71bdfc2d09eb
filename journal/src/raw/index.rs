//! The index in memory: for every stream where its events are, and for every append where it is.
//!
//! It only ever shows durable appends (INV-04): the writer brings a frame in after its sync, recovery brings in the
//! frames that it has checked. Both go through [`Index::fold`], so that a restart sees what was seen before.

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::block::{Block, StoredEvent, Write};
use crate::raw::event::{LAST_REVISION, METADATA_STREAM, METADATA_TYPE};
use crate::shared::Place;
use crate::wire::Malformed;

/// The data of an event is JSON.
pub(crate) const FLAG_JSON: u8 = 0b001;
/// The event closes its stream.
pub(crate) const FLAG_TOMBSTONE: u8 = 0b100;

/// What expectations are checked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The revision of the next event: so many were ever appended.
    pub next: u64,
    /// The first revision that can be read.
    pub first: u64,
    /// Deleted; the next append brings it back, without what it had.
    pub is_deleted: bool,
    /// Closed for ever.
    pub is_tombstoned: bool,
}

impl StreamState {
    /// Whether there is such a stream for those who look.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.next > 0 && !self.is_deleted && !self.is_tombstoned
    }

    /// The last revision; nothing when there never was an event.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    pub(crate) fn after(mut self, change: Change) -> Self {
        match change {
            Change::Appended(events) => {
                self.next += events;
                self.is_deleted = false;
            }
            Change::HiddenBefore(LAST_REVISION..) => {
                self.first = self.next;
                self.is_deleted = true;
            }
            Change::HiddenBefore(revision) => {
                self.first = revision;
                self.is_deleted = false;
            }
            Change::Tombstoned => self.is_tombstoned = true,
        }
        self
    }
}

/// What happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many events came.
    Appended(u64),
    /// Its metadata says that events before this revision are not to be seen.
    HiddenBefore(u64),
    /// It was closed.
    Tombstoned,
}

/// A stream whose metadata changes with this event, and how.
pub(crate) fn metadata_change<'s>(stream: &'s str, kind: &str, data: &[u8]) -> Option<(&'s str, Change)> {
    let target = stream.strip_prefix(METADATA_STREAM).filter(|_| kind == METADATA_TYPE)?;
    // Whatever is no JSON object hides nothing.
    let metadata: Option<serde_json::Value> = serde_json::from_slice(data).ok();
    let hidden = metadata.as_ref().and_then(|metadata| metadata.get("$tb")).and_then(serde_json::Value::as_u64);
    Some((target, Change::HiddenBefore(hidden.unwrap_or(0))))
}

#[derive(Debug, Default)]
struct Stream {
    state: StreamState,
    /// Of each event, by revision.
    positions: Vec<u64>,
}

/// Where an append is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) first_position: u64,
    pub(crate) place: Place,
    pub(crate) time_micros: i64,
}

/// Everything that is durable.
#[derive(Debug)]
pub(crate) struct Index {
    streams: IndexMap<Box<str>, Stream, FixedState>,
    blocks: Vec<BlockEntry>,
    next_position: u64,
}

impl Index {
    pub(crate) fn new(seed: u64) -> Self {
        Self { streams: IndexMap::with_hasher(FixedState::with_seed(seed)), blocks: Vec::new(), next_position: 1 }
    }

    /// Brings an append in.
    pub(crate) fn fold(&mut self, block: &Block<'_>, place: Place, time_micros: i64) -> Result<(), Malformed> {
        self.blocks.push(BlockEntry { first_position: block.first_position, place, time_micros });
        for write in block.writes() {
            let write = write?;
            let first = block.first_position + u64::from(write.events_before);
            self.fold_write(&write, first)?;
        }
        self.next_position = block.first_position + u64::from(block.events);
        Ok(())
    }

    fn fold_write(&mut self, write: &Write<'_>, first_position: u64) -> Result<(), Malformed> {
        for (position, event) in (first_position..).zip(write.events()) {
            let StoredEvent { flags, kind, data, .. } = event?;
            if flags & FLAG_TOMBSTONE != 0 {
                self.change(write.stream, Change::Tombstoned);
                continue;
            }
            self.change(write.stream, Change::Appended(1)).positions.push(position);
            if let Some((target, change)) = metadata_change(write.stream, kind, data) {
                self.change(target, change);
            }
        }
        Ok(())
    }

    fn change(&mut self, stream: &str, change: Change) -> &mut Stream {
        let index = match self.streams.get_index_of(stream) {
            Some(index) => index,
            None => self.streams.insert_full(stream.into(), Stream::default()).0,
        };
        let stream = &mut self.streams[index];
        stream.state = stream.state.after(change);
        stream
    }

    pub(crate) fn state(&self, stream: &str) -> StreamState {
        self.streams.get(stream).map(|stream| stream.state).unwrap_or_default()
    }

    /// The positions of a stream's events, by revision.
    pub(crate) fn positions(&self, stream: &str) -> &[u64] {
        self.streams.get(stream).map_or(&[], |stream| &stream.positions)
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The append that holds this position.
    pub(crate) fn block_of(&self, position: u64) -> Option<BlockEntry> {
        if position >= self.next_position {
            return None;
        }
        let after = self.blocks.partition_point(|block| block.first_position <= position);
        after.checked_sub(1).map(|index| self.blocks[index])
    }

    /// Position of the next event.
    pub(crate) fn next_position(&self) -> u64 {
        self.next_position
    }
}

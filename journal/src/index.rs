//! Which appends hold which events of which stream: the index of one segment (INV-14 for history reads).
//!
//! A segment that is still written has an index in memory, caught up by whoever reads a stream, so the writer pays
//! nothing for it. A full segment gets an index file ([`crate::index_file`]), and its memory back. Both give the same
//! answer: the entries of a stream's hash in version order. A hash is no proof: readers compare the stream's name.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::error::JournalError;
use crate::frame::Frame;
use crate::index_file::IndexFile;
use crate::segment::{SEGMENT_HEADER_BYTES, segment_name};
use crate::shared::{Cursor, Place, Segment, Shared, locked};
use crate::storage::Storage;
use crate::walk::walk;
use crate::wire::Malformed;

/// Events of one stream in one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Of the stream's name ([`stream_hash`]).
    pub(crate) hash: u64,
    pub(crate) first_version: u64,
    pub(crate) count: u32,
    /// Of the append, in the segment.
    pub(crate) offset: u32,
}

/// The index of one segment.
#[derive(Debug, Default)]
pub(crate) enum SegmentIndex<F> {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// In memory, up to the cursor.
    Memory(MemoryIndex),
    /// In a file.
    File(IndexFile<F>),
}

/// Entries in the order of the journal, each with a link to the one before it of the same hash.
#[derive(Debug)]
pub(crate) struct MemoryIndex {
    cursor: Cursor,
    entries: Vec<(Entry, u32)>,
    newest: HashMap<u64, u32, FixedState>,
}

const NONE: u32 = u32::MAX;

impl MemoryIndex {
    pub(crate) fn new(start: Cursor) -> Self {
        Self { cursor: start, entries: Vec::new(), newest: HashMap::default() }
    }

    fn add(&mut self, frame_offset: u32, frame: &Frame<'_>) -> Result<(), Malformed> {
        for block in frame.blocks() {
            let (offset, block) = block?;
            for write in block.writes() {
                let write = write?;
                let hash = stream_hash(write.stream);
                let index = self.entries.len() as u32;
                let before = self.newest.insert(hash, index).unwrap_or(NONE);
                let (first_version, count) = (write.first_version, write.count);
                self.entries.push((Entry { hash, first_version, count, offset: frame_offset + offset }, before));
            }
        }
        Ok(())
    }

    fn find(&self, hash: u64) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut next = self.newest.get(&hash).copied().unwrap_or(NONE);
        while let Some((entry, before)) = self.entries.get(next as usize) {
            found.push(*entry);
            next = *before;
        }
        found.sort_unstable();
        found
    }

    /// All entries, by hash and version.
    pub(crate) fn sorted(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.iter().map(|(entry, _)| *entry).collect();
        entries.sort_unstable();
        entries
    }

    /// Reads frames up to `end`, or to the end of the segment when that lies in a later one.
    pub(crate) fn catch_up<S: Storage>(&mut self, shared: &Shared<S>, end: Place) -> Result<(), JournalError> {
        let number = self.cursor.place.number;
        if end <= self.cursor.place || self.is_complete(shared, end) {
            return Ok(());
        }
        let mut from = self.cursor;
        let stop = walk(shared, from, Some(end), |cursor, frame| {
            if cursor.place.number != number {
                return Ok(ControlFlow::Break(()));
            }
            let added = self.add(cursor.place.offset, frame);
            let offset = u64::from(cursor.place.offset);
            added.map_err(|Malformed(reason)| JournalError::damaged(segment_name(number), offset, reason))?;
            from = cursor.after(&frame.header);
            Ok(ControlFlow::Continue(()))
        });
        // Also after an error: what was added must not be added again.
        self.cursor = from;
        stop.map(|_| ())
    }

    /// Whether the segment ends here.
    fn is_complete<S: Storage>(&self, shared: &Shared<S>, end: Place) -> bool {
        let number = self.cursor.place.number;
        end.number > number && shared.segment(number + 1).is_some_and(|next| next.start == self.cursor.chain)
    }
}

/// The entries of a stream in one segment, in version order.
pub(crate) fn find<S: Storage>(
    shared: &Shared<S>,
    segment: &Arc<Segment<S::File>>,
    hash: u64,
    end: Place,
) -> Result<Vec<Entry>, JournalError> {
    let mut index = locked(&segment.index);
    if let SegmentIndex::Unknown = &*index
        && segment.number < end.number
        && let Some(file) = IndexFile::open(shared, segment)
    {
        *index = SegmentIndex::File(file);
    }
    if let SegmentIndex::File(file) = &*index {
        match file.find(hash) {
            Some(entries) => return Ok(entries),
            // A damaged index is only a copy: the segment itself has everything.
            None => *index = SegmentIndex::Unknown,
        }
    }
    if let SegmentIndex::Unknown = &*index {
        *index = SegmentIndex::Memory(MemoryIndex::new(start_of(segment)));
    }
    match &mut *index {
        SegmentIndex::Memory(memory) => {
            memory.catch_up(shared, end)?;
            Ok(memory.find(hash))
        }
        SegmentIndex::Unknown | SegmentIndex::File(_) => Ok(Vec::new()),
    }
}

/// The beginning of a segment.
pub(crate) fn start_of<F>(segment: &Segment<F>) -> Cursor {
    let offset = SEGMENT_HEADER_BYTES as u32;
    Cursor { place: Place { number: segment.number, offset }, chain: segment.start }
}

/// FNV-1a over the name, with its bits mixed once more so that the upper ones spread too. Part of the file format.
pub(crate) fn stream_hash(stream: &str) -> u64 {
    let fnv = stream
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

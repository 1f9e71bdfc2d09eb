//! Reading streams and the whole log, forwards and backwards, from any thread, while the writer writes.
//!
//! A reader sees durable appends only (INV-04), and checks each append that it reads (INV-14). Pages are bounded by
//! events and bytes; the lock of the index is held for the lookup of a page, never for the disk.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::error::{During, JournalError};
use crate::maintenance::prepare_next_segment;
use crate::raw::event::{NewEvent, StoredEvent};
use crate::raw::index::{BlockEntry, FLAG_JSON, Index, StreamState};
use crate::segment::segment_name;
use crate::shared::Shared;
use crate::storage::Storage;
use crate::window::read_block;
use crate::wire::Malformed;

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    Forwards,
    /// From new to old.
    Backwards,
}

/// How much a page may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events.
    pub events: usize,
    /// The page ends with the event that reaches so many bytes of data and metadata.
    pub bytes: usize,
}

/// What a stream has to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamPage {
    /// There is no such stream, or it is deleted.
    NotFound,
    /// It is closed for ever.
    Tombstoned,
    /// Its events; none when there are no more in that direction.
    Events(Vec<StoredEvent>),
}

/// A handle for reading.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    shared: Arc<Shared<S>>,
    index: Arc<RwLock<Index>>,
}

impl<S: Storage> Clone for Reader<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), index: self.index.clone() }
    }
}

impl<S: Storage> Reader<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, index: Arc<RwLock<Index>>) -> Self {
        Self { shared, index }
    }

    /// Position of the last event that can be read; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.index().next_position() - 1
    }

    /// What a stream is like now.
    #[must_use]
    pub fn state(&self, stream: &str) -> StreamState {
        self.index().state(stream)
    }

    /// Events of a stream from revision `from` on, that one included, in either direction.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when an append fails its checks, [`JournalError::Io`].
    pub fn stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        limits: Limits,
    ) -> Result<StreamPage, JournalError> {
        let wanted: Vec<(u64, BlockEntry)> = {
            let index = self.index();
            let state = index.state(stream);
            if state.is_tombstoned {
                return Ok(StreamPage::Tombstoned);
            }
            if !state.exists() {
                return Ok(StreamPage::NotFound);
            }
            let (first, positions) = (state.first, index.positions(stream));
            let located = |revision: u64| {
                let position = *positions.get(usize::try_from(revision).ok()?)?;
                index.block_of(position).map(|block| (position, block))
            };
            match direction {
                Direction::Forwards => (from.max(first)..state.next).map_while(located).take(limits.events).collect(),
                Direction::Backwards => {
                    let end = from.saturating_add(1).min(state.next);
                    (first.min(end)..end).rev().map_while(located).take(limits.events).collect()
                }
            }
        };
        self.fetch(&wanted, limits.bytes).map(StreamPage::Events)
    }

    /// Events of the whole log. Forwards begins with the event at `from`, backwards with the one before it.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when an append fails its checks, [`JournalError::Io`].
    pub fn log(&self, from: u64, direction: Direction, limits: Limits) -> Result<Vec<StoredEvent>, JournalError> {
        let wanted: Vec<(u64, BlockEntry)> = {
            let index = self.index();
            let located = |position: u64| index.block_of(position).map(|block| (position, block));
            let next = index.next_position();
            match direction {
                Direction::Forwards => (from.max(1)..next).map_while(located).take(limits.events).collect(),
                Direction::Backwards => (1..from.clamp(1, next)).rev().map_while(located).take(limits.events).collect(),
            }
        };
        self.fetch(&wanted, limits.bytes)
    }

    /// How many segment files there are.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.shared.segment_count()
    }

    /// Makes the next segment file ready, unless one is, so that the writer need not. For the background; says whether
    /// there was something to do.
    ///
    /// # Errors
    /// [`JournalError::Io`], also when the disk is full: then nothing is left behind.
    pub fn prepare_next_segment(&self) -> Result<bool, JournalError> {
        prepare_next_segment(&self.shared)
    }

    /// Ids and positions of a stream's durable events; fewer than asked for when there are fewer.
    pub(crate) fn ids(&self, stream: &str, revisions: Range<u64>) -> Result<Vec<([u8; 16], u64)>, JournalError> {
        let wanted: Vec<(u64, BlockEntry)> = {
            let index = self.index();
            let positions = index.positions(stream);
            let all = revisions.map_while(|revision| positions.get(usize::try_from(revision).ok()?).copied());
            all.map_while(|position| index.block_of(position).map(|block| (position, block))).collect()
        };
        let events = self.fetch(&wanted, usize::MAX)?;
        Ok(events.into_iter().map(|event| (event.event.id, event.position)).collect())
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads events from the disk, each append once for all of its neighbours in `wanted`.
    fn fetch(&self, wanted: &[(u64, BlockEntry)], bytes_max: usize) -> Result<Vec<StoredEvent>, JournalError> {
        let mut events = Vec::with_capacity(wanted.len());
        let mut bytes = 0;
        let mut buffer = Vec::new();
        for neighbours in wanted.chunk_by(|one, next| one.1 == next.1) {
            let entry = neighbours[0].1;
            let (name, offset) = (segment_name(entry.place.number), u64::from(entry.place.offset));
            let damaged = |Malformed(reason)| JournalError::damaged(name.clone(), offset, reason);
            let file = self.shared.file(entry.place.number)?;
            let block = read_block(&*file, offset, &mut buffer).during("read", &name)?.map_err(damaged)?;
            if block.first_position != entry.first_position {
                return Err(damaged(Malformed("another append is where this one was written")));
            }
            let stored = block.events().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
            for (position, _) in neighbours {
                let found = stored.get((position - entry.first_position) as usize);
                let (stream, revision, event) =
                    found.ok_or(Malformed("an append has fewer events than it says")).map_err(damaged)?;
                bytes += event.data.len() + event.metadata.len();
                events.push(StoredEvent {
                    position: *position,
                    stream: (*stream).to_owned(),
                    revision: *revision,
                    time_micros: entry.time_micros,
                    event: NewEvent {
                        id: *event.id.as_bytes(),
                        kind: event.kind.to_owned(),
                        is_json: event.flags & FLAG_JSON != 0,
                        data: event.data.to_vec(),
                        metadata: event.metadata.to_vec(),
                    },
                });
                if bytes >= bytes_max {
                    return Ok(events);
                }
            }
        }
        Ok(events)
    }
}

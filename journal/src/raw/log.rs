//! The single writer: turns groups of appends into frames, and frames into durable facts.
//!
//! All appends that wait are one group: each is decided ([`crate::raw::decide`]) and written into the frame that is being
//! built, seeing the earlier ones; then the whole frame is synced once. Outcomes are what is known (INV-04): done only
//! after the sync, refused and failed only when nothing of the append can ever be found, unknown otherwise.

use std::borrow::Borrow;
use std::sync::{Arc, PoisonError, RwLock};

use wallex_core::id::EventId;
use wallex_core::time::Timestamp;

use crate::block::{Block, StoredEvent, begin_block, begin_write, end_block, end_write, put_stored};
use crate::error::{During, JournalError};
use crate::frame::{FRAME_BYTES_FULL, FRAME_HEADER_BYTES, FrameBuilder, frame_length};
use crate::raw::decide::Decision;
use crate::raw::event::{Append, Appended, LAST_REVISION, NewEvent, Outcome, Written};
use crate::raw::index::{Change, FLAG_JSON, FLAG_TOMBSTONE, Index, metadata_change};
use crate::raw::reader::Reader;
use crate::raw::recent::Recent;
use crate::raw::staged::StagedStreams;
use crate::shared::{Place, Shared};
use crate::storage::{Lock, Storage};
use crate::tail::{NotDurable, Tail};
use crate::wire::length32;

/// The single writer of a log of opaque streams.
#[derive(Debug)]
pub struct Log<S: Storage> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) lock: S::Lock,
    pub(crate) tail: Tail<S>,
    pub(crate) index: Arc<RwLock<Index>>,
    pub(crate) reader: Reader<S>,
    pub(crate) frame: FrameBuilder,
    /// Where each append begins in the frame.
    pub(crate) offsets: Vec<u32>,
    pub(crate) staged: StagedStreams,
    pub(crate) recent: Recent,
}

impl<S: Storage> Log<S> {
    /// Appends a group: one frame and one sync for all of it (more when it exceeds 16 MiB). The outcomes are in order,
    /// one for each append. Appends see the earlier ones of their group.
    pub fn append<A: Borrow<Append>>(&mut self, group: &[A], now: Timestamp) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        for (index, append) in group.iter().enumerate() {
            if self.frame.bytes.len() >= FRAME_BYTES_FULL {
                self.commit(now, &mut outcomes, &mut waiting);
            }
            let (outcome, waits) = self.stage(append.borrow());
            if waits {
                waiting.push(index);
            }
            outcomes.push(outcome);
        }
        self.commit(now, &mut outcomes, &mut waiting);
        outcomes
    }

    /// The outcome if the frame becomes durable, and whether it depends on that.
    fn stage(&mut self, append: &Append) -> (Outcome, bool) {
        if let Some(reason) = self.tail.stopped() {
            return (Outcome::Failed(reason.to_owned()), false);
        }
        match self.decide(append) {
            Ok((Decision::Write, _)) => (Outcome::Done(self.encode(append)), true),
            Ok((Decision::Repeated(appended), waits)) => (Outcome::Done(appended), waits),
            Ok((Decision::Refused(refusal), waits)) => (Outcome::Refused(refusal), waits),
            Err(error) => (Outcome::Failed(error.to_string()), false),
        }
    }

    fn encode(&mut self, append: &Append) -> Appended {
        let first = self.tail.next_position() + u64::from(self.frame.events);
        let mut position = first;
        let mut streams = vec![None; append.streams.len()];
        let mut writes = 0;
        let start = begin_block(&mut self.frame.bytes);
        self.offsets.push(length32(start));
        for run in append.events.chunk_by(|one, next| one.0 == next.0) {
            let index = run[0].0;
            let name = append.streams[index].stream.as_str();
            let state = self.state_of(name);
            let (revision, flag, change) = match append.is_tombstone {
                true => (LAST_REVISION, FLAG_TOMBSTONE, Change::Tombstoned),
                false => (state.next, 0, Change::Appended(run.len() as u64)),
            };
            let part = begin_write(&mut self.frame.bytes, ["", name], revision, run.len());
            let staged = self.staged.change(name, state, change);
            for (at, (_, event)) in (revision..).zip(run) {
                let flags = flag | if event.is_json { FLAG_JSON } else { 0 };
                let id = EventId::from_bytes(event.id);
                let (data, metadata) = (event.data.as_slice(), event.metadata.as_slice());
                put_stored(&mut self.frame.bytes, &StoredEvent { id, flags, kind: &event.kind, data, metadata });
                if !append.is_tombstone {
                    staged.events.push((event.id, position));
                    self.recent.remember(event.id, name, at);
                }
                streams[index] = Some(Written { revision: at, position });
                position += 1;
            }
            end_write(&mut self.frame.bytes, part);
            writes += 1;
            self.stage_metadata(name, run);
        }
        let events = length32(append.events.len());
        let check = end_block(&mut self.frame.bytes, start, first, [events, writes, 0]);
        self.frame.add_block(events, check);
        Appended { streams, position: position - 1 }
    }

    /// What the events of a metadata stream change in the stream that they are about.
    fn stage_metadata(&mut self, name: &str, run: &[(usize, NewEvent)]) {
        for (_, event) in run {
            if let Some((target, change)) = metadata_change(name, &event.kind, &event.data) {
                let state = self.state_of(target);
                self.staged.change(target, state, change);
            }
        }
    }

    /// Makes the frame that was built durable, and settles the appends that wait for it.
    fn commit(&mut self, now: Timestamp, outcomes: &mut [Outcome], waiting: &mut Vec<usize>) {
        let written = if self.frame.is_empty() { Ok(()) } else { self.write_frame(now) };
        if let Err(not_durable) = written {
            self.recent.forget_all();
            for index in waiting.iter() {
                outcomes[*index] = match &not_durable {
                    NotDurable::Failed(failure) => Outcome::Failed(failure.reason.clone()),
                    NotDurable::Unknown => Outcome::Unknown,
                };
            }
        }
        self.frame.clear();
        self.offsets.clear();
        self.staged.clear();
        waiting.clear();
    }

    fn write_frame(&mut self, now: Timestamp) -> Result<(), NotDurable> {
        let length = frame_length(self.frame.bytes.len() - FRAME_HEADER_BYTES);
        let place = self.tail.make_room(length)?;
        self.tail.commit(&mut self.frame, now)?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for offset in &self.offsets {
            let place = Place { number: place.number, offset: place.offset + offset };
            Block::parse(&self.frame.bytes[*offset as usize..])
                .and_then(|block| index.fold(&block, place, now.as_micros()))
                .expect("this very frame was just encoded");
        }
        Ok(())
    }

    /// Position of the last durable event; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.shared.position()
    }

    /// Why the log refuses every append, when it does: it cannot know what is on the disk, and only opening it again can
    /// find out.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.tail.stopped()
    }

    /// A handle for reading, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<S> {
        self.reader.clone()
    }

    /// Leaves a line of text in the lock file for whoever finds it locked.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn describe(&self, note: &str) -> Result<(), JournalError> {
        self.lock.describe(note).during("write", "the lock file")
    }

    /// Ends the log with an empty frame, so that damage to the last real one will show, and gives the directory free.
    /// Without it nothing is lost.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] with the reason, when that frame cannot be written.
    pub fn close(mut self, now: Timestamp) -> Result<(), JournalError> {
        if self.position() == 0 {
            return Ok(());
        }
        self.write_frame(now).map_err(|not_durable| {
            JournalError::Stopped(match not_durable {
                NotDurable::Failed(failure) => failure.reason,
                NotDurable::Unknown => self.stopped().unwrap_or_default().to_owned(),
            })
        })
    }
}

//! The end of the journal, where frames are written: one write and one sync each (INV-04, INV-14).
//!
//! Three things can go wrong, and the answer always says what is known. A write that fails is cut back to the durable
//! end: known not done. A sync that fails leaves the page cache untrusted, so the tail cuts back, syncs that, and goes
//! on in a fresh segment: known not done. When the cut cannot be made durable either, nobody knows what a restart will
//! find: the outcome is unknown and the tail stops for good, so that nothing is built on sand.

use std::io;
use std::sync::Arc;

use wallex_core::effect::{Failure, FailureKind};
use wallex_core::mutant::{self, Mutant};
use wallex_core::time::Timestamp;

use crate::error::{During, JournalError};
use crate::frame::FrameBuilder;
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, allocate, install, segment_name, write_zeros};
use crate::shared::{Cursor, Place, Shared, locked};
use crate::storage::{File, Storage};

/// A segment that the writer makes itself.
const HASTY: &str = "segment.tmp";
/// How much the writer preallocates when it has to make a segment itself, in bytes: enough to begin with, and little
/// enough not to be felt. The file grows from there.
const HASTY_BYTES: u64 = 4 << 20;

/// Why a frame is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDurable {
    /// It is known not to be in the journal.
    Failed(Failure),
    /// Nobody knows, and the tail has stopped.
    Unknown,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Tail<S: Storage> {
    shared: Arc<Shared<S>>,
    /// The segment being written; none before the first frame.
    file: Option<S::File>,
    cursor: Cursor,
    /// The next frame goes into a fresh segment, whatever room there is. Stays set until that segment exists, because
    /// its header promises which frame comes first in it.
    fresh: bool,
    stopped: Option<String>,
}

impl<S: Storage> Tail<S> {
    /// A tail that goes on at `cursor`; `file` is the last segment, if there is one.
    pub(crate) fn new(shared: Arc<Shared<S>>, file: Option<S::File>, cursor: Cursor) -> Self {
        let fresh = file.is_none();
        Self { shared, file, cursor, fresh, stopped: None }
    }

    /// Why nothing can be written any more.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// The position of the next event.
    pub(crate) fn next_position(&self) -> u64 {
        self.cursor.chain.position
    }

    /// Makes sure that a frame of `length` bytes has its place, and returns that place.
    pub(crate) fn make_room(&mut self, length: usize) -> Result<Place, NotDurable> {
        if let Some(reason) = &self.stopped {
            return Err(NotDurable::Failed(unavailable(reason)));
        }
        let offset = u64::from(self.cursor.place.offset);
        let begun = offset > SEGMENT_HEADER_BYTES;
        if begun && offset + length as u64 > self.shared.segment_bytes {
            self.fresh = true;
        }
        if self.fresh {
            self.roll().map_err(|error| NotDurable::Failed(unavailable(&error.to_string())))?;
        }
        Ok(self.cursor.place)
    }

    /// Seals the frame and makes it durable. [`Tail::make_room`] comes first.
    pub(crate) fn commit(&mut self, frame: &mut FrameBuilder, time: Timestamp) -> Result<(), NotDurable> {
        let chain = self.cursor.chain;
        let check = frame.seal(chain.sequence, chain.position, time, chain.previous);
        let offset = u64::from(self.cursor.place.offset);
        let length = frame.bytes.len() as u64;
        let Some(file) = self.file.as_ref() else {
            return Err(NotDurable::Failed(unavailable("there is no segment to write to")));
        };
        let name = segment_name(self.cursor.place.number);
        if let Err(error) = file.write_at(&frame.bytes, offset).during("write", &name) {
            return Err(self.cut_back(offset, length, &error));
        }
        let synced = if mutant::on(Mutant::AckBeforeSync) { Ok(()) } else { file.sync_data().during("sync", &name) };
        if let Err(error) = synced
            && !mutant::on(Mutant::SyncErrorIgnored)
        {
            self.fresh = true;
            return Err(self.cut_back(offset, length, &error));
        }
        self.cursor.place.offset += length as u32;
        self.cursor.chain.sequence += 1;
        self.cursor.chain.position += u64::from(frame.events);
        self.cursor.chain.previous = check;
        self.shared.publish(self.cursor.place, self.cursor.chain.position);
        Ok(())
    }

    /// Takes a frame off the disk again, durably.
    fn cut_back(&mut self, offset: u64, length: u64, cause: &JournalError) -> NotDurable {
        let Some(file) = self.file.as_ref() else {
            return NotDurable::Failed(unavailable(&cause.to_string()));
        };
        let zeroed = file.length().and_then(|end| write_zeros(file, offset, end.min(offset + length)));
        let cut = zeroed.and_then(|()| file.sync_data()).or_else(|_| {
            self.fresh = true;
            file.set_len(offset).and_then(|()| file.sync_data())
        });
        match cut {
            Ok(()) => NotDurable::Failed(unavailable(&cause.to_string())),
            Err(error) => {
                self.stop(cause, &error);
                NotDurable::Unknown
            }
        }
    }

    fn stop(&mut self, cause: &JournalError, error: &io::Error) {
        self.stopped = Some(format!("{cause}; and what was written cannot be taken back: {error}"));
    }

    /// Goes on in a new segment: the prepared one, or one that is made here and now.
    fn roll(&mut self) -> Result<(), JournalError> {
        let storage = &self.shared.storage;
        let prepared = locked(&self.shared.prepared).take();
        let (file, temporary) = match prepared {
            Some(prepared) => (prepared.file, prepared.name),
            None => (allocate(storage, HASTY, self.shared.segment_bytes.min(HASTY_BYTES))?, HASTY.to_owned()),
        };
        let number = self.shared.segment_count() + 1;
        let header = SegmentHeader { number, content: self.shared.content, chain: self.cursor.chain };
        install(storage, &file, &temporary, &header)?;
        self.shared.add_segment(number, self.cursor.chain);
        self.cursor.place = Place { number, offset: SEGMENT_HEADER_BYTES as u32 };
        self.shared.publish(self.cursor.place, self.cursor.chain.position);
        self.file = Some(file);
        self.fresh = false;
        Ok(())
    }
}

/// A failure that may pass.
pub(crate) fn unavailable(reason: &str) -> Failure {
    Failure { kind: FailureKind::Unavailable, reason: reason.to_owned() }
}

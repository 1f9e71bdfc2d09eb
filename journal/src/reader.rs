//! Reading the log in order, from any thread, while the writer writes.
//!
//! A reader sees durable frames only (INV-04) and hands out nothing that was not checked (INV-14). Reading on from where
//! the last call ended costs no search. History by wallet is in [`crate::history`]. A reader of another process
//! follows the files of a running service without its lock; it finds the end by itself, in [`Reader::refresh`], and may
//! see a frame a moment before its sync has ended.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use wallex_core::event::Recorded;
use wallex_core::id::Position;

use crate::error::{Damage, During, JournalError};
use crate::frame::Frame;
use crate::index::start_of;
use crate::segment::{Content, read_header, segment_name, segment_numbers};
use crate::shared::{Cursor, Shared, locked};
use crate::storage::{Access, File, Storage};
use crate::torn::{Ending, ending};
use crate::walk::{Stop, walk};
use crate::wire::Malformed;

/// How far apart places are remembered while the log is read, in bytes.
const MARK_EVERY_BYTES: u32 = 1 << 20;

/// A handle for reading.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    pub(crate) shared: Arc<Shared<S>>,
    /// Where the files had ended at the last look; only without a writer in this process.
    followed: Option<Arc<Mutex<Cursor>>>,
}

impl<S: Storage> Clone for Reader<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), followed: self.followed.clone() }
    }
}

/// What a full verification has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments.
    pub segments: u32,
    /// Frames.
    pub frames: u64,
    /// Events, each decoded.
    pub events: u64,
}

impl<S: Storage> Reader<S> {
    pub(crate) fn of_writer(shared: Arc<Shared<S>>) -> Self {
        Self { shared, followed: None }
    }

    /// Reads the files of a journal that this process does not write, whether or not another one does.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`].
    pub fn open_read_only(storage: S) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::new(storage, u64::MAX, Content::Wallets));
        let mut reader = Self { shared, followed: None };
        reader.add_new_segments()?;
        // Where the last segment begins, everything before it was durable: only its own end has to be found.
        let last = reader.shared.segments().last().map_or(Cursor::START, |segment| start_of(segment));
        reader.followed = Some(Arc::new(Mutex::new(last)));
        reader.refresh()?;
        Ok(reader)
    }

    /// The last event that can be read.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.shared.position())
    }

    /// The first damage that a read of this journal met since it was opened, whoever read.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.shared.damage()
    }

    /// Looks for what another process has written since. With a writer in this process there is nothing to do.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`].
    pub fn refresh(&self) -> Result<Position, JournalError> {
        if let Some(followed) = &self.followed {
            let mut cursor = locked(followed);
            self.add_new_segments()?;
            if self.shared.segment_count() > 0 {
                let stop = self.follow(*cursor)?;
                *cursor = stop.cursor;
                self.shared.publish(stop.cursor.place, stop.cursor.chain.position);
            }
        }
        Ok(self.position())
    }

    fn add_new_segments(&self) -> Result<(), JournalError> {
        let files = self.shared.storage.list().during("list", "the directory")?;
        for number in segment_numbers(&files)?.into_iter().skip(self.shared.segment_count() as usize) {
            let name = segment_name(number);
            let file = self.shared.storage.open(&name, Access::Read).during("open", &name)?;
            let header = read_header(&file, number, self.shared.content)?;
            self.shared.add_segment(number, header.chain);
        }
        Ok(())
    }

    fn follow(&self, from: Cursor) -> Result<Stop, JournalError> {
        let mut cursor = from;
        let mut suspected = None;
        loop {
            let stop = walk(&self.shared, cursor, None, |_, _| Ok(ControlFlow::Continue(())))?;
            let place = stop.cursor.place;
            let (name, file) = (segment_name(place.number), self.shared.file(place.number)?);
            let length = file.length().during("measure", &name)?;
            let tail = (u64::from(place.offset), length);
            match stop.invalid.map(|invalid| ending(&*file, tail, stop.cursor.chain, invalid)) {
                None => return Ok(stop),
                Some(found) => match found.during("read", &name)? {
                    Ending::Clean | Ending::Torn { .. } => return Ok(stop),
                    // Either the writer completed the frame since it was looked at, or it is damaged: look again.
                    Ending::Damaged(reason) if suspected == Some(stop.cursor) => {
                        return Err(self.shared.damaged(place, reason));
                    }
                    Ending::Damaged(_) => {
                        cursor = stop.cursor;
                        suspected = Some(cursor);
                    }
                },
            }
        }
    }

    /// Events after a position, in log order, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a frame on the way fails its checks: nothing of it is served.
    pub fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        let shared = &*self.shared;
        let (last, end) = (shared.position(), shared.end());
        let mut events = Vec::new();
        if after.0 >= last {
            shared.recent.want();
        }
        if limit == 0 || after.0 >= last {
            return Ok(events);
        }
        let first = after.0 + 1;
        if let Some(recent) = shared.recent.read(first, limit) {
            return Ok(recent);
        }
        let from = shared.nearest(first);
        let mut marked = from.place;
        let mut resume = None;
        let stop = walk(shared, from, Some(end), |cursor, frame| {
            if cursor.place.number != marked.number || cursor.place.offset - marked.offset >= MARK_EVERY_BYTES {
                marked = cursor.place;
                shared.mark(cursor);
            }
            if frame.header.next_position() <= first {
                return Ok(ControlFlow::Continue(()));
            }
            decode(frame, first, limit, &mut events, cursor)?;
            if events.len() < limit {
                return Ok(ControlFlow::Continue(()));
            }
            let complete = events.last().is_some_and(|last| last.position.next().0 == frame.header.next_position());
            resume = (!complete).then_some(cursor);
            Ok(ControlFlow::Break(()))
        })?;
        shared.mark(resume.unwrap_or(stop.cursor));
        Ok(events)
    }

    /// Reads and checks everything: every frame, every link of the chain, every event.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let mut verified = Verified { segments: self.shared.segment_count(), ..Verified::default() };
        if verified.segments == 0 {
            return Ok(verified);
        }
        let mut events = Vec::new();
        let stop = walk(&self.shared, Cursor::START, Some(self.shared.end()), |cursor, frame| {
            events.clear();
            decode(frame, 0, usize::MAX, &mut events, cursor)?;
            verified.events += events.len() as u64;
            Ok(ControlFlow::Continue(()))
        })?;
        verified.frames = stop.frames;
        Ok(verified)
    }
}

/// Appends the frame's events from position `first` on, until there are `limit`.
fn decode(
    frame: &Frame<'_>,
    first: u64,
    limit: usize,
    events: &mut Vec<Recorded>,
    cursor: Cursor,
) -> Result<(), JournalError> {
    let malformed = |Malformed(reason)| {
        JournalError::damaged(segment_name(cursor.place.number), u64::from(cursor.place.offset), reason)
    };
    for block in frame.blocks() {
        let (_, block) = block.map_err(malformed)?;
        if block.first_position + u64::from(block.events) <= first {
            continue;
        }
        let mut position = block.first_position;
        for write in block.writes() {
            for event in write.map_err(malformed)?.events() {
                let event = event.map_err(malformed)?;
                if position >= first {
                    if events.len() == limit {
                        return Ok(());
                    }
                    let at = Position(position);
                    let event = event.decode().map_err(|source| JournalError::Unreadable { position: at, source })?;
                    events.push(Recorded { position: at, event });
                }
                position += 1;
            }
        }
    }
    Ok(())
}

//! Walking over frames in order, each checked as a whole and as a link of the chain (INV-14).
//!
//! Every sequential reader goes through here: recovery, the feeder's reads, index builds, snapshots, verification. A
//! walk with a known end treats anything but good frames before it as damage. A walk without one (recovery, and readers
//! of another process) stops at the first place where no good frame is, and says why; in any segment but the last
//! that is damage too, because a segment begins only when everything before it is durable.

use std::io;
use std::ops::ControlFlow;

use crate::error::{During, JournalError};
use crate::frame::{Frame, Header, Invalid};
use crate::segment::{Chain, SEGMENT_HEADER_BYTES, segment_name};
use crate::shared::{Cursor, Place, Shared};
use crate::storage::{File, Storage};
use crate::window::Window;

/// Where a walk ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) cursor: Cursor,
    /// Why there is no further frame; nothing when the visitor broke off or the known end was reached.
    pub(crate) invalid: Option<Invalid>,
    pub(crate) frames: u64,
}

/// Visits frames from `from` up to `end`, or as far as there are any.
pub(crate) fn walk<S: Storage>(
    shared: &Shared<S>,
    from: Cursor,
    end: Option<Place>,
    mut visit: impl FnMut(Cursor, &Frame<'_>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<Stop, JournalError> {
    let mut cursor = from;
    let mut frames = 0;
    let last = end.map_or_else(|| shared.segment_count(), |end| end.number);
    loop {
        let number = cursor.place.number;
        let file = shared.file(number)?;
        let name = segment_name(number);
        let limit = match end {
            Some(end) if end.number == number => u64::from(end.offset),
            Some(_) | None => file.length().during("measure", &name)?,
        };
        let mut window = Window::new(&*file, limit);
        let invalid = loop {
            if end == Some(cursor.place) {
                break None;
            }
            let frame = match next_frame(&mut window, &cursor).during("read", &name)? {
                Ok(frame) => frame,
                Err(invalid) => break Some(invalid),
            };
            let flow = visit(cursor, &frame)?;
            cursor = cursor.after(&frame.header);
            frames += 1;
            if flow.is_break() {
                return Ok(Stop { cursor, invalid: None, frames });
            }
        };
        let damaged = |reason| shared.damaged(cursor.place, reason);
        if number == last {
            return match (end, invalid) {
                (Some(_), Some(invalid)) => Err(damaged(invalid.reason())),
                (Some(_) | None, invalid) => Ok(Stop { cursor, invalid, frames }),
            };
        }
        if shared.segment(number + 1).is_none_or(|next| next.start != cursor.chain) {
            return Err(damaged(invalid.map_or("the next segment does not continue this one", Invalid::reason)));
        }
        cursor.place = Place { number: number + 1, offset: SEGMENT_HEADER_BYTES as u32 };
    }
}

/// The frame at the cursor, checked as a whole and as the next link of the chain.
fn next_frame<'w, F: File>(window: &'w mut Window<'_, F>, cursor: &Cursor) -> io::Result<Result<Frame<'w>, Invalid>> {
    let frame = window.frame(u64::from(cursor.place.offset))?;
    Ok(frame.and_then(|frame| continues(cursor.chain, &frame.header).map(|()| frame)))
}

fn continues(chain: Chain, header: &Header) -> Result<(), Invalid> {
    if header.sequence != chain.sequence {
        return Err(Invalid::Chain("the frame has another sequence number than the one before it asks for"));
    }
    if header.first_position != chain.position {
        return Err(Invalid::Chain("the frame has another position than the one before it asks for"));
    }
    if header.previous != chain.previous {
        return Err(Invalid::Chain("the frame does not follow the one before it"));
    }
    Ok(())
}

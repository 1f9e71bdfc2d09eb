//! What the end of the journal is: clean, torn by a crash, or damaged (INV-14).
//!
//! Frames are written one after another, each after the sync of the one before, into space that reads as zeros. So:
//!
//! * A later frame behind bytes that are no frame proves that those bytes once were an acknowledged one: damage.
//! * A crash leaves out whole sectors of the last write, or cuts it off; either way zeros remain where it is not. A
//!   frame without such a gap was written to its end, and if it fails its checks nevertheless, it has rotted: damage.
//! * Everything else was never acknowledged, and is cut.

use std::io;

use crate::frame::{FRAME_HEADER_BYTES, Header, Invalid, has_trailer};
use crate::segment::Chain;
use crate::storage::{File, SECTOR_BYTES, read_full};
use crate::window::{READ_AHEAD_BYTES, Window};

/// What comes after the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing.
    Clean,
    /// So many bytes of a frame that was never acknowledged.
    Torn { bytes: u64 },
    /// Frames that were acknowledged and cannot be read.
    Damaged(&'static str),
}

/// Judges the bytes of `file` from the offset `tail.0`, where there is no good frame, to its end `tail.1`.
pub(crate) fn ending(file: &impl File, tail: (u64, u64), chain: Chain, invalid: Invalid) -> io::Result<Ending> {
    let (from, end) = tail;
    let opaque = match invalid {
        Invalid::Chain(reason) => return Ok(Ending::Damaged(reason)),
        Invalid::Body(length, _) => u64::from(length),
        Invalid::Blank | Invalid::Header => 0,
    };
    let Some(last) = last_written(file, from, end)? else { return Ok(Ending::Clean) };
    if later_frame(file, from + opaque.max(8), last + 1, chain.sequence)? {
        return Ok(Ending::Damaged(match invalid {
            Invalid::Blank => "a frame is missing, and later ones follow",
            Invalid::Header | Invalid::Body(..) | Invalid::Chain(_) => invalid.reason(),
        }));
    }
    let header = FRAME_HEADER_BYTES as u64;
    let rotten = match invalid {
        Invalid::Body(length, _) => without_gaps(file, from, u64::from(length))? && ends_well(file, from, length)?,
        Invalid::Header => last >= from + header && without_gaps(file, from, header)?,
        Invalid::Blank | Invalid::Chain(_) => false,
    };
    Ok(if rotten { Ending::Damaged(invalid.reason()) } else { Ending::Torn { bytes: last + 1 - from } })
}

/// The offset of the last byte in the range that is not zero.
fn last_written(file: &impl File, from: u64, end: u64) -> io::Result<Option<u64>> {
    let mut last = None;
    let mut chunk = vec![0; READ_AHEAD_BYTES];
    let mut at = from;
    while at < end {
        let length = (end - at).min(READ_AHEAD_BYTES as u64) as usize;
        let read = read_full(file, &mut chunk[..length], at)?;
        if let Some(index) = chunk[..read].iter().rposition(|byte| *byte != 0) {
            last = Some(at + index as u64);
        }
        if read < length {
            break;
        }
        at += read as u64;
    }
    Ok(last)
}

/// Whether a frame after number `sequence` begins somewhere in the range. Its header is proof enough.
fn later_frame(file: &impl File, from: u64, end: u64, sequence: u64) -> io::Result<bool> {
    let mut window = Window::new(file, end);
    let mut at = from;
    while at + FRAME_HEADER_BYTES as u64 <= end {
        let bytes = window.at(at, FRAME_HEADER_BYTES)?;
        // Every frame begins with the same byte, which is rare elsewhere.
        if bytes.first() == Some(&0xff) && Header::parse(bytes).is_ok_and(|header| header.sequence > sequence) {
            return Ok(true);
        }
        at += 8;
    }
    Ok(false)
}

/// Whether each sector has something in its part of the range.
fn without_gaps(file: &impl File, from: u64, length: u64) -> io::Result<bool> {
    let mut window = Window::new(file, from + length);
    let mut at = from;
    while at < from + length {
        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(from + length);
        if window.at(at, (next - at) as usize)?.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        at = next;
    }
    Ok(true)
}

fn ends_well(file: &impl File, from: u64, length: u32) -> io::Result<bool> {
    let mut window = Window::new(file, from + u64::from(length));
    let Ok(header) = window.header(from)? else { return Ok(false) };
    let bytes = window.at(from, length as usize)?;
    Ok(bytes.len() == length as usize && has_trailer(&header, bytes))
}

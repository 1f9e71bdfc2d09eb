//! Reading frames and appends out of a file: buffered, checked before anything is handed out (INV-14).
//!
//! A [`Window`] moves over frames, for recovery and for readers of the log; [`read_block`] reads one append where an
//! index says it is. What bytes mean that fail their checks is left to the caller, at the end of the journal to
//! [`crate::torn`].

use std::io;

use crate::block::{BLOCK_LENGTH_BYTES, Block, block_length};
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, Header, Invalid};
use crate::storage::{File, read_full};
use crate::wire::Malformed;

/// How much is read at once when frames are read one after another, in bytes.
pub(crate) const READ_AHEAD_BYTES: usize = 256 << 10;
/// How much is read at once for a single append, in bytes: most are smaller.
const POINT_READ_BYTES: usize = 4 << 10;

/// A part of a file in memory, which moves forward as frames are read.
#[derive(Debug)]
pub(crate) struct Window<'f, F> {
    file: &'f F,
    base: u64,
    bytes: Vec<u8>,
    filled: usize,
    end: u64,
}

impl<'f, F: File> Window<'f, F> {
    /// A window that never looks at or beyond `end`.
    pub(crate) fn new(file: &'f F, end: u64) -> Self {
        Self { file, base: 0, bytes: Vec::new(), filled: 0, end }
    }

    /// Up to `length` bytes at `offset`; fewer at the end.
    pub(crate) fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let available = self.end.saturating_sub(offset);
        let length = usize::try_from(available).map_or(length, |available| available.min(length));
        let inside = offset >= self.base && offset + length as u64 <= self.base + self.filled as u64;
        if !inside {
            let wanted = usize::try_from(available).unwrap_or(usize::MAX).min(length.max(READ_AHEAD_BYTES));
            if self.bytes.len() < wanted {
                self.bytes.resize(wanted, 0);
            }
            self.base = offset;
            self.filled = read_full(self.file, &mut self.bytes[..wanted], offset)?;
        }
        let start = (offset - self.base) as usize;
        let end = (start + length).min(self.filled);
        Ok(&self.bytes[start..end.max(start)])
    }

    /// The header at `offset`, checked.
    pub(crate) fn header(&mut self, offset: u64) -> io::Result<Result<Header, Invalid>> {
        self.at(offset, FRAME_HEADER_BYTES).map(Header::parse)
    }

    /// The frame at `offset`, checked as a whole.
    pub(crate) fn frame(&mut self, offset: u64) -> io::Result<Result<Frame<'_>, Invalid>> {
        match self.header(offset)? {
            Ok(header) => Ok(Frame::parse(header, self.at(offset, header.length as usize)?)),
            Err(invalid) => Ok(Err(invalid)),
        }
    }
}

/// Reads the append at `offset` into `buffer` and checks it.
pub(crate) fn read_block<'b>(
    file: &impl File,
    offset: u64,
    buffer: &'b mut Vec<u8>,
) -> io::Result<Result<Block<'b>, Malformed>> {
    buffer.resize(POINT_READ_BYTES, 0);
    let mut filled = read_full(file, buffer, offset)?;
    if filled < BLOCK_LENGTH_BYTES {
        return Ok(Err(Malformed("an append is cut off")));
    }
    let length = match block_length(buffer) {
        Ok(length) if length <= FRAME_BYTES_MAX => length,
        Ok(_) | Err(_) => return Ok(Err(Malformed("an append fails its checksum"))),
    };
    if length > filled && filled == POINT_READ_BYTES {
        buffer.resize(length, 0);
        filled += read_full(file, &mut buffer[POINT_READ_BYTES..], offset + POINT_READ_BYTES as u64)?;
    }
    buffer.truncate(filled);
    Ok(Block::parse(buffer))
}

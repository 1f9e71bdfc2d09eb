//! The frame: what one sync makes durable, all of it or nothing.
//!
//! Header and blocks vouch for every byte (INV-14), frames form a chain, and a single append can be checked without the
//! frame around it. The trailer tells a frame that was written to its end from one that was torn ([`crate::torn`]). The
//! bytes are described at [`Header`]; what stands in a block is left to [`crate::block`].

use wallex_core::time::Timestamp;

use crate::block::Block;
use crate::wire::{Fields, Malformed, length32, put};

/// Bytes before the blocks.
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
/// Bytes after the blocks.
const TRAILER_BYTES: usize = 8;
const ALIGNMENT: usize = 8;
const MAGIC: u32 = u32::from_le_bytes([0xff, b'W', 0xfe, 0xf1]);
const TRAILER: u64 = 0xc3a5_96e1_0f1e_2d3c;
/// Largest frame, in bytes. A group that needs more is cut into several frames.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// A frame that has grown to this size is committed before more goes in.
pub(crate) const FRAME_BYTES_FULL: usize = 16 << 20;

/// The fixed part of a frame.
///
/// ```text
///  0 magic          u32   never occurs in JSON text
///  4 length         u32   of the whole frame, a multiple of 8
///  8 sequence       u64   of the frame, from 1, dense over all segments
/// 16 first_position u64   of the first event; the next one's when the frame has none
/// 24 time           i64   microseconds since the epoch
/// 32 events         u32
/// 36 blocks         u32   appends in it
/// 40 blocks_length  u32   bytes of the blocks
/// 44 blocks_check   u32   CRC-32C over the blocks' own CRCs, each of which covers its block
/// 48 previous       u32   header_check of the frame before
/// 52 zero           u64
/// 60 header_check   u32   CRC-32C over the 60 bytes above
/// 64 blocks, zeros up to a multiple of 8, and the trailer: sequence XOR a constant
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) sequence: u64,
    pub(crate) first_position: u64,
    pub(crate) time: Timestamp,
    pub(crate) events: u32,
    pub(crate) blocks: u32,
    pub(crate) blocks_length: u32,
    pub(crate) blocks_check: u32,
    pub(crate) previous: u32,
    /// Of this header; the next frame repeats it.
    pub(crate) check: u32,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// Zeros, or the end of the file: nothing was written here.
    Blank,
    /// The header fails its check, or is cut off.
    Header,
    /// The header is right, and what follows it is not: the frame's length and which check failed.
    Body(u32, &'static str),
    /// A good frame that does not continue the chain.
    Chain(&'static str),
}

impl Invalid {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Blank => "there is no frame where one must be",
            Self::Header => "the header of a frame fails its checksum",
            Self::Body(_, reason) | Self::Chain(reason) => reason,
        }
    }
}

impl Header {
    /// Reads a header and checks everything about it that can be checked alone.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let header = bytes.first_chunk::<FRAME_HEADER_BYTES>();
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Invalid::Blank);
        }
        let header = header.ok_or(Invalid::Header)?;
        Self::fields(header).ok().flatten().ok_or(Invalid::Header)
    }

    fn fields(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Option<Self>, Malformed> {
        let mut fields = Fields::new(bytes);
        let magic = fields.u32()?;
        let mut header = Self {
            length: fields.u32()?,
            sequence: fields.u64()?,
            first_position: fields.u64()?,
            time: Timestamp::from_micros(fields.i64()?),
            events: fields.u32()?,
            blocks: fields.u32()?,
            blocks_length: fields.u32()?,
            blocks_check: fields.u32()?,
            previous: fields.u32()?,
            check: 0,
        };
        fields.u64()?;
        header.check = fields.u32()?;
        let right = magic == MAGIC
            && header.check == crc32c::crc32c(&bytes[..60])
            && header.length as usize == frame_length(header.blocks_length as usize)
            && header.length as usize <= FRAME_BYTES_MAX;
        Ok(right.then_some(header))
    }

    /// The position of the first event after this frame.
    pub(crate) fn next_position(&self) -> u64 {
        self.first_position + u64::from(self.events)
    }
}

/// The length of a frame with so many bytes of blocks.
pub(crate) fn frame_length(blocks_length: usize) -> usize {
    (FRAME_HEADER_BYTES + blocks_length).next_multiple_of(ALIGNMENT) + TRAILER_BYTES
}

/// A frame whose every byte was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    blocks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks a whole frame; `bytes` may be longer than it.
    pub(crate) fn parse(header: Header, bytes: &'a [u8]) -> Result<Self, Invalid> {
        let invalid = |reason| Invalid::Body(header.length, reason);
        let bytes = bytes.get(..header.length as usize).ok_or(invalid("the frame is cut off"))?;
        if !has_trailer(&header, bytes) {
            return Err(invalid("the end of the frame is missing"));
        }
        let end = FRAME_HEADER_BYTES + header.blocks_length as usize;
        if bytes[end..bytes.len() - TRAILER_BYTES].iter().any(|byte| *byte != 0) {
            return Err(invalid("the frame fails its checksum"));
        }
        let frame = Self { header, blocks: &bytes[FRAME_HEADER_BYTES..end] };
        let (mut check, mut blocks, mut events) = (0, 0, 0_u64);
        for block in frame.blocks() {
            let (_, block) = block.map_err(|Malformed(reason)| invalid(reason))?;
            if block.first_position != header.first_position + events {
                return Err(invalid("an append is not at its position"));
            }
            check = crc32c::crc32c_append(check, &block.check.to_le_bytes());
            blocks += 1;
            events += u64::from(block.events);
        }
        if check != header.blocks_check || blocks != header.blocks || events != u64::from(header.events) {
            return Err(invalid("the frame fails its checksum"));
        }
        Ok(frame)
    }

    /// The appends, each with its offset in the frame.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<(u32, Block<'a>), Malformed>> + use<'a> {
        let all = self.blocks;
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= all.len() {
                return None;
            }
            let offset = length32(FRAME_HEADER_BYTES + at);
            let block = Block::parse(&all[at..]);
            at = block.as_ref().map_or(all.len(), |block| at + block.length as usize);
            Some(block.map(|block| (offset, block)))
        })
    }
}

/// Whether the last bytes of a frame are those that were to be written.
pub(crate) fn has_trailer(header: &Header, frame: &[u8]) -> bool {
    frame.last_chunk::<TRAILER_BYTES>() == Some(&(header.sequence ^ TRAILER).to_le_bytes())
}

/// Builds frames in one buffer that is used again and again.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: u32,
    blocks: u32,
    check: u32,
}

/// A point to return to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) offset: usize,
    events: u32,
    blocks: u32,
    check: u32,
}

impl FrameBuilder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER_BYTES], events: 0, blocks: 0, check: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        (self.events, self.blocks, self.check) = (0, 0, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { offset: self.bytes.len(), events: self.events, blocks: self.blocks, check: self.check }
    }

    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.offset);
        (self.events, self.blocks, self.check) = (mark.events, mark.blocks, mark.check);
    }

    /// Counts a block that was just written, with its own check.
    pub(crate) fn add_block(&mut self, events: u32, check: u32) {
        self.events += events;
        self.blocks += 1;
        self.check = crc32c::crc32c_append(self.check, &check.to_le_bytes());
    }

    /// Completes the frame; what comes back is the check that the next frame repeats.
    pub(crate) fn seal(&mut self, sequence: u64, first_position: u64, time: Timestamp, previous: u32) -> u32 {
        let blocks_length = self.bytes.len() - FRAME_HEADER_BYTES;
        let length = frame_length(blocks_length);
        self.bytes.resize(length - TRAILER_BYTES, 0);
        self.bytes.extend_from_slice(&(sequence ^ TRAILER).to_le_bytes());
        let head = &mut self.bytes[..FRAME_HEADER_BYTES];
        head.fill(0);
        put(head, 0, &MAGIC.to_le_bytes());
        put(head, 4, &length32(length).to_le_bytes());
        put(head, 8, &sequence.to_le_bytes());
        put(head, 16, &first_position.to_le_bytes());
        put(head, 24, &time.as_micros().to_le_bytes());
        put(head, 32, &self.events.to_le_bytes());
        put(head, 36, &self.blocks.to_le_bytes());
        put(head, 40, &length32(blocks_length).to_le_bytes());
        put(head, 44, &self.check.to_le_bytes());
        put(head, 48, &previous.to_le_bytes());
        let check = crc32c::crc32c(&head[..60]);
        put(head, 60, &check.to_le_bytes());
        check
    }
}

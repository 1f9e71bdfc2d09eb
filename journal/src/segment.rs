//! Segment files: their names, their headers, and how a new one comes into being.
//!
//! `00000000000000000001.seg`, `…2.seg`, …: dense numbers, so that a missing one shows. A segment gets its name only
//! when its header and its preallocated zeros are durable, so a named segment without a good header is damage (INV-14),
//! never the trace of a crash. Zeros are written ahead of time because overwriting space that a file already has syncs
//! about twice as fast as growing it.

use std::io;

use crate::error::{During, JournalError};
use crate::storage::{File, Storage, read_full};
use crate::wire::{Fields, Malformed, put};

/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"\xffWLXSEG\x01";
const FORMAT: u32 = 1;
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
/// How many zeros are synced at once, in bytes: the syncs of the writer wait for the disk behind these.
const ALLOCATION_STEP_BYTES: u64 = 4 << 20;
/// Files that a crash left behind half made end with this, and are removed at the next start.
pub(crate) const UNFINISHED: &str = ".tmp";

/// What a segment's header says: where its first frame stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u32,
    pub(crate) content: Content,
    pub(crate) chain: Chain,
}

/// What the frames hold. Both kinds of log have the same frames, and neither may be taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Events of wallets, with idempotency records.
    Wallets,
    /// Events of any kind in streams of any name ([`crate::raw`]).
    Opaque,
}

impl Content {
    fn code(self) -> u32 {
        match self {
            Self::Wallets => 0,
            Self::Opaque => 1,
        }
    }

    fn of_code(code: u32) -> Option<Self> {
        [Self::Wallets, Self::Opaque].into_iter().find(|content| content.code() == code)
    }
}

/// The place in the chain of frames where the next one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Sequence number of the next frame.
    pub(crate) sequence: u64,
    /// Position of the next event.
    pub(crate) position: u64,
    /// Check of the last frame's header; 0 before the first.
    pub(crate) previous: u32,
}

impl Chain {
    /// Before the first frame.
    pub(crate) const START: Self = Self { sequence: 1, position: 1, previous: 0 };
}

/// The file name of a segment.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:020}.seg")
}

/// The file name of a segment's stream index.
pub(crate) fn index_name(number: u32) -> String {
    format!("{number:020}.idx")
}

/// The numbers of the segments among these files, in order.
///
/// # Errors
/// [`JournalError::Damaged`] when one is missing.
pub(crate) fn segment_numbers(files: &[String]) -> Result<Vec<u32>, JournalError> {
    let mut numbers: Vec<u32> =
        files.iter().filter_map(|name| name.strip_suffix(".seg")).filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    for (expected, number) in (1..).zip(&numbers) {
        if expected != *number {
            return Err(JournalError::damaged(segment_name(expected), 0, "the segment is missing"));
        }
    }
    Ok(numbers)
}

/// Reads and checks the header of a segment.
pub(crate) fn read_header(file: &impl File, number: u32, content: Content) -> Result<SegmentHeader, JournalError> {
    let name = segment_name(number);
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = read_full(file, &mut bytes, 0).during("read", &name)?;
    let damaged = |reason| JournalError::damaged(name.clone(), 0, reason);
    if read < bytes.len() {
        return Err(damaged("the header of the segment is cut off"));
    }
    match parse(&bytes) {
        Ok(Some(header)) if header.content != content => Err(JournalError::OtherLog(name)),
        Ok(Some(header)) if header.number == number => Ok(header),
        Ok(Some(_)) => Err(damaged("the segment belongs elsewhere")),
        Ok(None) | Err(_) => Err(damaged("the header of the segment fails its checksum")),
    }
}

fn parse(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<Option<SegmentHeader>, Malformed> {
    let mut fields = Fields::new(bytes);
    let (magic, format, number) = (fields.array::<8>()?, fields.u32()?, fields.u32()?);
    let chain = Chain { sequence: fields.u64()?, position: fields.u64()?, previous: fields.u32()? };
    let content = Content::of_code(fields.u32()?);
    let check = Fields::new(&bytes[60..]).u32()?;
    let right = magic == MAGIC && format == FORMAT && check == crc32c::crc32c(&bytes[..60]);
    Ok(content.filter(|_| right).map(|content| SegmentHeader { number, content, chain }))
}

fn header_bytes(header: &SegmentHeader) -> [u8; SEGMENT_HEADER_BYTES as usize] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &FORMAT.to_le_bytes());
    put(&mut bytes, 12, &header.number.to_le_bytes());
    put(&mut bytes, 16, &header.chain.sequence.to_le_bytes());
    put(&mut bytes, 24, &header.chain.position.to_le_bytes());
    put(&mut bytes, 32, &header.chain.previous.to_le_bytes());
    put(&mut bytes, 36, &header.content.code().to_le_bytes());
    let check = crc32c::crc32c(&bytes[..60]);
    put(&mut bytes, 60, &check.to_le_bytes());
    bytes
}

/// Overwrites `from..to` with zeros.
pub(crate) fn write_zeros(file: &impl File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let step = (to - at).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Makes a file of durable zeros under a temporary name, or leaves nothing behind.
pub(crate) fn allocate<S: Storage>(storage: &S, name: &str, length: u64) -> Result<S::File, JournalError> {
    let made = storage.create(name).and_then(|file| {
        for from in (0..length).step_by(ALLOCATION_STEP_BYTES as usize) {
            write_zeros(&file, from, length.min(from + ALLOCATION_STEP_BYTES))?;
            file.sync_data()?;
        }
        Ok(file)
    });
    if made.is_err() {
        // The space matters more than this error: on a full disk the half-made file would keep it full.
        let _ = storage.remove(name);
    }
    made.during("allocate", name)
}

/// Turns an allocated file into a segment: durable header first, then the name, then the durable name.
pub(crate) fn install<S: Storage>(
    storage: &S,
    file: &S::File,
    temporary: &str,
    header: &SegmentHeader,
) -> Result<(), JournalError> {
    let name = segment_name(header.number);
    file.write_at(&header_bytes(header), 0).during("write", temporary)?;
    file.sync_data().during("sync", temporary)?;
    storage.rename(temporary, &name).during("rename", temporary)?;
    storage.sync_dir().during("sync the directory for", &name)
}

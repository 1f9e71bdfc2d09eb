//! The index file of a full segment: the entries of [`crate::index`], sorted by stream hash and version.
//!
//! ```text
//! header  magic 8 | number u32 | entries u32 | chain at the segment's end (sequence u64, position u64, previous u32)
//!         | check u32 of header and table
//! table   1,024 buckets by the upper ten bits of the hash: first entry u32 | CRC-32C of the bucket u32
//! entries hash u64 | first_version u64 | count u32 | offset u32
//! ```
//!
//! A look-up reads one bucket and checks it. An index that is missing, damaged or of another segment is no loss: it is
//! built again from the segment.

use crate::error::{During, JournalError};
use crate::index::{Entry, MemoryIndex, SegmentIndex, start_of};
use crate::segment::{Chain, UNFINISHED, index_name};
use crate::shared::{Segment, Shared, locked};
use crate::storage::{Access, File, Storage, read_full};
use crate::wire::{Fields, Malformed, length32, put};

const MAGIC: [u8; 8] = *b"\xffWLXIDX\x01";
const BUCKETS: usize = 1_024;
const HEADER_BYTES: usize = 40;
const TABLE_BYTES: usize = BUCKETS * 8;
const ENTRY_BYTES: usize = 24;

/// An open index file, with its table in memory.
#[derive(Debug)]
pub(crate) struct IndexFile<F> {
    file: F,
    /// First entry and check of each bucket.
    table: Vec<(u32, u32)>,
    entries: u32,
}

fn bucket_of(hash: u64) -> usize {
    (hash >> 54) as usize
}

impl<F: File> IndexFile<F> {
    /// Opens the index of a full segment; nothing when there is none to be trusted.
    pub(crate) fn open<S: Storage<File = F>>(shared: &Shared<S>, segment: &Segment<F>) -> Option<Self> {
        let file = shared.storage.open(&index_name(segment.number), Access::Read).ok()?;
        let mut bytes = vec![0; HEADER_BYTES + TABLE_BYTES];
        if read_full(&file, &mut bytes, 0).ok()? < bytes.len() {
            return None;
        }
        let (chain, table, entries) = parse(&bytes, segment.number).ok().flatten()?;
        let next = shared.segment(segment.number + 1)?;
        (next.start == chain).then_some(Self { file, table, entries })
    }

    /// The entries of a hash in version order; nothing when their bucket is damaged.
    pub(crate) fn find(&self, hash: u64) -> Option<Vec<Entry>> {
        let bucket = bucket_of(hash);
        let (start, check) = self.table[bucket];
        let end = self.table.get(bucket + 1).map_or(self.entries, |(start, _)| *start);
        let mut bytes = vec![0; end.checked_sub(start)? as usize * ENTRY_BYTES];
        let offset = (HEADER_BYTES + TABLE_BYTES) as u64 + u64::from(start) * ENTRY_BYTES as u64;
        let read = read_full(&self.file, &mut bytes, offset).ok()?;
        if read < bytes.len() || crc32c::crc32c(&bytes) != check {
            return None;
        }
        let mut found = Vec::new();
        let mut fields = Fields::new(&bytes);
        while !fields.remaining().is_empty() {
            let entry = entry(&mut fields).ok()?;
            if entry.hash == hash {
                found.push(entry);
            }
        }
        Some(found)
    }
}

type Parsed = (Chain, Vec<(u32, u32)>, u32);

fn parse(bytes: &[u8], number: u32) -> Result<Option<Parsed>, Malformed> {
    let mut fields = Fields::new(bytes);
    let magic = fields.array::<8>()?;
    let (found_number, entries) = (fields.u32()?, fields.u32()?);
    let chain = Chain { sequence: fields.u64()?, position: fields.u64()?, previous: fields.u32()? };
    let check = fields.u32()?;
    let table = (0..BUCKETS).map(|_| Ok((fields.u32()?, fields.u32()?))).collect::<Result<Vec<_>, Malformed>>()?;
    let right = magic == MAGIC && found_number == number && check == header_check(bytes);
    Ok(right.then_some((chain, table, entries)))
}

fn header_check(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..36]), &bytes[HEADER_BYTES..HEADER_BYTES + TABLE_BYTES])
}

fn entry(fields: &mut Fields<'_>) -> Result<Entry, Malformed> {
    Ok(Entry { hash: fields.u64()?, first_version: fields.u64()?, count: fields.u32()?, offset: fields.u32()? })
}

fn encode(number: u32, chain: Chain, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES + TABLE_BYTES];
    bytes.reserve(entries.len() * ENTRY_BYTES);
    let mut next = 0;
    for bucket in 0..BUCKETS {
        let start = next;
        let first_byte = bytes.len();
        while let Some(entry) = entries.get(next).filter(|entry| bucket_of(entry.hash) == bucket) {
            bytes.extend_from_slice(&entry.hash.to_le_bytes());
            bytes.extend_from_slice(&entry.first_version.to_le_bytes());
            bytes.extend_from_slice(&entry.count.to_le_bytes());
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            next += 1;
        }
        let check = crc32c::crc32c(&bytes[first_byte..]);
        put(&mut bytes, HEADER_BYTES + bucket * 8, &length32(start).to_le_bytes());
        put(&mut bytes, HEADER_BYTES + bucket * 8 + 4, &check.to_le_bytes());
    }
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &number.to_le_bytes());
    put(&mut bytes, 12, &length32(entries.len()).to_le_bytes());
    put(&mut bytes, 16, &chain.sequence.to_le_bytes());
    put(&mut bytes, 24, &chain.position.to_le_bytes());
    put(&mut bytes, 32, &chain.previous.to_le_bytes());
    let check = header_check(&bytes);
    put(&mut bytes, 36, &check.to_le_bytes());
    bytes
}

/// Builds the index files of all full segments that have none. Returns how many were built.
pub(crate) fn build_missing<S: Storage>(shared: &Shared<S>) -> Result<usize, JournalError> {
    let _one_at_a_time = locked(&shared.indexing);
    let end = shared.end();
    let mut built = 0;
    for segment in shared.segments().into_iter().take_while(|segment| segment.number < end.number) {
        // An index in memory means that there is no file, or one that turned out to be damaged.
        let existing = match &*locked(&segment.index) {
            SegmentIndex::File(_) => continue,
            SegmentIndex::Unknown => true,
            SegmentIndex::Memory(_) => false,
        };
        let file = existing.then(|| IndexFile::open(shared, &segment)).flatten();
        let file = match (file, shared.segment(segment.number + 1)) {
            (Some(file), _) => file,
            (None, None) => continue,
            (None, Some(next)) => {
                let mut memory = MemoryIndex::new(start_of(&segment));
                memory.catch_up(shared, end)?;
                write(shared, &segment, next.start, &memory.sorted())?;
                built += 1;
                let name = index_name(segment.number);
                let missing = || JournalError::damaged(name.clone(), 0, "the index that was just written is not there");
                IndexFile::open(shared, &segment).ok_or_else(missing)?
            }
        };
        *locked(&segment.index) = SegmentIndex::File(file);
    }
    Ok(built)
}

fn write<S: Storage>(
    shared: &Shared<S>,
    segment: &Segment<S::File>,
    chain: Chain,
    entries: &[Entry],
) -> Result<(), JournalError> {
    let name = index_name(segment.number);
    let temporary = format!("{name}{UNFINISHED}");
    let written = shared.storage.create(&temporary).and_then(|file| {
        file.write_at(&encode(segment.number, chain, entries), 0)?;
        file.sync_data()
    });
    if written.is_err() {
        // The space matters more than this second error.
        let _ = shared.storage.remove(&temporary);
    }
    written.during("write", &temporary)?;
    shared.storage.rename(&temporary, &name).during("rename", &temporary)?;
    shared.storage.sync_dir().during("sync the directory for", &name)
}

//! The block: one atomic append inside a frame, with events of any streams and idempotency records.
//!
//! ```text
//! block   check u32 (CRC-32C of the rest) | length u32 | first_position u64 | events u32 | writes u32 | records u32
//!         | zero u32 | writes… | records…
//! write   length u32 | events u32 | first_version u64 | stream length u16 | stream | events…
//! event   id 16 | flags u8 | type length u16 | data length u32 | metadata length u32 | type | data | metadata
//! record  key 16 | fingerprint 16 | command id 16 | expires_at i64 | answer kind u8 | answer length u32 | answer
//! ```
//!
//! Stream names, event types, data and metadata are opaque here; that they are wallets' is the business of the writer
//! and of the readers above. A block can be read and checked alone, at its offset.

use wallex_core::command::{Fingerprint, KeyHash};
use wallex_core::event::codec::{decode, encode_data, encode_metadata};
use wallex_core::event::{CodecError, Event};
use wallex_core::id::{CommandId, EventId};
use wallex_core::time::Timestamp;

use crate::wire::{Fields, Malformed, length32, put};

/// Bytes before the first write.
pub(crate) const BLOCK_HEADER_BYTES: usize = 32;
/// Bytes from a block's start that are enough to learn its length.
pub(crate) const BLOCK_LENGTH_BYTES: usize = 8;
/// Streams of wallets begin with this; see [`wallex_core::event::stream_name`].
pub(crate) const WALLET_STREAM: &str = "wallet-";
/// Data and metadata are JSON.
const FLAGS_JSON: u8 = 0b11;

/// A checked block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) check: u32,
    pub(crate) length: u32,
    pub(crate) first_position: u64,
    pub(crate) events: u32,
    writes: u32,
    records: u32,
    body: &'a [u8],
}

/// Events of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) stream: &'a str,
    pub(crate) first_version: u64,
    pub(crate) count: u32,
    /// How many events of the block come before it.
    pub(crate) events_before: u32,
    body: &'a [u8],
}

/// One event as stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredEvent<'a> {
    pub(crate) id: EventId,
    pub(crate) flags: u8,
    pub(crate) kind: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) metadata: &'a [u8],
}

/// One idempotency record as stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Where it begins in the block.
    pub(crate) offset: u32,
    pub(crate) key: KeyHash,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) command_id: CommandId,
    pub(crate) expires_at: Timestamp,
    pub(crate) answer_kind: u8,
    pub(crate) answer: &'a [u8],
}

/// The length of the block that begins with these bytes.
pub(crate) fn block_length(start: &[u8]) -> Result<usize, Malformed> {
    let mut fields = Fields::new(start);
    fields.u32()?;
    Ok(fields.u32()? as usize)
}

impl<'a> Block<'a> {
    /// Reads and checks the block at the front of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let length = block_length(bytes)?;
        if length < BLOCK_HEADER_BYTES {
            return Err(Malformed("an append fails its checksum"));
        }
        let block = bytes.get(..length).ok_or(Malformed("an append reaches beyond its frame"))?;
        let mut fields = Fields::new(block);
        let check = fields.u32()?;
        if crc32c::crc32c(&block[4..]) != check {
            return Err(Malformed("an append fails its checksum"));
        }
        let length = fields.u32()?;
        let (first_position, events) = (fields.u64()?, fields.u32()?);
        let (writes, records) = (fields.u32()?, fields.u32()?);
        fields.u32()?;
        Ok(Self { check, length, first_position, events, writes, records, body: fields.remaining() })
    }

    /// The writes, in order.
    pub(crate) fn writes(&self) -> impl Iterator<Item = Result<Write<'a>, Malformed>> + use<'a> {
        let mut fields = Fields::new(self.body);
        let mut events_before = 0;
        (0..self.writes).map(move |_| {
            let write = write(&mut fields, events_before)?;
            events_before += write.count;
            Ok(write)
        })
    }

    /// The idempotency records, in order.
    pub(crate) fn records(&self) -> Result<impl Iterator<Item = Result<Record<'a>, Malformed>> + use<'a>, Malformed> {
        let mut fields = Fields::new(self.body);
        for _ in 0..self.writes {
            write(&mut fields, 0)?;
        }
        let end = self.length as usize;
        Ok((0..self.records).map(move |_| record(&mut fields, end)))
    }

    /// The record at an offset that [`Record::offset`] gave.
    pub(crate) fn record_at(&self, offset: u32) -> Result<Record<'a>, Malformed> {
        let skipped = (offset as usize).checked_sub(BLOCK_HEADER_BYTES).ok_or(Malformed("no record is there"))?;
        let rest = self.body.get(skipped..).ok_or(Malformed("no record is there"))?;
        record(&mut Fields::new(rest), self.length as usize)
    }

    /// All events in order, each with its stream and its version there.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<(&'a str, u64, StoredEvent<'a>), Malformed>> + use<'a> {
        self.writes().flat_map(|write| {
            let (events, malformed) = match write {
                Ok(write) => {
                    (Some(write.events().zip(write.first_version..).map(move |one| (write.stream, one))), None)
                }
                Err(malformed) => (None, Some(Err(malformed))),
            };
            let events = events.into_iter().flatten();
            malformed.into_iter().chain(events.map(|(stream, (event, version))| Ok((stream, version, event?))))
        })
    }

    /// The block's event number `ordinal`, from 0.
    pub(crate) fn event_at(&self, ordinal: u32) -> Result<StoredEvent<'a>, Malformed> {
        for write in self.writes() {
            let write = write?;
            if ordinal < write.events_before + write.count {
                let mut events = write.events();
                return events.nth((ordinal - write.events_before) as usize).unwrap_or(Err(NO_EVENT));
            }
        }
        Err(NO_EVENT)
    }
}

const NO_EVENT: Malformed = Malformed("an append has fewer events than it says");

fn write<'a>(fields: &mut Fields<'a>, events_before: u32) -> Result<Write<'a>, Malformed> {
    let length = fields.u32()? as usize;
    let mut own = Fields::new(fields.bytes(length)?);
    let (count, first_version) = (own.u32()?, own.u64()?);
    let name_length = usize::from(own.u16()?);
    Ok(Write { stream: own.text(name_length)?, first_version, count, events_before, body: own.remaining() })
}

fn record<'a>(fields: &mut Fields<'a>, block_length: usize) -> Result<Record<'a>, Malformed> {
    let offset = length32(block_length - fields.remaining().len());
    let key = KeyHash(fields.array()?);
    let fingerprint = Fingerprint(fields.array()?);
    let command_id = CommandId::from_bytes(fields.array()?);
    let expires_at = Timestamp::from_micros(fields.i64()?);
    let answer_kind = fields.u8()?;
    let length = fields.u32()? as usize;
    Ok(Record { offset, key, fingerprint, command_id, expires_at, answer_kind, answer: fields.bytes(length)? })
}

impl<'a> Write<'a> {
    /// The events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<StoredEvent<'a>, Malformed>> + use<'a> {
        let mut fields = Fields::new(self.body);
        (0..self.count).map(move |_| {
            let id = EventId::from_bytes(fields.array()?);
            let flags = fields.u8()?;
            let kind_length = usize::from(fields.u16()?);
            let (data_length, metadata_length) = (fields.u32()? as usize, fields.u32()? as usize);
            let kind = fields.text(kind_length)?;
            Ok(StoredEvent {
                id,
                flags,
                kind,
                data: fields.bytes(data_length)?,
                metadata: fields.bytes(metadata_length)?,
            })
        })
    }
}

impl StoredEvent<'_> {
    pub(crate) fn decode(&self) -> Result<Event, CodecError> {
        decode(self.id, self.kind, self.data, self.metadata)
    }
}

/// Begins a block; [`end_block`] completes it.
pub(crate) fn begin_block(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; BLOCK_HEADER_BYTES]);
    start
}

/// Completes the block that begins at `start`, and returns its check.
pub(crate) fn end_block(out: &mut [u8], start: usize, first_position: u64, counts: [u32; 3]) -> u32 {
    let block = &mut out[start..];
    let [events, writes, records] = counts;
    put(block, 4, &length32(block.len()).to_le_bytes());
    put(block, 8, &first_position.to_le_bytes());
    put(block, 16, &events.to_le_bytes());
    put(block, 20, &writes.to_le_bytes());
    put(block, 24, &records.to_le_bytes());
    let check = crc32c::crc32c(&block[4..]);
    put(block, 0, &check.to_le_bytes());
    check
}

/// Writes the head of a stream's part; [`end_write`] completes it.
/// The stream's name comes in two parts. Names have at most 65,535 bytes; whoever appends sees to that.
pub(crate) fn begin_write(out: &mut Vec<u8>, stream: [&str; 2], first_version: u64, events: usize) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&length32(events).to_le_bytes());
    out.extend_from_slice(&first_version.to_le_bytes());
    let [prefix, name] = stream;
    let length = u16::try_from(prefix.len() + name.len()).expect("names of streams are bounded");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(name.as_bytes());
    start
}

/// Completes the part that begins at `start`.
pub(crate) fn end_write(out: &mut [u8], start: usize) {
    let length = length32(out.len() - start - 4);
    put(out, start, &length.to_le_bytes());
}

/// Appends one event.
pub(crate) fn put_event(out: &mut Vec<u8>, event: &Event) {
    let kind = event.event_type().name();
    out.extend_from_slice(event.event_id.as_bytes());
    out.push(FLAGS_JSON);
    out.extend_from_slice(&u16::try_from(kind.len()).expect("event types have short names").to_le_bytes());
    let lengths = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(kind.as_bytes());
    let data = out.len();
    encode_data(event, out);
    let metadata = out.len();
    encode_metadata(event, out);
    let end = out.len();
    put(out, lengths, &length32(metadata - data).to_le_bytes());
    put(out, lengths + 4, &length32(end - metadata).to_le_bytes());
}

/// Appends one event of any kind. Its type has at most 65,535 bytes; whoever appends sees to that.
pub(crate) fn put_stored(out: &mut Vec<u8>, event: &StoredEvent<'_>) {
    out.extend_from_slice(event.id.as_bytes());
    out.push(event.flags);
    out.extend_from_slice(&u16::try_from(event.kind.len()).expect("event types are bounded").to_le_bytes());
    out.extend_from_slice(&length32(event.data.len()).to_le_bytes());
    out.extend_from_slice(&length32(event.metadata.len()).to_le_bytes());
    out.extend_from_slice(event.kind.as_bytes());
    out.extend_from_slice(event.data);
    out.extend_from_slice(event.metadata);
}

/// Appends the fixed part of a record; its answer follows.
pub(crate) fn put_record(out: &mut Vec<u8>, record: &wallex_core::effect::KeyRecord, kind: u8) {
    out.extend_from_slice(&record.idempotency.key.0);
    out.extend_from_slice(&record.idempotency.fingerprint.0);
    out.extend_from_slice(record.command_id.as_bytes());
    out.extend_from_slice(&record.expires_at.as_micros().to_le_bytes());
    out.push(kind);
}

//! Snapshot files: all wallets and all unexpired keys as of a place between two frames, so that a start reads only
//! what came after.
//!
//! ```text
//! header  magic 8 | place (number u32, offset u32) | sequence u64 | position u64 | previous u32 | last frame (number u32,
//!         offset u32) | wallets u64 | keys u64 | zero u32 | check u32
//! chunks  length u32 | CRC-32C u32 | wallets by id, then keys by hash
//! ```
//!
//! The header is written last, so a snapshot without one is no snapshot. A snapshot is only a shortcut: a damaged one
//! is reported and passed over, the journal itself has everything (INV-14).

use wallex_core::command::{Fingerprint, KeyHash};
use wallex_core::currency::Currency;
use wallex_core::id::{OwnerId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::error::{During, JournalError};
use crate::keys::KeyEntry;
use crate::segment::Chain;
use crate::shared::{Cursor, Place};
use crate::storage::{File, read_full};
use crate::window::READ_AHEAD_BYTES;
use crate::wire::{Fields, Malformed, length32, put};

const MAGIC: [u8; 8] = *b"\xffWLXSNP\x01";
const HEADER_BYTES: usize = 72;
const CHUNK_BYTES_MAX: usize = READ_AHEAD_BYTES * 2;

/// What a snapshot says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    /// Everything before this place is in it.
    pub(crate) cursor: Cursor,
    /// Where the last frame in it begins.
    pub(crate) last_frame: Place,
    pub(crate) wallets: u64,
    pub(crate) keys: u64,
}

/// The file name of a snapshot that ends before a frame.
pub(crate) fn snapshot_name(sequence: u64) -> String {
    format!("{sequence:020}.snap")
}

/// The names of the snapshots among these files, newest first.
pub(crate) fn snapshot_names(files: &[String]) -> Vec<String> {
    let mut names: Vec<String> = files.iter().filter(|name| name.ends_with(".snap")).cloned().collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
}

/// Reads a snapshot from its beginning to its end.
#[derive(Debug)]
pub(crate) struct SnapshotReader<F> {
    file: F,
    name: String,
    pub(crate) header: SnapshotHeader,
    offset: u64,
    chunk: Vec<u8>,
    taken: usize,
    wallets: u64,
    keys: u64,
}

impl<F: File> SnapshotReader<F> {
    pub(crate) fn open(file: F, name: &str) -> Result<Self, JournalError> {
        let mut bytes = [0; HEADER_BYTES];
        let read = read_full(&file, &mut bytes, 0).during("read", name)?;
        let header = if read == HEADER_BYTES { parse_header(&bytes).ok().flatten() } else { None };
        let damaged = || JournalError::damaged(name, 0, "the header of the snapshot fails its checksum");
        let header = header.ok_or_else(damaged)?;
        let SnapshotHeader { wallets, keys, .. } = header;
        let offset = HEADER_BYTES as u64;
        Ok(Self { file, name: name.to_owned(), header, offset, chunk: Vec::new(), taken: 0, wallets, keys })
    }

    /// The next wallet by id.
    pub(crate) fn next_wallet(&mut self) -> Result<Option<Wallet>, JournalError> {
        if self.wallets == 0 {
            return Ok(None);
        }
        self.wallets -= 1;
        self.next(read_wallet).map(Some)
    }

    /// The next key by hash. The wallets come first.
    pub(crate) fn next_key(&mut self) -> Result<Option<(KeyHash, KeyEntry)>, JournalError> {
        if self.keys == 0 {
            return Ok(None);
        }
        self.keys -= 1;
        self.next(read_key).map(Some)
    }

    fn next<T>(&mut self, read: impl FnOnce(&mut Fields<'_>) -> Result<T, Malformed>) -> Result<T, JournalError> {
        if self.taken == self.chunk.len() {
            self.next_chunk()?;
        }
        let mut fields = Fields::new(&self.chunk[self.taken..]);
        let value = read(&mut fields).map_err(|Malformed(reason)| self.damaged(reason))?;
        self.taken = self.chunk.len() - fields.remaining().len();
        Ok(value)
    }

    fn next_chunk(&mut self) -> Result<(), JournalError> {
        let mut head = [0; 8];
        let read = read_full(&self.file, &mut head, self.offset).during("read", &self.name)?;
        let mut fields = Fields::new(&head[..read]);
        let (length, check) = match (fields.u32(), fields.u32()) {
            (Ok(length), Ok(check)) if length as usize <= CHUNK_BYTES_MAX => (length as usize, check),
            (Ok(_) | Err(_), _) => return Err(self.damaged("the snapshot is cut off")),
        };
        self.chunk.resize(length, 0);
        self.taken = 0;
        let read = read_full(&self.file, &mut self.chunk, self.offset + 8).during("read", &self.name)?;
        if read < length || length == 0 || crc32c::crc32c(&self.chunk) != check {
            return Err(self.damaged("a part of the snapshot fails its checksum"));
        }
        self.offset += 8 + length as u64;
        Ok(())
    }

    fn damaged(&self, reason: &str) -> JournalError {
        JournalError::damaged(self.name.clone(), self.offset, reason)
    }
}

fn parse_header(bytes: &[u8; HEADER_BYTES]) -> Result<Option<SnapshotHeader>, Malformed> {
    let mut fields = Fields::new(bytes);
    let magic = fields.array::<8>()?;
    let place = Place { number: fields.u32()?, offset: fields.u32()? };
    let chain = Chain { sequence: fields.u64()?, position: fields.u64()?, previous: fields.u32()? };
    let last_frame = Place { number: fields.u32()?, offset: fields.u32()? };
    let (wallets, keys) = (fields.u64()?, fields.u64()?);
    let check = fields.u32()?;
    let right = magic == MAGIC && check == crc32c::crc32c(&bytes[..60]);
    Ok(right.then_some(SnapshotHeader { cursor: Cursor { place, chain }, last_frame, wallets, keys }))
}

fn header_bytes(header: &SnapshotHeader) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let Cursor { place, chain } = header.cursor;
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &place.number.to_le_bytes());
    put(&mut bytes, 12, &place.offset.to_le_bytes());
    put(&mut bytes, 16, &chain.sequence.to_le_bytes());
    put(&mut bytes, 24, &chain.position.to_le_bytes());
    put(&mut bytes, 32, &chain.previous.to_le_bytes());
    put(&mut bytes, 36, &header.last_frame.number.to_le_bytes());
    put(&mut bytes, 40, &header.last_frame.offset.to_le_bytes());
    put(&mut bytes, 44, &header.wallets.to_le_bytes());
    put(&mut bytes, 52, &header.keys.to_le_bytes());
    let check = crc32c::crc32c(&bytes[..60]);
    put(&mut bytes, 60, &check.to_le_bytes());
    bytes
}

/// Writes a snapshot: wallets by id, then keys by hash, then the header.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<F> {
    file: F,
    name: String,
    offset: u64,
    chunk: Vec<u8>,
    wallets: u64,
    keys: u64,
}

const CHUNK_HEADER: [u8; 8] = [0; 8];

impl<F: File> SnapshotWriter<F> {
    pub(crate) fn new(file: F, name: &str) -> Self {
        let offset = HEADER_BYTES as u64;
        Self { file, name: name.to_owned(), offset, chunk: CHUNK_HEADER.to_vec(), wallets: 0, keys: 0 }
    }

    pub(crate) fn wallet(&mut self, wallet: &Wallet) -> Result<(), JournalError> {
        self.wallets += 1;
        put_wallet(&mut self.chunk, wallet);
        self.flush_above(READ_AHEAD_BYTES)
    }

    pub(crate) fn key(&mut self, key: &KeyHash, entry: &KeyEntry) -> Result<(), JournalError> {
        self.keys += 1;
        put_key(&mut self.chunk, key, entry);
        self.flush_above(READ_AHEAD_BYTES)
    }

    /// Completes the snapshot and makes its content durable.
    pub(crate) fn finish(mut self, cursor: Cursor, last_frame: Place) -> Result<(), JournalError> {
        self.flush_above(CHUNK_HEADER.len())?;
        self.file.sync_data().during("sync", &self.name)?;
        let header = SnapshotHeader { cursor, last_frame, wallets: self.wallets, keys: self.keys };
        self.file.write_at(&header_bytes(&header), 0).during("write", &self.name)?;
        self.file.sync_data().during("sync", &self.name)
    }

    fn flush_above(&mut self, length: usize) -> Result<(), JournalError> {
        if self.chunk.len() <= length {
            return Ok(());
        }
        let check = crc32c::crc32c(&self.chunk[8..]);
        let content = length32(self.chunk.len() - 8);
        put(&mut self.chunk, 0, &content.to_le_bytes());
        put(&mut self.chunk, 4, &check.to_le_bytes());
        self.file.write_at(&self.chunk, self.offset).during("write", &self.name)?;
        self.offset += self.chunk.len() as u64;
        self.chunk.truncate(CHUNK_HEADER.len());
        Ok(())
    }
}

fn put_wallet(out: &mut Vec<u8>, wallet: &Wallet) {
    let short = |text: &str| u8::try_from(text.len()).expect("ids have at most 128 characters");
    out.push(short(wallet.id.as_str()));
    out.push(short(wallet.owner_id.as_str()));
    out.extend_from_slice(wallet.currency.code().as_bytes());
    let digits = out.len();
    out.push(0);
    wallet.balance.write_digits(out);
    out[digits] = u8::try_from(out.len() - digits - 1).expect("a balance has at most some twenty digits");
    out.extend_from_slice(&wallet.version.0.to_le_bytes());
    out.extend_from_slice(&wallet.created_at.as_micros().to_le_bytes());
    out.extend_from_slice(&wallet.updated_at.as_micros().to_le_bytes());
    out.extend_from_slice(wallet.id.as_str().as_bytes());
    out.extend_from_slice(wallet.owner_id.as_str().as_bytes());
}

fn read_wallet(fields: &mut Fields<'_>) -> Result<Wallet, Malformed> {
    const WRONG: Malformed = Malformed("a wallet in the snapshot is not readable");
    let (id_length, owner_length) = (usize::from(fields.u8()?), usize::from(fields.u8()?));
    let currency = Currency::parse(fields.text(3)?).map_err(|_| WRONG)?;
    let digits = usize::from(fields.u8()?);
    let balance = Money::parse(fields.text(digits)?, currency).map_err(|_| WRONG)?;
    let version = Version(fields.u64()?);
    let created_at = Timestamp::from_micros(fields.i64()?);
    let updated_at = Timestamp::from_micros(fields.i64()?);
    let id = WalletId::parse(fields.text(id_length)?).map_err(|_| WRONG)?;
    let owner_id = OwnerId::parse(fields.text(owner_length)?).map_err(|_| WRONG)?;
    Ok(Wallet { id, owner_id, currency, balance, version, created_at, updated_at })
}

fn put_key(out: &mut Vec<u8>, key: &KeyHash, entry: &KeyEntry) {
    out.extend_from_slice(&key.0);
    out.extend_from_slice(&entry.fingerprint.0);
    out.extend_from_slice(&entry.expires_at.as_micros().to_le_bytes());
    out.extend_from_slice(&entry.block.number.to_le_bytes());
    out.extend_from_slice(&entry.block.offset.to_le_bytes());
    out.extend_from_slice(&entry.record.to_le_bytes());
}

fn read_key(fields: &mut Fields<'_>) -> Result<(KeyHash, KeyEntry), Malformed> {
    let key = KeyHash(fields.array()?);
    let fingerprint = Fingerprint(fields.array()?);
    let expires_at = Timestamp::from_micros(fields.i64()?);
    let block = Place { number: fields.u32()?, offset: fields.u32()? };
    Ok((key, KeyEntry { fingerprint, expires_at, block, record: fields.u32()? }))
}

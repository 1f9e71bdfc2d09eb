//! Making a snapshot, off the writer: the previous snapshot, streamed, merged with what the frames since then say.
//!
//! Memory is proportional to those frames, not to the number of wallets. The result appears under its name only when it
//! is complete and durable. The two newest snapshots are kept: one to use, one in case that one is damaged.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use wallex_core::command::KeyHash;
use wallex_core::event::Event;
use wallex_core::id::{EventId, Position, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::block::{StoredEvent, WALLET_STREAM, Write};
use crate::error::{During, JournalError};
use crate::frame::Frame;
use crate::keys::KeyEntry;
use crate::segment::{UNFINISHED, segment_name};
use crate::shared::{Cursor, Place, Shared, locked};
use crate::snapshot::{SnapshotReader, SnapshotWriter, snapshot_name, snapshot_names};
use crate::storage::{Access, Storage};
use crate::walk::walk;
use crate::wire::Malformed;

const SNAPSHOTS_KEPT: usize = 2;

/// What the frames since the previous snapshot say.
#[derive(Debug, Default)]
struct Since {
    wallets: HashMap<WalletId, Change, FixedState>,
    keys: HashMap<KeyHash, KeyEntry, FixedState>,
    last_frame: Option<Place>,
}

/// The newest event of a wallet, and what its first made when that is among them.
#[derive(Debug)]
struct Change {
    created: Option<Wallet>,
    newest: Newest,
}

/// An event as stored. It is decoded when it turns out to be the last of its wallet: most are not.
#[derive(Debug)]
struct Newest {
    id: EventId,
    position: Position,
    /// Kind, data and metadata, one after the other.
    bytes: Vec<u8>,
    kind_length: usize,
    data_length: usize,
}

impl Newest {
    fn of(event: &StoredEvent<'_>, position: Position) -> Self {
        let mut newest = Self { id: event.id, position, bytes: Vec::new(), kind_length: 0, data_length: 0 };
        newest.become_that(event, position);
        newest
    }

    fn become_that(&mut self, event: &StoredEvent<'_>, position: Position) {
        (self.id, self.position) = (event.id, position);
        (self.kind_length, self.data_length) = (event.kind.len(), event.data.len());
        self.bytes.clear();
        self.bytes.extend_from_slice(event.kind.as_bytes());
        self.bytes.extend_from_slice(event.data);
        self.bytes.extend_from_slice(event.metadata);
    }

    fn decode(&self) -> Result<Event, JournalError> {
        let (kind, rest) = self.bytes.split_at(self.kind_length);
        let (data, metadata) = rest.split_at(self.data_length);
        // It was text when it was taken in.
        let kind = std::str::from_utf8(kind).unwrap_or_default();
        let decoded = StoredEvent { id: self.id, flags: 0, kind, data, metadata }.decode();
        decoded.map_err(|source| JournalError::Unreadable { position: self.position, source })
    }
}

/// Writes a snapshot of everything that is durable now. Nothing when there is nothing new.
pub(crate) fn write_snapshot<S: Storage>(shared: &Shared<S>, now: Timestamp) -> Result<Option<Position>, JournalError> {
    let _one_at_a_time = locked(&shared.snapshotting);
    let end = shared.end();
    if shared.segment_count() == 0 {
        return Ok(None);
    }
    let files = shared.storage.list().during("list", "the directory")?;
    for name in snapshot_names(&files) {
        let written = shared
            .storage
            .open(&name, Access::Read)
            .during("open", &name)
            .and_then(|file| SnapshotReader::open(file, &name))
            .and_then(|previous| merge(shared, Some(previous), end, now));
        match written {
            // Damaged, or of another journal: the one before it will do.
            Err(JournalError::Damaged(damage)) if damage.segment == name => {}
            Err(error) => return Err(error),
            Ok(position) => return Ok(position),
        }
    }
    merge(shared, None, end, now)
}

fn merge<S: Storage>(
    shared: &Shared<S>,
    mut previous: Option<SnapshotReader<S::File>>,
    end: Place,
    now: Timestamp,
) -> Result<Option<Position>, JournalError> {
    let from = previous.as_ref().map_or(Cursor::START, |snapshot| snapshot.header.cursor);
    if from.place >= end {
        return Ok(None);
    }
    let mut since = Since::default();
    let stop = walk(shared, from, Some(end), |cursor, frame| {
        since.add(cursor, frame)?;
        Ok(ControlFlow::Continue(()))
    })?;
    let before = previous.as_ref().map(|snapshot| snapshot.header.last_frame);
    let Some(last_frame) = since.last_frame.or(before) else { return Ok(None) };

    let name = snapshot_name(stop.cursor.chain.sequence);
    let temporary = format!("{name}{UNFINISHED}");
    let file = shared.storage.create(&temporary).during("create", &temporary)?;
    let mut writer = SnapshotWriter::new(file, &temporary);
    let written = since
        .write_wallets(previous.as_mut(), &mut writer)
        .and_then(|()| since.write_keys(previous.as_mut(), now, &mut writer))
        .and_then(|()| writer.finish(stop.cursor, last_frame));
    if let Err(error) = written {
        // The space matters more than this second error.
        let _ = shared.storage.remove(&temporary);
        return Err(error);
    }
    shared.storage.rename(&temporary, &name).during("rename", &temporary)?;
    shared.storage.sync_dir().during("sync the directory for", &name)?;
    let position = stop.cursor.chain.position - 1;
    shared.snapshot_position.store(position, Ordering::Release);
    remove_old(shared)?;
    Ok(Some(Position(position)))
}

fn remove_old<S: Storage>(shared: &Shared<S>) -> Result<(), JournalError> {
    let files = shared.storage.list().during("list", "the directory")?;
    for old in snapshot_names(&files).iter().skip(SNAPSHOTS_KEPT) {
        shared.storage.remove(old).during("remove", old)?;
    }
    Ok(())
}

impl Since {
    fn add(&mut self, cursor: Cursor, frame: &Frame<'_>) -> Result<(), JournalError> {
        let place = cursor.place;
        let malformed =
            |Malformed(reason)| JournalError::damaged(segment_name(place.number), u64::from(place.offset), reason);
        for block in frame.blocks() {
            let (offset, block) = block.map_err(malformed)?;
            for write in block.writes() {
                let write = write.map_err(malformed)?;
                if write.stream.starts_with(WALLET_STREAM) && write.count > 0 {
                    self.change(&write, block.first_position + u64::from(write.events_before), &malformed)?;
                }
            }
            for record in block.records().map_err(malformed)? {
                let record = record.map_err(malformed)?;
                let block = Place { number: place.number, offset: place.offset + offset };
                let (fingerprint, expires_at) = (record.fingerprint, record.expires_at);
                self.keys.insert(record.key, KeyEntry { fingerprint, expires_at, block, record: record.offset });
            }
        }
        self.last_frame = Some(place);
        Ok(())
    }

    fn change(
        &mut self,
        write: &Write<'_>,
        position: u64,
        malformed: &impl Fn(Malformed) -> JournalError,
    ) -> Result<(), JournalError> {
        let read = |nth: u32| {
            let missing = Err(Malformed("an append has fewer events than it says"));
            let event = write.events().nth(nth as usize).unwrap_or(missing).map_err(malformed)?;
            Ok::<_, JournalError>((event, Position(position + u64::from(nth))))
        };
        let (newest, at) = read(write.count - 1)?;
        let name = &write.stream[WALLET_STREAM.len()..];
        if let Some(change) = self.wallets.get_mut(name) {
            change.newest.become_that(&newest, at);
            return Ok(());
        }
        let created = match write.first_version {
            1 => {
                let (first, at) = read(0)?;
                let first = first.decode().map_err(|source| JournalError::Unreadable { position: at, source })?;
                Wallet::check(None, &first).map_err(|source| JournalError::Inconsistent { position: at, source })?;
                Some(Wallet::apply(None, &first))
            }
            _ => None,
        };
        let wallet = WalletId::parse(name).map_err(|_| malformed(Malformed("a stream's name is no wallet's")))?;
        self.wallets.insert(wallet, Change { created, newest: Newest::of(&newest, at) });
        Ok(())
    }

    fn write_wallets<F: crate::storage::File>(
        &mut self,
        mut previous: Option<&mut SnapshotReader<F>>,
        writer: &mut SnapshotWriter<F>,
    ) -> Result<(), JournalError> {
        let mut changes: Vec<(WalletId, Change)> = self.wallets.drain().collect();
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut changes = changes.into_iter().peekable();
        while let Some(old) = previous.as_deref_mut().map_or(Ok(None), SnapshotReader::next_wallet)? {
            while let Some((_, change)) = changes.next_if(|(id, _)| *id < old.id) {
                writer.wallet(&change.state(None)?)?;
            }
            match changes.next_if(|(id, _)| *id == old.id) {
                Some((_, change)) => writer.wallet(&change.state(Some(&old))?)?,
                None => writer.wallet(&old)?,
            }
        }
        changes.try_for_each(|(_, change)| writer.wallet(&change.state(None)?))
    }

    fn write_keys<F: crate::storage::File>(
        &mut self,
        mut previous: Option<&mut SnapshotReader<F>>,
        now: Timestamp,
        writer: &mut SnapshotWriter<F>,
    ) -> Result<(), JournalError> {
        let mut keys: Vec<(KeyHash, KeyEntry)> = self.keys.drain().collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        let mut keys = keys.into_iter().peekable();
        let mut put = |key: &KeyHash, entry: &KeyEntry| {
            if entry.expires_at > now { writer.key(key, entry) } else { Ok(()) }
        };
        while let Some((old, entry)) = previous.as_deref_mut().map_or(Ok(None), SnapshotReader::next_key)? {
            while let Some((key, entry)) = keys.next_if(|(key, _)| *key < old) {
                put(&key, &entry)?;
            }
            match keys.next_if(|(key, _)| *key == old) {
                Some((key, newer)) => put(&key, &newer)?,
                None => put(&old, &entry)?,
            }
        }
        keys.try_for_each(|(key, entry)| put(&key, &entry))
    }
}

impl Change {
    fn state(&self, old: Option<&Wallet>) -> Result<Wallet, JournalError> {
        let base = old.or(self.created.as_ref()).ok_or_else(|| {
            let reason = format!("it does not know the wallet of event {}", self.newest.id);
            JournalError::damaged("the snapshot", 0, reason)
        })?;
        Ok(base.as_of(&self.newest.decode()?))
    }
}

//! One append of a group on its way into the frame: checked, encoded, folded; or taken out again as if never seen.
//!
//! Whatever does not fit leaves no trace in frame, heads and keys (an append is atomic). An append that finds newer
//! versions than it expects may be one that was made before: then its very events are at exactly that place, and it is
//! done once more without doing anything (INV-05).

use std::borrow::Borrow;

use wallex_core::effect::{Append, Failure, FailureKind, KeyRecord, StreamWrite};
use wallex_core::event::Recorded;
use wallex_core::id::{EventId, Position, Version, WalletId};
use wallex_core::time::Timestamp;

use crate::answer::{Layout, store};
use crate::block::{WALLET_STREAM, begin_block, begin_write, end_block, end_write, put_event, put_record};
use crate::error::JournalError;
use crate::frame::FrameBuilder;
use crate::keys::KeyEntry;
use crate::shared::Place;
use crate::storage::Storage;
use crate::tail::unavailable;
use crate::wire::length32;
use crate::writer::Journal;

/// Largest append, in bytes: with [`crate::frame::FRAME_BYTES_FULL`] it always fits into a frame.
const APPEND_BYTES_MAX: usize = 32 << 20;

/// What became of an append, as far as it is known before the sync.
#[derive(Debug)]
pub(crate) enum Staged {
    /// It is in the frame.
    Added,
    /// An earlier append of the frame has the very same events.
    AddedBefore,
    /// There is nothing to do: it is in the journal already.
    Durable,
    Conflict,
    Failed(Failure),
    /// It may be in the journal already; reading that part of it failed.
    Unknown,
}

/// The frame that is being built, and scratch space that is used again and again.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) frame: FrameBuilder,
    layout: Layout,
    /// For each write of the append its wallet's place among the heads.
    found: Vec<Option<usize>>,
    /// The frame's events, when somebody follows the log.
    pub(crate) followed: Vec<Recorded>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { frame: FrameBuilder::new(), layout: Layout::default(), found: Vec::new(), followed: Vec::new() }
    }
}

impl<S: Storage> Journal<S> {
    /// Puts one append into the frame. `earlier` are the appends of the group before it, `waiting` those of them that
    /// are in this frame.
    pub(crate) fn stage<A: Borrow<Append>>(
        &mut self,
        append: &Append,
        earlier: &[A],
        waiting: &[usize],
        now: Timestamp,
    ) -> Staged {
        if let Some(reason) = self.tail.stopped() {
            return Staged::Failed(unavailable(reason));
        }
        self.stage.found.clear();
        for write in &append.writes {
            let index = self.heads.index_of(&write.wallet);
            let version = index.map_or(Version(0), |index| self.heads.at(index).version);
            if version != write.expected {
                return self.repeated(append, earlier, waiting);
            }
            self.stage.found.push(index);
        }
        if let Some(staged) = self.keys_known(append, now) {
            return staged;
        }
        if append.records.is_empty() && append.writes.iter().all(|write| write.events.is_empty()) {
            // Nothing but expectations, and they hold, if what they rest on becomes durable.
            return Staged::AddedBefore;
        }
        let (frame, heads, keys) = (self.stage.frame.mark(), self.heads.mark(), self.keys.mark());
        match self.encode(append) {
            Ok(()) => Staged::Added,
            Err(reason) => {
                self.stage.frame.back_to(frame);
                self.heads.back_to(heads);
                self.keys.back_to(keys);
                Staged::Failed(Failure { kind: FailureKind::Rejected, reason })
            }
        }
    }

    fn encode(&mut self, append: &Append) -> Result<(), String> {
        let position = self.tail.next_position() + u64::from(self.stage.frame.events);
        let start = begin_block(&mut self.stage.frame.bytes);
        self.stage.layout.begin();
        let (mut events, mut writes) = (0, 0);
        for (index, write) in append.writes.iter().enumerate() {
            if write.events.first().is_some_and(|event| event.wallet_id != write.wallet) {
                return Err(format!("an event of another wallet was to be written to wallet {}", write.wallet));
            }
            let head = self.heads.fold(self.stage.found[index], &write.events).map_err(|error| error.to_string())?;
            if !append.records.is_empty() {
                self.stage.layout.push(head.unwrap_or(usize::MAX), events, append.writes.len());
            }
            if write.events.is_empty() {
                continue;
            }
            let out = &mut self.stage.frame.bytes;
            let part =
                begin_write(out, [WALLET_STREAM, write.wallet.as_str()], write.expected.0 + 1, write.events.len());
            write.events.iter().for_each(|event| put_event(out, event));
            end_write(out, part);
            events += length32(write.events.len());
            writes += 1;
        }
        for record in &append.records {
            self.encode_record(append, record, start)?;
        }
        let bytes = &mut self.stage.frame.bytes;
        if bytes.len() - start > APPEND_BYTES_MAX {
            return Err(format!("an append of more than {APPEND_BYTES_MAX} bytes"));
        }
        let check = end_block(bytes, start, position, [events, writes, length32(append.records.len())]);
        self.stage.frame.add_block(events, check);
        if self.shared.recent.is_wanted() {
            let events = append.writes.iter().flat_map(|write| &write.events);
            let recorded = (position..).map(Position).zip(events.cloned());
            self.stage.followed.extend(recorded.map(|(position, event)| Recorded { position, event }));
        }
        Ok(())
    }

    fn encode_record(&mut self, append: &Append, record: &KeyRecord, block: usize) -> Result<(), String> {
        let out = &mut self.stage.frame.bytes;
        let offset = out.len() - block;
        let answer = store(append, record, &self.heads, &self.stage.layout);
        put_record(out, record, answer.kind());
        answer.put(out);
        let entry = KeyEntry {
            fingerprint: record.idempotency.fingerprint,
            expires_at: record.expires_at,
            block: Place { number: 0, offset: length32(block) },
            record: length32(offset),
        };
        let first = self.keys.add(record.idempotency.key, entry);
        first.then_some(()).ok_or_else(|| "an append names one idempotency key twice".to_owned())
    }

    /// What follows from the append's keys alone; nothing when they are all new.
    fn keys_known(&self, append: &Append, now: Timestamp) -> Option<Staged> {
        let entries = || append.records.iter().map(|record| (record, self.keys.find(&record.idempotency.key, now)));
        if entries().all(|(_, entry)| entry.is_none()) {
            return None;
        }
        let same = append.writes.is_empty()
            && entries()
                .all(|(record, entry)| entry.is_some_and(|entry| entry.fingerprint == record.idempotency.fingerprint));
        let unsettled = || entries().any(|(_, entry)| entry.is_some_and(KeyEntry::is_unsettled));
        Some(match (same, same && unsettled()) {
            (true, true) => Staged::AddedBefore,
            (true, false) => Staged::Durable,
            (false, _) => Staged::Conflict,
        })
    }

    /// An append that does not find the versions it expects: whether it was made before.
    fn repeated<A: Borrow<Append>>(&self, append: &Append, earlier: &[A], waiting: &[usize]) -> Staged {
        let in_frame = |wallet: &WalletId, version: Version| {
            waiting.iter().rev().find_map(|index| id_in(earlier[*index].borrow(), wallet, version))
        };
        let mut staged = Staged::Durable;
        for write in &append.writes {
            let mut durable = Vec::new();
            for (version, event) in (write.expected.0 + 1..).map(Version).zip(&write.events) {
                if let Some(id) = in_frame(&write.wallet, version) {
                    if id != event.event_id {
                        return Staged::Conflict;
                    }
                    staged = Staged::AddedBefore;
                } else {
                    durable.push((version, event.event_id));
                }
            }
            match self.is_durable(write, &durable) {
                Ok(true) => {}
                Ok(false) => return Staged::Conflict,
                Err(_) => return Staged::Unknown,
            }
        }
        staged
    }

    fn is_durable(&self, write: &StreamWrite, ids: &[(Version, EventId)]) -> Result<bool, JournalError> {
        let current = self.heads.find(&write.wallet).map_or(Version(0), |wallet| wallet.version);
        let (Some((first, _)), Some((last, _))) = (ids.first(), ids.last()) else {
            return Ok(!write.events.is_empty() || current == write.expected);
        };
        if *last > current {
            return Ok(false);
        }
        let stored = self.reader().read_stream(&write.wallet, *first, ids.len())?;
        let stored = stored.iter().map(|recorded| (recorded.event.version, recorded.event.event_id));
        Ok(stored.eq(ids.iter().copied()))
    }
}

/// The id of the event that an append gives a wallet as this version.
fn id_in(append: &Append, wallet: &WalletId, version: Version) -> Option<EventId> {
    let write = append.writes.iter().find(|write| write.wallet == *wallet)?;
    let nth = version.0.checked_sub(write.expected.0 + 1)?;
    write.events.get(usize::try_from(nth).ok()?).map(|event| event.event_id)
}

//! Reading one wallet's events, forwards, backwards, and as of a version or a time (INV-03: in version order, no gaps).
//!
//! Goes through the stream index, so the cost depends on the wallet's own events and on the number of segments, not on
//! the length of the log. Only the appends that hold the events are read, and each is checked by itself.

use std::sync::Arc;

use wallex_core::event::{Event, Recorded, stream_name};
use wallex_core::id::{CommandId, Position, Version, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::error::{During, JournalError};
use crate::index::{Entry, find, stream_hash};
use crate::reader::Reader;
use crate::segment::segment_name;
use crate::shared::{Place, Segment};
use crate::storage::Storage;
use crate::window::read_block;
use crate::wire::Malformed;

/// How many events a search looks at in one step.
const PAGE: usize = 256;

/// A stream, and the end up to which it is read.
#[derive(Debug)]
struct Stream<'r, S: Storage> {
    reader: &'r Reader<S>,
    name: String,
    hash: u64,
    end: Place,
}

impl<S: Storage> Reader<S> {
    /// A wallet's events from a version on, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when an append on the way fails its checks, [`JournalError::Io`].
    pub fn read_stream(&self, wallet: &WalletId, from: Version, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        let from = from.max(Version(1));
        let stream = self.stream(wallet);
        let mut events = Vec::new();
        let mut buffer = Vec::new();
        for segment in stream.segments_from(from)? {
            for entry in find(&self.shared, &segment, stream.hash, stream.end)? {
                if events.len() >= limit {
                    return Ok(events);
                }
                if entry.first_version + u64::from(entry.count) <= from.0 {
                    continue;
                }
                for recorded in stream.read(segment.number, &entry, &mut buffer)?.unwrap_or_default() {
                    if recorded.event.version >= from && events.len() < limit {
                        stream.continues(from.0 + events.len() as u64, &recorded)?;
                        events.push(recorded);
                    }
                }
            }
        }
        Ok(events)
    }

    /// A wallet's events from a version (the newest when there is none) back to its first, descending, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::read_stream`].
    pub fn read_stream_backwards(
        &self,
        wallet: &WalletId,
        from: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        let from = from.unwrap_or(Version(u64::MAX));
        let stream = self.stream(wallet);
        let mut events: Vec<Recorded> = Vec::new();
        let mut buffer = Vec::new();
        for segment in stream.segments().into_iter().rev() {
            for entry in find(&self.shared, &segment, stream.hash, stream.end)?.into_iter().rev() {
                if events.len() >= limit || events.last().is_some_and(|oldest| oldest.event.version == Version(1)) {
                    return Ok(events);
                }
                if entry.first_version > from.0 {
                    continue;
                }
                for recorded in stream.read(segment.number, &entry, &mut buffer)?.unwrap_or_default().into_iter().rev()
                {
                    if recorded.event.version <= from && events.len() < limit {
                        if let Some(newer) = events.last() {
                            stream.continues(newer.event.version.0 - 1, &recorded)?;
                        }
                        events.push(recorded);
                    }
                }
            }
        }
        Ok(events)
    }

    /// A wallet as it was at a version; nothing when it has not come so far.
    ///
    /// # Errors
    /// As [`Reader::read_stream`].
    pub fn wallet_at_version(&self, wallet: &WalletId, version: Version) -> Result<Option<Wallet>, JournalError> {
        if version == Version(0) {
            return Ok(None);
        }
        match (self.event(wallet, Version(1))?, self.event(wallet, version)?) {
            (Some(first), Some(event)) => self.state(&first, &event).map(Some),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// A wallet as it was at a point in time; nothing when it did not exist yet.
    ///
    /// # Errors
    /// As [`Reader::read_stream`].
    pub fn wallet_at_time(&self, wallet: &WalletId, time: Timestamp) -> Result<Option<Wallet>, JournalError> {
        let newest = self.read_stream_backwards(wallet, None, 1)?.pop();
        let first = self.event(wallet, Version(1))?;
        let (Some(newest), Some(first)) = (newest, first) else { return Ok(None) };
        if first.event.occurred_at > time {
            return Ok(None);
        }
        // Times never run backwards within a wallet, so halving finds the last event that is not later.
        let (mut found, mut low, mut high) = (first.clone(), 1, newest.event.version.0 + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.event(wallet, Version(middle))? {
                Some(recorded) if recorded.event.occurred_at <= time => (found, low) = (recorded, middle),
                Some(_) | None => high = middle,
            }
        }
        self.state(&first, &found).map(Some)
    }

    /// The events that a command caused in a wallet, in order, looking back no further than a point in time.
    ///
    /// # Errors
    /// As [`Reader::read_stream`].
    pub fn find_command(
        &self,
        wallet: &WalletId,
        command: CommandId,
        not_before: Timestamp,
    ) -> Result<Vec<Event>, JournalError> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let page = self.read_stream_backwards(wallet, from, PAGE)?;
            let oldest = page.last().map(|recorded| (recorded.event.version, recorded.event.occurred_at));
            found.extend(page.into_iter().map(|one| one.event).filter(|event| event.command_id == command));
            match oldest {
                Some((Version(version), time)) if version > 1 && time >= not_before => {
                    from = Some(Version(version - 1))
                }
                Some(_) | None => break,
            }
        }
        found.reverse();
        Ok(found)
    }

    fn event(&self, wallet: &WalletId, version: Version) -> Result<Option<Recorded>, JournalError> {
        Ok(self.read_stream(wallet, version, 1)?.pop())
    }

    /// The state right after `event`: the first event says what never changes.
    fn state(&self, first: &Recorded, event: &Recorded) -> Result<Wallet, JournalError> {
        Wallet::check(None, &first.event)
            .map_err(|source| JournalError::Inconsistent { position: first.position, source })?;
        Ok(Wallet::apply(None, &first.event).as_of(&event.event))
    }

    fn stream(&self, wallet: &WalletId) -> Stream<'_, S> {
        let name = stream_name(wallet);
        Stream { reader: self, hash: stream_hash(&name), name, end: self.shared.end() }
    }
}

impl<S: Storage> Stream<'_, S> {
    fn segments(&self) -> Vec<Arc<Segment<S::File>>> {
        let mut segments = self.reader.shared.segments();
        segments.truncate(self.end.number as usize);
        segments
    }

    /// The segments that hold the stream from a version on, in order.
    fn segments_from(&self, from: Version) -> Result<Vec<Arc<Segment<S::File>>>, JournalError> {
        let mut holding = Vec::new();
        let mut buffer = Vec::new();
        for segment in self.segments().into_iter().rev() {
            let entries = find(&self.reader.shared, &segment, self.hash, self.end)?;
            let mut begins_here = false;
            for entry in entries.iter().rev().filter(|entry| entry.first_version <= from.0) {
                // Another stream may have the same hash: only the name proves that this is the one.
                if self.read(segment.number, entry, &mut buffer)?.is_some() {
                    begins_here = true;
                    break;
                }
            }
            if !entries.is_empty() {
                holding.push(segment);
            }
            if begins_here {
                break;
            }
        }
        holding.reverse();
        Ok(holding)
    }

    /// The events of an index entry; nothing when they are another stream's.
    fn read(&self, number: u32, entry: &Entry, buffer: &mut Vec<u8>) -> Result<Option<Vec<Recorded>>, JournalError> {
        let name = segment_name(number);
        let (shared, place) = (&self.reader.shared, Place { number, offset: entry.offset });
        let damaged = |Malformed(reason)| shared.damaged_append(place, reason);
        let file = shared.file(number)?;
        let block = read_block(&*file, u64::from(entry.offset), buffer).during("read", &name)?.map_err(damaged)?;
        let mut another = false;
        for write in block.writes() {
            let write = write.map_err(damaged)?;
            if write.first_version != entry.first_version || stream_hash(write.stream) != self.hash {
                continue;
            }
            if write.stream != self.name {
                another = true;
                continue;
            }
            let first = block.first_position + u64::from(write.events_before);
            let events = (first..).map(Position).zip(write.events()).map(|(position, event)| {
                let event = event.map_err(damaged)?.decode();
                let event = event.map_err(|source| JournalError::Unreadable { position, source })?;
                Ok(Recorded { position, event })
            });
            return events.collect::<Result<_, _>>().map(Some);
        }
        if another {
            return Ok(None);
        }
        Err(damaged(Malformed("the index points at an append that does not hold the stream")))
    }

    fn continues(&self, expected: u64, recorded: &Recorded) -> Result<(), JournalError> {
        let found = recorded.event.version;
        if found.0 == expected {
            return Ok(());
        }
        let wallet_id = recorded.event.wallet_id.clone();
        let after = Version(expected.saturating_sub(1));
        let source = wallex_core::wallet::Inconsistency::Version { wallet_id, after, found };
        Err(JournalError::Inconsistent { position: recorded.position, source })
    }
}

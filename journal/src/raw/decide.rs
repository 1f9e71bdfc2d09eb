//! Whether an append takes effect: expected revisions, and appends that are repeated.
//!
//! A repeat is looked for first: all events of the append, with the same ids in the same order, at the very place that
//! the expectation names. `Any` and `Exists` name no place; for them the newest ids are remembered
//! ([`crate::raw::recent`]). What rests on appends of the same group that are not durable yet is marked, because it
//! falls with them.

use std::sync::PoisonError;

use crate::error::JournalError;
use crate::raw::event::{Append, Appended, Expectation, Expected, Mismatch, Refusal, Written};
use crate::raw::index::StreamState;
use crate::raw::log::Log;
use crate::raw::staged::StagedStream;
use crate::storage::Storage;

/// Most streams of one append.
const STREAMS_MAX: usize = 1_000;

/// What is to be done with an append.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It goes into the frame.
    Write,
    /// It is there already.
    Repeated(Appended),
    /// It is not wanted.
    Refused(Refusal),
}

impl<S: Storage> Log<S> {
    /// Decides, and says whether the decision rests on events that are not durable yet.
    pub(crate) fn decide(&self, append: &Append) -> Result<(Decision, bool), JournalError> {
        let rests_on_staged = append.streams.iter().any(|one| self.staged.find(&one.stream).is_some());
        if append.has_bad_name() {
            let refusal = Refusal::Malformed("names of streams and types have 1 to 1,024 bytes");
            return Ok((Decision::Refused(refusal), false));
        }
        if append.events.is_empty() {
            return Ok((Decision::Refused(Refusal::Malformed("an append without events")), false));
        }
        if append.streams.len() > STREAMS_MAX {
            return Ok((Decision::Refused(Refusal::Malformed("an append to more than 1,000 streams")), false));
        }
        if append.bytes() > super::APPEND_BYTES_MAX {
            return Ok((Decision::Refused(Refusal::TooLarge), false));
        }
        let states: Vec<StreamState> = append.streams.iter().map(|one| self.state_of(&one.stream)).collect();
        if let Some(closed) = states.iter().position(|state| state.is_tombstoned) {
            let refusal = Refusal::Tombstoned(append.streams[closed].stream.clone());
            return Ok((Decision::Refused(refusal), rests_on_staged));
        }
        if let Some(appended) = self.repeated(append, &states)? {
            return Ok((Decision::Repeated(appended), rests_on_staged));
        }
        let unmet = append.streams.iter().zip(&states).filter(|(one, state)| !holds(one.expected, state));
        let mismatches: Vec<Mismatch> = unmet
            .map(|(one, state)| Mismatch { stream: one.stream.clone(), expected: one.expected, actual: *state })
            .collect();
        Ok(match mismatches.is_empty() {
            true => (Decision::Write, false),
            false => (Decision::Refused(Refusal::Mismatch(mismatches)), rests_on_staged),
        })
    }

    /// The newest state of a stream, with what is not durable yet.
    pub(crate) fn state_of(&self, stream: &str) -> StreamState {
        match self.staged.find(stream) {
            Some(staged) => staged.state,
            None => self.index.read().unwrap_or_else(PoisonError::into_inner).state(stream),
        }
    }

    fn repeated(&self, append: &Append, states: &[StreamState]) -> Result<Option<Appended>, JournalError> {
        if append.is_tombstone {
            return Ok(None);
        }
        let mut streams = vec![None; append.streams.len()];
        for (index, expectation) in append.streams.iter().enumerate() {
            let ids = append.events.iter().filter(|(stream, _)| *stream == index).map(|(_, event)| event.id);
            let Some(first) = ids.clone().next() else { continue };
            let count = ids.clone().count() as u64;
            let mut written = None;
            for base in self.places(expectation, &states[index], &first) {
                if base.checked_add(count).is_some_and(|end| end <= states[index].next) && written.is_none() {
                    let found = self.events_at(&expectation.stream, base, count)?;
                    let is_same = found.iter().map(|(id, _)| *id).eq(ids.clone());
                    if let (true, Some((_, position))) = (is_same, found.last()) {
                        written = Some(Written { revision: base + count - 1, position: *position });
                    }
                }
            }
            match written {
                Some(_) => streams[index] = written,
                None => return Ok(None),
            }
        }
        let position = streams.iter().flatten().map(|written| written.position).max().unwrap_or(0);
        Ok(Some(Appended { streams, position }))
    }

    /// Where the events of an earlier attempt would begin.
    fn places(&self, expectation: &Expectation, state: &StreamState, first: &[u8; 16]) -> Vec<u64> {
        match expectation.expected {
            Expected::Revision(revision) => revision.checked_add(1).into_iter().collect(),
            // A deleted stream begins where it was hidden.
            Expected::NoStream if state.first > 0 => vec![0, state.first],
            Expected::NoStream => vec![0],
            Expected::Any | Expected::Exists => self.recent.find(first, &expectation.stream).into_iter().collect(),
        }
    }

    /// Ids and positions of events that exist, durable or not.
    fn events_at(&self, stream: &str, from: u64, count: u64) -> Result<Vec<([u8; 16], u64)>, JournalError> {
        let staged = self.staged.find(stream);
        let end = from + count;
        let durable_end = staged.map_or(end, |staged| staged.base.clamp(from, end));
        let mut found = self.reader.ids(stream, from..durable_end)?;
        if let Some(StagedStream { base, events, .. }) = staged
            && durable_end < end
        {
            found.extend_from_slice(&events[(durable_end - base) as usize..(end - base) as usize]);
        }
        Ok(found)
    }
}

fn holds(expected: Expected, state: &StreamState) -> bool {
    match expected {
        Expected::Any => true,
        Expected::NoStream => !state.exists(),
        Expected::Exists => state.exists(),
        Expected::Revision(revision) => state.last() == Some(revision),
    }
}

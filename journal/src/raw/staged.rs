//! The appends of the frame that is being built, as later appends of the same group must see them.
//!
//! An overlay over the index: it is dropped when the frame is durable and in the index, or known not to be.

use std::collections::BTreeMap;

use crate::raw::index::{Change, StreamState};

/// A stream with events that are not durable yet.
#[derive(Clone, Debug)]
pub(crate) struct StagedStream {
    pub(crate) state: StreamState,
    /// The revision of the first event in `events`.
    pub(crate) base: u64,
    /// Ids and positions, by revision from `base` on.
    pub(crate) events: Vec<([u8; 16], u64)>,
}

/// All streams that the frame changes.
#[derive(Debug, Default)]
pub(crate) struct StagedStreams {
    streams: BTreeMap<String, StagedStream>,
}

impl StagedStreams {
    pub(crate) fn find(&self, stream: &str) -> Option<&StagedStream> {
        self.streams.get(stream)
    }

    /// Changes a stream, whose durable state is `durable`.
    pub(crate) fn change(&mut self, stream: &str, durable: StreamState, change: Change) -> &mut StagedStream {
        let fresh = || StagedStream { state: durable, base: durable.next, events: Vec::new() };
        let staged = self.streams.entry(stream.to_owned()).or_insert_with(fresh);
        staged.state = staged.state.after(change);
        staged
    }

    pub(crate) fn clear(&mut self) {
        self.streams.clear();
    }
}

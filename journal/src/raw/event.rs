//! What is appended to opaque streams, what is read from them, and how an append can end.
//!
//! Revisions of a stream count from 0, positions of the log from 1; both are dense. A stream is deleted by an event of
//! type [`METADATA_TYPE`] in its metadata stream, as KurrentDB does it, and closed for ever by a tombstone.

use crate::raw::StreamState;

/// Most bytes of one append: names, data and metadata of all its events.
pub const APPEND_BYTES_MAX: usize = 16 << 20;
/// Longest name of a stream or a type, in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// What an event costs beside its data and metadata, at most without its names, in bytes.
const EVENT_OVERHEAD_BYTES: usize = 64;
/// The name of a stream's metadata stream is the stream's own behind this.
pub const METADATA_STREAM: &str = "$$";
/// The type of events in metadata streams. `{"$tb": n}` hides the events before revision n; the largest n deletes.
pub const METADATA_TYPE: &str = "$metadata";
/// The type of the event that closes a stream for ever.
pub const TOMBSTONE_TYPE: &str = "$streamDeleted";
/// The revision of a tombstone, and the `$tb` that deletes a stream.
pub const LAST_REVISION: u64 = i64::MAX as u64;

/// What a stream must be like for an append to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything but closed.
    Any,
    /// Without events, or deleted.
    NoStream,
    /// With events.
    Exists,
    /// With this last revision.
    Revision(u64),
}

/// A stream and what it must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The stream's name.
    pub stream: String,
    /// What it must be like.
    pub expected: Expected,
}

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Chosen by the client; a repeat is recognised by it.
    pub id: [u8; 16],
    /// The event type.
    pub kind: String,
    /// Whether the data is JSON; kept for the readers.
    pub is_json: bool,
    /// The payload.
    pub data: Vec<u8>,
    /// What goes with it.
    pub metadata: Vec<u8>,
}

/// An atomic append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub(crate) streams: Vec<Expectation>,
    pub(crate) events: Vec<(usize, NewEvent)>,
    pub(crate) is_tombstone: bool,
}

impl Append {
    /// Events in the order in which they go into the log, each with the index of its stream. Every stream is named once;
    /// one without events is only checked.
    ///
    /// # Panics
    /// When an event's index is that of no stream.
    #[must_use]
    pub fn new(streams: Vec<Expectation>, events: Vec<(usize, NewEvent)>) -> Self {
        assert!(events.iter().all(|(stream, _)| *stream < streams.len()), "an event of no stream");
        Self { streams, events, is_tombstone: false }
    }

    /// Events of one stream.
    #[must_use]
    pub fn to_stream(stream: String, expected: Expected, events: Vec<NewEvent>) -> Self {
        Self::new(vec![Expectation { stream, expected }], events.into_iter().map(|event| (0, event)).collect())
    }

    /// Closes a stream for ever.
    #[must_use]
    pub fn tombstone(stream: String, expected: Expected, id: [u8; 16]) -> Self {
        let kind = TOMBSTONE_TYPE.to_owned();
        let event = NewEvent { id, kind, is_json: true, data: b"{}".to_vec(), metadata: Vec::new() };
        Self { is_tombstone: true, ..Self::to_stream(stream, expected, vec![event]) }
    }

    /// The events in order, each with the name of its stream.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &NewEvent)> {
        self.events.iter().map(|(stream, event)| (self.streams[*stream].stream.as_str(), event))
    }

    /// How much of a frame it takes at most, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let event = |(stream, event): &(usize, NewEvent)| {
            let names = self.streams[*stream].stream.len() + event.kind.len();
            names + event.data.len() + event.metadata.len() + EVENT_OVERHEAD_BYTES
        };
        self.events.iter().map(event).sum()
    }

    pub(crate) fn has_bad_name(&self) -> bool {
        let bad = |name: &str| name.is_empty() || name.len() > NAME_BYTES_MAX;
        self.streams.iter().any(|one| bad(&one.stream)) || self.events.iter().any(|(_, event)| bad(&event.kind))
    }
}

/// How an append ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, now or since an earlier time.
    Done(Appended),
    /// It is not there, and will not be.
    Refused(Refusal),
    /// It is known not to be there; it may be tried again.
    Failed(String),
    /// Nobody knows before the log is opened again.
    Unknown,
}

/// Where the events of an append are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// For each stream of the append, in order; nothing for one that was only checked.
    pub streams: Vec<Option<Written>>,
    /// Position of the last event.
    pub position: u64,
}

/// The last event of an append in one of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its revision.
    pub revision: u64,
    /// Its position.
    pub position: u64,
}

/// Why an append is not wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Streams are not what they must be. At least one.
    Mismatch(Vec<Mismatch>),
    /// This stream is closed for ever.
    Tombstoned(String),
    /// More than [`APPEND_BYTES_MAX`].
    TooLarge,
    /// A name is empty or too long, or there is no event.
    Malformed(&'static str),
}

/// A stream that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The stream.
    pub stream: String,
    /// What it must be like.
    pub expected: Expected,
    /// What it is like.
    pub actual: StreamState,
}

/// An event that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it is in the log.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Where it is in the stream; [`LAST_REVISION`] for a tombstone.
    pub revision: u64,
    /// When it was appended, in microseconds since the epoch.
    pub time_micros: i64,
    /// What was appended.
    pub event: NewEvent,
}

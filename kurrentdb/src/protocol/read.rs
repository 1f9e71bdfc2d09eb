//! `Streams/Read`: one call for reads of a stream, reads of the whole log (`$all`), and subscriptions to either.
//!
//! Starts are inclusive for reads and exclusive for subscriptions. A subscription is first confirmed, then gives events
//! and checkpoints, then says that it has caught up, and goes on.

use std::collections::BTreeMap;

use prost::bytes::Bytes;

use super::shared::{Position, Seconds, StreamIdentifier, Uuid};

/// Key of a recorded event's system metadata: its type.
pub const METADATA_TYPE: &str = "type";
/// Key of a recorded event's system metadata: ticks of 100 ns since the Unix epoch, as text.
pub const METADATA_CREATED: &str = "created";
/// Key of a recorded event's system metadata: `application/json` or `application/octet-stream`.
pub const METADATA_CONTENT_TYPE: &str = "content-type";
/// Content type of an event whose data is JSON.
pub const CONTENT_TYPE_JSON: &str = "application/json";
/// Content type of any other event.
pub const CONTENT_TYPE_BYTES: &str = "application/octet-stream";

/// A read or a subscription.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadReq {
    /// All of it.
    #[prost(message, optional, tag = "1")]
    pub options: Option<ReadOptions>,
}

/// What to read, and how.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadOptions {
    /// Of what.
    #[prost(oneof = "Source", tags = "1, 2")]
    pub source: Option<Source>,
    /// Which way.
    #[prost(enumeration = "Direction", tag = "3")]
    pub direction: i32,
    /// Whether links are followed.
    #[prost(bool, tag = "4")]
    pub resolve_links: bool,
    /// How much.
    #[prost(oneof = "Amount", tags = "5, 6")]
    pub amount: Option<Amount>,
    /// What to leave out.
    #[prost(oneof = "Filtering", tags = "7, 8")]
    pub filtering: Option<Filtering>,
    /// The form of ids in the answer.
    #[prost(message, optional, tag = "9")]
    pub uuid: Option<UuidOption>,
    /// Which newer answers the client understands.
    #[prost(message, optional, tag = "10")]
    pub control: Option<ControlOption>,
}

/// The way of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Direction {
    /// Oldest first.
    Forwards = 0,
    /// Newest first.
    Backwards = 1,
}

/// What is read.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Source {
    /// One stream.
    #[prost(message, tag = "1")]
    Stream(StreamSource),
    /// The log.
    #[prost(message, tag = "2")]
    All(AllSource),
}

/// A stream, and where to start in it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamSource {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub stream: Option<StreamIdentifier>,
    /// Where.
    #[prost(oneof = "StreamStart", tags = "2, 3, 4")]
    pub start: Option<StreamStart>,
}

/// A place in a stream.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum StreamStart {
    /// At this event.
    #[prost(uint64, tag = "2")]
    Revision(u64),
    /// At the first.
    #[prost(message, tag = "3")]
    Start(()),
    /// At the last, or behind it.
    #[prost(message, tag = "4")]
    End(()),
}

/// Where to start in the log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AllSource {
    /// Where.
    #[prost(oneof = "AllStart", tags = "1, 2, 3")]
    pub start: Option<AllStart>,
}

/// A place in the log.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum AllStart {
    /// Here.
    #[prost(message, tag = "1")]
    Position(Position),
    /// At the first event.
    #[prost(message, tag = "2")]
    Start(()),
    /// At the last, or behind it.
    #[prost(message, tag = "3")]
    End(()),
}

/// How much is read.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Amount {
    /// So many events.
    #[prost(uint64, tag = "5")]
    Count(u64),
    /// All there are and all that come.
    #[prost(message, tag = "6")]
    Subscription(()),
}

/// Whether events are left out.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Filtering {
    /// Those that do not pass.
    #[prost(message, tag = "7")]
    Filter(Filter),
    /// None.
    #[prost(message, tag = "8")]
    Nothing(()),
}

/// What passes, of the log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Filter {
    /// By what.
    #[prost(oneof = "FilterBy", tags = "1, 2")]
    pub by: Option<FilterBy>,
    /// How far to look before a checkpoint.
    #[prost(oneof = "FilterWindow", tags = "3, 4")]
    pub window: Option<FilterWindow>,
    /// Checkpoints come after this many windows.
    #[prost(uint32, tag = "5")]
    pub checkpoint_interval_multiplier: u32,
}

/// What a filter looks at.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum FilterBy {
    /// The name of the stream.
    #[prost(message, tag = "1")]
    Stream(Expression),
    /// The type of the event.
    #[prost(message, tag = "2")]
    EventType(Expression),
}

/// How far a filter looks.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum FilterWindow {
    /// So many events.
    #[prost(uint32, tag = "3")]
    Max(u32),
    /// As far as it takes.
    #[prost(message, tag = "4")]
    Count(()),
}

/// What text passes: that which matches, or that which begins with one of the prefixes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Expression {
    /// A regular expression; empty when prefixes are given.
    #[prost(string, tag = "1")]
    pub regex: String,
    /// Prefixes.
    #[prost(string, repeated, tag = "2")]
    pub prefix: Vec<String>,
}

/// The form of ids in the answer.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct UuidOption {
    /// Which.
    #[prost(oneof = "UuidContent", tags = "1, 2")]
    pub content: Option<UuidContent>,
}

/// A form of ids.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum UuidContent {
    /// Two numbers.
    #[prost(message, tag = "1")]
    Structured(()),
    /// Text.
    #[prost(message, tag = "2")]
    Text(()),
}

/// Which newer answers the client understands.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ControlOption {
    /// 0 and 1: events only; from 1 on also first and last positions, caught up, fell behind.
    #[prost(uint32, tag = "1")]
    pub compatibility: u32,
}

/// One message of the answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResp {
    /// What it says.
    #[prost(oneof = "ReadContent", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub content: Option<ReadContent>,
}

/// What a message of the answer says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ReadContent {
    /// An event.
    #[prost(message, tag = "1")]
    Event(Box<ReadEvent>),
    /// The subscription is there.
    #[prost(message, tag = "2")]
    Confirmation(Confirmation),
    /// Everything up to here was looked at.
    #[prost(message, tag = "3")]
    Checkpoint(Checkpoint),
    /// There is no such stream.
    #[prost(message, tag = "4")]
    StreamNotFound(StreamNotFound),
    /// Revision of the first event of the stream.
    #[prost(uint64, tag = "5")]
    FirstStreamPosition(u64),
    /// Revision of the last event of the stream.
    #[prost(uint64, tag = "6")]
    LastStreamPosition(u64),
    /// The end of the log.
    #[prost(message, tag = "7")]
    LastAllStreamPosition(Position),
    /// The subscription has given everything that is there.
    #[prost(message, tag = "8")]
    CaughtUp(LiveChange),
    /// The subscription could not keep up and reads from the disk again.
    #[prost(message, tag = "9")]
    FellBehind(LiveChange),
}

/// An event, the link that led to it, and its place.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadEvent {
    /// The event.
    #[prost(message, optional, tag = "1")]
    pub event: Option<RecordedEvent>,
    /// The link that led to it.
    #[prost(message, optional, tag = "2")]
    pub link: Option<RecordedEvent>,
    /// Its place in the log.
    #[prost(oneof = "EventPosition", tags = "3, 4")]
    pub position: Option<EventPosition>,
}

/// The place of an event that was read.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum EventPosition {
    /// In the log.
    #[prost(uint64, tag = "3")]
    Commit(u64),
    /// Not known.
    #[prost(message, tag = "4")]
    Nowhere(()),
}

/// An event as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordedEvent {
    /// Its id.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Uuid>,
    /// Its stream.
    #[prost(message, optional, tag = "2")]
    pub stream: Option<StreamIdentifier>,
    /// Its place in the stream, from 0.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    /// Its place in the log.
    #[prost(uint64, tag = "4")]
    pub prepare_position: u64,
    /// The place of its transaction's commit in the log.
    #[prost(uint64, tag = "5")]
    pub commit_position: u64,
    /// Type, content type, time of creation.
    #[prost(btree_map = "string, string", tag = "6")]
    pub metadata: BTreeMap<String, String>,
    /// What its writer put beside the data.
    #[prost(bytes = "bytes", tag = "7")]
    pub custom_metadata: Bytes,
    /// What its writer wrote.
    #[prost(bytes = "bytes", tag = "8")]
    pub data: Bytes,
}

/// The subscription is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Confirmation {
    /// Its name.
    #[prost(string, tag = "1")]
    pub subscription_id: String,
}

/// Everything up to here was looked at; what did not pass the filter was left out.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Checkpoint {
    /// Commit position.
    #[prost(uint64, tag = "1")]
    pub commit_position: u64,
    /// Prepare position.
    #[prost(uint64, tag = "2")]
    pub prepare_position: u64,
    /// When, by the server's clock.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Seconds>,
}

/// There is no such stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamNotFound {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub stream: Option<StreamIdentifier>,
}

/// A subscription has caught up or fallen behind.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LiveChange {
    /// When, by the server's clock.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Seconds>,
    /// Where, in a stream.
    #[prost(int64, optional, tag = "2")]
    pub stream_revision: Option<i64>,
    /// Where, in the log.
    #[prost(message, optional, tag = "3")]
    pub position: Option<Position>,
}

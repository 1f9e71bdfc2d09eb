//! `Streams/Append`, `Delete` and `Tombstone`: writes to one stream.
//!
//! An append is a stream of messages: first the options, then one message for each event. A revision that is not the
//! expected one is told inside the answer, not as an error.

use std::collections::BTreeMap;

use prost::bytes::Bytes;

use super::shared::{Position, StreamIdentifier, Uuid};

/// One message of an append.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppendReq {
    /// What it says.
    #[prost(oneof = "AppendContent", tags = "1, 2")]
    pub content: Option<AppendContent>,
}

/// What a message of an append says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum AppendContent {
    /// Where to write; comes first.
    #[prost(message, tag = "1")]
    Options(StreamOptions),
    /// An event.
    #[prost(message, tag = "2")]
    Event(ProposedMessage),
}

/// A stream, and what must be true of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamOptions {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub stream: Option<StreamIdentifier>,
    /// What must be true.
    #[prost(oneof = "Expected", tags = "2, 3, 4, 5")]
    pub expected: Option<Expected>,
}

/// What must be true of a stream before a write.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Expected {
    /// Its last event has this revision.
    #[prost(uint64, tag = "2")]
    Revision(u64),
    /// It does not exist.
    #[prost(message, tag = "3")]
    NoStream(()),
    /// Nothing.
    #[prost(message, tag = "4")]
    Any(()),
    /// It exists.
    #[prost(message, tag = "5")]
    StreamExists(()),
}

/// An event to be written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProposedMessage {
    /// Its id, chosen by the writer: a repeat is recognised by it.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Uuid>,
    /// `type` and `content-type`.
    #[prost(btree_map = "string, string", tag = "2")]
    pub metadata: BTreeMap<String, String>,
    /// What is put beside the data.
    #[prost(bytes = "bytes", tag = "3")]
    pub custom_metadata: Bytes,
    /// The data.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

/// How an append ended.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AppendResp {
    /// One of two ways.
    #[prost(oneof = "AppendResult", tags = "1, 2")]
    pub result: Option<AppendResult>,
}

/// The two ways an append ends.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum AppendResult {
    /// It is written.
    #[prost(message, tag = "1")]
    Success(AppendSuccess),
    /// The stream is not at the expected revision; nothing is written.
    #[prost(message, tag = "2")]
    WrongExpectedVersion(WrongExpectedVersion),
}

/// Where the last event went.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AppendSuccess {
    /// In the stream.
    #[prost(oneof = "SuccessRevision", tags = "1, 2")]
    pub current_revision: Option<SuccessRevision>,
    /// In the log.
    #[prost(oneof = "SuccessPosition", tags = "3, 4")]
    pub position: Option<SuccessPosition>,
}

/// The revision after an append.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum SuccessRevision {
    /// Of the last event.
    #[prost(uint64, tag = "1")]
    Revision(u64),
    /// There is still no stream: nothing was to be written.
    #[prost(message, tag = "2")]
    NoStream(()),
}

/// The position of an append.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum SuccessPosition {
    /// Of the last event.
    #[prost(message, tag = "3")]
    Position(Position),
    /// Not known.
    #[prost(message, tag = "4")]
    Nowhere(()),
}

/// The stream is not as expected. Fields 1 to 5 say the same in the form of version 20.6.0 and are left out.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WrongExpectedVersion {
    /// What it is.
    #[prost(oneof = "CurrentRevision", tags = "6, 7")]
    pub current: Option<CurrentRevision>,
    /// What was expected.
    #[prost(oneof = "ExpectedRevision", tags = "8, 9, 10, 11")]
    pub expected: Option<ExpectedRevision>,
}

/// The revision of a stream.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum CurrentRevision {
    /// Of its last event.
    #[prost(uint64, tag = "6")]
    Revision(u64),
    /// It does not exist.
    #[prost(message, tag = "7")]
    NoStream(()),
}

/// What was expected of a stream.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ExpectedRevision {
    /// This revision.
    #[prost(uint64, tag = "8")]
    Revision(u64),
    /// Nothing.
    #[prost(message, tag = "9")]
    Any(()),
    /// That it exists.
    #[prost(message, tag = "10")]
    StreamExists(()),
    /// That it does not exist.
    #[prost(message, tag = "11")]
    NoStream(()),
}

impl From<Expected> for ExpectedRevision {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Revision(revision) => Self::Revision(revision),
            Expected::NoStream(()) => Self::NoStream(()),
            Expected::Any(()) => Self::Any(()),
            Expected::StreamExists(()) => Self::StreamExists(()),
        }
    }
}

/// Delete a stream, for now (`Delete`) or for ever (`Tombstone`): both calls have the same messages.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteReq {
    /// Which, and what must be true of it.
    #[prost(message, optional, tag = "1")]
    pub options: Option<StreamOptions>,
}

/// Where the deletion was written.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DeleteResp {
    /// In the log.
    #[prost(oneof = "DeletePosition", tags = "1, 2")]
    pub position: Option<DeletePosition>,
}

/// The position of a deletion.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum DeletePosition {
    /// In the log.
    #[prost(message, tag = "1")]
    Position(Position),
    /// Not known.
    #[prost(message, tag = "2")]
    Nowhere(()),
}

//! `Streams/BatchAppend`: many appends on one call, each named by a correlation id; official clients append this way.
//!
//! The events of one append may be spread over messages with the same correlation id; the last one is marked final. A
//! failed append is told inside its answer as a [`Status`] whose detail names the error.

use super::append::ProposedMessage;
use super::errors::Status;
use super::shared::{Position, Seconds, StreamIdentifier, Uuid};

/// A piece of an append.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchAppendReq {
    /// Names the append.
    #[prost(message, optional, tag = "1")]
    pub correlation_id: Option<Uuid>,
    /// Where to write; with the first piece.
    #[prost(message, optional, tag = "2")]
    pub options: Option<BatchOptions>,
    /// Events.
    #[prost(message, repeated, tag = "3")]
    pub events: Vec<ProposedMessage>,
    /// Whether this is the last piece.
    #[prost(bool, tag = "4")]
    pub is_final: bool,
}

/// A stream, what must be true of it, and how long the append may take.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchOptions {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub stream: Option<StreamIdentifier>,
    /// What must be true.
    #[prost(oneof = "BatchExpected", tags = "2, 3, 4, 5")]
    pub expected: Option<BatchExpected>,
    /// How long.
    #[prost(oneof = "Deadline", tags = "6, 7")]
    pub deadline: Option<Deadline>,
}

/// What must be true of a stream before a write.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BatchExpected {
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

/// How long an append may take.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Deadline {
    /// Until then (the form of version 21.10.0).
    #[prost(message, tag = "6")]
    At(Seconds),
    /// So long.
    #[prost(message, tag = "7")]
    After(Seconds),
}

/// How an append ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchAppendResp {
    /// Names the append.
    #[prost(message, optional, tag = "1")]
    pub correlation_id: Option<Uuid>,
    /// Its end.
    #[prost(oneof = "BatchResult", tags = "2, 3")]
    pub result: Option<BatchResult>,
    /// Its stream.
    #[prost(message, optional, tag = "4")]
    pub stream: Option<StreamIdentifier>,
    /// What was expected of it.
    #[prost(oneof = "AnsweredExpected", tags = "5, 6, 7, 8")]
    pub expected: Option<AnsweredExpected>,
}

/// The two ways an append ends.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum BatchResult {
    /// Not well.
    #[prost(message, tag = "2")]
    Error(Status),
    /// Well.
    #[prost(message, tag = "3")]
    Success(BatchSuccess),
}

/// What was expected of a stream, as an answer repeats it.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum AnsweredExpected {
    /// This revision.
    #[prost(uint64, tag = "5")]
    Revision(u64),
    /// That it does not exist.
    #[prost(message, tag = "6")]
    NoStream(()),
    /// Nothing.
    #[prost(message, tag = "7")]
    Any(()),
    /// That it exists.
    #[prost(message, tag = "8")]
    StreamExists(()),
}

/// Where the last event went.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BatchSuccess {
    /// In the stream.
    #[prost(oneof = "BatchRevision", tags = "1, 2")]
    pub current_revision: Option<BatchRevision>,
    /// In the log.
    #[prost(oneof = "BatchPosition", tags = "3, 4")]
    pub position: Option<BatchPosition>,
}

/// The revision after an append.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BatchRevision {
    /// Of the last event.
    #[prost(uint64, tag = "1")]
    Revision(u64),
    /// There is no stream.
    #[prost(message, tag = "2")]
    NoStream(()),
}

/// The position of an append.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BatchPosition {
    /// Of the last event.
    #[prost(message, tag = "3")]
    Position(Position),
    /// Not known.
    #[prost(message, tag = "4")]
    Nowhere(()),
}

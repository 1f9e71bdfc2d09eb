//! How errors are told: a gRPC status, and trailers that say more.
//!
//! Calls of version 1 name the error in the trailer `exception`, with further trailers beside it. Calls of version 2
//! carry a `google.rpc.Status` in `grpc-status-details-bin`, whose first detail is an `ErrorInfo` with the reason and
//! whose second, if any, has what belongs to it.

use prost::Message as _;
use prost::bytes::Bytes;
use tonic::Code;
use tonic::metadata::{MetadataMap, MetadataValue};

/// Trailer of version 1 that names the error.
pub const EXCEPTION: &str = "exception";
/// Trailer beside [`NOT_LEADER`]: where the leader is.
pub const LEADER_HOST: &str = "leader-endpoint-host";
/// Trailer beside [`NOT_LEADER`]: its port.
pub const LEADER_PORT: &str = "leader-endpoint-port";
/// Exception: the stream is not at the expected revision.
pub const WRONG_EXPECTED_VERSION: &str = "wrong-expected-version";
/// Exception: the stream was deleted for ever.
pub const STREAM_DELETED: &str = "stream-deleted";
/// Exception: this member does not lead; the write was not done.
pub const NOT_LEADER: &str = "not-leader";
/// Exception: the caller may not do this.
pub const ACCESS_DENIED: &str = "access-denied";
/// Exception: the append is too large.
pub const MAXIMUM_APPEND_SIZE_EXCEEDED: &str = "maximum-append-size-exceeded";
/// Trailer beside an exception: the stream it is about.
pub const STREAM_NAME: &str = "stream-name";
/// Trailer beside [`WRONG_EXPECTED_VERSION`]: the revision that was expected.
pub const EXPECTED_VERSION: &str = "expected-version";
/// Trailer beside [`WRONG_EXPECTED_VERSION`]: the revision that is there.
pub const ACTUAL_VERSION: &str = "actual-version";

/// Reasons of version 2.
pub mod reason {
    /// The stream is not at the expected revision.
    pub const STREAM_REVISION_CONFLICT: &str = "STREAM_REVISION_CONFLICT";
    /// A consistency check failed.
    pub const APPEND_CONSISTENCY_VIOLATION: &str = "APPEND_CONSISTENCY_VIOLATION";
    /// The stream was deleted for ever.
    pub const STREAM_TOMBSTONED: &str = "STREAM_TOMBSTONED";
    /// A record is too large.
    pub const APPEND_RECORD_SIZE_EXCEEDED: &str = "APPEND_RECORD_SIZE_EXCEEDED";
    /// All records together are too large.
    pub const APPEND_TRANSACTION_SIZE_EXCEEDED: &str = "APPEND_TRANSACTION_SIZE_EXCEEDED";
    /// The stream comes twice in a session.
    pub const STREAM_ALREADY_IN_APPEND_SESSION: &str = "STREAM_ALREADY_IN_APPEND_SESSION";
    /// The session names no stream.
    pub const APPEND_SESSION_NO_REQUESTS: &str = "APPEND_SESSION_NO_REQUESTS";
    /// This member does not lead; the write was not done.
    pub const NOT_LEADER_NODE: &str = "NOT_LEADER_NODE";
    /// The server gave up waiting for itself; the outcome is not known.
    pub const OPERATION_TIMEOUT: &str = "OPERATION_TIMEOUT";
    /// The server is starting; nothing was done.
    pub const SERVER_NOT_READY: &str = "SERVER_NOT_READY";
    /// The server is full; nothing was done.
    pub const SERVER_OVERLOADED: &str = "SERVER_OVERLOADED";
    /// The server is ending.
    pub const SERVER_SHUTTING_DOWN: &str = "SERVER_SHUTTING_DOWN";
    /// The caller may not do this.
    pub const ACCESS_DENIED: &str = "ACCESS_DENIED";
    /// The request is not well formed.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What belongs to the error.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`: a message with its type.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// `type.googleapis.com/` and the full name of the type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.ErrorInfo`: the reason of an error.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorInfo {
    /// One of [`reason`], possibly with more in front.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whose reason.
    #[prost(string, tag = "2")]
    pub domain: String,
}

/// What a message is called inside an [`Any`].
pub trait Detail: prost::Message + Default {
    /// Its full name.
    const NAME: &'static str;
}

impl Detail for ErrorInfo {
    const NAME: &'static str = "google.rpc.ErrorInfo";
}

/// Belongs to [`reason::STREAM_REVISION_CONFLICT`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamRevisionConflict {
    /// The stream.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// What was expected of it.
    #[prost(sint64, tag = "2")]
    pub expected_revision: i64,
    /// What it is.
    #[prost(sint64, tag = "3")]
    pub actual_revision: i64,
}

impl Detail for StreamRevisionConflict {
    const NAME: &'static str = "kurrentdb.protocol.v2.streams.errors.StreamRevisionConflictErrorDetails";
}

/// Belongs to [`reason::STREAM_TOMBSTONED`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamTombstoned {
    /// The stream.
    #[prost(string, tag = "1")]
    pub stream: String,
}

impl Detail for StreamTombstoned {
    const NAME: &'static str = "kurrentdb.protocol.v2.streams.errors.StreamTombstonedErrorDetails";
}

/// Belongs to [`reason::STREAM_ALREADY_IN_APPEND_SESSION`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamAlreadyInAppendSession {
    /// The stream that comes twice.
    #[prost(string, tag = "1")]
    pub stream: String,
}

impl Detail for StreamAlreadyInAppendSession {
    const NAME: &'static str = "kurrentdb.protocol.v2.streams.errors.StreamAlreadyInAppendSessionErrorDetails";
}

/// Belongs to [`reason::APPEND_TRANSACTION_SIZE_EXCEEDED`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AppendTransactionSizeExceeded {
    /// What came so far, in bytes.
    #[prost(int32, tag = "1")]
    pub size: i32,
    /// What is possible, in bytes.
    #[prost(int32, tag = "2")]
    pub max_size: i32,
}

impl Detail for AppendTransactionSizeExceeded {
    const NAME: &'static str = "kurrentdb.protocol.v2.streams.errors.AppendTransactionSizeExceededErrorDetails";
}

/// Belongs to [`reason::APPEND_CONSISTENCY_VIOLATION`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendConsistencyViolation {
    /// The checks that failed, and none of the others.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<ConsistencyViolation>,
}

impl Detail for AppendConsistencyViolation {
    const NAME: &'static str = "kurrentdb.protocol.v2.streams.errors.AppendConsistencyViolationErrorDetails";
}

/// A check that failed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConsistencyViolation {
    /// Which of the request's checks, from 0.
    #[prost(int32, tag = "1")]
    pub check_index: i32,
    /// It was about a stream.
    #[prost(message, optional, tag = "2")]
    pub stream_state: Option<StreamStateViolation>,
}

/// A stream that is not what was expected of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamStateViolation {
    /// The stream.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// What was expected of it: a revision, or a constant of [`super::session`].
    #[prost(sint64, tag = "2")]
    pub expected_state: i64,
    /// What it is: its revision, or one of the constants for what is not there.
    #[prost(sint64, tag = "3")]
    pub actual_state: i64,
}

/// Belongs to [`reason::NOT_LEADER_NODE`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NotLeaderNode {
    /// The leader, when it is known.
    #[prost(message, optional, tag = "1")]
    pub leader: Option<NodeInfo>,
}

/// Where a member listens.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeInfo {
    /// Name or address.
    #[prost(string, tag = "1")]
    pub host: String,
    /// Port.
    #[prost(int32, tag = "2")]
    pub port: i32,
}

impl Detail for NotLeaderNode {
    const NAME: &'static str = "kurrent.rpc.NotLeaderNodeErrorDetails";
}

/// Details of failed appends in a batch: `event_store.client.WrongExpectedVersion`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BatchWrongExpectedVersion {
    /// What the stream is.
    #[prost(oneof = "BatchCurrent", tags = "1, 2")]
    pub current: Option<BatchCurrent>,
    /// What was expected.
    #[prost(oneof = "BatchWanted", tags = "3, 4, 5, 6")]
    pub expected: Option<BatchWanted>,
}

/// The revision of a stream.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BatchCurrent {
    /// Of its last event.
    #[prost(uint64, tag = "1")]
    Revision(u64),
    /// It does not exist.
    #[prost(message, tag = "2")]
    NoStream(()),
}

/// What was expected of a stream.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BatchWanted {
    /// This revision.
    #[prost(uint64, tag = "3")]
    Revision(u64),
    /// Nothing.
    #[prost(message, tag = "4")]
    Any(()),
    /// That it exists.
    #[prost(message, tag = "5")]
    StreamExists(()),
    /// That it does not exist.
    #[prost(message, tag = "6")]
    NoStream(()),
}

impl Detail for BatchWrongExpectedVersion {
    const NAME: &'static str = "event_store.client.WrongExpectedVersion";
}

impl Any {
    /// A message with its type.
    #[must_use]
    pub fn pack<D: Detail>(detail: &D) -> Self {
        Self { type_url: format!("type.googleapis.com/{}", D::NAME), value: Bytes::from(detail.encode_to_vec()) }
    }

    /// The message, when it is of this type. Only the last part of the name counts: packages were renamed between
    /// versions of the server.
    #[must_use]
    pub fn unpack<D: Detail>(&self) -> Option<D> {
        let last = |name: &str| name.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
        (last(&self.type_url) == last(D::NAME)).then(|| D::decode(self.value.clone()).ok()).flatten()
    }
}

/// An error of version 1: the status, its `exception`, and what belongs to it.
#[must_use]
pub fn exception(code: Code, message: &str, name: &'static str, beside: &[(&'static str, &str)]) -> tonic::Status {
    let mut trailers = MetadataMap::new();
    trailers.insert(EXCEPTION, MetadataValue::from_static(name));
    for (key, value) in beside {
        // A trailer is ASCII; what is not is for people only and can be left out.
        if let Ok(value) = MetadataValue::try_from(*value) {
            trailers.insert(*key, value);
        }
    }
    tonic::Status::with_metadata(code, message, trailers)
}

/// An error of version 2: the status, its reason, and what belongs to it.
#[must_use]
pub fn rich(code: Code, message: &str, reason: &str, detail: Option<Any>) -> tonic::Status {
    let info = ErrorInfo { reason: reason.to_owned(), domain: "kurrentdb".to_owned() };
    let details = std::iter::once(Any::pack(&info)).chain(detail).collect();
    let status = Status { code: code as i32, message: message.to_owned(), details };
    tonic::Status::with_details(code, message, Bytes::from(status.encode_to_vec()))
}

/// The `exception` of an error of version 1.
#[must_use]
pub fn exception_of(status: &tonic::Status) -> Option<&str> {
    status.metadata().get(EXCEPTION)?.to_str().ok()
}

/// The details of an error of version 2.
#[must_use]
pub fn details_of(status: &tonic::Status) -> Option<Status> {
    if status.details().is_empty() {
        return None;
    }
    Status::decode(status.details()).ok()
}

impl Status {
    /// The reason of the error.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.detail::<ErrorInfo>().map(|info| info.reason)
    }

    /// The first detail of this type.
    #[must_use]
    pub fn detail<D: Detail>(&self) -> Option<D> {
        self.details.iter().find_map(Any::unpack)
    }
}

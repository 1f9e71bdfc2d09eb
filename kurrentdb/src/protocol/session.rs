//! `StreamsService/AppendSession` and `AppendRecords`: appends to several streams, all or nothing.
//!
//! From KurrentDB 25.1 on (`AppendRecords` later). A session names each stream at most once, with at least one record.
//! Expected revisions are numbers: 0 and above exactly this one, below zero the constants here.

use std::collections::BTreeMap;

use prost::bytes::Bytes;

use super::value::Value;

/// Expected revision: the stream does not exist.
pub const EXPECTED_NO_STREAM: i64 = -1;
/// Expected revision: anything.
pub const EXPECTED_ANY: i64 = -2;
/// Expected revision: the stream exists.
pub const EXPECTED_EXISTS: i64 = -4;
/// State in a violation: the stream does not exist.
pub const ACTUAL_NO_STREAM: i64 = -1;
/// State in a violation: the stream is deleted and may be written again.
pub const ACTUAL_DELETED: i64 = -5;
/// State in a violation: the stream is deleted for ever.
pub const ACTUAL_TOMBSTONED: i64 = -6;

/// Records for one stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppendRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// The records, in order.
    #[prost(message, repeated, tag = "2")]
    pub records: Vec<AppendRecord>,
    /// What must be true of the stream; nothing says [`EXPECTED_ANY`].
    #[prost(sint64, optional, tag = "3")]
    pub expected_revision: Option<i64>,
}

/// One event.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppendRecord {
    /// Its id, a UUID: a repeat is recognised by it.
    #[prost(string, optional, tag = "1")]
    pub record_id: Option<String>,
    /// What is put beside the data. Read back as JSON metadata, where numbers are doubles.
    #[prost(btree_map = "string, message", tag = "2")]
    pub properties: BTreeMap<String, Value>,
    /// Its type and form.
    #[prost(message, optional, tag = "3")]
    pub schema: Option<SchemaInfo>,
    /// The data.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Its stream (`AppendRecords` only).
    #[prost(string, optional, tag = "5")]
    pub stream: Option<String>,
}

/// Type and form of a record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SchemaInfo {
    /// Its form; must be set.
    #[prost(enumeration = "SchemaFormat", tag = "1")]
    pub format: i32,
    /// Its type.
    #[prost(string, tag = "2")]
    pub name: String,
    /// A registered schema.
    #[prost(string, optional, tag = "3")]
    pub id: Option<String>,
}

/// Form of a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum SchemaFormat {
    /// Not said; refused.
    Unspecified = 0,
    /// JSON.
    Json = 1,
    /// Protocol buffers.
    Protobuf = 2,
    /// Avro.
    Avro = 3,
    /// Anything.
    Bytes = 4,
}

/// All is written.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendSessionResponse {
    /// One entry for each stream.
    #[prost(message, repeated, tag = "1")]
    pub output: Vec<AppendResponse>,
    /// Place of the last record in the log.
    #[prost(sint64, tag = "2")]
    pub position: i64,
}

/// What became of one stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendResponse {
    /// Its name.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// Revision of its last event.
    #[prost(sint64, tag = "2")]
    pub stream_revision: i64,
    /// Place of that in the log.
    #[prost(sint64, optional, tag = "3")]
    pub position: Option<i64>,
}

/// Records for any streams, in log order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppendRecordsRequest {
    /// The records; each names its stream.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<AppendRecord>,
    /// What must be true, of any streams.
    #[prost(message, repeated, tag = "2")]
    pub checks: Vec<ConsistencyCheck>,
}

/// Something that must be true.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConsistencyCheck {
    /// Of a stream.
    #[prost(message, optional, tag = "1")]
    pub stream_state: Option<StreamStateCheck>,
}

/// What must be true of a stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamStateCheck {
    /// Its name.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// A revision or a constant.
    #[prost(sint64, tag = "2")]
    pub expected_state: i64,
}

/// All is written.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendRecordsResponse {
    /// Place of the last record in the log.
    #[prost(sint64, tag = "1")]
    pub position: i64,
    /// One entry for each stream that was written.
    #[prost(message, repeated, tag = "2")]
    pub revisions: Vec<StreamRevision>,
}

/// Where a stream is now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamRevision {
    /// Its name.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// Revision of its last event.
    #[prost(sint64, tag = "2")]
    pub revision: i64,
}

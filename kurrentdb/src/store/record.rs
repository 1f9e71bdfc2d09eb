//! Events as KurrentDB has them: the core's JSON as data, and as metadata who caused them.
//!
//! The metadata also has `$correlationId`, by which KurrentDB's own tools tie events together. Appends to several streams
//! carry the metadata as properties, all of them text; read back, they have `$schema.*` members beside them, which are
//! not looked at.

use prost::bytes::Bytes;
use uuid::Uuid;
use wallex_core::effect::{Completion, Failure, FailureKind};
use wallex_core::event::codec::{CodecError, decode, encode_data, encode_metadata};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{EventId, Position};

use crate::client::CallError;
use crate::protocol::append::ProposedMessage;
use crate::protocol::read::{CONTENT_TYPE_JSON, METADATA_CONTENT_TYPE, METADATA_TYPE, RecordedEvent};
use crate::protocol::session::{AppendRecord, SchemaFormat, SchemaInfo};
use crate::protocol::shared;
use crate::protocol::value::Value;

const CORRELATION_ID: &str = "$correlationId";

/// Why events could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What is there is no event of a wallet.
    #[error("event {revision} of stream {stream:?} is not readable: {reason}")]
    Unreadable {
        /// The stream.
        stream: String,
        /// Its place there.
        revision: u64,
        /// Why.
        reason: String,
    },
}

impl ReadError {
    pub(super) fn into_completion<T>(self) -> Completion<T> {
        match self {
            Self::Call(error) => error.into_read_completion(),
            Self::Unreadable { .. } => {
                Completion::Failed(Failure { kind: FailureKind::Rejected, reason: self.to_string() })
            }
        }
    }
}

fn id(event: &Event) -> Uuid {
    Uuid::from_bytes(*event.event_id.as_bytes())
}

fn data(event: &Event) -> Bytes {
    let mut data = Vec::new();
    encode_data(event, &mut data);
    Bytes::from(data)
}

/// The event as a message of `Append`.
pub(super) fn proposed(event: &Event) -> ProposedMessage {
    let mut metadata = Vec::with_capacity(256);
    encode_metadata(event, &mut metadata);
    metadata.pop();
    // A correlation id needs no escape in JSON.
    metadata.extend_from_slice(format!(",\"{CORRELATION_ID}\":\"{}\"}}", event.correlation_id).as_bytes());
    ProposedMessage {
        id: Some(shared::Uuid::structured(id(event))),
        metadata: [
            (METADATA_TYPE.to_owned(), event.event_type().name().to_owned()),
            (METADATA_CONTENT_TYPE.to_owned(), CONTENT_TYPE_JSON.to_owned()),
        ]
        .into(),
        custom_metadata: Bytes::from(metadata),
        data: data(event),
    }
}

/// The event as a record of `AppendSession`.
pub(super) fn record(event: &Event) -> AppendRecord {
    let property = |key: &str, text: String| (key.to_owned(), Value::text(text));
    let trace_parent = event.trace_parent.as_ref().map(|trace| property("traceparent", trace.as_str().to_owned()));
    let properties = [
        property("commandId", event.command_id.to_string()),
        property("correlationId", event.correlation_id.to_string()),
        property(CORRELATION_ID, event.correlation_id.to_string()),
    ];
    let name = event.event_type().name().to_owned();
    AppendRecord {
        record_id: Some(id(event).hyphenated().to_string()),
        properties: properties.into_iter().chain(trace_parent).collect(),
        schema: Some(SchemaInfo { format: SchemaFormat::Json as i32, name, id: None }),
        data: data(event),
        stream: None,
    }
}

/// An event of a wallet, from what the server has.
pub(super) fn recorded(event: &RecordedEvent) -> Result<Recorded, ReadError> {
    let unreadable = |reason: String| ReadError::Unreadable {
        stream: event.stream.as_ref().and_then(|stream| stream.name()).unwrap_or_default().to_owned(),
        revision: event.revision,
        reason,
    };
    let id = event.id.as_ref().and_then(shared::Uuid::value).ok_or_else(|| unreadable("it has no id".to_owned()))?;
    let kind = event.metadata.get(METADATA_TYPE).map(String::as_str).unwrap_or_default();
    let decoded = decode(EventId::from_bytes(*id.as_bytes()), kind, &event.data, &event.custom_metadata)
        .map_err(|error: CodecError| unreadable(error.to_string()))?;
    // Revisions and versions are the same count: a stream where they differ was not written by this service (INV-03).
    if decoded.version.0 != event.revision + 1 {
        return Err(unreadable(format!("it says that it is version {}", decoded.version)));
    }
    Ok(Recorded { position: Position(event.prepare_position), event: decoded })
}

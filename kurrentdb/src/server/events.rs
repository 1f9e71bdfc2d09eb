//! Events as messages, and names and expectations out of messages.
//!
//! Where calls of version 1 and the log translate events into each other; a message that lacks what it needs is
//! `INVALID_ARGUMENT`. Records of version 2 are read in `session`, refusals and failures are told by `answers`.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use tonic::Status;
use uuid::Uuid as Id;
use wallex_journal::raw::{Expected, NewEvent, StoredEvent};

use crate::protocol::append::{Expected as WireExpected, ProposedMessage};
use crate::protocol::read::{
    CONTENT_TYPE_BYTES, CONTENT_TYPE_JSON, EventPosition, METADATA_CONTENT_TYPE, METADATA_CREATED, METADATA_TYPE,
    ReadContent, ReadEvent, ReadResp, RecordedEvent,
};
use crate::protocol::shared::{StreamIdentifier, Uuid};

/// In which form the client wants ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdForm {
    Structured,
    Text,
}

/// The name of a stream in a request.
pub(super) fn stream_name(identifier: Option<&StreamIdentifier>) -> Result<String, Status> {
    let name = identifier.and_then(StreamIdentifier::name).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Status::invalid_argument("a stream name is missing or is not UTF-8"))
}

/// What a version 1 request expects of a stream.
pub(super) fn expected(wire: Option<WireExpected>) -> Result<Expected, Status> {
    match wire {
        Some(WireExpected::Revision(revision)) => Ok(Expected::Revision(revision)),
        Some(WireExpected::NoStream(())) => Ok(Expected::NoStream),
        Some(WireExpected::Any(())) => Ok(Expected::Any),
        Some(WireExpected::StreamExists(())) => Ok(Expected::Exists),
        None => Err(Status::invalid_argument("the expected revision is missing")),
    }
}

/// What a proposed event takes of the queue's room, in bytes.
pub(super) fn proposed_bytes(message: &ProposedMessage) -> usize {
    let metadata: usize = message.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    message.data.len() + message.custom_metadata.len() + metadata
}

/// An event that a version 1 request wants to write.
pub(super) fn proposed(message: ProposedMessage) -> Result<NewEvent, Status> {
    let ProposedMessage { id, mut metadata, custom_metadata, data } = message;
    let id = id.and_then(|id| id.value()).ok_or_else(|| Status::invalid_argument("an event id is missing"))?;
    let kind = metadata.remove(METADATA_TYPE).ok_or_else(|| Status::invalid_argument("an event type is missing"))?;
    let is_json = metadata.get(METADATA_CONTENT_TYPE).is_some_and(|content| content == CONTENT_TYPE_JSON);
    Ok(NewEvent { id: *id.as_bytes(), kind, is_json, data: data.into(), metadata: custom_metadata.into() })
}

/// An event that was read, as a message.
pub(super) fn event(stored: StoredEvent, form: IdForm) -> ReadResp {
    let StoredEvent { position, stream, revision, time_micros, event } = stored;
    let id = Id::from_bytes(event.id);
    let content_type = if event.is_json { CONTENT_TYPE_JSON } else { CONTENT_TYPE_BYTES };
    let metadata = BTreeMap::from([
        (METADATA_TYPE.to_owned(), event.kind),
        // In ticks of 100 ns.
        (METADATA_CREATED.to_owned(), time_micros.saturating_mul(10).to_string()),
        (METADATA_CONTENT_TYPE.to_owned(), content_type.to_owned()),
    ]);
    let recorded = RecordedEvent {
        id: Some(match form {
            IdForm::Structured => Uuid::structured(id),
            IdForm::Text => Uuid::text(id),
        }),
        stream: Some(StreamIdentifier::new(stream)),
        revision,
        prepare_position: position,
        commit_position: position,
        metadata,
        custom_metadata: Bytes::from(event.metadata),
        data: Bytes::from(event.data),
    };
    let read = ReadEvent { event: Some(recorded), link: None, position: Some(EventPosition::Commit(position)) };
    ReadResp { content: Some(ReadContent::Event(Box::new(read))) }
}

/// A random id.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn random_id() -> Result<Id, Status> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Status::internal(format!("the system has no randomness: {error}")))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

//! Version 2: `AppendSession` and `AppendRecords`, atomic appends to several streams, with their rules.
//!
//! Checks what the protocol asks of a record (id, format, schema name) and of a session (each stream once). A schema
//! becomes metadata and is not looked up. Whether streams are as expected is decided by the log, all or nothing;
//! refusals get their words in `answers`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid as Id;
use wallex_journal::raw::{Append, Appended, Expectation, Expected, Mismatch, NewEvent, Outcome, Refusal};

use super::answers::{bad_request, failed, no_room_v2, refused_v2, twice_in_session, unknown, violated};
use super::append::{EVENT_COST_BYTES, holds};
use super::events::random_id;
use super::route::State;
use super::writer::Room;
use crate::protocol::errors::{reason, rich};
use crate::protocol::session::{
    AppendRecord, AppendRecordsRequest, AppendRecordsResponse, AppendRequest, AppendResponse, AppendSessionResponse,
    EXPECTED_ANY, EXPECTED_EXISTS, EXPECTED_NO_STREAM, SchemaFormat, StreamRevision,
};

/// Appends to several streams, each named once.
pub(super) async fn append_session(
    state: Arc<State>,
    request: Request<Streaming<AppendRequest>>,
) -> Result<Response<AppendSessionResponse>, Status> {
    let mut requests = request.into_inner();
    let mut room = state.appender.room();
    let mut named = BTreeSet::new();
    let (mut streams, mut events) = (Vec::new(), Vec::new());
    while let Some(AppendRequest { stream, records, expected_revision }) = requests.message().await? {
        if !named.insert(stream.to_lowercase()) {
            return Err(twice_in_session(stream));
        }
        if records.is_empty() {
            return Err(bad_request(&format!("there is no record for stream '{stream}'")));
        }
        let expected = expected(expected_revision.unwrap_or(EXPECTED_ANY))?;
        for record in records {
            events.push((streams.len(), checked(record, &mut room)?));
        }
        streams.push(Expectation { stream, expected });
    }
    if streams.is_empty() {
        let message = "a session without a stream";
        return Err(rich(Code::FailedPrecondition, message, reason::APPEND_SESSION_NO_REQUESTS, None));
    }
    let names: Vec<String> = streams.iter().map(|one| one.stream.clone()).collect();
    let appended = append(&state, Append::new(streams, events), room, refused_v2).await?;
    let output = names.into_iter().zip(&appended.streams).filter_map(|(stream, written)| {
        let written = (*written)?;
        let (stream_revision, position) = (number(written.revision), Some(number(written.position)));
        Some(AppendResponse { stream, stream_revision, position })
    });
    Ok(Response::new(AppendSessionResponse { output: output.collect(), position: number(appended.position) }))
}

/// Appends records to the streams that they name, when all checks hold.
pub(super) async fn append_records(
    state: Arc<State>,
    request: Request<AppendRecordsRequest>,
) -> Result<Response<AppendRecordsResponse>, Status> {
    let AppendRecordsRequest { records, checks } = request.into_inner();
    if records.is_empty() {
        return Err(bad_request("there is no record"));
    }
    let mut streams: Vec<Expectation> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for check in checks {
        let check = check.stream_state.ok_or_else(|| bad_request("a check of an unknown kind"))?;
        if known.insert(check.stream.clone(), streams.len()).is_some() {
            return Err(bad_request(&format!("stream '{}' is checked twice", check.stream)));
        }
        streams.push(Expectation { stream: check.stream, expected: expected(check.expected_state)? });
    }
    let mut room = state.appender.room();
    let mut events = Vec::new();
    for mut record in records {
        let stream = record.stream.take().filter(|stream| !stream.is_empty());
        let stream = stream.ok_or_else(|| bad_request("a record does not name its stream"))?;
        let event = checked(record, &mut room)?;
        let index = *known.entry(stream).or_insert_with_key(|stream| {
            streams.push(Expectation { stream: stream.clone(), expected: Expected::Any });
            streams.len() - 1
        });
        events.push((index, event));
    }
    let told = |refusal: &Refusal, bytes| match unmet(&state, refusal, &streams) {
        unmet if unmet.is_empty() => refused_v2(refusal, bytes),
        unmet => violated(&streams, &unmet),
    };
    let appended = append(&state, Append::new(streams.clone(), events), room, told).await?;
    let revisions = streams.into_iter().zip(&appended.streams).filter_map(|(one, written)| {
        Some(StreamRevision { stream: one.stream, revision: number((*written)?.revision) })
    });
    Ok(Response::new(AppendRecordsResponse { revisions: revisions.collect(), position: number(appended.position) }))
}

/// Appends; a refusal of the log is told in the words of the call.
async fn append(
    state: &State,
    append: Append,
    room: Room,
    told: impl FnOnce(&Refusal, usize) -> Status,
) -> Result<Appended, Status> {
    let bytes = append.bytes();
    match state.appender.append(append, room).await {
        Outcome::Done(appended) => Ok(appended),
        Outcome::Refused(refusal) => Err(told(&refusal, bytes)),
        Outcome::Failed(why) => Err(failed(&why)),
        Outcome::Unknown => Err(unknown()),
    }
}

/// The streams that are not what they must be. At a stream that is deleted for ever the log looks no further; what else
/// there is to say is looked up afterwards.
fn unmet(state: &State, refusal: &Refusal, streams: &[Expectation]) -> Vec<Mismatch> {
    match refusal {
        Refusal::Mismatch(mismatches) => mismatches.clone(),
        Refusal::Tombstoned(_) => streams
            .iter()
            .map(|Expectation { stream, expected }| Mismatch {
                stream: stream.clone(),
                expected: *expected,
                actual: state.reader.state(stream),
            })
            .filter(|one| one.actual.is_tombstoned || !holds(one.expected, &one.actual))
            .collect(),
        Refusal::TooLarge | Refusal::Malformed(_) => Vec::new(),
    }
}

fn expected(number: i64) -> Result<Expected, Status> {
    match number {
        EXPECTED_NO_STREAM => Ok(Expected::NoStream),
        EXPECTED_ANY => Ok(Expected::Any),
        EXPECTED_EXISTS => Ok(Expected::Exists),
        _ => u64::try_from(number)
            .map(Expected::Revision)
            .map_err(|_| bad_request(&format!("{number} is no expected revision"))),
    }
}

/// A record that keeps the rules, as an event.
fn checked(record: AppendRecord, room: &mut Room) -> Result<NewEvent, Status> {
    let AppendRecord { record_id, properties, schema, data, stream: _ } = record;
    let id = match record_id {
        Some(id) => Id::try_parse(&id).map_err(|_| bad_request(&format!("'{id}' is no record id: a UUID is")))?,
        None => random_id()?,
    };
    let schema = schema.ok_or_else(|| bad_request("a record has no schema"))?;
    let format = match SchemaFormat::try_from(schema.format) {
        Ok(SchemaFormat::Json) => "Json",
        Ok(SchemaFormat::Protobuf) => "Protobuf",
        Ok(SchemaFormat::Avro) => "Avro",
        Ok(SchemaFormat::Bytes) => "Bytes",
        Ok(SchemaFormat::Unspecified) | Err(_) => return Err(bad_request("a record has no format")),
    };
    if !is_schema_name(&schema.name) {
        return Err(bad_request(&format!("'{}' is no schema name", schema.name)));
    }
    let mut metadata: Map<String, Json> =
        properties.iter().map(|(key, value)| (key.clone(), value.to_json())).collect();
    metadata.insert("$schema.format".to_owned(), Json::from(format));
    metadata.insert("$schema.name".to_owned(), Json::from(schema.name.as_str()));
    if let Some(id) = schema.id {
        metadata.insert("$schema.id".to_owned(), Json::from(id));
    }
    let metadata = Json::Object(metadata).to_string().into_bytes();
    room.take(data.len() + metadata.len() + EVENT_COST_BYTES).map_err(no_room_v2)?;
    let is_json = schema.format == SchemaFormat::Json as i32;
    Ok(NewEvent { id: *id.as_bytes(), kind: schema.name, is_json, data: data.into(), metadata })
}

/// Letters, digits, and `_.$:-`.
fn is_schema_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|one| one.is_alphabetic() || one.is_numeric() || "_.$:-".contains(one))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

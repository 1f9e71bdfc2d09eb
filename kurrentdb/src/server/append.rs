//! Version 1: `Append`, `Delete` and `Tombstone`.
//!
//! Reads the messages of a call, takes room in the queue before it keeps an event, and tells how it ended: a revision
//! that is not the expected one inside the answer of an append, as an error of the others. Whether a stream is as
//! expected, and whether an append is a repeat (INV-05), is decided by the log; the queue before it is `writer`'s.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};
use wallex_journal::raw::{
    Append, Appended, Expectation, Expected, LAST_REVISION, METADATA_STREAM, METADATA_TYPE, Mismatch, NewEvent,
    Outcome, Refusal, StreamState,
};

use super::answers::{deleted, failed, no_room, refused, unknown};
use super::events::{expected, proposed, proposed_bytes, random_id, stream_name};
use super::route::State;
use crate::protocol::append::{
    AppendContent, AppendReq, AppendResp, AppendResult, AppendSuccess, CurrentRevision, DeletePosition, DeleteReq,
    DeleteResp, StreamOptions, SuccessPosition, SuccessRevision, WrongExpectedVersion,
};
use crate::protocol::shared::Position;

/// What an event costs in the queue beside its bytes.
pub(super) const EVENT_COST_BYTES: usize = 128;

/// Appends to one stream.
pub(super) async fn append(
    state: Arc<State>,
    request: Request<Streaming<AppendReq>>,
) -> Result<Response<AppendResp>, Status> {
    let mut messages = request.into_inner();
    let first = messages.message().await?.and_then(|message| message.content);
    let Some(AppendContent::Options(options)) = first else {
        return Err(Status::invalid_argument("an append begins with its options"));
    };
    let stream = stream_name(options.stream.as_ref())?;
    let expectation = expected(options.expected)?;
    let mut room = state.appender.room();
    let mut events = Vec::new();
    while let Some(message) = messages.message().await? {
        let Some(AppendContent::Event(event)) = message.content else {
            return Err(Status::invalid_argument("the options come once, and then the events"));
        };
        room.take(proposed_bytes(&event) + EVENT_COST_BYTES).map_err(no_room)?;
        events.push(proposed(event)?);
    }
    if events.is_empty() {
        return nothing(&state, &stream, expectation, &options).map(Response::new);
    }
    let outcome = state.appender.append(Append::to_stream(stream, expectation, events), room).await;
    let result = match outcome {
        Outcome::Done(appended) => AppendResult::Success(success(&appended)),
        Outcome::Refused(Refusal::Mismatch(mismatches)) => conflict(&mismatches, &options),
        Outcome::Refused(refusal) => return Err(refused(&refusal)),
        Outcome::Failed(why) => return Err(failed(&why)),
        Outcome::Unknown => return Err(unknown()),
    };
    Ok(Response::new(AppendResp { result: Some(result) }))
}

/// An append without events only looks at the stream.
fn nothing(state: &State, stream: &str, expected: Expected, options: &StreamOptions) -> Result<AppendResp, Status> {
    let actual = state.reader.state(stream);
    if actual.is_tombstoned {
        return Err(deleted(stream));
    }
    let current_revision = Some(match actual.last() {
        Some(revision) => SuccessRevision::Revision(revision),
        None => SuccessRevision::NoStream(()),
    });
    let nowhere = AppendSuccess { current_revision, position: Some(SuccessPosition::Nowhere(())) };
    let result = match holds(expected, &actual) {
        true => AppendResult::Success(nowhere),
        false => conflict(&[Mismatch { stream: stream.to_owned(), expected, actual }], options),
    };
    Ok(AppendResp { result: Some(result) })
}

/// Whether a stream is what it must be.
pub(super) fn holds(expected: Expected, actual: &StreamState) -> bool {
    match expected {
        Expected::Any => true,
        Expected::NoStream => !actual.exists(),
        Expected::Exists => actual.exists(),
        Expected::Revision(revision) => actual.last() == Some(revision),
    }
}

fn success(appended: &Appended) -> AppendSuccess {
    let revision = appended.streams.iter().flatten().next().map_or(0, |written| written.revision);
    AppendSuccess {
        current_revision: Some(SuccessRevision::Revision(revision)),
        position: Some(SuccessPosition::Position(Position::at(appended.position))),
    }
}

fn conflict(mismatches: &[Mismatch], options: &StreamOptions) -> AppendResult {
    let actual: Option<StreamState> = mismatches.first().map(|mismatch| mismatch.actual);
    let current = match actual.and_then(|actual| actual.last()) {
        Some(revision) => CurrentRevision::Revision(revision),
        None => CurrentRevision::NoStream(()),
    };
    let expected = options.expected.map(Into::into);
    AppendResult::WrongExpectedVersion(WrongExpectedVersion { current: Some(current), expected })
}

/// Hides all events of a stream, until it is written again. What was in its metadata is replaced.
pub(super) async fn delete(state: Arc<State>, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
    let (stream, expectation) = asked(request)?;
    let hides = NewEvent {
        id: *random_id()?.as_bytes(),
        kind: METADATA_TYPE.to_owned(),
        is_json: true,
        data: format!("{{\"$tb\":{LAST_REVISION}}}").into_bytes(),
        metadata: Vec::new(),
    };
    let metadata = Expectation { stream: format!("{METADATA_STREAM}{stream}"), expected: Expected::Any };
    let streams = vec![Expectation { stream, expected: expectation }, metadata];
    finish(&state, Append::new(streams, vec![(1, hides)])).await
}

/// Closes a stream for ever.
pub(super) async fn tombstone(state: Arc<State>, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
    let (stream, expectation) = asked(request)?;
    finish(&state, Append::tombstone(stream, expectation, *random_id()?.as_bytes())).await
}

fn asked(request: Request<DeleteReq>) -> Result<(String, Expected), Status> {
    let options = request.into_inner().options.unwrap_or_default();
    Ok((stream_name(options.stream.as_ref())?, expected(options.expected)?))
}

async fn finish(state: &State, append: Append) -> Result<Response<DeleteResp>, Status> {
    let mut room = state.appender.room();
    room.take(append.bytes()).map_err(no_room)?;
    match state.appender.append(append, room).await {
        Outcome::Done(appended) => {
            let position = Some(DeletePosition::Position(Position::at(appended.position)));
            Ok(Response::new(DeleteResp { position }))
        }
        Outcome::Refused(refusal) => Err(refused(&refusal)),
        Outcome::Failed(why) => Err(failed(&why)),
        Outcome::Unknown => Err(unknown()),
    }
}

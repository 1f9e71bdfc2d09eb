//! Version 1: `BatchAppend`, many appends on one call.
//!
//! Appends enter the queue in the order in which they become complete, so later ones of a call see the earlier ones;
//! their answers come as they are known. What a call may have unfinished and unanswered is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use wallex_journal::raw::{Append, Expected, Mismatch, NewEvent, Outcome, Refusal};

use super::answers::{failed, no_room, refused, unknown};
use super::append::EVENT_COST_BYTES;
use super::events::{proposed, proposed_bytes, stream_name};
use super::route::State;
use super::writer::Room;
use crate::protocol::batch::{
    AnsweredExpected, BatchAppendReq, BatchAppendResp, BatchExpected, BatchOptions, BatchPosition, BatchResult,
    BatchRevision, BatchSuccess,
};
use crate::protocol::errors::{Any, BatchCurrent, BatchWanted, BatchWrongExpectedVersion, Detail, Status as Error};
use crate::protocol::shared::{Position, StreamIdentifier, Uuid};

/// Most appends of one call that are received in part.
const UNFINISHED_MAX: usize = 256;
/// Most appends of one call that wait for their outcome.
const UNANSWERED_MAX: usize = 1_024;
/// Answers that wait for the client.
const ANSWERS_MAX: usize = 64;

/// Belongs to an append to a closed stream.
#[derive(Clone, PartialEq, prost::Message)]
struct StreamDeleted {
    #[prost(message, optional, tag = "1")]
    stream: Option<StreamIdentifier>,
}

impl Detail for StreamDeleted {
    const NAME: &'static str = "event_store.client.StreamDeleted";
}

/// An append that is received in pieces.
struct Unfinished {
    options: BatchOptions,
    events: Vec<NewEvent>,
    room: Room,
}

/// The answers of a call.
pub(super) type Answers = ReceiverStream<Result<BatchAppendResp, Status>>;

/// Appends, as long as the client sends.
pub(super) async fn batch_append(
    state: Arc<State>,
    request: Request<Streaming<BatchAppendReq>>,
) -> Result<Response<Answers>, Status> {
    let (answers, receiver) = mpsc::channel(ANSWERS_MAX);
    let mut messages = request.into_inner();
    tokio::spawn(async move {
        if let Err(status) = receive(&state, &mut messages, &answers).await {
            // A client that is gone needs no answer.
            let _ = answers.send(Err(status)).await;
        }
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn receive(
    state: &State,
    messages: &mut Streaming<BatchAppendReq>,
    answers: &mpsc::Sender<Result<BatchAppendResp, Status>>,
) -> Result<(), Status> {
    let unanswered = Arc::new(Semaphore::new(UNANSWERED_MAX));
    let mut unfinished: BTreeMap<[u8; 16], Unfinished> = BTreeMap::new();
    while let Some(piece) = messages.message().await? {
        let id = piece.correlation_id.as_ref().and_then(Uuid::value);
        let id = *id.ok_or_else(|| Status::invalid_argument("the correlation id is missing"))?.as_bytes();
        let (correlation, is_final) = (piece.correlation_id.clone(), piece.is_final);
        let mut append = match unfinished.remove(&id) {
            Some(begun) => begun,
            None if unfinished.len() >= UNFINISHED_MAX => {
                return Err(Status::resource_exhausted("too many appends of this call are unfinished"));
            }
            None => Unfinished {
                options: piece.options.ok_or_else(|| Status::invalid_argument("the options are missing"))?,
                events: Vec::new(),
                room: state.appender.room(),
            },
        };
        for event in piece.events {
            append.room.take(proposed_bytes(&event) + EVENT_COST_BYTES).map_err(no_room)?;
            append.events.push(proposed(event)?);
        }
        if !is_final {
            unfinished.insert(id, append);
            continue;
        }
        let Unfinished { options, events, room } = append;
        let stream = stream_name(options.stream.as_ref())?;
        let Ok(permit) = unanswered.clone().acquire_owned().await else { return Ok(()) };
        let pending = state.appender.begin(Append::to_stream(stream, expected(&options), events), room).await;
        let answers = answers.clone();
        tokio::spawn(async move {
            let result = result(pending.outcome().await, &options);
            let expected = options.expected.map(repeat);
            let answer =
                BatchAppendResp { correlation_id: correlation, result: Some(result), stream: options.stream, expected };
            // A client that is gone needs no answer.
            let _ = answers.send(Ok(answer)).await;
            drop(permit);
        });
    }
    Ok(())
}

fn expected(options: &BatchOptions) -> Expected {
    match options.expected {
        Some(BatchExpected::Revision(revision)) => Expected::Revision(revision),
        Some(BatchExpected::NoStream(())) => Expected::NoStream,
        Some(BatchExpected::StreamExists(())) => Expected::Exists,
        Some(BatchExpected::Any(())) | None => Expected::Any,
    }
}

fn repeat(expected: BatchExpected) -> AnsweredExpected {
    match expected {
        BatchExpected::Revision(revision) => AnsweredExpected::Revision(revision),
        BatchExpected::NoStream(()) => AnsweredExpected::NoStream(()),
        BatchExpected::Any(()) => AnsweredExpected::Any(()),
        BatchExpected::StreamExists(()) => AnsweredExpected::StreamExists(()),
    }
}

fn result(outcome: Outcome, options: &BatchOptions) -> BatchResult {
    match outcome {
        Outcome::Done(appended) => {
            let revision = appended.streams.iter().flatten().next().map_or(0, |written| written.revision);
            BatchResult::Success(BatchSuccess {
                current_revision: Some(BatchRevision::Revision(revision)),
                position: Some(BatchPosition::Position(Position::at(appended.position))),
            })
        }
        Outcome::Refused(refusal) => {
            let detail = match &refusal {
                Refusal::Mismatch(mismatches) => mismatches.first().map(|mismatch| Any::pack(&conflict(mismatch))),
                Refusal::Tombstoned(_) => Some(Any::pack(&StreamDeleted { stream: options.stream.clone() })),
                Refusal::TooLarge | Refusal::Malformed(_) => None,
            };
            error(&refused(&refusal), detail)
        }
        Outcome::Failed(why) => error(&failed(&why), None),
        Outcome::Unknown => error(&unknown(), None),
    }
}

fn error(status: &Status, detail: Option<Any>) -> BatchResult {
    let code: Code = status.code();
    let details = detail.into_iter().collect();
    BatchResult::Error(Error { code: code as i32, message: status.message().to_owned(), details })
}

fn conflict(mismatch: &Mismatch) -> BatchWrongExpectedVersion {
    let current = match mismatch.actual.last() {
        Some(revision) => BatchCurrent::Revision(revision),
        None => BatchCurrent::NoStream(()),
    };
    let expected = match mismatch.expected {
        Expected::Revision(revision) => BatchWanted::Revision(revision),
        Expected::Any => BatchWanted::Any(()),
        Expected::Exists => BatchWanted::StreamExists(()),
        Expected::NoStream => BatchWanted::NoStream(()),
    };
    BatchWrongExpectedVersion { current: Some(current), expected: Some(expected) }
}

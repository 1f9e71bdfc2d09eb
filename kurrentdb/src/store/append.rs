//! Writes: one stream through `Append`, several through one `AppendSession`, all or nothing.
//!
//! The expected revision is exact and the events carry their own ids. So a repeat of an append whose outcome is unknown
//! is safe: when all its events are there, at that very place, the server says again that it is done.

use wallex_core::effect::{Append, Completion, Failure, FailureKind, StreamWrite};
use wallex_core::event::stream_name;

use super::record::{proposed, record};
use super::ring::Ring;
use crate::client::{CallError, Client};
use crate::protocol::append::{AppendContent, AppendReq, AppendResult, Expected, StreamOptions, SuccessPosition};
use crate::protocol::session::{AppendRequest, EXPECTED_NO_STREAM};
use crate::protocol::shared::StreamIdentifier;
use crate::protocol::{APPEND, APPEND_SESSION};

pub(super) async fn append(client: &Client, ring: &Ring, append: &Append) -> Completion<()> {
    if !append.records.is_empty() {
        let reason = "KurrentDB keeps no idempotency records: they belong to the ledger database".to_owned();
        return Completion::Failed(Failure { kind: FailureKind::Rejected, reason });
    }
    let writes: Vec<&StreamWrite> = append.writes.iter().filter(|write| !write.events.is_empty()).collect();
    let written = match writes.as_slice() {
        [] => return Completion::Done(()),
        [write] => one(client, write).await,
        several => session(client, several).await,
    };
    match written {
        Ok(Written::At(position)) => {
            ring.note_append(position);
            Completion::Done(())
        }
        Ok(Written::Somewhere) => Completion::Done(()),
        Ok(Written::Conflict) => Completion::Conflict,
        Err(error) => {
            tracing::debug!(%error, "an append was not answered with done");
            error.into_completion()
        }
    }
}

enum Written {
    /// Up to this commit position.
    At(u64),
    Somewhere,
    Conflict,
}

async fn one(client: &Client, write: &StreamWrite) -> Result<Written, CallError> {
    let expected = match write.expected.0 {
        0 => Expected::NoStream(()),
        version => Expected::Revision(version - 1),
    };
    let stream = Some(StreamIdentifier::new(stream_name(&write.wallet)));
    let options = AppendContent::Options(StreamOptions { stream, expected: Some(expected) });
    let events = write.events.iter().map(|event| AppendContent::Event(proposed(event)));
    let messages = std::iter::once(options).chain(events).map(|content| AppendReq { content: Some(content) });
    match client.call(&APPEND, messages.collect()).await?.result {
        Some(AppendResult::Success(success)) => Ok(match success.position {
            Some(SuccessPosition::Position(position)) => Written::At(position.commit_position),
            Some(SuccessPosition::Nowhere(())) | None => Written::Somewhere,
        }),
        Some(AppendResult::WrongExpectedVersion(_)) => Ok(Written::Conflict),
        None => Err(CallError::Nonsense("an append that neither succeeded nor failed")),
    }
}

async fn session(client: &Client, writes: &[&StreamWrite]) -> Result<Written, CallError> {
    let requests = writes.iter().map(|write| AppendRequest {
        stream: stream_name(&write.wallet),
        records: write.events.iter().map(record).collect(),
        expected_revision: Some(
            i64::try_from(write.expected.0).map_or(i64::MAX, |version| version + EXPECTED_NO_STREAM),
        ),
    });
    let answer = client.call(&APPEND_SESSION, requests.collect()).await?;
    Ok(u64::try_from(answer.position).map_or(Written::Somewhere, Written::At))
}

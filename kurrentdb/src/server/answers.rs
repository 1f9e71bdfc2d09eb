//! What the log answers, as KurrentDB tells it: in-band, or as a status with trailers or details.
//!
//! Only what is known not to have happened is told as a refusal. Everything that may have happened is `UNKNOWN` or
//! `UNAVAILABLE`, upon which clients repeat with the same ids.

use tonic::{Code, Status};
use wallex_journal::JournalError;
use wallex_journal::raw::{APPEND_BYTES_MAX, Expected, Mismatch, Refusal, StreamState};

use super::writer::NoRoom;
use crate::protocol::errors::{
    ACTUAL_VERSION, Any, EXPECTED_VERSION, MAXIMUM_APPEND_SIZE_EXCEEDED, STREAM_DELETED, STREAM_NAME,
    StreamRevisionConflict, WRONG_EXPECTED_VERSION, exception, reason, rich,
};
use crate::protocol::session::{EXPECTED_ANY, EXPECTED_EXISTS, EXPECTED_NO_STREAM};

/// Trailer beside `maximum-append-size-exceeded`: how much is possible.
const MAXIMUM_APPEND_SIZE: &str = "maximum-append-size";

/// A failed append that did nothing and may be tried again.
pub(super) fn failed(why: &str) -> Status {
    Status::unavailable(format!("the append was not done: {why}"))
}

/// An append that may have happened.
pub(super) fn unknown() -> Status {
    Status::unknown("the append may have been done or not: the log cannot tell before it is opened again")
}

/// A read that did not succeed.
pub(super) fn unreadable(error: &JournalError) -> Status {
    tracing::error!(%error, "the log could not be read");
    match error {
        JournalError::Damaged(_) | JournalError::Unreadable { .. } | JournalError::Inconsistent { .. } => {
            Status::data_loss(error.to_string())
        }
        JournalError::Locked(_)
        | JournalError::OtherLog(_)
        | JournalError::Io { .. }
        | JournalError::SegmentSize(_)
        | JournalError::Stopped(_) => Status::unavailable(error.to_string()),
    }
}

/// The server ends.
pub(super) fn shutting_down() -> Status {
    rich(Code::Unavailable, "the server is shutting down", reason::SERVER_SHUTTING_DOWN, None)
}

/// A closed stream, version 1.
pub(super) fn deleted(stream: &str) -> Status {
    let message = format!("Event stream '{stream}' is deleted.");
    exception(Code::FailedPrecondition, &message, STREAM_DELETED, &[(STREAM_NAME, stream)])
}

/// A refusal that version 1 tells as a status.
pub(super) fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Mismatch(mismatches) => match mismatches.first() {
            Some(mismatch) => wrong_expected_version(mismatch),
            None => Status::failed_precondition("an expectation is not met"),
        },
        Refusal::Tombstoned(stream) => deleted(stream),
        Refusal::TooLarge => too_large(),
        Refusal::Malformed(what) => Status::invalid_argument(*what),
    }
}

fn wrong_expected_version(mismatch: &Mismatch) -> Status {
    let Mismatch { stream, expected, actual } = mismatch;
    let (expected, actual) = (expected_number(*expected).to_string(), actual_number(actual).to_string());
    let message = format!(
        "Append failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, Actual version: {actual}"
    );
    let beside = [(STREAM_NAME, stream.as_str()), (EXPECTED_VERSION, &expected), (ACTUAL_VERSION, &actual)];
    exception(Code::FailedPrecondition, &message, WRONG_EXPECTED_VERSION, &beside)
}

fn too_large() -> Status {
    let most = APPEND_BYTES_MAX.to_string();
    let message = format!("Maximum Append Size of {most} Exceeded.");
    exception(Code::InvalidArgument, &message, MAXIMUM_APPEND_SIZE_EXCEEDED, &[(MAXIMUM_APPEND_SIZE, &most)])
}

/// An append for which there is no room, version 1.
pub(super) fn no_room(no_room: NoRoom) -> Status {
    match no_room {
        NoRoom::TooLarge => too_large(),
        NoRoom::Busy => failed("the server has too much to do"),
    }
}

/// An append for which there is no room, version 2.
pub(super) fn no_room_v2(no_room: NoRoom) -> Status {
    match no_room {
        NoRoom::TooLarge => too_large_v2(),
        NoRoom::Busy => rich(Code::Unavailable, "the server has too much to do", reason::SERVER_OVERLOADED, None),
    }
}

fn too_large_v2() -> Status {
    let message = format!("all records together may have {APPEND_BYTES_MAX} bytes");
    rich(Code::Aborted, &message, reason::APPEND_TRANSACTION_SIZE_EXCEEDED, None)
}

/// A request that is not well formed, version 2.
pub(super) fn bad_request(what: &str) -> Status {
    rich(Code::InvalidArgument, what, reason::BAD_REQUEST, None)
}

/// A refusal of version 2. A failed check is a conflict of its stream, or a violation when checks were asked for.
pub(super) fn refused_v2(refusal: &Refusal, has_checks: bool) -> Status {
    match refusal {
        Refusal::Mismatch(mismatches) => {
            let Some(Mismatch { stream, expected, actual }) = mismatches.first() else {
                return Status::failed_precondition("an expectation is not met");
            };
            let conflict = StreamRevisionConflict {
                stream: stream.clone(),
                expected_revision: expected_number(*expected),
                actual_revision: actual_number(actual),
            };
            let message = format!(
                "stream '{stream}' was expected at revision {} and is at {}",
                conflict.expected_revision, conflict.actual_revision
            );
            let reason = match has_checks {
                true => reason::APPEND_CONSISTENCY_VIOLATION,
                false => reason::STREAM_REVISION_CONFLICT,
            };
            rich(Code::FailedPrecondition, &message, reason, Some(Any::pack(&conflict)))
        }
        Refusal::Tombstoned(stream) => {
            let message = format!("stream '{stream}' is deleted for ever");
            rich(Code::FailedPrecondition, &message, reason::STREAM_TOMBSTONED, None)
        }
        Refusal::TooLarge => too_large_v2(),
        Refusal::Malformed(what) => bad_request(what),
    }
}

/// An expectation as version 2, and the trailers of version 1, write it.
fn expected_number(expected: Expected) -> i64 {
    match expected {
        Expected::Any => EXPECTED_ANY,
        Expected::NoStream => EXPECTED_NO_STREAM,
        Expected::Exists => EXPECTED_EXISTS,
        Expected::Revision(revision) => i64::try_from(revision).unwrap_or(i64::MAX),
    }
}

/// The last revision as version 2, and the trailers of version 1, write it.
fn actual_number(actual: &StreamState) -> i64 {
    actual.last().map_or(EXPECTED_NO_STREAM, |revision| i64::try_from(revision).unwrap_or(i64::MAX))
}

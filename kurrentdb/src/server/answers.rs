//! What the log answers, as KurrentDB tells it: in-band, or as a status with trailers or details.
//!
//! Only what is known not to have happened is told as a refusal. Everything that may have happened is `UNKNOWN` or
//! `UNAVAILABLE`, upon which clients repeat with the same ids.

use prost::Message as _;
use tonic::{Code, Status};
use wallex_journal::JournalError;
use wallex_journal::raw::{APPEND_BYTES_MAX, Expectation, Expected, Mismatch, Refusal, StreamState};

use super::writer::NoRoom;
use crate::protocol::errors::{
    ACTUAL_VERSION, Any, AppendConsistencyViolation, AppendTransactionSizeExceeded, ConsistencyViolation,
    EXPECTED_VERSION, MAXIMUM_APPEND_SIZE_EXCEEDED, STREAM_DELETED, STREAM_NAME, StreamAlreadyInAppendSession,
    StreamRevisionConflict, StreamStateViolation, StreamTombstoned, WRONG_EXPECTED_VERSION, exception, reason, rich,
};
use crate::protocol::session::{
    ACTUAL_DELETED, ACTUAL_NO_STREAM, ACTUAL_TOMBSTONED, EXPECTED_ANY, EXPECTED_EXISTS, EXPECTED_NO_STREAM,
};

/// Most bytes of violations in one answer. They travel in a trailer, and clients refuse trailers above some kilobytes:
/// an answer that says all would not be read, and the outcome would seem unknown.
const VIOLATIONS_BYTES_MAX: usize = 3 << 10;
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
        NoRoom::TooLarge { bytes: _ } => too_large(),
        NoRoom::Busy => failed("the server has too much to do"),
    }
}

/// An append for which there is no room, version 2.
pub(super) fn no_room_v2(no_room: NoRoom) -> Status {
    match no_room {
        NoRoom::TooLarge { bytes } => too_large_v2(bytes),
        NoRoom::Busy => rich(Code::Unavailable, "the server has too much to do", reason::SERVER_OVERLOADED, None),
    }
}

fn too_large_v2(bytes: usize) -> Status {
    let number = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let detail = AppendTransactionSizeExceeded { size: number(bytes), max_size: number(APPEND_BYTES_MAX) };
    let message = format!("all records together may have {APPEND_BYTES_MAX} bytes; so far they have {bytes}");
    rich(Code::Aborted, &message, reason::APPEND_TRANSACTION_SIZE_EXCEEDED, Some(Any::pack(&detail)))
}

/// A request that is not well formed, version 2.
pub(super) fn bad_request(what: &str) -> Status {
    rich(Code::InvalidArgument, what, reason::BAD_REQUEST, None)
}

/// A stream that comes twice in a session.
pub(super) fn twice_in_session(stream: String) -> Status {
    let message = format!("stream '{stream}' is in this session already");
    let detail = Any::pack(&StreamAlreadyInAppendSession { stream });
    rich(Code::Aborted, &message, reason::STREAM_ALREADY_IN_APPEND_SESSION, Some(detail))
}

/// A refusal of an append of so many bytes, version 2. Of several conflicts the first is told.
pub(super) fn refused_v2(refusal: &Refusal, bytes: usize) -> Status {
    match refusal {
        Refusal::Mismatch(mismatches) => match mismatches.first() {
            Some(mismatch) => revision_conflict(mismatch),
            None => Status::failed_precondition("an expectation is not met"),
        },
        Refusal::Tombstoned(stream) => {
            let message = format!("stream '{stream}' is deleted for ever");
            let detail = Any::pack(&StreamTombstoned { stream: stream.clone() });
            rich(Code::FailedPrecondition, &message, reason::STREAM_TOMBSTONED, Some(detail))
        }
        Refusal::TooLarge => too_large_v2(bytes),
        Refusal::Malformed(what) => bad_request(what),
    }
}

fn revision_conflict(mismatch: &Mismatch) -> Status {
    let Mismatch { stream, expected, actual } = mismatch;
    let (expected_revision, actual_revision) = (expected_number(*expected), actual_number(actual));
    let message = format!("stream '{stream}' was expected at revision {expected_revision} and is at {actual_revision}");
    let conflict = StreamRevisionConflict { stream: stream.clone(), expected_revision, actual_revision };
    rich(Code::FailedPrecondition, &message, reason::STREAM_REVISION_CONFLICT, Some(Any::pack(&conflict)))
}

/// Checks that failed, each with its place among the streams of the append, which begin with those of the checks.
pub(super) fn violated(streams: &[Expectation], unmet: &[Mismatch]) -> Status {
    let mut bytes = 0;
    let violations: Vec<ConsistencyViolation> = unmet
        .iter()
        .filter_map(|mismatch| {
            let index = streams.iter().position(|one| one.stream == mismatch.stream)?;
            Some(violation(i32::try_from(index).ok()?, mismatch))
        })
        .take_while(|violation| {
            let is_first = bytes == 0;
            bytes += violation.encoded_len();
            is_first || bytes <= VIOLATIONS_BYTES_MAX
        })
        .collect();
    let first = violations.first().and_then(|violation| violation.stream_state.as_ref()).map(described);
    let mut message = first.unwrap_or_else(|| "a check failed".to_owned());
    if unmet.len() > 1 {
        message = format!("{message}; {} checks failed in all", unmet.len());
    }
    let detail = Any::pack(&AppendConsistencyViolation { violations });
    rich(Code::FailedPrecondition, &message, reason::APPEND_CONSISTENCY_VIOLATION, Some(detail))
}

fn violation(check_index: i32, mismatch: &Mismatch) -> ConsistencyViolation {
    let Mismatch { stream, expected, actual } = mismatch;
    let actual_state = if actual.is_tombstoned {
        ACTUAL_TOMBSTONED
    } else if actual.is_deleted && *expected == Expected::Exists {
        ACTUAL_DELETED
    } else {
        actual_number(actual)
    };
    let expected_state = expected_number(*expected);
    let state = StreamStateViolation { stream: stream.clone(), expected_state, actual_state };
    ConsistencyViolation { check_index, stream_state: Some(state) }
}

fn described(violation: &StreamStateViolation) -> String {
    let StreamStateViolation { stream, expected_state, actual_state } = violation;
    let actual = match *actual_state {
        ACTUAL_NO_STREAM => "does not exist".to_owned(),
        ACTUAL_DELETED => "is deleted".to_owned(),
        ACTUAL_TOMBSTONED => "is deleted for ever".to_owned(),
        revision => format!("is at revision {revision}"),
    };
    let expected = match *expected_state {
        EXPECTED_NO_STREAM => "not to exist".to_owned(),
        EXPECTED_ANY => "to take records".to_owned(),
        EXPECTED_EXISTS => "to exist".to_owned(),
        revision => format!("to be at revision {revision}"),
    };
    format!("stream '{stream}' {actual} and was expected {expected}")
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

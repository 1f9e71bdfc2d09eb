//! How a call ended when it did not end well: in a conflict, known not to be done, or unknown.
//!
//! The rule is the other way round than one would like: what is not known to be undone is unknown. A status that a proxy,
//! a broken connection or an overloaded server can produce says nothing about the write: `UNAVAILABLE`, `UNKNOWN`,
//! `INTERNAL`, `CANCELLED`, `DEADLINE_EXCEEDED`, `ABORTED` without a reason. A repeat with the same event ids and the same
//! expected revision finds out.

use std::time::Duration;

use tonic::{Code, Status};
use wallex_core::effect::{Completion, Failure, FailureKind};

use crate::client::settings::Host;
use crate::protocol::errors::{self, NotLeaderNode, reason};

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no connection to send it on.
    #[error("not connected to the event store: {0}")]
    NotConnected(String),
    /// No answer came in time.
    #[error("no answer from the event store within {0:?}")]
    TimedOut(Duration),
    /// An error came, from the server or from the connection.
    #[error("{}", said(.0))]
    Status(Box<Status>),
    /// An answer came that makes no sense.
    #[error("the event store's answer makes no sense: {0}")]
    Nonsense(&'static str),
}

/// What is known about a call that gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not done: the stream is not as expected.
    Conflict,
    /// Not done: the server cannot now.
    Unavailable,
    /// Not done: the server will not, however often it is asked.
    Rejected,
    /// Perhaps done.
    Unknown,
}

fn said(status: &Status) -> String {
    let more = errors::exception_of(status).map(str::to_owned).or_else(|| errors::details_of(status)?.reason());
    match more {
        Some(more) => format!("{:?} ({more}): {}", status.code(), status.message()),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

impl CallError {
    /// What is known.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NotConnected(_) => Class::Unavailable,
            Self::TimedOut(_) | Self::Nonsense(_) => Class::Unknown,
            Self::Status(status) => class_of(status),
        }
    }

    /// The same as the completion of a write.
    #[must_use]
    pub fn into_completion<T>(self) -> Completion<T> {
        match self.class() {
            Class::Conflict => Completion::Conflict,
            Class::Unavailable => Completion::Failed(self.failure(FailureKind::Unavailable)),
            Class::Rejected => Completion::Failed(self.failure(FailureKind::Rejected)),
            Class::Unknown => Completion::Unknown,
        }
    }

    /// The same as the completion of a read: a read changes nothing, so nothing about it is unknown.
    #[must_use]
    pub fn into_read_completion<T>(self) -> Completion<T> {
        let kind = match self.class() {
            Class::Rejected => FailureKind::Rejected,
            Class::Conflict | Class::Unavailable | Class::Unknown => FailureKind::Unavailable,
        };
        Completion::Failed(self.failure(kind))
    }

    fn failure(&self, kind: FailureKind) -> Failure {
        Failure { kind, reason: self.to_string() }
    }

    /// Whether this member does not lead, and who does if it knows.
    #[must_use]
    pub fn not_leader(&self) -> Option<Option<Host>> {
        let Self::Status(status) = self else { return None };
        if errors::exception_of(status) == Some(errors::NOT_LEADER) {
            let text = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
            let port = text(errors::LEADER_PORT).and_then(|port| port.parse().ok());
            return Some(text(errors::LEADER_HOST).zip(port).map(|(name, port)| Host { name: name.to_owned(), port }));
        }
        let details = errors::details_of(status)?;
        if !details.reason()?.ends_with(reason::NOT_LEADER_NODE) {
            return None;
        }
        let leader = details.detail::<NotLeaderNode>().and_then(|detail| detail.leader);
        Some(leader.and_then(|node| Some(Host { port: u16::try_from(node.port).ok()?, name: node.host })))
    }

    /// Whether the connection or the server may be gone.
    #[must_use]
    pub(crate) fn is_trouble(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::NotConnected(_) | Self::Nonsense(_) => false,
            Self::Status(status) => class_of(status) == Class::Unknown,
        }
    }
}

fn class_of(status: &Status) -> Class {
    if let Some(exception) = errors::exception_of(status) {
        return match exception {
            errors::WRONG_EXPECTED_VERSION => Class::Conflict,
            errors::NOT_LEADER => Class::Unavailable,
            errors::STREAM_DELETED | errors::ACCESS_DENIED | errors::MAXIMUM_APPEND_SIZE_EXCEEDED => Class::Rejected,
            _ => class_of_code(status.code()),
        };
    }
    let reason = errors::details_of(status).and_then(|details| details.reason());
    // The reason stands behind the name of its enumeration in some versions of the server.
    match reason.as_deref().map(|reason| reason.rsplit("ERROR_").next().unwrap_or(reason)) {
        Some(reason::STREAM_REVISION_CONFLICT | reason::APPEND_CONSISTENCY_VIOLATION) => Class::Conflict,
        Some(reason::NOT_LEADER_NODE | reason::SERVER_NOT_READY | reason::SERVER_OVERLOADED) => Class::Unavailable,
        Some(
            reason::STREAM_TOMBSTONED
            | reason::APPEND_RECORD_SIZE_EXCEEDED
            | reason::APPEND_TRANSACTION_SIZE_EXCEEDED
            | reason::STREAM_ALREADY_IN_APPEND_SESSION
            | reason::APPEND_SESSION_NO_REQUESTS
            | reason::ACCESS_DENIED
            | reason::BAD_REQUEST,
        ) => Class::Rejected,
        Some(_) | None => class_of_code(status.code()),
    }
}

fn class_of_code(code: Code) -> Class {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented => Class::Rejected,
        // The last two come from this side, too: an answer that is too large to be read.
        Code::Ok
        | Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::DataLoss
        | Code::OutOfRange
        | Code::ResourceExhausted => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::errors::{Any, NodeInfo};

    fn class(status: Status) -> Class {
        CallError::Status(Box::new(status)).class()
    }

    #[test]
    fn what_may_have_happened_is_unknown() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::ResourceExhausted,
        ] {
            assert_eq!(class(Status::new(code, "timed out")), Class::Unknown, "{code:?}");
        }
        assert_eq!(CallError::TimedOut(Duration::from_secs(1)).class(), Class::Unknown);
        let timeout = errors::rich(Code::DeadlineExceeded, "", reason::OPERATION_TIMEOUT, None);
        assert_eq!(class(timeout), Class::Unknown);
    }

    #[test]
    fn reasons_and_exceptions_say_more_than_codes() {
        for (name, expected) in [
            (errors::WRONG_EXPECTED_VERSION, Class::Conflict),
            (errors::NOT_LEADER, Class::Unavailable),
            (errors::STREAM_DELETED, Class::Rejected),
            (errors::MAXIMUM_APPEND_SIZE_EXCEEDED, Class::Rejected),
        ] {
            assert_eq!(class(errors::exception(Code::Unknown, "", name, &[])), expected, "{name}");
        }
        for (name, expected) in [
            (reason::STREAM_REVISION_CONFLICT, Class::Conflict),
            ("STREAMS_ERROR_STREAM_REVISION_CONFLICT", Class::Conflict),
            (reason::SERVER_OVERLOADED, Class::Unavailable),
            (reason::SERVER_SHUTTING_DOWN, Class::Unknown),
            (reason::APPEND_TRANSACTION_SIZE_EXCEEDED, Class::Rejected),
        ] {
            assert_eq!(class(errors::rich(Code::Unavailable, "", name, None)), expected, "{name}");
        }
        assert_eq!(class(Status::permission_denied("")), Class::Rejected);
    }

    #[test]
    fn both_versions_tell_who_leads() {
        let leader = Some(Some(Host { name: "n2".to_owned(), port: 7 }));
        let beside = [(errors::LEADER_HOST, "n2"), (errors::LEADER_PORT, "7")];
        let first = errors::exception(Code::NotFound, "", errors::NOT_LEADER, &beside);
        assert_eq!(CallError::Status(Box::new(first)).not_leader(), leader);
        let detail = Any::pack(&NotLeaderNode { leader: Some(NodeInfo { host: "n2".to_owned(), port: 7 }) });
        let second = errors::rich(Code::FailedPrecondition, "", reason::NOT_LEADER_NODE, Some(detail));
        assert_eq!(CallError::Status(Box::new(second)).not_leader(), leader);
        assert_eq!(CallError::Status(Box::new(Status::internal(""))).not_leader(), None);
    }
}

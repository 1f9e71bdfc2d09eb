//! Attempts, put together as operations: attempts under one key with one payload are one operation, an attempt without
//! a key is one by itself.
//!
//! For the checkers of INV-05 and INV-09. What an operation came to is its first answer that stands; without one it may
//! have happened as long as one of its attempts may have.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::time::Timestamp;

use crate::history::{Attempt, AttemptId, Command, History, NotDone, Outcome};

/// What clients know about an operation in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The first answer that stands, and when it came.
    Answered(Timestamp, Outcome),
    /// It may have happened, and may still.
    Perhaps,
    /// No attempt did anything.
    Never,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation<'a> {
    pub(crate) key: Option<u64>,
    pub(crate) command: &'a Arc<Command>,
    pub(crate) attempts: Vec<&'a Attempt>,
}

impl Operation<'_> {
    /// When its first attempt was sent.
    pub(crate) fn invoked(&self) -> Timestamp {
        self.attempts[0].invoked
    }

    pub(crate) fn known(&self) -> Known {
        let answers = self.attempts.iter().filter_map(|attempt| attempt.returned.as_ref());
        let answered = answers.filter(|(_, outcome)| stands(outcome)).min_by_key(|(at, _)| *at);
        match answered {
            Some((at, outcome)) => Known::Answered(*at, outcome.clone()),
            None if self.attempts.iter().any(|attempt| is_open(attempt)) => Known::Perhaps,
            None => Known::Never,
        }
    }
}

/// Whether an outcome tells what the operation came to. A fault of the request tells it for this attempt, which is the
/// same thing, since it did nothing.
fn stands(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done { .. } | Outcome::Refused { .. } | Outcome::Read(_) => true,
        Outcome::NotDone(_) | Outcome::Unknown => false,
    }
}

fn is_open(attempt: &Attempt) -> bool {
    match &attempt.returned {
        None | Some((_, Outcome::Unknown)) => true,
        Some((_, Outcome::NotDone(why))) => match why {
            NotDone::InFlight | NotDone::KeyReused | NotDone::Unavailable(_) | NotDone::Unreachable => false,
        },
        Some((_, Outcome::Done { .. } | Outcome::Refused { .. } | Outcome::Read(_))) => false,
    }
}

/// The operations of a history, and which of them each attempt belongs to.
pub(crate) struct Operations<'a> {
    pub(crate) all: Vec<Operation<'a>>,
    of: Vec<usize>,
}

impl<'a> Operations<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let mut operations = Self { all: Vec::new(), of: Vec::new() };
        let mut keyed: BTreeMap<(u64, &Command), usize> = BTreeMap::new();
        for attempt in history.attempts() {
            let next = operations.all.len();
            let at = match attempt.key {
                Some(key) => *keyed.entry((key, &*attempt.command)).or_insert(next),
                None => next,
            };
            if at == next {
                let (key, command) = (attempt.key, &attempt.command);
                operations.all.push(Operation { key, command, attempts: Vec::new() });
            }
            operations.all[at].attempts.push(attempt);
            operations.of.push(at);
        }
        operations
    }

    /// The number of the operation that an attempt belongs to.
    pub(crate) fn number_of(&self, attempt: AttemptId) -> Option<usize> {
        self.of.get(attempt.0 as usize).copied()
    }
}

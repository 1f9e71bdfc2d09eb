//! What the thread of the core shows to the outside.
//!
//! Written by `commands` or `instance`, read by health and metrics, and neither waits for the other longer than a copy
//! takes. A thread that is over says so however it ended, by a panic too. What the pipeline shows is
//! `PipelineControl`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wallex_core::command::Statistics;

/// What the thread shows to the outside, refreshed after every turn.
#[derive(Debug, Default)]
pub struct Gauges {
    shown: Mutex<Shown>,
    ended: AtomicBool,
    append_failure: Mutex<Option<AppendFailure>>,
}

/// Why the newest append was not done, and when.
#[derive(Debug)]
struct AppendFailure {
    reason: String,
    at: Instant,
}

/// How long an append's failure is shown while the event store answers otherwise: one that takes no writes goes on
/// being shown as long as it is written to.
const APPEND_FAILURE_STAYS: Duration = Duration::from_secs(5);

/// One look at the command path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Counters since the start.
    pub statistics: Statistics,
    /// Commands without an answer.
    pub commands_pending: usize,
    /// Wallets in the cache.
    pub wallets_cached: usize,
    /// Groups written to the journal, each with one sync.
    pub groups: u64,
    /// Time spent in writing and syncing them.
    pub append_time: Duration,
    /// Whether the journal has stopped, and refuses everything until a restart.
    pub journal_stopped: bool,
}

impl Gauges {
    /// The newest figures.
    #[must_use]
    pub fn look(&self) -> Shown {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// Why the newest append was not done, when it was not.
    #[must_use]
    pub fn append_failure(&self) -> Option<String> {
        self.noted().as_ref().map(|failure| failure.reason.clone())
    }

    /// An event store that others serve has answered just now: what kept it from appending before is over, unless it did
    /// a moment ago. (A full disk of this process's own says nothing until something is written.)
    pub fn event_store_answers(&self) {
        let mut noted = self.noted();
        if noted.as_ref().is_some_and(|failure| failure.at.elapsed() > APPEND_FAILURE_STAYS) {
            *noted = None;
        }
    }

    pub(super) fn note_append(&self, failure: Option<&str>) {
        *self.noted() = failure.map(|reason| AppendFailure { reason: reason.to_owned(), at: Instant::now() });
    }

    fn noted(&self) -> MutexGuard<'_, Option<AppendFailure>> {
        self.append_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the command path takes no commands, when it does not.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        if self.ended.load(Ordering::Acquire) {
            Some("the command thread has ended; restart the service")
        } else if self.look().journal_stopped {
            Some(
                "the journal cannot know what is on the disk and has stopped; look at the disk and restart the service",
            )
        } else {
            None
        }
    }
}

/// Tells when the thread is over, however it ends.
pub(super) struct Ending(Arc<Gauges>);

impl Ending {
    pub(super) fn of(gauges: &Arc<Gauges>) -> Self {
        Self(Arc::clone(gauges))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_failure_is_over_when_one_works_or_when_the_store_answers_later_on() {
        let gauges = Gauges::default();
        gauges.note_append(Some("the event store is away"));
        gauges.event_store_answers();
        assert_eq!(gauges.append_failure().as_deref(), Some("the event store is away"), "it has only just failed");
        let long_ago = Instant::now().checked_sub(APPEND_FAILURE_STAYS * 2).unwrap();
        gauges.noted().as_mut().unwrap().at = long_ago;
        assert!(gauges.append_failure().is_some(), "nobody has asked the store");
        gauges.event_store_answers();
        assert_eq!(gauges.append_failure(), None);
        gauges.note_append(Some("full"));
        gauges.note_append(None);
        assert_eq!(gauges.append_failure(), None);
    }
}

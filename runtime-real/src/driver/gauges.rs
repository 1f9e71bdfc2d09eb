//! What the thread of the core shows to the outside.
//!
//! Written by `commands` or `instance`, read by health and metrics, and neither waits for the other longer than a copy
//! takes. A thread that is over says so however it ended, by a panic too. What the pipeline shows is
//! `PipelineControl`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wallex_core::command::Statistics;

/// What the thread shows to the outside, refreshed after every turn.
#[derive(Debug, Default)]
pub struct Gauges {
    shown: Mutex<Shown>,
    ended: AtomicBool,
    append_failure: Mutex<Option<String>>,
}

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
        self.append_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_append(&self, failure: Option<&str>) {
        let mut noted = self.append_failure.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.as_deref() != failure {
            *noted = failure.map(str::to_owned);
        }
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

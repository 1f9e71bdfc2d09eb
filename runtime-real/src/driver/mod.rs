//! The loops that feed the core and perform its effects.
//!
//! Embedded, two threads own a node each: `commands` the hot path with the journal, `pipeline` everything after it. In
//! production one thread owns one node with everything (`instance`), because all its IO is asynchronous. [`Engine`] is
//! how the rest of the service reaches the command path. No loop decides anything: ordering, retries and deduplication
//! are the core's.

mod commands;
mod engine;
mod gauges;
mod instance;
mod notes;
mod pipeline;
mod replies;
mod requests;
mod tasks;

pub use commands::CommandThread;
pub use engine::Engine;
pub use gauges::{Gauges, Shown};
pub use instance::{Hints, Instance};
pub use pipeline::{Pipeline, PipelineControl};
pub use tasks::Perform;
pub use wallex_recording::{Limits, RecordedNode};

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wallex_core::time::Timestamp;

/// What the steady clock counts from.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// By how much the wall clock has been ahead of the steady one, at most.
static AHEAD_US: AtomicI64 = AtomicI64::new(i64::MIN);

/// The time that the core is told, and the only place where the service asks for it. It follows the wall clock forward, is
/// never set back, and never runs slower than time passes: what the core measures with it is not too short, however the
/// wall clock is set (docs/adr/0014). Read it after the input that it goes with has come.
#[must_use]
pub fn now() -> Timestamp {
    let steady = micros(BEGAN.elapsed());
    let wall = micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let ahead = wall.saturating_sub(steady);
    let mut most = AHEAD_US.load(Ordering::Relaxed);
    if ahead > most {
        most = AHEAD_US.fetch_max(ahead, Ordering::Relaxed).max(ahead);
    }
    Timestamp::from_micros(steady.saturating_add(most))
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

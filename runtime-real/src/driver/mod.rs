//! The loops that feed the core and perform its effects.
//!
//! Two threads own a node each: `commands` the hot path with the journal, `pipeline` everything after it. [`Engine`] is
//! how the rest of the service reaches the command path. Neither loop decides anything: ordering, retries and
//! deduplication are the core's.

mod commands;
mod engine;
mod pipeline;
mod replies;

pub use commands::{CommandThread, Gauges, Shown};
pub use engine::Engine;
pub use pipeline::{Pipeline, PipelineControl};

use std::time::{SystemTime, UNIX_EPOCH};

use wallex_core::time::Timestamp;

/// The wall clock. The only place where the service asks for the time that the core is told.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

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
mod pipeline;
mod replies;
mod requests;

pub use commands::CommandThread;
pub use engine::Engine;
pub use gauges::{Gauges, Shown};
pub use instance::{Hints, Instance, Perform};
pub use pipeline::{Pipeline, PipelineControl};
pub use wallex_recording::{Limits, RecordedNode};

use std::time::{SystemTime, UNIX_EPOCH};

use wallex_core::time::Timestamp;

/// The wall clock. The only place where the service asks for the time that the core is told.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

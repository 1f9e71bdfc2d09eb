//! What the HTTP interface works on: the way to the core, the ways to the data, and the configuration.
//!
//! Shared by all threads of HTTP. A command that has no answer in time is unknown, never failed (INV-05). The parts are
//! put together by [`crate::profile`] and started and stopped by `wallex serve`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wallex_core::command::{Answer, Request};

use super::metrics::Metrics;
use crate::config::Config;
use crate::database::Queries;
use crate::driver::{Engine, Gauges, PipelineControl};
use crate::log::Log;
use crate::production::Servers;
use crate::telemetry::Telemetry;

/// What a service is put together from.
pub struct Parts {
    /// Commands go here.
    pub engine: Engine,
    /// What the core's thread shows.
    pub gauges: Arc<Gauges>,
    /// What the pipeline shows.
    pub pipeline: PipelineControl,
    /// The event store, for histories.
    pub log: Log,
    /// The database, for everything else that is read.
    pub queries: Queries,
    /// Kafka and Redis, when there are some.
    pub servers: Option<Servers>,
    /// The traces.
    pub telemetry: Telemetry,
    /// As loaded.
    pub config: Arc<Config>,
}

/// One running service, as HTTP sees it.
pub struct Service {
    pub(super) engine: Engine,
    pub(super) log: Log,
    pub(super) queries: Queries,
    pub(super) servers: Option<Servers>,
    pub(super) telemetry: Telemetry,
    pub(super) config: Arc<Config>,
    pub(super) metrics: Metrics,
    pub(super) gauges: Arc<Gauges>,
    pipeline: PipelineControl,
    started: Instant,
    draining: AtomicBool,
}

impl Service {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { engine, gauges, pipeline, log, queries, servers, telemetry, config } = parts;
        Self {
            engine,
            log,
            queries,
            servers,
            telemetry,
            config,
            metrics: Metrics::new(),
            gauges,
            pipeline,
            started: Instant::now(),
            draining: AtomicBool::new(false),
        }
    }

    /// Submits a command and waits for its answer, though not for ever: what is late may still have been done.
    pub(super) async fn submit(&self, request: Request) -> Answer {
        let answer = tokio::time::timeout(self.request_timeout(), self.engine.submit(request)).await;
        answer.unwrap_or(Answer::OutcomeUnknown)
    }

    /// Submits several commands at once.
    pub(super) async fn submit_all(&self, requests: Vec<Request>) -> Vec<Answer> {
        let count = requests.len();
        let answers = tokio::time::timeout(self.request_timeout(), self.engine.submit_all(requests)).await;
        answers.unwrap_or_else(|_| vec![Answer::OutcomeUnknown; count])
    }

    /// `http.request_timeout_ms`
    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.config.http.request_timeout_ms)
    }

    /// Whole seconds since the start.
    pub(super) fn uptime_seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Takes over the figures of the core's thread and the pipeline; due every second.
    pub(super) fn observe(&self) {
        self.metrics.observe(&self.gauges.look(), &self.pipeline.status(), self.uptime_seconds());
        self.metrics.spans_lost.absolute(self.telemetry.spans_lost());
    }

    /// From now on `/health/ready` says no, so that nobody sends more.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the service is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

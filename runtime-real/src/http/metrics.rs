//! The figures of the service for Prometheus, under the names of the contract.
//!
//! HTTP records durations through handles that were registered once, at a few nanoseconds each. What the core's thread
//! and the pipeline count is looked at, once a second and when somebody asks, so that recording costs them nothing.
//! Rates are taken over the last minute.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use wallex_core::node::PipelineStatus;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use crate::database::queries::Statistics;
use crate::driver::Shown;

const DURATION_BUCKETS_MS: &[f64] = &[
    0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, 85.0, 100.0, 150.0, 250.0, 500.0, 1_000.0, 2_500.0,
    5_000.0, 10_000.0,
];
/// Seconds over which rates are taken.
const WINDOW_SECONDS: usize = 60;

/// All figures. Shared by reference; recording needs no lock.
pub(super) struct Metrics {
    /// `wallet_create_duration_ms`, and those of the other operations.
    pub(super) operations: OperationDurations,
    /// `wallet_batch_duration_ms`
    pub(super) batch_duration_ms: Histogram,
    /// `http_connections`
    pub(super) http_connections: Gauge,
    /// `trace_spans_lost_total`
    pub(super) spans_lost: Counter,
    http_responses: [Counter; 5],
    commands: CommandMetrics,
    pipeline: PipelineMetrics,
    lease_failures: Counter,
    handle: PrometheusHandle,
    // Keeps what the handles count into.
    recorder: PrometheusRecorder,
}

/// Durations of the single operations, from the arrival of the request to its answer, in milliseconds.
pub(super) struct OperationDurations {
    /// `wallet_create_duration_ms`
    pub(super) create: Histogram,
    /// `wallet_credit_duration_ms`
    pub(super) credit: Histogram,
    /// `wallet_debit_duration_ms`
    pub(super) debit: Histogram,
    /// `wallet_transfer_duration_ms`
    pub(super) transfer: Histogram,
}

/// Figures of the core's thread.
struct CommandMetrics {
    pending: Gauge,
    wallets_cached: Gauge,
    appends: Counter,
    append_commands: Counter,
    groups: Counter,
    append_ms: Counter,
    conflicts: Counter,
    lock_waits: Counter,
    idempotency_hits: Ratio,
}

/// Figures of what comes after the log.
struct PipelineMetrics {
    outbox_lag_events: Gauge,
    outbox_lag_seconds: Gauge,
    relay_dead_letters: Gauge,
    read_model: ProjectorMetrics,
    ledger: ProjectorMetrics,
}

struct ProjectorMetrics {
    lag_events: Gauge,
    dead_letters: Gauge,
    errors: Ratio,
}

/// Where the log and the tables stood at one look.
pub(super) struct PipelineLook {
    /// Events of the log that are not in the outbox yet, or fewer where they are very many; never 0 when there is one.
    pub(super) unfed: u64,
    /// When the first of them happened.
    pub(super) oldest_unfed: Option<Timestamp>,
    /// What the tables say.
    pub(super) statistics: Statistics,
    /// When.
    pub(super) now: Timestamp,
}

/// Part of a whole, over the last minute.
struct Ratio {
    gauge: Gauge,
    window: Mutex<Window>,
}

/// What had been counted at the start of each of the last seconds.
struct Window {
    second: u64,
    latest: (u64, u64),
    at_start_of: [(u64, u64); WINDOW_SECONDS],
}

impl Ratio {
    fn new(gauge: Gauge) -> Self {
        let window = Mutex::new(Window { second: 0, latest: (0, 0), at_start_of: [(0, 0); WINDOW_SECONDS] });
        Self { gauge, window }
    }

    /// Sets the gauge to the ratio since a minute before `second`, given the totals so far.
    fn observe(&self, all: u64, part: u64, second: u64) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = second.saturating_sub(window.second).min(WINDOW_SECONDS as u64);
        for ago in 0..begun {
            let slot = ((second - ago) % WINDOW_SECONDS as u64) as usize;
            window.at_start_of[slot] = window.latest;
        }
        window.second = window.second.max(second);
        window.latest = (all, part);
        let oldest = window.at_start_of[((window.second + 1) % WINDOW_SECONDS as u64) as usize];
        drop(window);
        let (all, part) = (all.saturating_sub(oldest.0), part.saturating_sub(oldest.1));
        self.gauge.set(if all == 0 { 0.0 } else { part as f64 / all as f64 });
    }
}

/// Registers under one recorder.
struct Registry<'a>(&'a PrometheusRecorder);

const METADATA: Metadata<'static> = Metadata::new("wallex", Level::INFO, None);

impl Registry<'_> {
    fn histogram(&self, name: &'static str, unit: Unit, doc: &'static str) -> Histogram {
        self.0.describe_histogram(name.into(), Some(unit), SharedString::const_str(doc));
        self.0.register_histogram(&Key::from_static_name(name), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>, doc: &'static str) -> Gauge {
        self.0.describe_gauge(name.into(), None, SharedString::const_str(doc));
        self.0.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>, doc: &'static str) -> Counter {
        self.0.describe_counter(name.into(), None, SharedString::const_str(doc));
        self.0.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn plain_gauge(&self, name: &'static str, doc: &'static str) -> Gauge {
        self.gauge(name, Vec::new(), doc)
    }

    fn plain_counter(&self, name: &'static str, doc: &'static str) -> Counter {
        self.counter(name, Vec::new(), doc)
    }

    fn dead_letters(&self, consumer: Consumer) -> Gauge {
        self.gauge("dead_letters", of(consumer), "Events that a consumer gave up.")
    }

    /// A gauge of which nothing is known before the first look: 0 would say that all is well.
    fn lag(&self, name: &'static str, labels: Vec<Label>, doc: &'static str) -> Gauge {
        let gauge = self.gauge(name, labels, doc);
        gauge.set(f64::NAN);
        gauge
    }

    fn projector(&self, consumer: Consumer) -> ProjectorMetrics {
        let rate = "Failed transactions of a projector, as a share of them and the events applied, over a minute.";
        ProjectorMetrics {
            lag_events: self.lag("projector_lag_events", of(consumer), "Events that a projector has not applied."),
            dead_letters: self.dead_letters(consumer),
            errors: Ratio::new(self.gauge("projector_error_rate", of(consumer), rate)),
        }
    }

    fn commands(&self) -> CommandMetrics {
        let hit_rate = "Share of commands with an Idempotency-Key that got a stored answer, over a minute.";
        CommandMetrics {
            pending: self.plain_gauge("commands_pending", "Commands accepted and not answered."),
            wallets_cached: self.plain_gauge("wallets_cached", "Wallets whose state is in memory."),
            appends: self.plain_counter("appends_total", "Appends to the event store."),
            append_commands: self.plain_counter("append_commands_total", "Commands in those appends."),
            groups: self.plain_counter("append_groups_total", "Groups of appends, each written and synced at once."),
            append_ms: self
                .plain_counter("append_duration_ms_total", "Milliseconds spent in writing and syncing them."),
            conflicts: self.plain_counter("conflicts_total", "Appends that met another version than expected."),
            lock_waits: self.plain_counter("lock_waits_total", "Leases that were not granted at once."),
            idempotency_hits: Ratio::new(self.plain_gauge("idempotency_cache_hit_rate", hit_rate)),
        }
    }

    fn pipeline(&self) -> PipelineMetrics {
        PipelineMetrics {
            outbox_lag_events: self.lag("outbox_lag_events", Vec::new(), "Events of the log that are not published."),
            outbox_lag_seconds: self.lag("outbox_lag_seconds", Vec::new(), "Age of the oldest of them."),
            relay_dead_letters: self.dead_letters(Consumer::Relay),
            read_model: self.projector(Consumer::ReadModel),
            ledger: self.projector(Consumer::Ledger),
        }
    }
}

fn of(consumer: Consumer) -> Vec<Label> {
    vec![Label::from_static_parts("consumer", consumer.name())]
}

impl Metrics {
    /// Registers every figure, at zero where nothing has to be looked at.
    pub(super) fn new() -> Self {
        let durations = Matcher::Suffix("_duration_ms".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, DURATION_BUCKETS_MS);
        let recorder = builder.expect("the list of buckets is not empty").build_recorder();
        let registry = Registry(&recorder);
        let duration = |name, doc| registry.histogram(name, Unit::Milliseconds, doc);
        let responses = |class| {
            let labels = vec![Label::from_static_parts("class", class)];
            registry.counter("http_responses_total", labels, "Answers, by class of status.")
        };
        Self {
            operations: OperationDurations {
                create: duration("wallet_create_duration_ms", "Creations, from arrival to answer."),
                credit: duration("wallet_credit_duration_ms", "Credits, from arrival to answer."),
                debit: duration("wallet_debit_duration_ms", "Debits, from arrival to answer."),
                transfer: duration("wallet_transfer_duration_ms", "Transfers, from arrival to answer."),
            },
            batch_duration_ms: duration("wallet_batch_duration_ms", "Batches, from arrival to answer."),
            http_connections: registry.plain_gauge("http_connections", "Open connections."),
            spans_lost: registry.plain_counter("trace_spans_lost_total", "Spans that did not reach the collector."),
            http_responses: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(responses),
            commands: registry.commands(),
            pipeline: registry.pipeline(),
            lease_failures: registry.plain_counter("lease_failures_total", "Calls for leases that had no answer."),
            handle: recorder.handle(),
            recorder,
        }
    }

    /// Counts an answer.
    pub(super) fn responded(&self, status: StatusCode) {
        if let Some(counter) = self.http_responses.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            counter.increment(1);
        }
    }

    /// Takes over what the core's thread and the pipeline have counted, and folds what was recorded here; due every
    /// second. `second` counts from any fixed point.
    pub(super) fn observe(&self, commands: &Shown, pipeline: &PipelineStatus, second: u64) {
        let (figures, counted) = (&self.commands, &commands.statistics);
        figures.pending.set(commands.commands_pending as f64);
        figures.wallets_cached.set(commands.wallets_cached as f64);
        figures.appends.absolute(counted.appends);
        figures.append_commands.absolute(counted.appended_commands);
        figures.groups.absolute(commands.groups);
        figures.append_ms.absolute(u64::try_from(commands.append_time.as_millis()).unwrap_or(u64::MAX));
        figures.conflicts.absolute(counted.conflicts);
        figures.lock_waits.absolute(counted.lease_waits);
        figures.idempotency_hits.observe(counted.keyed, counted.replayed, second);
        for (projector, counted) in [
            (&self.pipeline.read_model, &pipeline.read_model_statistics),
            (&self.pipeline.ledger, &pipeline.ledger_statistics),
        ] {
            projector.errors.observe(counted.applied + counted.failures, counted.failures, second);
        }
        self.handle.run_upkeep();
    }

    /// Takes over how far the pipeline is behind the log.
    pub(super) fn observe_lag(&self, look: &PipelineLook) {
        let oldest = look.statistics.outbox_oldest.or(look.oldest_unfed);
        self.pipeline.outbox_lag_events.set((look.statistics.outbox_lag_events + look.unfed) as f64);
        self.pipeline.outbox_lag_seconds.set(oldest.map_or(0.0, |oldest| look.now.since(oldest).as_secs_f64()));
        for consumer in &look.statistics.consumers {
            let projector = match consumer.consumer {
                Consumer::Relay => {
                    self.pipeline.relay_dead_letters.set(consumer.dead_letters as f64);
                    continue;
                }
                Consumer::ReadModel => &self.pipeline.read_model,
                Consumer::Ledger => &self.pipeline.ledger,
            };
            projector.lag_events.set((consumer.lag_events + look.unfed) as f64);
            projector.dead_letters.set(consumer.dead_letters as f64);
        }
    }

    /// Takes over whether a dependency is up. Which there are depends on the profile.
    pub(super) fn observe_dependency(&self, name: &'static str, up: bool) {
        let labels = vec![Label::from_static_parts("name", name)];
        let gauge = Registry(&self.recorder).gauge("dependency_up", labels, "1 when it answered, 0 when it did not.");
        gauge.set(if up { 1.0 } else { 0.0 });
    }

    /// Takes over how many calls for leases have failed since the start.
    pub(super) fn observe_leases(&self, failures: u64) {
        self.lease_failures.absolute(failures);
    }

    /// The figures in Prometheus' text format.
    pub(super) fn render(&self) -> String {
        self.handle.render()
    }
}

/// Milliseconds since `started`.
pub(super) fn elapsed_ms(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

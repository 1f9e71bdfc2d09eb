use super::*;
use crate::database::queries::ConsumerStatistics;
use wallex_core::id::Position;

fn value(rendered: &str, series: &str) -> Option<f64> {
    rendered.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_dependency_is_up_or_down_as_it_was_seen_last() {
    let metrics = Metrics::new();
    assert_eq!(value(&metrics.render(), "dependency_up{name=\"redis\"}"), None);
    metrics.observe_dependency("redis", false);
    metrics.observe_dependency("database", true);
    assert_eq!(value(&metrics.render(), "dependency_up{name=\"redis\"}"), Some(0.0));
    assert_eq!(value(&metrics.render(), "dependency_up{name=\"database\"}"), Some(1.0));
    metrics.observe_dependency("redis", true);
    assert_eq!(value(&metrics.render(), "dependency_up{name=\"redis\"}"), Some(1.0));
}

fn look(unfed: u64) -> PipelineLook {
    let consumer = |consumer, lag_events| ConsumerStatistics {
        consumer,
        checkpoints: Vec::new(),
        lag_events,
        oldest: None,
        dead_letters: 2,
        waiting: 0,
    };
    PipelineLook {
        unfed,
        oldest_unfed: Some(Timestamp::from_micros(1_000_000)),
        statistics: Statistics {
            outbox_filled: Position(100),
            outbox_lag_events: 3,
            outbox_oldest: None,
            consumers: vec![consumer(Consumer::Relay, 3), consumer(Consumer::Ledger, 5)],
            dead_letters: 4,
        },
        now: Timestamp::from_micros(3_500_000),
    }
}

#[test]
fn every_figure_of_the_contract_is_there() {
    let metrics = Metrics::new();
    metrics.operations.create.record(1.5);
    metrics.operations.credit.record(1.5);
    metrics.operations.debit.record(1.5);
    metrics.operations.transfer.record(1.5);
    metrics.observe(&Shown::default(), &PipelineStatus::default(), 1);
    let rendered = metrics.render();
    for series in [
        "wallet_create_duration_ms_count",
        "wallet_credit_duration_ms_bucket{le=\"2\"}",
        "wallet_debit_duration_ms_sum",
        "wallet_transfer_duration_ms_count",
        "outbox_lag_events",
        "outbox_lag_seconds",
        "projector_lag_events{consumer=\"read-model-projector\"}",
        "projector_error_rate{consumer=\"ledger-projector\"}",
        "idempotency_cache_hit_rate",
        "dead_letters{consumer=\"kafka-publisher\"}",
        "conflicts_total",
        "lock_waits_total",
        "appends_total",
        "append_commands_total",
        "lease_failures_total",
    ] {
        assert!(value(&rendered, series).is_some(), "{series} is not in\n{rendered}");
    }
}

#[test]
fn lag_counts_what_is_in_the_log_and_not_in_the_outbox_yet() {
    let metrics = Metrics::new();
    let unknown = value(&metrics.render(), "outbox_lag_events").unwrap();
    assert!(unknown.is_nan(), "before the first look nobody knows that it is 0: {unknown}");
    metrics.observe_lag(&look(10));
    let rendered = metrics.render();
    assert_eq!(value(&rendered, "outbox_lag_events"), Some(13.0));
    assert_eq!(value(&rendered, "outbox_lag_seconds"), Some(2.5));
    assert_eq!(value(&rendered, "projector_lag_events{consumer=\"ledger-projector\"}"), Some(15.0));
    assert_eq!(value(&rendered, "dead_letters{consumer=\"kafka-publisher\"}"), Some(2.0));
}

#[test]
fn a_rate_covers_the_last_minute() {
    let metrics = Metrics::new();
    let hit_rate = |keyed, replayed, second| {
        let mut shown = Shown::default();
        (shown.statistics.keyed, shown.statistics.replayed) = (keyed, replayed);
        metrics.observe(&shown, &PipelineStatus::default(), second);
        value(&metrics.render(), "idempotency_cache_hit_rate")
    };
    assert_eq!(hit_rate(2, 1, 100), Some(0.5));
    assert_eq!(hit_rate(4, 1, 130), Some(0.25));
    assert_eq!(hit_rate(4, 1, 170), Some(0.0));
    assert_eq!(hit_rate(8, 4, 171), Some(0.5));
}

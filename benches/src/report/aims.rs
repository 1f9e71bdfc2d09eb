//! The aims of the product, each beside what was measured.
//!
//! They are for two processors, durable, with the load generator on the same machine. What counts is the ratio within
//! one run.

use super::table::grouped;
use super::{Document, Measurement};

/// One aim.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// What is wanted.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// Whether it is met.
    pub met: bool,
}

/// Operations in a second that are wanted of callers within the process, by callers in flight.
const IN_PROCESS: [(u32, f64); 2] = [(64, 60_000.0), (1_024, 300_000.0)];
/// How many times Postgres, by connections.
const TIMES_POSTGRES: [(u32, f64); 4] = [(1, 1.0), (16, 2.0), (64, 4.0), (256, 4.0)];
/// Events in a transfer.
const EVENTS_PER_TRANSFER: f64 = 2.0;

/// All aims that the document says something about, in the order of the documentation.
#[must_use]
pub fn aims(document: &Document) -> Vec<Aim> {
    let mut aims = Vec::new();
    aims.extend(machine(document));
    aims.extend(in_process(document));
    aims.extend(against_postgres(document));
    aims.extend(against_empty(document));
    aims.extend(single_transfers(document));
    aims.extend(batches(document));
    aims.extend(projections(document));
    aims.extend(scale(document));
    aims
}

fn machine(document: &Document) -> Option<Aim> {
    let slowest = document.machines.iter().min_by(|a, b| a.per_second.total_cmp(&b.per_second))?;
    Some(Aim {
        wanted: "command machine without IO: 1,000,000 commands/s on one core".to_owned(),
        measured: format!("{}/s at the least ({})", grouped(slowest.per_second), slowest.bench),
        met: slowest.per_second >= 1e6,
    })
}

fn in_process(document: &Document) -> Vec<Aim> {
    let aim = |(callers, wanted): (u32, f64)| {
        let rate = document.rate("wallex", "in process", callers)?;
        Some(Aim {
            wanted: format!("in process, {} in flight: {} durable transfers/s", callers, grouped(wanted)),
            measured: format!("{}/s", grouped(rate)),
            met: rate >= wanted,
        })
    };
    IN_PROCESS.into_iter().filter_map(aim).collect()
}

fn against_postgres(document: &Document) -> Vec<Aim> {
    let aim = |(connections, wanted): (u32, f64)| {
        let ratio =
            document.rate("wallex", "spread", connections)? / document.rate("postgres", "spread", connections)?;
        Some(Aim {
            wanted: format!("single transfers, {connections} connections: {wanted} × Postgres"),
            measured: format!("{ratio:.1} ×"),
            met: ratio >= wanted,
        })
    };
    TIMES_POSTGRES.into_iter().filter_map(aim).collect()
}

fn against_empty(document: &Document) -> Vec<Aim> {
    let aim = |connections: u32| {
        let ratio = document.rate("wallex", "spread", connections)? / document.rate("empty", "spread", connections)?;
        Some(Aim {
            wanted: format!("single transfers, {connections} connections: half of the empty handler's rate"),
            measured: format!("{:.0} %", ratio * 100.0),
            met: ratio >= 0.5,
        })
    };
    TIMES_POSTGRES.into_iter().filter_map(|(connections, _)| aim(connections)).collect()
}

fn single_transfers(document: &Document) -> Vec<Aim> {
    let p99 = document.find("wallex", "spread", 64).map(|one| Aim {
        wanted: "single transfers, 64 connections: p99 below 10 ms".to_owned(),
        measured: format!("{:.1} ms", one.p99_ms),
        met: one.p99_ms < 10.0,
    });
    let hot = document.rate("wallex", "hot", 64).zip(document.rate("wallex", "spread", 64)).map(|(hot, spread)| Aim {
        wanted: "one hot wallet, 64 connections: within 15 % of the spread case".to_owned(),
        measured: format!("{:.0} % of it", hot / spread * 100.0),
        met: hot >= spread * 0.85,
    });
    let times = document.rate("wallex", "hot", 64).zip(document.rate("postgres", "hot", 64)).map(|(hot, other)| Aim {
        wanted: "one hot wallet, 64 connections: 20 × Postgres".to_owned(),
        measured: format!("{:.1} ×", hot / other),
        met: hot >= other * 20.0,
    });
    p99.into_iter().chain(hot).chain(times).collect()
}

fn batches(document: &Document) -> Option<Aim> {
    let batches = document.measurements.iter().filter(|one| one.scenario.starts_with("batch"));
    let best = batches.max_by(|a, b| a.per_second.total_cmp(&b.per_second))?;
    Some(Aim {
        wanted: "`/batch`, 1,000 a request: 200,000 transfers/s".to_owned(),
        measured: format!("{}/s at {} connections", grouped(best.per_second), best.connections),
        met: best.per_second >= 200_000.0,
    })
}

fn projections(document: &Document) -> Vec<Aim> {
    let behind = |one: &Measurement| {
        let lag = one.projection.as_ref()?;
        let seconds = lag.lag_events_max as f64 / (one.per_second * EVENTS_PER_TRANSFER);
        let scenario = one.scenario.replace('_', " ");
        Some((
            seconds,
            format!("{scenario}, {} connections, {} events", one.connections, grouped(lag.lag_events_max as f64)),
        ))
    };
    let singles = document.measurements.iter().filter(|one| !one.scenario.starts_with("batch"));
    let lag = singles.filter_map(behind).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(seconds, place)| Aim {
        wanted: "projections at any sustained rate of single transfers: less than one second behind".to_owned(),
        measured: format!("{seconds:.2} s at most ({place})"),
        met: seconds < 1.0,
    });
    let drained = document.measurements.iter().filter(|one| one.scenario.starts_with("batch"));
    let backlogs = drained.filter_map(|one| one.projection.as_ref()).filter(|lag| lag.caught_up_s > 1.0);
    let largest = backlogs.max_by_key(|lag| lag.lag_events_at_end);
    let drain = largest.map(|lag| {
        let done = lag.lag_events_at_end.saturating_sub(lag.lag_events_left) as f64;
        let rate = done / lag.caught_up_s / EVENTS_PER_TRANSFER;
        Aim {
            wanted: "projections drain a backlog at 50,000 transfers/s".to_owned(),
            measured: format!("{}/s over {} events", grouped(rate), grouped(done)),
            met: rate >= 50_000.0,
        }
    });
    lag.into_iter().chain(drain).collect()
}

fn scale(document: &Document) -> Option<Aim> {
    let scale = document.scale.as_ref()?;
    let (start, resident) = match (scale.start_whole_s, scale.resident_whole_mib) {
        (Some(start), Some(resident)) => (start, resident),
        (_, _) => (scale.start_s, scale.resident_mib),
    };
    Some(Aim {
        wanted: format!(
            "{} wallets, {} events: start below 5 s from a snapshot",
            grouped(scale.wallets as f64),
            grouped(scale.events as f64)
        ),
        measured: format!("{start:.1} s, {} MiB resident", grouped(resident)),
        met: start < 5.0,
    })
}

//! The report as text: Markdown tables that are as readable in a terminal.
//!
//! A section without rows is left out, so one document may lack what another has. The shape of a document is in the
//! module above, what is aimed at in [`super::aims`].

use std::fmt::Write;

use super::aims::aims;
use super::{Document, Measurement};

/// Scenario, heading.
const SCENARIOS: [(&[&str], &str); 4] = [
    (&["spread", "spread, no key"], "Single transfers, spread over 10,000 wallets"),
    (&["hot"], "Single transfers, all from one hot wallet"),
    (&["batch", "batch, no key"], "`POST /batch`, 1,000 transfers a request"),
    (
        &["in process", "in process, keyed", "in process, hot", "in process, hot, keyed"],
        "In process: no HTTP, callers in flight",
    ),
];
/// Events in a transfer.
const EVENTS_PER_TRANSFER: f64 = 2.0;

/// A whole number with its thousands apart.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value <= -0.5 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Everything that the document has.
#[must_use]
pub fn render(document: &Document) -> String {
    let mut out = String::new();
    if !document.machine.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "Measured on {}.", document.machine);
    }
    let disk: Vec<String> = document
        .disk
        .iter()
        .map(|disk| format!("{:.2} ms appended and {:.2} ms preallocated", disk.append_sync_ms, disk.overwrite_sync_ms))
        .collect();
    if !disk.is_empty() {
        let _ = writeln!(out, "One write of 4 KiB and its fdatasync, before and after: {}.", disk.join("; "));
    }
    let aims: Vec<Vec<String>> = aims(document)
        .into_iter()
        .map(|aim| vec![aim.wanted, aim.measured, if aim.met { "yes" } else { "**no**" }.to_owned()])
        .collect();
    section(&mut out, "Aims", &["aim", "measured", "met"], &aims);
    let machines: Vec<Vec<String>> =
        document.machines.iter().map(|one| vec![format!("`{}`", one.bench), grouped(one.per_second)]).collect();
    section(
        &mut out,
        "The command machine without IO, one core",
        &["bench / commands at once", "commands/s"],
        &machines,
    );
    for (scenarios, heading) in SCENARIOS {
        let rows: Vec<Vec<String>> = scenario(document, scenarios);
        let head =
            ["", "in flight", "per second", "p50 ms", "p99 ms", "CPU µs each", "× Postgres", "of empty", "errors"];
        section(&mut out, heading, &head, &rows);
    }
    let lags: Vec<Vec<String>> = document.measurements.iter().filter_map(lag).collect();
    let head = [
        "",
        "connections",
        "behind at most",
        "seconds",
        "behind at the end",
        "caught up in s",
        "drained/s",
        "CPU µs each",
    ];
    section(&mut out, "The read side meanwhile (events)", &head, &lags);
    let threads: Vec<Vec<String>> = document.measurements.iter().filter_map(threads).collect();
    let head = ["", "connections", "HTTP", "commands", "pipeline", "SQLite", "upkeep", "all", "commands/s on one core"];
    section(&mut out, "Processor time by thread, µs for each transfer", &head, &threads);
    scale(&mut out, document);
    out
}

fn scenario(document: &Document, scenarios: &[&str]) -> Vec<Vec<String>> {
    let mut rows: Vec<&Measurement> =
        document.measurements.iter().filter(|one| scenarios.contains(&one.scenario.as_str())).collect();
    let order = |one: &Measurement| match one.subject.as_str() {
        "empty" => 0,
        "wallex" => 1,
        _ => 2,
    };
    rows.sort_by_key(|one| (one.connections, order(one)));
    let ratio = |one: &Measurement, other: &str| {
        let kind = one.scenario.split(',').next().unwrap_or(&one.scenario);
        let base = if other == "empty" && kind == "hot" { "spread" } else { kind };
        document.rate(other, base, one.connections).filter(|_| one.subject != other).map(|rate| one.per_second / rate)
    };
    rows.into_iter()
        .map(|one| {
            vec![
                subject(one),
                one.connections.to_string(),
                grouped(one.per_second),
                format!("{:.2}", one.p50_ms),
                format!("{:.2}", one.p99_ms),
                format!("{:.1}", one.cpu_us),
                ratio(one, "postgres").map_or_else(String::new, |ratio| format!("{ratio:.1}")),
                ratio(one, "empty").map_or_else(String::new, |ratio| format!("{:.0} %", ratio * 100.0)),
                one.errors.to_string(),
            ]
        })
        .collect()
}

/// The subject, with what is special about the scenario.
fn subject(one: &Measurement) -> String {
    let name = match one.subject.as_str() {
        "empty" => "empty handler",
        "postgres" => "Postgres",
        other => other,
    };
    match one.scenario.split_once(", ") {
        Some((_, special)) => format!("{name}, {special}"),
        None => name.to_owned(),
    }
}

fn lag(one: &Measurement) -> Option<Vec<String>> {
    let lag = one.projection.as_ref()?;
    let drained = lag.lag_events_at_end.saturating_sub(lag.lag_events_left) as f64;
    // A backlog that is gone at once says nothing about the speed.
    let rate = if lag.caught_up_s > 1.0 { grouped(drained / lag.caught_up_s) } else { String::new() };
    let caught_up = if lag.lag_events_left == 0 {
        format!("{:.1}", lag.caught_up_s)
    } else {
        format!("{} left after {:.0}", grouped(lag.lag_events_left as f64), lag.caught_up_s)
    };
    Some(vec![
        one.scenario.clone(),
        one.connections.to_string(),
        grouped(lag.lag_events_max as f64),
        format!("{:.2}", lag.lag_events_max as f64 / (one.per_second * EVENTS_PER_TRANSFER)),
        grouped(lag.lag_events_at_end as f64),
        caught_up,
        rate,
        format!("{:.1}", lag.cpu_us_with_projection),
    ])
}

/// Where the processor time went, and what the one thread that cannot be doubled would allow.
fn threads(one: &Measurement) -> Option<Vec<String>> {
    let lag = one.projection.as_ref()?;
    let of = |kind: &str| lag.threads_us.get(kind).copied().unwrap_or(0.0);
    let kinds = ["http", "commands", "pipeline", "sqlite", "upkeep"].map(|kind| format!("{:.1}", of(kind)));
    let commands = of("commands");
    let limit = if commands > 0.0 { grouped(1e6 / commands) } else { String::new() };
    let row = [one.scenario.clone(), one.connections.to_string()].into_iter().chain(kinds);
    Some(row.chain([format!("{:.1}", lag.threads_us.values().sum::<f64>()), limit]).collect())
}

fn scale(out: &mut String, document: &Document) {
    let Some(scale) = &document.scale else { return };
    let whole = [
        ("start with the read side", scale.start_whole_s.map(|seconds| format!("{seconds:.2} s"))),
        ("resident memory then", scale.resident_whole_mib.map(|mib| format!("{} MiB", grouped(mib)))),
    ];
    let rows = [
        ("wallets", grouped(scale.wallets as f64)),
        ("events", grouped(scale.events as f64)),
        ("journal on disk", format!("{} MiB", grouped(scale.journal_bytes as f64 / f64::from(1 << 20)))),
        ("start from a snapshot", format!("{:.2} s", scale.start_s)),
        ("start without one", format!("{:.2} s", scale.start_without_snapshot_s)),
        ("resident memory after the start", format!("{} MiB", grouped(scale.resident_mib))),
        ("read side built from nothing", format!("{} events/s", grouped(scale.drained_per_second))),
    ];
    let whole = whole.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let rows: Vec<Vec<String>> =
        rows.into_iter().chain(whole).map(|(name, value)| vec![name.to_owned(), value]).collect();
    section(out, "Much data", &["", "measured"], &rows);
}

/// A heading and a table with aligned columns; nothing when there are no rows.
fn section(out: &mut String, heading: &str, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let _ = write!(out, "\n### {heading}\n\n");
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (column, cell) in cells.enumerate() {
            let space = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            // Words to the left, numbers to the right.
            let cell = if column == 0 || head.len() <= 3 { format!("{cell}{space}") } else { format!("{space}{cell}") };
            out.push_str("| ");
            out.push_str(&cell);
            out.push(' ');
        }
        out.push_str("|\n");
    };
    let rules: Vec<String> =
        widths
            .iter()
            .enumerate()
            .map(|(column, width)| {
                if column == 0 || head.len() <= 3 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) }
            })
            .collect();
    line(&mut head.iter().copied());
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (value, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn a_table_names_its_subjects_and_their_ratio() {
        let one = |subject: &str, per_second: f64| Measurement {
            subject: subject.to_owned(),
            scenario: "spread".to_owned(),
            connections: 64,
            operations: 10,
            per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            cpu_us: 3.0,
            errors: 0,
            syncs: None,
            projection: None,
        };
        let measurements = vec![one("postgres", 10_000.0), one("wallex", 42_000.0), one("empty", 80_000.0)];
        let text = render(&Document { measurements, ..Document::default() });
        assert!(text.contains("### Single transfers, spread over 10,000 wallets\n\n|"), "{text}");
        let row = text.lines().find(|line| line.starts_with("| wallex")).unwrap();
        assert!(row.contains("42,000") && row.contains("4.2") && row.contains("52 %"), "{row}");
        assert!(text.contains("4 × Postgres") && text.contains("4.2 ×"), "{text}");
    }
}

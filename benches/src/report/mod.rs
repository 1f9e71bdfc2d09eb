//! What a run of the load comparison becomes: a table, the aims beside what was measured, a chart, and JSON.
//!
//! Owns the shape of a measurement and of the published document. Nothing here measures.
//!
//! | module | owns |
//! |---|---|
//! | [`aims`] | the aims, and whether they were met |
//! | [`table`] | text |
//! | [`chart`] | SVG |

pub mod aims;
pub mod chart;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run, or several of them, gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Where and on what; empty when nothing was measured.
    pub machine: String,
    /// One durable write, before and after the comparison.
    pub disk: Vec<Disk>,
    /// The comparison.
    pub measurements: Vec<Measurement>,
    /// Start-up and memory with much data.
    pub scale: Option<Scale>,
    /// The machines of the core without IO, from the criterion benches.
    pub machines: Vec<MachineRate>,
}

/// One load on one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// `empty`, `wallex` or `postgres`.
    pub subject: String,
    /// What was asked of it, such as `spread` or `hot`.
    pub scenario: String,
    /// Connections, or callers in flight.
    pub connections: u32,
    /// How many were done.
    pub operations: u64,
    /// How many in a second.
    pub per_second: f64,
    /// Median of the time from request to answer, in milliseconds.
    pub p50_ms: f64,
    /// The time that one in a hundred exceeds, in milliseconds.
    pub p99_ms: f64,
    /// Processor time of the server for each operation, in microseconds, while the load ran.
    pub cpu_us: f64,
    /// Answers that were no success, and broken connections.
    pub errors: u64,
    /// Groups that were written to the journal, each with one sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syncs: Option<u64>,
    /// What the read side did meanwhile.
    #[serde(flatten)]
    pub projection: Option<Lag>,
}

/// The read side during and after a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Most events that were behind, looked at once a second.
    pub lag_events_max: u64,
    /// Events that were behind when the load ended.
    pub lag_events_at_end: u64,
    /// Events that were behind when the waiting ended; anything but 0 means that it was given up.
    pub lag_events_left: u64,
    /// Seconds from the end of the load until nothing was behind.
    pub caught_up_s: f64,
    /// Processor time for each operation with everything that the read side did for it, in microseconds.
    pub cpu_us_with_projection: f64,
    /// The same by kind of thread: `http`, `commands`, `pipeline`, `sqlite`, `upkeep`, `other`.
    pub threads_us: BTreeMap<String, f64>,
}

/// One durable write of 4 KiB, the median in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Appended to a file.
    pub append_sync_ms: f64,
    /// Written over a preallocated file.
    pub overwrite_sync_ms: f64,
}

/// A data directory with much in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Wallets in it.
    pub wallets: u64,
    /// Events in it.
    pub events: u64,
    /// Bytes of the journal's directory.
    pub journal_bytes: u64,
    /// Seconds from the start of the process until it answers, with a snapshot at the end of the log.
    pub start_s: f64,
    /// The same without any snapshot.
    pub start_without_snapshot_s: f64,
    /// Resident memory right after the start, in MiB.
    pub resident_mib: f64,
    /// Events for each second in which the read side was built from nothing.
    pub drained_per_second: f64,
    /// Seconds from the start of the process until it answers, with its read side complete.
    #[serde(default)]
    pub start_whole_s: Option<f64>,
    /// Resident memory right after that start, in MiB.
    #[serde(default)]
    pub resident_whole_mib: Option<f64>,
}

/// Operations of a machine on one core, without IO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRate {
    /// The bench, such as `transfer_spread/64`.
    pub bench: String,
    /// Commands in a second.
    pub per_second: f64,
}

impl Document {
    /// Reads the lines that `scripts/bench.sh` collected.
    ///
    /// # Errors
    /// When a line is none of the known shapes; the message has its number.
    pub fn read(lines: &str) -> Result<Self, String> {
        let mut document = Self::default();
        for (index, line) in lines.lines().enumerate() {
            let wrong = |error: serde_json::Error| format!("line {}: {error}", index + 1);
            let value: serde_json::Value = serde_json::from_str(line).map_err(wrong)?;
            match value["subject"].as_str() {
                Some("disk") => document.disk.push(serde_json::from_value(value).map_err(wrong)?),
                Some("scale") => document.scale = Some(serde_json::from_value(value).map_err(wrong)?),
                _ => document.measurements.push(serde_json::from_value(value).map_err(wrong)?),
            }
        }
        Ok(document)
    }

    /// Takes what was not measured this time from an earlier document.
    #[must_use]
    pub fn or_else(mut self, earlier: Self) -> Self {
        if self.measurements.is_empty() {
            (self.measurements, self.disk) = (earlier.measurements, earlier.disk);
        }
        if self.machines.is_empty() {
            self.machines = earlier.machines;
        }
        self.scale = self.scale.or(earlier.scale);
        self
    }

    /// The measurement of a subject in a scenario.
    #[must_use]
    pub fn find(&self, subject: &str, scenario: &str, connections: u32) -> Option<&Measurement> {
        self.measurements
            .iter()
            .find(|one| one.subject == subject && one.scenario == scenario && one.connections == connections)
    }

    /// Operations in a second, if it was measured.
    #[must_use]
    pub fn rate(&self, subject: &str, scenario: &str, connections: u32) -> Option<f64> {
        self.find(subject, scenario, connections).map(|one| one.per_second)
    }

    /// The connection counts that a scenario was measured at, in order.
    #[must_use]
    pub fn connections(&self, scenario: &str) -> Vec<u32> {
        let of_scenario = self.measurements.iter().filter(|one| one.scenario == scenario);
        let mut connections: Vec<u32> = of_scenario.map(|one| one.connections).collect();
        connections.sort_unstable();
        connections.dedup();
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"subject":"disk","append_sync_ms":0.15,"overwrite_sync_ms":0.09}"#,
        "\n",
        r#"{"subject":"wallex","scenario":"spread","connections":64,"operations":10,"per_second":20.5,"p50_ms":1.5,"#,
        r#""p99_ms":2.5,"cpu_us":9.5,"errors":0,"lag_events_max":7,"lag_events_at_end":5,"lag_events_left":0,"#,
        r#""caught_up_s":0.5,"cpu_us_with_projection":12.5,"threads_us":{"http":7.5,"commands":5.0}}"#,
        "\n",
        r#"{"subject":"postgres","scenario":"spread","connections":64,"operations":5,"per_second":10.25,"p50_ms":3.0,"#,
        r#""p99_ms":4.0,"cpu_us":80.0,"errors":0}"#,
        "\n",
    );

    #[test]
    fn lines_of_a_run_become_a_document_and_survive_its_json() {
        let document = Document::read(LINES).unwrap();
        assert_eq!(document.disk.len(), 1);
        assert_eq!(document.rate("postgres", "spread", 64), Some(10.25));
        let wallex = document.find("wallex", "spread", 64).unwrap();
        assert_eq!(wallex.projection.as_ref().map(|lag| lag.lag_events_max), Some(7));
        assert!(document.find("postgres", "spread", 64).unwrap().projection.is_none());
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    }

    #[test]
    fn a_run_of_one_part_keeps_the_other_parts() {
        let scale = r#"{"subject":"scale","wallets":1,"events":2,"journal_bytes":3,"start_s":0.5,
            "start_without_snapshot_s":1.5,"resident_mib":4.0,"drained_per_second":5.0}"#
            .replace('\n', "");
        let merged = Document::read(&scale).unwrap().or_else(Document::read(LINES).unwrap());
        assert_eq!(merged.measurements.len(), 2);
        assert_eq!(merged.scale.map(|scale| scale.wallets), Some(1));
    }

    #[test]
    fn a_line_of_another_shape_is_named() {
        assert!(Document::read("{}\n").unwrap_err().starts_with("line 1: "));
    }
}

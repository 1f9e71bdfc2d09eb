//! `wallex verify`: arguments, the table of verdicts or its JSON, and the exit code.
//!
//! The checks themselves are in [`crate::verify`].

use clap::Args;
use serde::Serialize;

use super::{Configured, Exit, complain, emit};
use crate::verify;

const EXAMPLES: &str = "\
Examples:
  wallex verify                            on ./wallex-data, beside a running service or without one
  wallex verify --data-dir /var/lib/wallex --json
  wallex verify --config production.toml   on KurrentDB and Postgres, as the file names them
  wallex verify && echo every invariant holds

With --json, what is in the way of a report is {\"error\": …}, with segment and offset of damage.
The exit code is 1 when an invariant is violated or the log is damaged, 3 when log or database cannot be read.";

/// Arguments of `wallex verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    configured: Configured,
    /// Verdicts as JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` has in the place of a report.
#[derive(Debug, Serialize)]
struct Failure {
    error: FailureDetail,
}

#[derive(Debug, Serialize)]
struct FailureDetail {
    /// `damaged` or `unreadable`.
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

impl Failure {
    fn of(error: &verify::Error) -> Self {
        let damage = error.damage();
        Self {
            error: FailureDetail {
                code: if error.is_damage() { "damaged" } else { "unreadable" },
                detail: error.to_string(),
                segment: damage.map(|damage| damage.segment.clone()),
                offset: damage.map(|damage| damage.offset),
            },
        }
    }
}

/// Verifies.
pub(super) fn run(args: &VerifyArgs) -> Exit {
    let loaded = match args.configured.read(Vec::new()) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let directory = &loaded.config.data_dir;
    let on_servers = args.configured.means_servers(&loaded.config);
    if !on_servers && !directory.is_dir() {
        complain(&format_args!("there is no data directory {}", directory.display()));
        return Exit::Unavailable;
    }
    match if on_servers { verify::run_on_servers(&loaded.config) } else { verify::run(directory) } {
        Ok(report) => {
            let text = if args.json {
                serde_json::to_string_pretty(&report).map(|json| json + "\n").unwrap_or_default()
            } else {
                report.to_string()
            };
            match emit(text.as_bytes()) {
                Ok(()) if report.holds => Exit::Done,
                Ok(()) | Err(_) => Exit::Finding,
            }
        }
        Err(error) => {
            complain(&error);
            if args.json {
                // Without a report, whoever reads JSON reads what is in the way of one.
                let text = serde_json::to_string_pretty(&Failure::of(&error)).unwrap_or_default() + "\n";
                let _nobody_reads = emit(text.as_bytes());
            }
            if error.is_damage() { Exit::Finding } else { Exit::Unavailable }
        }
    }
}

//! `wallex load`: arguments, and the statistics block.
//!
//! Draws a seed when none is given. The work is done by [`crate::load`]; here its report becomes text or JSON, and the
//! exit code is that of a finding when an operation failed or the comparison at the end disagrees.

use std::time::Duration;

use clap::Args;

use super::{Exit, complain, emit};
use crate::load::plan::Mix;
use crate::load::{self, Error, Options};

const EXAMPLES: &str = "\
Examples:
  wallex load --wallets 1000 --operations 20000 --workers 20
  wallex load --wallets 10000 --operations 500000 --workers 64 --mix transfers --json
  wallex load --wallets 10000 --workers 64 --mix transfers --hot --duration 10
  wallex load --wallets 10000 --operations 2000000 --workers 4 --batch 1000

Every operation carries an Idempotency-Key and is repeated under it after 503, 504 and broken connections.
The exit code is 1 when an operation failed or when balances, versions or ledger disagree at the end.";

/// Arguments of `wallex load`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LoadArgs {
    /// Wallets to create first.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    wallets: u32,
    /// Credits, debits and transfers to make.
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=4096))]
    workers: u32,
    /// The service.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// Draws from the same numbers as an earlier run; what the workers meet still differs [default: random, and reported].
    #[arg(long)]
    seed: Option<u64>,
    /// Kinds of operations.
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    mix: Mix,
    /// Let every operation involve one and the same wallet.
    #[arg(long)]
    hot: bool,
    /// Operations in one request to /batch; 0 sends single requests.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    batch: u32,
    /// Make operations for this long instead of a number of them.
    #[arg(long, value_name = "SECS", conflicts_with = "operations")]
    duration: Option<u32>,
    /// Threads that the connections share.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Leave out the comparison at the end.
    #[arg(long)]
    no_check: bool,
    /// Statistics as JSON, and no progress bars.
    #[arg(long)]
    json: bool,
}

/// Runs the load.
pub(super) fn run(args: &LoadArgs) -> Exit {
    let seed = match args.seed.map_or_else(getrandom::u64, Ok) {
        Ok(seed) => seed,
        Err(error) => {
            complain(&error);
            return Exit::Unavailable;
        }
    };
    let options = Options {
        url: args.url.clone(),
        wallets: args.wallets as usize,
        operations: args.operations,
        duration: args.duration.map(|seconds| Duration::from_secs(u64::from(seconds))),
        workers: args.workers as usize,
        threads: args.threads as usize,
        seed,
        mix: args.mix,
        hot: args.hot,
        batch: args.batch as usize,
        check: !args.no_check,
        progress: !args.json,
    };
    match load::run(&options) {
        Ok(report) => {
            let text = if args.json {
                serde_json::to_string_pretty(&report).map(|json| json + "\n").unwrap_or_default()
            } else {
                format!("{report}\nseed {seed}\n")
            };
            match emit(text.as_bytes()) {
                Ok(()) if report.is_clean() => Exit::Done,
                Ok(()) | Err(_) => Exit::Finding,
            }
        }
        Err(error) => {
            complain(&error);
            match error {
                Error::Url(_) => Exit::Usage,
                Error::Unreachable { .. } | Error::Start(_) => Exit::Unavailable,
            }
        }
    }
}

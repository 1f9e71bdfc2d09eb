//! `wallex-sim`: the simulator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    wallex_sim::cli::main()
}

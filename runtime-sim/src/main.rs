//! `wallex-sim`: the simulator's command line.

use std::process::ExitCode;

/// A run makes and drops millions of small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    wallex_sim::cli::main()
}

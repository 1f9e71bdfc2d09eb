//! `wallex-sim`: runs a seed and prints what came of it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use wallex_sim::world::{self, Options};

#[derive(Parser)]
#[command(name = "wallex-sim", version, about = "Runs the wallet engine in a deterministic world")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run one seed and print its trace hash
    Run {
        /// Where all randomness comes from
        #[arg(long)]
        seed: u64,
        /// Commands that the clients submit
        #[arg(long, default_value_t = 1_000)]
        commands: u64,
        /// Write every input and effect to this file, one JSON object a line
        #[arg(long)]
        trace: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Verb::Run { seed, commands, trace } = Arguments::parse().verb;
    let began = Instant::now();
    let report = world::run(Options { seed, commands, keep_trace: trace.is_some() });
    let mut out = std::io::stdout().lock();
    let written = (|| {
        if let Some(path) = &trace {
            std::fs::write(path, report.trace.join("\n") + "\n")?;
        }
        writeln!(out, "seed          {seed}")?;
        writeln!(out, "commands      {commands}: {} done, {} refused", report.done, report.refused)?;
        writeln!(out, "events        {}", report.events)?;
        writeln!(out, "steps         {} inputs and effects", report.steps)?;
        writeln!(
            out,
            "virtual time  {:.3} s in {:.3} s",
            report.virtual_time.as_secs_f64(),
            began.elapsed().as_secs_f64()
        )?;
        writeln!(out, "trace hash    {}", report.trace_hash)
    })();
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wallex-sim: cannot write: {error}");
            ExitCode::from(3)
        }
    }
}

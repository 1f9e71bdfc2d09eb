//! The command line: run a seed, sweep many, replay a plan, shrink a failure, prove determinism.
//!
//! Exit codes: 0 passed, 1 safety violation, 2 wrong usage, 3 files, 4 liveness violation, 5 crash, 6 nondeterminism.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::page::Page;
use crate::plan::{Plan, Preset, Topology, generate};
use crate::report::{self, Failure, preset_name, topology_name};
use crate::shrink;
use crate::sweep::Sweep;
use crate::world::{self, Ending, Outcome};

/// Commands of the clients in a run.
const COMMANDS: usize = 1_000;

#[derive(Parser)]
#[command(name = "wallex-sim", version, about = "Runs the wallet engine in a deterministic world")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Args, Clone, Copy)]
struct Scene {
    /// How rough it is
    #[arg(long, value_enum, default_value = "default")]
    preset: Preset,
    /// Which processes there are
    #[arg(long, value_enum, default_value = "production")]
    topology: Topology,
    /// Commands that the clients submit
    #[arg(long, default_value_t = COMMANDS)]
    commands: usize,
}

#[derive(Subcommand)]
enum Verb {
    /// Run one seed
    Run {
        /// Where all chance comes from
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        scene: Scene,
        #[command(flatten)]
        output: Output,
        /// Write the plan to this file, to be edited and replayed
        #[arg(long)]
        plan: Option<PathBuf>,
    },
    /// Run a plan from a file
    Replay {
        /// The plan, as JSON
        plan: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Run many seeds
    Sweep {
        /// First and last seed, such as 1..1000
        #[arg(long, value_parser = seeds)]
        seeds: (u64, u64),
        /// How rough; all presets in turn when left out
        #[arg(long, value_enum)]
        preset: Option<Preset>,
        /// Which processes; all topologies in turn when left out
        #[arg(long, value_enum)]
        topology: Option<Topology>,
        /// Commands that the clients submit
        #[arg(long, default_value_t = COMMANDS)]
        commands: usize,
        /// Runs at once
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Begin no new run after this time, such as 90s or 10m
        #[arg(long = "for", value_parser = duration)]
        limit: Option<Duration>,
        /// Go on after a failure
        #[arg(long)]
        keep_going: bool,
    },
    /// Make the plan of a failure as small as it gets
    Shrink {
        /// The seed that fails
        #[arg(long, required_unless_present = "from")]
        seed: Option<u64>,
        /// A plan that fails, instead of a seed
        #[arg(long, conflicts_with = "seed")]
        from: Option<PathBuf>,
        #[command(flatten)]
        scene: Scene,
        /// Where the small plan goes
        #[arg(short, long, default_value = "plan.json")]
        output: PathBuf,
        /// Most runs
        #[arg(long, default_value_t = 2_000)]
        runs: usize,
    },
    /// Run the same seeds twice in this process and once in another, and compare the traces
    Meta {
        /// First and last seed
        #[arg(long, value_parser = seeds, default_value = "1..8")]
        seeds: (u64, u64),
        #[command(flatten)]
        scene: Scene,
    },
    /// Step through what the service's flight recorder wrote, and compare the effects
    ReplayRecording(crate::recording::cli::Arguments),
    /// Switch deliberate bugs on, and see which checker finds them and how soon
    #[cfg(feature = "mutants")]
    Mutants(crate::mutants::cli::Arguments),
}

#[derive(clap::Args)]
struct Output {
    /// Write every step to this file, one JSON object a line
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Draw the run as a page: one file, to be opened in a browser
    #[arg(long)]
    html: Option<PathBuf>,
    /// Say which situations were reached
    #[arg(long)]
    marks: bool,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("'{text}' is no range of seeds such as 1..1000");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let first = first.parse().map_err(|_| wrong())?;
    let last = last.trim_start_matches('=').parse().map_err(|_| wrong())?;
    Ok((first, last))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time such as 90s or 10m");
    let (digits, factor) = match (text.strip_suffix('m'), text.strip_suffix('s')) {
        (Some(minutes), _) => (minutes, 60),
        (None, Some(seconds)) => (seconds, 1),
        (None, None) => (text, 1),
    };
    digits.parse::<u64>().map(|number| Duration::from_secs(number * factor)).map_err(|_| wrong())
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let code = match Arguments::parse().verb {
        Verb::Run { seed, scene, output, plan } => {
            let made = generate(seed, scene.preset, scene.topology, scene.commands);
            let saved = plan.as_ref().map_or(Ok(()), |path| save(path, &made));
            saved.and_then(|()| run(&mut out, &made, &output, reproduce(&made)))
        }
        Verb::Replay { plan, output } => {
            let command = format!("cargo sim replay {}", plan.display());
            load(&plan).and_then(|plan| run(&mut out, &plan, &output, command))
        }
        Verb::Sweep { seeds: (first, last), preset, topology, commands, jobs, limit, keep_going } => {
            let sweep = Sweep { seeds: first..=last, preset, topology, commands, jobs, limit, keep_going };
            run_sweep(&mut out, &sweep)
        }
        Verb::Shrink { seed, from, scene, output, runs } => {
            let plan = match (from, seed) {
                (Some(path), _) => load(&path),
                (None, seed) => Ok(generate(seed.unwrap_or_default(), scene.preset, scene.topology, scene.commands)),
            };
            plan.and_then(|plan| shrink_plan(&mut out, plan, &output, runs))
        }
        Verb::Meta { seeds, scene } => meta(&mut out, seeds, scene),
        Verb::ReplayRecording(arguments) => crate::recording::cli::main(&mut out, arguments),
        #[cfg(feature = "mutants")]
        Verb::Mutants(arguments) => crate::mutants::cli::main(&mut out, &arguments),
    };
    code.unwrap_or_else(|error| {
        eprintln!("wallex-sim: {error}");
        ExitCode::from(3)
    })
}

fn save(path: &Path, plan: &Plan) -> io::Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(plan)?)
}

fn load(path: &Path) -> io::Result<Plan> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// The line that runs a generated plan again.
fn reproduce(plan: &Plan) -> String {
    let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
    let (seed, commands) = (plan.seed, plan.commands());
    format!("cargo sim run --seed {seed} --preset {preset} --topology {topology} --commands {commands}")
}

fn exit_code(ending: Ending) -> ExitCode {
    match ending {
        Ending::Passed => ExitCode::SUCCESS,
        Ending::Safety => ExitCode::from(1),
        Ending::Liveness => ExitCode::from(4),
        Ending::Crash => ExitCode::from(5),
    }
}

fn run(out: &mut impl Write, plan: &Plan, output: &Output, reproduce: String) -> io::Result<ExitCode> {
    let outcome = world::run(plan, output.trace.is_some() || output.html.is_some());
    if let Some(path) = &output.html {
        std::fs::write(path, page(plan, &outcome, &reproduce).html())?;
    }
    if let Some(path) = &output.trace {
        write_trace(path, &outcome)?;
    }
    report::summary(out, plan, &outcome)?;
    if output.marks {
        report::marks(out, &outcome.marks)?;
    }
    if outcome.ending() != Ending::Passed {
        write!(out, "{}", Failure { plan, outcome: &outcome, reproduce })?;
    }
    Ok(exit_code(outcome.ending()))
}

fn page<'a>(plan: &Plan, outcome: &'a Outcome, reproduce: &str) -> Page<'a> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
    Page {
        title: format!("seed {}, {preset}, {topology}", plan.seed),
        facts: vec![
            fact("seed", plan.seed.to_string()),
            fact("preset", preset.to_owned()),
            fact("topology", topology.to_owned()),
            fact("steps", outcome.steps.to_string()),
            fact("trace hash", outcome.trace_hash.clone()),
            fact("reproduce", reproduce.to_owned()),
        ],
        lanes: plan.lanes().into_iter().map(|lane| (lane.number(), lane.to_string())).collect(),
        records: &outcome.records,
        began: world::START,
        violations: &outcome.verdict.violations,
    }
}

/// Makes a failing plan small; only plans that violate the same invariant count.
fn shrink_plan(out: &mut impl Write, plan: Plan, output: &Path, runs: usize) -> io::Result<ExitCode> {
    let violated = |plan: &Plan| world::run(plan, false).violation().map(|violation| violation.invariant);
    let Some(target) = violated(&plan) else {
        writeln!(out, "the plan violates nothing: there is nothing to shrink")?;
        return Ok(ExitCode::SUCCESS);
    };
    let before = (plan.faults.len(), plan.commands());
    let shrunk = shrink::shrink(plan, target, runs, violated);
    save(output, &shrunk.plan)?;
    let after = (shrunk.plan.faults.len(), shrunk.plan.commands());
    writeln!(out, "violates      {target}")?;
    writeln!(out, "faults        {} of {}", after.0, before.0)?;
    writeln!(out, "commands      {} of {}", after.1, before.1)?;
    let state = if shrunk.minimal { "nothing more can go" } else { "the runs were used up" };
    writeln!(out, "runs          {}: {state}", shrunk.runs)?;
    let outcome = world::run(&shrunk.plan, false);
    let reproduce = format!("cargo sim replay {}", output.display());
    write!(out, "{}", Failure { plan: &shrunk.plan, outcome: &outcome, reproduce })?;
    Ok(exit_code(outcome.ending()))
}

fn write_trace(path: &Path, outcome: &Outcome) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for record in &outcome.records {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn run_sweep(out: &mut impl Write, sweep: &Sweep) -> io::Result<ExitCode> {
    let shown = std::sync::Mutex::new(std::time::Instant::now());
    let swept = sweep.run(|runs, failures| {
        let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if shown.elapsed() > Duration::from_secs(5) {
            *shown = std::time::Instant::now();
            eprintln!("{runs} runs, {failures} failed");
        }
    });
    let seconds = swept.real_time.as_secs_f64();
    writeln!(out, "runs          {} in {seconds:.1} s, {} at once", swept.runs, sweep.jobs)?;
    let rate = |number: f64| number / seconds.max(1e-9);
    writeln!(
        out,
        "speed         {:.1} seeds/s, {:.0} messages/s, virtual time {:.0} times real",
        rate(swept.runs as f64),
        rate(swept.messages as f64),
        rate(swept.virtual_time.as_secs_f64())
    )?;
    writeln!(out, "converged     within {:.1} s at most", swept.convergence_max.as_secs_f64())?;
    writeln!(out, "inconclusive  {}", swept.inconclusive)?;
    report::tally(out, &swept.tally)?;
    report::marks(out, &swept.marks)?;
    writeln!(out, "failures      {}", swept.failures.len())?;
    for (plan, outcome) in &swept.failures {
        write!(out, "{}", Failure { plan, outcome, reproduce: reproduce(plan) })?;
    }
    Ok(exit_code(swept.ending()))
}

/// INV-13: the same seed gives the same trace, in one process and in two.
fn meta(out: &mut impl Write, (first, last): (u64, u64), scene: Scene) -> io::Result<ExitCode> {
    for seed in first..=last {
        let plan = generate(seed, scene.preset, scene.topology, scene.commands);
        let (one, two) = (world::run(&plan, false), world::run(&plan, true));
        let arguments = reproduce(&plan);
        let arguments = arguments.split_whitespace().skip(2);
        let child = Command::new(std::env::current_exe()?).args(arguments).output()?;
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        let other = text.lines().find_map(|line| line.strip_prefix("trace hash")).map(|hash| hash.trim().to_owned());
        if one.trace_hash != two.trace_hash || other.as_ref() != Some(&one.trace_hash) {
            writeln!(out, "seed {seed}: INV-13 does not hold")?;
            writeln!(out, "this process   {} and {}", one.trace_hash, two.trace_hash)?;
            writeln!(out, "another        {}", other.unwrap_or_else(|| "no hash".to_owned()))?;
            writeln!(out, "REPRODUCE: cargo sim meta --seeds {seed}..{seed}")?;
            return Ok(ExitCode::from(6));
        }
        writeln!(out, "seed {seed}  {}  {} steps, three times the same", one.trace_hash, one.steps)?;
    }
    Ok(ExitCode::SUCCESS)
}

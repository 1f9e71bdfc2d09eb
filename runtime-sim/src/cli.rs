//! The command line: run a seed, sweep many, replay a plan, shrink a failure, prove determinism.
//!
//! Exit codes: 0 passed, 1 safety violation, 2 wrong usage, 3 files, 4 liveness violation, 5 crash, 6 nondeterminism,
//! 7 a sweep that never was where it had to be.

mod meta;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::expected::Reached;
use crate::kept::{self, Kept, Place};
use crate::page::Page;
use crate::plan::{Plan, Preset, Topology, generate};
use crate::report::{self, Failure, preset_name, topology_name};
use crate::shrink::{Symptom, shrink};
use crate::sweep::{Failed, Sweep};
use crate::world::{self, Ending, Outcome};

/// Commands of the clients in a run.
const COMMANDS: usize = 1_000;
/// Where the plans and traces of failures go.
const FAILURES: &str = "wallex-sim-failures";
/// Exit code when the same run left two traces.
const NONDETERMINISM: u8 = 6;
/// Exit code when a sweep of enough runs never reached what it had to.
const UNREACHED: u8 = 7;

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

/// A deliberate bug, in a build that has them.
#[derive(clap::Args, Clone, Copy)]
struct Bug {
    /// Switch a deliberate bug on
    #[cfg(feature = "mutants")]
    #[arg(long = "bug", value_name = "NAME", value_parser = bug)]
    mutant: Option<wallex_core::mutant::Mutant>,
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
        #[command(flatten)]
        bug: Bug,
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
        #[command(flatten)]
        bug: Bug,
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
        /// Of every so many seeds run one twice, and compare the traces; 0 for none
        #[arg(long, default_value_t = 64)]
        repeat_every: u64,
        /// Where the plan of a failure goes, and the trace of the first one
        #[arg(long, value_name = "DIRECTORY", default_value = FAILURES)]
        failures: PathBuf,
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
        #[command(flatten)]
        bug: Bug,
        /// Where the small plan goes
        #[arg(short, long, default_value = "plan.json")]
        output: PathBuf,
        /// Most runs
        #[arg(long, default_value_t = 2_000)]
        runs: usize,
        /// Where the trace goes
        #[arg(long, value_name = "DIRECTORY", default_value = FAILURES)]
        failures: PathBuf,
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
    /// Where the plan and the trace of a failure go when no file is named for them
    #[arg(long, value_name = "DIRECTORY", default_value = FAILURES)]
    failures: PathBuf,
}

impl Scene {
    fn plan(self, seed: u64) -> Plan {
        generate(seed, self.preset, self.topology, self.commands)
    }

    /// What is not as it is without being told.
    fn arguments(self) -> String {
        let Self { preset, topology, commands } = self;
        let mut arguments = String::new();
        if preset != Preset::Default {
            arguments += &format!(" --preset {}", preset_name(preset));
        }
        if topology != Topology::Production {
            arguments += &format!(" --topology {}", topology_name(topology));
        }
        if commands != COMMANDS {
            arguments += &format!(" --commands {commands}");
        }
        arguments
    }
}

#[cfg(feature = "mutants")]
impl Bug {
    fn switch_on(self) {
        wallex_core::mutant::activate(self.mutant);
    }

    /// The line that runs something again in the same way.
    fn command(self, arguments: &str) -> String {
        match self.mutant {
            None => format!("cargo sim {arguments}"),
            Some(mutant) => {
                let name = crate::mutants::name(mutant);
                format!("cargo run --release -p wallex-sim --features mutants -- {arguments} --bug {name}")
            }
        }
    }
}

#[cfg(not(feature = "mutants"))]
impl Bug {
    fn switch_on(self) {}

    /// The line that runs something again.
    fn command(self, arguments: &str) -> String {
        format!("cargo sim {arguments}")
    }
}

#[cfg(feature = "mutants")]
fn bug(text: &str) -> Result<wallex_core::mutant::Mutant, String> {
    let trial = crate::mutants::Trial::named(text).ok_or("there is no such bug; `mutants` lists them")?;
    Ok(trial.mutant)
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
        Verb::Run { seed, scene, output, bug, plan } => {
            bug.switch_on();
            let made = scene.plan(seed);
            let saved = plan.as_ref().map_or(Ok(()), |path| kept::save_plan(path, &made));
            saved.and_then(|()| run(&mut out, &made, plan, &output, bug.command(&run_arguments(&made))))
        }
        Verb::Replay { plan: path, output, bug } => {
            bug.switch_on();
            let command = bug.command(&format!("replay {}", path.display()));
            kept::load_plan(&path).and_then(|plan| run(&mut out, &plan, Some(path), &output, command))
        }
        Verb::Sweep {
            seeds: (first, last),
            preset,
            topology,
            commands,
            jobs,
            limit,
            keep_going,
            repeat_every,
            failures,
        } => {
            let seeds = first..=last;
            let sweep = Sweep { seeds, preset, topology, commands, jobs, limit, keep_going, repeat_every };
            run_sweep(&mut out, &sweep, &failures)
        }
        Verb::Shrink { seed, from, scene, bug, output, runs, failures } => {
            bug.switch_on();
            let plan = match (from, seed) {
                (Some(path), _) => kept::load_plan(&path),
                (None, seed) => Ok(scene.plan(seed.unwrap_or_default())),
            };
            let command = bug.command(&format!("replay {}", output.display()));
            plan.and_then(|plan| shrink_plan(&mut out, plan, output, runs, &failures, command))
        }
        Verb::Meta { seeds, scene } => meta::meta(&mut out, seeds, scene),
        Verb::ReplayRecording(arguments) => crate::recording::cli::main(&mut out, arguments),
        #[cfg(feature = "mutants")]
        Verb::Mutants(arguments) => crate::mutants::cli::main(&mut out, &arguments),
    };
    code.unwrap_or_else(|error| {
        eprintln!("wallex-sim: {error}");
        ExitCode::from(3)
    })
}

/// What runs a generated plan again.
fn run_arguments(plan: &Plan) -> String {
    let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
    let (seed, commands) = (plan.seed, plan.commands());
    format!("run --seed {seed} --preset {preset} --topology {topology} --commands {commands}")
}

fn exit_code(ending: Ending) -> ExitCode {
    match ending {
        Ending::Passed => ExitCode::SUCCESS,
        Ending::Safety => ExitCode::from(1),
        Ending::Liveness => ExitCode::from(4),
        Ending::Crash => ExitCode::from(5),
    }
}

/// Runs a plan, which may lie in a file.
fn run(
    out: &mut impl Write,
    plan: &Plan,
    lies_at: Option<PathBuf>,
    output: &Output,
    reproduce: String,
) -> io::Result<ExitCode> {
    let outcome = world::run(plan, output.trace.is_some() || output.html.is_some());
    if let Some(path) = &output.html {
        std::fs::write(path, page(plan, &outcome, &reproduce).html())?;
    }
    if let Some(path) = &output.trace {
        kept::save_trace(path, &outcome.records)?;
    }
    report::summary(out, plan, &outcome)?;
    if output.marks {
        report::marks(out, &outcome.marks)?;
        let reached = Reached { runs: 1, marks: outcome.marks.clone() };
        report::never_reached(out, (plan.preset, plan.topology), &reached)?;
    }
    if outcome.ending() != Ending::Passed {
        let kept = Kept {
            plan: lies_at.map_or_else(|| kept::keep_plan(&output.failures, plan), Place::File),
            trace: match &output.trace {
                Some(path) => Place::File(path.clone()),
                None => kept::keep_trace(&output.failures, plan, &outcome),
            },
        };
        write!(out, "{}", Failure { plan, outcome: &outcome, again: None, kept, reproduce })?;
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
            fact("commit", report::COMMIT.to_owned()),
            fact("reproduce", reproduce.to_owned()),
        ],
        lanes: plan.lanes().into_iter().map(|lane| (lane.number(), lane.to_string())).collect(),
        records: &outcome.records,
        began: world::START,
        violations: &outcome.verdict.violations,
        panic: outcome.panic.as_deref(),
    }
}

/// Makes a failing plan small; only plans that fail in the same way count.
fn shrink_plan(
    out: &mut impl Write,
    plan: Plan,
    output: PathBuf,
    runs: usize,
    failures: &Path,
    reproduce: String,
) -> io::Result<ExitCode> {
    let symptom = |plan: &Plan| Symptom::of(&world::run(plan, false));
    let Some(target) = symptom(&plan) else {
        writeln!(out, "the plan passes: there is nothing to shrink")?;
        return Ok(ExitCode::SUCCESS);
    };
    let before = (plan.faults.len(), plan.commands());
    // Hundreds of panics say nothing that the first one has not said.
    let hook = std::panic::take_hook();
    if matches!(target, Symptom::Panics(_)) {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let shrunk = shrink(plan, target.clone(), runs, symptom);
    std::panic::set_hook(hook);
    kept::save_plan(&output, &shrunk.plan)?;
    let after = (shrunk.plan.faults.len(), shrunk.plan.commands());
    writeln!(out, "the plan      {target}")?;
    writeln!(out, "faults        {} of {}", after.0, before.0)?;
    writeln!(out, "commands      {} of {}", after.1, before.1)?;
    let state = if shrunk.minimal { "nothing more can go" } else { "the runs were used up" };
    writeln!(out, "runs          {}: {state}", shrunk.runs)?;
    let outcome = world::run(&shrunk.plan, true);
    let kept = Kept { plan: Place::File(output), trace: kept::keep_trace(failures, &shrunk.plan, &outcome) };
    write!(out, "{}", Failure { plan: &shrunk.plan, outcome: &outcome, again: None, kept, reproduce })?;
    Ok(exit_code(outcome.ending()))
}

fn run_sweep(out: &mut impl Write, sweep: &Sweep, failures: &Path) -> io::Result<ExitCode> {
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
    write!(out, "inconclusive  {} searches of INV-09 gave up", swept.inconclusive)?;
    let seeds: Vec<String> = swept.inconclusive_seeds.iter().map(u64::to_string).collect();
    writeln!(out, "{}{}", if seeds.is_empty() { "" } else { ", as in seed " }, seeds.join(", "))?;
    writeln!(out, "run twice     {}, for the same trace (INV-13)", swept.repeated)?;
    report::tally(out, &swept.tally)?;
    report::marks(out, &swept.marks())?;
    for (scene, reached) in &swept.scenes {
        report::never_reached(out, *scene, reached)?;
    }
    writeln!(out, "failures      {}", swept.failed)?;
    for (number, failed) in swept.failures.iter().enumerate() {
        write_failed(out, failed, failures, number == 0)?;
    }
    if !swept.is_deterministic() {
        return Ok(ExitCode::from(NONDETERMINISM));
    }
    let overdue = swept.overdue(sweep.commands);
    if swept.ending() == Ending::Passed && !overdue.is_empty() {
        report::overdue(out, &overdue)?;
        return Ok(ExitCode::from(UNREACHED));
    }
    Ok(exit_code(swept.ending()))
}

/// The block of a failure in a sweep. Only the trace of the first one is kept: they are large.
fn write_failed(out: &mut impl Write, failed: &Failed, failures: &Path, first: bool) -> io::Result<()> {
    let Failed { plan, outcome, again } = failed;
    let trace = match (first, again) {
        (true, None) => kept::keep_trace(failures, plan, outcome),
        (true, Some(_)) => Place::Nowhere("another run, another trace".to_owned()),
        (false, _) => Place::Nowhere("only that of the first failure; the line below keeps this one".to_owned()),
    };
    let reproduce = match again {
        None => format!("cargo sim {}", run_arguments(plan)),
        Some(_) => {
            let scene = Scene { preset: plan.preset, topology: plan.topology, commands: plan.commands() };
            meta::command(plan.seed, scene)
        }
    };
    let kept = Kept { plan: kept::keep_plan(failures, plan), trace };
    write!(out, "{}", Failure { plan, outcome, again: again.as_deref(), kept, reproduce })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}

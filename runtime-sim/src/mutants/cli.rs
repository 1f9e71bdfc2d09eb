//! `wallex-sim mutants`: a table of bugs, who found them, and how soon.
//!
//! The same seeds run without the bugs afterwards, and must pass. The exit code tells of a bug that was not found, or
//! of something found without one. The hunt, and what counts as found, is the module's above.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;

use wallex_core::mutant::Mutant;

use super::{Hunt, Search, Trial, name, run};
use crate::report::{preset_name, topology_name};
use crate::world::Ending;

/// What is asked for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Only this bug
    #[arg(long = "name")]
    mutant: Option<String>,
    /// Starting points
    #[arg(long, default_value_t = 20)]
    starts: u64,
    /// Seeds tried from each starting point, at most
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// Commands in a run
    #[arg(long, default_value_t = 300)]
    commands: usize,
    /// Runs at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Shrink one plan for each bug
    #[arg(long)]
    shrink: bool,
    /// Do not run the same seeds without the bugs
    #[arg(long)]
    skip_clean: bool,
}

/// Exit code when a bug was not found, or something was found without one.
const MISSED: u8 = 1;
/// Exit code for a name that is none.
const USAGE: u8 = 2;

/// Hunts, and tells.
///
/// # Errors
/// What the writer says.
pub(crate) fn main(out: &mut impl Write, arguments: &Arguments) -> io::Result<ExitCode> {
    let trials: Vec<Trial> = match &arguments.mutant {
        None => Mutant::ALL.iter().copied().map(Trial::of).collect(),
        Some(text) => Trial::named(text).into_iter().collect(),
    };
    if trials.is_empty() {
        let names: Vec<String> = Mutant::ALL.iter().copied().map(name).collect();
        writeln!(out, "no such bug; there are: {}", names.join(", "))?;
        return Ok(ExitCode::from(USAGE));
    }
    let Arguments { starts, seeds, commands, jobs, .. } = *arguments;
    let search = Search { starts, seeds, commands, jobs };
    writeln!(out, "| bug | what it does | caught by | seeds: median | max | runs |\n|---|---|---|---|---|---|")?;
    let mut sound = true;
    let mut used: BTreeSet<(Trial, u64)> = BTreeSet::new();
    let mut shrunk: Vec<(usize, usize)> = Vec::new();
    for trial in trials {
        let hunt = trial.hunt(&search);
        row(out, &trial, &hunt)?;
        sound &= hunt.missed() == 0;
        // Bugs of one scene share their clean runs.
        let scene = Trial { mutant: Mutant::AnswerBeforeAppend, checkers: &[], ..trial };
        used.extend(hunt.seeds.iter().map(|seed| (scene, *seed)));
        if let Some(seed) = hunt.shown_by.filter(|_| arguments.shrink)
            && let Some(small) = trial.shrink(seed, commands)
        {
            let sizes = (small.plan.faults.len(), small.plan.commands());
            writeln!(
                out,
                "| | seed {seed} shrinks to {} faults, {} commands in {} runs | | | | |",
                sizes.0, sizes.1, small.runs
            )?;
            shrunk.push(sizes);
        }
        out.flush()?;
    }
    if !shrunk.is_empty() {
        let (faults, steps) = (median(shrunk.iter().map(|sizes| sizes.0)), median(shrunk.iter().map(|sizes| sizes.1)));
        writeln!(out, "\nshrunk plans: {faults} faults and {steps} commands (medians of {})", shrunk.len())?;
    }
    if !arguments.skip_clean {
        sound &= clean(out, &used, commands)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

fn row(out: &mut impl Write, trial: &Trial, hunt: &Hunt) -> io::Result<()> {
    let by: Vec<String> = hunt.by.iter().map(|(invariant, count)| format!("{invariant} ({count})")).collect();
    let (middle, most) = hunt.median_and_max();
    let shown = |count: Option<u64>| count.map_or_else(|| "not found".to_owned(), |count| count.to_string());
    let (bug, what) = (name(trial.mutant), trial.mutant.bug());
    let scene = format!("{}, {}", preset_name(trial.preset), topology_name(trial.topology));
    writeln!(out, "| {bug} | {what} | {} | {} | {} | {scene} |", by.join(", "), shown(middle), shown(most))?;
    for (text, count) in &hunt.otherwise {
        writeln!(out, "| | seen otherwise {count} times: {text} | | | | |")?;
    }
    Ok(())
}

/// The same seeds without any bug.
fn clean(out: &mut impl Write, used: &BTreeSet<(Trial, u64)>, commands: usize) -> io::Result<bool> {
    let mut failed = 0;
    for (trial, seed) in used {
        let plan = trial.plan(*seed, commands);
        let outcome = run(None, &plan);
        if outcome.ending() != Ending::Passed {
            failed += 1;
            let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
            let violation = outcome.violation().map_or_else(String::new, |violation| violation.invariant.to_string());
            writeln!(out, "without a bug: seed {seed} ({preset}, {topology}) fails {violation}")?;
        }
    }
    writeln!(out, "\nwithout a bug: {} of the same {} runs pass", used.len() - failed, used.len())?;
    Ok(failed == 0)
}

fn median(values: impl Iterator<Item = usize>) -> usize {
    let mut values: Vec<usize> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

//! What people are told about runs: a summary, and for a failure one block that says how to see it again.

use std::fmt::{self, Write};

use crate::marks::{Mark, Marks};
use crate::plan::{Plan, Preset, Topology};
use crate::world::{Ending, Outcome, Tally};

/// The failure block.
#[derive(Debug)]
pub struct Failure<'a> {
    /// What ran.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// How to run it again.
    pub reproduce: String,
}

/// The name of a preset on the command line.
#[must_use]
pub fn preset_name(preset: Preset) -> &'static str {
    match preset {
        Preset::Calm => "calm",
        Preset::Default => "default",
        Preset::Storm => "storm",
    }
}

/// The name of a topology on the command line.
#[must_use]
pub fn topology_name(topology: Topology) -> &'static str {
    match topology {
        Topology::Production => "production",
        Topology::Embedded => "embedded",
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, outcome, reproduce } = self;
        writeln!(f, "------------------------------------------------------------------------")?;
        match (&outcome.panic, outcome.violation()) {
            (Some(panic), _) => writeln!(f, "FAILED   crash: {panic}")?,
            (None, Some(violation)) => {
                writeln!(f, "FAILED   {}: {}", violation.invariant, violation.text)?;
                let at = violation.at.as_micros() - crate::world::START.as_micros();
                write!(f, "when     step {}, {:.3} s of virtual time", violation.step, at as f64 / 1e6)?;
                match &violation.wallet {
                    Some(wallet) => writeln!(f, ", wallet {wallet}")?,
                    None => f.write_char('\n')?,
                }
            }
            (None, None) => writeln!(f, "PASSED")?,
        }
        let others = outcome.verdict.violations.len().saturating_sub(1);
        if others > 0 {
            writeln!(f, "beside   {others} more violations")?;
        }
        let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
        writeln!(f, "run      seed {}, preset {preset}, topology {topology}", plan.seed)?;
        writeln!(f, "trace    {} steps, hash {}", outcome.steps, outcome.trace_hash)?;
        writeln!(f, "REPRODUCE: {reproduce}")
    }
}

/// The summary of one run.
///
/// # Errors
/// What the writer says.
pub fn summary(out: &mut impl std::io::Write, plan: &Plan, outcome: &Outcome) -> std::io::Result<()> {
    let (preset, topology) = (preset_name(plan.preset), topology_name(plan.topology));
    writeln!(out, "seed          {} ({preset}, {topology})", plan.seed)?;
    let instances = plan.options.instances;
    writeln!(out, "nodes         {instances} instances, {} clients", plan.clients.len())?;
    writeln!(out, "faults        {}", plan.faults.len())?;
    tally(out, &outcome.tally)?;
    writeln!(out, "steps         {}, {} messages", outcome.steps, outcome.messages)?;
    let (virtual_s, real_s) = (outcome.virtual_time.as_secs_f64(), outcome.real_time.as_secs_f64());
    writeln!(out, "time          {virtual_s:.3} s virtual in {real_s:.3} s")?;
    writeln!(out, "converged     {:.3} s after the last fault", outcome.convergence.as_secs_f64())?;
    for gave_up in &outcome.verdict.inconclusive {
        writeln!(out, "inconclusive  {gave_up}")?;
    }
    writeln!(out, "trace hash    {}", outcome.trace_hash)?;
    let verdict = match outcome.ending() {
        Ending::Passed => "passed",
        Ending::Safety => "SAFETY VIOLATION",
        Ending::Liveness => "LIVENESS VIOLATION",
        Ending::Crash => "CRASH",
    };
    writeln!(out, "verdict       {verdict}")
}

/// The workload in numbers.
///
/// # Errors
/// What the writer says.
pub fn tally(out: &mut impl std::io::Write, tally: &Tally) -> std::io::Result<()> {
    let mut kinds = String::new();
    for (kind, name) in Tally::KINDS.iter().enumerate() {
        let (done, refused) = (tally.done[kind], tally.refused[kind]);
        if done + refused > 0 {
            let _infallible = write!(kinds, "{name} {done}+{refused}  ");
        }
    }
    writeln!(out, "done+refused  {}reads {}", kinds, tally.reads)?;
    writeln!(
        out,
        "accepted      {:.1}% of final answers; {} attempts, {} retries, {} keys reused, {} without an answer",
        tally.accepted_percent(),
        tally.attempts,
        tally.retries,
        tally.key_reused,
        tally.without_answer
    )?;
    writeln!(out, "events        {}", tally.events)
}

/// The marks with their counts, and what was never reached.
///
/// # Errors
/// What the writer says.
pub fn marks(out: &mut impl std::io::Write, marks: &Marks) -> std::io::Result<()> {
    writeln!(out, "reached")?;
    for mark in Mark::ALL.iter().filter(|mark| marks.count(**mark) > 0) {
        writeln!(out, "  {:>10}  {mark}", marks.count(*mark))?;
    }
    let missing: Vec<&str> = marks.missing().map(Mark::text).collect();
    if missing.is_empty() {
        writeln!(out, "all marks reached")
    } else {
        writeln!(out, "NEVER REACHED: {}", missing.join("; "))
    }
}

//! What people are told about runs: a summary, and for a failure one block that says how to see it again.
//!
//! Text alone: it judges nothing and writes no file. The judgement is the [`Outcome`]'s, files are `kept`'s, and the
//! exit code is the command line's.

use std::fmt::{self, Write};

use crate::expected::{Reached, Scene};
use crate::kept::Kept;
use crate::marks::{Mark, Marks};
use crate::plan::{Plan, Preset, Topology};
use crate::world::{Ending, Outcome, Tally};

/// The commit that the simulator was built from.
pub const COMMIT: &str = env!("WALLEX_COMMIT");

/// The failure block.
#[derive(Debug)]
pub struct Failure<'a> {
    /// What ran.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// The hash of the trace of the same run once more, if that was another one (INV-13).
    pub again: Option<&'a str>,
    /// Where the plan and the trace lie.
    pub kept: Kept,
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

/// A preset on a topology, in words.
#[must_use]
pub fn scene_name((preset, topology): Scene) -> String {
    format!("preset {}, topology {}", preset_name(preset), topology_name(topology))
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, outcome, again, kept, reproduce } = self;
        writeln!(f, "------------------------------------------------------------------------")?;
        if let Some(again) = again {
            writeln!(f, "FAILED   INV-13: the same run once more left another trace, with the hash {again}")?;
        }
        match (&outcome.panic, outcome.violation()) {
            (Some(panic), _) => {
                writeln!(f, "FAILED   crash: {panic}")?;
                writeln!(
                    f,
                    "when     step {}, {:.3} s of virtual time",
                    outcome.steps,
                    outcome.virtual_time.as_secs_f64()
                )?;
            }
            (None, Some(violation)) => {
                writeln!(f, "FAILED   {}: {}", violation.invariant, violation.text)?;
                let at = violation.at.as_micros() - crate::world::START.as_micros();
                write!(f, "when     step {}, {:.3} s of virtual time", violation.step, at as f64 / 1e6)?;
                match &violation.wallet {
                    Some(wallet) => writeln!(f, ", wallet {wallet}")?,
                    None => f.write_char('\n')?,
                }
            }
            (None, None) if again.is_some() => {}
            (None, None) => writeln!(f, "PASSED")?,
        }
        let others = outcome.verdict.violations.len().saturating_sub(1);
        if others > 0 {
            writeln!(f, "beside   {others} more violations")?;
        }
        let (scene, commands) = (scene_name((plan.preset, plan.topology)), plan.commands());
        writeln!(f, "run      seed {}, {scene}, {commands} commands, {} faults", plan.seed, plan.faults.len())?;
        writeln!(f, "commit   {COMMIT}")?;
        writeln!(f, "plan     {}", kept.plan)?;
        writeln!(f, "trace    {}", kept.trace)?;
        writeln!(f, "hash     {} after {} steps", outcome.trace_hash, outcome.steps)?;
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
    if outcome.panic.is_none() {
        writeln!(out, "converged     {:.3} s after the last fault", outcome.convergence.as_secs_f64())?;
    }
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

/// The marks with their counts.
///
/// # Errors
/// What the writer says.
pub fn marks(out: &mut impl std::io::Write, marks: &Marks) -> std::io::Result<()> {
    writeln!(out, "reached")?;
    for mark in Mark::ALL.iter().filter(|mark| marks.count(**mark) > 0) {
        writeln!(out, "  {:>10}  {mark}", marks.count(*mark))?;
    }
    Ok(())
}

/// What the runs of a scene could have reached and did not.
///
/// # Errors
/// What the writer says.
pub fn never_reached(out: &mut impl std::io::Write, scene: Scene, reached: &Reached) -> std::io::Result<()> {
    let (name, runs) = (scene_name(scene), reached.runs);
    let missing: Vec<&str> = reached.missing(scene).map(Mark::text).collect();
    if missing.is_empty() {
        writeln!(out, "all marks reached with {name}, in {runs} runs")
    } else {
        writeln!(out, "NEVER REACHED with {name}, in {runs} runs: {}", missing.join("; "))
    }
}

/// What should have been reached and was not: such a sweep proves little, though nothing failed in it.
///
/// # Errors
/// What the writer says.
pub fn overdue(out: &mut impl std::io::Write, overdue: &[(Scene, Mark)]) -> std::io::Result<()> {
    writeln!(out, "------------------------------------------------------------------------")?;
    for (scene, mark) in overdue {
        writeln!(out, "UNREACHED  {mark}, with {}", scene_name(*scene))?;
    }
    writeln!(
        out,
        "No run failed, but so many runs should have been in these situations. Either a change has made them impossible,\n\
         and they belong into a list in runtime-sim/src/expected.rs, or the simulator does not reach them any more."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::Place;
    use crate::plan::generate;

    fn block(outcome: &Outcome, again: Option<&str>) -> String {
        let plan = generate(9, Preset::Storm, Topology::Production, 50);
        let kept = Kept { plan: Place::File("there/plan.json".into()), trace: Place::Nowhere("no room".to_owned()) };
        Failure { plan: &plan, outcome, again, kept, reproduce: "cargo sim run --seed 9".to_owned() }.to_string()
    }

    #[test]
    fn a_crash_says_when_and_where_everything_lies() {
        let outcome = Outcome {
            panic: Some("index out of bounds".to_owned()),
            steps: 812,
            virtual_time: std::time::Duration::from_millis(3_210),
            trace_hash: "abcd".to_owned(),
            ..Outcome::default()
        };
        let block = block(&outcome, None);
        for line in [
            "FAILED   crash: index out of bounds",
            "when     step 812, 3.210 s of virtual time",
            &format!("commit   {COMMIT}"),
            "plan     there/plan.json",
            "trace    not kept (no room)",
            "hash     abcd after 812 steps",
            "REPRODUCE: cargo sim run --seed 9",
        ] {
            assert!(block.lines().any(|one| one == line), "{line}\n{block}");
        }
        assert!(block.ends_with("REPRODUCE: cargo sim run --seed 9\n"));
    }

    #[test]
    fn a_run_that_differs_from_itself_has_not_passed() {
        let block = block(&Outcome::default(), Some("ffff"));
        assert!(block.contains("FAILED   INV-13") && block.contains("ffff"), "{block}");
        assert!(!block.contains("PASSED"), "{block}");
    }

    #[test]
    fn only_what_a_scene_can_reach_is_told_as_never_reached() {
        let mut out = Vec::new();
        never_reached(&mut out, (Preset::Calm, Topology::Embedded), &Reached::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(Mark::KeyReplayed.text()), "{text}");
        assert!(!text.contains(Mark::TwoLeaders.text()) && !text.contains(Mark::TornTailCut.text()), "{text}");
    }
}

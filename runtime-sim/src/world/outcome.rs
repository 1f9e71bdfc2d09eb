//! What came of a run.
//!
//! Owns how it ended: a panic before a violation, safety before liveness (INV-10). Violations are found by the
//! checkers, on the evidence that `convergence` gathers; how it is told is left to [`crate::report`].

use std::time::Duration;

use crate::check::{Checks, Invariant, Verdict, Violation};
use crate::history::History;
use crate::marks::Marks;
use crate::plan::{Act, Op};
use crate::trace::{Record, Trace};

use super::state::World;

/// Everything that is known about a finished run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Of the checkers. A run that was stopped by a violation has only what was found until then.
    pub verdict: Verdict,
    /// An assertion of the core, or of the simulator itself, that did not hold.
    pub panic: Option<String>,
    /// Over every step of every node, contents included.
    pub trace_hash: String,
    /// Steps of the trace.
    pub steps: u64,
    /// Messages sent.
    pub messages: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Virtual time from the last fault to convergence.
    pub convergence: Duration,
    /// Real time that it took.
    pub real_time: Duration,
    /// Situations reached.
    pub marks: Marks,
    /// The workload in numbers.
    pub tally: Tally,
    /// The trace, when it was kept.
    pub records: Vec<Record>,
}

/// The workload in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts of clients.
    pub attempts: u64,
    /// Attempts that were repeated.
    pub retries: u64,
    /// Commands done, by kind: create, credit, debit, transfer, batch.
    pub done: [u64; 5],
    /// Commands refused by the domain, likewise.
    pub refused: [u64; 5],
    /// Commands refused because their key was used for another payload.
    pub key_reused: u64,
    /// Reads answered.
    pub reads: u64,
    /// Commands and reads that ended without an answer that stands.
    pub without_answer: u64,
    /// Events appended.
    pub events: u64,
}

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Something asserted did not hold.
    Crash,
    /// Something happened that must not.
    Safety,
    /// Something did not happen that must.
    Liveness,
    /// All is well.
    Passed,
}

/// Convergence after faults.
const CONVERGES: Invariant = Invariant(10);

impl Tally {
    /// The kinds of commands, in the order of the counters.
    pub const KINDS: [&'static str; 5] = ["create", "credit", "debit", "transfer", "batch"];

    pub(super) fn count(&mut self, act: &Act, done: bool) {
        let kind = match act {
            Act::One { op: Op::Create { .. }, .. } => 0,
            Act::One { op: Op::Credit { .. }, .. } => 1,
            Act::One { op: Op::Debit { .. }, .. } => 2,
            Act::One { op: Op::Transfer { .. }, .. } => 3,
            Act::Batch { .. } => 4,
            Act::Read { .. } => return,
        };
        let counters = if done { &mut self.done } else { &mut self.refused };
        counters[kind] += 1;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.retries += other.retries;
        for kind in 0..Self::KINDS.len() {
            self.done[kind] += other.done[kind];
            self.refused[kind] += other.refused[kind];
        }
        self.key_reused += other.key_reused;
        self.reads += other.reads;
        self.without_answer += other.without_answer;
        self.events += other.events;
    }

    /// Of all commands with a final answer, how many of a hundred were done.
    #[must_use]
    pub fn accepted_percent(&self) -> f64 {
        let done: u64 = self.done.iter().sum();
        let refused: u64 = self.refused.iter().sum::<u64>() + self.key_reused;
        100.0 * done as f64 / (done + refused).max(1) as f64
    }
}

impl Outcome {
    pub(super) fn of(world: &mut World, panic: Option<String>) -> Self {
        let trace = std::mem::take(&mut world.trace);
        let mut marks = world.marks.clone();
        marks.merge(&world.network.marks);
        // A run that panicked was never finished.
        let ended_at = if panic.is_some() { Duration::from_micros(world.now()) } else { world.ended_at };
        let mut outcome = Self {
            panic,
            trace_hash: trace.hash(),
            steps: trace.steps(),
            messages: world.network.messages,
            virtual_time: ended_at,
            convergence: world.ended_at.saturating_sub(Duration::from_micros(world.healed_at)),
            marks,
            tally: world.tally,
            verdict: world.verdict.take().unwrap_or_default(),
            ..Self::default()
        };
        outcome.records = Trace::into_records(trace);
        outcome
    }

    pub(super) fn nothing(panic: Option<String>) -> Self {
        let panic = Some(panic.unwrap_or_else(|| "the run left nothing behind".to_owned()));
        Self { panic, ..Self::default() }
    }

    /// How it ended.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self.violation() {
            _ if self.panic.is_some() => Ending::Crash,
            None => Ending::Passed,
            Some(violation) if violation.invariant == CONVERGES => Ending::Liveness,
            Some(_) => Ending::Safety,
        }
    }

    /// The first violation; one of safety before one of liveness.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        let found = &self.verdict.violations;
        found.iter().find(|violation| violation.invariant != CONVERGES).or_else(|| found.first())
    }
}

impl World {
    /// The run is over: the checkers judge it.
    pub(super) fn finish(&mut self, unsettled: Vec<String>) {
        self.ended_at = Duration::from_micros(self.now());
        let checks: Checks = std::mem::take(&mut self.checks);
        if self.stopped {
            self.verdict = Some(Verdict { violations: checks.violations().to_vec(), inconclusive: Vec::new() });
            return;
        }
        self.checks = checks;
        let evidence = self.evidence(unsettled);
        let moment = self.moment();
        let history: History = std::mem::take(&mut self.history);
        let checks: Checks = std::mem::take(&mut self.checks);
        self.verdict = Some(checks.finish(moment, &history, &evidence));
        self.history = history;
        self.stopped = true;
    }
}

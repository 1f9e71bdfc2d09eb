//! Evidence that the checkers bite: each deliberate bug is switched on, and seeds are run until a named checker says so.
//!
//! Exists with the feature `mutants` alone. Each bug has the invariants that count as its discovery: an assertion of the
//! core does not, and neither does another invariant. The same seeds without the bug must pass, or the discovery means
//! nothing.

pub(crate) mod cli;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use wallex_core::mutant::{Mutant, activate};

use crate::check::Invariant;
use crate::plan::{Plan, Preset, Topology, generate};
use crate::shrink::{Shrunk, shrink};
use crate::world::{self, Ending, Outcome};

/// Where a bug can show, and who is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// The bug.
    pub mutant: Mutant,
    /// The invariants whose checkers count.
    pub checkers: &'static [Invariant],
    /// Which processes there are.
    pub topology: Topology,
    /// How rough it is.
    pub preset: Preset,
}

/// How hard to look.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Starting points.
    pub starts: u64,
    /// Seeds tried from each, at most.
    pub seeds: u64,
    /// Commands in a run.
    pub commands: usize,
    /// Runs at once.
    pub jobs: usize,
}

/// What became of a bug.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Seeds needed from each starting point; nothing where they did not suffice.
    pub needed: Vec<Option<u64>>,
    /// Which checkers were first, and how often.
    pub by: BTreeMap<Invariant, u64>,
    /// Runs that ended badly in another way, by what they said.
    pub otherwise: BTreeMap<String, u64>,
    /// A seed that shows the bug.
    pub shown_by: Option<u64>,
    /// Seeds that were run.
    pub seeds: BTreeSet<u64>,
}

/// Starting points lie so far apart.
const STRIDE: u64 = 1_000;
/// Runs that shrinking one plan may take.
const SHRINKING_RUNS_MAX: usize = 600;

const fn trial(mutant: Mutant, checkers: &'static [Invariant], topology: Topology, preset: Preset) -> Trial {
    Trial { mutant, checkers, topology, preset }
}

impl Trial {
    /// The trial of a bug.
    #[must_use]
    pub const fn of(mutant: Mutant) -> Self {
        const MONEY: &[Invariant] = &[Invariant(1)];
        const FLOOR: &[Invariant] = &[Invariant(2)];
        const VERSIONS: &[Invariant] = &[Invariant(3)];
        const KEPT: &[Invariant] = &[Invariant(4)];
        const ONCE: &[Invariant] = &[Invariant(5)];
        const DELIVERED: &[Invariant] = &[Invariant(6)];
        const IN_ORDER: &[Invariant] = &[Invariant(7)];
        const APPLIED: &[Invariant] = &[Invariant(6), Invariant(7), Invariant(8)];
        const RETRIED: &[Invariant] = &[Invariant(6), Invariant(10), Invariant(11)];
        const LINEAR: &[Invariant] = &[Invariant(9)];
        const AFTER_ALL: &[Invariant] = &[Invariant(5), Invariant(9)];
        const CONVERGES: &[Invariant] = &[Invariant(10)];
        const HELD: &[Invariant] = &[Invariant(6), Invariant(11)];
        const READS: &[Invariant] = &[Invariant(12)];
        const RECOVERED: &[Invariant] = &[Invariant(4), Invariant(14)];
        use Preset::{Default, Storm};
        use Topology::{Embedded, Production};
        let (checkers, topology, preset) = match mutant {
            Mutant::AnswerBeforeAppend => (KEPT, Production, Default),
            Mutant::UnknownIsFailure | Mutant::UnknownIsConflict => (AFTER_ALL, Production, Storm),
            Mutant::LegsApart | Mutant::MoneyLost => (MONEY, Production, Default),
            Mutant::RetryWithNewIds => (ONCE, Production, Storm),
            Mutant::RefuseFromCache => (LINEAR, Production, Default),
            Mutant::Overdraft => (FLOOR, Production, Default),
            Mutant::AnswerSwapped => (AFTER_ALL, Production, Default),
            Mutant::KeyWithoutPayload => (AFTER_ALL, Production, Default),
            Mutant::TakeoverRunsAnew | Mutant::TakeoverWithoutSearch | Mutant::TakeoverLooksTooNear => {
                (ONCE, Production, Storm)
            }
            Mutant::ReleaseAfterUnknown => (ONCE, Production, Storm),
            Mutant::RefusalNotStored => (ONCE, Production, Storm),
            Mutant::RevisionNotChecked => (VERSIONS, Production, Default),
            Mutant::DualWrite => (DELIVERED, Production, Storm),
            Mutant::CursorOffByOne => (DELIVERED, Production, Default),
            Mutant::PublishWithoutAck | Mutant::RefusedIsPublished => (DELIVERED, Production, Storm),
            Mutant::HeldForgotten => (HELD, Production, Storm),
            Mutant::DeadLetterHoldsNobody | Mutant::DeadLetterHoldsEverybody => (HELD, Production, Storm),
            Mutant::GuardSkipped => (IN_ORDER, Production, Storm),
            Mutant::OffsetBeforeRow => (APPLIED, Production, Storm),
            Mutant::OffsetsLost => (CONVERGES, Production, Default),
            Mutant::RetryForgets => (RETRIED, Production, Storm),
            Mutant::AckBeforeSync | Mutant::SyncErrorIgnored | Mutant::TornTailTrusted => (RECOVERED, Embedded, Storm),
            Mutant::KeysForgotten => (ONCE, Embedded, Storm),
            Mutant::ReadTooEarly => (READS, Production, Default),
        };
        trial(mutant, checkers, topology, preset)
    }

    /// The bug with this name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Mutant::ALL.iter().copied().find(|mutant| name(*mutant) == text).map(Self::of)
    }

    /// The plan of a seed.
    #[must_use]
    pub fn plan(&self, seed: u64, commands: usize) -> Plan {
        generate(seed, self.preset, self.topology, commands)
    }

    /// The checker that saw the bug in this outcome, if one of the right ones did.
    #[must_use]
    pub fn seen(&self, outcome: &Outcome) -> Option<Invariant> {
        let found = outcome.verdict.violations.iter().map(|violation| violation.invariant);
        found.filter(|_| outcome.panic.is_none()).find(|invariant| self.checkers.contains(invariant))
    }

    /// Looks for the bug.
    #[must_use]
    pub fn hunt(&self, search: &Search) -> Hunt {
        let next = AtomicUsize::new(0);
        let hunts: Mutex<BTreeMap<usize, Hunt>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..search.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let start = next.fetch_add(1, Ordering::Relaxed);
                        if start as u64 >= search.starts {
                            return;
                        }
                        let hunt = self.hunt_from(start as u64 * STRIDE, search);
                        hunts.lock().unwrap_or_else(PoisonError::into_inner).insert(start, hunt);
                    }
                });
            }
        });
        let mut all = Hunt::default();
        for (_, hunt) in hunts.into_inner().unwrap_or_else(PoisonError::into_inner) {
            all.add(hunt);
        }
        all
    }

    fn hunt_from(&self, start: u64, search: &Search) -> Hunt {
        let mut hunt = Hunt::default();
        for tried in 0..search.seeds {
            let seed = start + tried;
            hunt.seeds.insert(seed);
            let outcome = run(Some(self.mutant), &self.plan(seed, search.commands));
            if let Some(invariant) = self.seen(&outcome) {
                hunt.needed.push(Some(tried + 1));
                hunt.by.insert(invariant, 1);
                hunt.shown_by = Some(seed);
                return hunt;
            }
            if outcome.ending() != Ending::Passed {
                *hunt.otherwise.entry(described(&outcome)).or_default() += 1;
            }
        }
        hunt.needed.push(None);
        hunt
    }

    /// Shrinks the plan of a seed that shows the bug.
    #[must_use]
    pub fn shrink(&self, seed: u64, commands: usize) -> Option<Shrunk<Plan>> {
        let plan = self.plan(seed, commands);
        let target = self.seen(&run(Some(self.mutant), &plan))?;
        Some(shrink(plan, target, SHRINKING_RUNS_MAX, |plan| self.seen(&run(Some(self.mutant), plan))))
    }
}

impl Hunt {
    fn add(&mut self, other: Self) {
        self.needed.extend(other.needed);
        other.by.into_iter().for_each(|(invariant, count)| *self.by.entry(invariant).or_default() += count);
        other.otherwise.into_iter().for_each(|(text, count)| *self.otherwise.entry(text).or_default() += count);
        self.shown_by = self.shown_by.or(other.shown_by);
        self.seeds.extend(other.seeds);
    }

    /// Starting points from which the bug was not found.
    #[must_use]
    pub fn missed(&self) -> usize {
        self.needed.iter().filter(|needed| needed.is_none()).count()
    }

    /// Seeds needed: the median over the starting points, and the most; nothing when it was missed so often.
    #[must_use]
    pub fn median_and_max(&self) -> (Option<u64>, Option<u64>) {
        let mut needed: Vec<u64> = self.needed.iter().map(|needed| needed.unwrap_or(u64::MAX)).collect();
        needed.sort_unstable();
        let known = |count: Option<&u64>| count.copied().filter(|count| *count < u64::MAX);
        (known(needed.get(needed.len() / 2)), known(needed.last()))
    }
}

/// Runs a plan with a bug, or without one.
#[must_use]
pub fn run(mutant: Option<Mutant>, plan: &Plan) -> Outcome {
    activate(mutant);
    let outcome = world::run(plan, false);
    activate(None);
    outcome
}

/// The name of a bug on the command line.
#[must_use]
pub fn name(mutant: Mutant) -> String {
    let mut name = String::new();
    for letter in format!("{mutant:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn described(outcome: &Outcome) -> String {
    match (&outcome.panic, outcome.violation()) {
        (Some(panic), _) => format!("crash: {}", panic.lines().next().unwrap_or_default()),
        (None, Some(violation)) => violation.invariant.to_string(),
        (None, None) => "passed".to_owned(),
    }
}

//! Many seeds, one after another on several threads, and what came of them all.
//!
//! What runs follows from the seed alone: presets and topologies come in turn unless they are given. Some seeds run
//! twice and must leave the same trace (INV-13). Failures are kept up to a bound; telling of them and keeping their
//! files is left to the command line.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::expected::{Reached, Scene};
use crate::marks::{Mark, Marks};
use crate::plan::{Plan, Preset, Topology, generate};
use crate::world::{self, Ending, Outcome, Tally};

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The seeds.
    pub seeds: RangeInclusive<u64>,
    /// How rough; nothing means all of them in turn.
    pub preset: Option<Preset>,
    /// Which processes; nothing means all of them in turn.
    pub topology: Option<Topology>,
    /// Commands of the clients, in each run.
    pub commands: usize,
    /// Runs at once.
    pub jobs: usize,
    /// No new run is begun after this time.
    pub limit: Option<Duration>,
    /// Whether to go on after a failure.
    pub keep_going: bool,
    /// Of every so many seeds one is run twice, and must leave the same trace (INV-13); 0 for none.
    pub repeat_every: u64,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What ran.
    pub plan: Plan,
    /// What came of it.
    pub outcome: Outcome,
    /// The hash of its trace when it was run once more, if that was another one.
    pub again: Option<String>,
}

/// What came of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// Runs.
    pub runs: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The first failed ones, up to a bound.
    pub failures: Vec<Failed>,
    /// The worst ending of all.
    worst: Option<Ending>,
    /// Runs that were run once more.
    pub repeated: u64,
    /// How many of these left another trace.
    unsteady: u64,
    /// Situations reached, by scene.
    pub scenes: BTreeMap<Scene, Reached>,
    /// The workload, over all runs.
    pub tally: Tally,
    /// Messages, over all runs.
    pub messages: u64,
    /// Virtual time, over all runs.
    pub virtual_time: Duration,
    /// Longest convergence after the last fault.
    pub convergence_max: Duration,
    /// Searches that gave up (INV-09): neither good nor bad.
    pub inconclusive: u64,
    /// The seeds of some runs with such a search.
    pub inconclusive_seeds: Vec<u64>,
    /// Real time.
    pub real_time: Duration,
}

/// Failures kept: more would not fit into a head.
const FAILURES_MAX: usize = 50;
/// Seeds with a search that gave up that are kept.
const INCONCLUSIVE_MAX: usize = 8;

impl Sweep {
    /// The plan of a seed.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let presets = [Preset::Calm, Preset::Default, Preset::Default, Preset::Storm];
        let preset = self.preset.unwrap_or(presets[(seed % 4) as usize]);
        let topologies = [Topology::Production, Topology::Embedded];
        let topology = self.topology.unwrap_or(topologies[(seed / 4 % 2) as usize]);
        generate(seed, preset, topology, self.commands)
    }

    /// Whether a seed is run twice. It is another place in every stretch: presets and topologies come in turn.
    fn repeats(&self, seed: u64) -> bool {
        let every = self.repeat_every;
        every > 0 && seed % every == seed / every % every
    }

    /// Runs them. `progress` is told after every run: the runs so far and the failures.
    pub fn run(&self, progress: impl Fn(u64, u64) + Sync) -> Swept {
        self.run_with(|plan| world::run(plan, false), progress)
    }

    /// Runs them in a way of one's own.
    fn run_with(&self, run: impl Fn(&Plan) -> Outcome + Sync, progress: impl Fn(u64, u64) + Sync) -> Swept {
        let began = Instant::now();
        let next = AtomicU64::new(*self.seeds.start());
        let over = AtomicBool::new(false);
        let swept = Mutex::new(Swept::default());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) && self.limit.is_none_or(|limit| began.elapsed() < limit) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if !self.seeds.contains(&seed) {
                            return;
                        }
                        let plan = self.plan(seed);
                        let outcome = run(&plan);
                        let again = self.repeats(seed).then(|| run(&plan).trace_hash);
                        let mut swept = swept.lock().unwrap_or_else(PoisonError::into_inner);
                        let failed = swept.add(plan, outcome, again);
                        progress(swept.runs, swept.failed);
                        if failed && !self.keep_going {
                            over.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut swept = swept.into_inner().unwrap_or_else(PoisonError::into_inner);
        swept.failures.sort_by_key(|failed| failed.plan.seed);
        swept.inconclusive_seeds.sort_unstable();
        swept.real_time = began.elapsed();
        swept
    }
}

impl Swept {
    /// Adds a run, and the hash of its trace when it was run once more; whether it failed.
    fn add(&mut self, plan: Plan, outcome: Outcome, again: Option<String>) -> bool {
        self.runs += 1;
        self.repeated += u64::from(again.is_some());
        let reached = self.scenes.entry((plan.preset, plan.topology)).or_default();
        reached.runs += 1;
        reached.marks.merge(&outcome.marks);
        self.tally.merge(&outcome.tally);
        self.messages += outcome.messages;
        self.virtual_time += outcome.virtual_time;
        self.convergence_max = self.convergence_max.max(outcome.convergence);
        self.inconclusive += outcome.verdict.inconclusive.len() as u64;
        if !outcome.verdict.inconclusive.is_empty() && self.inconclusive_seeds.len() < INCONCLUSIVE_MAX {
            self.inconclusive_seeds.push(plan.seed);
        }
        let again = again.filter(|again| *again != outcome.trace_hash);
        let ending = outcome.ending();
        let failed = again.is_some() || ending != Ending::Passed;
        self.failed += u64::from(failed);
        self.unsteady += u64::from(again.is_some());
        self.worst = Some(self.worst.map_or(ending, |worst| worst.min(ending)));
        if failed && self.failures.len() < FAILURES_MAX {
            self.failures.push(Failed { plan, outcome, again });
        }
        failed
    }

    /// The worst ending.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.worst.unwrap_or(Ending::Passed)
    }

    /// Whether the same run left the same trace whenever it was looked (INV-13).
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        self.unsteady == 0
    }

    /// Situations reached, over all runs.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let mut all = Marks::default();
        self.scenes.values().for_each(|reached| all.merge(&reached.marks));
        all
    }

    /// What was never reached in as many runs as should have reached it.
    #[must_use]
    pub fn overdue(&self, commands: usize) -> Vec<(Scene, Mark)> {
        let of = |(scene, reached): (&Scene, &Reached)| {
            let scene = *scene;
            reached.overdue(scene, commands).map(move |mark| (scene, mark)).collect::<Vec<_>>()
        };
        self.scenes.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(seeds: RangeInclusive<u64>) -> Sweep {
        let (preset, topology) = (None, None);
        Sweep { seeds, preset, topology, commands: 30, jobs: 1, limit: None, keep_going: true, repeat_every: 4 }
    }

    #[test]
    fn one_of_four_runs_is_run_twice_and_leaves_the_same_trace() {
        let swept = sweep(4..=15).run(|_, _| {});
        assert_eq!((swept.runs, swept.repeated, swept.failures.len()), (12, 3, 0));
        assert!(swept.is_deterministic());
        assert_eq!(swept.scenes.values().map(|reached| reached.runs).sum::<u64>(), 12);
    }

    #[test]
    fn what_is_run_twice_is_of_every_scene() {
        let sweep = Sweep { repeat_every: 64, ..sweep(0..=1_000) };
        let twice: Vec<Plan> = (0..1_024).filter(|seed| sweep.repeats(*seed)).map(|seed| sweep.plan(seed)).collect();
        assert_eq!(twice.len(), 1_024 / 64);
        let scenes: std::collections::BTreeSet<Scene> = twice.iter().map(|plan| (plan.preset, plan.topology)).collect();
        assert_eq!(scenes.len(), 6);
    }

    #[test]
    fn a_run_that_leaves_another_trace_the_second_time_is_a_failure() {
        let runs = AtomicU64::new(0);
        // Chance that is not of the plan: the network of another seed.
        let unsteady = |plan: &Plan| {
            let seed = plan.seed + runs.fetch_add(1, Ordering::Relaxed);
            world::run(&Plan { seed, ..plan.clone() }, false)
        };
        let swept = sweep(5..=5).run_with(unsteady, |_, _| {});
        assert!(!swept.is_deterministic());
        let [failed] = &swept.failures[..] else { panic!("{} failures", swept.failures.len()) };
        assert_eq!((failed.plan.seed, failed.outcome.ending()), (5, Ending::Passed));
        assert_ne!(failed.again.as_ref(), Some(&failed.outcome.trace_hash));
    }

    #[test]
    fn what_is_no_longer_kept_still_counts() {
        let mut swept = Swept::default();
        let plan = generate(1, Preset::Calm, Topology::Embedded, 30);
        let late = Outcome { panic: Some("late".to_owned()), ..Outcome::default() };
        let failed = |again: &str| (Outcome::default(), Some(again.to_owned()));
        for (outcome, again) in std::iter::repeat_with(|| failed("other")).take(FAILURES_MAX).chain([(late, None)]) {
            swept.add(plan.clone(), outcome, again);
        }
        assert_eq!((swept.failed, swept.failures.len()), (51, FAILURES_MAX));
        assert_eq!(swept.ending(), Ending::Crash);
        assert!(!swept.is_deterministic());
    }

    #[test]
    fn what_no_run_reached_is_overdue_when_there_were_enough_of_them() {
        let mut swept = Swept::default();
        let plan = generate(1, Preset::Storm, Topology::Embedded, 30);
        for _ in 0..crate::expected::ENOUGH_RUNS {
            swept.add(plan.clone(), Outcome::default(), None);
        }
        let overdue = swept.overdue(crate::expected::ENOUGH_COMMANDS);
        assert!(overdue.contains(&((Preset::Storm, Topology::Embedded), Mark::TornTailCut)));
        assert!(overdue.iter().all(|(_, mark)| *mark != Mark::TwoLeaders));
    }
}

//! Many seeds, one after another on several threads, and what came of them all.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::marks::Marks;
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
}

/// What came of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// Runs.
    pub runs: u64,
    /// The failed ones: what ran, and what came of it.
    pub failures: Vec<(Plan, Outcome)>,
    /// Situations reached, over all runs.
    pub marks: Marks,
    /// The workload, over all runs.
    pub tally: Tally,
    /// Messages, over all runs.
    pub messages: u64,
    /// Virtual time, over all runs.
    pub virtual_time: Duration,
    /// Longest convergence after the last fault.
    pub convergence_max: Duration,
    /// Searches that gave up.
    pub inconclusive: u64,
    /// Real time.
    pub real_time: Duration,
}

/// Failures kept: more would not fit into a head.
const FAILURES_MAX: usize = 50;

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

    /// Runs them. `progress` is told after every run: the runs so far and the failures.
    pub fn run(&self, progress: impl Fn(u64, usize) + Sync) -> Swept {
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
                        let outcome = world::run(&plan, false);
                        let failed = outcome.ending() != Ending::Passed;
                        let mut swept = swept.lock().unwrap_or_else(PoisonError::into_inner);
                        swept.add(plan, outcome);
                        progress(swept.runs, swept.failures.len());
                        if failed && !self.keep_going {
                            over.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut swept = swept.into_inner().unwrap_or_else(PoisonError::into_inner);
        swept.failures.sort_by_key(|(plan, _)| plan.seed);
        swept.real_time = began.elapsed();
        swept
    }
}

impl Swept {
    fn add(&mut self, plan: Plan, outcome: Outcome) {
        self.runs += 1;
        self.marks.merge(&outcome.marks);
        self.tally.merge(&outcome.tally);
        self.messages += outcome.messages;
        self.virtual_time += outcome.virtual_time;
        self.convergence_max = self.convergence_max.max(outcome.convergence);
        self.inconclusive += outcome.verdict.inconclusive.len() as u64;
        if outcome.ending() != Ending::Passed && self.failures.len() < FAILURES_MAX {
            self.failures.push((plan, outcome));
        }
    }

    /// The worst ending.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.failures.iter().map(|(_, outcome)| outcome.ending()).min().unwrap_or(Ending::Passed)
    }
}

//! A few runs of every preset and topology: no invariant is violated, everything converges, and the runs together reach
//! what they are there for. `cargo sim sweep` is the same with as many seeds as one likes.

use std::time::{Duration, Instant};

use wallex_sim::expected::is_possible;
use wallex_sim::marks::{Mark, Marks};
use wallex_sim::plan::{Preset, Topology, generate};
use wallex_sim::world::{Ending, run};

const COMMANDS: usize = 200;
/// Seeds, each with every preset.
const SEEDS: u64 = 40;
/// On a machine that is busy no new seed is begun after this time.
const LIMIT: Duration = Duration::from_secs(150);
/// So many seeds there must have been.
const SEEDS_MIN: u64 = 25;

fn runs(topology: Topology) -> Marks {
    let began = Instant::now();
    let mut reached = Marks::default();
    let mut seeds = 0;
    for seed in (1..=SEEDS).take_while(|_| began.elapsed() < LIMIT) {
        for preset in [Preset::Calm, Preset::Default, Preset::Storm] {
            let outcome = run(&generate(seed, preset, topology, COMMANDS), false);
            let seen = (outcome.panic.as_ref(), outcome.violation());
            assert_eq!(outcome.ending(), Ending::Passed, "seed {seed}, {preset:?}, {topology:?}: {seen:?}");
            let here = Mark::ALL.iter().copied().filter(|mark| outcome.marks.count(*mark) > 0);
            let strange: Vec<Mark> = here.filter(|mark| !is_possible(*mark, (preset, topology))).collect();
            assert_eq!(strange, [], "seed {seed}, {preset:?}, {topology:?}: said to be impossible there");
            reached.merge(&outcome.marks);
        }
        seeds += 1;
    }
    assert!(seeds >= SEEDS_MIN, "only {seeds} seeds in {LIMIT:?}");
    reached
}

fn assert_reached(marks: &Marks, wanted: &[Mark]) {
    let missing: Vec<Mark> = wanted.iter().copied().filter(|mark| marks.count(*mark) == 0).collect();
    assert_eq!(missing, [], "never reached");
}

#[test]
fn several_instances_over_faulty_servers_keep_every_invariant() {
    let wanted = [
        Mark::ConflictRetried,
        Mark::DuplicateSkipped,
        Mark::UnknownAppendDone,
        Mark::LeaderChanged,
        Mark::KeyReplayed,
        Mark::CompletedTwice,
        Mark::CommandRepeated,
        Mark::BadLink,
        Mark::SlowTurn,
        Mark::SubscriptionResumed,
    ];
    assert_reached(&runs(Topology::Production), &wanted);
}

#[test]
fn one_process_over_a_faulty_disk_keeps_every_invariant() {
    let wanted = [
        Mark::TornTailCut,
        Mark::PowerCutInWrite,
        Mark::DatabaseRolledBack,
        Mark::SlowDisk,
        Mark::DiskFull,
        Mark::RotReported,
    ];
    assert_reached(&runs(Topology::Embedded), &wanted);
}

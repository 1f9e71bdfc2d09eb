//! A few runs of every preset and topology: no invariant is violated, everything converges, and the runs together reach
//! what they are there for. `cargo sim sweep` is the same with as many seeds as one likes.

use wallex_sim::marks::{Mark, Marks};
use wallex_sim::plan::{Preset, Topology, generate};
use wallex_sim::world::{Ending, run};

const COMMANDS: usize = 200;
/// Runs of each preset and topology.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

fn runs(topology: Topology) -> Marks {
    let mut reached = Marks::default();
    for preset in [Preset::Calm, Preset::Default, Preset::Storm] {
        for seed in SEEDS {
            let outcome = run(&generate(seed, preset, topology, COMMANDS), false);
            let seen = (outcome.panic.as_ref(), outcome.violation());
            assert_eq!(outcome.ending(), Ending::Passed, "seed {seed}, {preset:?}, {topology:?}: {seen:?}");
            reached.merge(&outcome.marks);
        }
    }
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

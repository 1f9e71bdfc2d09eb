//! Every deliberate bug is found by the checker that is named for it, and nothing is found without one.
//!
//! The bounded form of `cargo mutants`: one starting point for each bug, and no more seeds than it should need.

use std::path::Path;

use wallex_core::mutant::Mutant;
use wallex_sim::kept::load_plan;
use wallex_sim::mutants::{Search, Trial, name, run};
use wallex_sim::world::Ending;

/// Seeds that any bug may need.
const SEEDS_MAX: u64 = 80;
const COMMANDS: usize = 300;
/// Bugs of different kinds whose plans are shrunk.
const SHRUNK: [Mutant; 5] = [
    Mutant::AnswerBeforeAppend,
    Mutant::LegsApart,
    Mutant::TakeoverRunsAnew,
    Mutant::PublishWithoutAck,
    Mutant::AckBeforeSync,
];
/// A plan that shows a bug has at most so many faults and commands, in the middle of several bugs.
const FAULTS_MAX: usize = 3;
const STEPS_MAX: usize = 30;
/// Seeds that are run without a bug.
const SOUND_SEEDS: u64 = 10;

#[test]
fn every_bug_is_found_by_its_own_checker() {
    let search = Search { starts: 1, seeds: SEEDS_MAX, commands: COMMANDS, jobs: 1 };
    let hunts = Mutant::ALL.iter().map(|mutant| (*mutant, Trial::of(*mutant).hunt(&search)));
    let missed: Vec<String> = hunts.filter(|(_, hunt)| hunt.missed() > 0).map(|(mutant, _)| name(mutant)).collect();
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn nothing_is_found_where_there_is_no_bug() {
    for mutant in [Mutant::AnswerBeforeAppend, Mutant::AckBeforeSync] {
        for seed in 0..SOUND_SEEDS {
            let outcome = run(None, &Trial::of(mutant).plan(seed, COMMANDS));
            assert_eq!(outcome.ending(), Ending::Passed, "seed {seed}: {:?}", outcome.violation());
        }
    }
}

#[test]
fn a_plan_that_shows_a_bug_shrinks_to_a_few_faults_and_commands() {
    let search = Search { starts: 1, seeds: SEEDS_MAX, commands: COMMANDS, jobs: 1 };
    let sizes = SHRUNK.map(|mutant| {
        let trial = Trial::of(mutant);
        let seed = trial.hunt(&search).shown_by.unwrap_or_else(|| panic!("{mutant:?} is not found"));
        let small = trial.shrink(seed, COMMANDS).unwrap_or_else(|| panic!("{mutant:?} does not show again"));
        assert!(trial.seen(&run(Some(mutant), &small.plan)).is_some(), "{mutant:?}: the small plan does not show it");
        (small.plan.faults.len(), small.plan.commands())
    });
    let median = |mut sizes: [usize; SHRUNK.len()]| {
        sizes.sort_unstable();
        sizes[SHRUNK.len() / 2]
    };
    assert!(median(sizes.map(|(faults, _)| faults)) <= FAULTS_MAX, "faults and commands: {sizes:?}");
    assert!(median(sizes.map(|(_, steps)| steps)) <= STEPS_MAX, "faults and commands: {sizes:?}");
}

#[test]
fn a_pinned_plan_that_is_named_after_a_bug_shows_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut shown = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let Some(trial) = path.file_stem().and_then(|stem| Trial::named(&stem.to_string_lossy())) else { continue };
        let outcome = run(Some(trial.mutant), &load_plan(&path).unwrap());
        assert!(trial.seen(&outcome).is_some(), "{}: {:?}", path.display(), outcome.violation());
        shown += 1;
    }
    assert!(shown > 0, "no plan is named after a bug");
}

//! Every deliberate bug is found by the checker that is named for it, and nothing is found without one.
//!
//! The bounded form of `cargo mutants`: one starting point for each bug, and no more seeds than it should need.

use wallex_core::mutant::Mutant;
use wallex_sim::mutants::{Search, Trial, name, run};
use wallex_sim::world::Ending;

/// Seeds that any bug may need.
const SEEDS_MAX: u64 = 80;
const COMMANDS: usize = 300;
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

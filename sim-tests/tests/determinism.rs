//! INV-13: the same seed gives the same trace, in one process and in two.

use std::process::Command;

use wallex_sim::plan::{Plan, Preset, Topology, generate};
use wallex_sim::world::{Ending, run};

const COMMANDS: usize = 200;

/// Four seeds in a row have both presets on both topologies.
fn plan(seed: u64) -> Plan {
    let topology = if seed.is_multiple_of(2) { Topology::Production } else { Topology::Embedded };
    let preset = if (seed / 2).is_multiple_of(2) { Preset::Default } else { Preset::Storm };
    generate(seed, preset, topology, COMMANDS)
}

#[test]
fn the_same_seed_gives_the_same_trace_twice_in_one_process() {
    for seed in 1..=12 {
        let (first, second) = (run(&plan(seed), false), run(&plan(seed), true));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!((first.steps, first.messages, first.tally), (second.steps, second.messages, second.tally));
        assert_eq!(first.ending(), Ending::Passed, "seed {seed}: {:?} {:?}", first.panic, first.violation());
        assert!(first.tally.events > 20, "seed {seed}: a workload that is mostly refused proves nothing");
        assert_eq!(second.records.len() as u64, second.steps);
    }
}

#[test]
fn another_seed_gives_another_trace() {
    // One and nine are of the same preset on the same topology.
    assert_ne!(run(&plan(1), false).trace_hash, run(&plan(9), false).trace_hash);
}

#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    if let Ok(seed) = std::env::var("WALLEX_TRACE_OF_SEED") {
        println!("trace hash {}", run(&plan(seed.parse().unwrap()), false).trace_hash);
        return;
    }
    for seed in 42_u64..=45 {
        let hash = || {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "the_same_seed_gives_the_same_trace_in_two_processes", "--nocapture"])
                .env("WALLEX_TRACE_OF_SEED", seed.to_string())
                .output()
                .unwrap();
            let text = String::from_utf8(child.stdout).unwrap();
            let hash = text.lines().find_map(|line| line.split("trace hash ").nth(1)).map(str::to_owned);
            hash.unwrap_or_else(|| panic!("the child printed no hash: {text}"))
        };
        let (first, second) = (hash(), hash());
        assert_eq!(first, second, "seed {seed}");
        assert_eq!(first, run(&plan(seed), false).trace_hash, "seed {seed}: another process, another trace");
    }
}

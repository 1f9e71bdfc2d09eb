//! INV-13: the same seed gives the same trace, in one process and in two.

use std::process::Command;

use wallex_sim::world::{Options, run};

fn options(seed: u64) -> Options {
    Options { seed, commands: 300, keep_trace: false }
}

#[test]
fn the_same_seed_gives_the_same_trace_twice_in_one_process() {
    for seed in 1..=8 {
        let (first, second) = (run(options(seed)), run(options(seed)));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.done > 200, "seed {seed}: a workload that is mostly refused proves nothing");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(options(1)).trace_hash, run(options(2)).trace_hash);
}

#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    if let Ok(seed) = std::env::var("WALLEX_TRACE_OF_SEED") {
        println!("trace hash {}", run(options(seed.parse().unwrap())).trace_hash);
        return;
    }
    for seed in [7_u64, 42] {
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
        assert_eq!(first, run(options(seed)).trace_hash, "seed {seed}: another process, another trace");
    }
}

//! The command line as people use it: what a failure leaves behind, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use wallex_sim::plan::{Plan, Preset, Topology, generate};

fn sim(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let simulator = env!("CARGO_BIN_EXE_wallex-sim");
    let output = Command::new(simulator).args(arguments).current_dir(directory).output();
    let Output { status, stdout, .. } = output.expect("the simulator was built");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

/// A plan that crashes: clients ask instances of which there are none.
fn crashing() -> Plan {
    let mut plan = generate(3, Preset::Calm, Topology::Production, 40);
    plan.options.instances = 0;
    plan
}

#[test]
fn a_crash_leaves_its_plan_and_trace_and_is_red_on_its_page() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("crash.json"), serde_json::to_string(&crashing()).unwrap()).unwrap();
    let (code, text) = sim(here, &["replay", "crash.json", "--html", "crash.html"]);
    assert_eq!(code, Some(5), "{text}");
    let block = text.split("------").last().unwrap();
    for part in ["FAILED   crash: ", "when     step ", "commit   ", "plan     crash.json\n"] {
        assert!(block.contains(part), "{part}\n{text}");
    }
    assert!(block.ends_with("REPRODUCE: cargo sim replay crash.json\n"), "{text}");
    assert!(!block.contains("step 0,") && !block.contains(" 0.000 s"), "{text}");
    let trace = block.lines().find_map(|line| line.strip_prefix("trace    ")).unwrap();
    assert!(std::fs::read_to_string(here.join(trace)).unwrap().lines().count() > 0);
    let html = std::fs::read_to_string(here.join("crash.html")).unwrap();
    assert!(html.contains("\"panic\":\"index out of bounds"), "the page does not say what happened");
}

#[test]
fn a_crash_shrinks_to_what_crashes() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("crash.json"), serde_json::to_string(&crashing()).unwrap()).unwrap();
    let (code, text) = sim(here, &["shrink", "--from", "crash.json", "-o", "small.json"]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("the plan      panics: index out of bounds"), "{text}");
    let small: Plan = serde_json::from_str(&std::fs::read_to_string(here.join("small.json")).unwrap()).unwrap();
    assert_eq!(small.commands(), 1, "{text}");
    assert_eq!(sim(here, &["replay", "small.json"]).0, Some(5));
}

#[test]
fn a_short_sweep_says_what_was_run_twice_and_demands_no_marks() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["sweep", "--seeds", "63..65", "--preset", "calm", "--topology", "embedded", "--commands", "40"];
    let (code, text) = sim(directory.path(), &arguments);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("run twice     1, "), "{text}");
    assert!(text.contains("inconclusive  0 searches of INV-09 gave up\n"), "{text}");
    let missing = text.lines().find(|line| line.starts_with("NEVER REACHED with preset calm, topology embedded"));
    assert!(missing.is_none_or(|line| !line.contains("torn tail")), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing failed, and something was written");
}

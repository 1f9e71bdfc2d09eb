//! The flight recorder: what a real service was fed, replayed to a real node, asks for the recorded effects (INV-13).

use std::fs;
use std::path::Path;

use wallex_core::effect::Effect;
use wallex_recording::{End, Run};

use crate::harness::{Service, eventually};
use crate::replayed::{Replayed, runs};

fn only_run(recordings: &Path, node: &str) -> Run {
    let runs = runs(recordings, node);
    assert_eq!(runs.len(), 1, "{runs:?}");
    Run::open(&runs[0]).unwrap()
}

/// Six commands, one of them refused and one repeated, that append five events; waits until the read model has them.
fn traffic(service: &Service) {
    service.create("a", "10");
    service.create("b", "0");
    for _ in 0..2 {
        let keyed = service.post_with("/wallets/a/credit", &[("Idempotency-Key", "k")], r#"{"amount":1}"#);
        assert_eq!(keyed.status, 200);
    }
    assert_eq!(service.post("/wallets/b/debit", r#"{"amount":1}"#).status, 422);
    assert_eq!(service.post("/wallets/a/transfer", r#"{"toWalletId":"b","amount":4}"#).status, 200);
    for (wallet, version) in [("a", 3), ("b", 2)] {
        let read = service.get(&format!("/wallets/{wallet}?minVersion={version}"));
        assert_eq!(read.status, 200, "{}", read.text());
    }
}

#[test]
fn what_a_service_was_fed_replays_to_the_effects_it_asked_for() {
    let mut service = Service::start_recorded();
    traffic(&service);
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));

    let run = only_run(&service.recordings(), "commands");
    let commands = Replayed::of(&run);
    assert_eq!((commands.submitted, commands.appended_events()), (6, 5));
    let replies = commands.effects.iter().filter(|effect| matches!(effect, Effect::Reply { .. })).count();
    assert_eq!(replies, 6);
    assert_eq!(commands.end, End::Complete);
    assert_eq!(Replayed::of(&run), commands);

    let run = only_run(&service.recordings(), "pipeline");
    let pipeline = Replayed::of(&run);
    assert!(pipeline.effects.iter().any(|effect| matches!(effect, Effect::Project { .. })));
    assert_eq!(pipeline.end, End::Complete);
    assert_eq!(Replayed::of(&run), pipeline);
}

#[test]
fn a_service_that_is_killed_leaves_a_recording_that_replays() {
    let mut service = Service::start_recorded();
    traffic(&service);
    let recordings = service.recordings();
    // The disk is written behind the node's back: what was handed over is there before the blow.
    eventually("the sixth command in the recording", || {
        (Replayed::of(&only_run(&recordings, "commands")).submitted == 6).then_some(())
    });
    service.kill();
    let commands = Replayed::of(&only_run(&recordings, "commands"));
    assert_eq!(commands.submitted, 6);
    Replayed::of(&only_run(&recordings, "pipeline"));
}

#[test]
fn every_start_is_a_run_of_its_own_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let mut service = Service::start_recorded();
    service.create("a", "10");
    service.restart();
    assert_eq!(service.post("/wallets/a/credit", r#"{"amount":1}"#).status, 200);
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
    let runs = runs(&service.recordings(), "commands");
    let events: Vec<usize> = runs.iter().map(|run| Replayed::of(&Run::open(run).unwrap()).appended_events()).collect();
    assert_eq!(events, [1, 1]);
    for run in &runs {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(run), mode(&run.join("00000001.flight"))), (0o700, 0o600));
    }
}

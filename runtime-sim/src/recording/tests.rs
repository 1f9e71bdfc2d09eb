//! Recordings of a real node, replayed: the same effects, the same output, and what is said when they are not.

use std::path::{Path, PathBuf};

use wallex_core::command::{Request, Work};
use wallex_core::config::Config;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input, Loaded};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, RequestId, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::wallet::{Create, Credit, Operation};
use wallex_recording::frame::{Frame, MAGIC, decode};
use wallex_recording::{Limits, RecordedNode};

use super::{Replayed, View, replay};
use crate::check::sample::{at, wallet};

fn submit(number: u64, operation: Operation) -> Input {
    Input::Submit(Request {
        id: RequestId(number),
        command_id: CommandId::new(at(number as i64), number),
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
        idempotency: None,
        if_match: None,
        work: Work::One(operation),
    })
}

fn operation(number: u64) -> Operation {
    let wallet_id = wallet(&format!("w{}", number % 7));
    if number < 7 {
        let currency = Currency::parse("USD").unwrap();
        let (owner_id, initial_balance) = (OwnerId::parse("o").unwrap(), Money::from_minor_units(10_00, currency));
        Operation::Create(Create { wallet_id, owner_id, currency, initial_balance })
    } else {
        Operation::Credit(Credit { wallet_id, amount: Amount::parse("1.50").unwrap(), description: None })
    }
}

/// Runs a node over an event store that answers at once, several commands a turn.
fn record(parent: &Path, commands: u64, limits: Limits) -> PathBuf {
    let config = Config { leases: false, ..Config::default() };
    let (mut node, recorder) = RecordedNode::recorded(config, at(0), parent, "commands", limits).unwrap();
    for number in 0..commands {
        node.handle(at(number as i64), submit(number, operation(number)));
        if number % 3 != 0 {
            continue;
        }
        if number % 9 == 0 {
            node.handle_timeout(at(number as i64));
        }
        while let Some(effect) = node.poll_effect() {
            let now = at(number as i64);
            if let Effect::Load(id, loads) = effect {
                let nothing = loads.iter().map(|_| Loaded { snapshot: None, events: vec![] }).collect();
                node.handle(now, Input::Loaded(id, Completion::Done(nothing)));
            } else if let Effect::Append(id, _) = effect {
                node.handle(now, Input::Appended(id, Completion::Done(())));
            }
        }
    }
    drop(node);
    let directory = recorder.directory().to_owned();
    recorder.finish().unwrap();
    directory
}

fn shown(directory: &Path, view: &View) -> (Replayed, String) {
    let mut out = Vec::new();
    let replayed = replay(directory, view, &mut out).unwrap();
    (replayed, String::from_utf8(out).unwrap())
}

#[test]
fn a_replay_asks_for_the_recorded_effects_and_prints_the_same_bytes_every_time() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 200, Limits::default());
    let (first, text) = shown(&run, &View::default());
    assert_eq!(first, Replayed::Same, "{text}");
    assert!(text.contains("\"Reply\""), "{text}");
    assert_eq!(shown(&run, &View::default()).1, text);
    // The directory above finds the same run.
    assert_eq!(shown(parent.path(), &View::default()).1, text);
}

#[test]
fn a_step_and_a_wallet_can_be_looked_at() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 200, Limits::default());
    let (_, text) = shown(&run, &View { at: Some(100), wallet: None });
    assert!(text.contains("state after step 100"), "{text}");
    assert!(!text.contains("#99 ") && !text.contains("#101 "), "{text}");
    let chosen = WalletId::parse("w3").unwrap();
    let (replayed, text) = shown(&run, &View { at: None, wallet: Some(chosen) });
    assert_eq!(replayed, Replayed::Same);
    assert!(text.lines().filter(|line| line.starts_with('#')).all(|line| line.contains("\"w3\"")), "{text}");
}

#[test]
fn an_input_that_was_changed_is_found_by_the_hash_of_the_effects() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 50, Limits::default());
    let path = run.join("00000001.flight");
    let bytes = std::fs::read(&path).unwrap();
    // Leaves out the twentieth input, as if it had never come.
    let (mut offset, mut inputs) = (MAGIC.len(), 0);
    let mut rest = bytes[..offset].to_vec();
    while offset < bytes.len() {
        let (frame, length) = decode(&bytes[offset..]).unwrap();
        inputs += u32::from(matches!(frame, Frame::Input(..)));
        if inputs != 20 || !matches!(frame, Frame::Input(..)) {
            rest.extend_from_slice(&bytes[offset..offset + length]);
        }
        offset += length;
    }
    std::fs::write(&path, rest).unwrap();
    let (replayed, text) = shown(&run, &View::default());
    assert!(matches!(replayed, Replayed::Differs(step) if (15..30).contains(&step)), "{replayed:?}\n{text}");
}

#[test]
fn a_recording_whose_beginning_is_gone_shows_inputs_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 400, Limits { file_bytes: 16 << 10, files: 2, runs: 1 });
    let (replayed, text) = shown(&run, &View::default());
    assert!(matches!(replayed, Replayed::Partly(_)), "{replayed:?}");
    assert!(text.contains("overwritten") && text.contains("\"Submit\""), "{text}");
}

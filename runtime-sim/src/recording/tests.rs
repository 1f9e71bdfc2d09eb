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

/// A few small files.
const RING: Limits = Limits { file_bytes: 32 << 10, files: 3, runs: 1 };

fn file(run: &Path, number: u64) -> PathBuf {
    run.join(format!("{number:08}.flight"))
}

/// The bytes of a file, frame by frame.
fn frames(file: &Path) -> Vec<(Frame, Vec<u8>)> {
    let bytes = std::fs::read(file).unwrap();
    let (mut offset, mut all) = (MAGIC.len(), Vec::new());
    while offset < bytes.len() {
        let (frame, length) = decode(&bytes[offset..]).unwrap();
        all.push((frame, bytes[offset..offset + length].to_vec()));
        offset += length;
    }
    all
}

fn write_frames(file: &Path, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(frames.into_iter().flatten());
    std::fs::write(file, bytes).unwrap();
}

/// A frame as the format has it: length, CRC-32C, kind, contents.
fn frame(kind: u8, contents: &[u8]) -> Vec<u8> {
    let checked = [&[kind], contents].concat();
    let mut crc = u32::MAX;
    for byte in &checked {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    [&(contents.len() as u32).to_le_bytes()[..], &(!crc).to_le_bytes(), &checked].concat()
}

/// The lines about inputs and effects.
fn steps(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('#')).collect()
}

fn state_in(text: &str) -> &str {
    text.split_once("\nstate after step ").unwrap().1.split_once("\nreplayed ").unwrap().0
}

#[test]
fn a_recording_whose_beginning_is_gone_is_stepped_through_from_its_oldest_state() {
    let (parent, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = record(parent.path(), 600, RING);
    assert!(!file(&run, 1).exists() && !file(&run, 2).exists());
    let (replayed, text) = shown(&run, &View::default());
    assert_eq!(replayed, Replayed::Same, "{text}");
    assert_eq!(shown(&run, &View::default()).1, text);

    // What is shown is what the whole recording shows there, states included.
    let whole = record(whole.path(), 600, Limits::default());
    let (_, all) = shown(&whole, &View::default());
    let (shown_here, shown_there) = (steps(&text), steps(&all));
    assert!(shown_here.len() > 100 && shown_here.len() < shown_there.len() / 2);
    assert_eq!(shown_here, shown_there[shown_there.len() - shown_here.len()..]);
    let first: u64 = shown_here[0].trim_start_matches('#').split(' ').next().unwrap().parse().unwrap();
    for step in [first - 1, first, first + 50] {
        let view = View { at: Some(step), wallet: None };
        let (here, there) = (shown(&run, &view), shown(&whole, &view));
        assert_eq!((here.0, there.0), (Replayed::Same, Replayed::Same));
        assert!(state_in(&here.1) == state_in(&there.1), "the state after step {step}");
        assert!(here.1.contains("\"wallets_cached_max\""), "{}", here.1);
    }
    let (_, text) = shown(&run, &View { at: Some(first - 2), wallet: None });
    assert!(text.contains(&format!("no state after step {}", first - 2)), "{text}");
}

#[test]
fn what_a_node_knows_of_one_wallet_can_be_looked_at() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 600, RING);
    let (_, all) = shown(&run, &View::default());
    let last: u64 = steps(&all).last().unwrap().trim_start_matches('#').split(' ').next().unwrap().parse().unwrap();
    let (_, text) = shown(&run, &View { at: Some(last), wallet: Some(wallet("w3")) });
    let known: serde_json::Value =
        serde_json::from_str(text.split_once("wallet w3\n").unwrap().1.split_once("\nreplayed").unwrap().0).unwrap();
    assert_eq!((&known["id"], &known["wallet"]["owner_id"]), (&"w3".into(), &"o".into()));
    assert!(!text.contains("\"w4\""), "{text}");
    let (_, text) = shown(&run, &View { at: Some(last), wallet: Some(wallet("nobody")) });
    assert!(text.contains("wallet nobody\nnull\n"), "{text}");
}

#[test]
fn after_dropped_frames_inputs_are_shown_and_the_next_state_is_gone_on_from() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 600, Limits { files: 1_000, ..RING });
    let first = file(&run, 1);
    let mut kept: Vec<Vec<u8>> = frames(&first).into_iter().map(|(_, bytes)| bytes).collect();
    let middle = kept.len() / 2;
    kept.splice(middle..middle + 4, [frame(4, &4_u64.to_le_bytes())]);
    write_frames(&first, kept);
    let (replayed, text) = shown(&run, &View::default());
    assert_eq!(replayed, Replayed::Partly("4 frames were dropped: the disk was too slow".to_owned()), "{text}");
    let (_, rest) = text.split_once("-- 4 frames were dropped here\n").unwrap();
    let (inputs, rest) = rest.split_once("-- stepping through from the state after step ").unwrap();
    assert!(inputs.contains("#") && !inputs.contains(" out "), "inputs only: {inputs}");
    assert!(rest.contains(" out ") && rest.contains("\"Reply\""), "{rest}");
}

#[test]
fn a_node_that_comes_to_another_state_than_was_recorded_is_found() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 600, Limits { files: 1_000, ..RING });
    let second = file(&run, 2);
    let changed = frames(&second).into_iter().map(|(kind, bytes)| match kind {
        Frame::State(state) => {
            let node = String::from_utf8(state.node).unwrap().replacen("\"submitted\":", "\"submitted\":1", 1);
            frame(5, &[&bytes[9..9 + 32], node.as_bytes()].concat())
        }
        Frame::Begin(_) | Frame::Input(..) | Frame::Timeout(_) | Frame::Polled { .. } | Frame::Dropped(_) => bytes,
    });
    write_frames(&second, changed.collect::<Vec<_>>());
    let (replayed, text) = shown(&run, &View::default());
    assert!(matches!(replayed, Replayed::Differs(_)), "{replayed:?}");
    assert!(text.contains("the node came to another state than was recorded"), "{text}");
}

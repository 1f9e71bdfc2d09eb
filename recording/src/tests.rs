//! Recordings of a real node on a real disk: bounds, damage, drops.

use std::fs;
use std::path::Path;

use wallex_core::command::{Request, Work};
use wallex_core::config::Config;
use wallex_core::effect::{Completion, Effect, Input, Loaded};
use wallex_core::id::{CommandId, CorrelationId, RequestId, WalletId};
use wallex_core::money::Amount;
use wallex_core::node::Node;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Credit, Operation};

use crate::digest::Digest;
use crate::frame::{Frame, FrameError, State};
use crate::reader::{End, Run};
use crate::tape::{BUFFERS_MAX, Tape};
use crate::writer::{Limits, Recorder};
use crate::{Entry, RecordedNode};

/// Three small files.
const RING: Limits = Limits { file_bytes: 16 << 10, files: 3, runs: 2 };

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + micros)
}

fn credit(number: u64) -> Input {
    let wallet_id = WalletId::parse(&format!("w{}", number % 5)).unwrap();
    let operation = Credit { wallet_id, amount: Amount::parse("1.50").unwrap(), description: None };
    Input::Submit(Request {
        id: RequestId(number),
        command_id: CommandId::new(at(number as i64), number),
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
        idempotency: None,
        if_match: None,
        work: Work::One(Operation::Credit(operation)),
    })
}

/// Runs a node that is asked for credits to wallets that are not there.
fn record(parent: &Path, credits: u64, limits: Limits) -> Run {
    let config = Config { leases: false, ..Config::default() };
    let (mut node, recorder) = RecordedNode::recorded(config, at(0), parent, "commands", limits).unwrap();
    for number in 0..credits {
        node.handle(at(number as i64), credit(number));
        while let Some(effect) = node.poll_effect() {
            if let Effect::Load(id, loads) = effect {
                let nothing = loads.iter().map(|_| Loaded { snapshot: None, events: vec![] }).collect();
                node.handle(at(number as i64), Input::Loaded(id, Completion::Done(nothing)));
            }
        }
    }
    drop(node);
    let directory = recorder.directory().to_owned();
    recorder.finish().unwrap();
    Run::open(&directory).unwrap()
}

fn entries(run: &Run) -> (Vec<Entry>, End) {
    let mut all = Vec::new();
    let end = run.read(|entry| {
        all.push(entry);
        true
    });
    (all, end.unwrap())
}

/// The commands that a recording shows, in order.
fn submitted(entries: &[Entry]) -> Vec<&Input> {
    let commands = entries.iter().filter_map(|entry| match &entry.frame {
        Frame::Input(_, input @ Input::Submit(_)) => Some(input),
        Frame::Begin(_)
        | Frame::Input(..)
        | Frame::Timeout(_)
        | Frame::Polled { .. }
        | Frame::Dropped(_)
        | Frame::State(_) => None,
    });
    commands.collect()
}

#[test]
fn what_goes_in_comes_out_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 50, Limits::default());
    assert!(run.is_whole());
    let (all, end) = entries(&run);
    assert_eq!(end, End::Complete);
    let submitted = submitted(&all);
    assert_eq!(submitted.len(), 50);
    assert!(submitted.iter().enumerate().all(|(number, input)| **input == credit(number as u64)));
}

#[test]
fn the_ring_is_bounded_and_says_that_its_beginning_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 400, RING);
    let files: Vec<_> = fs::read_dir(run.directory()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 3);
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= RING.files * RING.file_bytes, "{bytes}");
    assert!(!run.is_whole());
    let (all, end) = entries(&run);
    assert_eq!(end, End::Complete);
    assert_eq!(submitted(&all).last(), Some(&&credit(399)));
}

#[test]
fn old_runs_are_forgotten() {
    let parent = tempfile::tempdir().unwrap();
    let limits = Limits { runs: 2, ..Limits::default() };
    for start in 0..4 {
        let (recorder, tape) =
            Recorder::start(parent.path(), "commands", &Config::default(), at(start), limits).unwrap();
        drop(tape);
        recorder.finish().unwrap();
    }
    let mut runs: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|run| run.unwrap().file_name()).collect();
    runs.sort();
    assert_eq!(runs.len(), 2);
    assert!(runs[1].to_string_lossy().contains(&at(3).as_micros().to_string()));
}

#[test]
fn a_torn_tail_and_a_flipped_bit_end_the_reading_and_are_told_apart() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 20, Limits::default());
    let path = run.directory().join("00000001.flight");
    let (all, _) = entries(&run);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let (shorter, end) = entries(&run);
    assert_eq!(shorter.len(), all.len() - 1);
    assert!(matches!(end, End::Broken { error: FrameError::CutOff, .. }), "{end:?}");
    let mut flipped = whole;
    let at = all[10].offset + 12;
    flipped[at] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let (shorter, end) = entries(&run);
    assert_eq!(shorter, all[..10]);
    assert!(matches!(end, End::Broken { error: FrameError::Checksum, .. }), "{end:?}");
}

#[test]
fn a_writer_that_is_behind_loses_frames_and_says_how_many() {
    let (full, buffers) = std::sync::mpsc::sync_channel(1);
    let (_empty, returned) = std::sync::mpsc::channel();
    let mut tape = Tape::new(full, returned, 0, u64::MAX);
    let turn = |tape: &mut Tape, micros| {
        tape.timeout(at(micros));
        tape.polled(None);
    };
    turn(&mut tape, 1);
    // The channel is full: two turns of two frames are lost.
    turn(&mut tape, 2);
    turn(&mut tape, 3);
    let first = buffers.recv().unwrap();
    turn(&mut tape, 4);
    let second = buffers.recv().unwrap();
    assert_eq!(crate::frame::decode(&first).unwrap().0, Frame::Timeout(at(1)));
    let (lost, length) = crate::frame::decode(&second).unwrap();
    assert_eq!(lost, Frame::Dropped(4));
    assert_eq!(crate::frame::decode(&second[length..]).unwrap().0, Frame::Timeout(at(4)));
}

/// Steps a node on from a state, and holds its effects and its states against the recorded ones.
fn step_on(state: &State, rest: &[Entry]) -> u64 {
    let (mut node, mut digest) = (state.node().unwrap(), Digest::from_halves(state.digest));
    let (mut inputs, mut effects) = (state.inputs, state.effects);
    for entry in rest {
        match entry.frame.clone() {
            Frame::Begin(_) => {}
            Frame::Input(now, input) => {
                inputs += 1;
                node.handle(now, input);
            }
            Frame::Timeout(now) => {
                inputs += 1;
                node.handle_timeout(now);
            }
            Frame::Polled { effects: recorded, drained, digest: hash } => {
                for _ in 0..recorded {
                    digest.value(&node.poll_effect().expect("as many effects as were recorded"));
                }
                effects += recorded;
                assert!(!drained || node.poll_effect().is_none(), "more effects than were recorded");
                assert_eq!(digest.halves(), hash);
            }
            Frame::Dropped(frames) => panic!("{frames} frames are missing"),
            Frame::State(came_to) => {
                assert_eq!((came_to.inputs, came_to.effects, came_to.digest), (inputs, effects, digest.halves()));
                assert!(came_to.node == serde_json::to_vec(&node).unwrap(), "the state after {inputs} inputs");
            }
        }
    }
    inputs
}

#[test]
fn every_file_after_the_first_begins_with_a_state_from_which_a_node_goes_on_as_recorded() {
    let parent = tempfile::tempdir().unwrap();
    for limits in [RING, Limits { files: 1_000, ..RING }] {
        let run = record(parent.path(), 400, limits);
        let (all, _) = entries(&run);
        let mut states = 0;
        let mut ends = Vec::new();
        for (place, pair) in all.windows(2).enumerate() {
            let [Entry { file, frame: Frame::Begin(begin), .. }, second] = pair else { continue };
            assert_eq!(begin.file, *file);
            match &second.frame {
                Frame::State(state) => {
                    states += 1;
                    ends.push(step_on(state, &all[place + 2..]));
                }
                Frame::Begin(_) | Frame::Input(..) | Frame::Timeout(_) | Frame::Polled { .. } | Frame::Dropped(_) => {
                    assert_eq!(*file, 1, "{second:?}");
                }
            }
        }
        let files = fs::read_dir(run.directory()).unwrap().count();
        assert_eq!(states, files - usize::from(run.is_whole()), "a state for each file: {limits:?}");
        assert!(states >= 3, "{states}");
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        fs::remove_dir_all(run.directory()).unwrap();
    }
}

#[test]
fn after_a_loss_the_state_is_written_as_soon_as_the_writer_has_caught_up() {
    let (full, buffers) = std::sync::mpsc::sync_channel(BUFFERS_MAX);
    let (empty, returned) = std::sync::mpsc::channel();
    let mut tape = Tape::new(full, returned, 0, u64::MAX);
    let mut node = Node::new(Config { leases: false, ..Config::default() }, at(0));
    let mut turn = |tape: &mut Tape, number: u64| {
        tape.write_state_when_due(&node);
        tape.input(at(number as i64), &credit(number));
        node.handle(at(number as i64), credit(number));
        loop {
            let effect = node.poll_effect();
            tape.polled(effect.as_ref());
            if effect.is_none() {
                break;
            }
        }
        serde_json::to_vec(&node).unwrap()
    };
    let mut fed = 0;
    let mut next = |tape: &mut Tape| {
        fed += 1;
        turn(tape, fed)
    };
    for _ in 0..BUFFERS_MAX + 5 {
        next(&mut tape);
    }
    let mut read: Vec<Vec<u8>> = buffers.try_iter().collect();
    assert_eq!(read.len(), BUFFERS_MAX);
    // The writer has taken all of them, but given none back: it may still be at the first.
    let before = next(&mut tape);
    for buffer in read.drain(..BUFFERS_MAX * 3 / 4) {
        empty.send(buffer).unwrap();
    }
    next(&mut tape);
    next(&mut tape);
    drop(tape);
    let bytes: Vec<u8> = buffers.iter().flatten().collect();
    let (mut frames, mut offset) = (Vec::new(), 0);
    while offset < bytes.len() {
        let (frame, length) = crate::frame::decode(&bytes[offset..]).unwrap();
        frames.push(frame);
        offset += length;
    }
    let dropped: Vec<usize> = (0..frames.len()).filter(|at| matches!(frames[*at], Frame::Dropped(_))).collect();
    let states: Vec<&State> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::State(state) => Some(state),
            Frame::Begin(_) | Frame::Input(..) | Frame::Timeout(_) | Frame::Polled { .. } | Frame::Dropped(_) => None,
        })
        .collect();
    assert_eq!((dropped.len(), states.len()), (1, 1), "{frames:?}");
    assert_eq!(states[0].inputs, BUFFERS_MAX as u64 + 6);
    assert!(states[0].node == before, "the state is the one before the input that follows it");
    let at = frames.iter().position(|frame| matches!(frame, Frame::State(_))).unwrap();
    assert!(dropped[0] < at);
    let rest: Vec<Entry> =
        frames[at + 1..].iter().map(|frame| Entry { file: 2, offset: 0, frame: frame.clone() }).collect();
    assert_eq!(step_on(states[0], &rest), BUFFERS_MAX as u64 + 8);
}

#[test]
fn a_state_that_is_larger_than_a_file_does_not_make_every_input_one() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 200, Limits { file_bytes: 1 << 10, files: 1_000, runs: 1 });
    let (all, _) = entries(&run);
    let states = all.iter().filter(|entry| matches!(entry.frame, Frame::State(_))).count();
    let inputs = all.iter().filter(|entry| matches!(entry.frame, Frame::Input(..))).count();
    assert!(states > 2 && states * 4 < inputs, "{states} states of {inputs} inputs");
}

#[test]
fn a_directory_stands_for_its_newest_run_and_for_commands_before_the_pipeline() {
    let parent = tempfile::tempdir().unwrap();
    let record = |micros: i64, node: &str| {
        let (_, recorder) =
            RecordedNode::recorded(Config::default(), at(micros), parent.path(), node, Limits::default()).unwrap();
        let directory = recorder.directory().to_owned();
        recorder.finish().unwrap();
        directory
    };
    let found = || Run::open(parent.path()).unwrap().directory().to_owned();
    let commands = record(1, "commands");
    record(2, "pipeline");
    assert_eq!(found(), commands);
    let instance = record(3, "instance");
    assert_eq!(found(), instance);
}

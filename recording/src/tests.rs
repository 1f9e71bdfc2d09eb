//! Recordings of a real node on a real disk: bounds, damage, drops.

use std::fs;
use std::path::Path;

use wallex_core::command::{Request, Work};
use wallex_core::config::Config;
use wallex_core::effect::{Completion, Effect, Input, Loaded};
use wallex_core::id::{CommandId, CorrelationId, RequestId, WalletId};
use wallex_core::money::Amount;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Credit, Operation};

use crate::frame::{Frame, FrameError};
use crate::reader::{End, Run};
use crate::writer::{Limits, Recorder};
use crate::{Entry, RecordedNode};

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

#[test]
fn what_goes_in_comes_out_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let run = record(parent.path(), 50, Limits::default());
    assert!(run.is_whole());
    let (all, end) = entries(&run);
    assert_eq!(end, End::Complete);
    let submitted: Vec<&Input> = all
        .iter()
        .filter_map(|entry| match &entry.frame {
            Frame::Input(_, input @ Input::Submit(_)) => Some(input),
            Frame::Begin(_) | Frame::Input(..) | Frame::Timeout(_) | Frame::Polled { .. } | Frame::Dropped(_) => None,
        })
        .collect();
    assert_eq!(submitted.len(), 50);
    assert!(submitted.iter().enumerate().all(|(number, input)| **input == credit(number as u64)));
}

#[test]
fn the_ring_is_bounded_and_says_that_its_beginning_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: 8 << 10, files: 3, runs: 2 };
    let run = record(parent.path(), 400, limits);
    let files: Vec<_> = fs::read_dir(run.directory()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 3);
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 3 * (8 << 10), "{bytes}");
    assert!(!run.is_whole());
    let (all, end) = entries(&run);
    assert_eq!(end, End::Complete);
    let last = all.iter().rev().find_map(|entry| match &entry.frame {
        Frame::Input(_, Input::Submit(request)) => Some(request.id),
        Frame::Begin(_) | Frame::Input(..) | Frame::Timeout(_) | Frame::Polled { .. } | Frame::Dropped(_) => None,
    });
    assert_eq!(last, Some(RequestId(399)));
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
    let mut tape = crate::Tape::new(full, returned, 0);
    let turn = |tape: &mut crate::Tape, micros| {
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

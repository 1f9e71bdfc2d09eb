//! A recording of the flight recorder, replayed to a real node, and held against the recorded effects (INV-13).
//!
//! Shares no code with the replay of the command line, so that the recording itself is what is judged.

use std::fs;
use std::path::{Path, PathBuf};

use wallex_core::effect::{Effect, Input};
use wallex_core::node::Node;
use wallex_recording::{Digest, End, Frame, Run};

/// What came of a recording.
#[derive(Debug, PartialEq)]
pub(crate) struct Replayed {
    pub(crate) submitted: usize,
    pub(crate) effects: Vec<Effect>,
    /// Effects as text, and the hash after every turn: the bytes of a second replay must be the same.
    text: String,
    pub(crate) end: End,
}

impl Replayed {
    /// Feeds the run to a node, and holds its effects against the recorded ones after every turn.
    pub(crate) fn of(run: &Run) -> Self {
        let mut node = Node::new(run.begin().config.clone(), run.begin().began);
        let mut digest = Digest::default();
        let (mut submitted, mut effects, mut text) = (0, Vec::new(), String::new());
        let end = run.read(|entry| {
            match entry.frame {
                Frame::Begin(_) => {}
                Frame::Input(now, input) => {
                    submitted += usize::from(matches!(input, Input::Submit(_)));
                    node.handle(now, input);
                }
                Frame::Timeout(now) => node.handle_timeout(now),
                Frame::Polled { effects: recorded, drained, digest: hash } => {
                    for _ in 0..recorded {
                        let effect = node.poll_effect().expect("as many effects as were recorded");
                        digest.value(&effect);
                        text += &serde_json::to_string(&effect).unwrap();
                        effects.push(effect);
                    }
                    assert!(!drained || node.poll_effect().is_none(), "more effects than were recorded");
                    assert_eq!(digest.halves(), hash, "the recorded effects");
                    text += &format!("\n{digest}\n");
                }
                Frame::State(state) => assert_eq!(serde_json::to_vec(&node).unwrap(), state.node, "the recorded state"),
                Frame::Dropped(frames) => panic!("{frames} frames are missing"),
            }
            true
        });
        Self { submitted, effects, text, end: end.unwrap() }
    }

    pub(crate) fn appended_events(&self) -> usize {
        let mut events = 0;
        for effect in &self.effects {
            if let Effect::Append(_, append) = effect {
                events += append.writes.iter().map(|write| write.events.len()).sum::<usize>();
            }
        }
        events
    }
}

/// The runs of a node, oldest first.
pub(crate) fn runs(recordings: &Path, node: &str) -> Vec<PathBuf> {
    let mut runs: Vec<PathBuf> = fs::read_dir(recordings).unwrap().map(|run| run.unwrap().path()).collect();
    runs.retain(|run| run.to_string_lossy().ends_with(node));
    runs.sort();
    runs
}

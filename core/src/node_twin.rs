//! A node and a copy of it that was written down and read back, for tests: both are fed the same, and must do the same.
//!
//! The worlds of the tests drive a [`Twin`] where a runtime drives a node, so every test of the machines, the random ones
//! included, also shows that a node goes on from its written state as if nothing had been.

use crate::command::{CommandMachine, TimerReason};
use crate::config::Config;
use crate::effect::{Effect, Input};
use crate::node::{Node, PipelineStatus};
use crate::time::Timestamp;

/// A node and its copy.
pub(crate) struct Twin {
    node: Node,
    copy: Node,
    calls: usize,
}

/// The copy is made anew after so many calls; not after every one, because the states that it comes to by itself have to
/// be right as well. A prime number, so that the moments differ.
const CALLS_BETWEEN_COPIES: usize = 7;

fn written(node: &Node) -> String {
    serde_json::to_string(node).unwrap()
}

impl Twin {
    pub(crate) fn new(config: Config, now: Timestamp) -> Self {
        Self { node: Node::new(config.clone(), now), copy: Node::new(config, now), calls: 0 }
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input) {
        self.node.handle(now, input.clone());
        self.copy.handle(now, input);
        self.compare();
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        self.node.handle_timeout(now);
        self.copy.handle_timeout(now);
        self.compare();
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.node.poll_effect();
        assert_eq!(self.copy.poll_effect(), effect, "INV-13: the effects of a node that was read back");
        self.compare();
        effect
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        self.node.poll_timeout()
    }

    pub(crate) fn commands(&self) -> &CommandMachine {
        self.node.commands()
    }

    pub(crate) fn pipeline(&self) -> PipelineStatus {
        self.node.pipeline()
    }

    fn compare(&mut self) {
        assert_eq!(
            self.copy.poll_timeout(),
            self.node.poll_timeout(),
            "INV-13: the timer of a node that was read back"
        );
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_BETWEEN_COPIES) {
            let state = written(&self.copy);
            assert_eq!(state, written(&self.node), "INV-13: the state of a node that was read back");
            self.copy = serde_json::from_str(&state).unwrap();
            assert_eq!(written(&self.copy), state, "reading back loses nothing");
        }
    }
}

//! A node that is recorded while it runs; without a tape it is the node and one branch.

use std::io;
use std::ops::Deref;
use std::path::Path;

use wallex_core::config::Config;
use wallex_core::effect::{Effect, Input};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;

use crate::tape::Tape;
use crate::writer::{Limits, Recorder};

/// A [`Node`] whose inputs go to a tape before they go in, and its state from time to time. What only looks at the node goes to it directly.
#[derive(Debug)]
pub struct RecordedNode {
    node: Node,
    tape: Option<Box<Tape>>,
}

impl RecordedNode {
    /// A node that begins now and is not recorded.
    #[must_use]
    pub fn plain(config: Config, now: Timestamp) -> Self {
        Self { node: Node::new(config, now), tape: None }
    }

    /// A node that begins now and is recorded as a run of this name below `parent`. The recorder ends with the node.
    ///
    /// # Errors
    /// See [`Recorder::start`].
    pub fn recorded(
        config: Config,
        now: Timestamp,
        parent: &Path,
        name: &str,
        limits: Limits,
    ) -> io::Result<(Self, Recorder)> {
        let (recorder, tape) = Recorder::start(parent, name, &config, now, limits)?;
        Ok((Self { node: Node::new(config, now), tape: Some(Box::new(tape)) }, recorder))
    }

    /// See [`Node::handle`].
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if let Some(tape) = &mut self.tape {
            tape.write_state_when_due(&self.node);
            tape.input(now, &input);
        }
        self.node.handle(now, input);
    }

    /// See [`Node::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(tape) = &mut self.tape {
            tape.write_state_when_due(&self.node);
            tape.timeout(now);
        }
        self.node.handle_timeout(now);
    }

    /// See [`Node::poll_effect`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.node.poll_effect();
        if let Some(tape) = &mut self.tape {
            tape.polled(effect.as_ref());
        }
        effect
    }
}

impl Deref for RecordedNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

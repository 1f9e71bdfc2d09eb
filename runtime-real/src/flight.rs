//! The flight recorder of the service: below one directory, if there is one, what every node of the process is fed.
//!
//! Owns which nodes are recorded and under which names, and that a recording is written to its end before the process
//! ends. Whoever starts a node takes it from here. Format, bounds and what a slow disk means are the recording's own.

use std::path::{Path, PathBuf};

use wallex_core::config::Config;
use wallex_recording::{Limits, RecordedNode, Recorder};

use crate::driver::now;
use crate::profile::StartError;

/// Where nodes come from, recorded or not.
#[derive(Debug, Default)]
pub struct FlightRecorder {
    parent: Option<PathBuf>,
    running: Vec<Recorder>,
}

impl FlightRecorder {
    /// Records below this directory; without one, nothing.
    #[must_use]
    pub fn new(parent: Option<&Path>) -> Self {
        Self { parent: parent.map(Path::to_owned), running: Vec::new() }
    }

    /// A node that begins now; `name` is that of its recording.
    ///
    /// # Errors
    /// When it cannot be recorded: the directory is in the way, or the system gives no thread.
    pub(crate) fn node(&mut self, config: Config, name: &str) -> Result<RecordedNode, StartError> {
        let Some(parent) = &self.parent else { return Ok(RecordedNode::plain(config, now())) };
        let (node, recorder) = RecordedNode::recorded(config, now(), parent, name, Limits::default())
            .map_err(|source| StartError::FlightRecorder { path: parent.clone(), source })?;
        tracing::info!(directory = %recorder.directory().display(), "recording what the node is fed");
        self.running.push(recorder);
        Ok(node)
    }

    /// Waits until everything is written; the nodes must be gone.
    pub(crate) fn finish(self) {
        for recorder in self.running {
            let directory = recorder.directory().to_owned();
            if let Err(error) = recorder.finish() {
                tracing::warn!(%error, directory = %directory.display(), "the recording ended before the service");
            }
        }
    }
}

//! A recorded run, read back frame by frame, and where and why it ends.
//!
//! Shows only what passes its checks, and stops at the first frame that does not, with file and offset. What frames
//! mean, and whether a node that is fed them does the same again (INV-13), is left to `runtime-sim/src/recording/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::frame::{Begin, Frame, FrameError, MAGIC, decode};
use crate::writer::{EXTENSION, FORMAT, FORMAT_OLDEST, runs_of};

/// A run on the disk.
#[derive(Debug)]
pub struct Run {
    directory: PathBuf,
    files: Vec<PathBuf>,
    begin: Begin,
}

/// One frame of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which file, by number.
    pub file: u64,
    /// Where in it.
    pub offset: usize,
    /// What it says.
    pub frame: Frame,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last frame.
    Complete,
    /// In the midst of a file.
    Broken {
        /// Which file, by number.
        file: u64,
        /// Where in it.
        offset: usize,
        /// Why.
        error: FrameError,
    },
    /// Its reader had seen enough.
    Stopped,
}

/// Why there is no run to read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory or a file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no recording.
    #[error("there is no recording in {0}")]
    Empty(PathBuf),
    /// The first file that is left does not begin as one.
    #[error("{0} does not begin as a recording of a format up to {FORMAT}")]
    Foreign(PathBuf),
}

/// The newest run; of a process that records two nodes, the one of commands.
fn newest_of(runs: &[PathBuf]) -> Option<PathBuf> {
    let is_of = |run: &PathBuf, node: &str| run.to_string_lossy().ends_with(node);
    let newest = runs.last()?;
    let commands = runs.iter().rev().find(|run| is_of(run, "-commands") && is_of(newest, "-pipeline"));
    Some(commands.unwrap_or(newest).clone())
}

impl Run {
    /// Opens a run: its own directory, or one above it, where the newest run is taken; a run of commands before one
    /// of the pipeline.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn open(directory: &Path) -> Result<Self, RunError> {
        let failed = |source| RunError::Io { path: directory.to_owned(), source };
        let own = files_of(directory).map_err(failed)?;
        let (directory, files) = if own.is_empty() {
            let runs = runs_of(directory).map_err(failed)?;
            let newest = newest_of(&runs).ok_or_else(|| RunError::Empty(directory.to_owned()))?;
            let files = files_of(&newest).map_err(failed)?;
            (newest, files)
        } else {
            (directory.to_owned(), own)
        };
        let first = files.first().ok_or_else(|| RunError::Empty(directory.clone()))?;
        let bytes = fs::read(first).map_err(|source| RunError::Io { path: first.clone(), source })?;
        let begin = match bytes.strip_prefix(MAGIC).map(decode) {
            Some(Ok((Frame::Begin(begin), _))) if (FORMAT_OLDEST..=FORMAT).contains(&begin.format) => *begin,
            Some(_) | None => return Err(RunError::Foreign(first.clone())),
        };
        Ok(Self { directory, files, begin })
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the oldest file that is left begins with.
    #[must_use]
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// Whether the run is there from the node's beginning; otherwise the ring has overwritten it, and what is left begins
    /// with a state.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.begin.file == 1
    }

    /// Shows every frame to `see`, until it says stop.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&self, mut see: impl FnMut(Entry) -> bool) -> Result<End, RunError> {
        for (file, path) in (self.begin.file..).zip(&self.files) {
            let bytes = fs::read(path).map_err(|source| RunError::Io { path: path.clone(), source })?;
            if !bytes.starts_with(MAGIC) {
                return Ok(End::Broken { file, offset: 0, error: FrameError::CutOff });
            }
            let mut offset = MAGIC.len();
            while offset < bytes.len() {
                match decode(&bytes[offset..]) {
                    Ok((frame, length)) => {
                        if !see(Entry { file, offset, frame }) {
                            return Ok(End::Stopped);
                        }
                        offset += length;
                    }
                    Err(error) => return Ok(End::Broken { file, offset, error }),
                }
            }
        }
        Ok(End::Complete)
    }
}

fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    files.sort();
    Ok(files)
}

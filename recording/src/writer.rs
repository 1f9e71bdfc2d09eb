//! The writing side of a recording: a directory for each run of a node, files of bounded size in it, the oldest deleted
//! when there are too many. A state begins a file.
//!
//! A run is `DIR/<microseconds since 1970>-<node>/`, its files are `00000001.flight` and so on. Nothing is synced: what the
//! operating system has survives the death of the process, and that is what a recording is for. A disk that is full
//! ends the recording, never the service.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use wallex_core::config::Config;
use wallex_core::time::Timestamp;

use crate::frame::{Begin, Encoder, HEADER, MAGIC, STATE};
use crate::tape::{BUFFER_BYTES, BUFFERS_MAX, Tape};

/// Version of the format.
pub const FORMAT: u32 = 2;
/// The oldest version that can be read: it has no states.
pub(crate) const FORMAT_OLDEST: u32 = 1;
/// The newest file may still be without its state, so the one before it stays.
const FILES_MIN: u64 = 2;
/// The ending of a recording's files.
pub(crate) const EXTENSION: &str = "flight";

/// Bounds of a recording on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file is full at this size; one that begins with a large state may be twice as large as the state.
    pub file_bytes: u64,
    /// Files of a run that are kept, and no more bytes than so many full ones have; but always the two newest.
    pub files: u64,
    /// Runs of a node that are kept, this one included.
    pub runs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 32 << 20, files: 16, runs: 3 }
    }
}

/// A running recorder.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<io::Result<()>>,
    directory: PathBuf,
}

impl Recorder {
    /// Begins a run of `node` below `parent`, and gives the tape for the node's thread. The recorder ends when the tape
    /// is dropped.
    ///
    /// # Errors
    /// When the directory or its first file cannot be made, or the system gives no thread.
    pub fn start(
        parent: &Path,
        node: &str,
        config: &Config,
        now: Timestamp,
        limits: Limits,
    ) -> io::Result<(Self, Tape)> {
        let directory = parent.join(format!("{:020}-{node}", now.as_micros()));
        make_private(&directory)?;
        forget_old_runs(parent, node, limits.runs)?;
        let begin = Begin {
            format: FORMAT,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            file: 0,
            node: node.to_owned(),
            config: config.clone(),
            began: now,
        };
        let (full, buffers) = sync_channel(BUFFERS_MAX);
        let (empty, returned) = channel();
        let mut ring = Ring { directory: directory.clone(), begin, limits, file: None, sizes: VecDeque::new() };
        ring.next_file()?;
        let thread =
            std::thread::Builder::new().name("wallex-recorder".to_owned()).spawn(move || ring.run(&buffers, &empty))?;
        Ok((Self { thread, directory }, Tape::new(full, returned, BUFFER_BYTES, limits.file_bytes)))
    }

    /// Where the run is written to.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until everything is written; the tape must be gone.
    ///
    /// # Errors
    /// What ended the recording before its node: a disk that is full or gone.
    pub fn finish(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the recorder has panicked")))
    }
}

struct Ring {
    directory: PathBuf,
    begin: Begin,
    limits: Limits,
    file: Option<File>,
    /// Sizes of the files that are there, oldest first.
    sizes: VecDeque<u64>,
}

impl Ring {
    fn run(mut self, buffers: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> io::Result<()> {
        for buffer in buffers {
            // When the disk is full or gone, the tape notices that nobody listens, and counts.
            self.write(&buffer)?;
            // The tape may be gone already.
            let _gone = empty.send(buffer);
        }
        Ok(())
    }

    /// Writes a buffer; a state in it begins a file.
    fn write(&mut self, mut buffer: &[u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            if is_state(buffer) {
                self.next_file()?;
            }
            let (now, later) = buffer.split_at(up_to_next_state(buffer));
            if let Some(file) = &mut self.file {
                file.write_all(now)?;
            }
            if let Some(size) = self.sizes.back_mut() {
                *size += now.len() as u64;
            }
            // What is older goes when what is newer is there: a state that is not written yet is none.
            self.forget_old_files()?;
            buffer = later;
        }
        Ok(())
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.begin.file += 1;
        let mut encoder = Encoder { bytes: MAGIC.to_vec(), ..Encoder::default() };
        encoder.begin(&self.begin);
        let mut file = private_file(&self.path(self.begin.file))?;
        file.write_all(&encoder.bytes)?;
        self.file = Some(file);
        self.sizes.push_back(encoder.bytes.len() as u64);
        Ok(())
    }

    fn forget_old_files(&mut self) -> io::Result<()> {
        let bytes_max = self.limits.file_bytes.saturating_mul(self.limits.files);
        loop {
            let (files, bytes) = (self.sizes.len() as u64, self.sizes.iter().sum::<u64>());
            let is_too_much = files > self.limits.files || bytes > bytes_max;
            if files <= FILES_MIN || !is_too_much {
                return Ok(());
            }
            fs::remove_file(self.path(self.begin.file + 1 - files))?;
            self.sizes.pop_front();
        }
    }

    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(format!("{file:08}.{EXTENSION}"))
    }
}

/// Length of the frame at the beginning; everything that is left when that is no frame.
fn first_frame(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk::<4>().map_or(usize::MAX, |length| u32::from_le_bytes(*length) as usize);
    length.saturating_add(HEADER).min(bytes.len())
}

/// Whether a state is at the beginning.
fn is_state(bytes: &[u8]) -> bool {
    bytes.get(HEADER - 1) == Some(&STATE)
}

/// Length of the first frame and of those after it, up to a state.
fn up_to_next_state(bytes: &[u8]) -> usize {
    let mut end = first_frame(bytes);
    while end < bytes.len() && !is_state(&bytes[end..]) {
        end += first_frame(&bytes[end..]);
    }
    end
}

/// Recordings show what the log shows: nobody but the service's user may read them.
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn forget_old_runs(parent: &Path, node: &str, runs: usize) -> io::Result<()> {
    let mut own = runs_of(parent)?;
    own.retain(|run| run.to_string_lossy().ends_with(&format!("-{node}")));
    for old in own.iter().rev().skip(runs) {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// The runs below a directory, oldest first.
pub(crate) fn runs_of(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let is_run = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (digits, node) = name.split_once('-').unwrap_or_default();
        digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) && !node.is_empty()
    };
    let entries = fs::read_dir(parent)?.map(|entry| entry.map(|entry| entry.path()));
    let mut runs: Vec<PathBuf> = entries.collect::<io::Result<Vec<_>>>()?.into_iter().filter(is_run).collect();
    runs.sort();
    Ok(runs)
}

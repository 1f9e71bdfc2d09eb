//! The encoding side of a recording, on the node's own thread.
//!
//! It encodes into a buffer and hands that over when the node has been drained. It never waits: when the writer is
//! behind, the buffer grows up to its bound; beyond that it is dropped, the frames in it are counted, and the count is
//! written where they are missing. Buffers come back from the writer, so that a running recorder allocates nothing.
//!
//! It also says when the node's state is due: when a file is full, so that the next one begins with a state, and after
//! frames were dropped, as soon as the writer has caught up, so that the rest can be stepped through again.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use wallex_core::effect::{Effect, Input};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;

use crate::digest::Digest;
use crate::frame::{Encoder, StateOf};

/// A buffer is handed over in the midst of a drain too, once it is this large; and it grows no further while the writer is
/// behind.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
/// Buffers on their way to the writer, at most.
pub(crate) const BUFFERS_MAX: usize = 64;
/// After a loss the writer counts as caught up when no more buffers than this are on their way.
const BUFFERS_CAUGHT_UP: usize = BUFFERS_MAX / 2;
/// Larger buffers, which held a state, are not kept.
const BUFFER_KEPT_MAX: usize = 4 * BUFFER_BYTES;

/// What a node's thread writes to.
#[derive(Debug)]
pub struct Tape {
    encoder: Encoder,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Buffers that the writer has not given back.
    on_their_way: usize,
    digest: Digest,
    inputs: u64,
    effects: u64,
    polled: u64,
    asked: bool,
    dropped: u64,
    /// Frames were dropped since the last state.
    lost: bool,
    /// The writer has ended: nothing is recorded any more.
    ended: bool,
    buffer_bytes: usize,
    file_bytes: u64,
    /// What was encoded when the file began, its state included.
    file_began: u64,
    /// Size of the file's state.
    state_bytes: u64,
    /// Bytes of a state in the buffer: they do not count towards its bound.
    state_in_buffer: usize,
}

impl Tape {
    pub(crate) fn new(
        full: SyncSender<Vec<u8>>,
        empty: Receiver<Vec<u8>>,
        buffer_bytes: usize,
        file_bytes: u64,
    ) -> Self {
        Self {
            encoder: Encoder::default(),
            full,
            empty,
            spare: Vec::new(),
            on_their_way: 0,
            digest: Digest::default(),
            inputs: 0,
            effects: 0,
            polled: 0,
            asked: false,
            dropped: 0,
            lost: false,
            ended: false,
            buffer_bytes,
            file_bytes,
            file_began: 0,
            state_bytes: 0,
            state_in_buffer: 0,
        }
    }

    /// The node is fed an input.
    pub(crate) fn input(&mut self, now: Timestamp, input: &Input) {
        self.note_polls(false);
        self.inputs += 1;
        self.encoder.input(now, input);
    }

    /// The node is told that time has passed.
    pub(crate) fn timeout(&mut self, now: Timestamp) {
        self.note_polls(false);
        self.inputs += 1;
        self.encoder.timeout(now);
    }

    /// The node was asked for an effect.
    pub(crate) fn polled(&mut self, effect: Option<&Effect>) {
        self.asked = true;
        match effect {
            Some(effect) => {
                self.digest.value(effect);
                self.polled += 1;
                self.effects += 1;
            }
            None => {
                self.note_polls(true);
                self.hand_over();
            }
        }
        if self.encoder.bytes.len() > self.buffer_bytes {
            self.hand_over();
        }
    }

    /// Writes the node's state before it is fed anything more, if that is due.
    pub(crate) fn write_state_when_due(&mut self, node: &Node) {
        if self.is_due() {
            self.state(node);
        }
    }

    fn is_due(&mut self) -> bool {
        if self.ended {
            return false;
        }
        if self.lost {
            self.take_back();
            if self.on_their_way <= BUFFERS_CAUGHT_UP {
                return true;
            }
        }
        self.is_file_full()
    }

    /// A file is full somewhat before its bound, so that the turn that fills it has room in it. One that begins with a large
    /// state holds as much again of what happened after it, so that states are half of a recording at most.
    fn is_file_full(&self) -> bool {
        let since = self.encoder.total - self.file_began;
        since >= self.state_bytes && since + self.state_bytes >= self.file_bytes - self.file_bytes / 8
    }

    /// Writes the node's state, which begins a file.
    fn state(&mut self, node: &Node) {
        self.note_polls(false);
        self.hand_over();
        let before = self.encoder.total;
        let (inputs, effects, digest) = (self.inputs, self.effects, self.digest.halves());
        self.encoder.state(&StateOf { inputs, effects, digest, node });
        self.file_began = self.encoder.total;
        self.state_bytes = self.file_began - before;
        self.state_in_buffer += self.state_bytes as usize;
        self.lost = false;
        self.hand_over();
    }

    fn note_polls(&mut self, drained: bool) {
        if std::mem::take(&mut self.asked) {
            self.encoder.polled(std::mem::take(&mut self.polled), drained, self.digest.halves());
        }
    }

    /// Takes the buffers that the writer is done with.
    fn take_back(&mut self) {
        while let Ok(mut buffer) = self.empty.try_recv() {
            self.on_their_way = self.on_their_way.saturating_sub(1);
            if buffer.capacity() <= BUFFER_KEPT_MAX {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
    }

    /// Gives the buffer to the writer. When that is behind, the buffer grows up to its bound; then what is in it is dropped.
    fn hand_over(&mut self) {
        if self.encoder.frames == 0 {
            return;
        }
        self.take_back();
        let next = self.spare.pop().unwrap_or_default();
        match self.full.try_send(std::mem::replace(&mut self.encoder.bytes, next)) {
            Ok(()) => {
                self.on_their_way += 1;
                (self.encoder.frames, self.dropped, self.state_in_buffer) = (0, 0, 0);
            }
            Err(TrySendError::Full(kept)) if kept.len() <= self.buffer_bytes + self.state_in_buffer => {
                self.spare.push(std::mem::replace(&mut self.encoder.bytes, kept));
            }
            Err(TrySendError::Full(lost)) => self.drop_frames(lost),
            Err(TrySendError::Disconnected(lost)) => {
                self.ended = true;
                self.drop_frames(lost);
            }
        }
    }

    fn drop_frames(&mut self, mut lost: Vec<u8>) {
        self.lost = true;
        self.state_in_buffer = 0;
        self.dropped += self.encoder.frames;
        lost.clear();
        self.spare.push(std::mem::replace(&mut self.encoder.bytes, lost));
        self.encoder.dropped(self.dropped);
        // The note itself is not one of the node's frames: it does not count when it is lost again.
        self.encoder.frames = 0;
    }
}

impl Drop for Tape {
    /// The node is gone: nobody is kept waiting any more, so the rest may take its time.
    fn drop(&mut self) {
        self.note_polls(false);
        if !self.encoder.bytes.is_empty() {
            // A writer that has ended cannot be told.
            let _ended = self.full.send(std::mem::take(&mut self.encoder.bytes));
        }
    }
}

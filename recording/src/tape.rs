//! The encoding side of a recording, on the node's own thread.
//!
//! It encodes into a buffer and hands that over when the node has been drained. It never waits: when the writer is
//! behind, the buffer grows up to its bound; beyond that it is dropped, the frames in it are counted, and the count is
//! written where they are missing. Buffers come back from the writer, so that a running recorder allocates nothing.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use wallex_core::effect::{Effect, Input};
use wallex_core::time::Timestamp;

use crate::digest::Digest;
use crate::frame::Encoder;

/// A buffer is handed over in the midst of a drain too, once it is this large; and it grows no further while the writer is
/// behind.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// What a node's thread writes to.
#[derive(Debug)]
pub struct Tape {
    encoder: Encoder,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    digest: Digest,
    polled: u64,
    asked: bool,
    dropped: u64,
    buffer_bytes: usize,
}

impl Tape {
    pub(crate) fn new(full: SyncSender<Vec<u8>>, empty: Receiver<Vec<u8>>, buffer_bytes: usize) -> Self {
        let (encoder, digest) = (Encoder::default(), Digest::default());
        Self { encoder, full, empty, digest, polled: 0, asked: false, dropped: 0, buffer_bytes }
    }

    /// The node is fed an input.
    pub(crate) fn input(&mut self, now: Timestamp, input: &Input) {
        self.note_polls(false);
        self.encoder.input(now, input);
    }

    /// The node is told that time has passed.
    pub(crate) fn timeout(&mut self, now: Timestamp) {
        self.note_polls(false);
        self.encoder.timeout(now);
    }

    /// The node was asked for an effect.
    pub(crate) fn polled(&mut self, effect: Option<&Effect>) {
        self.asked = true;
        match effect {
            Some(effect) => {
                self.digest.value(effect);
                self.polled += 1;
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

    fn note_polls(&mut self, drained: bool) {
        if std::mem::take(&mut self.asked) {
            self.encoder.polled(std::mem::take(&mut self.polled), drained, self.digest.halves());
        }
    }

    /// Gives the buffer to the writer. When that is behind, the buffer grows up to its bound; then what is in it is dropped.
    fn hand_over(&mut self) {
        if self.encoder.frames == 0 {
            return;
        }
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.clear();
        match self.full.try_send(std::mem::replace(&mut self.encoder.bytes, next)) {
            Ok(()) => (self.encoder.frames, self.dropped) = (0, 0),
            Err(TrySendError::Full(kept)) if kept.len() <= self.buffer_bytes => self.encoder.bytes = kept,
            Err(TrySendError::Full(mut lost) | TrySendError::Disconnected(mut lost)) => {
                self.dropped += self.encoder.frames;
                lost.clear();
                self.encoder.bytes = lost;
                self.encoder.dropped(self.dropped);
                // The note itself is not one of the node's frames: it does not count when it is lost again.
                self.encoder.frames = 0;
            }
        }
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

//! Idempotency keys in memory: which payload each one answers, and where the answer is (INV-05).
//!
//! Answers themselves stay in the journal and are read back when a retry asks, so a key costs some 80 bytes however
//! large its answer is. Like [`crate::heads`], keys of a frame that does not become durable are taken back.

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use wallex_core::command::{Fingerprint, KeyHash};
use wallex_core::time::Timestamp;

use crate::shared::Place;

/// What is known about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) expires_at: Timestamp,
    /// The append that holds the record.
    pub(crate) block: Place,
    /// Where the record begins in the append.
    pub(crate) record: u32,
}

impl KeyEntry {
    /// Whether the frame that holds it has no place yet.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.block.number == 0
    }
}

/// All keys that have not been forgotten.
#[derive(Debug)]
pub(crate) struct Keys {
    entries: IndexMap<KeyHash, KeyEntry, FixedState>,
    undo: Vec<(usize, Option<KeyEntry>)>,
    /// Where the next step of [`Keys::forget_expired`] begins.
    sweep: usize,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self { entries: IndexMap::with_hasher(FixedState::with_seed(seed)), undo: Vec::new(), sweep: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn reserve(&mut self, keys: usize) {
        self.entries.reserve(keys);
    }

    /// The entry of a key that has not expired.
    pub(crate) fn find(&self, key: &KeyHash, now: Timestamp) -> Option<&KeyEntry> {
        self.entries.get(key).filter(|entry| entry.expires_at > now)
    }

    /// Adds a key of the frame that is being built, in place of an expired one. Its place counts from the beginning of
    /// the frame until [`Keys::settle`]. Says whether the frame had none under this key yet.
    pub(crate) fn add(&mut self, key: KeyHash, entry: KeyEntry) -> bool {
        let (index, before) = self.entries.insert_full(key, entry);
        self.undo.push((index, before));
        before.is_none_or(|before| !before.is_unsettled())
    }

    /// Adds the place of the frame to the keys that were added for it.
    pub(crate) fn settle(&mut self, frame: Place) {
        for (index, _) in &self.undo {
            if let Some((_, entry)) = self.entries.get_index_mut(*index)
                && entry.is_unsettled()
            {
                entry.block = Place { number: frame.number, offset: frame.offset + entry.block.offset };
            }
        }
    }

    /// Adds a key of a durable frame or snapshot.
    pub(crate) fn restore(&mut self, key: KeyHash, entry: KeyEntry) {
        self.entries.insert(key, entry);
    }

    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    pub(crate) fn back_to(&mut self, mark: usize) {
        for (index, before) in self.undo.drain(mark..).rev() {
            match before {
                Some(before) => {
                    if let Some((_, entry)) = self.entries.get_index_mut(index) {
                        *entry = before;
                    }
                }
                None => {
                    self.entries.pop();
                }
            }
        }
    }

    /// Everything up to now is durable.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Looks at up to `limit` keys, going round, and forgets those that have expired. Returns how many those were.
    pub(crate) fn forget_expired(&mut self, now: Timestamp, limit: usize) -> usize {
        let mut forgotten = 0;
        for _ in 0..limit.min(self.entries.len()) {
            if self.sweep >= self.entries.len() {
                self.sweep = 0;
            }
            match self.entries.get_index(self.sweep) {
                Some((_, entry)) if entry.expires_at <= now => {
                    self.entries.swap_remove_index(self.sweep);
                    forgotten += 1;
                }
                Some(_) | None => self.sweep += 1,
            }
        }
        forgotten
    }
}

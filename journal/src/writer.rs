//! The single writer: turns groups of appends into frames, and frames into durable facts.
//!
//! Owns the heads and the keys. Every append is checked against them, written into the frame that is being built, and
//! folded into them, so the appends of a group see each other in order; then the whole frame is synced once. Outcomes
//! are what is known (INV-04): `Done` only after the sync, `Conflict` and `Failed` only when nothing of the append can
//! ever be found, `Unknown` otherwise.

use std::borrow::Borrow;
use std::sync::Arc;

use wallex_core::command::{FinalAnswer, Fingerprint, KeyHash};
use wallex_core::effect::{Append, Completion, Load, Loaded};
use wallex_core::id::{Position, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::answer::{Unanswerable, restore};
use crate::error::{During, JournalError};
use crate::frame::{FRAME_BYTES_FULL, FRAME_HEADER_BYTES, FrameBuilder, frame_length};
use crate::heads::Heads;
use crate::keys::Keys;
use crate::maintenance::Maintenance;
use crate::reader::Reader;
use crate::segment::segment_name;
use crate::shared::Shared;
use crate::stage::{Stage, Staged};
use crate::storage::{Lock, Storage};
use crate::tail::{NotDurable, Tail};
use crate::window::read_block;

/// How an append ended.
pub type AppendOutcome = Completion<()>;

/// The single writer of a journal.
#[derive(Debug)]
pub struct Journal<S: Storage> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) lock: S::Lock,
    pub(crate) tail: Tail<S>,
    pub(crate) heads: Heads,
    pub(crate) keys: Keys,
    pub(crate) stage: Stage,
}

impl<S: Storage> Journal<S> {
    /// Appends a group: one frame and one sync for all of it (more when it exceeds 16 MiB). The outcomes are in order,
    /// one for each append. Appends see the earlier ones of their group. An append whose very events are already there
    /// is done; an append that finds another state, or an idempotency key that was used before, is a conflict.
    pub fn append<A: Borrow<Append>>(&mut self, group: &[A], now: Timestamp) -> Vec<AppendOutcome> {
        let mut outcomes = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        for (index, append) in group.iter().enumerate() {
            if self.stage.frame.bytes.len() >= FRAME_BYTES_FULL {
                self.commit(now, &mut outcomes, &mut waiting);
            }
            let earlier = &group[..index];
            let outcome = match self.stage(append.borrow(), earlier, &waiting, now) {
                Staged::Added | Staged::AddedBefore => {
                    waiting.push(index);
                    Completion::Done(())
                }
                Staged::Durable => Completion::Done(()),
                Staged::Conflict => Completion::Conflict,
                Staged::Failed(failure) => Completion::Failed(failure),
                Staged::Unknown => Completion::Unknown,
            };
            outcomes.push(outcome);
        }
        self.commit(now, &mut outcomes, &mut waiting);
        outcomes
    }

    /// Makes the frame that was built durable, and settles the appends that wait for it.
    fn commit(&mut self, now: Timestamp, outcomes: &mut [AppendOutcome], waiting: &mut Vec<usize>) {
        let written = if self.stage.frame.is_empty() { Ok(()) } else { self.write_frame(now) };
        match written {
            Ok(()) => {
                self.heads.keep();
                self.keys.keep();
                self.shared.recent.add(std::mem::take(&mut self.stage.followed));
            }
            Err(not_durable) => {
                self.heads.back_to(0);
                self.keys.back_to(0);
                for index in waiting.iter() {
                    outcomes[*index] = match &not_durable {
                        NotDurable::Failed(failure) => Completion::Failed(failure.clone()),
                        NotDurable::Unknown => Completion::Unknown,
                    };
                }
            }
        }
        self.stage.frame.clear();
        self.stage.followed.clear();
        waiting.clear();
    }

    fn write_frame(&mut self, now: Timestamp) -> Result<(), NotDurable> {
        let place = self.tail.make_room(frame_length_of(&self.stage.frame))?;
        self.keys.settle(place);
        self.tail.commit(&mut self.stage.frame, now)
    }

    /// The newest state of a wallet; no snapshot when it is not newer than what is known.
    #[must_use]
    pub fn load(&self, load: &Load) -> Loaded {
        let newer = self.heads.find(&load.wallet).filter(|wallet| wallet.version > load.known);
        Loaded { snapshot: newer.cloned(), events: Vec::new() }
    }

    /// The newest state of a wallet.
    #[must_use]
    pub fn wallet(&self, wallet: &WalletId) -> Option<&Wallet> {
        self.heads.find(wallet)
    }

    /// All wallets, in no particular order.
    pub fn wallets(&self) -> impl Iterator<Item = &Wallet> {
        self.heads.iter()
    }

    /// The payload and the answer that are stored under a key, unless it has expired. Reads the answer from the disk.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when the record fails its checks, [`JournalError::Io`] when it cannot be read.
    pub fn reserve(&self, key: &KeyHash, now: Timestamp) -> Result<Option<(Fingerprint, FinalAnswer)>, JournalError> {
        let Some(entry) = self.keys.find(key, now) else { return Ok(None) };
        let name = segment_name(entry.block.number);
        let offset = u64::from(entry.block.offset);
        let file = self.shared.file(entry.block.number)?;
        let mut buffer = Vec::new();
        let damaged = |reason: &str| self.shared.damaged_append(entry.block, reason);
        let block = read_block(&*file, offset, &mut buffer).during("read", &name)?;
        let block = block.map_err(|malformed| damaged(malformed.0))?;
        let record = block.record_at(entry.record).map_err(|malformed| damaged(malformed.0))?;
        if record.key != *key || record.fingerprint != entry.fingerprint {
            return Err(damaged("another idempotency record is where this one was written"));
        }
        match restore(&block, &record, &self.heads) {
            Ok(answer) => Ok(Some((entry.fingerprint, answer))),
            Err(Unanswerable::Malformed(malformed)) => Err(damaged(malformed.0)),
            Err(Unanswerable::Unreadable(position, source)) => {
                Err(JournalError::Unreadable { position: Position(position), source })
            }
        }
    }

    /// Looks at up to `limit` keys and forgets those that have expired; call it now and then. Returns how many those
    /// were. Expired keys count as absent with or without it: this gives their memory back.
    pub fn forget_expired_keys(&mut self, now: Timestamp, limit: usize) -> usize {
        self.keys.forget_expired(now, limit)
    }

    /// How many idempotency keys are in memory.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The last durable event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.shared.position())
    }

    /// Why the journal refuses every append, when it does: it cannot know what is on the disk, and only a restart can
    /// find out. For health checks.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.tail.stopped()
    }

    /// A handle for reading, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<S> {
        Reader::of_writer(self.shared.clone())
    }

    /// A handle for background work, for any thread.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance<S> {
        Maintenance::new(self.shared.clone())
    }

    /// Leaves a line of text in the lock file, such as the address of the service, for whoever finds it locked.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn describe(&self, note: &str) -> Result<(), JournalError> {
        self.lock.describe(note).during("write", "the lock file")
    }

    /// Ends the journal with an empty frame, so that damage to the last real one will show, and gives the directory
    /// free. Without it nothing is lost.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] with the reason, when that frame cannot be written.
    pub fn close(mut self, now: Timestamp) -> Result<(), JournalError> {
        self.stage.frame.clear();
        if self.position() == Position(0) {
            return Ok(());
        }
        self.write_frame(now).map_err(|not_durable| {
            JournalError::Stopped(match not_durable {
                NotDurable::Failed(failure) => failure.reason,
                NotDurable::Unknown => self.stopped().unwrap_or_default().to_owned(),
            })
        })
    }
}

fn frame_length_of(frame: &FrameBuilder) -> usize {
    frame_length(frame.bytes.len() - FRAME_HEADER_BYTES)
}

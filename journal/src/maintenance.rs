//! Work for the background, so that the writer never waits for it: prepared segments, index files, snapshots.
//!
//! Plain methods on a handle that any thread may hold; who calls them, and when, is the runtime's decision. Each may run
//! while the writer writes and readers read. None is needed for correctness: without them the journal is slower.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wallex_core::id::Position;
use wallex_core::time::Timestamp;

use crate::compact::write_snapshot;
use crate::error::JournalError;
use crate::index_file::build_missing;
use crate::segment::{UNFINISHED, allocate};
use crate::shared::{Prepared, Shared, locked};
use crate::storage::Storage;

/// A handle for background work.
#[derive(Debug)]
pub struct Maintenance<S: Storage> {
    shared: Arc<Shared<S>>,
}

impl<S: Storage> Clone for Maintenance<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S: Storage> Maintenance<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared }
    }

    /// Makes the next segment ready (writes and syncs its zeros), unless one is ready. Says whether it did. Call it
    /// after the start, and again whenever [`Maintenance::segments`] has grown.
    ///
    /// # Errors
    /// [`JournalError::Io`], also when the disk is full: then nothing is left behind.
    pub fn prepare_next_segment(&self) -> Result<bool, JournalError> {
        prepare_next_segment(&self.shared)
    }

    /// Builds the stream index of every full segment that has none. Returns how many were built.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a segment fails its checks, [`JournalError::Io`].
    pub fn build_indexes(&self) -> Result<usize, JournalError> {
        build_missing(&self.shared)
    }

    /// Writes a snapshot of everything that is durable now, without the keys that have expired. Returns the position it
    /// reaches; nothing when the newest one is current.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a frame fails its checks, [`JournalError::Io`].
    pub fn write_snapshot(&self, now: Timestamp) -> Result<Option<Position>, JournalError> {
        write_snapshot(&self.shared, now)
    }

    /// How many events a start would have to read after the newest snapshot.
    #[must_use]
    pub fn events_since_snapshot(&self) -> u64 {
        self.shared.position().saturating_sub(self.shared.snapshot_position.load(Ordering::Acquire))
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.shared.segment_count()
    }
}

/// Makes the next segment ready, unless one is. Says whether it did.
pub(crate) fn prepare_next_segment<S: Storage>(shared: &Shared<S>) -> Result<bool, JournalError> {
    let _one_at_a_time = locked(&shared.preparing);
    if locked(&shared.prepared).is_some() {
        return Ok(false);
    }
    let number = shared.preparations.fetch_add(1, Ordering::Relaxed);
    let name = format!("prepared-{number}{UNFINISHED}");
    let file = allocate(&shared.storage, &name, shared.segment_bytes)?;
    *locked(&shared.prepared) = Some(Prepared { file, name });
    Ok(true)
}

//! What stands where in a data directory. The service writes there, the tools read there.

use std::path::{Path, PathBuf};

use wallex_journal::{JournalError, OsStorage, Reader};

/// The journal's directory.
#[must_use]
pub fn journal(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// The SQLite file.
#[must_use]
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("wallex.db")
}

/// A reader of the journal of a service that runs elsewhere, or does not run.
///
/// # Errors
/// [`JournalError::Io`] when there is no journal, [`JournalError::Damaged`] when it is not what was written.
pub fn read_journal(data_dir: &Path) -> Result<Reader<OsStorage>, JournalError> {
    let directory = journal(data_dir);
    let storage = OsStorage::existing(&directory).map_err(|source| JournalError::Io {
        action: "open",
        file: directory.display().to_string(),
        source,
    })?;
    Reader::open_read_only(storage)
}

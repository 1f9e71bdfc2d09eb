//! The file abstraction: everything the journal asks of a disk, and what it may count on.
//!
//! The journal counts on this and no more (INV-04, INV-14): bytes are durable once `sync_data` has returned, names once
//! `sync_dir` has; until then each 512-byte sector of a write may be on the disk or not, in any order. After a sync that
//! failed nothing is known about what was written since the last good one. [`crate::os`] is the real disk; the
//! simulator brings a faulty one.

use std::fmt;
use std::io;

/// The unit in which a disk writes all or nothing, in bytes: the smallest that disks have.
pub const SECTOR_BYTES: u64 = 512;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; works without permission to write.
    Read,
    /// Reading and writing.
    Write,
}

/// A flat directory of files. Clones share it.
pub trait Storage: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// The exclusive lock; dropping it gives the directory free.
    type Lock: Lock;

    /// Names of all files, in any order.
    ///
    /// # Errors
    /// What the storage says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens an existing file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what the storage says.
    fn open(&self, name: &str, access: Access) -> io::Result<Self::File>;

    /// Makes an empty file, in place of an older one of that name. Its name is durable after `sync_dir`.
    ///
    /// # Errors
    /// What the storage says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file, in place of an older one of the new name, atomically. Durable after `sync_dir`.
    ///
    /// # Errors
    /// What the storage says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after `sync_dir`.
    ///
    /// # Errors
    /// What the storage says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// What the storage says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock of the directory, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when somebody has it.
    fn lock(&self) -> Result<Self::Lock, LockError>;

    /// Who holds the lock now, or held it last.
    ///
    /// # Errors
    /// What the storage says.
    fn lock_holder(&self) -> io::Result<Option<LockHolder>>;
}

/// An open file. All methods may be called from several threads.
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// What the storage says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, growing the file where needed. After an error some of it may be written.
    ///
    /// # Errors
    /// What the storage says; a full disk is [`io::ErrorKind::StorageFull`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written so far durable, with the file's length.
    ///
    /// # Errors
    /// What the storage says.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or grows the file; what is new reads as zeros.
    ///
    /// # Errors
    /// What the storage says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the storage says.
    fn length(&self) -> io::Result<u64>;
}

/// A held lock.
pub trait Lock: fmt::Debug + Send + 'static {
    /// Leaves a line of text for whoever finds the directory locked, such as the address the service listens on.
    ///
    /// # Errors
    /// What the storage says.
    fn describe(&self, note: &str) -> io::Result<()>;
}

/// Who has the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Process id; 0 when it is not known.
    pub pid: u32,
    /// What it said about itself ([`Lock::describe`]); empty when nothing.
    pub note: String,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.note.as_str()) {
            (0, _) => f.write_str("another process"),
            (pid, "") => write!(f, "process {pid}"),
            (pid, note) => write!(f, "process {pid} ({note})"),
        }
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("the directory is locked by {0}")]
    Held(LockHolder),
    /// The storage refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads until `buffer` is full or the file ends, and returns how much that is.
pub(crate) fn read_full(file: &impl File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

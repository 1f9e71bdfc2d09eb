//! The real disk: one directory of a local file system, through `std`.
//!
//! Syncs are `fdatasync` for contents and `fsync` of the directory for names, which POSIX asks for. The lock is an
//! advisory lock on the file `LOCK`, which the system gives free when the process ends in whatever way; the file says
//! who holds it.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::storage::{Access, File, Lock, LockError, LockHolder, Storage};

const LOCK_FILE: &str = "LOCK";

/// A directory on the real disk.
#[derive(Clone, Debug)]
pub struct OsStorage {
    path: Arc<Path>,
}

/// An open file on the real disk.
#[derive(Debug)]
pub struct OsFile(fs::File);

/// The lock of a directory on the real disk.
#[derive(Debug)]
pub struct OsLock(fs::File);

impl OsStorage {
    /// The directory at `path`, which is made when it is missing, with all that lead to it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        make_durably(&path)?;
        Self::existing(path)
    }

    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what the file system says.
    pub fn existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.into() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a directory and those above it that are missing. Each new name is synced in its parent: a directory that a power
/// loss takes away would take everything in it.
fn make_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    make_durably(parent)?;
    match fs::create_dir(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    fs::File::open(parent)?.sync_all()
}

impl Storage for OsStorage {
    type File = OsFile;
    type Lock = OsLock;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<OsFile> {
        let write = match access {
            Access::Read => false,
            Access::Write => true,
        };
        OpenOptions::new().read(true).write(write).open(self.path.join(name)).map(OsFile)
    }

    fn create(&self, name: &str) -> io::Result<OsFile> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path.join(name)).map(OsFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> Result<OsLock, LockError> {
        let path = self.path.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let unknown = LockHolder { pid: 0, note: String::new() };
                return Err(LockError::Held(self.lock_holder()?.unwrap_or(unknown)));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let lock = OsLock(file);
        lock.describe("")?;
        Ok(lock)
    }

    fn lock_holder(&self) -> io::Result<Option<LockHolder>> {
        let text = match fs::read_to_string(self.path.join(LOCK_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.trim().parse().ok());
        Ok(pid.map(|pid| LockHolder { pid, note: lines.next().unwrap_or("").to_owned() }))
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }
}

impl Lock for OsLock {
    fn describe(&self, note: &str) -> io::Result<()> {
        let line = note.lines().next().unwrap_or("");
        let text = format!("{}\n{line}\n", std::process::id());
        self.0.set_len(0)?;
        self.0.write_all_at(text.as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_directories_that_lead_to_a_new_one_are_made_and_none_is_made_twice() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data/of/the/service");
        for _ in 0..2 {
            assert_eq!(OsStorage::create(&path).unwrap().path(), path);
        }
        assert!(path.is_dir());
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("data"), "a file").unwrap();
        assert!(OsStorage::create(root.path().join("data/journal")).is_err());
        assert!(OsStorage::create(root.path().join("data")).is_err());
        assert_eq!(fs::read_to_string(root.path().join("data")).unwrap(), "a file");
    }
}

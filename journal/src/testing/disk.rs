//! The disk itself: an operation counter that a crash can be tied to, a capacity, syncs that fail, bits that rot.
//!
//! Implements [`Storage`] in memory, and never better than [`crate::storage`] promises: INV-04 and INV-14 are tested on
//! it. What a power cut leaves follows from the seed of [`FaultyStorage::restart`]. Which fault comes when is left to
//! the tests and to the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Access, File, Lock, LockError, LockHolder, SECTOR_BYTES, Storage};

/// A directory on a faulty disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage {
    disk: Arc<Mutex<Disk>>,
}

/// An open file on a faulty disk.
#[derive(Debug)]
pub struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    inode: usize,
}

/// The lock of a directory on a faulty disk.
#[derive(Debug)]
pub struct FaultyLock {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were written since the last sync.
    dirty: BTreeSet<u64>,
    /// The length was changed since the last sync.
    resized: bool,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last directory sync: each is the name and what it means afterwards.
    unsynced_names: Vec<Vec<(String, Option<usize>)>>,
    operations: u64,
    crash_at: Option<u64>,
    capacity: Option<u64>,
    failing_syncs: u64,
    full_writes: u64,
    failed_syncs: u64,
    locked: bool,
    note: String,
}

impl FaultyStorage {
    /// How many operations that change something were asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Lets the machine die in the middle of this operation ([`FaultyStorage::operations`] counts them); everything
    /// after it fails until [`FaultyStorage::restart`].
    pub fn crash_at(&self, operation: u64) {
        self.disk().crash_at = Some(operation);
    }

    /// Whether the machine has died.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.disk().is_down()
    }

    /// The disk as it is found after a power cut now.
    #[must_use]
    pub fn restart(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let disk = self.disk();
        let mut names = disk.durable_names.clone();
        let kept = chance.below(disk.unsynced_names.len() as u64 + 1) as usize;
        for (name, inode) in disk.unsynced_names.iter().take(kept).flatten() {
            match inode {
                Some(inode) => names.insert(name.clone(), *inode),
                None => names.remove(name),
            };
        }
        let inodes = disk.inodes.iter().map(|inode| inode.after_power_cut(&mut chance)).collect();
        let after = Disk { inodes, durable_names: names.clone(), names, capacity: disk.capacity, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(after)) }
    }

    /// Lets the disk be full at so many bytes, or never.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// How many bytes all files have.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.disk().used()
    }

    /// Lets the next syncs of files fail. Some of what was to be synced reaches the disk, as after a power cut; the
    /// rest stays in the cache, and no later sync brings it there unless it is written again.
    pub fn fail_syncs(&self, count: u64) {
        self.disk().failing_syncs = count;
    }

    /// How many writes found no room.
    #[must_use]
    pub fn full_writes(&self) -> u64 {
        self.disk().full_writes
    }

    /// How many syncs of files failed.
    #[must_use]
    pub fn failed_syncs(&self) -> u64 {
        self.disk().failed_syncs
    }

    /// Flips bits of a byte, in the cache and on the disk.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn rot(&self, name: &str, offset: u64, bits: u8) {
        let mut disk = self.disk();
        let inode = disk.names[name];
        let offset = offset as usize;
        disk.inodes[inode].cached[offset] ^= bits;
        if let Some(byte) = disk.inodes[inode].durable.get_mut(offset) {
            *byte ^= bits;
        }
    }

    /// The content of a file, as a running process sees it; nothing when it does not exist.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.names.get(name).map(|inode| disk.inodes[*inode].cached.clone())
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small generator of chance (SplitMix64): the same seed, the same faults.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Inode {
    fn after_power_cut(&self, chance: &mut Chance) -> Self {
        let mut durable = self.durable.clone();
        if self.resized && chance.below(2) == 0 {
            durable.resize(self.cached.len(), 0);
        }
        // All that was written, nothing, or any sectors of it.
        let mood = chance.below(4);
        for sector in &self.dirty {
            let kept = match mood {
                0 => true,
                1 => false,
                _ => chance.below(2) == 0,
            };
            let start = (sector * SECTOR_BYTES) as usize;
            let end = (start + SECTOR_BYTES as usize).min(self.cached.len());
            if kept && start < end {
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                durable[start..end].copy_from_slice(&self.cached[start..end]);
            }
        }
        Self { cached: durable.clone(), durable, ..Self::default() }
    }

    /// Everything that was written is on the disk; only what has changed is copied.
    fn make_durable(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = (sector * SECTOR_BYTES) as usize;
            let end = (start + SECTOR_BYTES as usize).min(self.cached.len());
            if start < end {
                self.durable[start..end].copy_from_slice(&self.cached[start..end]);
            }
        }
        self.resized = false;
    }
}

impl Disk {
    fn is_down(&self) -> bool {
        self.crash_at.is_some_and(|at| self.operations >= at)
    }

    /// Counts an operation; says whether it is the one in which the machine dies.
    fn begin(&mut self) -> io::Result<bool> {
        self.is_running()?;
        self.operations += 1;
        Ok(self.is_down())
    }

    fn is_running(&self) -> io::Result<()> {
        if self.is_down() { Err(io::Error::other("the machine is down")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].cached.len() as u64).sum()
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename_all(&mut self, changes: Vec<(String, Option<usize>)>) {
        for (name, inode) in &changes {
            match inode {
                Some(inode) => self.names.insert(name.clone(), *inode),
                None => self.names.remove(name),
            };
        }
        self.unsynced_names.push(changes);
    }

    /// Writes as much as there is room for.
    fn write(&mut self, inode: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()));
        let file = &mut self.inodes[inode];
        let reach = (file.cached.len() as u64).saturating_add(room);
        let end = (offset + bytes.len() as u64).min(reach);
        let fitting = end.saturating_sub(offset) as usize;
        if fitting > 0 {
            if (file.cached.len() as u64) < end {
                file.cached.resize(end as usize, 0);
                file.resized = true;
            }
            file.cached[offset as usize..end as usize].copy_from_slice(&bytes[..fitting]);
            file.dirty.extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
        }
        if fitting < bytes.len() {
            self.full_writes += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        let file = &mut self.inodes[inode];
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            self.failed_syncs += 1;
            // As Linux does it: some pages reached the disk, some did not, and all count as clean from now on.
            let reached = file.after_power_cut(&mut Chance(self.operations));
            file.durable = reached.durable;
            file.dirty.clear();
            file.resized = false;
            return Err(io::Error::other("the sync has failed"));
        }
        file.make_durable();
        Ok(())
    }
}

impl Storage for FaultyStorage {
    type File = FaultyFile;
    type Lock = FaultyLock;

    fn list(&self) -> io::Result<Vec<String>> {
        let disk = self.disk();
        disk.is_running()?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<FaultyFile> {
        let disk = self.disk();
        disk.is_running()?;
        Ok(FaultyFile { disk: self.disk.clone(), inode: disk.inode(name)? })
    }

    fn create(&self, name: &str) -> io::Result<FaultyFile> {
        let mut disk = self.disk();
        disk.begin()?;
        disk.inodes.push(Inode::default());
        let inode = disk.inodes.len() - 1;
        disk.rename_all(vec![(name.to_owned(), Some(inode))]);
        Ok(FaultyFile { disk: self.disk.clone(), inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.begin()?;
        let inode = disk.inode(from)?;
        disk.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.begin()?;
        disk.inode(name)?;
        disk.rename_all(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.begin()? {
            return Err(io::Error::other("the machine is down"));
        }
        disk.durable_names = disk.names.clone();
        disk.unsynced_names.clear();
        Ok(())
    }

    fn lock(&self) -> Result<FaultyLock, LockError> {
        let mut disk = self.disk();
        if disk.locked {
            return Err(LockError::Held(LockHolder { pid: 1, note: disk.note.clone() }));
        }
        disk.locked = true;
        disk.note.clear();
        Ok(FaultyLock { disk: self.disk.clone() })
    }

    fn lock_holder(&self) -> io::Result<Option<LockHolder>> {
        let disk = self.disk();
        Ok(disk.locked.then(|| LockHolder { pid: 1, note: disk.note.clone() }))
    }
}

impl FaultyFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk();
        disk.is_running()?;
        let content = &disk.inodes[self.inode].cached;
        let start = usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()));
        let read = buffer.len().min(content.len() - start);
        buffer[..read].copy_from_slice(&content[start..start + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let dies = disk.begin()?;
        disk.write(self.inode, bytes, offset)?;
        if dies { Err(io::Error::other("the machine is down")) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.begin()? {
            return Err(io::Error::other("the machine is down"));
        }
        disk.sync(self.inode)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.begin()?;
        let file = &mut disk.inodes[self.inode];
        // What is cut off is not what it was, even when the file grows again before it is synced.
        file.dirty.extend(length / SECTOR_BYTES..(file.cached.len() as u64).div_ceil(SECTOR_BYTES));
        file.cached.resize(length as usize, 0);
        file.resized = true;
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let disk = self.disk();
        disk.is_running()?;
        Ok(disk.inodes[self.inode].cached.len() as u64)
    }
}

impl Lock for FaultyLock {
    fn describe(&self, note: &str) -> io::Result<()> {
        note.clone_into(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner).note);
        Ok(())
    }
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).locked = false;
    }
}

//! A faulty disk in memory, for tests of this crate and of those that use it.
//!
//! Each file has a cached and a durable content, the directory likewise. A crash keeps what was synced; of the rest each
//! sector, and each change of a name, may or may not have reached the disk. It is never kinder than a real disk, and
//! all chance comes from the seed.

mod disk;

pub use disk::{FaultyFile, FaultyLock, FaultyStorage};

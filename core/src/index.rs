//! Hash tables that behave the same on every run: insertion-ordered, with a hash seed that comes from outside.

use std::hash::BuildHasher;

use indexmap::IndexMap;

/// Builds hashers from the seed of [`crate::config::Config::hash_seed`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SeededState(u64);

/// An insertion-ordered hash map. Its iteration order depends on the operations done to it and on nothing else.
pub type Index<K, V> = IndexMap<K, V, SeededState>;

/// An empty map with this hash seed.
#[must_use]
pub fn index<K, V>(seed: u64) -> Index<K, V> {
    IndexMap::with_hasher(SeededState(seed))
}

impl BuildHasher for SeededState {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        foldhash::fast::FoldHasher::with_seed(self.0, foldhash::SharedSeed::global_fixed())
    }
}

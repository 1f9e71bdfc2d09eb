//! Hash tables that behave the same on every run: insertion-ordered, with a hash seed that comes from outside.
//!
//! The core has no others (INV-13): order follows from what was done to a table, and the seed only decides which keys
//! collide. Here is also how tables are written down and read back with a node's state.

use std::hash::BuildHasher;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Builds hashers from the seed of [`crate::config::Config::hash_seed`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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

/// A map of any kind as a list of pairs: its keys need not be text.
pub(crate) mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<'a, M, K, V, S>(map: &'a M, serializer: S) -> Result<S::Ok, S::Error>
    where
        &'a M: IntoIterator<Item = (&'a K, &'a V)>,
        K: Serialize + 'a,
        V: Serialize + 'a,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, M, K, V, D>(deserializer: D) -> Result<M, D::Error>
    where
        M: IntoIterator<Item = (K, V)> + FromIterator<(K, V)>,
        K: Deserialize<'de>,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// An [`Index`] as its hash seed and its pairs, in their order.
pub(crate) mod seeded {
    use std::hash::Hash;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Index, SeededState, index};

    #[derive(Serialize)]
    struct Written<'a, K, V> {
        seed: SeededState,
        pairs: Vec<(&'a K, &'a V)>,
    }

    #[derive(Deserialize)]
    struct Read<K, V> {
        seed: SeededState,
        pairs: Vec<(K, V)>,
    }

    pub(crate) fn serialize<K, V, S>(map: &Index<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        Written { seed: *map.hasher(), pairs: map.iter().collect() }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<Index<K, V>, D::Error>
    where
        K: Deserialize<'de> + Eq + Hash,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let Read { seed: SeededState(seed), pairs } = Read::deserialize(deserializer)?;
        let mut map = index(seed);
        map.extend(pairs);
        Ok(map)
    }
}

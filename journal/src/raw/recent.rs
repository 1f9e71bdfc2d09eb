//! The newest event ids, by which a repeated append is recognised when its expectation does not say where to look.
//!
//! A bounded cache that a restart empties, as in KurrentDB: appends that must be safe to repeat name a revision. It only
//! proposes a place; that the events there are the same is checked in the log.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

/// Most ids that are remembered.
const RECENT_MAX: usize = 65_536;

/// The newest event ids and where they went.
#[derive(Debug)]
pub(crate) struct Recent {
    places: HashMap<[u8; 16], (u64, u64), FixedState>,
    order: VecDeque<[u8; 16]>,
    hasher: FixedState,
}

impl Recent {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { places: HashMap::with_hasher(hasher.clone()), order: VecDeque::new(), hasher }
    }

    pub(crate) fn remember(&mut self, id: [u8; 16], stream: &str, revision: u64) {
        if self.order.len() == RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
        if self.places.insert(id, (self.hasher.hash_one(stream), revision)).is_none() {
            self.order.push_back(id);
        }
    }

    /// The revision that an event may have in this stream.
    pub(crate) fn find(&self, id: &[u8; 16], stream: &str) -> Option<u64> {
        let (hash, revision) = self.places.get(id)?;
        (*hash == self.hasher.hash_one(stream)).then_some(*revision)
    }

    pub(crate) fn forget_all(&mut self) {
        self.places.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ids_are_forgotten_first() {
        let mut recent = Recent::new(1);
        for number in 0..=RECENT_MAX as u128 {
            recent.remember(number.to_le_bytes(), "s", number as u64);
        }
        assert_eq!(recent.find(&0_u128.to_le_bytes(), "s"), None);
        assert_eq!(recent.find(&1_u128.to_le_bytes(), "s"), Some(1));
        assert_eq!(recent.find(&1_u128.to_le_bytes(), "t"), None);
        assert_eq!(recent.places.len(), RECENT_MAX);
    }
}

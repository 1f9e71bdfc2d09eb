//! Numbered places: what is put in gets a number, which is free for others once it is taken out.
//!
//! A place of its own and not the crate of this name, because the free places and their order are a part of a node's
//! state: a node that is written down and read back must give the next command and the next wallet the same number.

use serde::{Deserialize, Serialize};

/// Values by number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    len: usize,
    /// The place that is filled next: the one that was freed last, or one more.
    next: usize,
}

#[derive(Debug, Serialize, Deserialize)]
enum Entry<T> {
    /// Free, and which place is filled after it.
    Free(usize),
    Taken(T),
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), len: 0, next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places it may have before it grows: it doubles.
    pub(crate) fn room(&self) -> usize {
        if self.entries.is_empty() { 0 } else { self.entries.len().next_power_of_two().max(4) }
    }

    pub(crate) fn insert(&mut self, value: T) -> usize {
        let at = self.next;
        self.len += 1;
        match self.entries.get_mut(at) {
            Some(entry) => {
                if let Entry::Free(next) = std::mem::replace(entry, Entry::Taken(value)) {
                    self.next = next;
                }
            }
            None => {
                self.entries.push(Entry::Taken(value));
                self.next = at + 1;
            }
        }
        at
    }

    /// Takes a value out.
    ///
    /// # Panics
    /// When the place is free: numbers are the machine's own.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        let free = Entry::Free(self.next);
        match self.entries.get_mut(at).map(|entry| std::mem::replace(entry, free)) {
            Some(Entry::Taken(value)) => {
                self.len -= 1;
                self.next = at;
                value
            }
            Some(Entry::Free(_)) | None => panic!("place {at} is free"),
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        match self.entries.get(at) {
            Some(Entry::Taken(value)) => Some(value),
            Some(Entry::Free(_)) | None => None,
        }
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match self.entries.get_mut(at) {
            Some(Entry::Taken(value)) => Some(value),
            Some(Entry::Free(_)) | None => None,
        }
    }

    /// Numbers and values, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| match entry {
            Entry::Taken(value) => Some((at, value)),
            Entry::Free(_) => None,
        })
    }
}

impl<T> std::ops::Index<usize> for Slab<T> {
    type Output = T;
    fn index(&self, at: usize) -> &T {
        self.get(at).expect("the place is taken")
    }
}

impl<T> std::ops::IndexMut<usize> for Slab<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        self.get_mut(at).expect("the place is taken")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_keep_their_numbers_and_a_copy_gives_out_the_same(
            steps in prop::collection::vec(any::<(bool, u16)>(), 0..200),
        ) {
            let mut slab = Slab::new();
            let mut model: BTreeMap<usize, u16> = BTreeMap::new();
            for (insert, draw) in steps {
                let taken: Vec<usize> = model.keys().copied().collect();
                if insert || taken.is_empty() {
                    let json = serde_json::to_vec(&slab).unwrap();
                    let mut copy: Slab<u16> = serde_json::from_slice(&json).unwrap();
                    let at = slab.insert(draw);
                    prop_assert_eq!(copy.insert(draw), at);
                    prop_assert_eq!(copy.room(), slab.room());
                    prop_assert_eq!(model.insert(at, draw), None);
                } else {
                    let at = taken[usize::from(draw) % taken.len()];
                    prop_assert_eq!(Some(slab.remove(at)), model.remove(&at));
                    prop_assert_eq!(slab.get(at), None);
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(slab.iter().eq(model.iter().map(|(at, value)| (*at, value))));
            }
        }
    }
}

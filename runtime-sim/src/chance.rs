//! Chance, all of it from one seed: a SplitMix64 generator for each concern.
//!
//! Concerns have generators of their own, so that one more draw in the workload does not reshuffle the faults, and a plan
//! that is shrunk still meets the network it met before (INV-13).

/// What a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Which kinds of operations and faults a seed has.
    Options,
    /// What the clients do.
    Workload,
    /// What goes wrong, and when.
    Faults,
    /// Delay, loss and duplication of messages.
    Network,
    /// How long servers and disks take.
    Service,
    /// What clients choose while they run: instances, delays before a retry.
    Clients,
    /// What a power cut leaves on a disk.
    Disk,
    /// Ids that a runtime draws.
    Ids,
    /// More of what goes wrong, and what goes wrong at any time: apart, so that it moves nothing of the rest.
    More,
}

/// A generator of chance.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The generator of a concern under a seed.
    #[must_use]
    pub fn of(seed: u64, concern: Concern) -> Self {
        let mut chance = Self(seed ^ (concern as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.draw();
        chance
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times in a million.
    pub fn ppm(&mut self, times: u32) -> bool {
        times > 0 && self.below(1_000_000) < u64::from(times)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: u32) -> bool {
        self.ppm(times.saturating_mul(10_000))
    }

    /// One of several; `items` must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concerns_of_one_seed_have_nothing_in_common_and_seeds_neither() {
        let first = |seed, concern| Chance::of(seed, concern).draw();
        let mut drawn = vec![first(1, Concern::Workload), first(1, Concern::Faults), first(2, Concern::Workload)];
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 3);
        assert_eq!(first(7, Concern::Network), first(7, Concern::Network));
    }

    #[test]
    fn between_reaches_both_ends_and_nothing_beyond() {
        let mut chance = Chance::of(3, Concern::Service);
        let drawn: Vec<u64> = (0..200).map(|_| chance.between(2, 4)).collect();
        assert!(drawn.iter().all(|number| (2..=4).contains(number)));
        assert!([2, 3, 4].iter().all(|number| drawn.contains(number)));
    }
}

//! Seeded choices: xorshift64* (Vigna 2016), one stream per concern.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of numbers.
pub(crate) struct Rng(u64);

/// A fresh seed.
pub(crate) fn from_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").subsec_nanos().into()
}

impl Rng {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mixed = (seed ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(2_685_821_657_736_338_717).wrapping_add(stream << 17);
        let mut rng = Self(mixed | 1);
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

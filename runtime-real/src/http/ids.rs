//! Fresh identifiers for requests: the core takes them from outside.
//!
//! Each thread has a generator of its own, seeded from the operating system, so that an id costs a few nanoseconds. The
//! ids are unique, not secret.

use std::cell::Cell;

use wallex_core::id::{CommandId, CorrelationId};
use wallex_core::time::Timestamp;

thread_local! {
    static GENERATOR: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// A fresh command id.
#[must_use]
pub(super) fn command_id(now: Timestamp) -> CommandId {
    CommandId::new(now, random())
}

/// A fresh correlation id: a UUID of its own, so that it says nothing about the command.
#[must_use]
pub(super) fn correlation_id(now: Timestamp) -> CorrelationId {
    let mut text = Vec::with_capacity(36);
    CommandId::new(now, random()).write_text(&mut text);
    let parsed = std::str::from_utf8(&text).ok().and_then(|text| CorrelationId::parse(text).ok());
    parsed.expect("the text of a UUID is visible ASCII of 36 characters")
}

/// 64 random bits: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators") over a counter,
/// blinded with a second seed.
fn random() -> u64 {
    GENERATOR.with(|generator| {
        let (counter, blind) = generator.get().unwrap_or_else(seed);
        let next = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        generator.set(Some((next, blind)));
        let mut mixed = next;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31) ^ blind
    })
}

fn seed() -> (u64, u64) {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let number = u128::from_le_bytes(bytes);
    (number as u64, (number >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_of_several_threads_never_meet() {
        let made = || (0..10_000).map(|_| command_id(Timestamp::from_micros(0))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(made)).collect();
        let all: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 40_000);
    }
}

//! Delays between attempts: they double from a short one to a bound, and are spread by chance, so that clients that lost
//! the same server do not come back all at once.

use std::time::Duration;

const DELAY_MIN: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The delay after so many failures in a row (from 1): between half of the nominal delay and all of it.
pub(crate) fn delay(failures: u32) -> Duration {
    let doubled = DELAY_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let nominal = doubled.min(DELAY_MAX);
    // Without chance from the system the delay is the nominal one: only the spread is lost.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    nominal / 2 + (nominal / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound_and_never_beyond() {
        for (failures, nominal) in [(1, 50), (2, 100), (4, 400), (8, 5_000), (200, 5_000)] {
            let nominal = Duration::from_millis(nominal);
            let delay = delay(failures);
            assert!(delay >= nominal / 2 && delay <= nominal, "{failures} failures: {delay:?}");
        }
    }
}

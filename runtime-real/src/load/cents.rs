//! Money on the client's side: whole cents of a currency with two decimal places.
//!
//! Independent of the core's arithmetic, so that the comparison at the end of a run compares two calculations.

use std::fmt;

/// A signed number of cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

impl Cents {
    /// Reads a JSON number or string of plain digits with at most two decimal places.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        let text = json.trim_matches('"');
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "00"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 2 {
            return None;
        }
        let mut cents = whole.parse::<i64>().ok()?.checked_mul(100)?;
        let scale = if fraction.len() == 1 { 10 } else { 1 };
        cents = cents.checked_add(fraction.parse::<i64>().ok()? * scale)?;
        Some(Self(if digits.len() == text.len() { cents } else { -cents }))
    }
}

impl fmt::Display for Cents {
    /// Plain digits, as a request carries them: `1234.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl std::ops::Add for Cents {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::iter::Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self(0), |sum, value| sum + value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_exactly_with_or_without_quotes() {
        for (json, cents) in [("150.00", 15_000), ("\"-0.05\"", -5), ("7", 700), ("1.5", 150), ("0", 0)] {
            assert_eq!(Cents::parse(json), Some(Cents(cents)), "{json}");
        }
        for json in ["", "1.", ".5", "1e2", "1.001", "null", "--1", "99999999999999999999"] {
            assert_eq!(Cents::parse(json), None, "{json}");
        }
        assert_eq!(Cents(-123_405).to_string(), "-1234.05");
    }
}

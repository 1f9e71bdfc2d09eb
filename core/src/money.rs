//! Money: exact decimals, tied to the scale of a currency, inside stated bounds.
//!
//! Owns the arithmetic that INV-01 and INV-02 rest on. There is no float anywhere: requests are parsed from their
//! digits and answers are written from the mantissa. Every [`Money`] inside the engine carries exactly the scale of
//! its currency (`150.00`, never `150.0`), so sums keep it and text is canonical.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use crate::currency::Currency;
use crate::limits::{AMOUNT_MAX, BALANCE_MAX};

/// A sum of money in the scale of its currency: a balance, or a signed ledger amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(transparent)]
pub struct Money(Decimal);

/// Text for people; for anything else (a hash over the data) the number as it is.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Serialize::serialize(&self.0, serializer)
        } else {
            (self.0.mantissa(), self.0.scale()).serialize(serializer)
        }
    }
}

/// A positive sum that a request names, at most [`AMOUNT_MAX`] units, before the currency of its wallet is known:
/// [`Amount::in_currency`] turns it into [`Money`] or refuses digits that the currency does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(Decimal);

/// Why a text is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number (digits, at most one point, an optional leading minus).
    #[error("must be a plain decimal number such as 12.50, without exponent, sign prefix or separators")]
    NotANumber,
    /// More decimal places than the currency has.
    #[error("must have at most {scale} decimal places for {currency}")]
    TooPrecise {
        /// The currency whose scale is exceeded.
        currency: Currency,
        /// Its scale.
        scale: u32,
    },
    /// Zero or negative where an amount is due.
    #[error("must be greater than zero")]
    NotPositive,
    /// Above the bound for an amount or a balance.
    #[error("must be at most {limit}")]
    TooLarge {
        /// The bound, in whole units.
        limit: u64,
    },
}

impl Money {
    /// Nothing, in the scale of `currency`.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self(Decimal::new(0, currency.scale()))
    }

    /// Parses plain decimal digits (`150`, `150.0`, `-3.10`) and fixes the scale to that of `currency`.
    /// `1.000` is fine for USD (nothing is lost), `1.001` is not.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`], [`MoneyError::TooPrecise`] or [`MoneyError::TooLarge`].
    pub fn parse(digits: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::from_decimal(parse_decimal(digits, BALANCE_MAX)?, currency)
    }

    /// Takes any exact decimal and fixes its scale to that of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] when digits would be lost, [`MoneyError::TooLarge`] above [`BALANCE_MAX`].
    pub fn from_decimal(value: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let scale = currency.scale();
        let mut rescaled = value;
        if value.scale() != scale {
            rescaled.rescale(scale);
            if rescaled != value {
                return Err(MoneyError::TooPrecise { currency, scale });
            }
        }
        if rescaled.abs() > Decimal::from(BALANCE_MAX) {
            return Err(MoneyError::TooLarge { limit: BALANCE_MAX });
        }
        Ok(Self(rescaled))
    }

    /// The exact decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The value in the smallest unit of its currency (cents for USD).
    #[must_use]
    pub fn minor_units(self) -> i128 {
        self.0.mantissa()
    }

    /// The sum of minor units `mantissa` in `currency`; the inverse of [`Money::minor_units`].
    #[must_use]
    pub fn from_minor_units(mantissa: i64, currency: Currency) -> Self {
        Self(Decimal::new(mantissa, currency.scale()))
    }

    /// `self + other`, or nothing when that is above [`BALANCE_MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        (sum <= Decimal::from(BALANCE_MAX)).then_some(Self(sum))
    }

    /// `self - other`, or nothing when that is below zero, the floor of every balance (INV-02).
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        let difference = self.0.checked_sub(other.0)?;
        (!difference.is_sign_negative() || difference.is_zero()).then_some(Self(difference))
    }

    /// The same sum with the sign turned round, for the debit side of a ledger.
    #[must_use]
    pub fn negated(self) -> Self {
        if self.0.is_zero() { self } else { Self(-self.0) }
    }

    /// Whether this is exactly nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether this is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }

    /// Appends the canonical digits (`-0.05`, `150.00`) to `out`. The hot path's formatter: no allocation.
    pub fn write_digits(self, out: &mut Vec<u8>) {
        let mantissa = self.0.mantissa();
        let scale = self.0.scale() as usize;
        if mantissa < 0 {
            out.push(b'-');
        }
        let mut buffer = itoa::Buffer::new();
        let digits = match u64::try_from(mantissa.unsigned_abs()) {
            Ok(small) => buffer.format(small),
            Err(_) => buffer.format(mantissa.unsigned_abs()),
        }
        .as_bytes();
        if scale == 0 {
            out.extend_from_slice(digits);
        } else if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
            out.extend_from_slice(digits);
        }
    }
}

/// Most significant digits that are read: every bound lies far below, and a `Decimal` holds 28.
const DIGITS_MAX: usize = 24;

/// Plain digits to an exact decimal, with no more places than it needs. `limit` is what an error names; the caller
/// compares.
fn parse_decimal(text: &str, limit: u64) -> Result<Decimal, MoneyError> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(MoneyError::NotANumber);
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.len() + fraction.len() > DIGITS_MAX {
        return Err(MoneyError::TooLarge { limit });
    }
    let mantissa =
        whole.bytes().chain(fraction.bytes()).fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let signed = if unsigned.len() == text.len() { mantissa } else { -mantissa };
    Ok(Decimal::from_i128_with_scale(signed, fraction.len() as u32))
}

impl Amount {
    /// Parses plain decimal digits (`150`, `0.5`) into a positive, bounded amount.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`], [`MoneyError::NotPositive`] or [`MoneyError::TooLarge`].
    pub fn parse(digits: &str) -> Result<Self, MoneyError> {
        let value = parse_decimal(digits, AMOUNT_MAX)?;
        if value.is_zero() || value.is_sign_negative() {
            return Err(MoneyError::NotPositive);
        }
        if value > Decimal::from(AMOUNT_MAX) {
            return Err(MoneyError::TooLarge { limit: AMOUNT_MAX });
        }
        Ok(Self(value))
    }

    /// The amount as money of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] when the currency has fewer places than the amount.
    pub fn in_currency(self, currency: Currency) -> Result<Money, MoneyError> {
        Money::from_decimal(self.0, currency)
    }

    /// The exact decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        Currency::parse("USD").unwrap()
    }

    #[test]
    fn digits_survive_exactly_and_in_the_currency_scale() {
        for (text, currency, canonical) in [
            ("150", "USD", "150.00"),
            ("0.1", "USD", "0.10"),
            ("-3.1", "USD", "-3.10"),
            ("1.000", "USD", "1.00"),
            ("7", "JPY", "7"),
            ("0.001", "BHD", "0.001"),
            ("999999999999.99", "USD", "999999999999.99"),
        ] {
            let money = Money::parse(text, Currency::parse(currency).unwrap()).unwrap();
            assert_eq!(money.to_string(), canonical);
            let mut digits = Vec::new();
            money.write_digits(&mut digits);
            assert_eq!(digits, canonical.as_bytes());
        }
    }

    #[test]
    fn what_is_no_plain_number_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1e2", "+1", "1,000", " 1", "NaN", "0x10", "--1", "١"] {
            assert_eq!(Money::parse(text, usd()), Err(MoneyError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn an_amount_is_positive_bounded_and_no_finer_than_its_currency() {
        assert_eq!(Amount::parse("0"), Err(MoneyError::NotPositive));
        assert_eq!(Amount::parse("-1"), Err(MoneyError::NotPositive));
        assert_eq!(Amount::parse("1000000000000.01"), Err(MoneyError::TooLarge { limit: AMOUNT_MAX }));
        assert_eq!(Amount::parse(&"9".repeat(400)), Err(MoneyError::TooLarge { limit: AMOUNT_MAX }));
        let fine = Amount::parse("0.001").unwrap();
        assert_eq!(fine.in_currency(usd()), Err(MoneyError::TooPrecise { currency: usd(), scale: 2 }));
        let large = Amount::parse("1000000000000").unwrap();
        assert_eq!(large.in_currency(usd()).unwrap().to_string(), "1000000000000.00");
    }

    #[test]
    fn a_balance_stops_at_its_floor_and_its_ceiling() {
        let one = Money::parse("1", usd()).unwrap();
        assert_eq!(Money::zero(usd()).minus(one), None);
        assert_eq!(one.minus(one), Some(Money::zero(usd())));
        let ceiling = Money::from_decimal(Decimal::from(BALANCE_MAX), usd()).unwrap();
        assert_eq!(ceiling.plus(one), None);
    }
}

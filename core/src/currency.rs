//! Currencies: ISO 4217 codes and the number of decimal places each one has.
//!
//! Owns the table of codes. Source of the minor units: ISO 4217 (table A.1). Codes without a defined minor unit
//! (precious metals, testing codes) are not money a wallet can hold and are left out.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// An ISO 4217 currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency {
    code: [u8; 3],
    scale: u8,
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// The text is not the code of a currency that wallets can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code in upper case, such as USD")]
pub struct UnknownCurrency;

const SCALE_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const SCALE_3: &str = "BHD IQD JOD KWD LYD OMR TND";
const SCALE_4: &str = "CLF UYW";
const SCALE_2: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD \
    CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU \
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
    SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER \
    ZAR ZMW ZWG";

impl Currency {
    /// One of those with the most decimal places: digits that are too many for it are too many for every currency.
    pub const FINEST: Self = Self { code: *b"CLF", scale: 4 };

    /// The currency with this three-letter upper-case code.
    ///
    /// # Errors
    /// [`UnknownCurrency`] when the table has no such code.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| UnknownCurrency)?;
        let listed = |codes: &str| codes.split_ascii_whitespace().any(|listed| listed == code);
        let scale = match () {
            () if code == "USD" || code == "EUR" || listed(SCALE_2) => 2,
            () if listed(SCALE_0) => 0,
            () if listed(SCALE_3) => 3,
            () if listed(SCALE_4) => 4,
            () => return Err(UnknownCurrency),
        };
        Ok(Self { code: bytes, scale })
    }

    /// Decimal places of the currency, 0 to 4.
    #[must_use]
    pub fn scale(self) -> u32 {
        u32::from(self.scale)
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or("???")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;
    fn try_from(code: String) -> Result<Self, UnknownCurrency> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_iso_scale_and_others_are_refused() {
        for (code, scale) in [("USD", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("EUR", 2), ("ZMW", 2)] {
            assert_eq!(Currency::parse(code).unwrap().scale(), scale);
        }
        for code in ["usd", "US", "USDT", "XXX", "XAU", "", "   "] {
            assert_eq!(Currency::parse(code), Err(UnknownCurrency), "{code:?}");
        }
    }
}

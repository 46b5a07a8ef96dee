//! Money and metering: amounts in base units, prices per unit, unit counts. Checked arithmetic only.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimals of GRAIN, as of every amount shown in it (ERC-20 `decimals()` of WGRAIN).
pub const GRAIN_DECIMALS: u32 = 18;
/// Base units in one GRAIN.
pub const GRAIN: u128 = 10_u128.pow(GRAIN_DECIMALS);
/// Units of the `wasm` workload in one Gfuel: a unit is 1,000,000 fuel.
pub const UNITS_PER_GFUEL: u64 = 1_000;
/// Fuel in one unit of the `wasm` workload.
pub const FUEL_PER_UNIT: u64 = 1_000_000;

/// An amount of the payment token in base units. Shown as a decimal number of GRAIN.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Amount(pub u128);

/// Price of one unit in base units of the payment token. At most 96 bits on chain.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Price(pub u128);

/// A count of metered units (DESIGN 2, "unit").
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(transparent)]
pub struct Units(pub u64);

/// Largest price the contracts can store (`uint96`).
pub const MAX_PRICE: u128 = (1 << 96) - 1;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when `other` is more than there is.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl Units {
    /// Fuel rounded up to whole units; a task that ran at all is at least one unit.
    pub fn from_fuel(fuel: u64) -> Self {
        Self(fuel.div_ceil(FUEL_PER_UNIT).max(1))
    }

    /// What so many units cost, or `None` when it does not fit.
    pub fn cost(self, price: Price) -> Option<Amount> {
        price.0.checked_mul(u128::from(self.0)).map(Amount)
    }

    /// Thousandths as a decimal number: the Gfuel of a `wasm` unit count.
    pub fn to_gfuel(self) -> String {
        decimal(u128::from(self.0), 3, 3)
    }
}

/// The text is not a decimal amount.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an amount: write digits with at most {decimals} decimals, such as 0.25")]
pub struct ParseAmountError {
    text: String,
    decimals: u32,
}

/// Reads `"12.5"` as an integer count of 10^-decimals.
fn parse_decimal(text: &str, decimals: u32) -> Result<u128, ParseAmountError> {
    let error = || ParseAmountError { text: text.chars().take(60).collect(), decimals };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err(error());
    }
    let missing = decimals
        .checked_sub(u32::try_from(fraction.len()).map_err(|_| error())?)
        .ok_or_else(error)?;
    let scale = 10_u128.checked_pow(decimals).ok_or_else(error)?;
    let whole: u128 = whole.parse().map_err(|_| error())?;
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        let fraction: u128 = fraction.parse().map_err(|_| error())?;
        10_u128.checked_pow(missing).and_then(|m| fraction.checked_mul(m)).ok_or_else(error)?
    };
    whole.checked_mul(scale).and_then(|whole| whole.checked_add(fraction)).ok_or_else(error)
}

/// Shows an integer count of 10^-decimals with at most `shown` decimals (cut, never rounded up).
fn decimal(value: u128, decimals: u32, shown: usize) -> String {
    let scale = 10_u128.pow(decimals);
    let fraction = format!("{:0width$}", value % scale, width = decimals as usize);
    let fraction = fraction[..shown.min(fraction.len())].trim_end_matches('0');
    if fraction.is_empty() {
        format!("{}", value / scale)
    } else {
        format!("{}.{fraction}", value / scale)
    }
}

impl fmt::Display for Amount {
    /// Exact decimal GRAIN; a precision (`{:.6}`) cuts the decimals shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().unwrap_or(GRAIN_DECIMALS as usize);
        f.pad_integral(true, "", &decimal(self.0, GRAIN_DECIMALS, shown))
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_decimal(text, GRAIN_DECIMALS).map(Self)
    }
}

impl Serialize for Amount {
    /// A string of base units: JSON numbers lose digits above 2^53.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Price {
    /// Reads a price in GRAIN per Gfuel and rounds down to base units per `wasm` unit.
    ///
    /// # Errors
    /// Not a decimal number, or above [`MAX_PRICE`].
    pub fn from_grain_per_gfuel(text: &str) -> Result<Self, ParseAmountError> {
        let price = parse_decimal(text, GRAIN_DECIMALS)? / u128::from(UNITS_PER_GFUEL);
        if price > MAX_PRICE {
            return Err(ParseAmountError { text: text.to_owned(), decimals: GRAIN_DECIMALS });
        }
        Ok(Self(price))
    }

    /// GRAIN per Gfuel, exact.
    pub fn to_grain_per_gfuel(self) -> String {
        match self.0.checked_mul(u128::from(UNITS_PER_GFUEL)) {
            Some(per_gfuel) => Amount(per_gfuel).to_string(),
            None => format!("{} base units per unit", self.0),
        }
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_and_shown_exactly() {
        assert_eq!("1.5".parse(), Ok(Amount(3 * GRAIN / 2)));
        assert_eq!("0.000000000000000001".parse(), Ok(Amount(1)));
        assert_eq!(Amount(GRAIN / 4).to_string(), "0.25");
        assert_eq!(format!("{:.2}", Amount(GRAIN * 5 / 3)), "1.66");
        for wrong in ["", ".5", "1.", "-1", "1e3", "0.0000000000000000001", "1.2.3", "١"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
        assert!("999999999999999999999999999999".parse::<Amount>().is_err());
    }

    #[test]
    fn fuel_rounds_up_to_units() {
        assert_eq!(Units::from_fuel(0), Units(1));
        assert_eq!(Units::from_fuel(1_000_000), Units(1));
        assert_eq!(Units::from_fuel(1_000_001), Units(2));
        assert_eq!(Units(1_234_500).to_gfuel(), "1234.5");
    }

    proptest! {
        #[test]
        fn shown_amounts_parse_back(value: u128) {
            let amount = Amount(value);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = text.parse::<Amount>();
        }
    }
}

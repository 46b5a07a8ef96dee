//! Byte sizes and time spans as people write them: `"2GiB"`, `"1h30m"`.
//!
//! Configuration never holds bare numbers whose unit must be guessed. Parsing is exact (whole numbers only, checked
//! arithmetic) and what `Display` writes parses back to the same value.

use std::{fmt, num::ParseIntError, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a written quantity was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// There is no number where one must stand.
    #[error("{text:?} has no number where one is needed")]
    NoNumber {
        /// What was written.
        text: String,
    },
    /// The number does not fit or is malformed.
    #[error("{text:?} holds a number that cannot be read")]
    BadNumber {
        /// What was written.
        text: String,
        /// Why the digits were refused.
        #[source]
        source: ParseIntError,
    },
    /// The unit is missing or not one of those known.
    #[error("{text:?} has the unit {unit:?}; known are {known}")]
    Unit {
        /// What was written.
        text: String,
        /// The unit found, empty when there is none.
        unit: String,
        /// The units that are understood.
        known: &'static str,
    },
    /// The quantity is beyond what can be represented.
    #[error("{text:?} is too large")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

const BYTE_UNITS: &str = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB";
const TIME_UNITS: &str = "ms, s, m, h, d";

/// A number of bytes. Written `"512MiB"`, `"10GB"` or a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of exactly this many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit, rest) = split_leading(text.trim(), text)?;
        let factor = match unit {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(bad_unit(text, unit, BYTE_UNITS)),
        };
        if !rest.is_empty() {
            return Err(bad_unit(text, &text.trim()[text.trim().len() - rest.len()..], BYTE_UNITS));
        }
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| QuantityError::TooLarge { text: text.into() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            let whole = self.0 >> shift;
            if whole > 0 && whole << shift == self.0 {
                return write!(f, "{whole}{unit}");
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A length of time with a resolution of a millisecond. Written `"250ms"`, `"30s"`, `"1h30m"`, `"2d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeSpan(u64);

impl TimeSpan {
    /// A span of this many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The span in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The span as the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Duration {
        span.duration()
    }
}

impl FromStr for TimeSpan {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let mut rest = text.trim();
        let mut total: u64 = 0;
        let mut below = u64::MAX;
        while !rest.is_empty() || total == 0 && below == u64::MAX {
            let (number, unit, after) = split_leading(rest, text)?;
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(bad_unit(text, unit, TIME_UNITS)),
            };
            // Parts go from large to small, each unit once: "30m1h" is more likely a slip than a wish.
            if factor >= below {
                return Err(bad_unit(
                    text,
                    unit,
                    "ms, s, m, h, d, each once and from large to small",
                ));
            }
            below = factor;
            let too_large = || QuantityError::TooLarge { text: text.into() };
            total = number
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(too_large)?;
            rest = after;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (factor, unit) in
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")]
        {
            if left >= factor {
                write!(f, "{}{unit}", left / factor)?;
                left %= factor;
            }
        }
        Ok(())
    }
}

/// Splits `"12ms30"` into `(12, "ms", "30")`; white space around the unit is dropped.
fn split_leading<'a>(part: &'a str, text: &str) -> Result<(u64, &'a str, &'a str), QuantityError> {
    let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    if digits == 0 {
        return Err(QuantityError::NoNumber { text: text.into() });
    }
    let number = part[..digits]
        .parse()
        .map_err(|source| QuantityError::BadNumber { text: text.into(), source })?;
    let after = part[digits..].trim_start();
    let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
    Ok((number, &after[..unit], after[unit..].trim_start()))
}

fn bad_unit(text: &str, unit: &str, known: &'static str) -> QuantityError {
    QuantityError::Unit { text: text.into(), unit: unit.into(), known }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512MiB\", or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom("a size cannot be negative"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = TimeSpan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span with its unit, such as \"30s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1kB", 1000),
            ("2GiB", 2 << 30),
            (" 3 MiB ", 3 << 20),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in
            ["", "GiB", "-1", "1.5GiB", "1gib", "1GiB2", "99999999999999999999", "99999999TiB"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1d 1ms", 86_400_001),
        ] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().millis(), millis, "{text}");
        }
        for text in ["", "30", "s", "1m1h", "1s1s", "-1s", "1.5s", "18446744073709551615d"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number: u64) {
            prop_assert_eq!(ByteSize(number).to_string().parse(), Ok(ByteSize(number)));
            prop_assert_eq!(TimeSpan(number).to_string().parse(), Ok(TimeSpan(number)));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<TimeSpan>();
        }
    }
}

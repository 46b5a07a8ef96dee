//! How the parameters of JSON-RPC calls are read: what geth takes is taken, what geth refuses is
//! refused with geth's words.
//!
//! Pure: text in, value or error out. Nothing here panics, and nothing allocates more than a small
//! multiple of what it is given; lists with a limit keep no more than the limit.

mod blocks;
mod lists;
mod members;
mod overrides;
mod requests;
pub(crate) mod strict;
mod transactions;

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U64, U256, hex};

pub use lists::{Bounded, SlotRequest, arguments};
pub(crate) use members::{Members, Name};
pub(crate) use overrides::given;
pub use transactions::transaction;

/// Why a parameter was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The JSON is not of the form the type takes. Knows where it stands, see [`Self::in_field`].
    Form {
        /// What was found, in geth's words.
        found: String,
        /// The Go type that was wanted; clients see it.
        wanted: &'static str,
    },
    /// Any other reason, in full.
    Other(String),
}

impl DecodeError {
    fn form(found: impl Into<String>, wanted: &'static str) -> Self {
        Self::Form { found: found.into(), wanted }
    }

    fn other(reason: impl Into<String>) -> Self {
        Self::Other(reason.into())
    }

    /// The same error for a field of an object, named as in geth: `Struct.field`.
    #[must_use]
    pub fn in_field(self, field: &str) -> Self {
        match self {
            Self::Form { found, wanted } => Self::Other(format!(
                "json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"
            )),
            other @ Self::Other(_) => other,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { found, wanted } => {
                write!(f, "json: cannot unmarshal {found} into Go value of type {wanted}")
            }
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A value that can be a parameter.
pub trait Parameter: Sized {
    /// Reads one JSON value, without white space around it.
    ///
    /// # Errors
    /// Says in geth's words why the text is not such a value.
    fn decode(json: &str) -> Result<Self, DecodeError>;
}

/// What kind of JSON value a text is, in Go's words.
fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// What stands between the quotes of a JSON string, escapes left as they are.
fn quoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

fn digits_after_prefix(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

fn are_hex(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The digits of a byte string; an empty string is an empty byte string.
fn data_digits(text: &str) -> Result<&str, &'static str> {
    if text.is_empty() {
        return Ok("");
    }
    let digits = digits_after_prefix(text).ok_or("hex string without 0x prefix")?;
    if digits.len() % 2 != 0 {
        return Err("hex string of odd length");
    }
    Ok(digits)
}

/// The digits of a number that is not the empty string.
fn number_digits(text: &str) -> Result<&str, &'static str> {
    let digits = digits_after_prefix(text).ok_or("hex string without 0x prefix")?;
    match digits.as_bytes() {
        [] => Err("hex string \"0x\""),
        [b'0', _, ..] => Err("hex number with leading zero digits"),
        _ => Ok(digits),
    }
}

/// A number as standing alone (block numbers), where the empty string is refused.
fn number(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = number_digits(text)?;
    if !are_hex(digits) {
        return Err("invalid hex string");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "hex number > 64 bits")
}

/// A number of at most `nibbles` digits as a parameter; the empty string is zero.
fn quantity(
    json: &str,
    wanted: &'static str,
    nibbles: usize,
    range: &'static str,
) -> Result<U256, DecodeError> {
    let text = quoted(json).ok_or_else(|| DecodeError::form("non-string", wanted))?;
    if text.is_empty() {
        return Ok(U256::ZERO);
    }
    let digits = number_digits(text).map_err(|found| DecodeError::form(found, wanted))?;
    if digits.len() > nibbles {
        return Err(DecodeError::form(range, wanted));
    }
    if !are_hex(digits) {
        return Err(DecodeError::form("invalid hex string", wanted));
    }
    U256::from_str_radix(digits, 16).map_err(|_| DecodeError::form("invalid hex string", wanted))
}

/// The content of a text that must hold exactly `N` bytes. The flag says whether geth names the
/// form of the JSON in its complaint.
fn exactly<const N: usize>(text: &str, name: &str) -> Result<FixedBytes<N>, (bool, String)> {
    let digits = data_digits(text).map_err(|reason| (true, reason.to_owned()))?;
    if digits.len() / 2 != N {
        let reason = format!("hex string has length {}, want {} for {name}", digits.len(), N * 2);
        return Err((false, reason));
    }
    let mut bytes = FixedBytes::<N>::ZERO;
    hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| (true, "invalid hex string".to_owned()))?;
    Ok(bytes)
}

fn fixed<const N: usize>(json: &str, wanted: &'static str) -> Result<FixedBytes<N>, DecodeError> {
    let text = quoted(json).ok_or_else(|| DecodeError::form("non-string", wanted))?;
    exactly(text, wanted).map_err(|(is_form, reason)| {
        if is_form { DecodeError::form(reason, wanted) } else { DecodeError::other(reason) }
    })
}

/// Fixed bytes where geth reads text rather than JSON (keys of objects, hashes as blocks).
fn fixed_text<const N: usize>(text: &str, name: &str) -> Result<FixedBytes<N>, DecodeError> {
    exactly(text, name).map_err(|(_, reason)| DecodeError::other(reason))
}

impl Parameter for Address {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        fixed::<20>(json, "common.Address").map(Into::into)
    }
}

impl Parameter for B256 {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        fixed(json, "common.Hash")
    }
}

impl Parameter for Bytes {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        const WANTED: &str = "hexutil.Bytes";
        let text = quoted(json).ok_or_else(|| DecodeError::form("non-string", WANTED))?;
        let digits = data_digits(text).map_err(|found| DecodeError::form(found, WANTED))?;
        hex::decode(digits)
            .map(Into::into)
            .map_err(|_| DecodeError::form("invalid hex string", WANTED))
    }
}

impl Parameter for U64 {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let value = quantity(json, "hexutil.Uint64", 16, "hex number > 64 bits")?;
        Ok(value.saturating_to())
    }
}

impl Parameter for U256 {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        quantity(json, "*hexutil.Big", 64, "hex number > 256 bits")
    }
}

/// A position in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index(pub u64);

impl Parameter for Index {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let value = quantity(json, "hexutil.Uint", 16, "hex number > 64 bits")?;
        Ok(Self(value.saturating_to()))
    }
}

/// A count, as a JSON number or as a string in hex or decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Parameter for Count {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let text = quoted(json).unwrap_or(json);
        let (digits, radix) = digits_after_prefix(text).map_or((text, 10), |hex| (hex, 16));
        if text.is_empty() {
            return Ok(Self(0));
        }
        // Rust takes a plus sign, Go does not.
        let value = (!digits.starts_with('+')).then(|| u64::from_str_radix(digits, radix).ok());
        value
            .flatten()
            .map(Self)
            .ok_or_else(|| DecodeError::other(format!("invalid hex or decimal integer {text:?}")))
    }
}

impl Parameter for bool {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        match json {
            "true" => Ok(true),
            "false" | "null" => Ok(false),
            other => Err(DecodeError::form(kind(other), "bool")),
        }
    }
}

impl Parameter for String {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        if json == "null" {
            return Ok(Self::new());
        }
        serde_json::from_str(json).map_err(|_| DecodeError::form(kind(json), "string"))
    }
}

/// A JSON number without fraction (milliseconds).
impl Parameter for u64 {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        json.parse().map_err(|_| {
            let kind = kind(json);
            let found = if kind == "number" { format!("number {json}") } else { kind.to_owned() };
            DecodeError::form(found, "uint64")
        })
    }
}

impl Parameter for f64 {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        match kind(json) {
            "null" => Ok(0.0),
            "number" => serde_json::from_str(json)
                .map_err(|_| DecodeError::form(format!("number {json}"), "float64")),
            other => Err(DecodeError::form(other, "float64")),
        }
    }
}

/// A storage key as geth takes it: up to 32 bytes of hex, prefix and even length optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageKey {
    /// The slot.
    pub slot: B256,
    /// Bytes it was written with; answers repeat the form of the question.
    pub bytes: usize,
}

impl StorageKey {
    /// Reads a key.
    ///
    /// # Errors
    /// Too long, or not hex.
    pub fn read(text: &str) -> Result<Self, DecodeError> {
        let digits = digits_after_prefix(text).unwrap_or(text);
        let refuse = |reason| DecodeError::other(format!("{reason}: {text:?}"));
        let bytes = digits.len().div_ceil(2);
        if bytes > 32 {
            return Err(refuse("storage key too long (want at most 32 bytes)"));
        }
        if !are_hex(digits) {
            return Err(refuse("invalid hex in storage key"));
        }
        let value = match digits {
            "" => U256::ZERO,
            _ => U256::from_str_radix(digits, 16)
                .map_err(|_| refuse("invalid hex in storage key"))?,
        };
        Ok(Self { slot: value.into(), bytes })
    }
}

/// Reads a text as every type of parameter and forgets the results: for fuzzing.
#[doc(hidden)]
pub fn every(json: &str) {
    let _ = Address::decode(json);
    let _ = B256::decode(json);
    let _ = Bytes::decode(json);
    let _ = U64::decode(json);
    let _ = U256::decode(json);
    let _ = Index::decode(json);
    let _ = Count::decode(json);
    let _ = bool::decode(json);
    let _ = u64::decode(json);
    let _ = f64::decode(json);
    let _ = String::decode(json).map(|text| StorageKey::read(&text));
    let _ = Bounded::<f64, 100>::decode(json);
    let _ = Bounded::<String, 1024>::decode(json);
    let _ = SlotRequest::decode(json);
    let _ = alloy_eips::BlockNumberOrTag::decode(json);
    let _ = alloy_eips::BlockId::decode(json);
    let _ = alloy_rpc_types_eth::TransactionRequest::decode(json);
    let _ = alloy_rpc_types_eth::state::StateOverride::decode(json);
    let _ = crate::message::BlockOverrides::decode(json);
    let _ = crate::trace::TraceOptions::decode(json);
    let _ = arguments(json, 5);
    let _ = transaction(json.as_bytes());
}

#[cfg(test)]
mod tests;

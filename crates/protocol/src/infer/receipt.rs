//! Prices of tokens, and receipts for answers.
//!
//! A receipt is signed with the provider's node key, as everything a provider says for good is
//! (secp256k1, recoverable: `r`, `s`, `v` of 27 or 28), so that a contract can recover the signer as well.

use alloy_primitives::{B256, hex, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    End, Hash, MAX_STOP_BYTES, MAX_STOPS, OutOfBounds, Parameters, schema::MAX_SCHEMA_BYTES, within,
};
pub use crate::signed::SIGNATURE_BYTES;
use crate::{amount::Amount, content::ContentHash, encode};

/// Prices are for so many tokens.
pub const PRICED_TOKENS: u128 = 1_000_000;
/// Highest price of [`PRICED_TOKENS`]: what the contracts can store (`uint96`).
pub const MAX_TOKEN_PRICE: u128 = crate::amount::MAX_PRICE;
/// Most bytes of an encoded signed receipt: five hashes and numbers, the stop texts, and a schema.
pub const MAX_RECEIPT_BYTES: usize = 8 << 10;
/// Of them what does not depend on the question, rounded up.
const FIXED_BYTES: usize = 1 << 10;
const STOP_BYTES: usize = MAX_STOPS * (4 + MAX_STOP_BYTES);
const _: () = assert!(FIXED_BYTES + STOP_BYTES + MAX_SCHEMA_BYTES <= MAX_RECEIPT_BYTES);
/// Before what is signed, so that it is nothing else. A receipt that was possible before there were schemas is the same
/// bytes today, so it is signed as it was.
const SIGNED: &[u8] = b"\x19tilth receipt v2\n";

/// Prices of a million tokens, in base units of the payment token.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prices {
    /// Of the prompt's.
    pub input: Amount,
    /// Of the answer's.
    pub output: Amount,
}

impl Prices {
    /// What so many tokens cost, rounded up to a base unit; `None` when it does not fit.
    pub fn cost(&self, input: u32, output: u32) -> Option<Amount> {
        let input = self.input.0.checked_mul(u128::from(input))?;
        let output = self.output.0.checked_mul(u128::from(output))?;
        Some(Amount(input.checked_add(output)?.div_ceil(PRICED_TOKENS)))
    }

    /// Checks both against [`MAX_TOKEN_PRICE`].
    ///
    /// # Errors
    /// One is higher.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let highest = self.input.max(self.output);
        within(
            highest.0 <= MAX_TOKEN_PRICE,
            "the price of a million tokens",
            highest.0,
            format!("at most {MAX_TOKEN_PRICE} base units"),
        )
    }
}

/// What was asked of whom, what came back, and what is owed for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Receipt {
    /// The chain on which provider and caller have their accounts.
    pub chain_id: u64,
    /// The provider's node account.
    #[serde(with = "as_hex")]
    pub node: [u8; 20],
    /// The caller's endpoint, which it has proved.
    #[serde(with = "as_hex")]
    pub caller: [u8; 32],
    /// The caller's random bytes.
    #[serde(with = "as_hex")]
    pub nonce: [u8; 32],
    /// The model.
    pub model: ContentHash,
    /// [`super::Prompt::hash`].
    #[serde(with = "as_hex")]
    pub prompt: Hash,
    /// How the answer was made.
    pub parameters: Parameters,
    /// [`super::output_hash`], or of embeddings [`super::EmbeddingsHash`].
    #[serde(with = "as_hex")]
    pub output: Hash,
    /// Tokens of the prompt, with those of the template; of all inputs, with those around each.
    pub prompt_tokens: u32,
    /// Tokens of the answer, the one that ended it included; 0 of embeddings.
    pub output_tokens: u32,
    /// Why it ended.
    pub end: End,
    /// What was agreed to.
    pub prices: Prices,
    /// [`Prices::cost`] of the tokens.
    pub charge: Amount,
}

impl Receipt {
    /// What the node key signs.
    pub fn signing_hash(&self) -> B256 {
        let mut bytes = SIGNED.to_vec();
        bytes.extend(encode(self));
        keccak256(bytes)
    }
}

/// A receipt with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignedReceipt {
    /// What is signed.
    pub receipt: Receipt,
    /// By the node key, of [`Receipt::signing_hash`].
    #[serde(with = "as_hex")]
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Fixed bytes as hex digits behind `0x`.
mod as_hex {
    use super::{Deserialize, Deserializer, Serializer, hex};

    pub(super) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|error| serde::de::Error::custom(format!("{N} bytes in hex: {error}")))?;
        Ok(bytes)
    }
}

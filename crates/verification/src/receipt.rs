//! Whether a receipt is for what was asked and what came back.
//!
//! What a caller can check by itself is checked at once ([`check`]); whether the answer is the right one is known
//! to whoever computes it again and compares ([`compare`]), which anybody can who has model and prompt.

use alloy_primitives::Address;
use tilth_protocol::{
    Amount,
    infer::{
        EmbeddingsHash, End, Hash, Prices, Prompt, Receipt, Said, SignedReceipt, message::Ask,
        output_hash,
    },
};

/// What was asked of whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The chain of both.
    pub chain_id: u64,
    /// The provider's node account.
    pub node: [u8; 20],
    /// The caller's endpoint.
    pub caller: [u8; 32],
    /// The question.
    pub ask: &'a Ask,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// An answer.
    Text {
        /// The tokens.
        said: &'a [Said],
        /// The text.
        text: &'a str,
        /// Why it ended.
        end: End,
    },
    /// Embeddings, in the order of the inputs.
    Embeddings(&'a [Vec<i32>]),
}

impl Heard<'_> {
    /// What a receipt says of it: tokens, end and hash.
    fn as_in_receipt(&self) -> (u32, End, Hash) {
        match self {
            Self::Text { said, text, end } => {
                let tokens = u32::try_from(said.len()).unwrap_or(u32::MAX);
                (tokens, *end, output_hash(said, text, *end))
            }
            Self::Embeddings(all) => {
                (0, End::Stop, EmbeddingsHash::of(all.iter().map(Vec::as_slice)))
            }
        }
    }

    /// The first thing that a receipt says otherwise.
    fn differs_from(&self, receipt: &Receipt) -> Option<Fault> {
        let (tokens, end, output) = self.as_in_receipt();
        let same = [
            ("number of tokens", receipt.output_tokens == tokens),
            ("end", receipt.end == end),
            ("answer", receipt.output == output),
        ];
        same.into_iter().find(|(_, right)| !right).map(|(what, _)| Fault::Heard(what))
    }
}

/// What is wrong with a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Signed by somebody else, or not at all.
    #[error("it is not signed by the provider")]
    Signature,
    /// It says something else than was asked or heard.
    #[error("its {0} is not what was asked for")]
    Asked(&'static str),
    /// It says something else than what came.
    #[error("its {0} is not what came")]
    Heard(&'static str),
    /// It counts more tokens than there can be.
    #[error("it counts {found} tokens of the {of}, there are at most {most}")]
    Tokens {
        /// Prompt or answer.
        of: &'static str,
        /// What it says.
        found: u32,
        /// What there can be.
        most: u32,
    },
    /// It charges something else than tokens times prices.
    #[error("it charges {found} where {due:?} is due")]
    Charge {
        /// What it says, in base units.
        found: u128,
        /// What is due.
        due: Option<Amount>,
    },
}

/// The account that has signed a receipt, in the one form that counts.
pub fn signer(signed: &SignedReceipt) -> Option<Address> {
    crate::signer::signer(&signed.receipt.signing_hash(), &signed.signature)
}

/// Whether it charges what its own tokens and prices make.
///
/// # Errors
/// [`Fault::Charge`].
pub fn check_charge(receipt: &Receipt) -> Result<(), Fault> {
    let due = cost(&receipt.prices, receipt);
    if due == Some(receipt.charge) {
        return Ok(());
    }
    Err(Fault::Charge { found: receipt.charge.0, due })
}

fn cost(prices: &Prices, receipt: &Receipt) -> Option<Amount> {
    prices.cost(receipt.prompt_tokens, receipt.output_tokens)
}

/// Checks everything that a caller can check without the model.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(asked: &Asked<'_>, heard: &Heard<'_>, signed: &SignedReceipt) -> Result<(), Fault> {
    let (receipt, ask) = (&signed.receipt, asked.ask);
    if signer(signed) != Some(Address::from(asked.node)) {
        return Err(Fault::Signature);
    }
    let asked = [
        ("chain", receipt.chain_id == asked.chain_id),
        ("provider", receipt.node == asked.node),
        ("caller", receipt.caller == asked.caller),
        ("nonce", receipt.nonce == ask.nonce),
        ("model", receipt.model == ask.model),
        ("prompt", receipt.prompt == ask.prompt.hash()),
        ("way of choosing", receipt.parameters == ask.parameters),
        ("price", receipt.prices == ask.prices),
    ];
    if let Some((what, _)) = asked.iter().find(|(_, right)| !right) {
        return Err(Fault::Asked(what));
    }
    if let Some(fault) = heard.differs_from(receipt) {
        return Err(fault);
    }
    bounded("prompt", receipt.prompt_tokens, ask.prompt.most_tokens())?;
    bounded("answer", receipt.output_tokens, ask.parameters.most)?;
    check_charge(receipt)
}

fn bounded(of: &'static str, found: u32, most: u32) -> Result<(), Fault> {
    if found <= most { Ok(()) } else { Err(Fault::Tokens { of, found, most }) }
}

/// What somebody found who computed the answer again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// The prompt it was given.
    pub prompt: &'a Prompt,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// What came.
    pub heard: Heard<'a>,
}

/// Compares a receipt with what was computed again. Signature and charge are part of it.
///
/// # Errors
/// The first thing that differs.
pub fn compare(signed: &SignedReceipt, again: &Again<'_>) -> Result<(), Fault> {
    let receipt = &signed.receipt;
    if signer(signed) != Some(Address::from(receipt.node)) {
        return Err(Fault::Signature);
    }
    if receipt.prompt != again.prompt.hash() {
        return Err(Fault::Asked("prompt"));
    }
    if receipt.prompt_tokens != again.prompt_tokens {
        return Err(Fault::Heard("number of prompt tokens"));
    }
    if let Some(fault) = again.heard.differs_from(receipt) {
        return Err(fault);
    }
    check_charge(receipt)
}

#[cfg(test)]
mod tests;

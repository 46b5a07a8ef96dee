//! One transaction on a given state: the state and the logs it leaves, or that it is refused.

use std::collections::BTreeMap;

use alloy::{
    consensus::{
        EthereumTxEnvelope, Header, Sealable as _, Signed, TxEip4844, TxEnvelope, TxLegacy,
        transaction::{Recovered, SignerRecoverable as _},
    },
    eips::eip2718::Decodable2718 as _,
    primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256},
    signers::local::PrivateKeySigner,
};
use serde::{Deserialize, de::IgnoredAny};
use tilth_chain::{
    ChainSpec, SealedHeader,
    block::Transaction,
    execution::{BlockAttributes, BlockBuilder, ProofOfWork},
};

use crate::{
    rules::network,
    source::TestFile,
    tally::Tally,
    world::{Accounts, Quantity, World},
};

#[derive(Deserialize)]
struct StateTest {
    env: Environment,
    pre: Accounts,
    transaction: Template,
    post: BTreeMap<String, Vec<Outcome>>,
}

/// The block that the transaction is in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    current_coinbase: Address,
    #[serde(default)]
    current_difficulty: Quantity,
    current_gas_limit: Quantity,
    current_number: Quantity,
    current_timestamp: Quantity,
    #[serde(default)]
    current_base_fee: Quantity,
    #[serde(default)]
    current_random: Quantity,
    #[serde(default)]
    current_excess_blob_gas: Quantity,
}

/// Many transactions in one: the outcomes say which of the values they have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Template {
    data: Vec<Bytes>,
    gas_limit: Vec<String>,
    value: Vec<String>,
    nonce: Quantity,
    to: String,
    gas_price: Option<Quantity>,
    secret_key: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    hash: B256,
    logs: B256,
    indexes: Indexes,
    txbytes: Option<Bytes>,
    expect_exception: Option<String>,
}

#[derive(Deserialize)]
struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

/// Runs all tests of a file.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, StateTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no state test: {error}", file.path));
    for (name, test) in tests {
        let mut world =
            World::of(&test.pre).unwrap_or_else(|error| panic!("{} {name}: {error}", file.path));
        for (fork, outcomes) in &test.post {
            let Some(spec) = network(fork) else {
                tally.leave_out(format!("the fork {fork} is not known"), outcomes.len());
                continue;
            };
            for (index, outcome) in outcomes.iter().enumerate() {
                let case = format!("{} {name} {fork} {index}", file.path);
                tally.case(&case, || test.check(&mut world, &spec, outcome));
            }
        }
    }
}

/// Counts the cases of a file that is not run.
pub fn leave_out(file: &TestFile, reason: &str, tally: &mut Tally) {
    #[derive(Deserialize)]
    struct Outcomes {
        post: BTreeMap<String, Vec<IgnoredAny>>,
    }
    let tests: BTreeMap<String, Outcomes> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no state test: {error}", file.path));
    let cases = tests.values().flat_map(|test| test.post.values()).map(Vec::len).sum();
    tally.leave_out(reason, cases);
}

impl StateTest {
    fn check(&self, world: &mut World, spec: &ChainSpec, outcome: &Outcome) -> Result<(), String> {
        let before = world.root;
        let (parent, attributes) = self.env.block(spec)?;
        let mut builder = BlockBuilder::new(spec, &parent, attributes, &world.state)
            .map_err(|error| format!("no block: {error:?}"))?;
        let refused = match self.transaction(spec, outcome) {
            Err(reason) => Some(reason),
            Ok(transaction) => builder
                .add(transaction)
                .map_err(|error| format!("execution failed: {error:?}"))?
                .err()
                .map(|reason| reason.to_string()),
        };
        let logs: Vec<_> =
            builder.receipts().iter().flat_map(|receipt| receipt.logs.clone()).collect();
        let root = builder
            .state_root(&mut world.commitment, &world.state)
            .map_err(|error| format!("no state root: {error:?}"))?;
        if refused.is_some() && root != before {
            return Err(format!("refused, yet the state became {root}"));
        }
        let is_expected =
            root == outcome.hash || (refused.is_some() && self.is_unrewarded(spec, outcome)?);
        match (&outcome.expect_exception, refused) {
            (Some(expected), None) => return Err(format!("accepted in spite of {expected}")),
            (None, Some(reason)) if outcome.txbytes.is_some() => {
                return Err(format!("refused: {reason}"));
            }
            // Old tests do not say that a transaction is refused: it is if nothing changes.
            (None, Some(reason)) if !is_expected => {
                return Err(format!("refused: {reason}, and the state is not {}", outcome.hash));
            }
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
        if !is_expected {
            return Err(format!("state root {root}, not {}", outcome.hash));
        }
        let logs = keccak256(alloy::rlp::encode(logs));
        if logs != outcome.logs {
            return Err(format!("hash of logs {logs}, not {}", outcome.logs));
        }
        Ok(())
    }

    /// Whether the file has the state as it was, and in it the coinbase's account with nothing: the tool that made the
    /// file pays a block's reward of nothing even after a refused transaction, and before EIP-158 that leaves an
    /// account.
    fn is_unrewarded(&self, spec: &ChainSpec, outcome: &Outcome) -> Result<bool, String> {
        let number = self.env.current_number.small();
        if spec.forks.spurious_dragon.is_some_and(|fork| fork <= number) {
            return Ok(false);
        }
        let mut accounts = self.pre.clone();
        accounts.entry(self.env.current_coinbase).or_default();
        Ok(World::of(&accounts)?.root == outcome.hash)
    }

    fn transaction(&self, spec: &ChainSpec, outcome: &Outcome) -> Result<Transaction, String> {
        match &outcome.txbytes {
            Some(bytes) => decode(spec, self.env.current_number.small(), bytes),
            None => self.transaction.filled(&outcome.indexes),
        }
    }
}

/// A transaction as a block carries it, with its sender.
pub fn decode(spec: &ChainSpec, number: u64, bytes: &[u8]) -> Result<Transaction, String> {
    let envelope = EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(bytes)
        .map_err(|error| format!("does not decode: {error}"))?;
    let strict = spec.forks.homestead.is_some_and(|homestead| homestead <= number);
    let sender =
        if strict { envelope.recover_signer() } else { envelope.recover_signer_unchecked() };
    let sender = sender.map_err(|error| format!("has no sender: {error}"))?;
    Ok(Recovered::new_unchecked(TxEnvelope::from(envelope), sender))
}

impl Template {
    /// The transaction of old tests, which come without its bytes: the signature does not matter.
    fn filled(&self, indexes: &Indexes) -> Result<Transaction, String> {
        let number = |text: &str| {
            Quantity::parse(text).ok_or_else(|| format!("{text} fits into no transaction"))
        };
        let to = match self.to.as_str() {
            "" => TxKind::Create,
            address => TxKind::Call(address.parse().map_err(|error| format!("{error}"))?),
        };
        let transaction = TxLegacy {
            chain_id: None,
            nonce: self.nonce.small(),
            gas_price: self.gas_price.unwrap_or_default().0.saturating_to(),
            gas_limit: number(&self.gas_limit[indexes.gas])?.small(),
            to,
            value: number(&self.value[indexes.value])?.0,
            input: self.data[indexes.data].clone(),
        };
        let key = PrivateKeySigner::from_bytes(&self.secret_key).map_err(|e| e.to_string())?;
        let signature = Signature::new(U256::ONE, U256::ONE, false);
        let envelope = TxEnvelope::Legacy(Signed::new_unhashed(transaction, signature));
        Ok(Recovered::new_unchecked(envelope, key.address()))
    }
}

impl Environment {
    /// The block, and a parent from which all of the block's parameters follow.
    fn block(&self, spec: &ChainSpec) -> Result<(SealedHeader, BlockAttributes), String> {
        let timestamp = self.current_timestamp.small();
        let gas_limit = self.current_gas_limit.small();
        let number = self.current_number.small().checked_sub(1).ok_or("block 0 has no parent")?;
        let merged = spec.is_merged(number + 1, timestamp);
        // Half full: the base fee stays. Blobs at their target: the excess stays.
        let blobs = spec.blob_params(timestamp).map(|params| params.target_blob_gas_per_block());
        let excess = self.current_excess_blob_gas.small();
        let parent = Header {
            number,
            timestamp: timestamp.saturating_sub(1),
            gas_limit,
            gas_used: gas_limit / 2,
            base_fee_per_gas: spec.has_base_fee(number).then(|| self.current_base_fee.small()),
            excess_blob_gas: blobs.map(|target| excess.saturating_add(target)),
            blob_gas_used: blobs.map(|_| 0),
            ..Header::default()
        };
        let attributes = BlockAttributes {
            timestamp,
            beneficiary: self.current_coinbase,
            prev_randao: self.current_random.0.into(),
            gas_limit,
            proof_of_work: (!merged).then(|| ProofOfWork {
                difficulty: self.current_difficulty.0,
                ..ProofOfWork::default()
            }),
            ..BlockAttributes::default()
        };
        Ok((parent.seal_slow(), attributes))
    }
}

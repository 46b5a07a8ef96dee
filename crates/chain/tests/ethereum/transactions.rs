//! Transactions by themselves: which forks take them, who sent them, and the gas they cost at least.

use std::collections::BTreeMap;

use alloy::{
    consensus::{
        Header, Sealable as _, Transaction as _, TypedTransaction, transaction::Recovered,
    },
    primitives::{Address, B256, Bytes, U256},
};
use serde::Deserialize;
use tilth_chain::{
    ChainSpec, Forks, Genesis, GenesisAccount,
    block::Transaction,
    execution::{BlockAttributes, BlockBuilder, ProofOfWork, Rejected},
    state::{Layer, Nothing},
};

use crate::{rules::network, source::TestFile, states::decode, tally::Tally, world::Quantity};

#[derive(Deserialize)]
struct TransactionTest {
    result: BTreeMap<String, Verdict>,
    txbytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    exception: Option<String>,
    hash: Option<B256>,
    sender: Option<Address>,
    #[serde(default)]
    intrinsic_gas: Quantity,
}

/// Runs all tests of a file.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, TransactionTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no transaction test: {error}", file.path));
    for (name, test) in tests {
        for (fork, verdict) in &test.result {
            match network(fork) {
                Some(spec) => {
                    let case = format!("{} {name} {fork}", file.path);
                    tally.case(&case, || check(&test.txbytes, verdict, &spec));
                }
                None => tally.leave_out(format!("the fork {fork} is not known"), 1),
            }
        }
    }
}

fn check(bytes: &str, verdict: &Verdict, spec: &ChainSpec) -> Result<(), String> {
    let judged = bytes
        .parse::<Bytes>()
        .map_err(|error| format!("no bytes: {error}"))
        .and_then(|bytes| decode(spec, 1, &bytes))
        .and_then(|transaction| {
            let gas_limit = transaction.gas_limit();
            execute(&transaction, gas_limit, spec).map(|()| transaction)
        });
    let transaction = match (judged, &verdict.exception) {
        (Err(_), Some(_)) => return Ok(()),
        (Ok(_), Some(expected)) => return Err(format!("accepted in spite of {expected}")),
        (Err(reason), None) => return Err(format!("refused: {reason}")),
        (Ok(transaction), None) => transaction,
    };
    if verdict.sender.is_none_or(|sender| sender != transaction.signer()) {
        return Err(format!("sent by {}, not {:?}", transaction.signer(), verdict.sender));
    }
    let hash = *transaction.inner().tx_hash();
    if verdict.hash.is_none_or(|wanted| wanted != hash) {
        return Err(format!("has hash {hash}, not {:?}", verdict.hash));
    }
    // The least gas with which it would be accepted.
    let least = verdict.intrinsic_gas.small();
    execute(&transaction, least, spec).map_err(|reason| format!("with {least} gas: {reason}"))?;
    match execute(&transaction, least - 1, spec) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("accepted with less than {least} gas")),
    }
}

/// The transaction with another gas limit and without value; its signature is right no more.
fn stripped(transaction: &Transaction, limit: u64) -> Transaction {
    let mut content = TypedTransaction::from(transaction.inner().clone());
    match &mut content {
        TypedTransaction::Legacy(tx) => (tx.gas_limit, tx.value) = (limit, U256::ZERO),
        TypedTransaction::Eip2930(tx) => (tx.gas_limit, tx.value) = (limit, U256::ZERO),
        TypedTransaction::Eip1559(tx) => (tx.gas_limit, tx.value) = (limit, U256::ZERO),
        TypedTransaction::Eip7702(tx) => (tx.gas_limit, tx.value) = (limit, U256::ZERO),
        TypedTransaction::Eip4844(_) => panic!("a transaction with blobs"),
    }
    let envelope = content.into_envelope(*transaction.inner().signature());
    Recovered::new_unchecked(envelope, transaction.signer())
}

/// Whether the transaction is accepted with so much gas, on a state in which the sender has all there
/// is and nobody else anything.
fn execute(transaction: &Transaction, gas_limit: u64, spec: &ChainSpec) -> Result<(), String> {
    let account =
        GenesisAccount { balance: U256::MAX, nonce: transaction.nonce(), ..Default::default() };
    let genesis = Genesis {
        forks: Forks::none(),
        accounts: [(transaction.signer(), account)].into(),
        ..Genesis::default()
    };
    let made = genesis.execute().map_err(|error| format!("{error:?}"))?;
    let mut state = Layer::new(Nothing);
    state.absorb(&made.block.header, &made.diff);
    let merged = spec.is_merged(1, 1);
    let blobs = spec.blob_params(1).map(|_| 0);
    let parent = Header {
        gas_limit: u64::MAX,
        gas_used: u64::MAX / 2,
        base_fee_per_gas: spec.has_base_fee(0).then_some(0),
        excess_blob_gas: blobs,
        blob_gas_used: blobs,
        ..Header::default()
    };
    let parent = parent.seal_slow();
    let attributes = BlockAttributes {
        timestamp: 1,
        beneficiary: Address::repeat_byte(0xbe),
        gas_limit: u64::MAX,
        proof_of_work: (!merged).then(ProofOfWork::default),
        ..BlockAttributes::default()
    };
    let mut builder = BlockBuilder::new(spec, &parent, attributes, &state)
        .map_err(|error| format!("{error:?}"))?;
    match builder.add(stripped(transaction, gas_limit)).map_err(|error| format!("{error:?}"))? {
        Ok(()) => Ok(()),
        Err(Rejected::Invalid(reason)) => Err(format!("{reason:?}")),
        Err(reason) => Err(reason.to_string()),
    }
}

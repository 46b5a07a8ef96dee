//! The token under load, our WGRAIN (an OpenZeppelin ERC-20), and the senders that hold it.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, Bytes, TxKind, U256, hex, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol,
    sol_types::SolCall,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    CHAIN_ID,
    client::{Client, batch},
};

/// Accounts that send.
pub const SENDERS: u64 = 200;
/// Accounts that may receive, besides the senders.
const RECEIVERS: u64 = 20_000;
const GAS: u64 = 120_000;
const ARTIFACT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/artifacts/WGrain.json"));

sol! {
    function deposit() external payable;
    function transfer(address to, uint256 value) external returns (bool);
    event Transfer(address indexed from, address indexed to, uint256 value);
    function balanceOf(address account) external view returns (uint256);
}

/// The deployed token.
pub struct Token(Address);

pub fn signer(index: u64) -> Result<PrivateKeySigner> {
    let mut key = [0x21; 32];
    key[24..].copy_from_slice(&(index + 1).to_be_bytes());
    Ok(PrivateKeySigner::from_bytes(&key.into())?)
}

pub fn address(index: u64) -> Result<Address> {
    Ok(signer(index)?.address())
}

/// One of the receivers.
pub fn receiver(choice: u64) -> Address {
    Address::from_word(keccak256((choice % RECEIVERS).to_be_bytes()))
}

impl Token {
    /// The token that is there, deployed and given to all senders if it is not yet.
    pub fn deployed(client: &mut Client) -> Result<Self> {
        let deployer = signer(0)?;
        let token = Self(deployer.address().create(0));
        let code = client.call("eth_getCode", &json!([token.0, "latest"]))?;
        if code["result"].as_str().is_some_and(|code| code.len() > 2) {
            return Ok(token);
        }
        let artifact: Value = serde_json::from_str(ARTIFACT)?;
        let code = hex::decode(artifact["bytecode"]["object"].as_str().context("bytecode")?)?;
        send(client, &[sign(&deployer, 0, TxKind::Create, U256::ZERO, code.into(), 3_000_000)?])?;
        settled(client)?;
        let deposits = (0..SENDERS).map(|index| {
            let coins = U256::from(10).pow(U256::from(20));
            let input = depositCall {}.abi_encode().into();
            sign(&signer(index)?, u64::from(index == 0), TxKind::Call(token.0), coins, input, GAS)
        });
        send(client, &deposits.collect::<Result<Vec<_>>>()?)?;
        settled(client)?;
        Ok(token)
    }

    pub fn address(&self) -> Address {
        self.0
    }

    /// A signed transfer of one unit.
    pub fn transfer(&self, from: &PrivateKeySigner, nonce: u64, to: Address) -> Result<Bytes> {
        let input = transferCall { to, value: U256::ONE }.abi_encode();
        sign(from, nonce, TxKind::Call(self.0), U256::ZERO, input.into(), GAS)
    }

    /// Parameters of an `eth_call` of a balance.
    pub fn balance_call(&self, choice: usize) -> Value {
        let account = receiver(choice as u64);
        let input = Bytes::from(balanceOfCall { account }.abi_encode());
        json!([{ "to": self.0, "input": input }, "latest"])
    }
}

pub fn sign(
    signer: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    gas_limit: u64,
) -> Result<Bytes> {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to,
        value,
        input,
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash())?;
    Ok(TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into())
}

/// The body of a batch that sends raw transactions.
pub fn sending(raw: &[Bytes]) -> String {
    batch("eth_sendRawTransaction", raw.iter().map(|raw| format!(r#"["{raw}"]"#)))
}

pub fn send(client: &mut Client, raw: &[Bytes]) -> Result<()> {
    let reply = client.request(&sending(raw))?;
    anyhow::ensure!(!reply.contains("\"error\""), "refused: {reply:.300}");
    Ok(())
}

/// Waits until nothing is left to mine.
pub fn settled(client: &mut Client) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while waiting(client)? > 0 {
        anyhow::ensure!(std::time::Instant::now() < deadline, "nothing is mined");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(())
}

/// Executable transactions in the pool.
pub fn waiting(client: &mut Client) -> Result<u64> {
    let status = client.call("txpool_status", &json!([]))?;
    crate::client::number(&status["result"]["pending"]).with_context(|| status.to_string())
}

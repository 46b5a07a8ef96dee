//! A chain with funded accounts, and small contracts written by hand.

use std::time::Duration;

use alloy::{
    network::EthereumWallet,
    primitives::{Address, Bytes, U256, hex},
    providers::{Provider, ProviderBuilder},
    signers::local::PrivateKeySigner,
};
use tilth_chain::{Chain, Config, Genesis};

/// Ten thousand whole coins.
pub fn fortune() -> U256 {
    U256::from(10_000) * U256::from(10).pow(U256::from(18))
}

/// The keys of the funded accounts, always the same.
pub fn signer(index: u8) -> PrivateKeySigner {
    let mut key = [0x17; 32];
    key[31] = index + 1;
    PrivateKeySigner::from_bytes(&key.into()).unwrap()
}

pub fn genesis() -> Genesis {
    Genesis {
        chain_id: 7357,
        timestamp: 1_700_000_000,
        gas_limit: 100_000_000,
        base_fee: 1_000_000_000,
        balances: (0..10).map(|i| (signer(i).address(), fortune())).collect(),
        ..Genesis::default()
    }
}

pub fn config() -> Config {
    Config { beneficiary: Address::repeat_byte(0xbe), ..Config::in_memory(genesis()) }
}

pub async fn start(config: Config) -> Chain {
    // The HTTP client wants one, though nothing here is encrypted. Twice is an error, and no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tilth_chain::spawn(config).await.unwrap()
}

/// A client that signs with the first funded account.
pub fn client(chain: &Chain) -> impl Provider + Clone + use<> {
    client_as(chain, 0)
}

pub fn client_as(chain: &Chain, index: u8) -> impl Provider + Clone + use<> {
    let provider = ProviderBuilder::new()
        .wallet(EthereumWallet::from(signer(index)))
        .connect_http(chain.rpc_url().parse().unwrap());
    provider.client().set_poll_interval(Duration::from_millis(5));
    provider
}

/// Wraps runtime code into creation code.
pub fn deploying(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).unwrap();
    let mut code = vec![0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

/// With one word of calldata returns that slot; with two stores the second under the first and
/// logs it with the first as its topic.
pub fn register() -> Vec<u8> {
    hex::decode(
        "36602014601d57602035600035556020356000526000356020 6000a1005b60003554600052 60206000f3"
            .replace(' ', ""),
    )
    .unwrap()
}

/// Reverts with `Error("out of hay")`.
pub fn reverter() -> Vec<u8> {
    let mut code = hex::decode("6064600c6000396064 6000fd".replace(' ', "")).unwrap();
    code.extend(hex::decode("08c379a0").unwrap());
    code.extend(U256::from(32).to_be_bytes::<32>());
    code.extend(U256::from(10).to_be_bytes::<32>());
    let mut text = [0; 32];
    text[..10].copy_from_slice(b"out of hay");
    code.extend(text);
    code
}

pub fn words(words: &[u64]) -> Bytes {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect::<Vec<u8>>().into()
}

/// Sends one body to the RPC and returns the answer.
pub async fn post(chain: &Chain, body: impl Into<String>) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(chain.rpc_url()).header("content-type", "application/json");
    request.body(body.into()).send().await.unwrap().text().await.unwrap()
}

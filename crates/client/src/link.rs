//! A chain as we talk to it: JSON-RPC over HTTP, with a deadline and retries on every call.
//!
//! A call is tried again while nobody answers (the node is starting, restarting or gone for a
//! moment) until the link's patience ends. What the node or a contract *refuses* is reported at once.

mod depth;

use std::{
    sync::{Arc, Once},
    time::{Duration, Instant},
};

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256},
    providers::{Provider, RootProvider},
    rpc::{
        client::ClientBuilder,
        types::{Block, Filter, Log, TransactionReceipt, TransactionRequest},
    },
    sol_types::SolCall,
    transports::{RpcError, TransportError, TransportResult},
};
use tilth_contracts::Addresses;
use tilth_service::Doing;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::{ChainError, Network, clock, revert};

/// Longest time for one attempt at one call.
const ATTEMPT: Duration = Duration::from_secs(15);
/// First pause between attempts; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a call is tried while nobody answers, unless [`Link::with_patience`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);
/// Blocks searched at once by [`Link::scan`], to begin with.
const SCAN: u64 = 1_000_000;
/// Most characters of a node's message that are shown.
const MAX_MESSAGE: usize = 400;

/// A connection to a chain and to the tilth contracts on it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Arc<Inner>,
    patience: Duration,
    /// The block of which [`Link::read`] sees the state.
    at: BlockNumberOrTag,
}

#[derive(Debug)]
struct Inner {
    provider: RootProvider,
    url: String,
    is_local: bool,
    addresses: Addresses,
    /// The only chain that will do, if that is known.
    expected: Option<u64>,
    /// Blocks that something must have on top before it is believed.
    confirmations: u32,
    chain_id: OnceCell<u64>,
}

/// Fees for an EIP-1559 transaction, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Most paid in all.
    pub max: u128,
    /// Part of it for the block's producer.
    pub priority: u128,
}

impl Fees {
    /// A fifth more of both: nodes take a tenth for enough to replace another transaction.
    pub(crate) fn raised(self) -> Self {
        let more = |fee: u128| fee.saturating_add(fee / 5).saturating_add(1);
        Self { max: more(self.max), priority: more(self.priority) }
    }

    /// No less than others, in either.
    pub(crate) fn at_least(self, others: Self) -> Self {
        let priority = self.priority.max(others.priority);
        Self { max: self.max.max(others.max).max(priority), priority }
    }
}

impl Link {
    /// Prepares a link; nothing is sent yet, so the chain need not be up.
    ///
    /// # Errors
    /// [`ChainError::BadUrl`].
    pub fn open(url: &str, addresses: Addresses) -> Result<Self, ChainError> {
        Self::prepare(url, addresses, (None, 0))
    }

    /// As [`Link::open`], to the chain of a network and to no other: whatever a node says, nothing is
    /// ever signed for another chain. What is not as deep as the network says is not believed: see
    /// [`Link::confirmations`].
    ///
    /// # Errors
    /// [`ChainError::BadUrl`].
    pub fn to(network: &Network) -> Result<Self, ChainError> {
        let only = (Some(network.chain_id), network.confirmations);
        Self::prepare(&network.rpc_url, network.contracts.into(), only)
    }

    fn prepare(
        url: &str,
        addresses: Addresses,
        (expected, confirmations): (Option<u64>, u32),
    ) -> Result<Self, ChainError> {
        install_tls();
        let bad = |detail: String| ChainError::BadUrl { url: url.to_owned(), detail };
        let parsed = reqwest::Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("it begins with neither http:// nor https://".to_owned()));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(ATTEMPT)
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| bad(error.to_string()))?;
        let is_local = parsed
            .host_str()
            .is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        let client = ClientBuilder::default().http_with_client(client, parsed);
        let provider = RootProvider::new(client);
        let url = url.to_owned();
        let chain_id = OnceCell::new();
        let inner = Arc::new(Inner {
            provider,
            url,
            is_local,
            addresses,
            expected,
            confirmations,
            chain_id,
        });
        Ok(Self { inner, patience: PATIENCE, at: BlockNumberOrTag::Latest })
    }

    /// The same link, trying every call for so long while nobody answers.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Checks that the tilth contracts are there and gives the chain's id.
    ///
    /// # Errors
    /// [`ChainError::NoContracts`], [`ChainError::Unreachable`].
    pub fn check(&self) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let chain_id = self.chain_id().await?;
            for address in self.inner.addresses.all() {
                let provider = &self.inner.provider;
                let code = self
                    .ask("reading code", || async move { provider.get_code_at(address).await })
                    .await?;
                if code.is_empty() {
                    let url = self.inner.url.clone();
                    return Err(ChainError::NoContracts { url, chain_id, address });
                }
            }
            Ok(chain_id)
        })
    }

    /// Where the contracts are.
    pub fn addresses(&self) -> &Addresses {
        &self.inner.addresses
    }

    /// The RPC address.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether the node is on this machine, so that asking it often costs nobody anything.
    pub fn is_local(&self) -> bool {
        self.inner.is_local
    }

    /// The chain's id (asked once, or until it is the network's).
    ///
    /// # Errors
    /// [`ChainError::OtherChain`]; [`ChainError::Unreachable`] and the node's refusals, as for every
    /// call below.
    pub fn chain_id(&self) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let ask = || async move { provider.get_chain_id().await };
            let id = self.inner.chain_id.get_or_try_init(|| async {
                let found = self.ask("asking for the chain id", ask).await?;
                match self.inner.expected {
                    Some(expected) if expected != found => {
                        Err(ChainError::OtherChain { url: self.inner.url.clone(), expected, found })
                    }
                    _ => Ok(found),
                }
            });
            id.await.copied()
        })
    }

    /// Calls a view function on the latest state; of a link that was [`confirmed`](Link::confirmed) on that of its
    /// block.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when the contract refuses, [`ChainError::BadAnswer`] when there is
    /// no such contract.
    pub async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, ChainError> {
        let action = C::SIGNATURE;
        let request =
            TransactionRequest::default().with_to(to).with_input(Bytes::from(call.abi_encode()));
        let answer = self.simulate(action, request, self.at).await?;
        C::abi_decode_returns(&answer)
            .map_err(|error| ChainError::BadAnswer { action, detail: error.to_string() })
    }

    /// `eth_call` at a block.
    ///
    /// # Errors
    /// As [`Link::read`].
    pub(crate) fn simulate<'a>(
        &'a self,
        action: &'static str,
        request: TransactionRequest,
        at: BlockNumberOrTag,
    ) -> Doing<'a, Result<Bytes, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let request = &request;
            self.ask(
                action,
                || async move { provider.call(request.clone()).block(at.into()).await },
            )
            .await
        })
    }

    /// The number of the latest block.
    ///
    /// # Errors
    /// As every call.
    pub fn block_number(&self) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            self.ask(
                "asking for the latest block",
                || async move { provider.get_block_number().await },
            )
            .await
        })
    }

    /// The chain's clock: timestamp of the latest block, seconds since 1970.
    ///
    /// # Errors
    /// As every call.
    pub async fn now(&self) -> Result<u64, ChainError> {
        Ok(self.latest().await?.header.timestamp)
    }

    /// Number and hash of the latest block.
    ///
    /// # Errors
    /// As every call.
    pub async fn head(&self) -> Result<(u64, B256), ChainError> {
        let header = self.latest().await?.header;
        Ok((header.number, header.hash))
    }

    fn latest(&self) -> Doing<'_, Result<Block, ChainError>> {
        Box::pin(async move {
            let action = "reading the latest block";
            let provider = &self.inner.provider;
            let latest = BlockNumberOrTag::Latest;
            let block = self
                .ask(action, || async move { provider.get_block_by_number(latest).await })
                .await?;
            block.ok_or_else(|| ChainError::BadAnswer {
                action,
                detail: "there is no latest block".to_owned(),
            })
        })
    }

    /// A block's timestamp, seconds since 1970.
    ///
    /// # Errors
    /// As every call; [`ChainError::BadAnswer`] when there is no such block.
    pub fn time_of(&self, block: u64) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let action = "reading a block";
            let provider = &self.inner.provider;
            let number = BlockNumberOrTag::Number(block);
            let found = self
                .ask(action, || async move { provider.get_block_by_number(number).await })
                .await?;
            let found = found.ok_or_else(|| ChainError::BadAnswer {
                action,
                detail: format!("there is no block {block}"),
            })?;
            Ok(found.header.timestamp)
        })
    }

    /// The time the next block will have at least: an idle chain's latest block can be old.
    ///
    /// # Errors
    /// As every call.
    pub async fn next_time(&self) -> Result<u64, ChainError> {
        Ok(clock::wall().as_secs().max(self.now().await?))
    }

    /// Native coin of an account, in wei.
    ///
    /// # Errors
    /// As every call.
    pub fn balance(&self, account: Address) -> Doing<'_, Result<U256, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            self.ask("reading a balance", || async move { provider.get_balance(account).await })
                .await
        })
    }

    /// Logs that match a filter, in chain order.
    ///
    /// # Errors
    /// As every call.
    pub fn logs<'a>(&'a self, filter: &'a Filter) -> Doing<'a, Result<Vec<Log>, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            self.ask("reading events", || async move { provider.get_logs(filter).await }).await
        })
    }

    /// All logs that match a filter from a block up to now, however far back that is: in pieces that
    /// the node is willing to search.
    ///
    /// # Errors
    /// As every call.
    pub async fn scan(&self, filter: &Filter, from_block: u64) -> Result<Vec<Log>, ChainError> {
        let latest = self.block_number().await?;
        self.scan_to(filter, from_block, latest).await
    }

    /// As [`Link::scan`], up to the block that was asked for as the latest before.
    pub(crate) fn scan_to<'a>(
        &'a self,
        filter: &'a Filter,
        from_block: u64,
        latest: u64,
    ) -> Doing<'a, Result<Vec<Log>, ChainError>> {
        Box::pin(async move {
            let (mut next, mut step) = (from_block, SCAN);
            let mut all = Vec::new();
            while next <= latest {
                let to = latest.min(next.saturating_add(step - 1));
                match self.logs(&filter.clone().from_block(next).to_block(to)).await {
                    Ok(logs) => {
                        all.extend(logs);
                        next = to.saturating_add(1);
                    }
                    Err(ChainError::Refused { .. }) if step > 1 => step = (step / 4).max(1),
                    Err(error) => return Err(error),
                }
            }
            Ok(all)
        })
    }

    /// A mined transaction's receipt.
    ///
    /// # Errors
    /// As every call.
    pub fn receipt(&self, hash: B256) -> Doing<'_, Result<Option<TransactionReceipt>, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let ask = || async move { provider.get_transaction_receipt(hash).await };
            self.ask("asking for a receipt", ask).await
        })
    }

    /// Number of transactions an account has sent, with or without those that wait.
    pub(crate) fn nonce(
        &self,
        account: Address,
        at: BlockNumberOrTag,
    ) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let ask =
                || async move { provider.get_transaction_count(account).block_id(at.into()).await };
            self.ask("asking for the next nonce", ask).await
        })
    }

    /// What the next blocks will charge: twice the base fee, and the usual tip.
    pub(crate) fn fees(&self) -> Doing<'_, Result<Fees, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let ask = || async move { provider.estimate_eip1559_fees().await };
            let fees = self.ask("asking for fees", ask).await?;
            Ok(Fees { max: fees.max_fee_per_gas, priority: fees.max_priority_fee_per_gas })
        })
    }

    /// Gas a transaction would use now.
    pub(crate) fn estimate(
        &self,
        request: TransactionRequest,
    ) -> Doing<'_, Result<u64, ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let request = &request;
            let ask = || async move { provider.estimate_gas(request.clone()).await };
            self.ask("estimating gas", ask).await
        })
    }

    /// Hands in a signed transaction. Handing in the same one twice is harmless.
    pub(crate) fn send_raw<'a>(&'a self, raw: &'a [u8]) -> Doing<'a, Result<(), ChainError>> {
        Box::pin(async move {
            let provider = &self.inner.provider;
            let ask = || async move { provider.send_raw_transaction(raw).await.map(drop) };
            self.ask("sending a transaction", ask).await
        })
    }

    /// Asks until there is an answer or patience ends.
    async fn ask<T, F>(
        &self,
        action: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, ChainError>
    where
        F: Future<Output = TransportResult<T>>,
    {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let detail = match tokio::time::timeout(ATTEMPT, call()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => match judge(action, error) {
                    Verdict::Final(error) => return Err(error),
                    Verdict::Again(detail) => detail,
                },
                Err(_) => format!("no answer within {} s", ATTEMPT.as_secs()),
            };
            if began.elapsed() + pause > self.patience {
                let (url, waited) = (self.inner.url.clone(), began.elapsed());
                return Err(ChainError::Unreachable { url, action, waited, detail });
            }
            debug!(action, detail, "the chain did not answer, trying again");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// Makes ring the process's TLS implementation, once. Somebody else's earlier choice stays.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

enum Verdict {
    Final(ChainError),
    Again(String),
}

/// Whether a failed call is worth repeating.
fn judge(action: &'static str, error: TransportError) -> Verdict {
    match error {
        // A rate limit of a public node, or a node that is still starting.
        RpcError::ErrorResp(payload)
            if matches!(payload.code, 429 | -32005) || payload.is_retry_err() =>
        {
            Verdict::Again(short(&payload.message))
        }
        RpcError::ErrorResp(payload) => {
            let data = payload.as_revert_data();
            Verdict::Final(refusal(action, payload.code, &payload.message, data))
        }
        RpcError::Transport(error) => Verdict::Again(short(&chain_of(&error))),
        // A body that is no JSON is what a proxy says while the node behind it is away.
        RpcError::DeserError { err, text } if !text.trim_start().starts_with('{') => {
            Verdict::Again(short(&format!("{err}: {text}")))
        }
        error => {
            Verdict::Final(ChainError::BadAnswer { action, detail: short(&error.to_string()) })
        }
    }
}

/// An error with its causes, since the outermost often says only "error sending request".
fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

fn refusal(action: &'static str, code: i64, message: &str, data: Option<Bytes>) -> ChainError {
    match data {
        Some(data) => {
            let problem = revert::explain(action, &data).into();
            ChainError::Reverted { action, problem, data }
        }
        // Some nodes say it only in words.
        None if message.contains("revert") => {
            let problem = revert::explain(action, &Bytes::new()).into();
            ChainError::Reverted { action, problem, data: Bytes::new() }
        }
        None => ChainError::Refused { action, code, message: short(message) },
    }
}

fn short(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_taken() {
        let addresses = Addresses::predeployed();
        for wrong in ["", "localhost:8545", "ws://127.0.0.1:1", "/tmp/ipc"] {
            let error = Link::open(wrong, addresses).unwrap_err();
            assert!(matches!(error, ChainError::BadUrl { .. }), "{wrong}: {error}");
        }
        assert!(Link::open("http://localhost:8545", addresses).unwrap().is_local());
        assert!(!Link::open("https://rpc.example.org", addresses).unwrap().is_local());
    }

    #[tokio::test]
    async fn a_chain_that_is_down_is_said_after_patience_ends() {
        // Bound and dropped, so that nobody listens there.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        drop(socket);
        let link = Link::open(&url, Addresses::predeployed()).unwrap();
        let began = Instant::now();
        let error =
            link.with_patience(Duration::from_millis(300)).block_number().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!(error.problem().what, "the chain cannot be reached");
        assert!(error.to_string().contains("refused"), "{error}");
    }
}

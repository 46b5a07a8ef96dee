//! The EVM node: execution, state, pool, JSON-RPC, genesis and solo block production, as one value.
//!
//! ```no_run
//! # async fn example(genesis: tilth_chain::Genesis) -> Result<(), tilth_chain::ChainError> {
//! let chain = tilth_chain::spawn(tilth_chain::Config::in_memory(genesis)).await?;
//! println!("JSON-RPC at {}", chain.rpc_url());
//! chain.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod block;
pub mod clock;
pub mod config;
pub mod decode;
pub mod execution;
pub mod fsck;
pub mod genesis;
mod health;
#[doc(hidden)]
pub mod hostile;
mod log_index;
mod message;
mod metrics;
mod node;
pub mod pool;
mod producer;
pub mod retention;
mod rpc;
mod simulate;
pub mod snapshot;
mod solo;
pub mod spec;
pub mod state;
pub mod store;
mod trace;
pub mod transfer;
pub mod trie;
mod websocket;
mod witness;

use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use tilth_protocol::Problem;
use tilth_service::{Doing, OnFailure, Readiness, Registry, Scope};

pub use block::{Block, SealedHeader};
pub use clock::Clock;
pub use config::{Access, Config, Limits, Production};
pub use genesis::{Genesis, GenesisAccount, GenesisError, GenesisHeader, Predeploy};
pub use node::NodeError;
use node::{Node, chain_of_causes};
pub use spec::{ChainSpec, Forks};
use state::StateReader as _;
use store::{Store, StoreOptions};
pub use transfer::{Progress, StoredChain, TransferError};

/// Name of the database in a chain's folder.
const DATABASE: &str = "chain.redb";

/// Name of the file beside it that keeps what waits in the pool.
const JOURNAL: &str = "pool.journal";

/// How long a stop waits for requests and a block in progress.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// A running node. Dropping it stops everything it started; what was mined is on disk.
#[derive(Debug)]
pub struct Chain {
    node: Arc<Node>,
    server: rpc::Server,
    scope: Scope,
    production: Production,
    dir: Option<PathBuf>,
}

/// Why a node could not start or make a block.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The folder could not be made.
    #[error("the chain's folder {dir} could not be made")]
    Folder {
        /// The folder.
        dir: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The chain itself.
    #[error("the chain could not go on")]
    Node(#[from] NodeError),
    /// The RPC port.
    #[error("JSON-RPC could not be served at {address}")]
    Rpc {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ChainError {
    /// The error for a person.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Folder { .. } => "choose a folder this user can write to",
            Self::Rpc { .. } => "choose another port, or stop the program that uses this one",
            Self::Node(error) => error.advice(),
        };
        let causes = std::error::Error::source(self).map(chain_of_causes).unwrap_or_default();
        Problem::new(self.to_string(), causes, advice)
    }
}

/// Opens or creates a chain and starts to serve and to mine it.
pub fn spawn(config: Config) -> Doing<'static, Result<Chain, ChainError>> {
    Box::pin(async move {
        let (rpc, production, access) = (config.rpc, config.production, config.access.clone());
        let dir = config.dir.clone();
        let opened = tokio::task::spawn_blocking(move || open(config)).await;
        let node = Arc::new(opened.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?);
        metrics::register(&node, dir.as_ref().map(|dir| dir.join(DATABASE)));
        if let Some(dir) = dir.clone() {
            attach_journal(&node, dir).await?;
        }
        let server = rpc::serve(Arc::clone(&node), rpc, &access)
            .await
            .map_err(|source| ChainError::Rpc { address: rpc, source })?;
        let scope = Scope::new("chain");
        let producer = solo::produce(Arc::clone(&node), production);
        let stop = scope.token();
        scope.spawn("producer", OnFailure::StopAll, async move {
            tokio::select! {
                () = producer => {}
                () = stop.cancelled() => {}
            }
        });
        let (idle, stop) = (Arc::clone(&node), scope.token());
        scope.spawn("pool", OnFailure::StopAll, async move {
            tokio::select! {
                () = solo::keep_pool(idle) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Chain { node, server, scope, production, dir })
    })
}

/// Takes back into the pool what waited when the chain stopped.
async fn attach_journal(node: &Arc<Node>, dir: PathBuf) -> Result<(), ChainError> {
    let (node, path) = (Arc::clone(node), dir.join(JOURNAL));
    let attached = tokio::task::spawn_blocking(move || node.attach_journal(path)).await;
    let attached = attached.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    let dir = dir.display().to_string();
    attached.map(|_| ()).map_err(|source| ChainError::Folder { dir, source })
}

fn open(config: Config) -> Result<Node, ChainError> {
    let options = StoreOptions::from(&config.limits);
    let store = match &config.dir {
        None => Store::in_memory(&options),
        Some(dir) => {
            make_folder(dir)?;
            Store::open(&dir.join(DATABASE), &options)
        }
    }
    .map_err(NodeError::State)?;
    Ok(Node::open(store, &config.genesis, config.limits, config.clock, config.beneficiary)?)
}

fn make_folder(dir: &Path) -> Result<(), ChainError> {
    std::fs::create_dir_all(dir)
        .map_err(|source| ChainError::Folder { dir: dir.display().to_string(), source })
}

impl Chain {
    /// Where JSON-RPC is served, with the port that was taken.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL for clients.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.rpc_addr())
    }

    /// The URL for clients that subscribe.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.rpc_addr())
    }

    /// The last block.
    pub fn head(&self) -> SealedHeader {
        self.node.head().header.clone()
    }

    /// Takes the blocks of a file in geth's format (RLP, one after another). Every block is executed
    /// and verified; those the chain holds already are skipped. The producer should be
    /// [`Production::Manual`] meanwhile, or its blocks come in between. `progress` hears of every
    /// block, on another thread.
    ///
    /// # Errors
    /// At the first block that cannot be read or is not valid; those before it stay.
    pub async fn import(
        &self,
        reader: impl Read + Send + 'static,
        progress: impl FnMut(&Progress) + Send + 'static,
    ) -> Result<Progress, TransferError> {
        let node = Arc::clone(&self.node);
        let importing = move || transfer::import(&node, reader, progress);
        let imported = tokio::task::spawn_blocking(importing).await;
        imported.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.node.spec.chain_id
    }

    /// Hash of block 0; zero if it cannot be read any more.
    pub fn genesis_hash(&self) -> B256 {
        self.node.head().snapshot.block_hash(0).unwrap_or_default()
    }

    /// What the node measures about itself.
    pub fn metrics(&self) -> Registry {
        self.node.meters.registry.clone()
    }

    /// The question whether the node can do its work: whether blocks can be written and the folder
    /// takes files, and whether the head has moved within `stall` although there was something to put
    /// into a block. With [`Production::Manual`] only whoever makes the blocks knows when one is due, so
    /// the head may stand still. The answer outlives the chain and is then that it has stopped.
    pub fn readiness(&self, stall: Duration) -> Readiness {
        health::readiness(&self.node, self.production, self.dir.clone(), stall)
    }

    /// Waits until a part of the node has failed for good, and says which and why.
    pub async fn failed(&self) -> String {
        match self.scope.stopped().await {
            Some(failure) => failure.to_string(),
            None => "the node was stopped".to_owned(),
        }
    }

    /// Makes one block now from what waits, empty if nothing does, and returns its header. Works
    /// with every kind of production.
    pub fn mine(&self) -> Doing<'_, Result<SealedHeader, ChainError>> {
        Box::pin(async move {
            let made = solo::make_block(&self.node, true).await?;
            Ok(made.map_or_else(|| self.head(), |head| head.header.clone()))
        })
    }

    /// Waits until the head's number is at least `number`.
    pub async fn reached(&self, number: u64) {
        let mut heads = self.node.heads();
        // The sender lives in the node, which `self` holds.
        let _ = heads.wait_for(|head| *head >= number).await;
    }

    /// Takes the transactions of abandoned blocks back into the pool, oldest block first, except for
    /// those that are also in the blocks that took their place. For producers that move the head to
    /// another branch, to be called after that; nothing comes back from more than 64 blocks. Blocks
    /// its thread while it writes the pool's journal anew. Returns how many came back.
    pub fn reinject(&self, abandoned: &[Block], adopted: &[Block]) -> Result<usize, ChainError> {
        Ok(self.node.reinject(abandoned, adopted).map_err(NodeError::State)?)
    }

    /// Transactions waiting in the pool.
    pub fn waiting(&self) -> usize {
        self.node.pool().len()
    }

    /// Answers a JSON-RPC request or batch as the server would, without a socket. At most
    /// [`Limits::batch_max`] requests and the time and size limits hold as over HTTP; the answer to
    /// nothing but notifications is empty.
    pub fn answer<'a>(&'a self, body: &'a [u8]) -> Doing<'a, Vec<u8>> {
        Box::pin(async move { self.server.answer(body).await })
    }

    /// Names of the JSON-RPC methods, sorted.
    pub fn methods(&self) -> Vec<&'static str> {
        self.server.methods()
    }

    /// Stops serving and mining, waits for what is in progress, and closes the database.
    pub fn shutdown(self) -> Doing<'static, ()> {
        Box::pin(async move {
            let Self { node, server, scope, .. } = self;
            scope.shutdown(SHUTDOWN).await;
            if tokio::time::timeout(SHUTDOWN, server.stop()).await.is_err() {
                tracing::warn!("some requests did not end in time");
            }
            let last = Arc::clone(&node);
            let written = tokio::task::spawn_blocking(move || last.rewrite_journal()).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(
                    cause = chain_of_causes(&error),
                    "the pool could not be written down"
                );
            }
            let last = Arc::clone(&node);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || last.save_tries()).await {
                tracing::warn!(cause = chain_of_causes(&error), "the tries could not be saved");
            }
            // A block or request on a thread of its own still holds the node; the database is closed,
            // and the folder free for the next start, when the last of them lets go.
            let closed = async {
                while Arc::strong_count(&node) > 1 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            if tokio::time::timeout(SHUTDOWN, closed).await.is_err() {
                tracing::warn!("the database is still in use");
            }
        })
    }
}

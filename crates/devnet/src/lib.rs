//! A whole network in one process: the real chain, the real contracts, real providers, on loopback.
//! `tilth up` shows it to people, end-to-end tests use it as a value.
//!
//! [`Devnet::start`] is idempotent: it brings a folder from wherever it is (nothing, a network that was
//! killed in the middle of its first start, an older network with fewer providers) to a running network.
//! Dropping the value stops everything it started.
#![forbid(unsafe_code)]

mod auditors;
mod audits;
mod deployment;
mod folder;
mod funding;
mod genesis;

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use tilth_chain::{Chain, Production};
use tilth_client::{Account, Keys, Link, Network};
use tilth_contracts::{Addresses, DeployParams};
use tilth_protocol::Problem;
use tilth_provider::{
    Auditor, Comfort, GasReserve, IdleRules, Limits, Offer, Provider, infer::Model,
};
use tilth_sandbox::{CommandLine, GpuUse};
use tilth_service::Doing;
use tokio::task::JoinSet;

pub use genesis::CHAIN_ID;

/// What network to start.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The network's folder.
    pub dir: PathBuf,
    /// Delete what an earlier network left in the folder.
    pub fresh: bool,
    /// The chain.
    pub chain: ChainChoice,
    /// Number of providers.
    pub providers: u16,
    /// Number of auditors. With fewer than seven nothing is given out in audited jobs: an answer must lead by five votes,
    /// and the client and the provider's owner may be auditors who are left out.
    pub auditors: u16,
    /// Slots of each provider.
    pub slots: u16,
    /// How providers start a worker: the `tilth` program with its hidden subcommand.
    pub worker: CommandLine,
    /// How providers enter the sandbox: the same with the other hidden subcommand.
    pub sandbox_init: CommandLine,
    /// Which GPU providers offer.
    pub gpu: GpuUse,
    /// Providers measure the machine at their start and announce its classes.
    pub measure: bool,
    /// Language models that every provider sells.
    pub models: Vec<Model>,
}

/// Which chain the network lives on.
#[derive(Clone, Debug)]
pub enum ChainChoice {
    /// Our own node, in this process.
    Own {
        /// Where JSON-RPC is served; port 0 takes a free one.
        listen: SocketAddr,
        /// A block per interval; `None`: whenever there is a transaction.
        interval: Option<Duration>,
    },
    /// An existing chain; the contracts are deployed there unless they already are.
    External {
        /// JSON-RPC over HTTP.
        url: String,
        /// Pays for deployment, gas and stakes.
        funder: PrivateKeySigner,
        /// [`Network::confirmations`] of this chain; `None`: as the folder's network file says, or 0.
        confirmations: Option<u32>,
    },
}

/// A running network.
#[derive(Debug)]
pub struct Devnet {
    network: Network,
    accounts: Vec<(String, Address)>,
    providers: Vec<Provider>,
    auditors: Vec<Auditor>,
    chain: Option<Chain>,
    folder: folder::Folder,
}

/// How long providers serve results that are paid for, so that a client can come back for them.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Name of the account that pays for jobs.
pub const CLIENT: &str = "client";
/// Name of the account that funds the others on our own chain.
const FUNDER: &str = "funder";
/// Name of the account that gets the protocol fee.
const TREASURY: &str = "treasury";

impl Devnet {
    /// Starts the network and waits until it is ready: chain answering, contracts there, accounts
    /// funded, providers registered.
    ///
    /// # Errors
    /// The folder is in use or cannot be written, the port is taken, the chain cannot be reached, the
    /// funder cannot pay, or a provider cannot start.
    pub fn start(topology: Topology) -> Doing<'static, Result<Self, Problem>> {
        Box::pin(Self::begin(topology))
    }

    async fn begin(topology: Topology) -> Result<Self, Problem> {
        let folder = folder::Folder::take(&topology.dir, topology.fresh)?;
        let keys = Keys::of(folder.path());
        let treasury = keys.open_or_create(TREASURY)?.address();
        let (chain, network, funder) = match &topology.chain {
            ChainChoice::Own { listen, interval } => {
                let funder = keys.open_or_create(FUNDER)?;
                let (chain, network) =
                    own_chain(&folder, *listen, *interval, funder.address(), treasury).await?;
                (Some(chain), network, funder)
            }
            ChainChoice::External { url, funder, confirmations } => {
                let mut network = external_chain(&folder, url, funder, treasury).await?;
                network.confirmations = confirmations.unwrap_or(network.confirmations);
                (None, network, funder.clone())
            }
        };
        network.save(folder.path())?;
        let link = Link::to(&network).map_err(|error| error.problem())?;
        let funder = Account::new(link, funder);
        fund_client(&funder, &keys).await?;
        let (accounts, providers, auditors) = (Vec::new(), Vec::new(), Vec::new());
        let mut devnet = Self { network, accounts, providers, auditors, chain, folder };
        devnet.start_providers(&topology, &funder, &keys).await?;
        devnet.auditors = auditors::start(&topology, devnet.place(), &funder, &keys).await?;
        devnet.accounts = keys.list()?;
        Ok(devnet)
    }

    async fn start_providers(
        &mut self,
        topology: &Topology,
        funder: &Account,
        keys: &Keys,
    ) -> Result<(), Problem> {
        let mut starting = JoinSet::new();
        for number in 1..=topology.providers {
            let name = format!("provider-{number}");
            let owner = keys.open_or_create(&name)?;
            let node = keys.open_or_create(&format!("{name}-node"))?;
            let config = tilth_provider::Config {
                dir: self.folder.path().join("providers").join(&name),
                network: self.network.clone(),
                owner,
                node,
                offer: Offer {
                    slots: topology.slots,
                    stake: funding::STAKE,
                    models: topology.models.clone(),
                    ..Offer::default()
                },
                limits: Limits::default(),
                worker: topology.worker.clone(),
                sandbox_init: topology.sandbox_init.clone(),
                gpu: topology.gpu,
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                advertise: Vec::new(),
                retention: RETENTION,
                withdraw_above: None,
                gas: GasReserve::default(),
                measure: topology.measure,
                comfort: Comfort { idle: always(), ..Comfort::default() },
            };
            let funder = funder.clone();
            starting.spawn(async move {
                fund_provider(&funder, config.owner.address()).await?;
                let provider = Provider::spawn(config).await.map_err(|error| error.problem())?;
                Ok::<_, Problem>((number, provider))
            });
        }
        let mut started = Vec::new();
        while let Some(provider) = starting.join_next().await {
            let provider = provider.map_err(|error| {
                Problem::new(
                    "a provider cannot start",
                    error.to_string(),
                    "see the log; this is a bug",
                )
            })?;
            started.push(provider?);
        }
        started.sort_by_key(|(number, _)| *number);
        self.providers = started.into_iter().map(|(_, provider)| provider).collect();
        Ok(())
    }

    fn place(&self) -> (&Path, &Network) {
        (self.folder.path(), &self.network)
    }

    /// How to reach the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The folder, as an absolute path.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Names and addresses of all accounts.
    pub fn accounts(&self) -> &[(String, Address)] {
        &self.accounts
    }

    /// The running providers.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The running auditors.
    pub fn auditors(&self) -> &[Auditor] {
        &self.auditors
    }

    /// Waits until the chain, a provider or an auditor stops by itself, which they only do when they cannot go on,
    /// and says which and why.
    pub async fn failure(&self) -> Problem {
        let chain: Pin<Box<dyn Future<Output = String> + Send + '_>> = match &self.chain {
            Some(chain) => Box::pin(chain.failed()),
            None => Box::pin(std::future::pending()),
        };
        // There is always a first one to wait for: the chain, or one that never comes.
        let mut parts = vec![chain];
        for provider in &self.providers {
            parts.push(Box::pin(async move { provider.failure().await.to_string() }));
        }
        for auditor in &self.auditors {
            parts.push(Box::pin(async move { auditor.failure().await.to_string() }));
        }
        let detail = std::future::poll_fn(|context| {
            let ready = parts.iter_mut().find_map(|part| match part.as_mut().poll(context) {
                Poll::Ready(detail) => Some(detail),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        Problem::new(
            "a part of the network has stopped by itself",
            detail,
            "see the log above; start it again, nothing that was paid for or handed in is lost",
        )
    }

    /// Stops softly: providers finish and submit what they run and answer the audits of it, then auditors reveal what they
    /// have sealed, then the chain closes its database. What would cost stake if it stayed open is waited for, within
    /// bounds, and said.
    pub fn shutdown(self) -> Doing<'static, ()> {
        Box::pin(self.end())
    }

    async fn end(self) {
        let hearsay = if self.chain.is_some() { audits::HEARSAY.0 } else { audits::HEARSAY.1 };
        let mut stopping = JoinSet::new();
        for (number, provider) in (1..).zip(self.providers) {
            stopping.spawn(async move {
                if let Err(error) = provider.deliver().await {
                    tracing::warn!(%error, "a provider stopped before everything was delivered");
                }
                let name = format!("provider-{number}");
                audits::settled(&name, provider.at_stake(), audits::PROVIDER, hearsay).await;
                if let Err(error) = provider.stop().await {
                    tracing::warn!(%error, "a provider did not stop cleanly");
                }
            });
        }
        stopping.join_all().await;
        let mut stopping = JoinSet::new();
        for auditor in self.auditors {
            stopping.spawn(async move {
                let name = format!("auditor-{}", auditor.number());
                audits::settled(&name, auditor.at_stake(), audits::AUDITOR, hearsay).await;
                if let Err(error) = auditor.stop().await {
                    tracing::warn!(%error, "an auditor did not stop cleanly");
                }
            });
        }
        stopping.join_all().await;
        if let Some(chain) = self.chain {
            chain.shutdown().await;
        }
    }
}

async fn own_chain(
    folder: &folder::Folder,
    listen: SocketAddr,
    interval: Option<Duration>,
    funder: Address,
    treasury: Address,
) -> Result<(Chain, Network), Problem> {
    if let Some(known) = Network::load(folder.path())?.filter(|known| known.chain_id != CHAIN_ID) {
        return Err(deployment::other_chain(known.chain_id, "a chain of its own"));
    }
    let genesis = genesis::open(folder.path(), funder, treasury)?;
    let chain_id = genesis.chain_id;
    let chain = tilth_chain::spawn(tilth_chain::Config {
        dir: Some(folder.path().join("chain")),
        rpc: listen,
        production: interval.map_or(Production::Instant, Production::Interval),
        beneficiary: treasury,
        ..tilth_chain::Config::in_memory(genesis)
    })
    .await
    .map_err(|error| error.problem())?;
    let network = Network {
        rpc_url: chain.rpc_url(),
        chain_id,
        contracts: Addresses::predeployed().into(),
        first_block: 0,
        wraps_native: true,
        confirmations: 0,
    };
    Ok((chain, network))
}

async fn external_chain(
    folder: &folder::Folder,
    url: &str,
    funder: &PrivateKeySigner,
    treasury: Address,
) -> Result<Network, Problem> {
    if let Some(known) = Network::load(folder.path())? {
        // The same chain may have another address today.
        let network = Network { rpc_url: url.to_owned(), ..known };
        if deployment::is_deployed(&network).await? {
            return Ok(network);
        }
    }
    // The addresses are known only after deployment; a link for plain transactions needs none. It waits for no
    // confirmations: what the same account sends afterwards does, and is deep only if all that came before it is.
    let link = Link::open(url, Addresses::predeployed()).map_err(|error| error.problem())?;
    let funder = Account::new(link, funder.clone());
    deployment::deploy(url, &funder, &DeployParams::standard(treasury)).await
}

async fn fund_client(funder: &Account, keys: &Keys) -> Result<(), Problem> {
    let client = keys.open_or_create(CLIENT)?.address();
    let funded = async {
        funding::native(funder, client, funding::GAS_MONEY).await?;
        funding::ledger(funder, client, funding::CLIENT_FUNDS).await
    };
    funded.await.map_err(|error| error.problem())
}

/// The provider itself keeps gas money on its node key.
async fn fund_provider(funder: &Account, owner: Address) -> Result<(), Problem> {
    let funded = async {
        funding::native(funder, owner, funding::GAS_MONEY).await?;
        funding::ledger(funder, owner, funding::STAKE).await
    };
    funded.await.map_err(|error| error.problem())
}

/// Whoever starts a network on this machine wants it to work, also on battery.
fn always() -> IdleRules {
    IdleRules { on_battery: true, ..IdleRules::default() }
}

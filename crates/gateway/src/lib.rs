//! The gateway: an HTTP door, in the shape that programs for language models know, in front of the models that
//! providers sell.
//!
//! It finds out who sells what, takes questions from holders of keys, asks the provider that is best by price,
//! waiting time and record, passes the answer on, and writes the provider's receipt down with the charge.
//! Decisions are pure ([`budget`], [`route`]); the rest carries them out. `docs/guide/inference.md` is for its
//! users.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod api;
mod ask;
mod body;
pub mod books;
pub mod budget;
mod error;
mod handle;
#[doc(hidden)]
pub mod hostile;
mod market;
mod measure;
mod names;
pub mod operator;
mod question;
pub mod route;
mod server;
mod settle;
mod space;
pub mod tab;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::signers::local::PrivateKeySigner;
use tilth_blobs::{Blobs, Relays};
use tilth_client::{Account, Contacts, Link, Network, infer::Asker};
use tilth_protocol::{
    Amount, ContentHash,
    amount::GRAIN,
    infer::{Parameters, Prompt},
};
use tilth_service::{Doing, OnFailure, Registry, Scope, files::kept_secret};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
};

use crate::{
    ask::Counter, books::Books, handle::Service, market::Market, measure::Measures,
    settle::Settling, space::Space,
};

pub use error::GatewayError;
pub use settle::{Grain, SettleError};

/// How long a stop waits for tasks.
const STOP: Duration = Duration::from_secs(5);
/// How long a start waits until it is known who sells what; the door is open meanwhile.
const FIRST_LOOK: Duration = Duration::from_secs(20);

tilth_service::options! {
    /// What a gateway takes on.
    #[derive(Clone, Debug)]
    pub struct Limits {
        /// Open connections.
        pub connections_max: usize = 2048,
        /// How long a connection may be without a request.
        pub idle_time_max: Duration = Duration::from_secs(60),
        /// Bytes of a request's body.
        pub body_bytes_max: usize = 4 << 20,
        /// Questions at the same time; at most a quarter for all keys of one owner, or for one key without an owner.
        pub questions_max: usize = 256,
        /// Memory for all answers together, until their readers have them; at most a quarter, or 96 MiB if that is
        /// more, for all keys of one owner, or for one key without an owner.
        pub answer_bytes_max: usize = 1 << 30,
        /// Tokens of one answer.
        pub answer_tokens_max: u32 = 65_536,
        /// How long one answer may take, over all providers that are asked for it.
        pub answer_time_max: Duration = Duration::from_secs(600),
        /// How often all providers are asked what they sell; at most once a second.
        pub refresh: Duration = Duration::from_secs(15),
        /// How often providers are paid, if an account is named that pays; at most once a second.
        pub settle_every: Duration = Duration::from_secs(600),
        /// What a provider is owed at least when it is paid, in GRAIN: less would cost more gas than it is worth.
        pub settle_above: Grain = Grain(Amount(GRAIN / 100)),
        /// Whether keys are refused whose payer has no more free in the Ledger than it owes; looked at every half a
        /// minute.
        pub covered_only: bool = false,
    }
}

impl Limits {
    /// Questions of one owner's keys at the same time.
    fn questions_each(&self) -> u32 {
        u32::try_from(self.questions_max.max(1).div_ceil(4)).unwrap_or(u32::MAX)
    }
}

/// Everything a [`Gateway`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder; one gateway at a time.
    pub dir: PathBuf,
    /// The chain and its contracts.
    pub network: Network,
    /// Where HTTP is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where its own endpoint listens (UDP); port 0 takes a free one.
    pub bind: SocketAddr,
    /// Relays over which providers can be met.
    pub relays: Relays,
    /// What the operator calls models.
    pub names: BTreeMap<String, ContentHash>,
    /// What it takes on.
    pub limits: Limits,
    /// Pays for keys without an owner, and for its own, from its free balance in the Ledger, from time to time.
    /// Without it what is owed is paid when somebody settles it.
    pub payer: Option<PrivateKeySigner>,
}

impl Config {
    /// A gateway on this machine alone.
    pub fn local(dir: impl Into<PathBuf>, network: Network) -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            dir: dir.into(),
            network,
            listen: here,
            bind: here,
            relays: Relays::default(),
            names: BTreeMap::new(),
            limits: Limits::default(),
            payer: None,
        }
    }
}

/// A running gateway. Dropping it stops everything at once; what was charged is on disk.
#[derive(Debug)]
pub struct Gateway {
    dir: PathBuf,
    address: SocketAddr,
    scope: Scope,
    blobs: Blobs,
    market: Arc<Market>,
}

/// Starts what pays by itself, and what looks whether payers can pay.
fn keep_settling(
    scope: &Scope,
    settling: &Settling,
    payer: Option<Account>,
    limits: &Limits,
    measures: &Measures,
) {
    if limits.covered_only {
        spawn(scope, "covering", settling.clone().keep_covered(measures.clone()));
    }
    if let Some(payer) = payer {
        let (every, least) = (limits.settle_every, limits.settle_above.0);
        spawn(scope, "settling", settling.clone().keep(payer, every, least, measures.clone()));
    }
}

impl Gateway {
    /// Starts a gateway: opens its books and its endpoint, listens, and asks the providers what they sell.
    ///
    /// # Errors
    /// [`GatewayError`]; what was started is stopped.
    pub fn spawn(config: Config, registry: &Registry) -> Doing<'_, Result<Self, GatewayError>> {
        Box::pin(Self::begin(config, registry))
    }

    async fn begin(config: Config, registry: &Registry) -> Result<Self, GatewayError> {
        let dir = &config.dir;
        let folder = |path: &Path| {
            let path = path.to_owned();
            move |source| GatewayError::Folder { path, source }
        };
        fs::create_dir_all(dir).map_err(folder(dir))?;
        let books = Books::open(&dir.join("books.redb"))?;
        if let Some(payer) = &config.payer {
            books.adopt(payer.address()).await?;
        }
        let operators = operator::listen(dir)
            .map_err(|source| GatewayError::Operator { path: dir.join("operator"), source })?;
        let path = dir.join("endpoint.key");
        let endpoint = kept_secret(&path)
            .map_err(|source| GatewayError::Key { path: path.clone(), source })?;
        let link = Link::to(&config.network)?;
        let chain_id = link.check().await?;
        let mut store = tilth_blobs::Config::new(dir.join("content"), endpoint, config.bind);
        store.relays = config.relays.clone();
        let listen = |source| GatewayError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let blobs = Blobs::spawn(store).await?;
        let settling = Settling::new(&link, config.network.first_block, books.clone());
        settling.watch(registry);
        let contacts = Contacts::new(link.clone(), config.network.first_block);
        let asker = Asker::new(blobs.clone(), chain_id);
        let market = Arc::new(Market::new(asker, link.clone(), contacts, config.names));
        let measures = Measures::new(registry);
        Measures::watch(registry, &market);
        let limits = config.limits;
        let scope = Scope::new("gateway");
        let payer = config.payer.map(|payer| Account::new(link, payer));
        keep_settling(&scope, &settling, payer, &limits, &measures);
        let service = Arc::new(Service {
            counter: Counter {
                market: Arc::clone(&market),
                books,
                measures,
                space: Space::new(limits.answer_bytes_max),
                tokens_max: limits.answer_tokens_max,
            },
            body_bytes: limits.body_bytes_max,
            body_time: handle::BODY_TIME,
            questions: Arc::new(Semaphore::new(
                limits.questions_max.clamp(1, Semaphore::MAX_PERMITS),
            )),
            questions_each: limits.questions_each(),
            answer_time: limits.answer_time_max,
            settling,
            spawner: scope.spawner(),
        });
        spawn(&scope, "operator", server::serve_operator(operators, Arc::clone(&service)));
        let serving =
            server::serve(listener, service, limits.connections_max, limits.idle_time_max);
        spawn(&scope, "http", serving);
        let (looked, first) = oneshot::channel();
        let looking = Arc::clone(&market);
        spawn(&scope, "market", async move {
            looking.refresh().await;
            // Who starts it may have waited long enough.
            let _ = looked.send(());
            looking.keep(limits.refresh).await;
        });
        // Most who start a gateway ask at once. Providers that do not answer keep nobody waiting for long.
        let _ = tokio::time::timeout(FIRST_LOOK, first).await;
        Ok(Self { dir: config.dir, address, scope, blobs, market })
    }

    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks providers now what they sell; otherwise that happens from time to time. Those who did not answer before
    /// are skipped for a while, two minutes at most.
    pub async fn refresh(&self) {
        self.market.refresh().await;
    }

    /// Whether it can answer: why not, if not.
    pub fn readiness(&self) -> tilth_service::Readiness {
        let market = Arc::clone(&self.market);
        Arc::new(move || match market.size() {
            (_, 0) => vec!["nobody sells a model".to_owned()],
            _ => vec![],
        })
    }

    /// Waits until it stops by itself.
    pub async fn failure(&self) -> String {
        match self.scope.stopped().await {
            Some(failure) => failure.to_string(),
            None => "it was told to stop".to_owned(),
        }
    }

    /// Stops: streams under way are cut off.
    pub fn stop(self) -> Doing<'static, ()> {
        Box::pin(async move {
            // While the folder is still this one's: afterwards the socket may be the next gateway's.
            if let Err(error) = operator::close(&self.dir) {
                tracing::debug!(%error, "the operator's socket stays behind");
            }
            self.scope.shutdown(STOP).await;
            // Nothing in the store is of any use later.
            let _ = self.blobs.shutdown().await;
        })
    }
}

/// Runs something until the scope stops.
fn spawn(scope: &Scope, name: &str, doing: impl Future<Output = ()> + Send + 'static) {
    let stop = scope.token();
    scope.spawn(name, OnFailure::StopAll, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = doing => {}
        }
    });
}

/// The prompt of a question as it was sent to a gateway, of any shape: for whoever computes the answer again. If it has
/// prompts of several shapes, the one with this hash, which the receipt has.
///
/// # Errors
/// It is no question that a gateway takes.
pub fn prompt_with(question: &[u8], hash: &[u8; 32]) -> Result<Prompt, String> {
    api::request::prompt_with(question, hash).map_err(|error| error.message)
}

/// How a question as it was sent to a gateway wants this prompt of it to be answered. What gateways choose is as it was
/// `made`, as far as they may choose it: fewer tokens than there are unless it says how many, which of its answers this
/// is, and the seed of a question that names none.
///
/// # Errors
/// It is no question that a gateway takes.
pub fn parameters_with(
    question: &[u8],
    prompt: &Prompt,
    made: &Parameters,
) -> Result<Parameters, String> {
    api::request::parameters_with(question, prompt, made).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_has_a_quarter_of_the_places_and_always_one() {
        assert_eq!(Limits::default().questions_each(), 64);
        for (all, each) in [(0, 1), (1, 1), (5, 2), (usize::MAX, u32::MAX)] {
            let limits = Limits { questions_max: all, ..Limits::default() };
            assert_eq!(limits.questions_each(), each);
        }
    }
}

//! The auditor: re-executes samples of what providers submit, from the tasks' numbers alone, says what it
//! found before the provider shows what it claims, and is paid for that.
//!
//! Decisions are in [`tilth_client::audit::Machine`]; here is what carries them out: [`enroll`] (stake and keys),
//! `examine` (fetch, compile, run in the sandbox), `room` (who executes now), `tenants` (whose files lie there),
//! `seals` (what was committed to, on disk before it is sent), `hand` (moves). Auditors are drawn to hold what kept ranges
//! have made, too: `holder` (keep, serve, moves), `content` (fetch, check), `turns` (of whom is fetched now), `holds` (what
//! is held, on disk before it is signed for); and to look whether others still serve what they hold: `spots`, `pieces`
//! (of what) and `answers` (what that says).
//!
//! An auditor that is killed loses the execution in flight. It looks at its open cases again when it is started:
//! nothing is lost if it is back in time to execute and to commit within the hour that it has for that, and to reveal
//! within the half hour after the opening.

mod answers;
mod content;
mod enroll;
pub(crate) mod examine;
mod hand;
mod holder;
mod holds;
mod pieces;
mod room;
mod seals;
mod spots;
mod tenants;
mod turns;

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf, sync::Arc, time::Duration};

use alloy::signers::local::PrivateKeySigner;
use tilth_blobs::{Blobs, Relays};
use tilth_client::{
    Account, Contacts, Link, Network,
    audit::{Keeper, Party, Post},
    holding::{Keeper as HoldKeeper, Party as HoldParty, Post as HoldPost},
};
use tilth_protocol::Amount;
use tilth_sandbox::{CommandLine, GpuAccess, GpuUse};
use tilth_service::Doing;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use self::{
    enroll::enroll,
    hand::AuditorHand,
    holder::Holder,
    holds::{Holds, Shelf},
    seals::{Place, Seals},
};
pub use self::{
    enroll::{collect, standing, unstake, withdraw_stake},
    holds::{HeldRange, held},
};
use crate::{
    ProviderError,
    chain::Chain,
    clock::{compare_clocks, watch_clock},
    config::{GasReserve, Limits},
    provider::CAPPED_GC,
    role::{Running, Workshop, spawn},
    shop::Shop,
};

/// Fees are collected no more often than this.
const COLLECT_PAUSE: Duration = Duration::from_secs(600);

/// Everything an [`Auditor`] needs.
#[derive(Clone)]
pub struct AuditorConfig {
    /// Its folder: seals, content, compiled programs. Created if missing; one auditor at a time.
    pub dir: PathBuf,
    /// The chain and its contracts.
    pub network: Network,
    /// Key of the account that owns the stake and is paid.
    pub owner: PrivateKeySigner,
    /// Key that commits and reveals. Holds only a little native coin, for gas.
    pub node: PrivateKeySigner,
    /// Stake that is deposited and locked when it joins, and again only when none is left: what was cut, or taken out,
    /// is not made up for by itself. At least what the contract asks for.
    pub stake: Amount,
    /// What may be used.
    pub limits: Limits,
    /// Starts a worker (`tilth worker`).
    pub worker: CommandLine,
    /// Starts the sandbox's init (`tilth sandbox-init`).
    pub sandbox_init: CommandLine,
    /// Where the data endpoint listens (UDP); port 0 takes a free one.
    pub bind: SocketAddr,
    /// Relays over which providers behind routers are met.
    pub relays: Relays,
    /// Most bytes served per second.
    pub upload: Option<NonZeroU64>,
    /// Most bytes fetched per second.
    pub download: Option<NonZeroU64>,
    /// Most bytes of content kept on disk.
    pub content_bytes: Option<u64>,
    /// Native coin that the owner keeps on the node's key.
    pub gas: GasReserve,
}

/// A running auditor. Dropping it stops everything at once; its open cases are taken up again by the next one that
/// is started in the same folder.
#[derive(Debug)]
pub struct Auditor {
    running: Running,
    number: u32,
    at_stake: watch::Receiver<Option<usize>>,
}

impl Auditor {
    /// Starts an auditor: takes its folder, looks at what the sandbox can do, joins and stakes as far as that is not
    /// done yet, and takes up its open cases.
    ///
    /// # Errors
    /// [`ProviderError`], with [`ProviderError::problem`] for people. What was started is stopped.
    pub fn spawn(config: AuditorConfig) -> Doing<'static, Result<Self, ProviderError>> {
        Box::pin(Self::begin(config))
    }

    async fn begin(config: AuditorConfig) -> Result<Self, ProviderError> {
        let workshop = Workshop::open(&config.dir, &config.worker, &config.sandbox_init).await?;
        let Workshop { folder, confinement, engine } = workshop;
        let network = &config.network;
        let link = Link::to(network)?;
        let chain_id = link.check().await?;
        compare_clocks(&link).await?;
        let audits = link.addresses().audits;
        let place = Place { chain_id, audits };
        let seals = Seals::open(folder.root(), place, network.first_block)?;
        let shelf = Shelf { chain_id, holders: link.addresses().holders };
        let most = config.limits.hold;
        let holds = Holds::open(folder.root(), shelf, network.first_block, most)?;
        let owner = Account::new(link.clone(), config.owner.clone());
        let node = Account::new(link.clone(), config.node.clone());
        let chain = Chain::new(owner, node.clone(), network, config.gas);
        let number = enroll(&chain, config.stake).await?;

        let secret = folder.endpoint_secret()?;
        let mut store = tilth_blobs::Config::new(folder.content(), secret, config.bind);
        store.relays = config.relays.clone();
        store.limits.upload = config.upload;
        store.limits.download = config.download;
        store.limits.store_bytes = config.content_bytes;
        if config.content_bytes.is_some() {
            store.limits.gc_interval = CAPPED_GC;
        }
        let blobs = Blobs::spawn(store).await?;
        // What GPU programs compute is not asked in audits: other devices may compute other bits.
        let gpu = GpuAccess::find(&config.worker.program, GpuUse::Off);
        let (worker, limits) = (config.worker.clone(), config.limits);
        let shop =
            Shop::new(folder, blobs.clone(), chain, confinement, worker, gpu, engine, limits);
        let (from_block, kept) = (seals.next_block(), seals.all()?);
        let running = Running::new(format!("auditor {}", config.owner.address()), blobs);
        let closed = Arc::new(Notify::new());
        let shop = Arc::new(shop);
        let contacts = Contacts::new(link.clone(), network.first_block);
        let holder = Holder::new(
            number,
            Arc::clone(&shop),
            (contacts.clone(), network.first_block),
            holds,
            running.scope.spawner(),
        );
        let hand = Arc::new(AuditorHand::new(
            number,
            shop,
            (contacts, network.first_block),
            seals,
            Arc::clone(&closed),
            running.scope.spawner(),
        ));
        let post = Post {
            account: node,
            party: Party::Auditor(number),
            from_block,
            job: None,
            seals: kept,
        };
        info!(owner = %config.owner.address(), number, "the auditor is up");
        Ok(start(running, (hand, holder), post, closed, number))
    }

    /// Its number among the auditors.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Number of open cases in which it has a seat: to be away longer than their windows costs stake. `None` until the chain's
    /// past has been read.
    pub fn at_stake(&self) -> watch::Receiver<Option<usize>> {
        self.at_stake.clone()
    }

    /// Waits until the auditor stops by itself, which it only does when it cannot go on.
    pub fn failure(&self) -> Doing<'_, ProviderError> {
        Box::pin(async move { self.running.failure().await })
    }

    /// Stops now: workers die, the content store is closed. Open cases are taken up again at the next start.
    ///
    /// # Errors
    /// The failure that had stopped it before, or that of closing the store.
    pub fn stop(self) -> Doing<'static, Result<(), ProviderError>> {
        Box::pin(async move { self.running.stop().await })
    }
}

/// Starts the tasks. Nothing here can fail or wait.
fn start(
    running: Running,
    (hand, holder): (Arc<AuditorHand>, Holder),
    post: Post,
    closed: Arc<Notify>,
    number: u32,
) -> Auditor {
    let tasks = running.scope.spawner();
    let chain = hand.chain().clone();
    holder.announce();
    let hold_post = HoldPost {
        account: post.account.clone(),
        party: HoldParty::Auditor(number),
        from_block: holder.next_block(),
        job: None,
        most: 0,
    };
    let held = HoldKeeper::new(hold_post, Arc::new(holder));
    let keeper = Keeper::new(post, hand);
    let at_stake = keeper.at_stake();
    spawn(&tasks, "clock", watch_clock(chain.link.clone()));
    spawn(&tasks, "fees", async move { collect_fees(&chain, &closed).await });
    running.keep("audits", keeper.keep());
    running.keep("kept ranges", held.keep());
    Auditor { running, number, at_stake }
}

/// Has earned fees paid after cases of ours have ended, not more often than is worth the gas. What the purse cannot pay is
/// asked for again after the next one.
async fn collect_fees(chain: &Chain, closed: &Notify) {
    loop {
        match collect(&chain.node, chain.owner.address()).await {
            Ok(None) => {}
            Ok(Some(amount)) => info!(%amount, "fees for audits were paid"),
            Err(error) => {
                warn!(%error, "fees for audits cannot be collected now");
                chain.mend(&error).await;
            }
        }
        tokio::time::sleep(COLLECT_PAUSE).await;
        closed.notified().await;
    }
}

impl std::fmt::Debug for AuditorConfig {
    /// Keys are shown as their addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditorConfig")
            .field("dir", &self.dir)
            .field("network", &self.network)
            .field("owner", &self.owner.address())
            .field("node", &self.node.address())
            .field("stake", &self.stake)
            .finish_non_exhaustive()
    }
}

//! A whole provider as a value: [`Provider::spawn`] starts everything, dropping the handle stops it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tilth_blobs::{Blobs, Line};
use tilth_client::{Account, Follow, Link, Scope as Logs};
use tilth_protocol::{GpuReport, challenge::message::ALPN};
use tilth_sandbox::{Confinement, GpuAccess, GpuUse, Limits as Cage, Program};
use tilth_service::{OnFailure, Scope};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::{
    ProviderError,
    agent::{Agent, Command, Ears, MAILBOX},
    bookmark::Bookmark,
    capability::Capability,
    chain::Chain,
    challenge::{CALLS, Desk, Start},
    config::Config,
    control::Ear,
    enroll::{encoded, enroll},
    folder::Folder,
    gpu::inspect_gpu,
    hand::{Hand, Leash},
    idle::watch::Watch,
    machine::{Machine, Rules},
    room,
    senses::Places,
    shop::Shop,
    status::{STOP_PATIENCE, Status},
};

/// Most slots of one provider. Each may hold two ranges; the Registry allows more than one machine has use for.
pub const MAX_SLOTS: u16 = 256;
/// Difference of clocks that nobody is told about: producers of blocks may be some seconds ahead.
const CLOCK_SLACK_SECONDS: u64 = 30;
/// How often content that nobody pins is removed where the disk's share is capped.
const CAPPED_GC: Duration = Duration::from_secs(20);
/// Batches of logs read ahead of the agent.
const NEWS: usize = 16;

/// A running provider. Dropping it stops everything at once: workers die, claims stay on chain and are
/// taken up again by the next provider that is started in the same folder.
#[derive(Debug)]
pub struct Provider {
    scope: Scope,
    blobs: Blobs,
    status: watch::Receiver<Status>,
    commands: mpsc::Sender<Command>,
}

impl Provider {
    /// Starts a provider: takes its folder, looks at what the sandbox can do, registers and stakes as
    /// far as that is not done yet, reads what happened on chain in its absence, and works.
    ///
    /// # Errors
    /// [`ProviderError`], with [`ProviderError::problem`] for people. What was started is stopped.
    pub async fn spawn(config: Config) -> Result<Self, ProviderError> {
        check(&config)?;
        let folder = Folder::open(&config.dir)?;
        let confinement = Arc::new(probe(&config).await?);
        let engine = greet(&confinement, &config).await?;
        folder.keep_artifacts_of(&engine).map_err(|source| {
            let path = folder.root().join("artifacts");
            ProviderError::Folder { action: "cannot clean", path, source }
        })?;

        let gpu = GpuAccess::find(&config.worker.program, config.gpu);
        let report = look_at_gpu(&confinement, &config, &gpu).await?;
        let seen = report.map(|report| (report, gpu.clone()));
        let found = Capability::find(&config, &folder, &confinement, &engine, seen).await;

        let network = &config.network;
        let link = Link::to(network)?;
        let chain_id = link.check().await?;
        compare_clocks(&link).await?;
        let job_book = link.addresses().job_book;
        let path = folder.bookmark();
        let mut bookmark = Bookmark::open(&path, chain_id, job_book, network.first_block)?;
        let owner = Account::new(link.clone(), config.owner.clone());
        let node = Account::new(link.clone(), config.node.clone());
        let chain = Chain::new(owner, node, network.wraps_native, config.gas);

        let secret = folder.endpoint_secret()?;
        let mut store = tilth_blobs::Config::new(folder.content(), secret, config.bind);
        store.advertise.clone_from(&config.advertise);
        let comfort = &config.comfort;
        store.relays = comfort.relays.clone();
        store.limits.upload = comfort.upload;
        store.limits.download = comfort.download;
        store.limits.store_bytes = comfort.content_bytes;
        if comfort.content_bytes.is_some() {
            store.limits.gc_interval = CAPPED_GC;
        }
        let (ring, calls) = mpsc::channel(CALLS);
        store.lines = vec![Line { alpn: ALPN, most: CALLS, calls: ring }];
        let blobs = Blobs::spawn(store).await?;
        let contact = blobs.contact();
        enroll(&chain, &config, &contact, bookmark.published(), &found).await?;
        bookmark.publish(encoded(&contact));
        let saved = bookmark.save(&path, 0);
        saved.map_err(|source| ProviderError::Folder { action: "cannot write", path, source })?;

        let root = folder.root().to_owned();
        let status = first_status(&config, contact);
        let (status, shown) = watch::channel(status);
        let ear = Ear::open(&root, shown.clone()).map_err(|source| {
            let path = root.join("control");
            ProviderError::Folder { action: "cannot listen at", path, source }
        })?;
        let worker = config.worker.clone();
        let mut limits = config.limits;
        if let Some(cap) = comfort.content_bytes {
            // Inputs stay as long as their job; were they to fill the store, nothing could be claimed any more.
            limits.disk = limits.disk.min(cap / 2);
        }
        let kept = blobs.clone();
        let begin = Start { confinement: Arc::clone(&confinement), worker: worker.clone() };
        let (signer, devices) = (config.node.clone(), found.devices.clone());
        let desk = Desk::new(begin, signer, blobs.contact().endpoint, devices, shown.clone());
        let shop = Shop::new(folder, blobs, chain, confinement, worker, gpu, engine, limits);
        info!(owner = %config.owner.address(), slots = config.offer.slots, "the provider is up");
        let provider = start(&config, &found, shop, bookmark, (status, shown), kept, ear);
        spawn(&provider.scope, "challenges", desk.answer(calls));
        Ok(provider)
    }

    /// The provider as it is now; [`watch::Receiver::changed`] tells of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Takes no more work, finishes and submits what runs, gives back what was not begun, and serves
    /// what was submitted until it is paid. Returns when all of that is done; may be dropped before
    /// (the provider goes on draining), and called again.
    ///
    /// # Errors
    /// [`ProviderError::Stopped`] if the provider stops before that.
    pub async fn drain(&self) -> Result<(), ProviderError> {
        self.drain_until(|status| status.is_at_rest()).await
    }

    /// As [`Provider::drain`], but returns when everything is delivered, paid or not.
    ///
    /// # Errors
    /// [`ProviderError::Stopped`] if the provider stops before that.
    pub async fn deliver(&self) -> Result<(), ProviderError> {
        self.drain_until(Status::is_delivered).await
    }

    async fn drain_until(
        &self,
        over: impl Fn(&Status) -> bool + Send,
    ) -> Result<(), ProviderError> {
        let stopped = |_| ProviderError::Stopped("it no longer runs".into());
        self.commands.send(Command::Drain).await.map_err(|_| stopped(()))?;
        let mut status = self.status.clone();
        // The guard that `wait_for` returns must not live across the next await.
        let drained = status.wait_for(|status| status.draining && over(status)).await.is_ok();
        if drained {
            return Ok(());
        }
        Err(self.failure().await)
    }

    /// Waits until the provider stops by itself, which it only does when it cannot go on.
    pub async fn failure(&self) -> ProviderError {
        match self.scope.stopped().await {
            Some(failure) => ProviderError::Stopped(failure.to_string()),
            None => ProviderError::Stopped("it was told to stop".into()),
        }
    }

    /// Stops now, in order: workers die, the content store is closed. What was begun is taken up again
    /// at the next start.
    ///
    /// # Errors
    /// The failure that had stopped it before, or that of closing the store.
    pub async fn stop(self) -> Result<(), ProviderError> {
        let ending = self.scope.shutdown(STOP_PATIENCE).await;
        self.blobs.shutdown().await?;
        match ending.failure {
            Some(failure) => Err(ProviderError::Stopped(failure.to_string())),
            None => Ok(()),
        }
    }
}

fn check(config: &Config) -> Result<(), ProviderError> {
    let slots = config.offer.slots;
    if slots == 0 || slots > MAX_SLOTS {
        return Err(ProviderError::Config(format!("{slots} slots, it must be 1 to {MAX_SLOTS}")));
    }
    if config.gas.full < config.gas.least {
        return Err(ProviderError::Config("the gas reserve's least is above its full".into()));
    }
    Ok(())
}

/// Says aloud if this machine's clock is behind the chain's: it would take deadlines and windows for later
/// than they are. (A clock that is ahead cannot be told from a chain that has been idle.)
async fn compare_clocks(link: &Link) -> Result<(), ProviderError> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let behind = link.now().await?.saturating_sub(wall);
    if behind > CLOCK_SLACK_SECONDS {
        warn!(
            behind,
            "this machine's clock is behind the chain's by so many seconds: set it right"
        );
    }
    Ok(())
}

/// Finds out what the sandbox can enforce, and says aloud what it cannot.
async fn probe(config: &Config) -> Result<Confinement, ProviderError> {
    let confinement = Confinement::probe(config.sandbox_init.clone()).await?;
    for measure in confinement.report() {
        if let Some(problem) = measure.problem() {
            warn!(detail = problem.detail, advice = problem.advice, "{}", problem.what);
        }
    }
    Ok(confinement)
}

/// Starts a worker once, to know that it runs in the sandbox and what engine it is.
async fn greet(confinement: &Confinement, config: &Config) -> Result<String, ProviderError> {
    let mut program = Program::new(&config.worker.program);
    program.args = config.worker.args.clone();
    program.args.push("serve".into());
    let confined = confinement.spawn(&program, &Cage::default()).await?;
    let hand = Hand::spawn(confined, Leash::default()).await;
    let hand = hand.map_err(|error| ProviderError::Worker(error.to_string()))?;
    Ok(hand.engine().to_owned())
}

/// Has the GPU that is offered looked at, and says aloud what was found.
async fn look_at_gpu(
    confinement: &Confinement,
    config: &Config,
    access: &GpuAccess,
) -> Result<Option<GpuReport>, ProviderError> {
    if config.gpu == GpuUse::Off {
        return Ok(None);
    }
    for missing in &access.missing {
        warn!(missing, "something that GPU programs need is missing");
    }
    let none = |why: String| ProviderError::Gpu { why, missing: access.missing.join("; ") };
    if !access.is_usable() {
        return Err(none("nothing to open".into()));
    }
    let report = inspect_gpu(confinement, &config.worker, access).await.map_err(none)?;
    let report = report.ok_or_else(|| none("the worker sees none".into()))?;
    let GpuReport { name, driver, software, exact, .. } = &report;
    info!(name, driver, software, exact, "GPU programs are offered");
    for finding in report.findings.iter().filter(|finding| finding.different > 0) {
        let (part, different) = (&finding.part, finding.different);
        let replaced = finding.replaceable;
        warn!(
            part,
            different,
            compared = finding.compared,
            replaced,
            "the GPU is not exact in this"
        );
    }
    Ok(Some(report))
}

fn first_status(config: &Config, contact: tilth_protocol::Contact) -> Status {
    let (owner, node) = (config.owner.address(), config.node.address());
    Status::begun(owner, node, contact, config.offer.slots)
}

/// Starts the tasks. Nothing here can fail or wait.
fn start(
    config: &Config,
    found: &Capability,
    shop: Shop,
    bookmark: Bookmark,
    (status, shown): (watch::Sender<Status>, watch::Receiver<Status>),
    blobs: Blobs,
    (ear, paused): (Ear, watch::Receiver<bool>),
) -> Provider {
    let owner = config.owner.address();
    let rules = Rules {
        owner,
        slots: config.offer.slots,
        price_floor: config.offer.price_floor,
        slot_cost_per_hour: config.comfort.power.slot_cost_per_hour(config.offer.slots),
        class_bits: found.class_bits,
        vram_mib: found.vram_mib,
        retention_ms: millis(config.retention),
        withdraw_above: config.withdraw_above,
    };
    let scope = Scope::new(format!("provider {owner}"));
    let (events, event_inbox) = mpsc::channel(MAILBOX);
    let (news, news_inbox) = mpsc::channel(NEWS);
    let (commands, command_inbox) = mpsc::channel(4);
    let logs = Logs::contracts([shop.chain.link.addresses().job_book], bookmark.next_block());
    let mut follow = Follow::new(&shop.chain.link, logs);
    let stop = scope.token();
    scope.spawn("news", OnFailure::StopAll, async move {
        loop {
            let item = tokio::select! {
                () = stop.cancelled() => return,
                item = follow.next() => item,
            };
            if news.send(item).await.is_err() {
                return;
            }
        }
    });
    let (store, stop) = (blobs.clone(), scope.token());
    scope.spawn("content store", OnFailure::StopAll, async move {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            failure = store.failure() => Err(failure),
        }
    });
    let watch = Watch {
        rules: config.comfort.idle.clone(),
        places: Places::default(),
        paused,
        events: events.clone(),
        status: status.clone(),
    };
    spawn(&scope, "owner's watch", watch.keep());
    spawn(&scope, "owner's commands", ear.listen());
    let room =
        room::watch(blobs.clone(), config.comfort.content_bytes, events.clone(), status.clone());
    spawn(&scope, "disk's watch", room);
    let machine = Machine::new(rules);
    let agent = Agent::new(machine, Arc::new(shop), bookmark, scope.spawner(), events, status);
    let ears = Ears { events: event_inbox, news: news_inbox, commands: command_inbox };
    scope.spawn("agent", OnFailure::StopAll, agent.work(ears));
    Provider { scope, blobs, status: shown, commands }
}

/// Starts a task that lives until the scope stops.
fn spawn(scope: &Scope, name: &str, task: impl Future<Output = ()> + Send + 'static) {
    let stop = scope.token();
    scope.spawn(name, OnFailure::StopAll, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = task => {}
        }
    });
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

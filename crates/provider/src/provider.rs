//! A whole provider as a value: [`Provider::spawn`] starts everything, dropping the handle stops it.

use std::{fmt::Display, fs::File, path::Path, sync::Arc, time::Duration};

use tilth_blobs::{Blobs, Line, Talk};
use tilth_client::{
    Account, Follow, Link, News, Scope as Logs,
    audit::{Keeper, Party, Post},
    holding::{Keeper as HoldKeeper, Party as HoldParty, Post as HoldPost},
    mates::{Keeper as MateKeeper, Party as MateParty, Post as MatePost},
};
use tilth_contracts::Registry;
use tilth_protocol::{GpuReport, challenge::message::ALPN, infer::message::ALPN as MODELS};
use tilth_sandbox::{Confinement, GpuAccess, GpuUse};
use tilth_service::{Doing, OnFailure};
use tilth_verification::replica::Sealer;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::{
    ProviderError,
    agent::{Agent, Command, Ears, MAILBOX},
    bookmark::Bookmark,
    capability::Capability,
    chain::Chain,
    challenge::{CALLS, Desk, Start},
    clock::{compare_clocks, watch_clock},
    config::{Config, Limits, Offer},
    control::Ear,
    enroll::{encoded, enroll},
    folder::Folder,
    gpu::inspect_gpu,
    guards,
    holding::Asker,
    idle::{millis, watch::Watch},
    infer,
    machine::{Event, Machine, Millis, Rest, Rules},
    mates::Mates,
    openings::Openings,
    role::{Running, Workshop, spawn},
    room,
    senses::Places,
    shop::{Partner, Shop},
    status::Status,
};

/// Most slots of one provider. Each may hold two ranges; the Registry allows more than one machine has use for.
pub const MAX_SLOTS: u16 = 256;
/// How often content that nobody pins is removed where the disk's share is capped.
pub(crate) const CAPPED_GC: Duration = Duration::from_secs(20);
/// Batches of logs read ahead of the agent.
const NEWS: usize = 16;

/// A running provider. Dropping it stops everything at once: workers die, claims stay on chain and are
/// taken up again by the next provider that is started in the same folder.
#[derive(Debug)]
pub struct Provider {
    running: Running,
    status: watch::Receiver<Status>,
    commands: mpsc::Sender<Command>,
    at_stake: watch::Receiver<Option<usize>>,
}

impl Provider {
    /// Starts a provider: takes its folder, looks at what the sandbox can do, registers and stakes as
    /// far as that is not done yet, reads what happened on chain in its absence, and works.
    ///
    /// # Errors
    /// [`ProviderError`], with [`ProviderError::problem`] for people. What was started is stopped.
    pub fn spawn(config: Config) -> Doing<'static, Result<Self, ProviderError>> {
        Box::pin(Self::begin(config))
    }

    async fn begin(config: Config) -> Result<Self, ProviderError> {
        check(&config)?;
        let workshop = Workshop::open(&config.dir, &config.worker, &config.sandbox_init).await?;
        let Workshop { folder, confinement, engine } = workshop;
        let gpu = GpuAccess::find(&config.worker.program, config.gpu);
        let report = Box::pin(look_at_gpu(&confinement, &config, &gpu)).await?;
        let seen = report.map(|report| (report, gpu.clone()));
        let found = Capability::find(&config, &folder, &confinement, &engine, seen);
        let found = Box::pin(found).await;

        let network = &config.network;
        let link = Link::to(network)?;
        let chain_id = link.check().await?;
        compare_clocks(&link).await?;
        let job_book = link.addresses().job_book;
        let path = folder.bookmark();
        let mut bookmark = Bookmark::open(&path, chain_id, job_book, network.first_block)?;
        let owner = Account::new(link.clone(), config.owner.clone());
        let node = Account::new(link.clone(), config.node.clone());
        let chain = Chain::new(owner, node, network, config.gas);

        let (blobs, calls) = Box::pin(open_content(&config, &folder)).await?;
        let contact = blobs.contact();
        let running = Running::new(format!("provider {}", config.owner.address()), blobs.clone());
        let tasks = running.scope.spawner();
        let begin = Start { confinement: Arc::clone(&confinement), worker: config.worker.clone() };
        let (status, shown) = watch::channel(first_status(&config, contact.clone()));
        let (signer, devices) = (config.node.clone(), found.devices.clone());
        let desk = Desk::new(begin.clone(), signer, contact.endpoint, devices, shown.clone());
        spawn(&tasks, "challenges", desk.answer(calls.challenges));
        let yielding = match config.comfort.idle.when_busy.0 {
            Rest::Release => infer::Yielding::while_resting(shown.clone()),
            Rest::Freeze | Rest::Finish => infer::Yielding::never(),
        };
        let opening = Box::pin(infer::open(&config.offer.models, &begin, &yielding, &tasks));
        let registry = chain.link.addresses().registry;
        let of_owner = || Registry::providerCall { owner: config.owner.address() };
        // Before anything is promised on chain: a model that cannot be sold is for its owner to see first. Whoever has
        // promised something already stands for it meanwhile: to be away from an audit for long costs the stake.
        let is_new = chain.link.read(registry, of_owner()).await?.number == 0;
        let (mut models, opening) =
            if is_new { (opening.await?, None) } else { (Vec::new(), Some(opening)) };
        Box::pin(enroll(&chain, &config, &contact, bookmark.published(), &found)).await?;
        bookmark.publish(encoded(&contact));
        let saved = bookmark.save(&path, 0);
        saved.map_err(|source| ProviderError::Folder { action: "cannot write", path, source })?;
        let number = chain.link.read(registry, of_owner()).await?.number;
        let (replicas, salts) = (chain.link.addresses().replicas, folder.replica_secret()?);
        let sealer = Sealer::new(chain_id, replicas, config.owner.address(), salts);

        let ear = listen(&folder, &shown)?;
        let (worker, limits) = (config.worker.clone(), limits_of(&config));
        let running = (running, blobs.clone());
        let shop = Shop::new(folder, blobs, chain, confinement, worker, gpu, engine, limits);
        let partner = Partner { number, sealer };
        info!(owner = %config.owner.address(), slots = config.offer.slots, "the provider is up");
        let provider =
            start(&config, &found, (shop, partner), bookmark, (status, shown), running, ear);
        if let Some(opening) = opening {
            // What stands on the chain is worth more than what could be sold besides.
            models = opening.await.unwrap_or_else(|error| {
                error!(error = %error.problem(), "no models are sold until the next start");
                Vec::new()
            });
        }
        if !models.is_empty() {
            let (signer, status) = (config.node.clone(), provider.status());
            let shares = infer::Shares::default();
            let desk = infer::Desk { models, signer, chain_id, status, shares };
            spawn(&tasks, "language models", desk.answer(calls.models));
        }
        Ok(provider)
    }

    /// The provider as it is now; [`watch::Receiver::changed`] tells of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Number of its ranges whose audits are open, and of replicated ranges that it answers for, as provider or mate:
    /// to be away for longer than half an hour costs the stake, and where it was drawn a quarter of an hour costs a
    /// tenth of the range's value. `None` until the chain's past has been read.
    pub fn at_stake(&self) -> watch::Receiver<Option<usize>> {
        self.at_stake.clone()
    }

    /// Takes no more work, finishes and submits what runs, gives back what was not begun, and serves
    /// what was submitted until it is paid. Returns when all of that is done; may be dropped before
    /// (the provider goes on draining), and called again.
    ///
    /// # Errors
    /// [`ProviderError::Stopped`] if the provider stops before that.
    pub fn drain(&self) -> Doing<'_, Result<(), ProviderError>> {
        Box::pin(async move { self.drain_until(|status| status.is_at_rest()).await })
    }

    /// As [`Provider::drain`], but returns when everything is delivered, paid or not. Work that stands still because the
    /// owner has the machine is not waited for: the next start goes on with it.
    ///
    /// # Errors
    /// [`ProviderError::Stopped`] if the provider stops before that.
    pub fn deliver(&self) -> Doing<'_, Result<(), ProviderError>> {
        Box::pin(async move { self.drain_until(Status::is_delivered).await })
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
    pub fn failure(&self) -> Doing<'_, ProviderError> {
        Box::pin(async move { self.running.failure().await })
    }

    /// Stops now, in order: workers die, the content store is closed. What was begun is taken up again
    /// at the next start.
    ///
    /// # Errors
    /// The failure that had stopped it before, or that of closing the store.
    pub fn stop(self) -> Doing<'static, Result<(), ProviderError>> {
        Box::pin(async move { self.running.stop().await })
    }
}

fn check(config: &Config) -> Result<(), ProviderError> {
    if config.gas.full < config.gas.least {
        return Err(ProviderError::Config("the gas reserve's least is above its full".into()));
    }
    config.offer.check()
}

impl Offer {
    /// Whether it can be made from here, as far as that shows without a chain and without starting anything.
    ///
    /// # Errors
    /// [`ProviderError::Config`]: the number of slots is not possible, or a model's file cannot be read.
    pub fn check(&self) -> Result<(), ProviderError> {
        let slots = self.slots;
        if slots == 0 || slots > MAX_SLOTS {
            let text = format!("{slots} slots, it must be 1 to {MAX_SLOTS}");
            return Err(ProviderError::Config(text));
        }
        self.models.iter().try_for_each(|model| check_model(&model.file))
    }
}

/// Whether there is a model that this user can read; what it is shows when it is loaded.
fn check_model(file: &Path) -> Result<(), ProviderError> {
    let refused = |why: &dyn Display| {
        ProviderError::Config(format!("the model {} cannot be read: {why}", file.display()))
    };
    // Opening something else than a file can wait for ever.
    if !file.metadata().map_err(|error| refused(&error))?.is_file() {
        return Err(refused(&"it is no file"));
    }
    File::open(file).map(drop).map_err(|error| refused(&error))
}

/// Calls from others that reach this provider's endpoint.
struct Calls {
    challenges: mpsc::Receiver<Talk>,
    /// Silent where no model is offered.
    models: mpsc::Receiver<Talk>,
}

/// Opens the content store and the lines that are answered beside it.
async fn open_content(config: &Config, folder: &Folder) -> Result<(Blobs, Calls), ProviderError> {
    let secret = folder.endpoint_secret()?;
    let mut store = tilth_blobs::Config::new(folder.content(), secret, config.bind);
    store.advertise.clone_from(&config.advertise);
    store.kept = guards::kept(folder)?;
    let comfort = &config.comfort;
    store.relays = comfort.relays.clone();
    store.limits.upload = comfort.upload;
    store.limits.download = comfort.download;
    store.limits.store_bytes = comfort.content_bytes;
    if comfort.content_bytes.is_some() {
        store.limits.gc_interval = CAPPED_GC;
    }
    let (ring, challenges) = mpsc::channel(CALLS);
    store.lines = vec![Line { alpn: ALPN, most: CALLS, calls: ring }];
    let (ring, models) = mpsc::channel(infer::LINE_CALLS);
    if !config.offer.models.is_empty() {
        store.lines.push(Line { alpn: MODELS, most: infer::LINE_CALLS, calls: ring });
    }
    Ok((Blobs::spawn(store).await?, Calls { challenges, models }))
}

/// What a job may take of this machine.
fn limits_of(config: &Config) -> Limits {
    let mut limits = config.limits;
    if let Some(cap) = config.comfort.content_bytes {
        // Inputs stay as long as their job; were they to fill the store, nothing could be claimed any more.
        limits.disk = limits.disk.min(cap / 2);
    }
    limits
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

/// Hands on what the chain says, until nobody listens.
async fn hand_on(mut follow: Follow, news: mpsc::Sender<News>) {
    while news.send(follow.next().await).await.is_ok() {}
}

/// Ranges that its audits, its replicas and its kept ranges have open.
struct Open {
    audits: watch::Receiver<Option<usize>>,
    replicas: watch::Receiver<Option<usize>>,
    kept: watch::Receiver<Option<usize>>,
}

/// Shows how many audits, replicas and kept ranges are open, until nobody keeps them any more.
async fn show_open(
    Open { mut audits, mut replicas, mut kept }: Open,
    at_stake: watch::Sender<Option<usize>>,
    status: watch::Sender<Status>,
) {
    loop {
        let open = [&mut audits, &mut replicas, &mut kept].map(|open| *open.borrow_and_update());
        // What is not held costs less than the stake, and later.
        let all = open[0].zip(open[1]).map(|(audits, replicas)| audits.saturating_add(replicas));
        status.send_if_modified(|status| {
            let before = [status.audits, status.replicas, status.kept];
            [status.audits, status.replicas, status.kept] = open;
            before != open
        });
        at_stake.send_if_modified(|known| std::mem::replace(known, all) != all);
        let changed = tokio::select! {
            changed = audits.changed() => changed,
            changed = replicas.changed() => changed,
            changed = kept.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Keeps the audits of our ranges, replicated ranges, and what kept ones ask of us. Tells how many are open.
fn answer_for(
    running: &Running,
    shop: &Arc<Shop>,
    partner: Partner,
    from_block: u64,
    (events, status): (&mpsc::Sender<Event>, &watch::Sender<Status>),
) -> watch::Receiver<Option<usize>> {
    let (tasks, account) = (running.scope.spawner(), shop.chain.node.clone());
    let post = Post {
        account: account.clone(),
        party: Party::Provider(partner.number),
        from_block,
        job: None,
        seals: Vec::new(),
    };
    let openings = Openings { shop: Arc::clone(shop), tasks: tasks.clone() };
    let audits = Keeper::new(post, Arc::new(openings));
    let post = HoldPost {
        account: account.clone(),
        party: HoldParty::Provider(shop.chain.owner.address()),
        from_block,
        job: None,
        most: 0,
    };
    let kept = HoldKeeper::new(post, Arc::new(Asker { shop: Arc::clone(shop) }));
    let post = MatePost {
        account,
        party: MateParty::Provider(partner.number),
        sealer: Some(partner.sealer),
        from_block,
        job: None,
    };
    let hand = Mates::new(Arc::clone(shop), partner, events.clone(), &tasks);
    let replicas = MateKeeper::new(post, Arc::new(hand));
    let (open, at_stake) = watch::channel(None);
    let all =
        Open { audits: audits.at_stake(), replicas: replicas.at_stake(), kept: kept.at_stake() };
    let shown = show_open(all, open, status.clone());
    spawn(&tasks, "what is open", shown);
    running.keep("audits", audits.keep());
    running.keep("replicas", replicas.keep());
    running.keep("kept ranges", kept.keep());
    at_stake
}

/// Opens the folder's mailbox for the owner's commands, with the pause that is kept in it.
fn listen(
    folder: &Folder,
    status: &watch::Receiver<Status>,
) -> Result<(Ear, watch::Receiver<Millis>), ProviderError> {
    let root = folder.root().to_owned();
    Ear::open(&root, status.clone()).map_err(|source| {
        let path = root.join("control");
        ProviderError::Folder { action: "cannot listen at", path, source }
    })
}

/// Starts the tasks. Nothing here can fail or wait.
fn start(
    config: &Config,
    found: &Capability,
    (shop, partner): (Shop, Partner),
    bookmark: Bookmark,
    (status, shown): (watch::Sender<Status>, watch::Receiver<Status>),
    (running, blobs): (Running, Blobs),
    (ear, paused): (Ear, watch::Receiver<Millis>),
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
    let tasks = running.scope.spawner();
    let (events, event_inbox) = mpsc::channel(MAILBOX);
    let (news, news_inbox) = mpsc::channel(NEWS);
    let (commands, command_inbox) = mpsc::channel(4);
    let at = *shop.chain.link.addresses();
    let logs = Logs::contracts([at.job_book, at.waiting], bookmark.next_block());
    spawn(&tasks, "news", hand_on(Follow::new(&shop.chain.link, logs), news));
    let watch = Watch {
        rules: config.comfort.idle.clone(),
        places: Places::default(),
        paused,
        events: events.clone(),
        status: status.clone(),
    };
    spawn(&tasks, "owner's watch", watch.keep());
    spawn(&tasks, "owner's commands", ear.listen());
    let room = room::watch(blobs, config.comfort.content_bytes, events.clone(), status.clone());
    spawn(&tasks, "disk's watch", room);
    if config.withdraw_above.is_some() {
        spawn(&tasks, "earnings", shop.chain.clone().watch_free(events.clone()));
    }
    let shop = Arc::new(shop.of(partner));
    spawn(&tasks, "clock", watch_clock(shop.chain.link.clone()));
    let from_block = bookmark.next_block();
    let at_stake = answer_for(&running, &shop, partner, from_block, (&events, &status));
    let machine = Machine::new(rules);
    let agent = Agent::new(machine, shop, bookmark, tasks, events, status);
    let ears = Ears { events: event_inbox, news: news_inbox, commands: command_inbox };
    running.scope.spawn("agent", OnFailure::StopAll, agent.work(ears));
    Provider { running, status: shown, commands, at_stake }
}

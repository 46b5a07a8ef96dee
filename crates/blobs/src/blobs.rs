//! The store and its endpoint as one value: opening, who we are, closing.

use std::{
    collections::HashSet,
    io::ErrorKind,
    net::SocketAddr,
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, SecretKey, Watcher,
    endpoint::{IdleTimeout, PortmapperConfig, QuicTransportConfig, presets},
    protocol::{Router, RouterBuilder},
};
use iroh_blobs::{
    api::Store,
    store::{
        GcConfig,
        fs::{FsStore, options::Options},
    },
};
use tilth_protocol::{Contact, ContentHash};
use tracing::{info, warn};

use crate::{
    BlobsError, Doing, Tag,
    dial::Dialer,
    disk::{self, Disk},
    door::Door,
    guard::{Guard, Kept},
    holders::{EndpointKey, Liars},
    local::iroh_hash,
    pace::Pace,
    relay::{Relays, Route},
    serve,
    spared::Note,
    talk::{Line, LineDoor, Talk, TalkError},
};

/// How often it is looked whether the database still works.
const PULSE: Duration = Duration::from_secs(2);
/// How often idle connections are looked for.
const SWEEP: Duration = Duration::from_secs(20);
/// How long to wait for another store on the same folder to finish closing.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How long to wait for the port of the last start: a predecessor in this process may still hold it.
const PORT_WAIT: Duration = Duration::from_millis(500);
/// How long to wait for the first local address of a socket bound to all interfaces.
const ADDRESS_WAIT: Duration = Duration::from_secs(2);

/// How long the first relay is waited for. Without it only direct addresses work, so it is worth a
/// moment; a relay that is away is tried again for ever.
const RELAY_WAIT: Duration = Duration::from_secs(5);

/// What a [`Blobs`] needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the store; created if missing. One store at a time may use it.
    pub dir: PathBuf,
    /// Secret key of the endpoint (Ed25519 seed). The same key gives the same endpoint id.
    pub secret: [u8; 32],
    /// Where to listen (UDP). Port 0 takes a free one, and the same one again at the next start if it
    /// is still free, because others remember where we were. `0.0.0.0` or `::` listens everywhere
    /// and publishes the addresses of this machine's interfaces.
    pub bind: SocketAddr,
    /// Addresses to publish instead of the bound ones (a forwarded port on a router).
    pub advertise: Vec<SocketAddr>,
    /// Relays over which those behind other routers can be met. With none nothing but direct addresses
    /// is used, and no server is ever contacted.
    pub relays: Relays,
    /// Other protocols that the endpoint answers.
    pub lines: Vec<Line>,
    /// Content that not everybody may have, from the first moment on; see [`Blobs::keep`].
    pub kept: Vec<Kept>,
    /// Whether what is found in the store at the start is served to nobody until it is spared ([`Blobs::spare`]), now or in
    /// an earlier life: for those who have to find out first what of it is whose.
    pub keep_found: bool,
    /// Bounds.
    pub limits: Limits,
}

impl Config {
    /// A configuration with default limits.
    pub fn new(dir: impl Into<PathBuf>, secret: [u8; 32], bind: SocketAddr) -> Self {
        Self {
            dir: dir.into(),
            secret,
            bind,
            advertise: Vec::new(),
            relays: Relays::default(),
            lines: Vec::new(),
            kept: Vec::new(),
            keep_found: false,
            limits: Limits::default(),
        }
    }
}

/// Bounds on what a store and its endpoint take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest single blob put or fetched, in bytes.
    pub max_blob_bytes: u64,
    /// Bytes that always stay free on the disk.
    pub disk_reserve: u64,
    /// Most connections served at once; fewer with a cap on what is served, see [`Limits::upload`].
    pub max_connections: usize,
    /// The longest time a transfer may stand still.
    pub stall: Duration,
    /// How often content without a tag is removed.
    pub gc_interval: Duration,
    /// Most bytes of the store's folder; without it the disk is the bound.
    pub store_bytes: Option<u64>,
    /// Most bytes served per second, to all others together. Only so many are served at once that each
    /// gets its next piece in half of [`Limits::stall`].
    pub upload: Option<NonZeroU64>,
    /// Most bytes fetched per second, from all others together.
    pub download: Option<NonZeroU64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_blob_bytes: 16 << 30,
            disk_reserve: 256 << 20,
            max_connections: 256,
            stall: Duration::from_secs(20),
            gc_interval: Duration::from_secs(300),
            store_bytes: None,
            upload: None,
            download: None,
        }
    }
}

/// A content store with an endpoint that serves it. Cheap to clone; all clones are the same store.
///
/// When the last clone is dropped everything stops; [`Blobs::shutdown`] does the same and waits.
#[derive(Clone, Debug)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    disk: Disk,
    limits: Limits,
    router: Router,
    dialer: Arc<Dialer>,
    liars: Mutex<Liars>,
    contact: Contact,
    download: Pace,
    guard: Guard,
    /// Where it is noted what is spared, if that matters at the next start.
    spared: Option<Note>,
    helpers: Vec<tokio::task::AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.helpers.iter().for_each(tokio::task::AbortHandle::abort);
        // The store's own collector keeps it open; without this the folder would stay locked. When
        // no runtime is left to do it, the process is ending and the lock goes with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, router) = (self.store.clone(), self.router.clone());
            runtime.spawn(async move {
                let _ = router.shutdown().await;
                let _ = store.shutdown().await;
            });
        }
    }
}

impl Blobs {
    /// Opens the store, cleans up after a crash, and starts serving.
    ///
    /// # Errors
    /// [`BlobsError::Open`] for the folder, [`BlobsError::Bind`] for the socket,
    /// [`BlobsError::DiskFull`] when less than the reserve is free.
    pub fn spawn(config: Config) -> Doing<'static, Result<Self, BlobsError>> {
        Box::pin(async move {
            let Config { dir, secret, bind, advertise, relays, lines, kept, keep_found, limits } =
                config;
            let dir = std::path::absolute(&dir).map_err(|error| open_error(&dir, error))?;
            std::fs::create_dir_all(&dir).map_err(|error| open_error(&dir, error))?;
            let disk = Disk::new(dir.clone(), limits.disk_reserve, limits.store_bytes);
            disk.admit_free(0)?;
            let store = open_store(&dir, limits.gc_interval).await?;
            let found = sweep(&store, &dir).await?;
            let guard = Guard::new(kept);
            let spared = if keep_found { Some(keep_all(&guard, &dir, &found)?) } else { None };

            let endpoint = listen(&dir, secret, bind, &relays).await?;
            let addresses =
                if advertise.is_empty() { addresses(&endpoint).await } else { advertise };
            let contact = Contact { endpoint: *endpoint.id().as_bytes(), addresses };
            let (protocol, porter) =
                serve::protocol(&store, Pace::new(limits.upload), guard.clone());
            let door = Door::new(protocol, serve::places(&limits));
            let router = Router::builder(endpoint.clone()).accept(iroh_blobs::ALPN, door);
            let with =
                |router: RouterBuilder, line: Line| router.accept(line.alpn, LineDoor::new(line));
            let router = lines.into_iter().fold(router, with).spawn();
            wait_for_relay(&endpoint, &relays).await;
            let dialer = Arc::new(Dialer::new(endpoint, relays));
            let sweeper = tokio::spawn(close_idle(Arc::clone(&dialer))).abort_handle();
            let helpers = vec![porter, sweeper];
            info!(dir = %dir.display(), addresses = ?contact.addresses, "content store is open");
            let (liars, download) = (Mutex::default(), Pace::new(limits.download));
            Ok(Self {
                inner: Arc::new(Inner {
                    store,
                    disk,
                    limits,
                    router,
                    dialer,
                    liars,
                    contact,
                    download,
                    guard,
                    spared,
                    helpers,
                }),
            })
        })
    }

    /// Who we are and where we can be dialled.
    pub fn contact(&self) -> Contact {
        self.inner.contact.clone()
    }

    /// The bounds this store was started with.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// How the connection to an endpoint that was fetched from runs now; `None` if there is none.
    pub fn route(&self, endpoint: &[u8; 32]) -> Option<Route> {
        self.inner.dialer.route(endpoint)
    }

    /// Calls an endpoint under a protocol of its own; see [`Line`].
    ///
    /// # Errors
    /// [`TalkError::Unreachable`], or the other side closes at once because it does not know the protocol or
    /// has no place free, or [`TalkError::Silent`]: it takes the connection and lets nobody begin.
    pub fn call<'a>(
        &'a self,
        contact: &'a Contact,
        alpn: &'a [u8],
    ) -> Doing<'a, Result<Talk, TalkError>> {
        Box::pin(async move {
            let dialed = self.inner.dialer.dial(contact, alpn).await;
            Talk::begin(dialed.map_err(TalkError::Unreachable)?).await
        })
    }

    /// Serves content to nobody but one endpoint from now on, alone or as part of any sequence. It is not remembered over a
    /// restart ([`Config::kept`]).
    pub fn keep(&self, kept: Kept) {
        self.inner.guard.keep(kept);
    }

    /// As [`Blobs::keep`], but takes nothing away from what is kept under the name already, and is for whoever that is
    /// for.
    pub fn keep_besides(&self, kept: Kept) {
        self.inner.guard.keep_besides(kept);
    }

    /// Keeps more content under a name, for whoever it is kept for. Nothing happens if it was released meanwhile.
    pub fn keep_also(&self, tag: &Tag, hashes: Vec<ContentHash>) {
        self.inner.guard.keep_also(tag, hashes);
    }

    /// Serves content to everybody from now on, whatever keeps it: files of jobs, which others need to do or to check the
    /// work. Remembered over a restart with [`Config::keep_found`]; if it cannot be noted it has to be spared again then.
    pub fn spare(&self, hashes: impl IntoIterator<Item = ContentHash>) {
        let fresh = self.inner.guard.spare(hashes);
        let Some(note) = self.inner.spared.as_ref().filter(|_| !fresh.is_empty()) else { return };
        if let Err(error) = note.add(&fresh) {
            let advice = match error.kind() {
                ErrorKind::FileTooLarge => {
                    "take a new folder for further jobs; follow this one after every start here"
                }
                _ => {
                    "check the folder's permissions and free space; follow the job after the next start"
                }
            };
            warn!(
                %error,
                advice,
                "a job's files are not served after the next start until the job is followed"
            );
        }
    }

    /// Serves what was kept under this name to everybody again.
    pub fn release(&self, tag: &Tag) {
        self.inner.guard.release(tag);
    }

    /// Whether content is kept from anybody now, be it here or not.
    pub fn is_kept(&self, hash: ContentHash) -> bool {
        !self.inner.guard.admits(&iroh_hash(hash), None)
    }

    /// Bytes that the store's folder takes, as of a moment ago.
    pub fn stored_bytes(&self) -> u64 {
        self.inner.disk.used()
    }

    /// Makes everything put, pinned or unpinned so far survive a kill.
    ///
    /// # Errors
    /// A failing store.
    pub fn sync(&self) -> Doing<'_, Result<(), BlobsError>> {
        Box::pin(async move {
            let synced = self.store().sync_db().await;
            synced.map_err(|error| self.disk().explain("syncing", error))
        })
    }

    /// Waits until the store has failed for good, and says how: its database does not outlive a failed
    /// commit (on a disk that is full to the last block, or is gone). Everything fails from then on, also
    /// when there is room again; only opening the folder anew helps.
    pub async fn failure(&self) -> BlobsError {
        loop {
            // Costs nothing when nothing was written; fails only when the database is gone.
            if let Err(error) = self.sync().await {
                return error;
            }
            tokio::time::sleep(PULSE).await;
        }
    }

    /// Stops serving, finishes writing and closes the store. Other clones fail from then on.
    ///
    /// # Errors
    /// None of them matter for the content; they say what could not be closed in order.
    pub fn shutdown(&self) -> Doing<'_, Result<(), BlobsError>> {
        Box::pin(async move {
            self.inner.helpers.iter().for_each(tokio::task::AbortHandle::abort);
            let closing = |detail: String| BlobsError::Store { action: "closing", detail };
            self.store().sync_db().await.map_err(|error| closing(error.to_string()))?;
            self.inner.router.shutdown().await.map_err(|error| closing(error.to_string()))
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    pub(crate) fn download(&self) -> &Pace {
        &self.inner.download
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.inner.guard
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.inner.dialer
    }

    pub(crate) fn liars(&self) -> MutexGuard<'_, Liars> {
        self.inner.liars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key(&self) -> EndpointKey {
        self.inner.contact.endpoint
    }
}

/// Opens the endpoint at the address asked for, or with port 0 at the last one of this folder.
async fn listen(
    dir: &std::path::Path,
    secret: [u8; 32],
    bind: SocketAddr,
    relays: &Relays,
) -> Result<Endpoint, BlobsError> {
    let note = dir.join("port");
    let last = std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok());
    if bind.port() == 0
        && let Some(port) = last
    {
        let again = SocketAddr::new(bind.ip(), port);
        let until = Instant::now() + PORT_WAIT;
        loop {
            match bind_endpoint(secret, again, relays).await {
                Ok(endpoint) => return Ok(endpoint),
                Err(_) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => {
                    warn!(%error, "the last port is taken, others must learn a new one");
                    break;
                }
            }
        }
    }
    let endpoint = bind_endpoint(secret, bind, relays).await?;
    let same_ip = |socket: &SocketAddr| socket.ip() == bind.ip();
    if let Some(socket) = endpoint.bound_sockets().into_iter().find(same_ip)
        && let Err(error) = std::fs::write(&note, socket.port().to_string())
    {
        warn!(%error, "the port cannot be remembered for the next start");
    }
    Ok(endpoint)
}

async fn bind_endpoint(
    secret: [u8; 32],
    bind: SocketAddr,
    relays: &Relays,
) -> Result<Endpoint, BlobsError> {
    let bind_error = |detail: String| BlobsError::Bind { address: bind, detail };
    let silence = IdleTimeout::try_from(SILENCE).map_err(|error| bind_error(error.to_string()))?;
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(silence))
        .max_concurrent_bidi_streams(serve::REQUESTS.into())
        .build();
    relays
        .apply(Endpoint::builder(presets::Minimal))
        .transport_config(transport)
        .secret_key(SecretKey::from_bytes(&secret))
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_ip_transports()
        .bind_addr(bind)
        .map_err(|error| bind_error(error.to_string()))?
        .bind()
        .await
        .map_err(|error| bind_error(format!("{error:#}")))
}

/// A peer that says nothing for so long is gone. Living ones send a heartbeat every five seconds; a
/// killed and restarted one takes its port again and never answers for the old connection, which
/// would otherwise be waited for half a minute.
const SILENCE: Duration = Duration::from_secs(12);

/// Waits a moment for the first relay, so that a contact that is published works when it is read.
async fn wait_for_relay(endpoint: &Endpoint, relays: &Relays) {
    if relays.is_empty() {
        return;
    }
    if tokio::time::timeout(RELAY_WAIT, endpoint.online()).await.is_err() {
        let why = endpoint.home_relay_status().get();
        let why = why.iter().find_map(|relay| relay.last_error().map(|error| format!("{error:#}")));
        warn!(
            why = why.as_deref().unwrap_or("no answer yet"),
            "no relay can be reached; it is tried again, until then only direct addresses work"
        );
    }
}

async fn close_idle(dialer: Arc<Dialer>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        dialer.close_idle(Instant::now());
    }
}

fn open_error(dir: &std::path::Path, error: impl std::fmt::Display) -> BlobsError {
    BlobsError::Open { dir: dir.to_owned(), detail: error.to_string(), in_use: false }
}

/// Opens the store, waiting a little for a predecessor that is still closing.
async fn open_store(dir: &std::path::Path, gc: Duration) -> Result<Store, BlobsError> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        let mut options = Options::new(dir);
        options.gc = Some(GcConfig { interval: gc, add_protected: None });
        match FsStore::load_with_opts(dir.join("blobs.db"), options).await {
            Ok(store) => return Ok(store.into()),
            Err(error) => {
                let detail = format!("{error:#}");
                let in_use = detail.contains("already open");
                if !in_use || Instant::now() > until {
                    return Err(BlobsError::Open { dir: dir.to_owned(), detail, in_use });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Keeps everything that was found from everybody, except what is noted as spared.
fn keep_all(
    guard: &Guard,
    dir: &std::path::Path,
    found: &HashSet<ContentHash>,
) -> Result<Note, BlobsError> {
    let note = Note::of(dir);
    guard.spare(note.read(found).map_err(|error| open_error(dir, error))?);
    let hashes = found.iter().copied().collect();
    guard.keep(Kept { tag: Tag::new("found")?, hashes, only: None });
    Ok(note)
}

/// Removes what a crash left behind. Returns all that is here, complete or not.
async fn sweep(
    store: &Store,
    dir: &std::path::Path,
) -> Result<Arc<HashSet<ContentHash>>, BlobsError> {
    let known = store.list().hashes().await.map_err(|error| open_error(dir, error))?;
    let known: HashSet<_> = known.into_iter().map(|hash| ContentHash(*hash.as_bytes())).collect();
    let (dir, known) = (dir.to_owned(), Arc::new(known));
    let here = Arc::clone(&known);
    let swept = tokio::task::spawn_blocking(move || {
        disk::sweep_orphans(&dir.join("data"), &known);
        disk::sweep_temporary(&dir.join("temp"));
    });
    if let Err(error) = swept.await {
        warn!(%error, "cleaning up the content store failed");
    }
    Ok(here)
}

/// The addresses others can dial: the bound socket, or this machine's interfaces if it is bound to
/// all of them.
async fn addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let bound: Vec<_> = endpoint
        .bound_sockets()
        .into_iter()
        .filter(|socket| !socket.ip().is_unspecified())
        .collect();
    if !bound.is_empty() {
        return bound;
    }
    let mut watcher = endpoint.watch_addr();
    let first = async {
        loop {
            let addresses: Vec<_> = watcher.get().ip_addrs().copied().collect();
            if !addresses.is_empty() || watcher.updated().await.is_err() {
                return addresses;
            }
        }
    };
    tokio::time::timeout(ADDRESS_WAIT, first).await.unwrap_or_else(|_| {
        warn!("this machine has no address that others could dial");
        Vec::new()
    })
}

//! Who lives in the places: stores with endpoints, and relays, each on a runtime inside its place.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tilth_blobs::{Blobs, Config, Relays, Route, Tag};
use tilth_protocol::{Contact, ContentRef, JobId};
use tilth_relay::{Access, Door, Identity, Limits, Relay};
use tokio::runtime::Runtime;

use crate::ground::{Ground, Router, STREET, STREET_ADDRESS};

/// Longest wait for anything. Machines that run tests are shared and slow at times.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Longest wait until two talk directly, also after a change. Nobody tells a home that its public address is
/// another one: its endpoint asks the relay for it every 20 to 26 s, and two who find no way at once try
/// again every 60 s.
const PATIENCE_FOR_A_WAY: Duration = Duration::from_secs(240);

/// Size of a blob that shows which way it comes: many times what else a relay passes on meanwhile.
const PROBE: usize = 200_000;
/// Pause between two of them: however long it takes, the disk does not fill up.
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// How many there were. Each is another blob, as one that is here already would not have to come.
static PROBES: AtomicUsize = AtomicUsize::new(0);

type Work<T> = Box<dyn FnOnce(&Runtime, &T) + Send>;

/// A value that lives in a place, with a runtime there. Dropping it ends both.
pub struct Inside<T> {
    work: Option<mpsc::Sender<Work<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: 'static> Inside<T> {
    fn start(
        ground: &Ground,
        place: &str,
        make: impl FnOnce(&Runtime) -> T + Send + 'static,
    ) -> Self {
        let (work, orders) = mpsc::channel::<Work<T>>();
        let thread = ground.inside(place, move || {
            // Its threads are started from this one, and so are in the place, too.
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let value = make(&runtime);
            while let Ok(order) = orders.recv() {
                order(&runtime, &value);
            }
            let _inside = runtime.enter();
            drop(value);
        });
        Self { work: Some(work), thread: Some(thread) }
    }

    /// Does something with the value, in its place.
    fn with<R: Send + 'static>(&self, work: impl FnOnce(&Runtime, &T) -> R + Send + 'static) -> R {
        let (tell, told) = mpsc::channel();
        let order: Work<T> = Box::new(move |runtime, value| {
            let _ = tell.send(work(runtime, value));
        });
        self.work.as_ref().unwrap().send(order).expect("who lives there is alive");
        told.recv_timeout(PATIENCE * 2).expect("an answer in time")
    }
}

impl<T> Drop for Inside<T> {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A relay on the street.
pub struct Station {
    relay: Inside<Relay>,
    /// How it is named in configurations.
    pub relays: Relays,
    address: SocketAddr,
}

impl Station {
    /// Opens one for everybody.
    pub fn open(ground: &Ground, dir: &Path) -> Self {
        Self::open_at(ground, dir, 0, Limits::default())
    }

    /// Opens one that takes so many bytes a second from each connection.
    pub fn open_slow(ground: &Ground, dir: &Path, rate: NonZeroU32) -> Self {
        let limits = Limits { client_bytes_per_second: Some(rate), ..Limits::default() };
        Self::open_at(ground, dir, 0, limits)
    }

    /// Kills it: nobody is told.
    pub fn kill(self) -> SocketAddr {
        self.address
    }

    /// Opens the one that was killed again.
    pub fn reopen(ground: &Ground, dir: &Path, address: SocketAddr) -> Self {
        Self::open_at(ground, dir, address.port(), Limits::default())
    }

    fn open_at(ground: &Ground, dir: &Path, port: u16, limits: Limits) -> Self {
        let identity = Identity::own(&dir.join("relay"), &[STREET_ADDRESS.into()]).unwrap();
        let certificate = std::fs::read(&identity.certificate).unwrap();
        let listen = SocketAddr::new(STREET_ADDRESS.parse().unwrap(), port);
        let (door, access) = (Door::Secure(identity), Access::Everyone);
        let relay = Inside::start(ground, STREET, move |runtime| {
            let config = tilth_relay::Config { listen, door, access, limits };
            runtime.block_on(Relay::spawn(config)).unwrap()
        });
        let (address, url) = relay.with(|_, relay| (relay.address(), relay.url(STREET_ADDRESS)));
        let relays = Relays::new(&[url], Some(&certificate)).unwrap();
        Self { relay, relays, address }
    }

    /// Bytes passed on so far.
    pub fn passed_on(&self) -> u64 {
        self.relay.with(|_, relay| relay.traffic().sent_bytes)
    }

    /// Bytes taken from endpoints so far.
    pub fn taken(&self) -> u64 {
        self.relay.with(|_, relay| relay.traffic().received_bytes)
    }
}

/// A store in a place.
pub struct Person {
    blobs: Inside<Blobs>,
    /// Who it is, and at which addresses.
    pub contact: Contact,
}

impl Person {
    /// Moves in. The key makes the endpoint.
    pub fn settle(ground: &Ground, place: &str, dir: &Path, key: u8, relays: &Relays) -> Self {
        let (dir, relays) = (dir.join(place), relays.clone());
        let blobs = Inside::start(ground, place, move |runtime| {
            let config = Config::new(dir, [key; 32], "0.0.0.0:0".parse().unwrap());
            runtime.block_on(Blobs::spawn(Config { relays, ..config })).unwrap()
        });
        let contact = blobs.with(|_, blobs| blobs.contact());
        Self { blobs, contact }
    }

    /// Puts a blob of so many bytes that are all the same.
    pub fn put(&self, byte: u8, size: usize) -> ContentRef {
        self.blobs.with(move |runtime, blobs| {
            runtime.block_on(blobs.put(vec![byte; size], &tag())).unwrap()
        })
    }

    /// Fetches a blob from another, within a time, and looks whether it is right.
    pub fn get(
        &self,
        blob: ContentRef,
        byte: u8,
        from: &Person,
        within: Duration,
    ) -> Result<(), String> {
        let from = from.contact.clone();
        self.blobs.with(move |runtime, blobs| {
            let deadline = Instant::now() + within;
            let got = runtime.block_on(blobs.get(blob, &[from], &tag(), deadline));
            got.map_err(|error| error.to_string())?;
            let read = runtime.block_on(blobs.read(blob.hash, blob.size)).unwrap();
            assert!(read.iter().all(|found| *found == byte), "the bytes are other ones");
            Ok(())
        })
    }

    /// How its connection to another runs now.
    pub fn route(&self, to: &Person) -> Option<Route> {
        let endpoint = to.contact.endpoint;
        self.blobs.with(move |_, blobs| blobs.route(&endpoint))
    }

    /// Waits until the connection to another runs as wanted; says how.
    pub fn route_like(&self, to: &Person, wanted: impl Fn(&Route) -> bool) -> Route {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.route(to) {
                Some(route) if wanted(&route) => return route,
                other => assert!(Instant::now() < deadline, "in the end: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fetches from another until something comes directly from this address. The route alone does not show
    /// it: for a while it may be one from before, on which nothing comes any more. So next to nothing may
    /// have gone over the relay meanwhile.
    pub fn get_directly(&self, from: &Person, station: &Station, address: &str) {
        let deadline = Instant::now() + PATIENCE_FOR_A_WAY;
        loop {
            let probe = from.put(u8::MAX, PROBE + PROBES.fetch_add(1, Ordering::Relaxed));
            let before = station.passed_on();
            self.get(probe, u8::MAX, from, PATIENCE).unwrap();
            let relayed = station.passed_on() - before;
            let route = self.route(from);
            let is_there = route.as_ref().is_some_and(|route| is_direct_from(route, address));
            if is_there && relayed < PROBE as u64 / 10 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not directly from {address}: {relayed} bytes were relayed, in the end: {route:?}"
            );
            std::thread::sleep(PROBE_PAUSE);
        }
    }
}

fn tag() -> Tag {
    Tag::inputs(JobId(1))
}

/// A relay, and somebody in home 1 and in home 2 behind such routers, who know it.
pub fn two_homes(
    ground: &mut Ground,
    routers: [Router; 2],
    dir: &Path,
) -> (Station, Person, Person) {
    ground.home(1, routers[0]);
    ground.home(2, routers[1]);
    let station = Station::open(ground, dir);
    let first = Person::settle(ground, "home1", dir, 1, &station.relays);
    let second = Person::settle(ground, "home2", dir, 2, &station.relays);
    (station, first, second)
}

/// Whether a route goes from socket to socket.
pub fn is_direct(route: &Route) -> bool {
    matches!(route, Route::Direct(_))
}

/// Whether a route goes from socket to socket, to one at this address.
fn is_direct_from(route: &Route, address: &str) -> bool {
    matches!(route, Route::Direct(socket) if socket.ip().to_string() == address)
}

/// Whether a route goes through a relay.
pub fn is_relayed(route: &Route) -> bool {
    matches!(route, Route::Relayed(_))
}

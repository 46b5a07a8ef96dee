//! A relay: the place where endpoints meet that no one can dial, because they are behind routers.
//!
//! It passes on packets that are encrypted between their two ends, tells endpoints their public
//! address (QUIC address discovery), and so helps them to reach each other directly; when that works,
//! nothing more goes through it. It stores nothing.
//!
//! One port is enough: HTTPS over TCP for relaying, QUIC over UDP for address discovery.
//!
//! Who may use it is an [`Access`]; what one endpoint may take is in [`Limits`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod certificate;
mod error;
mod gate;
mod measure;
mod roll;
mod watch;

use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroU32,
    sync::Arc,
};

use iroh_base::EndpointId;
use iroh_relay::server::{
    CertConfig, ClientRateLimit, QuicConfig, RelayConfig, RelayService, Server, ServerConfig,
    SpawnError, TlsConfig,
};
use tilth_service::{Doing, Readiness, Registry};
use tokio::task::JoinHandle;
use tracing::info;

pub use certificate::Identity;
pub use error::RelayError;
pub use watch::NetworkRule;

use gate::{Gate, Places, Rule};
use watch::Watch;

/// An endpoint's public key.
pub type EndpointKey = [u8; 32];

/// Longest list of endpoints that may come in.
pub const MAX_LISTED: usize = 100_000;

/// What a relay is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens over TCP. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How it is reached there.
    pub door: Door,
    /// Who may use it.
    pub access: Access,
    /// What it gives to those.
    pub limits: Limits,
}

/// How a relay is reached.
#[derive(Clone, Debug)]
pub enum Door {
    /// HTTPS, and address discovery over UDP at the same port, both with this certificate.
    Secure(Identity),
    /// Plain HTTP: for tests, and behind a proxy that does TLS. Address discovery is then at a UDP address
    /// of its own, with the certificate that the proxy shows; without it peers behind routers stay on
    /// the relay.
    Plain {
        /// Where address discovery listens, and its certificate.
        discovery: Option<(SocketAddr, Identity)>,
    },
}

/// Who may use a relay.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever knows the address.
    Everyone,
    /// These endpoints, at most [`MAX_LISTED`].
    Listed(Vec<EndpointKey>),
    /// Providers of a network that have staked enough, and clients with jobs on it.
    Network(Box<NetworkRule>),
}

/// What a relay gives to those who may use it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes per second taken from one connection.
    pub client_bytes_per_second: Option<NonZeroU32>,
    /// Connections at the same time.
    pub connections: u32,
    /// Connections of one endpoint at the same time. One whose network has changed comes anew before its old
    /// connection is known to be dead, so one alone is too few.
    pub connections_per_endpoint: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // A connection costs a few ten KiB and two files at most: more than systems give at first, so `tilth relay` asks for more.
        Self { client_bytes_per_second: None, connections: 1_024, connections_per_endpoint: 4 }
    }
}

/// What went through a relay since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes taken from endpoints to be passed on.
    pub received_bytes: u64,
    /// Bytes passed on.
    pub sent_bytes: u64,
    /// Connections that are open.
    pub connections: u32,
}

/// A running relay. Dropping it stops it.
#[derive(Debug)]
pub struct Relay {
    server: Server,
    gate: Arc<Gate>,
    watch: Option<Arc<Watch>>,
    watching: Option<Watching>,
    address: SocketAddr,
    secure: bool,
}

impl Relay {
    /// Starts a relay. One for a network's providers admits nobody until the chain has been read.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn spawn(config: Config) -> Doing<'static, Result<Self, RelayError>> {
        Box::pin(async move {
            let listen = chosen(config.listen)?;
            let (rule, watch) = rule(config.access)?;
            let places = Places {
                connections: config.limits.connections,
                of_endpoint: config.limits.connections_per_endpoint,
            };
            let gate = Arc::new(Gate::new(rule, places));
            let mut relay = RelayConfig::new(listen);
            relay.access = Arc::clone(&gate) as _;
            relay.limits.client_rx =
                config.limits.client_bytes_per_second.map(ClientRateLimit::new);
            let mut server = ServerConfig::default();
            let secure = matches!(config.door, Door::Secure(_));
            match &config.door {
                Door::Secure(identity) => {
                    let tls = certificate::server_config(identity).await?;
                    // A probe that our endpoints do not make; it stays inside the machine.
                    relay.http_bind_addr = SocketAddr::from(([127, 0, 0, 1], 0));
                    relay.tls =
                        Some(TlsConfig::new(listen, CertConfig::Manual { server_config: tls }));
                    server.quic = Some(QuicConfig::new(listen));
                }
                Door::Plain { discovery: Some((address, identity)) } => {
                    let mut quic = QuicConfig::new(*address);
                    quic.server_config = Some(certificate::server_config(identity).await?);
                    server.quic = Some(quic);
                }
                Door::Plain { discovery: None } => {}
            }
            server.relay = Some(relay);
            let failed = |error: SpawnError| RelayError::Listen {
                address: listen,
                detail: format!("{error:#}"),
            };
            let server = Server::spawn(server).await.map_err(failed)?;
            let mut relay = Self { server, gate, watch, watching: None, address: listen, secure };
            relay.begin_watching()?;
            Ok(relay)
        })
    }

    /// Follows the chain, if there is one, and sends away those who may not stay.
    fn begin_watching(&mut self) -> Result<(), RelayError> {
        let (Some(watch), Some(service)) = (&self.watch, self.server.relay_service()) else {
            return Ok(());
        };
        let (gate, service) = (Arc::clone(&self.gate), service.clone());
        let task = watch.begin(move || send_away(&gate, &service)).map_err(RelayError::Chain)?;
        self.watching = Some(Watching(task));
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for configurations, under a host name or address.
    pub fn url(&self, host: &str) -> String {
        url(self.secure, host, self.address.port())
    }

    /// What went through it so far.
    pub fn traffic(&self) -> Traffic {
        let metrics = &self.server.metrics().server;
        Traffic {
            received_bytes: metrics.bytes_recv.get(),
            sent_bytes: metrics.bytes_sent.get(),
            connections: self.gate.connections(),
        }
    }

    /// Adds what it measures to a registry.
    pub fn measure(&self, registry: &Registry) {
        let metrics = Arc::clone(&self.server.metrics().server);
        measure::add(registry, &metrics, &self.gate, self.watch.as_ref());
    }

    /// Why it does not do its work now: the chain cannot be read, so nobody new is admitted.
    pub fn readiness(&self) -> Readiness {
        let watch = self.watch.clone();
        Arc::new(move || watch.as_ref().and_then(|watch| watch.blindness()).into_iter().collect())
    }

    /// Waits until it stops by itself, which it only does when something is wrong.
    pub fn failure(&mut self) -> Doing<'_, RelayError> {
        Box::pin(async move {
            match self.server.join().await {
                Ok(Ok(())) => RelayError::Stopped("it was told to stop".into()),
                Ok(Err(error)) => RelayError::Stopped(format!("{error:#}")),
                Err(error) => RelayError::Stopped(error.to_string()),
            }
        })
    }

    /// Stops it in order: those who are connected are told.
    pub fn stop(self) -> Doing<'static, ()> {
        Box::pin(async move {
            drop(self.watching);
            // What is wrong at the end of a process that keeps nothing is nobody's concern.
            let _ = self.server.shutdown().await;
        })
    }
}

/// A relay's address for configurations, with TLS or without.
pub fn url(secure: bool, host: &str, port: u16) -> String {
    let scheme = if secure { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (secure, port) {
        (true, 443) | (false, 80) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}

/// The task that follows the chain; it ends with the value.
#[derive(Debug)]
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn rule(access: Access) -> Result<(Rule, Option<Arc<Watch>>), RelayError> {
    Ok(match access {
        Access::Everyone => (Rule::Everyone, None),
        Access::Listed(list) if list.len() > MAX_LISTED => {
            return Err(RelayError::List { detail: format!("{} endpoints", list.len()) });
        }
        Access::Listed(list) => (Rule::Listed(list.into_iter().collect()), None),
        Access::Network(rule) => {
            let watch = Arc::new(Watch::new(*rule));
            (Rule::Network(Arc::clone(&watch)), Some(watch))
        }
    })
}

/// Disconnects those whom the rule no longer admits.
fn send_away(gate: &Gate, service: &RelayService) {
    for key in gate.unwelcome() {
        let Ok(endpoint) = EndpointId::from_bytes(&key) else { continue };
        info!(%endpoint, "sent away: no longer bonded, and of no open job");
        service.clients().disconnect(endpoint, None);
    }
}

/// A fixed port: TCP and UDP must have the same.
fn chosen(listen: SocketAddr) -> Result<SocketAddr, RelayError> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    free.map_err(|error| RelayError::Listen { address: listen, detail: error.to_string() })
}

/// Reads an endpoint's public key: 64 hexadecimal digits, as `tilth provider status` shows it.
///
/// # Errors
/// [`RelayError::List`].
pub fn endpoint_key(text: &str) -> Result<EndpointKey, RelayError> {
    let wrong = || RelayError::List { detail: format!("{text:.80?} is no endpoint's key") };
    text.parse::<EndpointId>().map(|id| *id.as_bytes()).map_err(|_| wrong())
}

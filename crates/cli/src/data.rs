//! How this machine moves data: relays, addresses, caps. One group of options for providers and clients.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use tilth_blobs::Relays;
use tilth_protocol::Problem;

use crate::configuration::Subject;

/// A client has a file only.
const SUBJECT: Subject = Subject {
    what: "the client's configuration",
    described: "docs/reference/provider-config.md lists",
    example: "",
    prefix: "",
    file_variable: "",
};
/// Largest file of certificates that is read.
const MAX_CERTIFICATES: u64 = 1 << 20;
/// A cap below this would make others give up on us: they wait 20 seconds for a piece of 16 KiB.
const LEAST_RATE: u64 = 64 << 10;
/// A store needs room for its database and a job or two.
const LEAST_CONTENT: u64 = 64 << 20;

tilth_service::options! {
    /// How data is moved.
    #[derive(Clone, Debug)]
    pub struct DataOptions {
        /// Relays at which this machine is met when it cannot be reached directly, at most eight:
        /// `https://relay.example.org`. Two machines meet if they have one in common. No other relay is
        /// ever used, and with none only direct addresses are.
        pub relay: Vec<String> = Vec::new(),
        /// Certificates (PEM) that are trusted for relays besides those of public authorities: the file that
        /// a relay with a certificate of its own has made. A relative path starts from the folder in which
        /// the command runs.
        pub relay_certificate: Option<PathBuf> = None,
        /// Most bytes served per second to all others together; 0 is no cap, otherwise at least 64KiB.
        pub upload_bytes_per_second: u64 = 0,
        /// Most bytes fetched per second from all others together; 0 is no cap, otherwise at least 64KiB.
        pub download_bytes_per_second: u64 = 0,
        /// Most bytes of the content store: programs, inputs, results. When 85 % are used no new work is
        /// taken and results that are paid for go before their time. What is laid out for workers besides
        /// (compiled programs, copies of inputs, journals) is not counted. 0 is no cap, otherwise at least 64MiB.
        pub content_bytes: u64 = 0,
    }
}

tilth_service::options! {
    /// Everything a client decides about its endpoint: `client.toml` in the network's folder.
    #[derive(Clone, Debug)]
    pub struct ClientConfig {
        /// Where the endpoint listens (UDP). Without it: on this machine alone, and everywhere once there is a
        /// relay.
        pub bind: Option<SocketAddr> = None,
        /// Addresses to publish instead of the bound ones, for a port forwarded by a router.
        pub advertise: Vec<String> = Vec::new(),
        /// How data is moved.
        pub data: DataOptions = DataOptions::default(),
    }
}

/// The options, checked.
#[derive(Clone, Debug)]
pub struct Data {
    pub relays: Relays,
    pub upload: Option<NonZeroU64>,
    pub download: Option<NonZeroU64>,
    pub content_bytes: Option<u64>,
}

/// A client's endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    bind: Option<SocketAddr>,
    advertise: Vec<SocketAddr>,
    data: Data,
}

/// What `client.toml` in the network's folder says, or the defaults.
///
/// # Errors
/// It cannot be read, or says something impossible.
pub fn client(dir: &Path) -> Result<Client, Problem> {
    let path = dir.join("client.toml");
    let mut config = ClientConfig::default();
    if path.exists() {
        SUBJECT.load(&mut config, &path)?;
    }
    let ClientConfig { bind, advertise, data } = config;
    Ok(Client { bind, advertise: addresses(&advertise)?, data: data.check()? })
}

impl Client {
    /// Relays at which others are met.
    pub fn relays(&self) -> Relays {
        self.data.relays.clone()
    }

    /// A store for this endpoint. An address that was `given` with the command wins over the file's; `usual` is for
    /// want of both.
    pub fn store(
        &self,
        dir: PathBuf,
        secret: [u8; 32],
        given: Option<SocketAddr>,
        usual: SocketAddr,
    ) -> tilth_blobs::Config {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let fallback = if self.data.relays.is_empty() { usual } else { everywhere };
        let mut config =
            tilth_blobs::Config::new(dir, secret, given.or(self.bind).unwrap_or(fallback));
        config.advertise.clone_from(&self.advertise);
        config.relays = self.data.relays.clone();
        config.limits.upload = self.data.upload;
        config.limits.download = self.data.download;
        config.limits.store_bytes = self.data.content_bytes;
        // Among it may be results that auditors are to find out by themselves, and nothing here says which.
        config.keep_found = true;
        config
    }
}

impl DataOptions {
    /// Reads relays and certificates, and checks the caps.
    ///
    /// # Errors
    /// One of them is not possible.
    pub fn check(&self) -> Result<Data, Problem> {
        let certificates = self.relay_certificate.as_deref().map(certificates).transpose()?;
        if certificates.is_some() && self.relay.is_empty() {
            return Err(Problem::new(
                "there is a relay's certificate and no relay",
                "relay-certificate is set and relay is not".to_owned(),
                "name the relay, too: relay = [\"https://...\"]",
            ));
        }
        let relays = Relays::new(&self.relay, certificates.as_deref());
        Ok(Data {
            relays: relays.map_err(|error| error.problem())?,
            upload: rate("upload-bytes-per-second", self.upload_bytes_per_second)?,
            download: rate("download-bytes-per-second", self.download_bytes_per_second)?,
            content_bytes: cap("content-bytes", self.content_bytes, LEAST_CONTENT)?,
        })
    }
}

fn rate(name: &str, value: u64) -> Result<Option<NonZeroU64>, Problem> {
    Ok(cap(name, value, LEAST_RATE)?.and_then(NonZeroU64::new))
}

fn cap(name: &str, value: u64, least: u64) -> Result<Option<u64>, Problem> {
    match value {
        0 => Ok(None),
        value if value >= least => Ok(Some(value)),
        value => Err(Problem::new(
            "a cap is too small to work with",
            format!("{name} is {value}"),
            format!("make it at least {least}, or 0 for no cap"),
        )),
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |detail: String| {
        let what = "a relay's certificate cannot be read";
        let advice = "name the file that the relay's operator hands out";
        Problem::new(what, format!("{}: {detail}", path.display()), advice)
    };
    let size = fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > MAX_CERTIFICATES {
        return Err(problem(format!("it has {size} bytes")));
    }
    fs::read(path).map_err(|error| problem(error.to_string()))
}

/// Reads addresses with ports.
pub fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>, Problem> {
    let read = texts.iter().map(|text| {
        text.parse().map_err(|_| {
            let advice = "write it like 203.0.113.7:4433 or [2001:db8::7]:4433";
            Problem::new("this is not an address with a port", format!("{text:?}"), advice)
        })
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_listens_on_its_machine_until_there_is_a_relay() {
        let dir = tempfile::tempdir().unwrap();
        let usual = SocketAddr::from(([127, 0, 0, 1], 0));
        let bind = |text: &str| {
            fs::write(dir.path().join("client.toml"), text).unwrap();
            client(dir.path())
                .map(|client| client.store(dir.path().into(), [1; 32], None, usual).bind)
        };
        assert_eq!(bind("").unwrap(), usual);
        let relayed = "[data]\nrelay = [\"http://127.0.0.1:3340\"]";
        assert_eq!(bind(relayed).unwrap(), SocketAddr::from(([0, 0, 0, 0], 0)));
        assert!(bind(&format!("bind = \"127.0.0.1:9\"\n{relayed}")).unwrap().ip().is_loopback());
        let given = SocketAddr::from(([127, 0, 0, 1], 7));
        fs::write(dir.path().join("client.toml"), format!("bind = \"127.0.0.1:9\"\n{relayed}"))
            .unwrap();
        let told = client(dir.path()).unwrap();
        let store = told.store(dir.path().into(), [1; 32], Some(given), usual);
        assert_eq!(store.bind, given, "the command's own word wins");
        assert!(store.keep_found, "a store that is opened again begins with nothing to show");
        for wrong in [
            "[data]\nrelay = [\"here\"]",
            "[data]\nrelay-certificate = \"x\"",
            "[data]\nupload-bytes-per-second = 7",
            "[data]\ncontent-bytes = \"1MiB\"",
            "advertise = [\"somewhere\"]",
            "rely = 1",
        ] {
            assert!(bind(wrong).is_err(), "{wrong}");
        }
        let capped = DataOptions { upload_bytes_per_second: 1 << 20, ..DataOptions::default() };
        assert_eq!(capped.check().unwrap().upload.unwrap().get(), 1 << 20);
    }
}

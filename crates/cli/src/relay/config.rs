//! The configuration of `tilth relay`: one declaration, from which come the file, the flags and the
//! reference page.

use std::{fs, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use tilth_client::Network;
use tilth_protocol::{Amount, Problem};
use tilth_relay::{Access, Config, Door, EndpointKey, Identity, Limits, NetworkRule, endpoint_key};
use tilth_service::options;

use crate::{
    args::{Common, RelayOptions},
    configuration::{Subject, page},
    place::Place,
};

const SUBJECT: Subject = Subject {
    what: "the relay's configuration",
    described: "`tilth relay config` prints",
    example: "access.who=network",
    prefix: "TILTH_RELAY",
    file_variable: "TILTH_RELAY_CONFIG",
};
/// Largest file of endpoints that is read: as many as may be listed, a line of 80 bytes each.
const MAX_ENDPOINTS_FILE: u64 = 80 * tilth_relay::MAX_LISTED as u64;
/// A slower connection loses so many packets that nothing useful gets through.
const LEAST_RATE: u32 = 16 << 10;

tilth_service::options! {
    /// Everything an operator decides about a relay.
    #[derive(Clone, Debug)]
    pub struct RelayConfig {
        /// Where it listens: TCP for relaying, UDP at the same port for telling endpoints their public address.
        /// Port 0 takes a free one.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 3340)),
        /// Host names or addresses under which others reach it, for the certificate it makes and the address it
        /// shows; with `plain` those of the proxy.
        pub names: Vec<String> = Vec::new(),
        /// Certificate chain (PEM) of an authority, instead of one that the relay makes for itself; read again
        /// every hour. A relative path starts from the folder in which the command runs.
        pub certificate: Option<std::path::PathBuf> = None,
        /// Key of the certificate (PEM).
        pub key: Option<std::path::PathBuf> = None,
        /// Speak HTTP without TLS, for a proxy in front that does TLS.
        pub plain: bool = false,
        /// Only with `plain`: where endpoints are told their public address (UDP), with `certificate` and `key`.
        /// They ask at the port of the address they were given, so it is the proxy's port. Without it peers
        /// behind routers stay on the relay.
        pub discovery: Option<SocketAddr> = None,
        /// Who may use it.
        pub access: AccessOptions = AccessOptions::default(),
        /// What it gives to those.
        pub limits: LimitOptions = LimitOptions::default(),
        /// Health, readiness and metrics.
        pub monitor: RelayMonitor = RelayMonitor::default(),
    }
}

tilth_service::options! {
    /// Who may use a relay.
    #[derive(Clone, Debug)]
    pub struct AccessOptions {
        /// `everyone` who knows the address, those that are `listed` below, or the providers of a `network` and
        /// their clients. A network is that of the folder (`--dir`): what its chain says decides, and as long as
        /// the chain cannot be read nobody new is admitted.
        pub who: String = "everyone".to_owned(),
        /// Keys of endpoints, 64 hexadecimal digits each; for `listed`.
        pub endpoints: Vec<String> = Vec::new(),
        /// File with more of them, one a line; what follows a `#` is not read. Read at the start.
        pub endpoints_file: Option<std::path::PathBuf> = None,
        /// Address of the chain's RPC instead of that in the network's folder.
        pub rpc: String = String::new(),
        /// Stake in GRAIN that a provider of the network must have. A client is admitted from when its job is
        /// on the chain.
        pub least_stake: String = "100".to_owned(),
        /// How long a client is admitted after its last job is over, to fetch its results.
        pub keep_clients: Duration = Duration::from_secs(3_600),
        /// How long the chain may be away before nobody new is admitted. Who is connected stays.
        pub outage: Duration = Duration::from_secs(600),
    }
}

tilth_service::options! {
    /// What a relay gives.
    #[derive(Clone, Debug)]
    pub struct LimitOptions {
        /// Most bytes per second taken from one connection; 0 is no limit, otherwise at least 16KiB. All
        /// together can take `connections` times as much.
        pub client_bytes_per_second: u32 = 0,
        /// Connections at the same time.
        pub connections: u32 = Limits::default().connections,
        /// Connections of one endpoint at the same time, at least 2: one whose network has changed comes anew
        /// before its old connection is known to be dead.
        pub connections_per_endpoint: u32 = Limits::default().connections_per_endpoint,
    }
}

tilth_service::options! {
    /// The monitor.
    #[derive(Clone, Debug)]
    pub struct RelayMonitor {
        /// Where `/health`, `/ready` and `/metrics` (Prometheus) are served over HTTP. Nowhere if absent.
        pub listen: Option<SocketAddr> = None,
    }
}

impl RelayConfig {
    /// The defaults, then the file, then the environment, then `--set` and the other flags.
    ///
    /// # Errors
    /// The file cannot be read, or something in these places is not an option or not possible.
    pub fn gather(given: &RelayOptions) -> Result<Self, Problem> {
        let mut config: Self = SUBJECT.gather(given.config.as_deref(), None, &given.set)?;
        config.listen = given.listen.unwrap_or(config.listen);
        config.plain |= given.plain;
        if !given.name.is_empty() {
            config.names.clone_from(&given.name);
        }
        if given.certificate.is_some() {
            config.certificate.clone_from(&given.certificate);
            config.key.clone_from(&given.key);
        }
        Ok(config)
    }

    /// Checks everything, makes a certificate if there is to be one, and reads who may come in.
    ///
    /// # Errors
    /// Something is not possible.
    pub fn told(&self, common: &Common) -> Result<Config, Problem> {
        Ok(Config {
            listen: self.listen,
            door: self.door(common)?,
            access: self.access.told(common)?,
            limits: self.limits.told()?,
        })
    }

    /// Names others know it by: those given, or else the address it listens at.
    pub fn names(&self) -> Vec<String> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        if self.listen.ip().is_unspecified() {
            return vec!["localhost".to_owned()];
        }
        vec![self.listen.ip().to_string()]
    }

    /// Its addresses for others. Behind a proxy they are the proxy's, at the port where discovery is, which endpoints ask at
    /// the same one.
    pub fn urls(&self, relay: &tilth_relay::Relay) -> Vec<String> {
        let url = |name: &String| self.at_proxy(name).unwrap_or_else(|| relay.url(name));
        self.names().iter().map(url).collect()
    }

    /// The address at a proxy that others know by a name of the relay's; none if it stands alone, or was given no name.
    fn at_proxy(&self, name: &str) -> Option<String> {
        let port = self.discovery.map_or(443, |discovery| discovery.port());
        let behind = self.plain && !self.names.is_empty();
        behind.then(|| tilth_relay::url(true, name, port))
    }

    /// The certificate it has made for itself, which others must be given.
    pub fn own_certificate(&self, config: &Config) -> Option<Identity> {
        match &config.door {
            Door::Secure(identity) if self.certificate.is_none() => Some(identity.clone()),
            _ => None,
        }
    }

    fn door(&self, common: &Common) -> Result<Door, Problem> {
        let files = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(Identity { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => None,
            _ => {
                let detail = "one of certificate and key is set, the other is not";
                return Err(misfit(detail, "set both, or neither"));
            }
        };
        match (self.plain, self.discovery, files) {
            (true, None, None) => Ok(Door::Plain { discovery: None }),
            (true, Some(address), Some(identity)) => {
                Ok(Door::Plain { discovery: Some((address, identity)) })
            }
            (true, ..) => Err(misfit(
                "plain is set: discovery and a certificate go together then",
                "set discovery, certificate and key, or none of them",
            )),
            (false, Some(_), _) => Err(misfit(
                "discovery is set and plain is not",
                "leave it out: with TLS endpoints are told their address at the same port",
            )),
            (false, None, Some(identity)) => Ok(Door::Secure(identity)),
            (false, None, None) => self.own(common).map(Door::Secure),
        }
    }

    fn own(&self, common: &Common) -> Result<Identity, Problem> {
        if self.names.is_empty() && self.listen.ip().is_unspecified() {
            return Err(Problem::new(
                "the relay does not know what others call it",
                "it is to make a certificate, which holds its host name or address",
                "give --name relay.example.org or --name 203.0.113.7 (or a certificate of an authority, or --plain behind a proxy)",
            ));
        }
        let dir = common.dir().join("relay");
        Identity::own(&dir, &self.names()).map_err(|error| error.problem())
    }
}

impl AccessOptions {
    fn told(&self, common: &Common) -> Result<Access, Problem> {
        match self.who.as_str() {
            "everyone" => Ok(Access::Everyone),
            "listed" => self.listed().map(Access::Listed),
            "network" => self.network(common).map(|rule| Access::Network(Box::new(rule))),
            other => Err(Problem::new(
                "there is no such rule for who may use the relay",
                format!("access.who is {other:.40?}"),
                "write everyone, listed or network",
            )),
        }
    }

    fn listed(&self) -> Result<Vec<EndpointKey>, Problem> {
        let key = |text: &str| endpoint_key(text).map_err(|error| error.problem());
        let mut listed =
            self.endpoints.iter().map(|text| key(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.endpoints_file {
            for line in endpoints(path)?.lines() {
                let text = line.split('#').next().unwrap_or_default().trim();
                if !text.is_empty() {
                    listed.push(key(text)?);
                }
            }
        }
        if listed.is_empty() {
            return Err(misfit(
                "access.who is listed, and nobody is",
                "write keys into access.endpoints or access.endpoints-file",
            ));
        }
        Ok(listed)
    }

    fn network(&self, common: &Common) -> Result<NetworkRule, Problem> {
        let mut network: Network = Place::open(common)?.network;
        if !self.rpc.is_empty() {
            network.rpc_url.clone_from(&self.rpc);
        }
        let stake: Amount = self.least_stake.parse().map_err(|error| {
            let detail = format!("access.least-stake: {error}");
            Problem::new("this is not an amount", detail, "write GRAIN, such as 100")
        })?;
        Ok(NetworkRule {
            network,
            least_stake: stake.0,
            keep_clients: self.keep_clients,
            outage: self.outage,
        })
    }
}

impl LimitOptions {
    fn told(&self) -> Result<Limits, Problem> {
        let Self { client_bytes_per_second: rate, connections, connections_per_endpoint } = *self;
        if (1..LEAST_RATE).contains(&rate) {
            let detail = format!("limits.client-bytes-per-second is {rate}");
            return Err(misfit(&detail, "make it at least 16KiB, or 0 for no limit"));
        }
        if connections < 2 || connections_per_endpoint < 2 {
            let detail =
                format!("{connections} connections, {connections_per_endpoint} of one endpoint");
            return Err(misfit(&detail, "allow at least 2 of each"));
        }
        Ok(Limits {
            client_bytes_per_second: NonZeroU32::new(rate),
            connections,
            connections_per_endpoint,
        })
    }
}

fn misfit(detail: &str, advice: &str) -> Problem {
    Problem::new("the relay's configuration does not fit together", detail, advice)
}

fn endpoints(path: &Path) -> Result<String, Problem> {
    let problem = |detail: String| {
        let what = "the list of endpoints cannot be read";
        let advice = "name a text file with one key of 64 hexadecimal digits a line";
        Problem::new(what, format!("{}: {detail}", path.display()), advice)
    };
    let size = fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > MAX_ENDPOINTS_FILE {
        return Err(problem(format!("it has {size} bytes, at most {MAX_ENDPOINTS_FILE} are read")));
    }
    fs::read_to_string(path).map_err(|error| problem(error.to_string()))
}

/// The default configuration as a file, every option explained.
pub fn default_file() -> String {
    let head = "# Configuration of a relay: `tilth relay --config FILE`.\n\
                # Every option is shown with its default; those without one are commented out.\n\n";
    format!("{head}{}", options::file(&RelayConfig::default()))
}

/// The reference page.
pub fn reference() -> String {
    let example = options::variable(SUBJECT.prefix, "access.who");
    let mut text = format!(
        "# Configuration of a relay\n\n\
         Generated by `cargo xtask reference` from the declaration in the code; do not edit.\n\n\
         `tilth relay --config FILE` reads a TOML file; `tilth relay config` prints one with all defaults. Each \
         option can also be given as an environment variable (`{example}`) and as `--set access.who=network`; flags \
         win over variables, variables over the file. Unknown options are refused.\n"
    );
    page(&mut text, options::rows(&RelayConfig::default()));
    text
}

/// Environment variables that look like options and are none.
pub fn stray_variables() -> Vec<String> {
    SUBJECT.stray_variables(&options::rows(&RelayConfig::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, text: &str) -> Result<Config, Problem> {
        let common = Common { dir: Some(dir.to_owned()), json: false, log: None };
        let mut config = RelayConfig::default();
        options::read(&mut config, text)
            .map_err(|error| SUBJECT.refused("test", &error))
            .and_then(|()| config.told(&common))
    }

    #[test]
    fn what_is_written_is_what_the_relay_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        let key = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";
        fs::write(&list, format!("# friends\n{key} # anna\n\n")).unwrap();
        let text = format!(
            "plain = true\n[access]\nwho = \"listed\"\nendpoints-file = {list:?}\n\
             [limits]\nclient-bytes-per-second = \"1MiB\"\n"
        );
        let config = read(dir.path(), &text).unwrap();
        assert!(matches!(config.door, Door::Plain { discovery: None }));
        assert!(matches!(config.access, Access::Listed(list) if list.len() == 1));
        assert_eq!(config.limits.client_bytes_per_second.unwrap().get(), 1 << 20);
        // Without a name or an address there is nothing to write into a certificate.
        let problem = read(dir.path(), "").unwrap_err();
        assert!(problem.advice.contains("--name"), "{problem}");
        let own = read(dir.path(), "names = [\"relay.example.org\"]").unwrap();
        let Door::Secure(identity) = own.door else { panic!("{own:?}") };
        assert!(identity.key.starts_with(dir.path()) && identity.key.exists());
        let proxied =
            "plain = true\ndiscovery = \"0.0.0.0:443\"\ncertificate = \"c\"\nkey = \"k\"\n";
        let proxied = read(dir.path(), proxied).unwrap();
        assert!(matches!(proxied.door, Door::Plain { discovery: Some(_) }));
    }

    #[test]
    fn behind_a_proxy_the_proxys_address_is_shown() {
        let at_proxy = |text: &str| {
            let mut config = RelayConfig::default();
            options::read(&mut config, text).unwrap();
            config.at_proxy("relay.example.org")
        };
        let name = "names = [\"relay.example.org\"]\n";
        let plain = format!("{name}plain = true\n");
        assert_eq!(at_proxy(&plain).unwrap(), "https://relay.example.org");
        let discovery = format!("{plain}discovery = \"0.0.0.0:8443\"\n");
        assert_eq!(at_proxy(&discovery).unwrap(), "https://relay.example.org:8443");
        assert_eq!(at_proxy("plain = true"), None, "for tests");
        assert_eq!(at_proxy(name), None);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for wrong in [
            "certificate = \"c\"",
            "discovery = \"0.0.0.0:443\"",
            "plain = true\ncertificate = \"c\"\nkey = \"k\"",
            "plain = true\ndiscovery = \"0.0.0.0:443\"",
            "plain = true\n[access]\nwho = \"nobody\"",
            "plain = true\n[access]\nwho = \"listed\"",
            "plain = true\n[access]\nwho = \"listed\"\nendpoints = [\"anna\"]",
            "plain = true\n[access]\nwho = \"listed\"\nendpoints-file = \"/no/such\"",
            // There is no network in this folder.
            "plain = true\n[access]\nwho = \"network\"",
            "plain = true\n[limits]\nclient-bytes-per-second = 7",
            "plain = true\n[limits]\nconnections-per-endpoint = 1",
            "relay = true",
        ] {
            let problem = read(dir.path(), wrong).unwrap_err();
            assert!(!problem.advice.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn the_default_file_says_what_the_defaults_are() {
        let mut config = RelayConfig::default();
        options::read(&mut config, &default_file()).unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", RelayConfig::default()));
    }
}

//! The configuration of `tilth node`: one declaration, from which come the file, the variables, the
//! flags and the reference page.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use alloy::primitives::Address;
use tilth_chain::{Access, Limits, Production};
use tilth_protocol::Problem;
use tilth_service::{
    LogFormat, TimeSpan,
    options::{self, LoadError, OptionError, Row, Setting, TomlValue},
};

use crate::args::{Common, NodeOptions};

/// First part of the names of environment variables.
pub const PREFIX: &str = "TILTH_NODE";

tilth_service::options! {
    /// Everything an operator decides about a node.
    #[derive(Clone, Debug)]
    pub struct NodeConfig {
        /// Folder of the chain. `--dir` overrides it. A relative path starts from the folder in which
        /// the command runs. The default is `node` in `.tilth` in the home folder.
        pub dir: Option<PathBuf> = None,
        /// File with the chain's genesis in geth's format. The default is a development chain (id
        /// 1337, all forks) whose ten funded accounts have publicly known keys. A folder keeps the
        /// genesis it was started with.
        pub genesis: Option<PathBuf> = None,
        /// When blocks are made: `instant` (as soon as there is a transaction), an interval such as
        /// `2s`, or `never`.
        pub production: BlockProduction = BlockProduction(Production::Instant),
        /// Who receives the priority fees.
        pub beneficiary: Account = Account(Address::ZERO),
        /// JSON-RPC over HTTP and WebSocket.
        pub rpc: RpcOptions = RpcOptions::default(),
        /// Health, readiness and metrics.
        pub monitor: MonitorOptions = MonitorOptions::default(),
        /// What the node writes about itself, to standard error.
        pub log: LogOptions = LogOptions::default(),
        /// Bounds on everything that others can send, and on what is kept.
        pub limits: Limits = Limits::default(),
    }
}

tilth_service::options! {
    /// JSON-RPC.
    #[derive(Clone, Debug)]
    pub struct RpcOptions {
        /// Where JSON-RPC is served. Port 0 takes a free one.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8545)),
        /// Web pages that may use the RPC (CORS and WebSocket): `scheme://host:port`, where scheme and
        /// port may be left out for any, or `*` for all pages. Other programs are not concerned.
        pub origins: Vec<String> = Access::default().origins,
        /// Host names under which the node may be asked, or `*` for any. Addresses are always allowed.
        pub hosts: Vec<String> = Access::default().hosts,
    }
}

tilth_service::options! {
    /// The monitor.
    #[derive(Clone, Debug)]
    pub struct MonitorOptions {
        /// Where `/health`, `/ready` and `/metrics` (Prometheus) are served over HTTP. Nowhere if
        /// absent.
        pub listen: Option<SocketAddr> = None,
        /// How long the head may stand still, while there is something to put into a block, before
        /// `/ready` says no.
        pub stall_time: Duration = Duration::from_secs(30),
    }
}

tilth_service::options! {
    /// Logs.
    #[derive(Clone, Debug)]
    pub struct LogOptions {
        /// What to log, for example `info` or `warn,tilth_chain=debug`. `--log` overrides it.
        pub filter: String = "info".to_owned(),
        /// `text` for people, `json` for collectors.
        pub format: LogFormat = LogFormat::Text,
    }
}

/// How block production is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockProduction(pub Production);

impl FromStr for BlockProduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "instant" => Production::Instant,
            "never" => Production::Manual,
            interval => {
                let span: TimeSpan = interval.parse().map_err(|error| format!("{error}"))?;
                let time = Duration::from(span);
                if time.is_zero() {
                    return Err("an interval is longer than nothing".to_owned());
                }
                Production::Interval(time)
            }
        }))
    }
}

impl fmt::Display for BlockProduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Production::Instant => f.write_str("instant"),
            Production::Manual => f.write_str("never"),
            Production::Interval(every) => {
                let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
                TimeSpan::from_millis(millis).fmt(f)
            }
        }
    }
}

/// How an account is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account(pub Address);

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "it starts with 0x and has 40 hexadecimal digits".into())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes a type with `FromStr` and `Display` an option.
macro_rules! setting {
    ($type:ty, $kind:literal) => {
        impl Setting for $type {
            fn read(&mut self, key: &str, value: TomlValue) -> Result<(), OptionError> {
                let refused = |why: &str| OptionError::Value {
                    key: key.to_owned(),
                    found: value.to_string(),
                    expected: format!("{} ({why})", $kind),
                };
                let text = value.as_str().ok_or_else(|| refused("a text in quotes"))?;
                *self = text.parse().map_err(|error: String| refused(&error))?;
                Ok(())
            }

            fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
                rows.push(Row {
                    key: key.to_owned(),
                    doc: doc.to_owned(),
                    value: Some(TomlValue::String(self.to_string()).to_string()),
                    kind: $kind,
                    is_group: false,
                });
            }
        }
    };
}

setting!(BlockProduction, "instant, never, or an interval such as 2s");
setting!(Account, "an account's address");

impl NodeConfig {
    /// The defaults, then the file, then the environment, then `--set` and the other flags.
    ///
    /// # Errors
    /// The file cannot be read, or something in these places is not an option or not possible.
    pub fn gather(common: &Common, given: &NodeOptions) -> Result<Self, Problem> {
        let mut config = Self::default();
        if let Some(path) = &given.config {
            options::load(&mut config, path).map_err(|error| load_problem(&error))?;
        }
        for row in options::rows(&Self::default()).into_iter().filter(|row| !row.is_group) {
            let variable = options::variable(PREFIX, &row.key);
            if let Some(text) = std::env::var_os(&variable) {
                let text = text.to_string_lossy();
                options::set(&mut config, &row.key, &text)
                    .map_err(|error| option_problem(&format!("variable {variable}"), &error))?;
            }
        }
        for change in &given.set {
            let Some((key, text)) = change.split_once('=') else {
                return Err(Problem::new(
                    "an option is set by its name and a value",
                    format!("--set {change}"),
                    "write it like --set rpc.listen=127.0.0.1:8545",
                ));
            };
            options::set(&mut config, key.trim(), text.trim())
                .map_err(|error| option_problem("flag --set", &error))?;
        }
        if let Some(dir) = &common.dir {
            config.dir = Some(dir.clone());
        }
        if let Some(filter) = &common.log {
            config.log.filter.clone_from(filter);
        }
        Ok(config)
    }

    /// The chain's folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| {
            let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
            home.join(".tilth").join("node")
        })
    }

    /// What the chain is started with.
    ///
    /// # Errors
    /// The genesis file cannot be read or is not one.
    pub fn chain(&self) -> Result<tilth_chain::Config, Problem> {
        let genesis = super::genesis::load(self.genesis.as_deref())?;
        Ok(tilth_chain::Config {
            dir: Some(self.folder()),
            rpc: self.rpc.listen,
            production: self.production.0,
            beneficiary: self.beneficiary.0,
            limits: self.limits.clone(),
            access: Access { origins: self.rpc.origins.clone(), hosts: self.rpc.hosts.clone() },
            ..tilth_chain::Config::in_memory(genesis)
        })
    }
}

fn load_problem(error: &LoadError) -> Problem {
    match error {
        LoadError::File(error) => Problem::new(error.to_string(), error.detail(), error.advice()),
        LoadError::Options { path, source } => option_problem(&path.display().to_string(), source),
    }
}

fn option_problem(place: &str, error: &OptionError) -> Problem {
    let advice = match error {
        OptionError::Unknown { .. } | OptionError::Value { .. } => {
            "correct it; `tilth node config` prints every option with its default and meaning"
        }
        OptionError::Syntax(_) => "correct the line shown; the file is TOML",
    };
    Problem::new(
        format!("the node's configuration is not valid ({place})"),
        error.to_string().trim_end().replace('\n', "\n          "),
        advice,
    )
}

/// The default configuration as a file, every option explained.
pub fn default_file() -> String {
    let head = "# Configuration of a node: `tilth node --config FILE`.\n\
                # Every option is shown with its default; those without one are commented out.\n\n";
    format!("{head}{}", options::file(&NodeConfig::default()))
}

/// The reference page.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration of a node\n\n\
         Generated by `cargo xtask reference` from the declaration in the code; do not edit.\n\n\
         `tilth node --config FILE` reads a TOML file; `tilth node config` prints one with all defaults. \
         Each option can also be given as an environment variable and as `--set NAME=VALUE`; \
         flags win over variables, variables over the file. Unknown options are refused.\n",
    );
    let mut table_is_open = false;
    for row in options::rows(&NodeConfig::default()) {
        if row.is_group {
            text.push_str(&format!("\n## [{}]\n\n{}\n", row.key, row.doc));
            table_is_open = false;
            continue;
        }
        if !table_is_open {
            text.push_str("\n| option | default | meaning |\n|---|---|---|\n");
            table_is_open = true;
        }
        let name = row.key.rsplit('.').next().unwrap_or_default();
        let default = row.value.map_or("none".to_owned(), |value| format!("`{value}`"));
        let doc = row.doc.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|");
        let line = format!("| `{name}` | {default} | {doc} Takes {}. |\n", row.kind);
        text.push_str(&line);
    }
    let example = options::variable(PREFIX, "rpc.listen");
    text.push_str(&format!(
        "\nThe variable of `listen` in `[rpc]` is `{example}`, its flag `--set rpc.listen=ADDRESS`; the \
         others follow the same rule.\n"
    ));
    text
}

/// Environment variables that look like options and are none.
pub fn stray_variables() -> Vec<String> {
    let known: Vec<String> = options::rows(&NodeConfig::default())
        .iter()
        .map(|row| options::variable(PREFIX, &row.key))
        .collect();
    let named = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut stray: Vec<String> = named
        .filter(|name| name.starts_with(&format!("{PREFIX}_")))
        .filter(|name| name != crate::args::NODE_CONFIG_VARIABLE && !known.contains(name))
        .collect();
    stray.sort();
    stray
}

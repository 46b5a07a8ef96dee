//! What an operator decides about a node, declared once. Nothing here knows the program around it, so
//! that fuzzing can take this file alone.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use alloy::primitives::Address;
use tilth_chain::{Access, Limits, Production};
use tilth_service::{
    LogFormat, TimeSpan,
    options::{OptionError, Row, Setting, TomlValue},
};

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

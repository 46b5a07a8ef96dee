//! What operators write: genesis files and options.

#[path = "../../../crates/cli/src/node/declaration.rs"]
mod declaration;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tilth_chain::{Access, Genesis, Limits, hostile};
use tilth_service::{
    ByteSize, LogFormat, TimeSpan,
    options::{self, Setting},
};

use declaration::NodeConfig;

/// A genesis file in geth's format: what is taken can be executed, or is refused with a reason.
pub fn genesis(data: &[u8]) {
    if let Ok(genesis) = Genesis::from_json(data) {
        let _ = genesis.execute();
    }
}

tilth_service::options! {
    /// Every kind of option a node has, and the limits themselves.
    #[derive(Clone, Debug)]
    struct Options {
        /// A path that may be missing.
        folder: Option<PathBuf> = None,
        /// A text.
        filter: String = "info".to_owned(),
        /// An enumeration.
        format: LogFormat = LogFormat::Text,
        /// A time.
        stall_time: Duration = Duration::from_secs(30),
        /// A time of its own type.
        pause: TimeSpan = TimeSpan::from_millis(250),
        /// A size.
        room: ByteSize = ByteSize::from_bytes(1 << 20),
        /// Yes or no.
        quick: bool = false,
        /// A small number.
        port: u16 = 7,
        /// A large number.
        price: u128 = u128::MAX,
        /// Where the RPC is.
        rpc: Doors = Doors::default(),
        /// The node's.
        limits: Limits = Limits::default(),
    }
}

tilth_service::options! {
    /// Where others come in.
    #[derive(Clone, Debug)]
    struct Doors {
        /// An address.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8545)),
        /// One that may be missing.
        monitor: Option<SocketAddr> = None,
        /// A list.
        origins: Vec<String> = Access::default().origins,
        /// Another.
        hosts: Vec<String> = Access::default().hosts,
    }
}

/// A configuration file, and the same text as flags: a line `NAME=VALUE` each. What was taken is
/// written out as a file that gives the same.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut by_file = Options::default();
    if options::read(&mut by_file, text).is_ok() {
        kept(&by_file);
    }
    let mut by_flags = Options::default();
    for (name, value) in text.lines().take(50).filter_map(|line| line.split_once('=')) {
        if options::set(&mut by_flags, name.trim(), value.trim()).is_ok() {
            kept(&by_flags);
        }
        // Headers of requests are matched against what is configured.
        let Doors { origins, hosts, .. } = by_flags.rpc.clone();
        hostile::gate(&Access { origins, hosts }, name, value);
    }
}

/// The options of `tilth node`, as a file and as flags like those above.
pub fn node_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut by_file = NodeConfig::default();
    if options::read(&mut by_file, text).is_ok() {
        kept(&by_file);
    }
    let mut by_flags = NodeConfig::default();
    for (name, value) in text.lines().take(50).filter_map(|line| line.split_once('=')) {
        if options::set(&mut by_flags, name.trim(), value.trim()).is_ok() {
            kept(&by_flags);
        }
    }
}

/// What was taken is written out as a file that gives the same.
fn kept<T: Setting + Default>(taken: &T) {
    let file = options::file(taken);
    let mut again = T::default();
    let read = options::read(&mut again, &file);
    assert!(read.is_ok(), "{read:?} for\n{file}");
    assert_eq!(options::file(&again), file);
}

//! `tilth node`: a chain of one's own, as a program that runs for months, and the tools for its files.

mod config;
mod declaration;
mod genesis;
mod shown;
mod snapshot;
mod transfer;
mod upkeep;

use std::process::ExitCode;

use serde_json::json;
use tilth_chain::Chain;
use tilth_protocol::Problem;
use tilth_service::{LogError, Monitor, Registry, logs};
use tokio::task::JoinHandle;

use crate::{
    DETACHED, Ended,
    args::{Common, Node, NodeCommand, NodeOptions, SnapshotCommand},
    monitor, print_json, up,
};
use config::NodeConfig;
use genesis::with_causes;

/// What the tools that work on a stopped chain log unless told otherwise.
const TOOLS_LOG: &str = "warn";

pub async fn node(common: Common, args: Node) -> Ended {
    let Some(command) = args.command else { return run(common, args.options).await };
    if let NodeCommand::Config { reference } = command {
        print!("{}", if reference { config::reference() } else { config::default_file() });
        return Ok(ExitCode::SUCCESS);
    }
    let mut config = NodeConfig::gather(&common, &args.options)?;
    if common.log.is_none() {
        TOOLS_LOG.clone_into(&mut config.log.filter);
    }
    start_logs(&config)?;
    let chain = config.chain()?;
    let json = common.json;
    let done = tokio::task::spawn_blocking(move || tool(chain, &command, json)).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Runs a tool for the files of a chain. Blocks its thread.
fn tool(chain: tilth_chain::Config, command: &NodeCommand, json: bool) -> Ended {
    let dir = chain.dir.clone().unwrap_or_default();
    match command {
        NodeCommand::Fsck { quick, repair } => upkeep::fsck(&dir, *quick, *repair, json),
        NodeCommand::Prune => upkeep::prune(&dir, &chain.limits, json),
        NodeCommand::Snapshot(SnapshotCommand::Export { file, blocks }) => {
            snapshot::export(&dir, file, *blocks, json)
        }
        NodeCommand::Snapshot(SnapshotCommand::Import { file, head }) => {
            snapshot::import(&dir, &chain.genesis, file, *head, json)
        }
        NodeCommand::Config { .. }
        | NodeCommand::Init
        | NodeCommand::Import { .. }
        | NodeCommand::Export { .. }
        | NodeCommand::Replay => transfer::tool(chain, command, json),
    }
}

fn start_logs(config: &NodeConfig) -> Result<(), Problem> {
    logs::init(config.log.format, &config.log.filter).map_err(|error| {
        let detail = with_causes(&error);
        match error {
            LogError::AlreadySet => {
                Problem::new("logs cannot be set up", detail, "report this as a bug")
            }
            LogError::Filter { .. } | LogError::Format(_) => Problem::new(
                "the log filter is not valid",
                detail,
                "write it like `info` or `warn,tilth_chain=debug` (option log.filter, flag --log)",
            ),
        }
    })
}

async fn run(common: Common, options: NodeOptions) -> Ended {
    let config = NodeConfig::gather(&common, &options)?;
    start_logs(&config)?;
    for name in config::stray_variables() {
        tracing::warn!(name, "this variable looks like an option of the node, but there is none");
    }
    let mut signals = up::listen()?;
    // Taken first, so that a port in use is said before a large chain is opened.
    let monitor = match config.monitor.listen {
        Some(address) => Some(monitor::bind(address).await?),
        None => None,
    };
    let chain = config.chain()?;
    let chain = tokio::select! {
        spawned = tilth_chain::spawn(chain) => spawned.map_err(|error| error.problem())?,
        _ = signals.next() => return Ok(ExitCode::from(DETACHED)),
    };
    let (monitor, watched) = match monitor {
        Some(monitor) => {
            let address = monitor.address().ok();
            (Some(watch(monitor, &chain, &config)), address)
        }
        None => (None, None),
    };
    say(&common, &config, &chain, watched)?;
    let failure = tokio::select! {
        failure = chain.failed() => Some(failure),
        _ = signals.next() => None,
    };
    tracing::info!("stopping: requests under way are answered, the block under way is finished");
    let ended = tokio::select! {
        () = chain.shutdown() => None,
        () = signals.insisted() => Some(ExitCode::from(DETACHED)),
    };
    if let Some(monitor) = monitor {
        monitor.abort();
    }
    match (failure, ended) {
        (Some(failure), _) => Err(Problem::new(
            "the node has stopped because a part of it failed",
            failure,
            "see the log above; start it again, and report this if it happens again",
        )),
        (None, Some(code)) => Ok(code),
        (None, None) => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn watch(monitor: Monitor, chain: &Chain, config: &NodeConfig) -> JoinHandle<()> {
    let registry: Registry = chain.metrics();
    monitor::describe(&registry);
    tokio::spawn(monitor.serve(registry, chain.readiness(config.monitor.stall_time)))
}

fn say(
    common: &Common,
    config: &NodeConfig,
    chain: &Chain,
    monitor: Option<std::net::SocketAddr>,
) -> Result<(), Problem> {
    let head = chain.head();
    let folder = config.folder();
    let monitor = monitor.map(|address| format!("http://{address}"));
    if common.json {
        return print_json(&json!({
            "rpc": chain.rpc_url(),
            "ws": chain.ws_url(),
            "monitor": monitor,
            "chain_id": chain.chain_id(),
            "genesis": chain.genesis_hash().to_string(),
            "head": { "number": head.number, "hash": head.hash().to_string() },
            "dir": folder,
        }));
    }
    println!("the node is up; Ctrl-C stops it");
    println!("  rpc      {}  {}", chain.rpc_url(), chain.ws_url());
    if let Some(url) = monitor {
        println!("  monitor  {url}/health  {url}/ready  {url}/metrics");
    }
    println!("  chain    {}, genesis {}", chain.chain_id(), chain.genesis_hash());
    println!("  head     block {}, {}", head.number, head.hash());
    println!("  folder   {}", folder.display());
    if genesis::is_for_development(config.genesis.as_deref()) {
        println!("  This is the development chain: anybody knows the keys of its funded accounts.");
    }
    Ok(())
}

//! `tilth up`: a whole network in this process, until Ctrl-C.

use std::{path::Path, process::ExitCode};

use alloy::signers::local::PrivateKeySigner;
use serde_json::json;
use tilth_client::Keys;
use tilth_devnet::{ChainChoice, Devnet, Topology};
use tilth_protocol::Problem;
use tilth_sandbox::CommandLine;
use tilth_service::StopSignals;

use crate::{
    Ended,
    args::{Common, Up},
    place::dir_option,
    print_json,
    table::{Align, Table},
};

/// The first account of the well-known development mnemonic, which anvil and hardhat fund. Used only
/// for chains that say they are such a development chain.
const DEVELOPMENT_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Chain id of anvil and hardhat.
const DEVELOPMENT_CHAIN: u64 = 31_337;

pub async fn up(common: Common, args: Up) -> Ended {
    let mut signals = listen()?;
    let chain = match &args.rpc {
        None => ChainChoice::Own { listen: args.listen, interval: args.block_time },
        Some(url) => ChainChoice::External {
            url: url.clone(),
            funder: funder(url, args.key.as_deref()).await?,
            confirmations: args.confirmations,
        },
    };
    let starting = Devnet::start(Topology {
        dir: common.dir(),
        fresh: args.fresh,
        chain,
        providers: args.providers,
        auditors: args.auditors,
        slots: args.slots,
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        gpu: args.gpu.into(),
        measure: args.measure,
        models: crate::gateway::models(&args.on_sale),
    });
    let devnet = tokio::select! {
        started = starting => started?,
        _ = signals.next() => return Ok(ExitCode::from(crate::DETACHED)),
    };
    let gateway = crate::gateway::beside(devnet.dir(), devnet.network(), &args.on_sale).await?;
    let url = gateway.as_ref().map(|gateway| format!("http://{}/v1", gateway.gateway.address()));
    let monitor = gateway.as_ref().and_then(|gateway| gateway.monitor);
    let monitor = monitor.map(|address| format!("http://{address}"));
    if common.json {
        say_json(&devnet, url.as_deref(), monitor.as_deref())?;
    } else {
        say(&devnet, url.as_deref());
        if let Some(monitor) = &monitor {
            println!("gateway's health and metrics: {monitor}/ready  {monitor}/metrics");
        }
    }
    let failed = async {
        match &gateway {
            Some(gateway) => gateway.failure().await,
            None => std::future::pending().await,
        }
    };
    let ended = stay_with(devnet, &mut signals, common.json, failed).await;
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    ended
}

/// Starts to listen for Ctrl-C and SIGTERM.
pub fn listen() -> Result<StopSignals, Problem> {
    StopSignals::listen().map_err(|error| {
        Problem::new("signals cannot be handled", error.to_string(), "report this as a bug")
    })
}

/// Waits for a signal, then stops the network: softly after the first, at once after the second. A
/// network of which a part has stopped by itself is stopped, too, and the reason given.
pub async fn stay(devnet: Devnet, signals: &mut StopSignals, quiet: bool) -> Ended {
    stay_with(devnet, signals, quiet, std::future::pending()).await
}

/// As [`stay`], beside something else that may stop by itself.
async fn stay_with(
    devnet: Devnet,
    signals: &mut StopSignals,
    quiet: bool,
    other: impl Future<Output = Problem>,
) -> Ended {
    tokio::select! {
        failure = devnet.failure() => return Err(failure),
        failure = other => return Err(failure),
        _ = signals.next() => {}
    }
    if !quiet {
        eprintln!("stopping: providers finish what they run; Ctrl-C again stops at once");
    }
    tokio::select! {
        () = devnet.shutdown() => {}
        () = signals.insisted() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// This program with one of its hidden subcommands.
pub fn own_command(subcommand: &str) -> Result<CommandLine, Problem> {
    CommandLine::of_this_program([subcommand]).map_err(|error| {
        Problem::new(
            "the program cannot find itself",
            error.to_string(),
            "start it by its full path, from a file that has not been replaced",
        )
    })
}

async fn funder(url: &str, key: Option<&Path>) -> Result<PrivateKeySigner, Problem> {
    if let Some(path) = key {
        return Keys::open_file(path);
    }
    let link = tilth_client::Link::open(url, tilth_contracts::Addresses::predeployed())
        .map_err(|error| error.problem())?;
    let chain_id = link.chain_id().await.map_err(|error| error.problem())?;
    if chain_id == DEVELOPMENT_CHAIN {
        // A constant that is a valid key.
        return DEVELOPMENT_KEY.parse().map_err(|_| no_key(chain_id));
    }
    Err(no_key(chain_id))
}

fn no_key(chain_id: u64) -> Problem {
    Problem::new(
        "somebody has to pay for the contracts on this chain",
        format!("chain {chain_id} is no development chain with funded accounts"),
        "put the private key of a funded account into a file (mode 600) and name it with --key",
    )
}

fn say_json(
    devnet: &Devnet,
    gateway: Option<&str>,
    gateway_monitor: Option<&str>,
) -> Result<(), Problem> {
    let network = devnet.network();
    let accounts: Vec<_> = devnet
        .accounts()
        .iter()
        .map(|(name, address)| json!({ "name": name, "address": address }))
        .collect();
    print_json(&json!({
        "rpc-url": network.rpc_url,
        "chain-id": network.chain_id,
        "contracts": network.contracts,
        "dir": devnet.dir(),
        "providers": devnet.providers().len(),
        "auditors": devnet.auditors().len(),
        "accounts": accounts,
        "gateway": gateway,
        "gateway-monitor": gateway_monitor,
    }))
}

fn say(devnet: &Devnet, gateway: Option<&str>) {
    let network = devnet.network();
    println!("tilth network is up");
    println!("  RPC URL    {}  (chain id {})", network.rpc_url, network.chain_id);
    if let Some(gateway) = gateway {
        println!("  gateway    {gateway}");
    }
    println!("  folder     {}", devnet.dir().display());
    println!("  providers  {}", devnet.providers().len());
    if !devnet.auditors().is_empty() {
        println!("  auditors   {}", devnet.auditors().len());
    }
    println!("  JobBook    {}", network.contracts.job_book);
    println!("  Ledger     {}\n", network.contracts.ledger);
    let mut table = Table::new(&[("account", Align::Left), ("address", Align::Left)]);
    for (name, address) in devnet.accounts() {
        table.row([name.clone(), address.to_string()]);
    }
    print!("{}", table.render());
    println!("\nkeys are in {}", devnet.dir().join("accounts").display());
    let dir = dir_option(devnet.dir());
    println!("next: tilth run examples/render/job.toml{dir}      stop: Ctrl-C");
}

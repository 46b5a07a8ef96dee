//! `tilth up`: a whole network in this process, until Ctrl-C.

use std::{path::Path, process::ExitCode};

use alloy::signers::local::PrivateKeySigner;
use serde_json::json;
use tilth_client::Keys;
use tilth_devnet::{ChainChoice, Devnet, Topology};
use tilth_protocol::Problem;
use tilth_sandbox::CommandLine;
use tilth_service::{StopSignals, Urgency};

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
        },
    };
    let starting = Devnet::start(Topology {
        dir: common.dir(),
        fresh: args.fresh,
        chain,
        providers: args.providers,
        slots: args.slots,
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        gpu: args.gpu.into(),
        measure: args.measure,
    });
    let devnet = tokio::select! {
        started = starting => started?,
        _ = signals.next() => return Ok(ExitCode::from(crate::DETACHED)),
    };
    if common.json {
        say_json(&devnet)?
    } else {
        say(&devnet)
    }
    stay(devnet, &mut signals, common.json).await
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
    tokio::select! {
        failure = devnet.failure() => return Err(failure),
        _ = signals.next() => {}
    }
    if !quiet {
        eprintln!("stopping: providers finish what they run; Ctrl-C again stops at once");
    }
    tokio::select! {
        () = devnet.shutdown() => {}
        () = insisted(signals) => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn insisted(signals: &mut StopSignals) {
    while signals.next().await != Urgency::Now {}
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

fn say_json(devnet: &Devnet) -> Result<(), Problem> {
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
        "accounts": accounts,
    }))
}

fn say(devnet: &Devnet) {
    let network = devnet.network();
    println!("tilth network is up");
    println!("  RPC URL    {}  (chain id {})", network.rpc_url, network.chain_id);
    println!("  folder     {}", devnet.dir().display());
    println!("  providers  {}", devnet.providers().len());
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

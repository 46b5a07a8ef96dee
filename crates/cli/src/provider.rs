//! `tilth provider`: one provider in a process of its own, and what its owner does with it.

mod command;
mod config;
mod earnings;
mod ending;
mod service;
mod stake;
mod status;

use std::{path::PathBuf, process::ExitCode};

use serde_json::json;
use tilth_protocol::Problem;
use tilth_provider::{GasReserve, Limits, Provider};
use tracing::warn;

use crate::{
    Ended,
    args::{self, Common, ProviderCommand, ProviderOptions},
    place::Place,
    print_json,
    up::{listen, own_command},
};
use config::{ProviderConfig, Told};
use ending::Manner;
pub use stake::moment;

pub async fn provider(common: Common, args: args::Provider) -> Ended {
    match args.command {
        None => {
            // The command line asks for it.
            let name = args.name.unwrap_or_default();
            Box::pin(run(common, name, args.options)).await
        }
        Some(ProviderCommand::Pause { name, time }) => command::pause(&common, &name, time).await,
        Some(ProviderCommand::Resume { name }) => command::resume(&common, &name).await,
        Some(ProviderCommand::Status { name }) => status::status(&common, &name).await,
        Some(ProviderCommand::Earnings(args)) => earnings::earnings(common, args).await,
        Some(ProviderCommand::Leave { name, amount }) => stake::leave(&common, &name, amount).await,
        Some(ProviderCommand::Withdraw { name }) => stake::withdraw(&common, &name).await,
        Some(ProviderCommand::Install(args)) => service::install(&common, &args),
        Some(ProviderCommand::Uninstall { name, dry_run }) => {
            service::uninstall(&common, &name, dry_run)
        }
        Some(ProviderCommand::Config { reference }) => {
            let text = if reference { config::reference() } else { config::default_file() };
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A provider's folder.
fn folder(common: &Common, name: &str) -> PathBuf {
    common.dir().join("providers").join(name)
}

/// A provider's name goes into paths, units and accounts.
fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=48).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(Problem::new(
        "this cannot be a provider's name",
        format!("{name:.60?}"),
        "use at most 48 letters, digits, '-', '_' and '.'",
    ))
}

async fn run(common: Common, name: String, options: ProviderOptions) -> Ended {
    check_name(&name)?;
    let mut signals = listen()?;
    let place = Place::open(&common)?;
    let dir = folder(&common, &name);
    let config = ProviderConfig::gather(&dir.join("provider.toml"), &options)?;
    for variable in config::stray_variables() {
        warn!(variable, "looks like an option of a provider and is none");
    }
    let Told { offer, gpu, measure, bind, advertise, retention, withdraw_above, comfort } =
        config.told()?;
    let manner = Manner { is_local: place.link.is_local(), waits_for_pay: config.wait_for_pay };
    let starting = Provider::spawn(tilth_provider::Config {
        dir,
        owner: place.signer(&name)?,
        node: place.signer(&format!("{name}-node"))?,
        network: place.network,
        offer,
        limits: Limits::default(),
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        gpu,
        measure,
        bind,
        advertise,
        retention,
        withdraw_above,
        gas: GasReserve::default(),
        comfort,
    });
    let provider = tokio::select! {
        started = starting => started.map_err(|error| error.problem())?,
        _ = signals.next() => return Ok(ExitCode::from(crate::DETACHED)),
    };
    if common.json {
        print_json(&json!({ "provider": name, "ready": true }))?;
    } else {
        println!(
            "provider {name} is ready; Ctrl-C ends it when what runs is delivered, a second one stops at once"
        );
    }
    // An agent that cannot go on must not look alive: whoever watches the process starts it again.
    tokio::select! {
        failure = provider.failure() => return Err(failure.problem()),
        _ = signals.next() => {}
    }
    ending::end(&provider, &mut signals, manner).await?;
    provider.stop().await.map_err(|error| error.problem())?;
    Ok(ExitCode::SUCCESS)
}

//! `tilth provider`: one provider in a process of its own.

use std::process::ExitCode;

use serde_json::json;
use tilth_protocol::{Price, Problem};
use tilth_provider::{GasReserve, Limits, Offer, Provider};
use tilth_service::Urgency;

use crate::{
    Ended,
    args::{self, Common},
    place::Place,
    print_json,
    up::{listen, own_command},
};

pub async fn provider(common: Common, args: args::Provider) -> Ended {
    let mut signals = listen()?;
    let place = Place::open(&common)?;
    let price_floor = match &args.price_floor {
        None => Offer::default().price_floor,
        Some(text) => Price::from_grain_per_gfuel(text).map_err(|error| {
            Problem::new(
                "the price floor is not valid",
                error.to_string(),
                "write GRAIN per Gfuel, such as 0.0005",
            )
        })?,
    };
    let starting = Provider::spawn(tilth_provider::Config {
        dir: place.dir.join("providers").join(&args.name),
        owner: place.signer(&args.name)?,
        node: place.signer(&format!("{}-node", args.name))?,
        network: place.network,
        offer: Offer { slots: args.slots, stake: args.stake, price_floor, ..Offer::default() },
        limits: Limits::default(),
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        bind: args.bind,
        advertise: args.advertise,
        retention: args.retention,
        withdraw_above: args.withdraw_above,
        gas: GasReserve::default(),
    });
    let provider = tokio::select! {
        started = starting => started.map_err(|error| error.problem())?,
        _ = signals.next() => return Ok(ExitCode::from(crate::DETACHED)),
    };
    if common.json {
        print_json(&json!({ "provider": args.name, "ready": true }))?;
    } else {
        println!("provider {} is ready; Ctrl-C drains, a second Ctrl-C stops at once", args.name);
    }
    // An agent that cannot go on must not look alive: whoever watches the process starts it again.
    tokio::select! {
        failure = provider.failure() => return Err(failure.problem()),
        _ = signals.next() => {}
    }
    tokio::select! {
        drained = provider.drain() => drained.map_err(|error| error.problem())?,
        () = async { while signals.next().await != Urgency::Now {} } => {}
    }
    provider.stop().await.map_err(|error| error.problem())?;
    Ok(ExitCode::SUCCESS)
}

//! `tilth providers`: who is registered, with what, and how much of it is in use.

use std::process::ExitCode;

use serde_json::json;
use tilth_contracts::Registry;
use tilth_protocol::{
    Amount,
    challenge::class::{self, Measure},
};

use crate::{
    Ended,
    args::Common,
    place::Place,
    print_json,
    table::{Align, Table},
};

pub async fn providers(common: Common) -> Ended {
    let place = Place::open(&common)?;
    let registry = place.network.contracts.registry;
    let read = place.link.read(registry, Registry::providerCountCall {}).await;
    let count = read.map_err(|error| error.problem())?;
    let mut rows = Vec::new();
    for number in 1..=count {
        let call = Registry::providerByNumberCall { number };
        let provider = place.link.read(registry, call).await.map_err(|error| error.problem())?;
        rows.push(provider);
    }
    let names = place.keys.list()?;
    let name = |address| {
        let found = names.iter().find(|(_, known)| *known == address);
        found.map_or_else(String::new, |(name, _)| name.clone())
    };
    if common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|provider| {
                json!({
                    "number": provider.number,
                    "owner": provider.owner,
                    "name": name(provider.owner),
                    "node": provider.node,
                    "slots": provider.slots,
                    "held": provider.held,
                    "paused": provider.paused,
                    "stake": Amount(provider.stake),
                    "exposure": Amount(provider.exposure),
                    "unbonding": Amount(provider.unbonding),
                    "classes": class::names_of(provider.attributes.classBits),
                    "vram-mib": provider.attributes.vramMib,
                })
            })
            .collect();
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("name", Align::Left),
        ("owner", Align::Left),
        ("slots", Align::Right),
        ("held", Align::Right),
        ("stake", Align::Right),
        ("exposure", Align::Right),
        ("strongest", Align::Left),
        ("", Align::Left),
    ]);
    for provider in &rows {
        table.row([
            provider.number.to_string(),
            name(provider.owner),
            provider.owner.to_string(),
            provider.slots.to_string(),
            provider.held.to_string(),
            format!("{:.4}", Amount(provider.stake)),
            format!("{:.4}", Amount(provider.exposure)),
            strongest(provider.attributes.classBits),
            if provider.paused { "paused".to_owned() } else { String::new() },
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}

/// The strongest class of each kind, for a table.
fn strongest(class_bits: u64) -> String {
    let of = |measure| class::strongest(measure, class_bits).map(|class| class.name);
    let names: Vec<_> = [Measure::Int8, Measure::Fill].into_iter().filter_map(of).collect();
    names.join(" ")
}

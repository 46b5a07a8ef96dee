//! `tilth providers`: who is registered, with what, how much of it is in use, and what audits and replicas have found.

pub mod audits;

use std::{collections::BTreeMap, process::ExitCode};

use alloy::primitives::Address;
use serde_json::{Value, json};
use tilth_client::replicas::Record;
use tilth_contracts::{Audits, Provider, Registry};
use tilth_protocol::{
    Amount,
    challenge::class::{self, Measure},
};

use self::audits::Found;
use crate::{
    Ended,
    args::{self, Common},
    place::Place,
    print_json,
    table::{Align, Table},
};

pub async fn providers(common: Common, args: args::Providers) -> Ended {
    let place = Place::open(&common)?;
    if let Some(which) = &args.provider {
        return audits::show(&common, &place, which).await;
    }
    let registry = place.network.contracts.registry;
    let read = place.link.read(registry, Registry::providerCountCall {}).await;
    let count = read.map_err(|error| error.problem())?;
    let mut rows = Vec::new();
    for number in 1..=count {
        let call = Registry::providerByNumberCall { number };
        let provider = place.link.read(registry, call).await.map_err(|error| error.problem())?;
        rows.push(provider);
    }
    let found = audits::found(&place).await?;
    let mut rates = Vec::new();
    for provider in &rows {
        let call = Audits::rateOfCall { provider: provider.number };
        let rate = place.link.read(place.network.contracts.audits, call).await;
        rates.push(rate.map_err(|error| error.problem())?.saturating_to::<u64>());
    }
    let mated = audits::mated(&place).await?;
    let seen = Seen { rows, rates, found, mated, names: place.keys.list()? };
    if common.json {
        print_json(&seen.json())?;
    } else {
        print!("{}", seen.table().render());
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is to be shown of all providers.
struct Seen {
    rows: Vec<Provider>,
    /// How often each is audited, billionths.
    rates: Vec<u64>,
    found: BTreeMap<u32, Found>,
    /// What its replicas have come to.
    mated: BTreeMap<u32, Record>,
    names: Vec<(String, Address)>,
}

impl Seen {
    fn name(&self, address: Address) -> String {
        let found = self.names.iter().find(|(_, known)| *known == address);
        found.map_or_else(String::new, |(name, _)| name.clone())
    }

    fn each(&self) -> impl Iterator<Item = (&Provider, u64, Found)> {
        let found = |number: u32| self.found.get(&number).copied().unwrap_or_default();
        self.rows.iter().zip(&self.rates).map(move |(row, rate)| (row, *rate, found(row.number)))
    }

    fn mated(&self, number: u32) -> Record {
        self.mated.get(&number).copied().unwrap_or_default()
    }

    fn json(&self) -> Vec<Value> {
        self.each()
            .map(|(provider, rate, found)| {
                let Record { matched, unequal, late, silent, wrong } = self.mated(provider.number);
                json!({
                    "number": provider.number,
                    "owner": provider.owner,
                    "name": self.name(provider.owner),
                    "node": provider.node,
                    "slots": provider.slots,
                    "held": provider.held,
                    "paused": provider.paused,
                    "stake": Amount(provider.stake),
                    "exposure": Amount(provider.exposure),
                    "unbonding": Amount(provider.unbonding),
                    "classes": class::names_of(provider.attributes.classBits),
                    "vram-mib": provider.attributes.vramMib,
                    "audit-rate-billionths": rate,
                    "record": Amount(found.record),
                    "audits": {
                        "upheld": found.upheld,
                        "overturned": found.overturned,
                        "undecided": found.undecided,
                    },
                    "replicas": {
                        "matched": matched,
                        "unequal": unequal,
                        "late": late,
                        "silent": silent,
                        "wrong": wrong,
                    },
                    "slashed": Amount(found.slashed),
                })
            })
            .collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("#", Align::Right),
            ("name", Align::Left),
            ("owner", Align::Left),
            ("slots", Align::Right),
            ("held", Align::Right),
            ("stake", Align::Right),
            ("exposure", Align::Right),
            ("upheld", Align::Right),
            ("overturned", Align::Right),
            ("replicas", Align::Left),
            ("slashed", Align::Right),
            ("audited", Align::Right),
            ("strongest", Align::Left),
            ("", Align::Left),
        ]);
        for (provider, rate, found) in self.each() {
            table.row([
                provider.number.to_string(),
                self.name(provider.owner),
                provider.owner.to_string(),
                provider.slots.to_string(),
                provider.held.to_string(),
                format!("{:.4}", Amount(provider.stake)),
                format!("{:.4}", Amount(provider.exposure)),
                found.upheld.to_string(),
                found.overturned.to_string(),
                replicas(self.mated(provider.number)),
                format!("{:.4}", Amount(found.slashed)),
                percent(rate),
                strongest(provider.attributes.classBits),
                if provider.paused { "paused".to_owned() } else { String::new() },
            ]);
        }
        table
    }
}

/// What came of a provider's replicas, as far as anything did.
fn replicas(record: Record) -> String {
    let Record { matched, unequal, late, silent, wrong } = record;
    let counts = [
        (matched, "matched"),
        (unequal, "unequal"),
        (late, "late"),
        (silent, "silent"),
        (wrong, "wrong"),
    ];
    let said = counts.iter().filter(|(count, _)| *count > 0);
    said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

/// Billionths as percent, with one digit.
fn percent(billionths: u64) -> String {
    let tenths = billionths / 1_000_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The strongest class of each kind, for a table.
fn strongest(class_bits: u64) -> String {
    let of = |measure| class::strongest(measure, class_bits).map(|class| class.name);
    let names: Vec<_> = [Measure::Int8, Measure::Fill].into_iter().filter_map(of).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_replicas_only_what_happened_is_said() {
        assert_eq!(replicas(Record::default()), "");
        let record = Record { matched: 12, silent: 1, wrong: 2, ..Record::default() };
        assert_eq!(replicas(record), "12 matched, 1 silent, 2 wrong");
    }
}

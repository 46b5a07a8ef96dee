//! `tilth providers`: who is registered, with what, how much of it is in use, and what audits and replicas have found.

mod audits;
mod cuts;

use std::{collections::BTreeMap, process::ExitCode};

use alloy::primitives::Address;
use serde_json::{Value, json};
use tilth_client::replicas::Record;
use tilth_contracts::{Provider, Registry};
use tilth_protocol::{
    Amount,
    challenge::class::{self, Measure},
};

use self::audits::{Found, Standing};
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
    let mut standings = Vec::new();
    for provider in &rows {
        standings.push(audits::standing(&place, provider.number).await?);
    }
    let mated = audits::mated(&place).await?;
    let seen = Seen { rows, standings, found, mated, names: place.keys.list()? };
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
    /// How each stands with the auditors, in the same order.
    standings: Vec<Standing>,
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

    fn each(&self) -> impl Iterator<Item = (&Provider, Standing, Found)> {
        let found = |number: u32| self.found.get(&number).copied().unwrap_or_default();
        let all = self.rows.iter().zip(&self.standings);
        all.map(move |(row, standing)| (row, *standing, found(row.number)))
    }

    fn mated(&self, number: u32) -> Record {
        self.mated.get(&number).copied().unwrap_or_default()
    }

    fn json(&self) -> Vec<Value> {
        self.each()
            .map(|(provider, standing, found)| {
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
                    "audit-rate-billionths": standing.rate,
                    "record": Amount(standing.record),
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
            ("record", Align::Right),
            ("audited", Align::Right),
            ("strongest", Align::Left),
            ("", Align::Left),
        ]);
        for (provider, standing, found) in self.each() {
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
                format!("{:.4}", Amount(standing.record)),
                percent(standing.rate),
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
    use alloy::primitives::{FixedBytes, aliases::U40};
    use tilth_contracts::Attributes;
    use tilth_protocol::amount::GRAIN;

    use super::*;

    fn provider(number: u32) -> Provider {
        Provider {
            number,
            owner: Address::repeat_byte(u8::try_from(number).unwrap()),
            node: Address::ZERO,
            slots: 2,
            held: 0,
            paused: false,
            stake: 40 * GRAIN,
            exposure: 0,
            unbonding: 0,
            unbondingReadyAt: U40::ZERO,
            attributes: Attributes {
                classBits: 0,
                memoryMib: 0,
                vramMib: 0,
                region: FixedBytes::ZERO,
            },
            endpointId: FixedBytes::ZERO,
        }
    }

    #[test]
    fn what_was_found_of_a_provider_stands_in_its_row() {
        let fair = Standing { rate: 55_000_000, record: 7 * GRAIN / 2 };
        // Its record ended without an event that says so.
        let punished = Standing { rate: 1_000_000_000, record: 0 };
        let slashed = Found { upheld: 3, overturned: 1, undecided: 0, slashed: 10 * GRAIN };
        let seen = Seen {
            rows: vec![provider(1), provider(2), provider(3)],
            standings: vec![fair, punished, Standing::default()],
            found: [(1, Found { upheld: 4, ..Found::default() }), (2, slashed)].into(),
            mated: BTreeMap::new(),
            names: vec![("garage".to_owned(), Address::repeat_byte(2))],
        };
        let all = seen.json();
        let told = |key: &str| all.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
        assert_eq!(told("record"), ["3500000000000000000", "0", "0"]);
        assert_eq!(told("slashed"), ["0", "10000000000000000000", "0"]);
        assert_eq!(told("audit-rate-billionths"), [55_000_000, 1_000_000_000, 0]);
        assert_eq!(told("name"), ["", "garage", ""]);
        assert_eq!(all[1]["audits"], json!({ "upheld": 3, "overturned": 1, "undecided": 0 }));

        let shown = seen.table().render();
        let lines: Vec<_> = shown.lines().collect();
        let [_, first, second, _] = &lines[..] else { panic!("{shown}") };
        let has = |line: &str, words: &[&str]| {
            let cells: Vec<_> = line.split("  ").map(str::trim).collect();
            words.iter().all(|word| cells.contains(word))
        };
        assert!(has(first, &["4", "0", "3.5", "5.5 %"]), "{shown}");
        assert!(has(second, &["garage", "3", "1", "10", "0", "100.0 %"]), "{shown}");
    }

    #[test]
    fn of_replicas_only_what_happened_is_said() {
        assert_eq!(replicas(Record::default()), "");
        let record = Record { matched: 12, silent: 1, wrong: 2, ..Record::default() };
        assert_eq!(replicas(record), "12 matched, 1 silent, 2 wrong");
    }
}

//! Gas of a range's life and per task, from forge's committed snapshot.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::Report;
use crate::{artifacts, run};

/// Gas per item of a contract with one transaction and record per work item (Prime Intellect's layout,
/// re-created and measured: 139,880).
const PER_ITEM_PEER: f64 = 139_880.0;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let dir = run::root().join("contracts");
    let _outputs = artifacts::outputs(&dir)?;
    artifacts::tests(&dir, &["--match-path", "test/Gas*"])?;
    for (name, value) in &recorded()? {
        let gas = *value as f64;
        match name.as_str() {
            "range life" => report.at_most("gas of a range's whole life", gas, 180_000.0, "gas"),
            "task of 1,000,000" => {
                report.at_most("gas per task, 1,000,000 tasks, 100 providers", gas, 200.0, "gas");
                report.line(
                    "the same beside a per-item layout",
                    format!("{value} gas"),
                    format!("{PER_ITEM_PEER:.0} gas"),
                    format!("1/{:.0}", PER_ITEM_PEER / gas),
                );
            }
            other => report.line(other, format!("{value} gas"), String::new(), String::new()),
        }
    }
    Ok(())
}

/// What forge has written down below `contracts/snapshots`: gas by name.
pub fn recorded() -> anyhow::Result<BTreeMap<String, u64>> {
    let snapshots = run::root().join("contracts/snapshots");
    let mut gas = BTreeMap::new();
    for entry in std::fs::read_dir(&snapshots).context("contracts/snapshots is missing")? {
        let text = std::fs::read_to_string(entry?.path())?;
        let entries: BTreeMap<String, String> = serde_json::from_str(&text)?;
        for (name, value) in entries {
            let value = value.parse().with_context(|| format!("{name}: {value}"))?;
            gas.insert(name, value);
        }
    }
    Ok(gas)
}

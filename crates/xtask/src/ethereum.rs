//! `cargo xtask ethereum-tests DIR`: Ethereum's public tests, from a checkout of
//! github.com/ethereum/tests with its LegacyTests submodule.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use crate::run::{root, run_in, step};

/// Names the checkout for the tests.
const CHECKOUT: &str = "TILTH_ETHEREUM_TESTS";

/// A folder of the collection and one of its submodule, to see that both are there.
const FOLDERS: [&str; 2] = ["GeneralStateTests", "LegacyTests/Cancun/GeneralStateTests"];

pub fn run_public(checkout: &Path) -> anyhow::Result<()> {
    let checkout = fs::canonicalize(checkout)
        .with_context(|| format!("there is no folder {}", checkout.display()))?;
    for folder in FOLDERS {
        ensure!(
            checkout.join(folder).is_dir(),
            "{} has no {folder}: clone github.com/ethereum/tests with --recurse-submodules",
            checkout.display()
        );
    }
    step("Ethereum's public tests");
    let args = [
        "nextest",
        "run",
        "--release",
        "-p",
        "tilth-chain",
        "--test",
        "ethereum",
        "--run-ignored",
        "all",
        "--success-output",
        "final",
    ];
    let checkout = checkout.to_str().context("the folder's name is not UTF-8")?;
    run_in(&root(), "cargo", &args, &[(CHECKOUT, checkout)])
}

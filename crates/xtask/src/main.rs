//! The project's machinery. `cargo xtask test` sets up this machine and runs every test; `.ci/run`
//! calls the same command.

mod arm;
mod artifacts;
mod bench;
mod ethereum;
mod faults;
mod gpu;
mod guests;
mod models;
mod reference;
mod run;
mod setup;
mod test;
mod tidy;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Set-up, tests, checks and benches of tilth.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need: system packages, npm packages, cargo-nextest.
    Setup,
    /// Set up, check style and structure, and run every test of contracts and crates.
    Test {
        /// Only the Rust tests, without set-up and checks.
        #[arg(long)]
        rust_only: bool,
        /// Passed on to nextest, for example a filter.
        #[arg(last = true)]
        nextest: Vec<String>,
    },
    /// Check the structure: arrows between crates, file sizes, names, manifests.
    Tidy,
    /// Build the contracts and write their artifacts.
    Artifacts {
        /// Compare with the committed artifacts instead of writing them.
        #[arg(long)]
        check: bool,
    },
    /// Check the contracts: artifacts, style, tests.
    Contracts,
    /// Build the guest programs to WebAssembly.
    Guests {
        /// Compare with the committed programs instead of writing them.
        #[arg(long)]
        check: bool,
    },
    /// Run the tests of GPU programs on this machine's best device and measure the path tracer on it.
    Gpu,
    /// Run the tests of the kernels for 64-bit ARM, under an emulator that is installed if it is missing.
    Arm,
    /// Write the reference pages that the program prints about itself.
    Reference {
        /// Compare with the committed pages instead of writing them.
        #[arg(long)]
        check: bool,
    },
    /// Run Ethereum's public tests from a checkout of github.com/ethereum/tests with its submodule.
    EthereumTests {
        /// The checkout.
        checkout: PathBuf,
    },
    /// Run rounds of faults on farms of real processes; each is decided by its seed.
    Faults {
        /// The seeds: A..B, or one.
        #[arg(long, default_value = "0..20")]
        seeds: String,
        /// Show every event when it happens.
        #[arg(long)]
        show: bool,
        /// Leave out what needs root: links, and disks that are full.
        #[arg(long)]
        as_user: bool,
    },
    /// Fetch the published models that tests and the bench `infer` need; `test` does so, too.
    Models,
    /// Measure, beside the peers where there are any, and print ratios.
    Bench {
        /// Which benches; all if none is named.
        names: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    let here = std::env::current_dir()?;
    std::env::set_current_dir(run::root())?;
    match Args::parse().task {
        Task::Setup => setup::all(),
        Task::Test { rust_only, nextest } => test::run_tests(rust_only, &nextest),
        Task::Tidy => tidy::run(),
        Task::Artifacts { check } => artifacts::run(check),
        Task::Contracts => test::contracts(),
        Task::Guests { check } => guests::run(check),
        Task::Gpu => gpu::run_device(),
        Task::Arm => arm::run_kernels(),
        Task::Reference { check } => reference::run_reference(check),
        Task::EthereumTests { checkout } => ethereum::run_public(&here.join(checkout)),
        Task::Faults { seeds, show, as_user } => faults::run_faults(&seeds, show, as_user),
        Task::Models => models::run_models(),
        Task::Bench { names } => bench::run_benches(&names),
    }
}

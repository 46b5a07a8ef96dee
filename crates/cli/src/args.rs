//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy::primitives::B256;
use clap::{Args, Parser, Subcommand, builder::RangedI64ValueParser};
use tilth_client::network::MAX_CONFIRMATIONS;
use tilth_protocol::Amount;

mod examples;
mod inference;
mod jobs;
mod owner;

pub use inference::{Chat, Gateway, GatewayCommand, GatewayOptions, KeyCommand, OnSale, Settle};
pub use jobs::{Job, Quote, Results, Run, Serving, Template, Try};
pub use owner::{
    Auditor, AuditorCommand, AuditorOptions, By, Earnings, Install, Provider, ProviderCommand,
    ProviderOptions, Relay, RelayCommand, RelayOptions,
};

/// An open farm of GPUs: rent out machines, run checked work on them, pay by verified unit.
#[derive(Debug, Parser)]
#[command(name = "tilth", version, max_term_width = 100, after_help = examples::TILTH)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Folder of the network: its chain, accounts, providers and jobs; `.tilth` in the home folder if absent.
    #[arg(long, global = true, env = "TILTH_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print JSON instead of tables and progress.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log to standard error, for example `info` or `warn,tilth_provider=debug`; if absent errors, and
    /// warnings of what runs on.
    #[arg(long, global = true, env = "TILTH_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Common {
    /// The network's folder: `--dir`, or `.tilth` in the home folder.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(Self::usual_dir)
    }

    /// The folder that is used if none is named.
    pub fn usual_dir() -> PathBuf {
        std::env::home_dir().unwrap_or_else(|| PathBuf::from(".")).join(".tilth")
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a network in a temporary folder, render a real scene on it, show who earned what.
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Start (or continue) a whole network on this machine: chain, contracts, providers.
    #[command(after_help = examples::UP)]
    Up(Up),
    /// Submit a job, follow it, fetch and check its results.
    #[command(after_help = examples::RUN)]
    Run(Run),
    /// Say what a job is likely to cost and when it is likely to end, from work settled lately.
    #[command(after_help = examples::QUOTE)]
    Quote(Quote),
    /// Run a job on this machine alone, without network and sandbox, and say what its tasks cost.
    #[command(after_help = examples::TRY)]
    Try(Try),
    /// Jobs: list, show, fetch results, top up, cancel.
    #[command(subcommand)]
    #[command(after_help = examples::JOB)]
    Job(Job),
    /// The providers of the network, their stakes, and what audits have found.
    #[command(after_help = examples::PROVIDERS)]
    Providers(Providers),
    /// Compute again what others have computed, a job's ranges or a language model's answer, and compare.
    #[command(after_help = examples::VERIFY)]
    Verify(Verify),
    /// Accounts: create, list, show, send, deposit, withdraw.
    #[command(subcommand)]
    #[command(after_help = examples::ACCOUNT)]
    Account(Account),
    /// Run a provider: work on this machine for the network that the folder's network.json names; or see to one.
    #[command(after_help = examples::PROVIDER)]
    Provider(Box<Provider>),
    /// Run an auditor: re-execute samples of others' work and be paid for it; or see to one's stake as an auditor.
    #[command(after_help = examples::AUDITOR)]
    Auditor(Box<Auditor>),
    /// Run a relay, at which machines behind routers meet.
    #[command(after_help = examples::RELAY)]
    Relay(Box<Relay>),
    /// Run an OpenAI-compatible gateway to the language models that providers sell, or see to it.
    #[command(after_help = examples::GATEWAY)]
    Gateway(Gateway),
    /// Talk with a language model that a provider sells.
    #[command(after_help = examples::CHAT)]
    Chat(Chat),
    /// Run a chain of one's own with JSON-RPC for wallets and tools, or work on its files.
    #[command(after_help = examples::NODE)]
    Node(Node),
    /// Language models on this machine: import, list, show, remove.
    #[command(subcommand)]
    #[command(after_help = examples::MODEL)]
    Model(Model),
    /// Say what this machine can offer as a provider, and how well it can be protected from what it runs.
    #[command(after_help = examples::DOCTOR)]
    Doctor(Doctor),
    /// Measure this machine: what it would announce, and how fast its parts are.
    #[command(after_help = examples::BENCH)]
    Bench(Bench),
    /// Have a provider prove its strength, or check what one has proved.
    #[command(after_help = examples::CHALLENGE)]
    Challenge(Challenge),
    /// Entered by agents inside the sandbox.
    #[command(hide = true)]
    Worker {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Entered by agents to build the sandbox.
    #[command(hide = true)]
    SandboxInit {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
}

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Import a .gguf file, a folder with model.safetensors, config.json and tokenizer.json, or a blob.
    Import {
        /// The file or folder.
        from: PathBuf,
    },
    /// List the models of the folder.
    Ls,
    /// Show one model.
    Show {
        /// Its name, or the beginning of its id.
        model: String,
    },
    /// Remove one model.
    Rm {
        /// Its name, or the beginning of its id.
        model: String,
    },
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Also make some ninety attempts to escape from the sandbox, for real, and say how each was stopped.
    #[arg(long)]
    pub escape: bool,
    /// With --escape: make this attempt only; may be given several times.
    #[arg(long, value_name = "NAME", requires = "escape")]
    pub only: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// Only one challenge of products of matrices of this order, a power of two.
    #[arg(long, value_name = "N", requires = "rounds", conflicts_with = "memory")]
    pub order: Option<u32>,
    /// With --order: number of products, one after the other.
    #[arg(long, value_name = "N", requires = "order")]
    pub rounds: Option<u32>,
    /// Only one challenge that fills so many MiB of memory.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Challenge this GPU instead of the processor.
    #[arg(long, value_enum, default_value_t = Gpu::Off)]
    pub gpu: Gpu,
}

#[derive(Debug, Args)]
pub struct Challenge {
    /// The provider's owner: a name of this folder or a 0x address.
    #[arg(required_unless_present = "verify")]
    pub provider: Option<String>,
    /// Which of its devices; the strongest if absent.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Have it fill so many MiB and walk through them, instead of multiplying matrices.
    #[arg(long, value_name = "MIB", conflicts_with_all = ["order", "rounds"])]
    pub memory: Option<u32>,
    /// Have its GPU fill all of the graphics memory that it announces, and walk through it.
    #[arg(long, conflicts_with_all = ["device", "memory", "order", "rounds", "verify"])]
    pub vram: bool,
    /// Order of the matrices, a power of two, instead of what its class asks for.
    #[arg(long, value_name = "N", requires = "rounds")]
    pub order: Option<u32>,
    /// With --order: number of products, one after the other.
    #[arg(long, value_name = "N", requires = "order")]
    pub rounds: Option<u32>,
    /// Where the transcript goes; inside the network's folder if absent.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Check the transcript in a file; needs no network.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["provider", "device", "memory", "order", "out"])]
    pub verify: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the network up afterwards, until Ctrl-C.
    #[arg(long)]
    pub stay: bool,
    /// Where the network and the picture go; a fresh temporary folder if absent.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Number of providers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub providers: u16,
}

/// Which GPU workers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Gpu {
    /// None.
    Off,
    /// The machine's own, through its Vulkan driver.
    Hardware,
    /// A Vulkan driver that computes on the CPU; for tests.
    Software,
}

impl Gpu {
    /// As it is written on the command line and in configuration files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hardware => "hardware",
            Self::Software => "software",
        }
    }
}

impl From<Gpu> for tilth_sandbox::GpuUse {
    fn from(gpu: Gpu) -> Self {
        match gpu {
            Gpu::Off => Self::Off,
            Gpu::Hardware => Self::Hardware,
            Gpu::Software => Self::Software,
        }
    }
}

#[derive(Debug, Args)]
pub struct Up {
    /// Number of providers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=64))]
    pub providers: u16,
    /// Number of auditors, for audited jobs; with fewer than seven nobody works on those.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=64))]
    pub auditors: u16,
    /// Ranges each provider works on at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub slots: u16,
    /// Delete what is in the folder and start anew.
    #[arg(long)]
    pub fresh: bool,
    /// Which GPU providers offer.
    #[arg(long, value_enum, default_value_t = Gpu::Off)]
    pub gpu: Gpu,
    /// Have providers measure this machine at their start and announce its classes.
    #[arg(long)]
    pub measure: bool,
    /// Use an existing chain instead of starting one; the contracts are deployed there first.
    #[arg(long, value_name = "URL")]
    pub rpc: Option<String>,
    /// File with the private key of an account that pays for deployment and set-up on --rpc.
    #[arg(long, value_name = "FILE", requires = "rpc")]
    pub key: Option<PathBuf>,
    /// Blocks that something must have on top on --rpc before it is believed: as many as that chain may take back. Left
    /// out: as before in this folder, or 0.
    #[arg(long, value_name = "BLOCKS", requires = "rpc", value_parser = confirmations())]
    pub confirmations: Option<u32>,
    /// Address and port where the chain listens (JSON-RPC).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8545", conflicts_with = "rpc")]
    pub listen: SocketAddr,
    /// Make a block at this interval instead of whenever there is a transaction, for example 1s.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "rpc")]
    pub block_time: Option<Duration>,
    #[command(flatten)]
    pub on_sale: OnSale,
}

#[derive(Debug, Args)]
pub struct Providers {
    /// Show the audits and punishments of this provider (its number, a name of this folder or a 0x address), with the
    /// transactions that prove them.
    pub provider: Option<String>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The job, or one range of it as JOB:RANGE, for example 7:2; without a range all that have results.
    #[arg(required_unless_present = "receipt", value_name = "JOB[:RANGE]")]
    pub what: Option<String>,
    /// Of a job with a GPU program: the GPU on which it is executed again.
    #[arg(long, value_enum, default_value_t = Gpu::Off, conflicts_with = "receipt")]
    pub gpu: Gpu,
    /// A receipt of `tilth chat --receipts`, or an answer of a gateway (JSON), instead of a job; needs no network.
    #[arg(long, value_name = "FILE", conflicts_with = "what", requires = "model")]
    pub receipt: Option<PathBuf>,
    /// With --receipt: the model blob.
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub model: Option<PathBuf>,
    /// With --receipt: the question that was sent to a gateway (JSON), unless the receipt's file has it.
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub question: Option<PathBuf>,
    /// With --receipt: which of the answers in the file.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "receipt")]
    pub choice: usize,
}

#[derive(Debug, Subcommand)]
pub enum Account {
    /// Create an account: a key in the folder.
    New {
        /// What it is called in this folder.
        name: String,
    },
    /// All accounts of the folder.
    Ls,
    /// An account's address and balances.
    Show {
        /// Its name, or a 0x address.
        name: String,
    },
    /// Send coins from an account's wallet.
    Send {
        /// Account that pays.
        from: String,
        /// Account name or 0x address.
        to: String,
        /// How much.
        #[arg(value_name = "GRAIN")]
        amount: Amount,
    },
    /// Move coins from an account's wallet into the Ledger, where they can pay for jobs and stakes.
    Deposit {
        /// The account.
        name: String,
        /// How much.
        #[arg(value_name = "GRAIN")]
        amount: Amount,
    },
    /// Move free coins from the Ledger back to the account's wallet.
    Withdraw {
        /// The account.
        name: String,
        /// How much.
        #[arg(value_name = "GRAIN")]
        amount: Amount,
    },
}

/// The variable that names the configuration file.
pub const NODE_CONFIG_VARIABLE: &str = "TILTH_NODE_CONFIG";

#[derive(Debug, Args)]
pub struct Node {
    #[command(flatten)]
    pub options: NodeOptions,
    #[command(subcommand)]
    pub command: Option<NodeCommand>,
}

/// Where a node's configuration comes from.
#[derive(Clone, Debug, Args)]
pub struct NodeOptions {
    /// Configuration file (TOML); `tilth node config` prints one.
    #[arg(long, value_name = "FILE", global = true, env = NODE_CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Set one option, for example rpc.listen=0.0.0.0:8545; may be given again.
    #[arg(long, value_name = "NAME=VALUE", global = true)]
    pub set: Vec<String>,
}

/// What can be done with a node besides running it. The node must not run meanwhile.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Print a configuration file with every option, its default and its meaning.
    Config {
        /// Print the reference page (Markdown) instead.
        #[arg(long)]
        reference: bool,
    },
    /// Make the chain's folder with its first block, or say what is in it.
    Init,
    /// Take blocks from a file as `geth export` writes it; every block is executed and verified.
    Import {
        /// The file; - is standard input.
        file: PathBuf,
    },
    /// Write blocks to a file as `geth import` reads it.
    Export {
        /// The file; - is standard output.
        file: PathBuf,
        /// First block.
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        first: u64,
        /// Last block; the chain's last one if absent.
        #[arg(long, value_name = "NUMBER")]
        last: Option<u64>,
    },
    /// Execute the whole chain again from its genesis and compare every root.
    Replay,
    /// Check the chain's database: blocks, indices, state, tries, values kept for earlier states.
    Fsck {
        /// Look only at the last 128 blocks and at the way to the last state's root.
        #[arg(long)]
        quick: bool,
        /// Make anew what is wrong and follows from the rest: indices and trie nodes.
        #[arg(long)]
        repair: bool,
    },
    /// Drop what is kept longer than the configuration says, and give the space back.
    Prune,
    /// Write the last state to a file, or start a chain from such a file.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

/// States as files.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Write the state after the last block, and the last blocks, to a file.
    Export {
        /// The file; it appears when it is complete.
        file: PathBuf,
        /// How many of the last blocks go with it, or `all`.
        #[arg(long, default_value = "257", value_name = "COUNT", value_parser = block_count)]
        blocks: u64,
    },
    /// Make the chain's folder from a file; nothing in it is executed, everything is checked.
    Import {
        /// The file.
        file: PathBuf,
        /// Hash of the last block, from a source you trust; another one is refused.
        #[arg(long, value_name = "HASH")]
        head: Option<B256>,
    },
}

/// Reads a number of blocks, at least one, or `all`.
fn block_count(text: &str) -> Result<u64, String> {
    match text {
        "all" => Ok(u64::MAX),
        number => match number.parse() {
            Ok(0) | Err(_) => Err("it is a number from 1 on, or all".to_owned()),
            Ok(number) => Ok(number),
        },
    }
}

/// Reads `250ms`, `2s`, `1m`.
fn time(text: &str) -> Result<Duration, String> {
    let time: tilth_service::TimeSpan = text.parse().map_err(|error| format!("{error}"))?;
    Ok(time.into())
}

/// Reads how many confirmations a foreign chain needs.
fn confirmations() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=i64::from(MAX_CONFIRMATIONS))
}

#[cfg(test)]
#[path = "args/help_tests.rs"]
mod tests;

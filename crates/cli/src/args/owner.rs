//! The command line of those who rent out machines, and of those who run relays.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tilth_protocol::Amount;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Provider {
    /// Name of the provider: its accounts are NAME (owner) and NAME-node (hot key).
    #[arg(required = true)]
    pub name: Option<String>,
    #[command(flatten)]
    pub options: ProviderOptions,
    #[command(subcommand)]
    pub command: Option<ProviderCommand>,
}

/// Where a provider's configuration comes from: the file, then these.
#[derive(Clone, Debug, Args)]
pub struct ProviderOptions {
    /// Configuration file (TOML); provider.toml in the provider's folder if it is there.
    /// `tilth provider config` prints one.
    #[arg(long, value_name = "FILE", env = "TILTH_PROVIDER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one option, for example idle.only-when-idle=true; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Ranges worked on at the same time, 1 to 256.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub slots: Option<u16>,
    /// Stake to have at least: what is missing is deposited and locked at the start. It bounds the value of the work
    /// that is not paid yet.
    #[arg(long, value_name = "GRAIN")]
    pub stake: Option<Amount>,
    /// Which GPU to offer; `tilth doctor` says what there is.
    #[arg(long, value_enum)]
    pub gpu: Option<super::Gpu>,
    /// Least price of a Gfuel, for example 0.0005; jobs that pay less are left alone.
    #[arg(long, value_name = "GRAIN")]
    pub price_floor: Option<String>,
    /// Address and port of the data endpoint (UDP), for example 0.0.0.0:4433; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<SocketAddr>,
    /// Address and port to publish instead of the bound ones, for a port forwarded by a router; may be given again.
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Vec<SocketAddr>,
    /// How long results are served after they were paid, for example 1h.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    pub retention: Option<Duration>,
    /// Move all that the owner has free in the Ledger to its wallet whenever it is so much; deposits, too.
    #[arg(long, value_name = "GRAIN")]
    pub withdraw_above: Option<Amount>,
    /// Relay to be met at from behind a router, for example https://relay.example.org; may be given again.
    #[arg(long, value_name = "URL")]
    pub relay: Vec<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Auditor {
    /// Name of the auditor: its accounts are NAME (owner) and NAME-node (hot key).
    #[arg(required = true)]
    pub name: Option<String>,
    #[command(flatten)]
    pub options: AuditorOptions,
    #[command(subcommand)]
    pub command: Option<AuditorCommand>,
}

/// Where an auditor's configuration comes from: the file, then these.
#[derive(Clone, Debug, Args)]
pub struct AuditorOptions {
    /// Configuration file (TOML); auditor.toml in the auditor's folder if it is there.
    /// `tilth auditor config` prints one.
    #[arg(long, value_name = "FILE", env = "TILTH_AUDITOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one option, for example memory-bytes=4GiB; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Stake to lock when it joins; the chance of being drawn is its part of all auditors' stakes.
    #[arg(long, value_name = "GRAIN")]
    pub stake: Option<Amount>,
}

/// What an owner can do with an auditor besides running it.
#[derive(Debug, Subcommand)]
pub enum AuditorCommand {
    /// Stake, fees and open seats, from the chain.
    Status {
        /// Its name.
        name: String,
    },
    /// Start taking stake out: all of it, or so much. It is within reach of punishment for seven more days.
    Leave {
        /// Its name.
        name: String,
        /// How much; all of it if absent.
        #[arg(value_name = "GRAIN")]
        amount: Option<Amount>,
    },
    /// Make stake that has left free balance again.
    Withdraw {
        /// Its name.
        name: String,
    },
    /// Have earned fees paid; a running auditor does so by itself.
    Collect {
        /// Its name.
        name: String,
    },
    /// Print a configuration file with every option, its default and its meaning.
    Config {
        /// Print the reference page (Markdown) instead.
        #[arg(long)]
        reference: bool,
    },
}

/// What an owner can do with a provider besides running it.
#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Work for nobody until `resume`; what runs stands still (or as the configuration says).
    Pause {
        /// Its name.
        name: String,
        /// Only for so long, for example 2h; then it works again by itself.
        #[arg(long = "for", value_name = "TIME", value_parser = some_time)]
        time: Option<Duration>,
    },
    /// Work again.
    Resume {
        /// Its name.
        name: String,
    },
    /// What a running provider does, and why it does not work if it does not.
    Status {
        /// Its name.
        name: String,
    },
    /// What a provider has earned, from the chain, in GRAIN.
    Earnings(Earnings),
    /// Start taking stake out: all that is not bound to unsettled work, or so much. It is within reach of punishment
    /// for seven more days.
    Leave {
        /// Its name.
        name: String,
        /// How much; all that is free if absent.
        #[arg(value_name = "GRAIN")]
        amount: Option<Amount>,
    },
    /// Make stake that has left free balance again.
    Withdraw {
        /// Its name.
        name: String,
    },
    /// Have the provider started with the system, as a service of this user (systemd).
    Install(Install),
    /// Undo `install`. Folder, keys and stake stay.
    Uninstall {
        /// Its name.
        name: String,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print a configuration file with every option, its default and its meaning.
    Config {
        /// Print the reference page (Markdown) instead.
        #[arg(long)]
        reference: bool,
    },
}

#[derive(Debug, Args)]
pub struct Earnings {
    /// Name of the provider's owner account, or its address. That of an auditor shows what it has got for holding results
    /// of kept jobs.
    pub name: String,
    /// Only what came in from this day on (UTC), for example 2026-11-01.
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// How to sum up.
    #[arg(long, value_enum, default_value_t = By::Day)]
    pub by: By,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// How earnings are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By day, UTC.
    Day,
    /// By job.
    Job,
    /// By workload and program, as far as the chain tells: by the program's hash.
    Workload,
    /// Every range by itself.
    Range,
}

#[derive(Debug, Args)]
pub struct Install {
    /// Name of the provider.
    pub name: String,
    /// Say what would be done, print the unit file, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Write the unit file and do not start the service.
    #[arg(long)]
    pub no_start: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Relay {
    #[command(flatten)]
    pub options: RelayOptions,
    #[command(subcommand)]
    pub command: Option<RelayCommand>,
}

/// Where a relay's configuration comes from: the file, then these.
#[derive(Clone, Debug, Args)]
pub struct RelayOptions {
    /// Configuration file (TOML); `tilth relay config` prints one.
    #[arg(long, value_name = "FILE", env = "TILTH_RELAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one option, for example access.who=network; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Address and port where it listens, TCP (HTTPS) and UDP (QUIC).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Host name or address under which others reach it, for the certificate it makes and the address it
    /// shows; may be given again.
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Certificate chain (PEM) of an authority, instead of one of its own.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Speak HTTP without TLS, for a proxy in front that does TLS.
    #[arg(long)]
    pub plain: bool,
}

/// What can be done with a relay besides running it.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Print a configuration file with every option, its default and its meaning.
    Config {
        /// Print the reference page instead (Markdown).
        #[arg(long)]
        reference: bool,
    },
}

/// As [`super::time`], but not none at all: a pause of no time would be told and be over at once.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = super::time(text)?;
    if time.is_zero() {
        return Err("it is no time at all; `resume` ends a pause".to_owned());
    }
    Ok(time)
}

//! The command line of clients: jobs from their files to their results.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, builder::RangedI64ValueParser};
use tilth_client::{
    holding::keep_seconds,
    job_file::{MAX_REPLICAS, Offer},
};
use tilth_protocol::{Amount, JobId, Problem};

#[derive(Debug, Args)]
pub struct Quote {
    /// The job file (TOML), of one job: one with an `[after]` is for `tilth run`.
    pub job: PathBuf,
    /// Files, folders and patterns such as 'photos/*.jpg' to work on, one task per file.
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub judged: Judged,
}

/// How results are judged, where a command line says more than the job file.
#[derive(Clone, Copy, Debug, Args)]
pub struct Judged {
    /// Have samples of what is submitted re-executed by auditors before it is paid (`audited = true` under
    /// `[verification]` says the same for good). Audits are paid out of what providers earn, 2 % of it and of a
    /// newcomer's up to half: the price includes them.
    #[arg(long)]
    pub audited: bool,
    /// Have every range done by so many providers, 1 or 2, the second one drawn when the first one has committed to its
    /// result (`replicas = 2` under `[verification]` says the same for good). Only in audited jobs; each is paid the
    /// price.
    #[arg(long, value_name = "N", value_parser = replica_counts())]
    pub replicas: Option<u8>,
    /// Have auditors hold what the client does not acknowledge, for so many days from then on (`keep = "7d"` under
    /// `[verification]` says the same for good). Only in audited jobs. They hold its inputs, too, and nobody works on it
    /// before that. A range is paid without its client only when they hold it; a deposit pays them, and what is left of it
    /// comes back.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    pub keep: Option<u16>,
}

fn replica_counts() -> RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=i64::from(MAX_REPLICAS))
}

impl Judged {
    /// Adds it to what a job file offers.
    ///
    /// # Errors
    /// Those of [`Offer::check`]: all of it together must be possible.
    pub fn add_to(self, offer: &mut Offer) -> Result<(), Problem> {
        offer.audited |= self.audited;
        offer.replicas = self.replicas.unwrap_or(offer.replicas);
        if let Some(days) = self.keep {
            let keep = Duration::from_secs(u64::from(days).saturating_mul(86_400));
            offer.keep_s = Some(keep_seconds(keep)?);
        }
        offer.check()
    }
}

#[derive(Debug, Args)]
pub struct Run {
    /// The job file (TOML); `tilth job new` writes one to begin with.
    pub job: PathBuf,
    /// Files, folders and patterns such as 'photos/*.jpg' to work on, one task per file.
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub results: Results,
    /// Submit, print the job's number and leave.
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub judged: Judged,
    /// Money to lock for the (first) job; what all tasks can cost at most if absent.
    #[arg(long, value_name = "GRAIN")]
    pub funds: Option<Amount>,
    /// Account that pays.
    #[arg(long, default_value = "client")]
    pub account: String,
    #[command(flatten)]
    pub serving: Serving,
}

/// Where a job's inputs are served from while a command follows it.
#[derive(Clone, Copy, Debug, Args)]
pub struct Serving {
    /// Address and port from which the job's inputs are served (UDP); port 0 takes the last one again.
    /// Providers on other machines need an address of this machine that they can reach. The default is what
    /// `client.toml` says, or this machine alone (127.0.0.1:0).
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub struct Try {
    /// The job file (TOML); `tilth job new` writes one to begin with.
    pub job: PathBuf,
    /// Files, folders and patterns such as 'photos/*.jpg' to work on, one task per file.
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub results: Results,
    /// Worker processes at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Only this many tasks, from the first one on.
    #[arg(long, value_name = "N")]
    pub tasks: Option<u32>,
}

/// Where results go.
#[derive(Clone, Debug, Args)]
pub struct Results {
    /// File (pictures, values) or folder (files) to write; inside the job's folder if absent.
    #[arg(long, short, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Job {
    /// Write a job file to begin with, with everything it needs.
    New {
        /// What kind of job.
        template: Template,
        /// Folder to write to; one of the template's name if absent.
        dir: Option<PathBuf>,
    },
    /// All jobs of this folder's accounts.
    Ls,
    /// One job: state, ranges, cost.
    Show {
        /// The job's number.
        job: JobId,
    },
    /// Follow a job again until it is done, fetch and check its results; with jobs that follow it, go on
    /// with all of them.
    Fetch {
        /// The job's number.
        job: JobId,
        #[command(flatten)]
        results: Results,
        #[command(flatten)]
        serving: Serving,
    },
    /// Lock more money for a job.
    TopUp {
        /// The job's number.
        job: JobId,
        /// How much more.
        #[arg(value_name = "GRAIN")]
        amount: Amount,
    },
    /// Stop handing out tasks; what is not needed comes back. Jobs that would follow are not opened.
    Cancel {
        /// The job's number.
        job: JobId,
    },
}

/// Kinds of job files to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// Tasks that differ by their number alone.
    Map,
    /// One task per combination of parameters.
    Sweep,
    /// One task per file of a folder.
    Folder,
    /// One picture, a tile per task.
    Render,
    /// Many tasks, then one that reads all their results.
    MapReduce,
}

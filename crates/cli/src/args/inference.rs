//! Arguments of the commands around language models.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use tilth_protocol::{Amount, ContentHash};

/// Language models that providers of one network sell.
#[derive(Clone, Debug, Args)]
pub struct OnSale {
    /// Model blob that every provider sells; may be given again. With any, a gateway is started, too.
    #[arg(long, value_name = "FILE")]
    pub model: Vec<PathBuf>,
    /// Price of a million tokens of prompts.
    #[arg(long, value_name = "GRAIN", default_value = "0.1", requires = "model")]
    pub input_price: Amount,
    /// Price of a million tokens of answers.
    #[arg(long, value_name = "GRAIN", default_value = "0.3", requires = "model")]
    pub output_price: Amount,
    /// Address and port where the gateway listens (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788", requires = "model")]
    pub gateway: SocketAddr,
    /// Address and port where the gateway's health and metrics are served; nowhere if absent.
    #[arg(long, value_name = "ADDRESS", requires = "model")]
    pub gateway_monitor: Option<SocketAddr>,
    /// Account from which the gateway pays providers from time to time.
    #[arg(long, value_name = "NAME", requires = "model")]
    pub gateway_payer: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Gateway {
    #[command(flatten)]
    pub options: GatewayOptions,
    #[command(subcommand)]
    pub command: Option<GatewayCommand>,
}

#[derive(Clone, Debug, Args)]
pub struct GatewayOptions {
    /// Address and port where HTTP is served.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    pub listen: SocketAddr,
    /// What a model is called here, instead of what providers call it; may be given again.
    #[arg(long, value_name = "NAME=HASH", value_parser = name)]
    pub name: Vec<(String, ContentHash)>,
    /// Address and port where health and metrics are served; nowhere if absent.
    #[arg(long, value_name = "ADDRESS")]
    pub monitor: Option<SocketAddr>,
    /// Account from which providers are paid from time to time, out of its free balance in the Ledger: what keys
    /// without an owner have spent (for good), and what its own keys have.
    #[arg(long, value_name = "NAME")]
    pub payer: Option<String>,
    /// One of the limits that `tilth gateway limits` prints; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// What can be done with a gateway besides running it.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Keys: make, list, change, remove.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Say what is owed to each provider for the answers that were charged, and is not settled.
    Owed {
        /// Also what is settled.
        #[arg(long)]
        all: bool,
    },
    /// Pay what an account owes to providers, out of its free balance in the Ledger; doing it again pays nothing again.
    Settle(Settle),
    /// List the receipts of what was charged, a thousand at a time; with --json as they were signed.
    Receipts {
        /// The number of the first one.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
    },
    /// Print all limits of a gateway with their defaults; --set and variables like TILTH_GATEWAY_QUESTIONS_MAX change them.
    Limits,
}

/// Who settles what.
#[derive(Clone, Debug, Args)]
pub struct Settle {
    /// Account that pays for its own keys.
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub account: String,
    /// File with the private key of the account that pays, instead of one of this folder.
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    pub key: Option<PathBuf>,
    /// Have it pay for keys without an owner, too, from now on and for good.
    #[arg(long)]
    pub operator: bool,
    /// Leave out providers to whom less is owed.
    #[arg(long, value_name = "GRAIN", default_value = "0")]
    pub above: Amount,
    /// Pay nothing if more than this is due in all: the gateway says how much that is.
    #[arg(long, value_name = "GRAIN")]
    pub most: Option<Amount>,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it; it is shown this once.
    Create {
        /// What it is called, for people.
        name: String,
        /// What it may spend in all.
        #[arg(long, value_name = "GRAIN")]
        budget: Amount,
        /// The account that pays in the end; without it the gateway's operator does.
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<alloy::primitives::Address>,
    },
    /// List keys with what they have spent.
    Ls,
    /// Change what a key may spend in all; 0 stops it.
    Set {
        /// Its id, as the list shows it.
        id: String,
        /// What it may spend in all from now on, what it has spent included.
        #[arg(long, value_name = "GRAIN")]
        budget: Amount,
    },
    /// Remove a key for which nothing is under way; its receipts stay.
    Rm {
        /// Its id, as the list shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Chat {
    /// What to say; without it a conversation begins.
    pub text: Vec<String>,
    /// Name or hash of the model; without it the only one on sale.
    #[arg(long)]
    pub model: Option<String>,
    /// Instructions before the conversation.
    #[arg(long)]
    pub system: Option<String>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub max_tokens: u32,
    /// From 0, which chooses the most likely words, to 2, which dares most.
    #[arg(long, default_value_t = 0.7)]
    pub temperature: f64,
    /// Seed of the draws: with the same one the answer is the same.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for receipts, one file per answer; `tilth verify --receipt` reads them.
    #[arg(long, value_name = "DIR")]
    pub receipts: Option<PathBuf>,
}

fn name(text: &str) -> Result<(String, ContentHash), String> {
    let (name, hash) = text.split_once('=').ok_or("write NAME=HASH")?;
    let hash = hash.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), hash))
}

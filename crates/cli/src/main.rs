//! The `tilth` program: one door to everything a user can do.
//!
//! Standard output carries what a command answers (tables, or one JSON value with `--json`); progress,
//! logs and errors go to standard error. Every error has three parts: what, detail, what to do.

// First, for its macros.
#[macro_use]
mod lines;

mod account;
mod args;
mod auditor;
mod availability;
mod bench;
mod challenge;
mod chat;
mod configuration;
mod data;
mod demo;
mod doctor;
mod gateway;
mod job;
mod local;
mod model;
mod monitor;
mod node;
mod open_files;
mod place;
mod progress;
mod provider;
mod providers;
mod quote;
mod referee;
mod relay;
mod run;
mod stages;
mod store;
mod table;
mod template;
mod up;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;
use tilth_protocol::Problem;

use crate::args::{Cli, Command, Common};

/// Exit code of a command that was interrupted and left its work going.
pub const DETACHED: u8 = 130;

/// How a command ended.
pub type Ended = Result<ExitCode, Problem>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        // The two hidden ones run inside the sandbox: no runtime, no logs, no threads before them.
        Command::Worker { args } => tilth_worker::main(&args),
        Command::SandboxInit { args } => tilth_sandbox::init_main(&args),
        command => outside(cli.common, command),
    }
}

fn outside(common: Common, command: Command) -> ExitCode {
    let default_log = match &command {
        Command::Up(_) => "warn,tilth=info",
        Command::Auditor(args) if args.command.is_none() => "warn,tilth=info",
        Command::Provider(args) if args.command.is_none() => "warn,tilth=info",
        Command::Relay(_) => "warn,tilth=info",
        Command::Gateway(args) if args.command.is_none() => "warn,tilth=info",
        // A command that ends early drops its endpoint, which is meant and nobody's error.
        _ => "error,iroh::socket=off",
    };
    let filter = common.log.as_deref().unwrap_or(default_log);
    // A node's configuration says how its logs look.
    let logs_later = matches!(command, Command::Node(_));
    if !logs_later
        && let Err(error) = tilth_service::logs::init(tilth_service::LogFormat::Text, filter)
    {
        return fail(&Problem::new(
            "the log filter is not valid",
            error.to_string(),
            "write it like `info` or `warn,tilth_provider=debug`",
        ));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&Problem::new(
                "the program cannot start its threads",
                error.to_string(),
                "check the limits on processes and open files of this user (ulimit -a)",
            ));
        }
    };
    let ended = runtime.block_on(dispatch(common, command));
    // Blocking work that is still going (a file being written) must not delay the end for long.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    let code = ended.unwrap_or_else(|problem| fail(&problem));
    if lines::lost() { ExitCode::FAILURE } else { code }
}

async fn dispatch(common: Common, command: Command) -> Ended {
    match command {
        Command::Demo(args) => Box::pin(demo::demo(common, args)).await,
        Command::Up(args) => Box::pin(up::up(common, args)).await,
        Command::Run(args) => Box::pin(run::run(common, args)).await,
        Command::Quote(args) => quote::quote(common, args).await,
        Command::Try(args) => local::run(&common, &args),
        Command::Job(command) => Box::pin(job::job(common, command)).await,
        Command::Providers(args) => providers::providers(common, args).await,
        Command::Verify(args) => Box::pin(verify::verify(common, args)).await,
        Command::Auditor(args) => Box::pin(auditor::auditor(common, *args)).await,
        Command::Account(command) => account::account(common, command).await,
        Command::Provider(args) => Box::pin(provider::provider(common, *args)).await,
        Command::Relay(args) => Box::pin(relay::relay(common, *args)).await,
        Command::Gateway(args) => Box::pin(gateway::gateway(common, args)).await,
        Command::Chat(args) => Box::pin(chat::chat(common, args)).await,
        Command::Node(args) => Box::pin(node::node(common, args)).await,
        Command::Model(command) => model::model(&common, &command),
        Command::Doctor(args) => doctor::doctor(common, args).await,
        Command::Bench(args) => bench::bench(common, args).await,
        Command::Challenge(args) => Box::pin(challenge::challenge(common, args)).await,
        Command::Worker { .. } | Command::SandboxInit { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn fail(problem: &Problem) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::FAILURE
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Problem> {
    let text = serde_json::to_string(value).map_err(|error| {
        Problem::new(
            "the answer cannot be shown as JSON",
            error.to_string(),
            "report this as a bug",
        )
    })?;
    println!("{text}");
    Ok(())
}

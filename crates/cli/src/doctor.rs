//! `tilth doctor`: what this machine can offer, and how well it can be protected from tenants.

use std::process::ExitCode;

use serde_json::json;
use tilth_protocol::Problem;
use tilth_sandbox::{Confinement, State};

use crate::{
    Ended,
    args::Common,
    print_json,
    table::{Align, Table},
    up::own_command,
};

pub async fn doctor(common: Common) -> Ended {
    let confinement = Confinement::probe(own_command("sandbox-init")?).await.map_err(|error| {
        Problem::new(
            "the sandbox cannot be tried out",
            error.to_string(),
            "without a sandbox this machine cannot run tenants' work; see the detail",
        )
    })?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = memory_mib();
    if common.json {
        let measures: Vec<_> = confinement
            .report()
            .iter()
            .map(|measure| {
                let (enforced, why) = match &measure.state {
                    State::Enforced => (true, None),
                    State::Missing { why } => (false, Some(why)),
                };
                json!({
                    "name": measure.name(), "enforced": enforced, "why": why,
                    "consequence": measure.consequence(), "advice": measure.advice(),
                })
            })
            .collect();
        print_json(&json!({ "cores": cores, "memory-mib": memory, "protection": measures }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("cores    {cores}\nmemory   {memory} MiB\n");
    let mut table = Table::new(&[("protection", Align::Left), ("", Align::Left)]);
    for measure in confinement.report() {
        let state = match &measure.state {
            State::Enforced => "enforced".to_owned(),
            State::Missing { why } => format!("MISSING: {why}"),
        };
        table.row([measure.name().to_owned(), state]);
    }
    print!("{}", table.render());
    for measure in confinement.report() {
        if let State::Missing { .. } = measure.state {
            println!(
                "\n{}: {}\n  to do: {}",
                measure.name(),
                measure.consequence(),
                measure.advice()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Memory of the machine, in MiB; 0 if the system does not say.
fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

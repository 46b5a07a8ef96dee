//! `tilth doctor`: what this machine can offer, and how well it can be protected from tenants.

use std::process::ExitCode;

use serde_json::json;
use tilth_protocol::{GpuReport, Harmless, Problem};
use tilth_provider::{
    inspect_gpu,
    inventory::{self, Inventory},
};
use tilth_sandbox::{
    Confinement, GpuAccess, GpuUse, State,
    escape::{ATTEMPTS, Finding, Verdict},
};

use crate::{
    Ended,
    args::{Common, Doctor},
    print_json,
    table::{Align, Table},
    up::own_command,
};

/// The sandbox as it is on this machine.
///
/// # Errors
/// Nothing can be confined here at all.
pub async fn confine() -> Result<Confinement, Problem> {
    Confinement::probe(own_command("sandbox-init")?).await.map_err(|error| {
        Problem::new(
            "the sandbox cannot be tried out",
            error.to_string(),
            "without a sandbox this machine cannot run tenants' work; see the detail",
        )
    })
}

pub async fn doctor(common: Common, args: Doctor) -> Ended {
    let confinement = confine().await?;
    let folder = common.dir();
    let found = tokio::task::block_in_place(|| inventory::look(&folder));
    let gpus = look_at_gpus(&confinement).await?;
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
        let gpus: Vec<_> = gpus
            .iter()
            .map(|gpu| json!({ "use": gpu.name, "report": gpu.report, "missing": gpu.missing }))
            .collect();
        let mut all = json!({
            "cores": found.cpu.threads, "memory-mib": found.memory.total_mib, "inventory": found,
            "gpu": gpus, "protection": measures,
        });
        let mut code = ExitCode::SUCCESS;
        if args.escape {
            let findings = attempt_all(&confinement, &args, |_| {}).await?;
            code = exit_code(&findings);
            all["attempts"] = json!(findings);
        }
        print_json(&all)?;
        return Ok(code);
    }
    show_inventory(&found);
    show_gpus(&gpus);
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
    if args.escape { escape(&confinement, &args).await } else { Ok(ExitCode::SUCCESS) }
}

/// Makes the attempts and shows each as it comes.
async fn escape(confinement: &Confinement, args: &Doctor) -> Ended {
    println!("\nattempts to escape, made for real:\n");
    let findings = attempt_all(confinement, args, |finding| {
        let word = match finding.verdict {
            Verdict::Held => "held",
            Verdict::Open => "OPEN",
            Verdict::Escaped => "ESCAPED",
            Verdict::Untested => "UNTESTED",
        };
        println!("{word:<8}  {:<20}  {}: {}", finding.name, finding.goal, finding.how);
    })
    .await?;
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (open, escaped) = (count(Verdict::Open), count(Verdict::Escaped));
    println!(
        "\n{} attempts: {} held, {open} open, {escaped} escaped",
        findings.len(),
        count(Verdict::Held)
    );
    if open > 0 {
        println!(
            "open: nothing on this machine stops it; see what is MISSING above, and what to do"
        );
    }
    if escaped > 0 {
        println!(
            "escaped: a protection in force did not hold; do not offer this machine, and report it"
        );
    }
    Ok(exit_code(&findings))
}

async fn attempt_all(
    confinement: &Confinement,
    args: &Doctor,
    each: impl FnMut(&Finding),
) -> Result<Vec<Finding>, Problem> {
    if let Some(odd) = args.only.iter().find(|name| ATTEMPTS.iter().all(|one| one.name != **name)) {
        let names: Vec<&str> = ATTEMPTS.iter().map(|attempt| attempt.name).collect();
        return Err(Problem::new(
            format!("there is no attempt {odd}"),
            format!("there are {}", names.join(", ")),
            "leave --only out to make all of them",
        ));
    }
    tilth_sandbox::escape::run(confinement, &args.only, each).await.map_err(|error| error.problem())
}

/// Success if everything was tried and nothing got out, be it for want of a protection.
fn exit_code(findings: &[Finding]) -> ExitCode {
    let held = findings.iter().all(|finding| finding.verdict == Verdict::Held);
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What there is for one value of `--gpu`.
struct Gpu {
    name: &'static str,
    report: Option<GpuReport>,
    missing: Vec<String>,
}

/// Has a worker in the sandbox look at every kind of GPU that it could be given.
async fn look_at_gpus(confinement: &Confinement) -> Result<Vec<Gpu>, Problem> {
    if !cfg!(feature = "gpu") {
        return Ok(Vec::new());
    }
    let worker = own_command("worker")?;
    let mut found = Vec::new();
    for (name, which) in [("hardware", GpuUse::Hardware), ("software", GpuUse::Software)] {
        let access = GpuAccess::find(&worker.program, which);
        let mut missing = access.missing.clone();
        let mut report = None;
        if access.is_usable() {
            match inspect_gpu(confinement, &worker, &access).await {
                Ok(Some(seen)) => report = Some(seen),
                Ok(None) => missing.push("a worker in the sandbox sees no device".into()),
                Err(error) => missing.push(error),
            }
        }
        found.push(Gpu { name, report, missing });
    }
    Ok(found)
}

fn show_gpus(gpus: &[Gpu]) {
    if gpus.is_empty() {
        println!("gpu      this tilth was built without GPU programs (cargo feature `gpu`)\n");
    }
    for Gpu { name, report, missing } in gpus {
        for missing in missing {
            println!("gpu      {name}: MISSING: {}", Harmless(missing));
        }
        let Some(report) = report else { continue };
        let class = if report.exact { "exact and plain programs" } else { "plain programs only" };
        let (device, driver) = (Harmless(&report.name), Harmless(&report.driver));
        println!("gpu      {name}: {device}, {driver}: {class}");
        for part in &report.findings {
            let state = match (part.different, part.replaceable) {
                (0, _) => "the right bits".to_owned(),
                (different, true) => {
                    format!("{different} of {} differ: ours is used instead", part.compared)
                }
                (different, false) => format!("{different} of {} DIFFER", part.compared),
            };
            println!("           {:<16} {state}", part.part);
        }
    }
    if !gpus.is_empty() {
        println!();
    }
}

fn show_inventory(found: &Inventory) {
    let Inventory { cpu, memory, disk, gpus, network } = found;
    let features = cpu.features.join(" ");
    println!("cpu      {}", Harmless(&cpu.model));
    println!("         {} cores, {} threads; {}", cpu.cores, cpu.threads, Harmless(&features));
    println!("memory   {} MiB, {} MiB free for programs", memory.total_mib, memory.available_mib);
    let folder = disk.folder.display();
    println!("disk     {} MiB free of {} MiB, for {folder}", disk.free_mib, disk.total_mib);
    for link in network {
        let speed =
            link.mbit_per_second.map_or("speed unknown".into(), |mbit| format!("{mbit} Mbit/s"));
        println!("network  {}: {speed}", Harmless(&link.name));
    }
    for gpu in gpus {
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let vram = gpu.vram_mib.map_or("unknown".into(), |mib| format!("{mib} MiB"));
        println!(
            "card     {} {} at {}",
            Harmless(&gpu.vendor),
            Harmless(&gpu.model),
            Harmless(&gpu.pci)
        );
        println!(
            "         memory {vram}, driver {}, compute {}, uuid {}",
            Harmless(&known(&gpu.driver)),
            Harmless(&known(&gpu.compute)),
            Harmless(&known(&gpu.uuid)),
        );
    }
    if gpus.is_empty() {
        println!("card     none that the system shows");
    }
    println!("classes  what this machine would announce is measured: tilth bench\n");
}

//! `tilth doctor`: what this machine can offer, and how well it can be protected from tenants.

use std::process::ExitCode;

use serde_json::json;
use tilth_protocol::{GpuReport, Harmless, Problem};
use tilth_provider::inspect_gpu;
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

pub async fn doctor(common: Common, args: Doctor) -> Ended {
    let confinement = Confinement::probe(own_command("sandbox-init")?).await.map_err(|error| {
        Problem::new(
            "the sandbox cannot be tried out",
            error.to_string(),
            "without a sandbox this machine cannot run tenants' work; see the detail",
        )
    })?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = memory_mib();
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
            "cores": cores, "memory-mib": memory, "gpu": gpus, "protection": measures,
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
    println!("cores    {cores}\nmemory   {memory} MiB\n");
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

/// Memory of the machine, in MiB; 0 if the system does not say.
fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

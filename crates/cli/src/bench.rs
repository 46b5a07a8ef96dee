//! `tilth bench`: how fast this machine is, and what it would announce for that.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tilth_client::challenge::ChallengeError;
use tilth_protocol::{
    Harmless, Problem,
    amount::FUEL_PER_UNIT,
    challenge::{Task, class},
};
use tilth_provider::{
    challenge::{Device, Start, Went, measure, rate, run},
    inspect_gpu, inventory,
};
use tilth_sandbox::{GpuAccess, GpuUse};

use crate::{
    Ended,
    args::{Bench, Common, Template},
    challenge::{described, per_second, wish_of},
    doctor::confine,
    local, print_json, template,
    up::own_command,
};

/// Bytes that are hashed, and written to the disk: enough to be past small buffers, little enough not to be
/// waited for.
const BYTES: usize = 64 << 20;

/// What was measured besides challenges, in bytes per second.
struct Rates {
    hash: u64,
    disk_write: u64,
    disk_read: u64,
    fuel: u64,
}

pub async fn bench(common: Common, args: Bench) -> Ended {
    let say = |what: &str| {
        if !common.json {
            eprintln!("measuring {what} ...");
        }
    };
    let start = Start { confinement: Arc::new(confine().await?), worker: own_command("worker")? };
    let cpu = inventory::cpu();
    let device = match GpuUse::from(args.gpu) {
        GpuUse::Off => Device::cpu(&cpu.model, MEMORY_MIB),
        which => gpu(&start, which).await?,
    };
    if let Some(task) = wish_of(args.memory, args.order, args.rounds) {
        return one(&common, &start, &device, task).await;
    }
    say("exact products and a memory's fill, as others would");
    let measured = measure(&start, &device).await.map_err(unmeasured)?;
    say("a WebAssembly guest, hashing, the disk");
    let folder = common.dir();
    let rates = tokio::task::block_in_place(|| rates(&common, &folder))?;
    let names = class::names_of(measured.class_bits);
    if common.json {
        print_json(&json!({
            "cpu": cpu, "challenges": measured, "classes": names,
            "fuel-per-second": rates.fuel, "hash-bytes-per-second": rates.hash,
            "disk-write-bytes-per-second": rates.disk_write,
            "disk-read-bytes-per-second": rates.disk_read,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rate = |rate: u64| per_second(rate, 1_000);
    println!("cpu        {}, {} threads", cpu.model, cpu.threads);
    println!("challenged {}: {}", device.offer.name, Harmless(&device.offer.model));
    println!("int8       {} operations a second in exact products", rate(measured.int8_per_second));
    println!("fill       {}B a second of labels", rate(measured.fill_bytes_per_second));
    println!("walk       {} labels a second", rate(measured.walk_reads_per_second));
    if device.vram_mib > 0 {
        let (shown, said) = (measured.vram_mib, device.vram_mib);
        println!("vram       {shown} MiB shown, of {said} MiB that it is said to have");
    }
    println!(
        "checking   {} ms for the products, {} ms for the memory",
        measured.check_products_ms, measured.check_memory_ms
    );
    println!("wasm       {} fuel a second on one thread", rate(rates.fuel));
    println!("hashing    {}B a second on one thread", rate(rates.hash));
    println!(
        "disk       {}B a second written, {}B read",
        rate(rates.disk_write),
        rate(rates.disk_read)
    );
    let classes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    println!(
        "classes    {classes} (bits {:#x}); a provider here announces them",
        measured.class_bits
    );
    Ok(ExitCode::SUCCESS)
}

/// The GPU that a provider here would offer.
async fn gpu(start: &Start, which: GpuUse) -> Result<Device, Problem> {
    let access = GpuAccess::find(&start.worker.program, which);
    let none = |why: String| {
        let detail = [&[why][..], &access.missing].concat().join("; ");
        Problem::new("there is no such GPU here", detail, "see `tilth doctor`")
    };
    if !access.is_usable() {
        return Err(none("nothing to open".into()));
    }
    let found = inspect_gpu(&start.confinement, &start.worker, &access).await.map_err(none)?;
    let report = found.ok_or_else(|| none("a worker in the sandbox sees none".into()))?;
    Ok(Device::of_report(&report, MEMORY_MIB, access).await)
}

/// One challenge of a size that somebody wants to know about.
async fn one(common: &Common, start: &Start, device: &Device, task: Task) -> Ended {
    task.check().map_err(|error| ChallengeError::from(error).problem())?;
    let went = run(start, device, task).await.map_err(unmeasured)?;
    let Went { commit, walk, open, check, transcript_bytes } = went;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (commit, walk, open, check) = (millis(commit), millis(walk), millis(open), millis(check));
    if common.json {
        print_json(&json!({
            "task": task, "commit-ms": commit, "walk-ms": walk, "open-ms": open, "check-ms": check,
            "transcript-bytes": transcript_bytes,
        }))?;
    } else {
        println!("task       {}", described(&task));
        println!(
            "prover     {commit:.0} ms to the roots, {walk:.0} ms to walk, {open:.0} ms to open"
        );
        println!("checker    {check:.1} ms on one thread, {transcript_bytes} bytes");
    }
    Ok(ExitCode::SUCCESS)
}

fn unmeasured(why: String) -> Problem {
    Problem::new("this machine cannot be measured", why, "see `tilth doctor`")
}

/// Memory that a provider offers by default, MiB.
const MEMORY_MIB: u32 = 2_048;

fn rates(common: &Common, folder: &Path) -> Result<Rates, Problem> {
    let broken = |error: std::io::Error| {
        let detail = format!("{}: {error}", folder.display());
        Problem::new(
            "the disk cannot be measured",
            detail,
            "make room, or name another folder with --dir",
        )
    };
    let bytes = vec![0x5a; BYTES];
    let began = Instant::now();
    let hash = tilth_protocol::ContentHash::of(&bytes);
    let hash_rate = rate(BYTES as u64, began.elapsed());
    // So that nobody finds out that nobody looks.
    std::hint::black_box(hash);
    std::fs::create_dir_all(folder).map_err(broken)?;
    let mut file = tempfile::tempfile_in(folder).map_err(broken)?;
    let began = Instant::now();
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(broken)?;
    let disk_write = rate(BYTES as u64, began.elapsed());
    forget(&file);
    file.rewind().map_err(broken)?;
    let (mut read, began) = (vec![0; BYTES], Instant::now());
    file.read_exact(&mut read).map_err(broken)?;
    let disk_read = rate(BYTES as u64, began.elapsed());
    Ok(Rates { hash: hash_rate, disk_write, disk_read, fuel: fuel(common)? })
}

/// Asks the system not to answer from memory what was just written. Advice: where it is not followed the reading
/// is too fast, which is why it is not announced.
fn forget(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// Fuel per second of the starter guest on one worker, start included.
fn fuel(common: &Common) -> Result<u64, Problem> {
    let folder = tempfile::tempdir().map_err(|error| {
        Problem::new("there is no room for a trial job", error.to_string(), "see TMPDIR")
    })?;
    template::unpack(Template::Map, folder.path())?;
    let quiet = Common { json: true, ..common.clone() };
    let (units, seconds) = local::speed(&quiet, &folder.path().join("job.toml"))?;
    let fuel = u128::from(units) * u128::from(FUEL_PER_UNIT);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a trial"
    )]
    let micros = (seconds * 1e6) as u64;
    Ok(u64::try_from(fuel * 1_000_000 / u128::from(micros.max(1))).unwrap_or(u64::MAX))
}

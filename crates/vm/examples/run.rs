//! Runs a guest on the machine and prints what it costs.
//!
//! ```text
//! run GUEST.wasm-or-.wat [--in FOLDER] [--tasks FROM..TO] [--units N] [--prepare N] [--memory MIB]
//!     [--output BYTES] [--save FOLDER] [--quiet]
//! ```

use std::{env, error::Error, fs, path::PathBuf, time::Instant};

use tilth_protocol::{ContentHash, Limits};
use tilth_vm::{Inputs, Session, admit, compile, on_deep_stack};

struct Options {
    guest: PathBuf,
    inputs: Option<PathBuf>,
    tasks: std::ops::Range<u32>,
    limits: Limits,
    save: Option<PathBuf>,
    quiet: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let mut options = Options {
        guest: arguments.next().ok_or("which guest?")?.into(),
        inputs: None,
        tasks: 0..1,
        limits: Limits {
            unit_cap: 1_000_000,
            prepare_cap: 0,
            memory_bytes: 1 << 30,
            output_bytes: 64 << 20,
        },
        save: None,
        quiet: false,
    };
    while let Some(flag) = arguments.next() {
        let flag = flag.to_string_lossy().into_owned();
        if flag == "--quiet" {
            options.quiet = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.to_string_lossy().parse::<u64>().map_err(|e| format!("{flag}: {e}"));
        match flag.as_str() {
            "--in" => options.inputs = Some(value.into()),
            "--save" => options.save = Some(value.into()),
            "--units" => options.limits.unit_cap = number()?,
            "--prepare" => options.limits.prepare_cap = number()?,
            "--memory" => options.limits.memory_bytes = number()? << 20,
            "--output" => options.limits.output_bytes = number()?,
            "--tasks" => {
                let text = value.to_string_lossy().into_owned();
                let (from, to) = text.split_once("..").ok_or("--tasks FROM..TO")?;
                options.tasks = from.parse()?..to.parse()?;
            }
            _ => return Err(format!("unknown option {flag}").into()),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let bytes = wat::parse_file(&options.guest)?;
    let start = Instant::now();
    let admitted = admit(&bytes)?;
    let admission = start.elapsed();
    let start = Instant::now();
    let artifact = compile(&admitted)?;
    println!(
        "{} bytes, {:?}, {:?}; admitted in {admission:.2?}, compiled in {:.2?}, artifact {} bytes",
        bytes.len(),
        artifact.entry(),
        artifact.phases(),
        start.elapsed(),
        artifact.to_bytes().len(),
    );
    let inputs = options.inputs.as_deref().map_or_else(|| Ok(Inputs::none()), Inputs::open)?;
    let mut session = Session::new(&artifact, inputs, options.limits)?;
    let start = Instant::now();
    let prepared = session.prepare()?;
    println!(
        "prepare: {:?}, {} units, {:.2?}{}",
        prepared.status,
        prepared.units,
        start.elapsed(),
        prepared.reason.map_or_else(String::new, |reason| format!(" ({reason})")),
    );
    if !prepared.log.is_empty() {
        println!("{}", prepared.log.text());
    }
    let (mut units, mut fuel) = (0, 0);
    let all = Instant::now();
    for index in options.tasks.clone() {
        let start = Instant::now();
        let outcome = session.run(index)?;
        let took = start.elapsed();
        (units, fuel) = (units + outcome.units, fuel + outcome.fuel);
        if let Some(folder) = &options.save {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(index.to_string()), &outcome.output)?;
        }
        if options.quiet {
            continue;
        }
        println!(
            "task {index}: {:?}, {} units ({} fuel), {} bytes {}, {took:.2?}{}",
            outcome.status,
            outcome.units,
            outcome.fuel,
            outcome.output.len(),
            ContentHash::of(&outcome.output).short(),
            outcome.reason.map_or_else(String::new, |reason| format!(" ({reason})")),
        );
        if !outcome.log.is_empty() {
            println!("{}", outcome.log.text());
        }
    }
    let seconds = all.elapsed().as_secs_f64();
    println!(
        "{} tasks in {seconds:.3} s: {:.1} us each, {units} units, {:.0} Mfuel/s",
        options.tasks.len(),
        seconds * 1e6 / options.tasks.len().max(1) as f64,
        fuel as f64 / seconds / 1e6,
    );
    Ok(())
}

fn main() -> Result<(), String> {
    let options = options().map_err(|error| error.to_string())?;
    let result = on_deep_stack(|| run(&options).map_err(|error| error.to_string()));
    result.map_err(|error| error.to_string())?
}

//! Measures tasks per second through a worker's pipes: a process of its own, as agents start it.
//!
//! ```text
//! pipe GUEST.wasm-or-.wat TASKS
//! ```

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs,
    io::{BufReader, BufWriter, Write},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use tilth_protocol::{
    Limits, Workload,
    worker::{FromWorker, ToWorker, read_frame, write_frame},
};

fn measure(guest: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(path("program"), wat::parse_file(guest)?)?;
    fs::create_dir(path("in"))?;
    let me = env::current_exe()?;
    let compiled = Command::new(&me)
        .args(["worker", "compile", &path("program"), &path("artifact")])
        .stdout(Stdio::null())
        .status()?;
    if !compiled.success() {
        return Err("the program was not compiled".into());
    }
    let start = Instant::now();
    let mut child = Command::new(&me)
        .args(["worker", "serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = BufWriter::new(child.stdin.take().ok_or("no stdin")?);
    let mut output = BufReader::with_capacity(256 << 10, child.stdout.take().ok_or("no stdout")?);
    let limits =
        Limits { unit_cap: 1000, prepare_cap: 0, memory_bytes: 1 << 30, output_bytes: 64 << 20 };
    let (program, inputs) = (path("artifact"), path("in"));
    write_frame(&mut input, &ToWorker::Load { workload: Workload::Wasm, program, inputs, limits })?;
    input.flush()?;
    loop {
        match read_frame(&mut output)?.ok_or("the worker ended")? {
            FromWorker::Loaded { .. } => break,
            FromWorker::Failed(problem) => return Err(problem.into()),
            _ => {}
        }
    }
    println!("start and load: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    write_frame(&mut input, &ToWorker::Run { from: 0, count })?;
    input.flush()?;
    let (mut done, mut frames, mut first) = (0, 0, None);
    while done < count {
        match read_frame(&mut output)?.ok_or("the worker ended")? {
            FromWorker::Done(batch) => {
                done += u32::try_from(batch.len())?;
                frames += 1;
                first.get_or_insert_with(|| start.elapsed());
            }
            FromWorker::Failed(problem) => return Err(problem.into()),
            _ => {}
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{count} tasks in {seconds:.3} s: {:.0} per second, {frames} frames, the first after {:.2?}",
        f64::from(count) / seconds,
        first.unwrap_or_default(),
    );
    write_frame(&mut input, &ToWorker::Stop)?;
    input.flush()?;
    child.wait()?;
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match args.as_slice() {
        [first, rest @ ..] if first == "worker" => tilth_worker::main(rest),
        [guest, count] => {
            let count = count.to_string_lossy().parse().unwrap_or(100_000);
            match measure(&guest.to_string_lossy(), count) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("pipe GUEST TASKS");
            ExitCode::FAILURE
        }
    }
}

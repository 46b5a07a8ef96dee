//! The client's side of a round: each job is submitted, followed, and taken up again after whatever
//! happens, as a person with a script would do it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use crate::{
    farm::Farm,
    process::{finish, spawn},
    schedule::Order,
};

/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(400);
/// Rounds of each task's loop: about a tenth of a second.
const ROUNDS: u32 = 20_000_000;

/// One job.
pub struct Errand {
    pub order: Order,
    pub output: Option<PathBuf>,
    /// Its number on chain, once known.
    job: Option<u64>,
    child: Option<Child>,
    not_before: Instant,
    attempts: u32,
}

/// A guest whose every output is worth comparing: 48 bytes that depend on the task's number and on
/// every round of its loop. More than 32 bytes, so they travel as content and not inside leaves.
fn guest() -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "task") (param $i i32)
    (local $n i32) (local $x i64)
    (local.set $n (i32.const {ROUNDS}))
    (local.set $x (i64.add (i64.extend_i32_u (local.get $i)) (i64.const 88172645463325252)))
    (loop $again
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (i64.store (i32.add (i32.const 64) (i32.shl (i32.rem_u (local.get $n) (i32.const 6))
        (i32.const 3))) (local.get $x))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 48))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Writes the job file of so many tasks, and gives its path.
pub fn job_file(root: &Path, tasks: u32) -> PathBuf {
    fs::write(root.join("guest.wasm"), wat::parse_str(guest()).unwrap()).unwrap();
    let path = root.join(format!("job-{tasks}.toml"));
    let text = format!(
        "name = \"job of {tasks}\"\nprogram = \"guest.wasm\"\ntasks = {tasks}\n\
         [limits]\ngfuel-per-task = 1.0\nmemory = \"1MiB\"\noutput = \"1KiB\"\n\
         [price]\nper-gfuel = \"0.01\"\n[verification]\nwindow = \"20m\"\n\
         [schedule]\ntarget = \"1s\"\nrange-timeout = \"10s\"\ndeadline = \"30d\"\n\
         [output]\nkind = \"values\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// The results of an undisturbed run: bare workers, no chain, no network.
pub fn undisturbed(farm: &Farm, tasks: u32) -> Result<Vec<u8>, String> {
    let out = farm.root.join(format!("expected-{tasks}.csv"));
    let (job, to) = (job_file(&farm.root, tasks), out.display().to_string());
    let args = ["try", job.to_str().unwrap_or_default(), "--workers", "2", "--out", &to];
    finish(&mut farm.tilth("client", &args), &farm.root, "try")?;
    fs::read(out).map_err(|error| error.to_string())
}

impl Errand {
    pub fn new(order: Order) -> Self {
        let now = Instant::now();
        Self { order, output: None, job: None, child: None, not_before: now, attempts: 0 }
    }

    /// A job that is open already.
    pub fn of_job(job: u64, tasks: u32) -> Self {
        let mut errand = Self::new(Order { at: 0, tasks });
        errand.job = Some(job);
        errand
    }

    /// Kills its process without warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Goes on with it: says what was done or noticed, if anything.
    pub fn go_on(&mut self, farm: &Farm) -> Option<String> {
        let tasks = self.order.tasks;
        if self.output.is_some() {
            return None;
        }
        if let Some(child) = &mut self.child {
            let status = child.try_wait().unwrap()?;
            self.child = None;
            self.not_before = Instant::now() + AGAIN;
            if status.success() {
                self.output = Some(self.place(farm));
            }
            return Some(format!("the client's command for job-{tasks} has ended: {status}"));
        }
        if Instant::now() < self.not_before {
            return None;
        }
        self.not_before = Instant::now() + AGAIN;
        let job = job_file(&farm.root, tasks).display().to_string();
        if self.attempts > 0 && self.job.is_none() {
            // The chain says whether an earlier attempt has opened it.
            self.job = farm.books().ok()?.with_tasks(tasks).next();
        }
        let (out, bind) = (self.place(farm).display().to_string(), farm.bind("client"));
        let number = self.job.map(|number| number.to_string());
        let how = match &number {
            None => vec!["run", &job],
            Some(number) => vec!["job", "fetch", number],
        };
        let args = [&how[..], &["--json", "--out", &out, "--bind", &bind]].concat();
        let name = format!("client-{tasks}");
        self.child = Some(spawn(&mut farm.tilth("client", &args), &farm.root, &name));
        self.attempts += 1;
        Some(format!("the client starts: {}", how.join(" ")))
    }

    fn place(&self, farm: &Farm) -> PathBuf {
        farm.root.join(format!("got-{}.csv", self.order.tasks))
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.kill();
    }
}

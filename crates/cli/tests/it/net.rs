//! A network for tests: the real program as separate processes, in a temporary folder.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longest time any single wait may take. Machines that run tests are shared and slow at times.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// The program under test.
pub const TILTH: &str = env!("CARGO_BIN_EXE_tilth");

/// A folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// An amount as answers to programs have it, in base units.
pub fn base_units(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Standard output as JSON; the command must have succeeded.
    pub fn json(&self) -> Value {
        assert!(self.status.success(), "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The three-part message of a command that must have failed.
    pub fn problem(&self) -> &str {
        assert!(!self.status.success(), "{self:#?}");
        assert!(self.stderr.contains("to do:"), "no advice: {self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        &self.stderr
    }
}

/// A process that is killed (with everything it started) when dropped.
pub struct Process {
    pub child: Child,
}

impl Process {
    /// Starts the program; standard error goes to a file beside the network.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("stderr.log"))
            .unwrap();
        let log_option: &[&str] = if args.contains(&"--log") { &[] } else { &["--log", "info"] };
        let child = Command::new(TILTH)
            .args(args)
            .args(log_option)
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Waits for the first line of standard output.
    pub fn first_line(&mut self) -> String {
        let stdout = self.child.stdout.take().unwrap();
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let _ = send.send(line);
            // Keep reading, so that the process never waits for us.
            let _ = reader.read_to_end(&mut Vec::new());
        });
        receive.recv_timeout(PATIENCE).expect("a first line in time")
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Kills without warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A network folder, and the network if it is up.
pub struct Net {
    pub dir: tempfile::TempDir,
    pub up: Option<Process>,
    pub about: Value,
}

impl Net {
    /// Starts a fresh network.
    pub fn start(providers: u16) -> Self {
        Self::start_with(providers, &[])
    }

    /// Starts a fresh network with more arguments for `tilth up`.
    pub fn start_with(providers: u16, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut net = Self { dir, up: None, about: Value::Null };
        net.up(providers, more);
        net
    }

    /// Starts the network in its folder again.
    pub fn up(&mut self, providers: u16, more: &[&str]) {
        let providers = providers.to_string();
        let mut args = vec!["up", "--json", "--providers", &providers];
        if !more.contains(&"--rpc") && !more.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        args.extend(more);
        let mut up = Process::start(self.dir.path(), &args);
        let line = up.first_line();
        self.about = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", self.log()));
        self.up = Some(up);
    }

    /// Kills the network without warning.
    pub fn kill(&mut self) {
        self.up = None;
    }

    /// What the network's processes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.log")).unwrap_or_default()
    }

    /// Where the chain answers.
    pub fn rpc(&self) -> String {
        self.about["rpc-url"].as_str().unwrap().to_owned()
    }

    /// Runs a command against the network.
    pub fn tilth(&self, args: &[&str]) -> Said {
        tilth(&[args, &["--dir", self.dir.path().to_str().unwrap()]].concat())
    }

    /// Runs a command with `--json` against the network.
    pub fn json(&self, args: &[&str]) -> Value {
        self.tilth(&[args, &["--json"]].concat()).json()
    }

    /// Starts a command against the network and does not wait for it.
    pub fn spawn(&self, args: &[&str]) -> Process {
        Process::start(self.dir.path(), args)
    }

    /// Writes a job file with a guest in WebAssembly text beside it, and gives its path.
    pub fn job(&self, name: &str, wat: &str, rest: &str) -> String {
        let folder = self.dir.path().join("job-files");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.wasm")), wat::parse_str(wat).unwrap()).unwrap();
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(&path, format!("name = \"{name}\"\nprogram = \"{name}.wasm\"\n{rest}"))
            .unwrap();
        path.display().to_string()
    }
}

/// Runs the program to its end.
pub fn tilth(args: &[&str]) -> Said {
    finish(Command::new(TILTH).args(args))
}

/// Runs a command to its end; one that does not end in time is killed and named.
pub fn finish(command: &mut Command) -> Said {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    let stdout = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let stderr = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let said = (stdout.join().unwrap().unwrap(), stderr.join().unwrap().unwrap());
            panic!("{command:?} did not end in time:\n{}\n{}", said.0, said.1);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Said {
        status,
        stdout: stdout.join().unwrap().unwrap(),
        stderr: stderr.join().unwrap().unwrap(),
    }
}

/// Waits until a condition gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

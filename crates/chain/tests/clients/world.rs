//! A node for a client, and the client as a process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tilth_chain::{Chain, Config};
use tokio::{process::Command, time::timeout};

use crate::fixture;

/// Longest a client may take. Machines that run tests are shared and slow at times.
const PATIENCE: Duration = Duration::from_secs(400);

/// A node with funded keys.
pub struct World {
    chain: Chain,
}

/// What a finished client said.
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub async fn start() -> Self {
        Self { chain: fixture::start(Config { ..fixture::config() }).await }
    }

    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    pub fn http(&self) -> String {
        self.chain.rpc_url()
    }

    pub fn key(&self, index: u8) -> String {
        format!("{}", fixture::signer(index).to_bytes())
    }

    pub fn address(&self, index: u8) -> String {
        fixture::signer(index).address().to_string()
    }

    /// Runs a client in this folder and returns what it said.
    pub async fn say(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> Said {
        let keys: Vec<String> = (0..3).map(|index| self.key(index)).collect();
        let child = Command::new(program)
            .args(args)
            .current_dir(here(""))
            .env("HTTP", self.http())
            .env("WS", format!("ws://{}", self.chain.rpc_addr()))
            .env("CHAIN_ID", fixture::genesis().chain_id.to_string())
            .env("KEYS", keys.join(","))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; run `cargo xtask setup`"));
        let finished = timeout(PATIENCE, child.wait_with_output()).await;
        let output = finished.unwrap_or_else(|_| panic!("{program} {args:?} hangs")).unwrap();
        Said {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }

    /// Runs a client that must succeed and returns its standard output.
    pub async fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> String {
        let said = self.say(program, args, env).await;
        assert!(said.success, "{program} {args:?} failed\n{}\n{}", said.stdout, said.stderr);
        said.stdout
    }

    pub async fn stop(self) {
        self.chain.shutdown().await;
    }
}

/// A path in this folder.
pub fn here(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    folder.join(path).display().to_string()
}

/// A program of the npm packages of `contracts/`.
pub fn foundry(name: &str) -> String {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let packages: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../contracts/node_modules/@foundry-rs")
        .join(format!("{name}-linux-{arch}/bin/{name}"));
    assert!(packages.exists(), "{} is missing: run `cargo xtask setup`", packages.display());
    packages.display().to_string()
}

//! The ways to be an agent: as the tests' user, as an ordinary user, and with no right to anything.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    agent::{Outcome, Request},
    request,
};

const NOBODY: u32 = 65534;

/// One way to be an agent, with a copy of the fixture that everybody may execute.
pub struct Way {
    pub folder: TempDir,
    pub user: Option<u32>,
    /// Whether the agent has no right to anything: no capability, no namespaces.
    pub bare: bool,
}

/// Starts its arguments where no namespaces can be made and root has no capabilities.
const BARE: &str = "echo 0 > /proc/sys/user/max_user_namespaces &&
    exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"";

impl Way {
    pub fn all() -> Vec<Way> {
        let mut users = vec![None];
        if rustix::process::geteuid().is_root() {
            users.push(Some(NOBODY));
        }
        users.into_iter().map(Way::new).collect()
    }

    pub fn new(user: Option<u32>) -> Way {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // By another process: were the copy open for writing here while another test forks, it could not be executed.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_sandbox-fixture"))
            .arg(folder.path().join("fixture"))
            .status();
        assert!(copied.unwrap().success());
        Way { folder, user, bare: false }
    }

    /// As on a machine that allows nothing: an ordinary user's or a locked-down container's.
    pub fn bare() -> Way {
        let user = rustix::process::geteuid().is_root().then_some(NOBODY);
        Way { bare: true, ..Way::new(user) }
    }

    pub fn name(&self) -> String {
        self.user.map_or("as the tests' user".into(), |user| format!("as user {user}"))
    }

    pub fn is_root(&self) -> bool {
        self.user.is_none() && rustix::process::geteuid().is_root()
    }

    /// A folder of this way's own user.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(user) = self.user {
            std::os::unix::fs::chown(&path, Some(user), Some(user)).unwrap();
        }
        path
    }

    pub fn agent(&self, request: &Request) -> Command {
        self.fixture("agent", &serde_json::to_string(request).unwrap())
    }

    /// The fixture in one of its parts.
    pub fn fixture(&self, part: &str, argument: &str) -> Command {
        let fixture = self.folder.path().join("fixture");
        let mut command = Command::new(if self.bare { Path::new("unshare") } else { &fixture });
        if self.bare {
            command.args(["--map-root-user", "sh", "-c", BARE]).arg(fixture);
        }
        command.arg(part).arg(argument).stderr(Stdio::piped());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    pub fn run(&self, request: &Request) -> Outcome {
        let output = self.agent(request).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.name());
        let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
        if !outcome.stderr.is_empty() {
            eprintln!("{}: {}", self.name(), outcome.stderr);
        }
        outcome
    }

    pub fn act(&self, words: &[&str]) -> Outcome {
        self.run(&request(words))
    }
}

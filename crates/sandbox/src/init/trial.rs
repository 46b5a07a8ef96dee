//! The program of a trial run: looks around in the sandbox and tells what it sees.
//!
//! It is how the agent knows that protections hold, rather than that the kernel has accepted a call.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    net::UdpSocket,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::Protection;

/// What a trial program saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    pid: u32,
    user: u32,
    root: Vec<String>,
    socket: bool,
    network_devices: bool,
    foreign_files: bool,
}

impl Sight {
    /// The protections that do not hold, with what was seen; `root` names all that may lie in the root folder.
    pub(crate) fn broken(
        &self,
        agent_user: u32,
        root: &BTreeSet<String>,
    ) -> Vec<(Protection, String)> {
        let mut broken = Vec::new();
        if let Some(odd) = self.root.iter().find(|&name| !root.contains(name)) {
            broken.push((Protection::PrivateFiles, format!("a trial program saw /{odd}")));
        }
        if self.foreign_files {
            broken.push((Protection::FileRules, "a trial program could open /etc/passwd".into()));
        }
        if self.pid > 3 {
            broken.push((
                Protection::OwnProcesses,
                format!("a trial program had the process id {}", self.pid),
            ));
        }
        if self.socket {
            broken.push((Protection::CallFilter, "a trial program could make a socket".into()));
        }
        if self.network_devices {
            broken.push((
                Protection::NoNetwork,
                "a trial program could use the loopback device".into(),
            ));
        }
        if self.user == agent_user {
            broken
                .push((Protection::OtherUser, format!("a trial program ran as user {agent_user}")));
        }
        broken
    }
}

/// Prints a [`Sight`] on stdout.
pub(crate) fn look_around() -> io::Result<()> {
    let mut root = Vec::new();
    if let Ok(entries) = Path::new("/").read_dir() {
        root.extend(
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
        );
    }
    root.sort();
    let socket = UdpSocket::bind("127.0.0.1:0");
    // Binding to a loopback that is down works; sending does not.
    let network_devices = socket.as_ref().is_ok_and(|socket| {
        socket.local_addr().is_ok_and(|address| socket.send_to(b"x", address).is_ok())
    });
    let sight = Sight {
        pid: std::process::id(),
        user: rustix::process::geteuid().as_raw(),
        root,
        socket: socket.is_ok(),
        network_devices,
        foreign_files: File::open("/etc/passwd").is_ok(),
    };
    let mut line = serde_json::to_vec(&sight)?;
    line.push(b'\n');
    io::stdout().write_all(&line)
}

//! Asking small programs of the system, with an end to patience.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// What a program writes, if it ends well and in time.
pub(super) fn ask(program: &Path, args: &[&str], patience: Duration) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (send, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(MAX_ANSWER).read_to_string(&mut text);
        // Nobody listens when patience is over.
        let _ = send.send(read.map(|_| text));
    });
    let answer = answer.recv_timeout(patience);
    if answer.is_err() {
        let _ = child.kill();
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    answer.ok()?.ok().filter(|_| ended_well)
}

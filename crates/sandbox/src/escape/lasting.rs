//! Attempts to outlast the end, to disturb the agent over the pipes, and to find what it has left about.

use std::{
    fs::File,
    io::{self, Write},
    time::Duration,
};

use super::{
    bait::Bait,
    raw::{self, at, call, park},
    tries::Tries,
};
use crate::sys::{self, Fork};

fn close(descriptors: std::ops::Range<u64>) {
    for descriptor in descriptors {
        let _ = call(libc::SYS_close, &[descriptor]);
    }
}

pub(super) fn daemon(_: &Bait, tries: &mut Tries) {
    if let Ok(Fork::Child) = sys::fork() {
        raw::ignore_all_signals();
        let _ = call(libc::SYS_setsid, &[]);
        let _ = call(libc::SYS_setpgid, &[0, 0]);
        if let Ok(Fork::Child) = sys::fork() {
            let _ = call(libc::SYS_prctl, &[u64::from(libc::PR_SET_PDEATHSIG.unsigned_abs()), 0]);
            close(0..3);
            park();
        }
        std::process::exit(0);
    }
    tries.here::<()>("two generations", Err(io::Error::other("left behind")));
}

pub(super) fn stopped_children(_: &Bait, tries: &mut Tries) {
    for _ in 0..4 {
        if let Ok(Fork::Child) = sys::fork() {
            close(0..3);
            let me = u64::from(std::process::id());
            let _ = call(libc::SYS_kill, &[me, u64::from(libc::SIGSTOP.unsigned_abs())]);
            park();
        }
    }
    std::thread::sleep(Duration::from_millis(20));
    tries.here::<()>("four of them", Err(io::Error::other("left behind")));
}

pub(super) fn zombies(bait: &Bait, tries: &mut Tries) {
    // Never waited for: each takes a place until this process ends.
    let most = u64::from(bait.limits.processes);
    let mut made = 0;
    while made <= most + 64 {
        match sys::fork() {
            Ok(Fork::Child) => std::process::exit(0),
            Ok(Fork::Parent(_)) => made += 1,
            Err(_) => break,
        }
    }
    tries.count("zombies", made, most);
}

pub(super) fn deaf(_: &Bait, tries: &mut Tries) {
    raw::ignore_all_signals();
    tries.ready();
    park();
}

pub(super) fn stops_itself(_: &Bait, tries: &mut Tries) {
    tries.ready();
    let me = u64::from(std::process::id());
    loop {
        let _ = call(libc::SYS_kill, &[me, u64::from(libc::SIGSTOP.unsigned_abs())]);
    }
}

pub(super) fn core_dump(_: &Bait, tries: &mut Tries) {
    // The limit must stay at 1: the kernel runs the machine's dump helper, as root, when it is 0.
    for limit in [0_u64, 1 << 30] {
        let limits = [limit, limit];
        let core = u64::from(libc::RLIMIT_CORE);
        tries.run(&format!("a limit of {limit}"), || {
            call(libc::SYS_prlimit64, &[0, core, at(&limits), 0])
        });
    }
    if let Ok(Fork::Child) = sys::fork() {
        std::process::abort();
    }
    let ended = rustix::process::wait(rustix::process::WaitOptions::empty());
    let dumped =
        ended.is_ok_and(|end| end.is_some_and(|(_, status)| libc::WCOREDUMP(status.as_raw())));
    tries.count("dumps", u64::from(dumped), 0);
}

pub(super) fn flood(_: &Bait, tries: &mut Tries) {
    tries.ready();
    let block = vec![b'x'; 1 << 16];
    loop {
        if io::stdout().write_all(&block).is_err() {
            park();
        }
    }
}

pub(super) fn complaints(_: &Bait, tries: &mut Tries) {
    tries.ready();
    let block = b"\x1b[2J\x1b]0;owned\x07 tenant speaking\n".repeat(1000);
    loop {
        if io::stderr().write_all(&block).is_err() {
            park();
        }
    }
}

pub(super) fn hangs_up(_: &Bait, tries: &mut Tries) {
    tries.ready();
    close(0..3);
    park();
}

pub(super) fn descriptors(_: &Bait, tries: &mut Tries) {
    let open = |descriptor: &u64| {
        call(libc::SYS_fcntl, &[*descriptor, u64::from(libc::F_GETFD.unsigned_abs())]).is_ok()
    };
    tries.count("beyond the first three", (3..4096).filter(open).count() as u64, 0);
    // The ends that belong to the agent cannot be had back.
    tries.run("read its own output", || call(libc::SYS_read, &[1, at(&[0_u8; 1]), 1]));
    tries.run("write to its own input", || call(libc::SYS_write, &[0, at(b"x"), 1]));
}

pub(super) fn own_pipes(_: &Bait, tries: &mut Tries) {
    // Only its own: with them it can eat what it has said itself, and read what it has been told before.
    for path in ["/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"] {
        tries.run(path, || File::open(path));
    }
}

pub(super) fn environment(_: &Bait, tries: &mut Tries) {
    let given = ["LD_LIBRARY_PATH"];
    let more = std::env::vars_os().filter(|(name, _)| given.iter().all(|one| name != *one));
    tries.count("variables of the agent", more.count() as u64, 0);
}

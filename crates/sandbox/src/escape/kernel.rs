//! Attempts to gain rights, to reach other processes, and to talk to parts of the kernel that computing does not need.

use std::{io, time::Duration};

use super::{
    bait::Bait,
    outward::HERE,
    raw::{at, at_mut, call, call_as_32_bit},
    tries::Tries,
};

type Call<'a> = (&'a str, i64, &'a [u64]);

/// -1, as an argument.
const MINUS: u64 = u64::MAX;

fn calls(tries: &mut Tries, all: &[Call<'_>]) {
    for &(what, number, args) in all {
        tries.run(what, || call(number, args));
    }
}

pub(super) fn signals(bait: &Bait, tries: &mut Tries) {
    for (who, pid) in [("the neighbour", bait.victim), ("the agent", bait.agent)] {
        let pid = u64::from(pid);
        tries.run(&format!("signal {who}"), || call(libc::SYS_kill, &[pid, 0]));
        tries.run(&format!("signal a thread of {who}"), || call(libc::SYS_tgkill, &[pid, pid, 0]));
        tries.run(&format!("signal the group of {who}"), || {
            call(libc::SYS_kill, &[pid.wrapping_neg(), 0])
        });
        tries.run(&format!("kill {who} by descriptor"), || {
            let descriptor = call(libc::SYS_pidfd_open, &[pid, 0])?;
            call(libc::SYS_pidfd_send_signal, &[descriptor, 0, 0, 0])
        });
    }
}

pub(super) fn warden_signals(_: &Bait, tries: &mut Tries) {
    // Process 1 inside is the sandbox's own. What a signal does to it shows in how this program's end is told. Where
    // there is no inside, it is the machine's, and left alone.
    if rustix::process::getppid() != Some(rustix::process::Pid::INIT) {
        return tries.here::<()>("all of them", Err(io::Error::other("not among its processes")));
    }
    for signal in 1..=64 {
        let _ = call(libc::SYS_kill, &[1, signal]);
        let _ = call(libc::SYS_tgkill, &[1, 1, signal]);
    }
    std::thread::sleep(Duration::from_millis(50));
    tries.here::<()>("all of them", Err(io::Error::other("without effect")));
}

pub(super) fn ptrace(bait: &Bait, tries: &mut Tries) {
    let victim = u64::from(bait.victim);
    let all = [
        ("attach to the neighbour", libc::SYS_ptrace, &[16, victim][..]),
        ("seize the neighbour", libc::SYS_ptrace, &[0x4206, victim]),
        ("seize the sandbox's own process", libc::SYS_ptrace, &[0x4206, 1]),
    ];
    calls(tries, &all);
}

pub(super) fn memory_of_others(bait: &Bait, tries: &mut Tries) {
    let (victim, mut buffer) = (u64::from(bait.victim), [0_u8; 16]);
    let local = [at_mut(&mut buffer), 16];
    let remote = [bait.victim_memory, 16];
    let args = [victim, at(&local), 1, at(&remote), 1];
    tries.run("read the neighbour", || call(libc::SYS_process_vm_readv, &args));
    tries.run("write to the neighbour", || {
        call(libc::SYS_process_vm_readv, &args)?;
        call(libc::SYS_process_vm_writev, &args)
    });
    tries.run("read the sandbox's own process", || {
        call(libc::SYS_process_vm_readv, &[1, at(&local), 1, at(&remote), 1])
    });
}

pub(super) fn descriptors_of_others(bait: &Bait, tries: &mut Tries) {
    tries.run("by a process descriptor", || {
        let process = call(libc::SYS_pidfd_open, &[u64::from(bait.victim), 0])?;
        call(libc::SYS_pidfd_getfd, &[process, 0, 0])
    });
    tries.run("take one", || call(libc::SYS_pidfd_getfd, &[0, 0, 0]));
}

pub(super) fn tampering(bait: &Bait, tries: &mut Tries) {
    let (victim, mask, own) = (u64::from(bait.victim), [1_u64], [0_u64; 2]);
    let all = [
        ("limits of the neighbour", libc::SYS_prlimit64, &[victim, 7, 0, at(&own)][..]),
        ("processors of the neighbour", libc::SYS_sched_setaffinity, &[victim, 8, at(&mask)]),
        ("priority of the neighbour", libc::SYS_setpriority, &[0, victim, 19]),
        ("pages of the neighbour", libc::SYS_migrate_pages, &[victim, 8, at(&mask), at(&mask)]),
        ("advice for the neighbour", libc::SYS_process_madvise, &[0, 0, 0, 0, 0]),
        ("locks of the neighbour", libc::SYS_get_robust_list, &[victim, at(&own), at(&own)]),
        ("compare with the neighbour", libc::SYS_kcmp, &[victim, victim, 1]),
    ];
    calls(tries, &all);
}

pub(super) fn priority(_: &Bait, tries: &mut Tries) {
    let one = [1_i32];
    let more = [1_u64 << 20, 1 << 20];
    let all = [
        ("nicer than others", libc::SYS_setpriority, &[0, 0, 20_u64.wrapping_neg()][..]),
        ("real time", libc::SYS_sched_setscheduler, &[0, 1, at(&one)]),
        ("disk in real time", libc::SYS_ioprio_set, &[1, 0, 1 << 13]),
        ("more open files", libc::SYS_prlimit64, &[0, 7, at(&more), 0]),
        ("more processes", libc::SYS_prlimit64, &[0, 6, at(&more), 0]),
    ];
    calls(tries, &all);
}

pub(super) fn user_ids(_: &Bait, tries: &mut Tries) {
    let root = [0_u32];
    let all = [
        ("user", libc::SYS_setuid, &[0][..]),
        ("group", libc::SYS_setgid, &[0]),
        ("saved user", libc::SYS_setresuid, &[0, 0, 0]),
        ("saved group", libc::SYS_setresgid, &[0, 0, 0]),
        ("other groups", libc::SYS_setgroups, &[1, at(&root)]),
    ];
    calls(tries, &all);
}

pub(super) fn capabilities(_: &Bait, tries: &mut Tries) {
    let head = [0x2008_0522_u32, 0];
    let all = [u32::MAX; 6];
    tries.run("all", || call(libc::SYS_capset, &[at(&head), at(&all)]));
    tries.run("ambient", || call(libc::SYS_prctl, &[47, 2, 21, 0, 0]));
    tries.run("secure bits", || call(libc::SYS_prctl, &[28, 0, 0, 0, 0]));
    tries.run("keyed by no_new_privs", || {
        // It reads 1 and cannot be cleared.
        if call(libc::SYS_prctl, &[39, 0, 0, 0, 0])? == 1 {
            call(libc::SYS_prctl, &[38, 0, 0, 0, 0])
        } else {
            Ok(0)
        }
    });
}

fn flag(flag: i32) -> u64 {
    u64::from(flag.cast_unsigned())
}

pub(super) fn user_namespaces(_: &Bait, tries: &mut Tries) {
    let user = flag(libc::CLONE_NEWUSER);
    let args = [user, 0, 0, 0, 17, 0, 0, 0];
    tries.run("unshare", || call(libc::SYS_unshare, &[user]));
    tries.run("clone", || call(libc::SYS_clone, &[user | 17]));
    tries.run("clone3", || call(libc::SYS_clone3, &[at(&args), 64]));
    tries.run("clone, flags above 32 bits", || call(libc::SYS_clone, &[(1 << 32) | user | 17]));
}

pub(super) fn other_namespaces(_: &Bait, tries: &mut Tries) {
    let kinds = [
        ("mounts", libc::CLONE_NEWNS),
        ("processes", libc::CLONE_NEWPID),
        ("network", libc::CLONE_NEWNET),
        ("ipc", libc::CLONE_NEWIPC),
        ("names", libc::CLONE_NEWUTS),
        ("cgroups", libc::CLONE_NEWCGROUP),
        ("time", libc::CLONE_NEWTIME),
    ];
    for (what, kind) in kinds {
        tries.run(&format!("new {what}"), || call(libc::SYS_unshare, &[flag(kind)]));
    }
    tries.run("enter another's", || call(libc::SYS_setns, &[0, 0]));
}

pub(super) fn mounts(_: &Bait, tries: &mut Tries) {
    let tmpfs = at(c"tmpfs".to_bytes_with_nul());
    let proc = at(c"proc".to_bytes_with_nul());
    let (tmp, root) = (at(c"/tmp".to_bytes_with_nul()), at(c"/".to_bytes_with_nul()));
    let all = [
        ("memory", libc::SYS_mount, &[tmpfs, tmp, tmpfs, 0, 0][..]),
        ("the kernel's process files", libc::SYS_mount, &[proc, tmp, proc, 0, 0]),
        ("the root once more", libc::SYS_mount, &[root, tmp, 0, flag(4096), 0]),
        ("make the root writable", libc::SYS_mount, &[0, root, 0, flag(32), 0]),
        ("take a mount away", libc::SYS_umount2, &[tmp, 2]),
        ("change the root", libc::SYS_pivot_root, &[tmp, tmp]),
    ];
    calls(tries, &all);
}

pub(super) fn new_mounts(_: &Bait, tries: &mut Tries) {
    let root = at(c"/".to_bytes_with_nul());
    let none = [0_u64; 4];
    let all = [
        ("fsopen", libc::SYS_fsopen, &[at(c"tmpfs".to_bytes_with_nul()), 0][..]),
        ("open_tree", libc::SYS_open_tree, &[HERE, root, 1]),
        ("fspick", libc::SYS_fspick, &[HERE, root, 0]),
        ("mount_setattr", libc::SYS_mount_setattr, &[HERE, root, 0, at(&none), 32]),
        ("move_mount", libc::SYS_move_mount, &[HERE, root, HERE, root, 0]),
    ];
    calls(tries, &all);
}

pub(super) fn chroot(_: &Bait, tries: &mut Tries) {
    tries.run("and climb out", || {
        // The root folder held open, another root below it: steps upward then find no root to stop at.
        std::env::set_current_dir("/")?;
        call(libc::SYS_chroot, &[at(c"/tmp".to_bytes_with_nul())])?;
        for _ in 0..64 {
            std::env::set_current_dir("..")?;
        }
        call(libc::SYS_chroot, &[at(c".".to_bytes_with_nul())])
    });
}

pub(super) fn file_handles(_: &Bait, tries: &mut Tries) {
    let handle = [8_u32, 1, 2, 0];
    let all = [
        ("open by handle", libc::SYS_open_by_handle_at, &[HERE, at(&handle), 0][..]),
        ("ask for a handle", libc::SYS_name_to_handle_at, &[HERE, 0, 0, 0, 0]),
    ];
    calls(tries, &all);
}

pub(super) fn io_uring(_: &Bait, tries: &mut Tries) {
    let parameters = [0_u64; 15];
    tries.run("set up", || call(libc::SYS_io_uring_setup, &[4, at(&parameters)]));
}

pub(super) fn bpf(_: &Bait, tries: &mut Tries) {
    let map = [1_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tries.run("make a map", || call(libc::SYS_bpf, &[0, at(&map), 48]));
}

pub(super) fn keyrings(_: &Bait, tries: &mut Tries) {
    let (kind, name) = (at(c"user".to_bytes_with_nul()), at(c"escape".to_bytes_with_nul()));
    let (session, own) = (3_u64.wrapping_neg(), 2_u64.wrapping_neg());
    let all = [
        ("add a key", libc::SYS_add_key, &[kind, name, name, 6, own][..]),
        ("list the session's keys", libc::SYS_keyctl, &[11, session, 0, 0]),
        ("ask for a key", libc::SYS_request_key, &[kind, name, 0, session]),
    ];
    calls(tries, &all);
}

pub(super) fn page_faults(_: &Bait, tries: &mut Tries) {
    tries.run("in user mode only", || call(libc::SYS_userfaultfd, &[1]));
    tries.run("of the kernel, too", || call(libc::SYS_userfaultfd, &[0]));
}

pub(super) fn counters(_: &Bait, tries: &mut Tries) {
    // Software clock of this process.
    let event =
        [1_u32, 112, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tries.run("of itself", || call(libc::SYS_perf_event_open, &[at(&event), 0, MINUS, MINUS, 0]));
}

pub(super) fn kernel_code(_: &Bait, tries: &mut Tries) {
    let empty = at(c"".to_bytes_with_nul());
    let all = [
        ("load a module", libc::SYS_init_module, &[empty, 0, empty][..]),
        ("load a module file", libc::SYS_finit_module, &[0, empty, 0]),
        ("unload a module", libc::SYS_delete_module, &[empty, 0]),
        ("another kernel", libc::SYS_kexec_load, &[0, 0, 0, 0xff]),
        ("another kernel's file", libc::SYS_kexec_file_load, &[0, 0, 0, empty, 0]),
    ];
    calls(tries, &all);
}

pub(super) fn machine(_: &Bait, tries: &mut Tries) {
    // The magic numbers of reboot are wrong on purpose: if it were allowed, it would do nothing.
    // The machine is named what it is named already.
    let names = rustix::system::uname();
    let (host, domain) = (names.nodename().to_bytes(), names.domainname().to_bytes());
    let name = at(c"/escaped".to_bytes_with_nul());
    let all = [
        ("restart it", libc::SYS_reboot, &[1, 2, 3][..]),
        ("swap", libc::SYS_swapon, &[name, 0]),
        ("stop swapping", libc::SYS_swapoff, &[name]),
        ("accounting", libc::SYS_acct, &[name]),
        ("disk quotas", libc::SYS_quotactl, &[0, 0, 0, 0]),
        ("host name", libc::SYS_sethostname, &[at(host), host.len() as u64]),
        ("domain name", libc::SYS_setdomainname, &[at(domain), domain.len() as u64]),
        ("kernel log", libc::SYS_syslog, &[10, 0, 0]),
    ];
    calls(tries, &all);
}

pub(super) fn clocks(_: &Bait, tries: &mut Tries) {
    // Set to what it is, or refused.
    tries.run("time of day", || {
        let mut now = [0_u64; 2];
        call(libc::SYS_gettimeofday, &[at_mut(&mut now), 0])?;
        call(libc::SYS_settimeofday, &[at(&now), 0])
    });
    tries.run("the clock", || {
        let mut now = [0_u64; 2];
        call(libc::SYS_clock_gettime, &[0, at_mut(&mut now)])?;
        call(libc::SYS_clock_settime, &[0, at(&now)])
    });
    // The largest error that the clock is said to have.
    let mut tick = [0_u64; 26];
    tick[0] = 4;
    tries.run("its rate", || call(libc::SYS_adjtimex, &[at(&tick)]));
    tries.run("wake the machine", || call(libc::SYS_timerfd_create, &[9, 0]));
}

pub(super) fn other_doors(_: &Bait, tries: &mut Tries) {
    tries.run("calls of 32-bit programs", call_as_32_bit);
    #[cfg(target_arch = "x86_64")]
    {
        const X32: i64 = 0x4000_0000;
        tries.run("a socket as an x32 program", || call(X32 | libc::SYS_socket, &[2, 1, 0]));
        tries.run("tracing as an x32 program", || call(X32 | 521, &[16, 1]));
        tries.run("its own program as an x32 program", || call(X32 | 39, &[]));
        let number = i64::from(u32::MAX) + 1 + libc::SYS_socket;
        tries.run("a number above 32 bits", || call(number, &[2, 1, 0]));
    }
}

pub(super) fn terminals(_: &Bait, tries: &mut Tries) {
    let (key, paste) = ([b'x'], [3_u8]);
    for descriptor in 0..3 {
        // Its descriptors are pipes. Only a filter refuses before it is asked what they are; the pipe's own
        // answer says nothing about terminals.
        let mut on = |what: &str, request: u64, arg: u64| {
            let ask = || call(libc::SYS_ioctl, &[descriptor, request, arg]);
            tries.run_unless(libc::ENOTTY, &format!("{what} {descriptor}"), ask);
        };
        on("type into", libc::TIOCSTI, at(&key));
        on("paste into", libc::TIOCLINUX, at(&paste));
        on("own", libc::TIOCSCTTY, 1);
        on("with high bits, type into", 1 << 32 | libc::TIOCSTI, at(&key));
    }
}

pub(super) fn processor(_: &Bait, tries: &mut Tries) {
    #[cfg(target_arch = "x86_64")]
    {
        let entry = [0_u32; 4];
        let all = [
            ("ports", libc::SYS_iopl, &[3][..]),
            ("some ports", libc::SYS_ioperm, &[0x80, 1, 1]),
            ("segments", libc::SYS_modify_ldt, &[1, at(&entry), 16]),
        ];
        calls(tries, &all);
    }
    // Unconfined addresses for the next program; harmless, but never asked for by computing.
    tries.run("personality", || call(libc::SYS_personality, &[0x004_0000]));
}

pub(super) fn watchers(_: &Bait, tries: &mut Tries) {
    let all = [
        ("of everything", libc::SYS_fanotify_init, &[0, 0][..]),
        ("of files", libc::SYS_inotify_init1, &[0]),
        ("of signals", libc::SYS_signalfd4, &[MINUS, 0, 8, 0]),
        ("of system calls", libc::SYS_seccomp, &[1, 8, 0]),
    ];
    calls(tries, &all);
}

pub(super) fn page_moves(_: &Bait, tries: &mut Tries) {
    // The family of calls that have let read-only files be written by way of pipes.
    tries.run("splice a file into a pipe", || {
        let mut ends = [0_i32; 2];
        call(libc::SYS_pipe2, &[at_mut(&mut ends), 0])?;
        let me = std::env::args_os().next().unwrap_or_default();
        let file = std::fs::File::open(me)?;
        let from = u64::from(std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs());
        call(libc::SYS_splice, &[from, 0, u64::from(ends[1].unsigned_abs()), 0, 1, 0])
    });
    let byte = *b"\n";
    let piece = [at(&byte), 1];
    tries.run("map a page into a pipe", || call(libc::SYS_vmsplice, &[1, at(&piece), 1, 0]));
    tries.run("remap a file", || call(libc::SYS_remap_file_pages, &[0, 0, 0, 0, 0]));
}

pub(super) fn ipc(_: &Bait, tries: &mut Tries) {
    let name = at(c"tilth-escape".to_bytes_with_nul());
    let remove = u64::from(libc::IPC_RMID.unsigned_abs());
    // What was made outlives its maker, so it is removed at once.
    tries.run("shared memory", || {
        let made = call(libc::SYS_shmget, &[77, 4096, 0o3600])?;
        let _ = call(libc::SYS_shmctl, &[made, remove]);
        Ok(())
    });
    tries.run("semaphores", || {
        let made = call(libc::SYS_semget, &[77, 1, 0o3600])?;
        let _ = call(libc::SYS_semctl, &[made, 0, remove]);
        Ok(())
    });
    tries.run("messages", || {
        let made = call(libc::SYS_msgget, &[77, 0o3600])?;
        let _ = call(libc::SYS_msgctl, &[made, remove]);
        Ok(())
    });
    tries.run("message queue", || {
        call(libc::SYS_mq_open, &[name, 0o302, 0o600, 0])?;
        let _ = call(libc::SYS_mq_unlink, &[name]);
        Ok(())
    });
}

pub(super) fn attributes(bait: &Bait, tries: &mut Tries) {
    let file = super::raw::path(&bait.out.join("marked"));
    let made = std::fs::File::create(bait.out.join("marked"));
    if let Err(error) = made {
        tries.here::<()>("make a file", Err(error));
    }
    let capability = [0x0200_0001_u32, u32::MAX, u32::MAX, 0, 0];
    for name in [c"security.capability", c"trusted.x", c"user.x"] {
        let name_at = at(name.to_bytes_with_nul());
        tries.run(&name.to_string_lossy(), || {
            call(
                libc::SYS_setxattr,
                &[at(file.as_bytes_with_nul()), name_at, at(&capability), 20, 0],
            )
        });
    }
}

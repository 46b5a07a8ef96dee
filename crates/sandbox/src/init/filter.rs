//! The system call filter.
//!
//! Two filters are stacked. One ends the program (SIGSYS) at calls that only an attack makes. The other allows what
//! computing needs and answers "no such call" to all the rest, which C libraries take as an old kernel and work
//! around. `clone3` must be among the rest: its flags lie in memory where a filter cannot look, and glibc then uses
//! `clone`, whose flags are checked.
//!
//! Some harmless-looking calls are left out because of what they reach beyond the program: locks on a file that is
//! given read-only (`flock`, `F_SETLK`) are seen by everybody who uses that file; `fchmod` could leave a set-user-id
//! file behind, and where files are not private it could take the program file itself away; times of foreign files of
//! the same user could be changed; `fallocate` can take disk space faster than anybody can look, past RLIMIT_FSIZE
//! when it keeps the size; larger pipes are kernel memory that no limit counts where there is no memory cgroup.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// Calls that end the program.
const HOSTILE: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

#[cfg(target_arch = "x86_64")]
const HOSTILE_HERE: &[i64] = &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const HOSTILE_HERE: &[i64] = &[];

/// Calls that are allowed whatever their arguments.
const ALLOWED: &[i64] = &[
    // Files and pipes.
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fchdir,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // Processes, threads and signals. `clone` is checked below.
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Time, randomness and facts.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
];

/// The older forms of calls above, which only x86_64 has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_fork,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PTRACE;

/// Calls of which one argument decides: the call, the argument's position, the values allowed.
const BY_ARGUMENT: &[(i64, u8, &[i32])] = &[
    (
        libc::SYS_fcntl,
        1,
        &[
            libc::F_DUPFD,
            libc::F_DUPFD_CLOEXEC,
            libc::F_GETFD,
            libc::F_SETFD,
            libc::F_GETFL,
            libc::F_SETFL,
            libc::F_ADD_SEALS,
            libc::F_GET_SEALS,
            libc::F_GETPIPE_SZ,
        ],
    ),
    (
        libc::SYS_prctl,
        0,
        &[
            libc::PR_SET_PDEATHSIG,
            libc::PR_GET_DUMPABLE,
            libc::PR_SET_NAME,
            libc::PR_GET_NAME,
            libc::PR_CAPBSET_READ,
            libc::PR_SET_NO_NEW_PRIVS,
            libc::PR_GET_NO_NEW_PRIVS,
            libc::PR_SET_THP_DISABLE,
            libc::PR_SET_VMA,
        ],
    ),
];

/// Calls refused when a flag is among those in one argument: the call, the argument's position, the flags.
const BY_FLAGS: &[(i64, u8, i32)] = &[
    (libc::SYS_clone, 0, NEW_NAMESPACES),
    // Files without a name cannot be found by whoever adds up the output folder.
    (libc::SYS_openat, 2, UNNAMED_FILE),
    // Pages of the machine's own pool of huge pages, which no limit counts.
    (libc::SYS_mmap, 3, libc::MAP_HUGETLB),
    (libc::SYS_memfd_create, 1, libc::MFD_HUGETLB.cast_signed()),
];

#[cfg(target_arch = "x86_64")]
const BY_FLAGS_HERE: &[(i64, u8, i32)] = &[(libc::SYS_open, 1, UNNAMED_FILE)];
#[cfg(not(target_arch = "x86_64"))]
const BY_FLAGS_HERE: &[(i64, u8, i32)] = &[];

/// `O_TMPFILE` without the `O_DIRECTORY` that comes with it.
const UNNAMED_FILE: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Terminal questions that programs ask of their output, and plain descriptor flags.
const IOCTLS: &[u64] =
    &[libc::TCGETS, libc::TIOCGWINSZ, libc::FIOCLEX, libc::FIONCLEX, libc::FIONBIO, libc::FIONREAD];

/// Kinds of questions (bits 8 to 15 of the number) that drivers of GPUs answer: `d` of the kernel's graphics
/// devices, `F` and the bare numbers of NVIDIA's, whose memory driver's are below 256 or end in 1 and 2 at 0x30000000.
const DEVICE_KINDS: &[u64] = &[0x6400, 0x4600, 0x0000];
const KIND: u64 = 0xff00;

/// Which processes may be signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// Whatever it sees, for it sees only its own.
    Any,
    /// Only this one: there is no process namespace around it.
    Only(u32),
}

/// Puts this process, and what becomes of it, under the filters for good.
pub(crate) fn install(signals: Signals, devices: bool) -> io::Result<()> {
    let hostile = HOSTILE.iter().chain(HOSTILE_HERE).map(|&call| (call, Vec::new())).collect();
    let hostile = compile(hostile, SeccompAction::Allow, SeccompAction::KillProcess);
    let enosys = u32::try_from(libc::ENOSYS).unwrap_or(0);
    let allowed = allowed(signals, devices)
        .and_then(|rules| compile(rules, SeccompAction::Errno(enosys), SeccompAction::Allow));
    apply_filter(&hostile.map_err(io::Error::other)?).map_err(system_error)?;
    apply_filter(&allowed.map_err(io::Error::other)?).map_err(system_error)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()
}

fn allowed(
    signals: Signals,
    devices: bool,
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|&call| (call, Vec::new())).collect();
    for &(call, position, values) in BY_ARGUMENT {
        let values = values.iter().map(|&value| equals(position, u64::from(value.unsigned_abs())));
        rules.insert(call, values.collect::<Result<_, _>>()?);
    }
    let mut ioctls: Vec<_> =
        IOCTLS.iter().map(|&value| equals(1, value)).collect::<Result<_, _>>()?;
    if devices {
        for kind in DEVICE_KINDS {
            let kind = SeccompCondition::new(
                1,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(KIND),
                *kind,
            )?;
            ioctls.push(SeccompRule::new(vec![kind])?);
        }
    }
    rules.insert(libc::SYS_ioctl, ioctls);
    for &(call, position, flags) in BY_FLAGS.iter().chain(BY_FLAGS_HERE) {
        let none_of = SeccompCmpOp::MaskedEq(u64::from(flags.cast_unsigned()));
        let flags = SeccompCondition::new(position, SeccompCmpArgLen::Qword, none_of, 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![flags])?]);
    }
    // Its own limits only: by number it could lower those of other processes of the user. And not that of core dumps,
    // which must stay what it is for no helper to be started.
    let resource = u64::from(libc::RLIMIT_CORE);
    let others = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, resource)?;
    let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own, others])?]);
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        let rule = match signals {
            Signals::Any => Vec::new(),
            Signals::Only(pid) => vec![equals(0, u64::from(pid))?],
        };
        rules.insert(call, rule);
    }
    Ok(rules)
}

fn equals(position: u8, value: u64) -> Result<SeccompRule, BackendError> {
    let condition =
        SeccompCondition::new(position, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
    SeccompRule::new(vec![condition])
}

fn system_error(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_hostile() {
        let rules = allowed(Signals::Only(7), true).unwrap();
        for call in HOSTILE.iter().chain(HOSTILE_HERE) {
            assert!(!rules.contains_key(call), "{call}");
        }
        for call in [libc::SYS_socket, libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_setsid]
        {
            assert!(!rules.contains_key(&call), "{call}");
        }
        assert_eq!(rules[&libc::SYS_kill].len(), 1);
        assert!(
            rules[&libc::SYS_clone].len() == 1
                && rules[&libc::SYS_ioctl].len() == IOCTLS.len() + DEVICE_KINDS.len()
        );
        let without = allowed(Signals::Any, false).unwrap();
        assert_eq!(without[&libc::SYS_ioctl].len(), IOCTLS.len());
    }

    #[test]
    fn both_filters_compile_within_the_kernel_bound() {
        let enosys = SeccompAction::Errno(38);
        let program =
            compile(allowed(Signals::Only(7), true).unwrap(), enosys, SeccompAction::Allow)
                .unwrap();
        assert!(program.len() < 4096, "{}", program.len());
    }
}

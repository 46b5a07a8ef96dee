//! System calls that neither `std` nor `rustix` offers as safe functions. The only other file with `unsafe` is that of
//! the attacks, `escape/raw.rs`.
//!
//! Everything here is called in the single-threaded init process, except where a function says otherwise.

#![allow(
    unsafe_code,
    reason = "these system calls have no safe wrapper; each block says why it is sound"
)]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
    time::Duration,
};

use rustix::{process::Pid, thread::UnshareFlags};

/// What reaped children have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) max_rss_bytes: u64,
}

/// The two sides of a fork.
pub(crate) enum Fork {
    Child,
    Parent(Pid),
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks the process. Only to be called while it has one thread.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the process has a single thread, so no lock can be held by a thread that the child lacks, and the child
    // may use the allocator and std freely.
    let pid = checked(unsafe { libc::fork() })?;
    Ok(Pid::from_raw(pid).map_or(Fork::Child, Fork::Parent))
}

/// Leaves the namespaces in `flags` for fresh ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES), "shared descriptors must stay shared");
    // SAFETY: the one hazard of unshare is FILES, which no caller passes.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Adds mount attributes (`MOUNT_ATTR_*`) to a mount and, when `recursive`, to all below it.
pub(crate) fn restrict_mount(path: &Path, attributes: u64, recursive: bool) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    let attributes =
        libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: path is a NUL-terminated string and attributes a whole `mount_attr` of the size given; the kernel only
    // reads both, during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until one of the descriptors is readable or closed, or the time is over; says which are.
pub(crate) fn wait_readable(
    fds: [BorrowedFd<'_>; 2],
    timeout: Option<Duration>,
) -> io::Result<[bool; 2]> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let millis = timeout.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
    // SAFETY: polled is an array of two `pollfd` that lives through the call, with descriptors borrowed for as long.
    match checked(unsafe { libc::poll(polled.as_mut_ptr(), 2, millis) }) {
        Ok(_) => Ok(polled.map(|one| one.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; 2]),
        Err(error) => Err(error),
    }
}

/// What the children that were waited for, and their waited-for children, have used. Callable from anywhere.
pub(crate) fn usage_of_children() -> Usage {
    // SAFETY: rusage consists of integers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: usage is a whole `rusage` that the kernel may write.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Usage::default();
    }
    let time = |spent: libc::timeval| {
        let seconds = Duration::from_secs(u64::try_from(spent.tv_sec).unwrap_or(0));
        seconds.saturating_add(Duration::from_micros(u64::try_from(spent.tv_usec).unwrap_or(0)))
    };
    Usage {
        cpu: time(usage.ru_utime).saturating_add(time(usage.ru_stime)),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    }
}

/// Closes every descriptor but 0, 1 and 2. To be called before anything in this process owns another one.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in the init process, when no value of the program owns a descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.9.
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for fd in open.into_iter().filter(|&fd| fd > 2) {
        // SAFETY: as above; closing one that is closed already (the folder's own) only answers EBADF.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Points stdin and stdout of this process at `other`, so that it no longer holds the ends of the program's pipes.
pub(crate) fn replace_stdin_and_stdout(other: BorrowedFd<'_>) -> io::Result<()> {
    for target in [0, 1] {
        // SAFETY: both descriptors are open; std's stdin and stdout handles go on to work on whatever 0 and 1 are.
        checked(unsafe { libc::dup2(other.as_raw_fd(), target) })?;
    }
    Ok(())
}

/// Gives back the signals for which std installs handlers at start, so that this process has none.
pub(crate) fn reset_fault_signals() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of this process. What the handlers were for, a message when the stack
        // overflows, is lost; the process still ends then.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Process and user at the other end of a connection when it was made.
pub(crate) fn peer_of(stream: &UnixStream) -> io::Result<(i32, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: peer is a whole `ucred` and size says how large it is; the kernel writes at most that much.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    checked(result)?;
    Ok((peer.pid, peer.uid))
}

const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;

/// The argument of `landlock_add_rule`, which the kernel's interface packs.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// The version of the kernel's Landlock interface, from 1; an error where it is absent or switched off.
pub(crate) fn landlock_version() -> io::Result<u32> {
    let none: *const u64 = std::ptr::null();
    // SAFETY: with this flag and size 0 the kernel reads nothing.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            none,
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

/// Makes an empty set of rules that handles these rights of files, network and scope.
pub(crate) fn landlock_create(version: u32, handled: [u64; 3]) -> io::Result<OwnedFd> {
    // The argument has grown with the versions; older kernels refuse what they do not know.
    let known: usize = match version {
        0..=3 => 1,
        4..=5 => 2,
        _ => 3,
    };
    // SAFETY: handled is an array of three u64 laid out as the kernel's structure; at most that much is read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            handled.as_ptr(),
            known * size_of::<u64>(),
            0_u32,
        )
    };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows these rights below a folder, or for a file.
pub(crate) fn landlock_allow(
    rules: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    allowed: u64,
) -> io::Result<()> {
    let rule = PathBeneath { allowed, parent: target.as_raw_fd() };
    // SAFETY: rule has the layout that the kernel's interface states and lives through the call; both descriptors are
    // borrowed for as long.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0_u32,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Puts this thread under the rules for good.
pub(crate) fn landlock_enforce(rules: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

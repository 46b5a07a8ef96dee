//! The program's own root folder: an empty read-only one in memory, with the files it was given bound into it.
//!
//! Nothing of the machine's tree can be reached afterwards: the old root is unmounted, not only hidden.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Component, Path, PathBuf},
};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
        unmount,
    },
    process::pivot_root,
    thread::UnshareFlags,
};

use crate::{
    Bind, Protection, sys,
    wire::{Fault, Plan, Step},
};

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

/// Folders of which one exists on every system, to mount the new root on.
const FOOTHOLDS: [&str; 5] = ["/tmp", "/run", "/mnt", "/var", "/proc"];
const OLD: &str = "/.old";
const DEVICES: [&str; 2] = ["/dev/null", "/dev/zero"];

/// Leaves the machine's mounts, network, IPC and names for private ones and changes the root.
pub(crate) fn enter(plan: &Plan, owner: Option<u32>) -> Result<(), Fault> {
    let has = |protection| plan.protections.contains(&protection);
    if has(Protection::NoNetwork) {
        sys::unshare(UnshareFlags::NEWNET)
            .step(Protection::NoNetwork, "make a network namespace")?;
    }
    if has(Protection::OwnSystemNames) {
        let flags = UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
        let named = sys::unshare(flags).and_then(|()| Ok(rustix::system::sethostname(b"sandbox")?));
        named.step(Protection::OwnSystemNames, "make ipc, host name and cgroup namespaces")?;
    }
    if has(Protection::PrivateFiles) {
        sys::unshare(UnshareFlags::NEWNS)
            .step(Protection::PrivateFiles, "make a mount namespace")?;
        change_root(plan, owner)
            .map_err(|(step, error)| Fault::new(Some(Protection::PrivateFiles), step, &error))?;
    } else {
        std::env::set_current_dir("/").step(None, "enter the root folder")?;
    }
    Ok(())
}

type Failed = (String, io::Error);

fn at<T>(step: &str, path: &Path, result: Result<T, impl Into<io::Error>>) -> Result<T, Failed> {
    result.map_err(|error| (format!("{step} {}", path.display()), error.into()))
}

fn change_root(plan: &Plan, owner: Option<u32>) -> Result<(), Failed> {
    let root = Path::new("/");
    at(
        "make mounts private below",
        root,
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    let foothold = FOOTHOLDS.iter().map(Path::new).find(|path| path.is_dir()).unwrap_or(root);
    let bare = MountFlags::NOSUID | MountFlags::NODEV;
    at(
        "mount the new root on",
        foothold,
        in_memory(foothold, bare, "mode=755,size=1m,nr_inodes=4096"),
    )?;
    let old = foothold.join(OLD.trim_start_matches('/'));
    at("make", &old, fs::create_dir(&old))?;
    at("change the root to", foothold, pivot_root(foothold, &old))?;
    at("enter", root, std::env::set_current_dir("/"))?;

    for code in &plan.code {
        bind(code, READ_ONLY | NO_SUID | NO_DEVICES)?;
    }
    for device in DEVICES {
        bind(&Bind::new(device, device), READ_ONLY | NO_SUID | NO_EXEC)?;
    }
    for device in &plan.devices {
        // Writable, for drivers are spoken to through it; it stays one device.
        bind(&Bind::new(device, device), NO_SUID | NO_EXEC)?;
    }
    if plan.limits.tmp_bytes > 0 {
        let tmp = Path::new("/tmp");
        // Every inode costs kernel memory that only a cgroup would count, so their number is bounded too.
        let inodes = (plan.limits.tmp_bytes / 4096).clamp(64, 65_536);
        let options = format!("mode=1777,size={},nr_inodes={inodes}", plan.limits.tmp_bytes);
        at("make", tmp, fs::create_dir(tmp))?;
        at("mount", tmp, in_memory(tmp, bare | MountFlags::NOEXEC, &options))?;
    }
    for data in &plan.read_only {
        bind(data, READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC)?;
    }
    if let Some(folder) = &plan.writable {
        bind(folder, NO_SUID | NO_DEVICES | NO_EXEC)?;
        if let Some(owner) = owner {
            let given = chown(&folder.inside, Some(owner), Some(owner)).and_then(|()| {
                fs::set_permissions(&folder.inside, fs::Permissions::from_mode(0o700))
            });
            at("give the program", &folder.inside, given)?;
        }
    }
    at("leave", Path::new(OLD), unmount(OLD, UnmountFlags::DETACH))?;
    at("remove", Path::new(OLD), fs::remove_dir(OLD))?;
    at(
        "make read-only",
        root,
        sys::restrict_mount(root, READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC, false),
    )
}

fn in_memory(target: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount("tilth", target, "tmpfs", flags, options.as_c_str())?)
}

/// Binds a file or folder of the old root into the new one.
fn bind(bind: &Bind, attributes: u64) -> Result<(), Failed> {
    let inside = &bind.inside;
    if !is_plain(inside) {
        return Err((format!("bind at {}", inside.display()), io::ErrorKind::InvalidInput.into()));
    }
    let source = under_old(&bind.host);
    let is_folder = at("look at", &bind.host, fs::metadata(&source))?.is_dir();
    let made = if is_folder {
        fs::create_dir_all(inside)
    } else {
        let parents = inside.parent().map_or(Ok(()), fs::create_dir_all);
        parents.and_then(|()| File::options().create(true).append(true).open(inside).map(drop))
    };
    at("make", inside, made)?;
    at("bind", &bind.host, mount_bind_recursive(&source, inside))?;
    at("restrict", inside, sys::restrict_mount(inside, attributes, true))
}

fn under_old(host: &Path) -> PathBuf {
    Path::new(OLD).join(host.strip_prefix("/").unwrap_or(host))
}

/// Whether a path is absolute, names something below the root, and has no steps upward.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && path.file_name().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

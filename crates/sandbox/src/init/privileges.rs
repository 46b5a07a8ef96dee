//! Giving up rights: user and group, capabilities, resource limits.

use std::{fs, io};

use rustix::{
    process::{
        DumpableBehavior, Gid, Resource, Rlimit, Uid, getegid, geteuid, set_dumpable_behavior,
        setrlimit,
    },
    thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, capability_is_in_bounding_set,
        clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    Limits, Protection, sys,
    wire::{Fault, MAKE_USER_NAMESPACE, Step},
};

/// First of the user ids given to programs when the agent is root; the init's process id is added, so that no two
/// programs alive have the same. The range lies above those that systemd and container engines hand out.
pub(crate) const FIRST_USER: u32 = 1_900_000_000;

/// The id by which a program in a user namespace sees itself.
const INSIDE_USER: u32 = 1000;

/// Becomes a user that owns nothing, with a group of the same number and no other groups than those of the devices that
/// it is given.
pub(crate) fn become_user(id: u32, devices: &[u32]) -> Result<(), Fault> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    let devices: Vec<Gid> = devices.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&devices)
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .step(Protection::OtherUser, "become another user")
}

/// Makes a user namespace in which this process's user has an ordinary id and this process all capabilities.
pub(crate) fn enter_user_namespace() -> Result<(), Fault> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // After a change of user the process's own files in /proc belong to root until it says otherwise.
    set_dumpable_behavior(DumpableBehavior::Dumpable).step(None, MAKE_USER_NAMESPACE)?;
    sys::unshare(UnshareFlags::NEWUSER).step(None, MAKE_USER_NAMESPACE)?;
    let mapped = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{INSIDE_USER} {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{INSIDE_USER} {group} 1")));
    mapped.step(None, MAKE_USER_NAMESPACE)
}

/// Bars this process from ever having a capability again, whatever it runs. Must come before the change of user.
pub(crate) fn empty_bounding_set() -> io::Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // The kernel knows no more capabilities.
            Err(_) => break,
        }
    }
    Ok(())
}

/// Drops all capabilities this process has, and all ways for it to get any.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    // Kernels without ambient capabilities have nothing to clear.
    let _ = clear_ambient_capability_set();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(set_no_new_privs(true)?)
}

/// The limits that the kernel keeps per process. `memory` adds one on private memory, where no cgroup bounds it.
pub(crate) fn set_quotas(limits: &Limits, memory: bool, processes: Option<u64>) -> io::Result<()> {
    // The CPU limit comes with a second's grace for the watch, which is more exact and counts all processes.
    let cpu = limits.cpu.map(|time| time.as_secs().saturating_add(2));
    let data = memory.then(|| {
        limits.memory_bytes.saturating_add(limits.memory_bytes / 4).saturating_add(256 << 20)
    });
    let all = [
        // Not 0: with 0 the kernel still hands the memory of a crashed program to the helper that many systems name in
        // `core_pattern`, which runs as root outside. With 1 it neither starts a helper nor writes a file.
        (Resource::Core, Some(1)),
        (Resource::Stack, Some(8 << 20)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nofile, Some(u64::from(limits.open_files))),
        (Resource::Fsize, Some(limits.file_bytes)),
        (Resource::Cpu, cpu),
        (Resource::Data, data),
        (Resource::Nproc, processes),
    ];
    for (resource, value) in all {
        let Some(value) = value else { continue };
        // A lower hard limit that was inherited stays: only root may raise it, and stricter is safe.
        let ceiling = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let value = Some(value.min(ceiling));
        setrlimit(resource, Rlimit { current: value, maximum: value })?;
    }
    Ok(())
}

//! Landlock: which files the program may use, kept by the kernel for the process itself.
//!
//! Inside a private root this is a second wall. Where there can be no private root it is the only one: names and
//! attributes of the machine's files stay visible then, contents do not.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};

use crate::{Bind, Protection, sys, wire::Plan};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// Rights that make sense for a file that is not a folder.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
const READ: u64 = READ_FILE | READ_DIR;
/// In the output folder nothing can be removed or moved, so that what was written there stays to be counted.
const ADD: u64 = READ | WRITE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | TRUNCATE;
const WRITE: u64 = READ
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SYM
    | REFER
    | TRUNCATE;

/// The rights that the first version of the interface knows; later ones are added by version.
const FIRST: u64 = (MAKE_SYM << 1) - 1;
const BIND_AND_CONNECT_TCP: u64 = 3;
const ABSTRACT_SOCKETS_AND_SIGNALS: u64 = 3;

/// Puts this process, and what becomes of it, under the rules for good. Needs `no_new_privs`.
pub(crate) fn install(plan: &Plan) -> io::Result<()> {
    let version = sys::landlock_version()?;
    let mut files = FIRST;
    for (since, right) in [(2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)] {
        if version >= since {
            files |= right;
        }
    }
    let network = if version >= 4 { BIND_AND_CONNECT_TCP } else { 0 };
    let scoped = if version >= 6 { ABSTRACT_SOCKETS_AND_SIGNALS } else { 0 };
    let rules = sys::landlock_create(version, [files, network, scoped])?;
    for (path, rights) in allowed(plan) {
        let target = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let rights = if path.is_dir() { rights } else { rights & OF_FILES };
        sys::landlock_allow(rules.as_fd(), target.as_fd(), rights & files)?;
    }
    sys::landlock_enforce(rules.as_fd())
}

fn allowed(plan: &Plan) -> Vec<(PathBuf, u64)> {
    let private = plan.protections.contains(&Protection::PrivateFiles);
    let seen = |bind: &Bind| if private { bind.inside.clone() } else { bind.host.clone() };
    let mut allowed =
        vec![("/dev/null".into(), READ_FILE | WRITE_FILE), ("/dev/zero".into(), READ_FILE)];
    allowed.extend(plan.code.iter().map(|bind| (seen(bind), READ_FILE | EXECUTE)));
    allowed.extend(plan.read_only.iter().map(|bind| (seen(bind), READ)));
    let device = READ_FILE | WRITE_FILE | IOCTL_DEV;
    allowed.extend(plan.devices.iter().map(|path| (path.clone(), device)));
    allowed.extend(plan.writable.iter().map(|bind| (seen(bind), ADD)));
    if private {
        allowed.push(("/".into(), READ_DIR));
        if plan.limits.tmp_bytes > 0 {
            allowed.push(("/tmp".into(), WRITE));
        }
    } else {
        // The loader looks here for libraries whose folders it does not search by itself.
        let cache = Path::new("/etc/ld.so.cache");
        allowed.extend(cache.exists().then(|| (cache.to_owned(), READ_FILE)));
    }
    allowed
}

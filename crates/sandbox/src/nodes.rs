//! Who may open a device node, and what a program in the sandbox needs to be one of them.
//!
//! Under root a program becomes a user that owns nothing, so it opens a node only if everybody may, or by way of the
//! node's group. Otherwise it keeps the agent's user and groups, and can open what the agent can.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::geteuid,
};

/// Reading and writing: a driver is spoken to by both.
const BOTH: u32 = 0o6;
/// Root's own group: what it may do on the machine is not for tenants.
const ROOT_GROUP: u32 = 0;

/// By what right a user that owns nothing can open a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Everybody,
    Group(u32),
    None,
}

fn right(mode: u32, group: u32) -> Right {
    if mode & BOTH == BOTH {
        Right::Everybody
    } else if mode >> 3 & BOTH == BOTH && group != ROOT_GROUP {
        Right::Group(group)
    } else {
        Right::None
    }
}

fn right_of(path: &Path) -> io::Result<Right> {
    let data = fs::metadata(path)?;
    if !data.file_type().is_char_device() {
        return Err(io::Error::other("it is not a device"));
    }
    Ok(right(data.mode(), data.gid()))
}

/// The groups that a user who owns nothing needs to open these nodes; each once.
pub(crate) fn groups_of(nodes: &[PathBuf]) -> Vec<u32> {
    let mut groups: Vec<u32> = nodes
        .iter()
        .filter_map(|node| match right_of(node) {
            Ok(Right::Group(group)) => Some(group),
            // What cannot be opened is said by `why_closed`, to people and before anything runs.
            _ => None,
        })
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Why a program in the sandbox of this process cannot open a node, and what to do; `None`: it can.
pub(crate) fn why_closed(node: &Path) -> Option<String> {
    let name = node.display();
    if geteuid().is_root() {
        return match right_of(node) {
            Ok(Right::Everybody | Right::Group(_)) => None,
            Ok(Right::None) => Some(format!(
                "{name} opens for root alone: give it to a group that may read and write it \
                 (chgrp render {name} && chmod 660 {name})"
            )),
            Err(error) => Some(no_device(node, &error)),
        };
    }
    let error = access(node, Access::READ_OK | Access::WRITE_OK).err()?;
    Some(match right_of(node) {
        Ok(Right::Group(group)) => format!(
            "{name} does not open for this user ({error}): add it to the node's group \
             (usermod --append --groups {group} USER) and log in again"
        ),
        Ok(Right::None) => format!(
            "{name} opens for its owner alone: give it to a group that may read and write it \
             (chgrp render {name} && chmod 660 {name}), and this user to the group"
        ),
        Ok(Right::Everybody) => format!(
            "{name} is open to everybody and still does not open ({error}): see whether a \
             container or a security module (AppArmor, SELinux) keeps it from this user"
        ),
        Err(error) => no_device(node, &error),
    })
}

fn no_device(node: &Path, error: &io::Error) -> String {
    let name = node.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        return format!(
            "{name} cannot be looked at ({error}): see who may enter the folders above it"
        );
    }
    format!(
        "{name} is no device that can be used ({error}): load the driver that makes it, and see \
         what `ls -l {name}` shows"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_opens_for_everybody_or_for_a_group_that_is_not_roots() {
        for (mode, group, due) in [
            (0o020_666, 0, Right::Everybody),
            (0o020_666, 44, Right::Everybody),
            (0o020_660, 107, Right::Group(107)),
            (0o020_660, ROOT_GROUP, Right::None),
            (0o020_640, 107, Right::None),
            (0o020_664, 107, Right::Group(107)),
            (0o020_600, 107, Right::None),
        ] {
            assert_eq!(right(mode, group), due, "{mode:o} {group}");
        }
    }

    #[test]
    fn what_is_no_device_opens_for_nobody() {
        assert!(
            groups_of(&["/etc/passwd".into(), "/nowhere".into(), "/dev/null".into()]).is_empty()
        );
        assert!(why_closed(Path::new("/dev/null")).is_none());
        let why = why_closed(Path::new("/dev/nowhere")).unwrap();
        assert!(why.contains("/dev/nowhere") && why.contains("load the driver"), "{why}");
    }
}

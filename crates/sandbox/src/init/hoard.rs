//! Memory that belongs to no process: anonymous files (`memfd_create`) and shared anonymous mappings.
//!
//! What is in them stays when it is unmapped, or mapped and told to be not needed, so the resident size of the processes
//! does not show it. Counted only where no memory cgroup does it better. Reads `/proc` of the machine.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::linux::fs::MetadataExt,
    sync::OnceLock,
};

use rustix::{
    fs::{MemfdFlags, fstat, memfd_create},
    process::Pid,
};

use crate::output::BLOCK;

/// Most of `/proc/PID/maps` that is read, in bytes: 65,530 mappings are the most a process can have, of some 100 bytes.
const MAX_MAPS: u64 = 16 << 20;

/// Adds up what the processes hold together; each file counts once.
pub(super) struct Hoard {
    /// What a file is taken to hold whose size nobody can see, in bytes.
    most: u64,
    /// Files that are open somewhere, with what they hold.
    open: HashMap<u64, u64>,
    /// What is mapped, by inode and offset: the longest such mapping, and whether it is a file.
    mapped: HashMap<(u64, u64), (u64, bool)>,
}

impl Hoard {
    /// `most` is the largest that a file can be.
    pub(super) fn new(most: u64) -> Self {
        Self { most, open: HashMap::new(), mapped: HashMap::new() }
    }

    /// Adds what a process has open and mapped. One that has just ended has nothing.
    pub(super) fn add(&mut self, pid: Pid) {
        let Some(device) = memory_device() else { return };
        if let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) {
            for descriptor in descriptors.flatten() {
                let Ok(data) = fs::metadata(descriptor.path()) else { continue };
                if data.st_dev() == device && data.is_file() {
                    self.open.insert(data.st_ino(), data.st_blocks().saturating_mul(BLOCK));
                }
            }
        }
        let Ok(maps) = File::open(format!("/proc/{pid}/maps")) else { return };
        for line in BufReader::new(maps.take(MAX_MAPS)).lines().map_while(Result::ok) {
            let Some(mapping) = Mapping::read(&line).filter(|one| one.device == device) else {
                continue;
            };
            let longest = self.mapped.entry((mapping.inode, mapping.offset)).or_default();
            *longest = (longest.0.max(mapping.bytes), mapping.is_file);
        }
    }

    /// What all hold. A file that is mapped but open nowhere counts as the largest there can be, for its size cannot be
    /// seen; a shared mapping that is no file, as much as is mapped of it.
    pub(super) fn bytes(&self) -> u64 {
        let mut held = self.open.clone();
        for (&(inode, _), &(bytes, is_file)) in &self.mapped {
            match held.entry(inode) {
                Entry::Vacant(entry) => {
                    entry.insert(if is_file { self.most } else { bytes });
                }
                Entry::Occupied(mut entry) if !is_file && !self.open.contains_key(&inode) => {
                    let sum = entry.get().saturating_add(bytes);
                    entry.insert(sum);
                }
                Entry::Occupied(_) => {}
            }
        }
        held.into_values().fold(0, u64::saturating_add)
    }
}

/// A line of `/proc/PID/maps`.
struct Mapping {
    bytes: u64,
    offset: u64,
    device: u64,
    inode: u64,
    is_file: bool,
}

impl Mapping {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = fields.next()?.split_once('-')?;
        let _rights = fields.next()?;
        let offset = hex(fields.next()?)?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let device =
            rustix::fs::makedev(hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?);
        let is_file = fields.next().is_some_and(|name| name.starts_with("/memfd:"));
        Some(Self { bytes: hex(end)?.checked_sub(hex(start)?)?, offset, device, inode, is_file })
    }
}

/// The device number of the kernel's own file system for anonymous memory.
fn memory_device() -> Option<u64> {
    static DEVICE: OnceLock<Option<u64>> = OnceLock::new();
    *DEVICE.get_or_init(|| {
        let file = memfd_create("tilth", MemfdFlags::CLOEXEC).ok()?;
        fstat(&file).ok().map(|data| data.st_dev)
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::OwnedFd};

    use super::*;

    fn file_of(bytes: usize) -> File {
        let file: OwnedFd = memfd_create("hoard", MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(file);
        file.write_all(&vec![1; bytes]).unwrap();
        file
    }

    #[test]
    fn anonymous_files_count_once_and_only_what_they_hold() {
        let me = rustix::process::getpid();
        let count = || {
            let mut hoard = Hoard::new(1 << 40);
            hoard.add(me);
            hoard.add(me);
            hoard.bytes()
        };
        let before = count();
        let file = file_of(3 << 20);
        file.set_len(1 << 30).unwrap();
        let again = file.try_clone().unwrap();
        let held = count() - before;
        assert!((3 << 20..4 << 20).contains(&held), "{held}");
        drop((file, again));
        assert!(count() < before + (1 << 20));
    }

    #[test]
    fn lines_of_the_kernel_s_table_are_read() {
        let file = "7f0c00000000-7f0c00002000 r--p 00001000 00:01 77  /memfd:x y (deleted)";
        let mapping = Mapping::read(file).unwrap();
        assert_eq!((mapping.bytes, mapping.offset, mapping.inode), (0x2000, 0x1000, 77));
        assert!(mapping.is_file && mapping.device == 1);
        let shared = "7f0c00000000-7f0c00002000 rw-s 00000000 00:01 78  /dev/zero (deleted)";
        assert!(!Mapping::read(shared).unwrap().is_file);
        assert!(Mapping::read("nonsense").is_none() && Mapping::read("").is_none());
    }
}

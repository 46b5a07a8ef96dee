//! Small disks under roles' folders, so that one of them can be full while the machine's is not.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::space::as_root;

/// Size of a role's disk. The content store keeps 256 MiB of it free.
const MIB: u32 = 400;

/// A disk in memory, unmounted when dropped.
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Mounts one at a folder that exists. Says why it cannot.
    pub fn mount(dir: &Path) -> Result<Self, String> {
        as_root()?;
        let size = format!("size={MIB}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tilth-faults"])
            .arg(dir)
            .output()
            .map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Takes all the room there is, to the last block.
    pub fn fill(&self) -> std::io::Result<()> {
        let ballast = File::create(self.ballast())?;
        let (mut size, mut step) = (0, u64::from(MIB) << 20);
        while step >= 4096 {
            match fallocate(&ballast, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn clear(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}

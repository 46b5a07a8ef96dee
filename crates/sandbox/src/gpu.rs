//! What a program needs of the machine to use a GPU through Vulkan: the loader, drivers with their libraries, and for
//! real devices their nodes. Everything else stays closed.
//!
//! A driver in software needs no device at all: it is code in the program's own process. For a device the nodes are
//! opened that its driver speaks through, and what the kernel says about it under `/sys`, read-only.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Bind, Program, libraries::needed_by_library, nodes::why_closed};

/// Where Vulkan's drivers are announced.
const ANNOUNCED: [&str; 3] =
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
/// Where shared libraries lie, besides the folder that the system names after its kind.
const LIBRARIES: [&str; 4] = ["/usr/lib64", "/usr/lib", "/lib64", "/lib"];
/// Vulkan's loader.
const LOADER: &str = "libvulkan.so.1";
/// Most bytes of a driver's announcement, and most drivers that are looked at.
const MAX_ANNOUNCEMENT: u64 = 64 << 10;
const MAX_DRIVERS: usize = 32;
/// Drivers that compute on the CPU, by their libraries' names.
const SOFTWARE: [&str; 2] = ["libvulkan_lvp", "libvk_swiftshader"];

/// Which GPU a program is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GpuUse {
    /// None.
    #[default]
    Off,
    /// The machine's devices.
    Hardware,
    /// A driver that computes on the CPU; for tests, and to see how it works.
    Software,
}

/// What has to be opened for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuAccess {
    code: Vec<Bind>,
    read_only: Vec<Bind>,
    devices: Vec<PathBuf>,
    drivers: Vec<String>,
    /// What is missing here or could not be opened, for people.
    pub missing: Vec<String>,
}

impl GpuAccess {
    /// Looks around on this machine for what `program` will need.
    #[must_use]
    pub fn find(program: &Path, which: GpuUse) -> Self {
        let mut access = Self::default();
        if which == GpuUse::Off {
            return access;
        }
        if which == GpuUse::Hardware && !access.find_devices() {
            access.missing.push("no GPU: neither /dev/dri/renderD* nor /dev/nvidia*".into());
            return access;
        }
        let Some(loader) = library(LOADER) else {
            access.missing.push(format!("{LOADER}: install the Vulkan loader (libvulkan1)"));
            return access;
        };
        if let Err(error) = access.add_library(program, &loader, &Path::new("/lib").join(LOADER)) {
            access.missing.push(format!("{}: {error}", loader.display()));
            return access;
        }
        for announcement in announcements() {
            if let Err(error) = access.add_driver(program, &announcement, which) {
                access.missing.push(format!("{}: {error}", announcement.display()));
            }
        }
        if access.drivers.is_empty() {
            access.missing.push(match which {
                GpuUse::Software => "no Vulkan driver in software (mesa-vulkan-drivers)".into(),
                _ => "no Vulkan driver for a device".into(),
            });
        }
        access
    }

    /// Whether there is a driver to try.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.drivers.is_empty()
    }

    /// The device nodes that are opened.
    #[must_use]
    pub fn devices(&self) -> &[PathBuf] {
        &self.devices
    }

    /// Opens all this to a program.
    pub fn give(&self, program: &mut Program) {
        program.code.extend(self.code.iter().cloned());
        program.read_only.extend(self.read_only.iter().cloned());
        program.devices.extend(self.devices.iter().cloned());
        let drivers = self.drivers.join(":");
        // The first is the name that the loader of 2022 and later reads, the second the older one.
        program.env.push(("VK_DRIVER_FILES".into(), drivers.clone()));
        program.env.push(("VK_ICD_FILENAMES".into(), drivers));
        // Layers of the machine's owner have no business here, and their files are not there.
        program.env.push(("VK_LOADER_LAYERS_DISABLE".into(), "~all~".into()));
    }

    /// Finds device nodes and what the kernel says about them. False: there are none.
    fn find_devices(&mut self) -> bool {
        let mut facts = BTreeSet::new();
        for path in nodes("/dev/dri", |name| name.starts_with("renderD")) {
            if let Ok(data) = path.metadata() {
                let (major, minor) = (libc::major(data.rdev()), libc::minor(data.rdev()));
                let link =
                    Path::new("/sys/dev/char").join(format!("{major}:{minor}")).join("device");
                facts.extend(link.canonicalize().ok());
            }
            self.devices.push(path);
        }
        let is_card = |name: &str| {
            name.strip_prefix("nvidia").is_some_and(|rest| {
                matches!(rest, "ctl" | "-uvm" | "-modeset")
                    || !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        self.devices.extend(nodes("/dev", is_card));
        self.missing.extend(self.devices.iter().filter_map(|node| why_closed(node)));
        if !facts.is_empty() {
            facts.insert("/sys/dev/char".into());
        }
        self.read_only.extend(facts.iter().map(|path| Bind::new(path, path)));
        !self.devices.is_empty()
    }

    fn add_driver(&mut self, program: &Path, announcement: &Path, which: GpuUse) -> io::Result<()> {
        let mut text = Vec::new();
        File::open(announcement)?.take(MAX_ANNOUNCEMENT).read_to_end(&mut text)?;
        let announced: Announcement = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let named = announced.icd.library_path;
        let name = named.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_software = name.is_some_and(|name| SOFTWARE.iter().any(|one| name.contains(one)));
        if is_software != (which == GpuUse::Software) {
            return Ok(());
        }
        // The loader in the sandbox finds it where the announcement says, or by its bare name in /lib.
        let missing = || io::Error::other(format!("{} is not there", named.display()));
        let (found, inside) = if named.is_absolute() {
            (Some(named.clone()), named.clone())
        } else if named.components().count() == 1 {
            (library(&named.to_string_lossy()), Path::new("/lib").join(&named))
        } else {
            let beside = announcement.parent().map(|folder| folder.join(&named));
            return Err(io::Error::other(format!("a relative path ({beside:?}) is not supported")));
        };
        self.add_library(program, &found.ok_or_else(missing)?, &inside)?;
        self.read_only.push(Bind::new(announcement, announcement));
        self.drivers.push(announcement.to_string_lossy().into_owned());
        Ok(())
    }

    fn add_library(&mut self, program: &Path, library: &Path, inside: &Path) -> io::Result<()> {
        for bind in needed_by_library(program, library, inside)? {
            if self.code.iter().all(|known| known.inside != bind.inside) {
                self.code.push(bind);
            }
        }
        Ok(())
    }
}

/// The part of a driver's announcement that matters here.
#[derive(Deserialize)]
struct Announcement {
    #[serde(rename = "ICD")]
    icd: Driver,
}

#[derive(Deserialize)]
struct Driver {
    library_path: PathBuf,
}

/// Files that announce drivers, in order.
fn announcements() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ANNOUNCED
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    found.sort();
    found.truncate(MAX_DRIVERS);
    found
}

/// A library by its name, in the folders that the system's loader searches.
fn library(name: &str) -> Option<PathBuf> {
    let kind = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = std::iter::once(kind.as_str()).chain(LIBRARIES);
    folders.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Character devices in a folder whose names fit.
fn nodes(folder: &str, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| fits(&entry.file_name().to_string_lossy()))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_char_device()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_unless_asked_for() {
        let me = std::env::current_exe().unwrap();
        assert_eq!(GpuAccess::find(&me, GpuUse::Off), GpuAccess::default());
        let software = GpuAccess::find(&me, GpuUse::Software);
        assert!(software.devices().is_empty(), "software needs no device");
        assert!(software.is_usable() || !software.missing.is_empty());
        let hardware = GpuAccess::find(&me, GpuUse::Hardware);
        assert!(hardware.devices().iter().all(|path| path.starts_with("/dev")));
        assert!(!hardware.devices().is_empty() || !hardware.missing.is_empty());
        assert!(
            hardware.code.iter().all(|bind| !bind.host.to_string_lossy().contains(SOFTWARE[0]))
        );
    }
}

//! The folder that an untrusted program has written to, handled as what it is: hostile.
//!
//! Names, kinds, sizes, modes and depth are the program's choice, and while it lives it may change them between any
//! two looks. Nothing here follows a link, opens anything but plain files and folders, or goes by path below the
//! folder itself.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, fstat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
};

/// The deepest that folders may lie in the output folder, itself not counted.
pub const MAX_DEPTH: usize = 16;

/// The unit of `st_blocks` on Linux, in bytes.
pub(crate) const BLOCK: u64 = 512;
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// What lies in a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// What it takes on disk, in bytes; files with several names count once for each.
    pub bytes: u64,
    /// Files, folders, links and all else.
    pub entries: u64,
}

/// Opens a plain file of at most `max` bytes that lies directly in `folder`.
///
/// A link, a pipe, a device, a folder or a file with a second name is not opened; neither does it block.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::InvalidData`] when it is no such file.
pub fn take(folder: &Path, name: &str, max: u64) -> io::Result<File> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name of a file"));
    }
    let folder = openat(CWD, folder, FOLDER, Mode::empty())?;
    let careful = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Opening a device can do things by itself, so what it is is asked first; a pipe in its place, put there since, is
    // opened without waiting and refused below.
    let seen = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let plain = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if !plain(seen.st_mode) {
        return refused("not a plain file");
    }
    let file = openat(&folder, name, careful, Mode::empty())?;
    let data = fstat(&file)?;
    if !plain(data.st_mode) || data.st_nlink != 1 {
        return refused("not a plain file with one name");
    }
    if u64::try_from(data.st_size).map_or(true, |size| size > max) {
        return refused("larger than allowed");
    }
    Ok(File::from(file))
}

/// Adds up a folder. `None` as soon as it holds more than `bounds`, lies deeper than [`MAX_DEPTH`] or has a folder that
/// cannot be listed: whoever hides something has too much.
///
/// # Errors
/// When the folder itself cannot be opened.
pub fn measure(folder: &Path, bounds: Size) -> io::Result<Option<Size>> {
    let top = openat(CWD, folder, FOLDER, Mode::empty())?;
    let mut size = Size::default();
    Ok(add_up(top, MAX_DEPTH, bounds, &mut size).then_some(size))
}

/// Whether all below `folder` is within bounds so far.
fn add_up(folder: OwnedFd, depth: usize, bounds: Size, size: &mut Size) -> bool {
    let Ok(entries) = Dir::new(folder) else { return false };
    let mut folders = Vec::new();
    let mut entries = entries;
    while let Some(entry) = entries.read() {
        let Ok(entry) = entry else { return false };
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let Ok(parent) = entries.fd() else { return false };
        let data = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(data) => data,
            // It has gone since; links and files can be put in each other's place.
            Err(Errno::NOENT) => continue,
            Err(_) => return false,
        };
        size.entries = size.entries.saturating_add(1);
        let bytes = u64::try_from(data.st_blocks).unwrap_or(0).saturating_mul(BLOCK);
        size.bytes = size.bytes.saturating_add(bytes);
        if size.entries > bounds.entries || size.bytes > bounds.bytes {
            return false;
        }
        if FileType::from_raw_mode(data.st_mode) == FileType::Directory {
            folders.push(name.to_owned());
        }
    }
    let Ok(parent) = entries.fd() else { return false };
    folders.into_iter().all(|name| match openat(parent, &*name, FOLDER, Mode::empty()) {
        Ok(below) => depth > 0 && add_up(below, depth - 1, bounds, size),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
        Err(_) => false,
    })
}

/// Removes a folder with all that is in it, whatever it is. The program must have ended.
///
/// Neither depth nor number of entries matters: folders that lie deep are moved up before they are emptied, so that
/// few descriptors are open at a time. Folders without rights get some first.
///
/// # Errors
/// Those of the system; a folder that is not there is as good as removed.
pub fn clear(folder: &Path) -> io::Result<()> {
    let top = match openat(CWD, folder, FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut moved = 0_u64;
    while !empty(&top, &top, MAX_DEPTH, &mut moved)? {}
    std::fs::remove_dir(folder)
}

/// Removes what is in `folder`; false when something deep has been moved to `top` to be removed later.
fn empty(folder: &impl AsFd, top: &OwnedFd, depth: usize, moved: &mut u64) -> io::Result<bool> {
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        if !is_dots(&name) {
            names.push(name);
        }
    }
    let mut whole = true;
    for name in names {
        let is_folder = match unlinkat(folder, &*name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => false,
            Err(Errno::ISDIR | Errno::PERM) => true,
            Err(error) => return Err(error.into()),
        };
        if !is_folder {
            continue;
        }
        let below = match openat(folder, &*name, FOLDER, Mode::empty()) {
            // What a folder without these rights holds can be neither listed, entered nor removed.
            Err(Errno::ACCESS) => {
                chmodat(folder, &*name, Mode::RWXU, AtFlags::empty())?;
                openat(folder, &*name, FOLDER, Mode::empty())?
            }
            opened => opened?,
        };
        rustix::fs::fchmod(&below, Mode::RWXU)?;
        if depth == 0 {
            // A name that is taken by a folder with something in it is refused, and the next is tried.
            loop {
                *moved += 1;
                match renameat(folder, &*name, top, format!(".deep-{moved}")) {
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                    done => break done?,
                }
            }
            whole = false;
        } else if empty(&below, top, depth - 1, moved)? {
            unlinkat(folder, &*name, AtFlags::REMOVEDIR)?;
        } else {
            whole = false;
        }
    }
    Ok(whole)
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
        },
    };

    use super::*;

    const MUCH: Size = Size { bytes: 1 << 30, entries: 1000 };

    #[test]
    fn only_plain_files_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "data").unwrap();
        assert_eq!(take(dir.path(), "file", 4).unwrap().metadata().unwrap().len(), 4);
        assert!(take(dir.path(), "file", 3).is_err(), "too large");
        fs::hard_link(path("file"), path("second")).unwrap();
        assert!(take(dir.path(), "file", 4).is_err(), "two names");
        symlink("/etc/passwd", path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        rustix::fs::mkfifoat(CWD, path("pipe"), Mode::RWXU).unwrap();
        for name in ["link", "folder", "pipe", "absent", "..", ".", "", "folder/../file"] {
            assert!(take(dir.path(), name, 1 << 30).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_is_added_up_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), vec![1; 100_000]).unwrap();
        symlink("/", dir.path().join("link")).unwrap();
        let size = measure(dir.path(), MUCH).unwrap().unwrap();
        assert_eq!(size.entries, 4);
        assert!((100_000..1_000_000).contains(&size.bytes), "{size:?}");
        assert_eq!(measure(dir.path(), Size { entries: 3, ..MUCH }).unwrap(), None);
        assert_eq!(measure(dir.path(), Size { bytes: 99_999, ..MUCH }).unwrap(), None);
        let sparse = File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert!(measure(dir.path(), MUCH).unwrap().is_some(), "a hole takes no space");
        let deep: std::path::PathBuf = std::iter::repeat_n("d", MAX_DEPTH + 1).collect();
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        assert_eq!(measure(dir.path(), MUCH).unwrap(), None);
        clear(&dir.path().join("d")).unwrap();
        assert!(measure(dir.path(), MUCH).unwrap().is_some());
        assert!(measure(&dir.path().join("absent"), MUCH).is_err());
    }

    #[test]
    fn whatever_a_program_leaves_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let kept = dir.path().join("kept");
        fs::write(&kept, "kept").unwrap();
        fs::create_dir(&out).unwrap();
        symlink(&kept, out.join("link")).unwrap();
        symlink(dir.path(), out.join("up")).unwrap();
        for name in [&b"\xff\xfe"[..], b"-rf", b"a\nb\x1b[2J", &[b'n'; 255]] {
            fs::write(out.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        }
        // A name that stands in the way of a folder that is to be moved up.
        fs::create_dir_all(out.join(".deep-1/full")).unwrap();
        fs::write(out.join(".deep-2"), "x").unwrap();
        // Far deeper than descriptors and stack of a usual process allow.
        let mut at = openat(CWD, &out, FOLDER, Mode::empty()).unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", FOLDER, Mode::empty()).unwrap();
        }
        fs::create_dir(out.join("barred")).unwrap();
        fs::write(out.join("barred/file"), "x").unwrap();
        fs::set_permissions(out.join("barred"), Permissions::from_mode(0o0)).unwrap();
        clear(&out).unwrap();
        assert!(!out.exists());
        clear(&out).unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "kept");
    }
}

//! Files that are there whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Writes a file, with its folder if that is missing, so that a crash, a full disk or a power cut leaves
/// what was there before or all of the new. Two writers of one file at the same time are not meant.
///
/// # Errors
/// Those of the file system. What was written under the passing name is removed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, None)
}

/// As [`write_whole`], of a file that nobody but its owner may read, not even while it is written.
///
/// # Errors
/// As [`write_whole`].
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, Some(0o600))
}

fn write(path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        if let Some(mode) = mode {
            options.mode(mode);
        }
        let mut file = options.open(&partial)?;
        if let Some(mode) = mode {
            // One that was left behind keeps its own.
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        // Renaming may reach the disk before the bytes do.
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().inspect_err(|_| {
        // It only takes space; whether it can be removed changes nothing.
        let _ = fs::remove_file(&partial);
    })?;
    File::open(folder)?.sync_all()
}

/// Bits of a file's mode by which others than its owner can get at it.
const OTHERS: u32 = 0o077;

/// The 32 secret bytes in a file that only its owner reads; made from the system's randomness if there is no file yet. One
/// that holds something else is left as it is: a key is never lost because somebody has written to the wrong place.
///
/// # Errors
/// Those of the file system; a file with another number of bytes, or one that others than its owner can read or change, with
/// what to do about it in its text.
pub fn kept_secret(path: &Path) -> io::Result<[u8; 32]> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return new_secret(path),
        Err(error) => return Err(error),
    };
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS != 0 {
        let text = format!(
            "its mode {:o} lets others read or change it; chmod 600 it, or remove it to have another made if somebody may \
             have read it",
            mode & 0o777
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    // One more than there may be.
    let mut bytes = Vec::with_capacity(33);
    file.take(33).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| {
        io::Error::other(
            "it does not hold 32 bytes; put it back from a copy, or remove it to have another made",
        )
    })
}

fn new_secret(path: &Path) -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    write_secret(path, &secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_and_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let first = kept_secret(&path).unwrap();
        assert_ne!(first, [0; 32]);
        assert_eq!(kept_secret(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // What a killed predecessor has left does not matter; what is no key is not touched.
        let other = dir.path().join("other");
        fs::write(dir.path().join("other.partial"), "half").unwrap();
        assert_ne!(kept_secret(&other).unwrap(), first);
        assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
        for wrong in ["half".to_owned(), "x".repeat(33)] {
            fs::write(&path, &wrong).unwrap();
            assert!(kept_secret(&path).unwrap_err().to_string().contains("remove it"));
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
    }

    #[test]
    fn a_secret_that_others_can_get_at_is_none_until_somebody_has_seen_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let first = kept_secret(&path).unwrap();
        let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set(mode);
            let error = kept_secret(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains(&format!("{mode:o}")), "{error}");
        }
        for mode in [0o600, 0o400] {
            set(mode);
            assert_eq!(kept_secret(&path).unwrap(), first);
        }
    }

    #[test]
    fn files_are_replaced_whole_and_failures_leave_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/file.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // A folder in the way of the passing name, then one in the way of the name.
        fs::create_dir(dir.path().join("new/folder/file.json.partial")).unwrap();
        assert!(write_whole(&path, b"three").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let taken = dir.path().join("new/taken");
        fs::create_dir(&taken).unwrap();
        assert!(write_whole(&taken, b"four").is_err());
        assert!(taken.is_dir() && !dir.path().join("new/taken.partial").exists());
    }

    #[test]
    fn a_secret_is_its_owners_even_over_what_was_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/key");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_secret(&path, b"one").unwrap();
        assert_eq!(mode(), 0o600);
        let partial = dir.path().join("new/key.partial");
        fs::write(&partial, b"half").unwrap();
        fs::set_permissions(&partial, Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"two".to_vec(), 0o600));
    }
}

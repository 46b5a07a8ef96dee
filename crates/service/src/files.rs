//! Files that are there whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Writes a file, with its folder if that is missing, so that a crash, a full disk or a power cut leaves
/// what was there before or all of the new. Two writers of one file at the same time are not meant.
///
/// # Errors
/// Those of the file system. What was written under the passing name is removed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&partial)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

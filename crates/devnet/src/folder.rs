//! A network's folder: who may use it, what is in it, what `fresh` deletes.
//!
//! ```text
//! network.json   which chain, which contracts          accounts/   keys
//! genesis.json   how the chain began                   providers/  each provider's state and blobs
//! chain/         the chain's database                  jobs/       what clients fetched
//! lock           held while the network runs
//! ```

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tilth_protocol::Problem;

/// Everything a network makes; nothing else in the folder is ever touched.
const CONTENTS: &[&str] =
    &["network.json", "genesis.json", "chain", "accounts", "providers", "jobs", "client"];

/// A folder that this process alone may run a network in.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, creating it if it is missing, and empties it if it should be fresh.
    pub(crate) fn take(path: &Path, fresh: bool) -> Result<Self, Problem> {
        let failed = |error: io::Error| {
            Problem::new(
                "the network's folder cannot be used",
                format!("{}: {error}", path.display()),
                "choose another folder with --dir, or check its permissions and free space",
            )
        };
        fs::create_dir_all(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Problem::new(
                "a network runs in this folder already",
                path.display().to_string(),
                "use the running one, stop it first, or choose another folder with --dir",
            ),
            TryLockError::Error(error) => failed(error),
        })?;
        if fresh {
            for name in CONTENTS {
                remove(&path.join(name)).map_err(failed)?;
            }
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_taken_once_and_fresh_deletes_only_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net");
        let folder = Folder::take(&path, false).unwrap();
        assert!(Folder::take(&path, false).unwrap_err().what.contains("already"));
        fs::create_dir(path.join("chain")).unwrap();
        fs::write(path.join("chain/x"), "x").unwrap();
        fs::write(path.join("network.json"), "{}").unwrap();
        fs::write(path.join("diary.txt"), "mine").unwrap();
        drop(folder);
        drop(Folder::take(&path, true).unwrap());
        assert!(!path.join("chain").exists() && !path.join("network.json").exists());
        assert!(path.join("diary.txt").exists());
    }
}

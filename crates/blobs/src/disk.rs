//! The store's disk: room before writing, and cleaning up after a crash.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use tilth_protocol::ContentHash;
use tracing::{info, warn};

use crate::BlobsError;

/// A folder on a disk of which some bytes always stay free.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) dir: PathBuf,
    /// Bytes never used up, so that the databases on the same disk can still commit.
    pub(crate) reserve: u64,
}

impl Disk {
    /// Bytes an unprivileged user may still write.
    pub(crate) fn free(&self) -> Result<u64, BlobsError> {
        let stat = rustix::fs::statvfs(&self.dir).map_err(|error| BlobsError::File {
            action: "asking for free space in",
            path: self.dir.clone(),
            source: error.into(),
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses `need` bytes when they would eat into the reserve.
    ///
    /// The metadata database dies on a failed commit and would take the role with it, so room is
    /// asked for before writing instead of handling the failure afterwards.
    pub(crate) fn admit(&self, need: u64) -> Result<(), BlobsError> {
        let free = self.free()?;
        if need.saturating_add(self.reserve) > free {
            return Err(BlobsError::DiskFull {
                dir: self.dir.clone(),
                need,
                free,
                reserve: self.reserve,
            });
        }
        Ok(())
    }

    /// Names a store failure: as a full disk when that is what it was.
    pub(crate) fn explain(
        &self,
        action: &'static str,
        detail: impl std::fmt::Display,
    ) -> BlobsError {
        match self.admit(0) {
            Err(full @ BlobsError::DiskFull { .. }) => full,
            _ => BlobsError::Store { action, detail: detail.to_string() },
        }
    }
}

/// Removes files of content the metadata does not know: a kill between writing a file and committing
/// its entry leaves them behind, and nothing else would ever delete them.
pub(crate) fn sweep_orphans(data: &Path, known: &HashSet<ContentHash>) {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) => {
            warn!(dir = %data.display(), %error, "cannot look for leftovers of a crash");
            return;
        }
    };
    let mut removed = 0_u32;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let hash = name.to_str().and_then(|name| name.split_once('.')).map(|(hash, _)| hash);
        let Some(Ok(hash)) = hash.map(str::parse::<ContentHash>) else { continue };
        if !known.contains(&hash) && std::fs::remove_file(entry.path()).is_ok() {
            removed = removed.saturating_add(1);
        }
    }
    if removed > 0 {
        info!(removed, "removed leftovers of a crash from the content store");
    }
}

/// Empties the folder for files in flight: nothing is in flight when a store is being opened.
pub(crate) fn sweep_temporary(temp: &Path) {
    for entry in std::fs::read_dir(temp).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_refused_before_the_reserve_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk { dir: dir.path().to_owned(), reserve: 0 };
        disk.admit(1).unwrap();
        let disk = Disk { reserve: u64::MAX, ..disk };
        let error = disk.admit(1).unwrap_err();
        assert!(matches!(error, BlobsError::DiskFull { need: 1, .. }), "{error}");
        assert_eq!(error.problem().what, "the disk is full");
        assert!(matches!(disk.explain("adding", "x"), BlobsError::DiskFull { .. }));
    }

    #[test]
    fn only_unknown_content_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, lost) = (ContentHash([1; 32]), ContentHash([2; 32]));
        for name in [format!("{kept}.data"), format!("{lost}.data"), format!("{lost}.obao4")] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        sweep_orphans(dir.path(), &HashSet::from([kept]));
        assert!(dir.path().join(format!("{kept}.data")).exists());
        assert!(dir.path().join("notes.txt").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}

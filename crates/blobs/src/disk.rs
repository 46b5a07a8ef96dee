//! The store's disk: room before writing, and cleaning up after a crash.

use std::{
    collections::HashSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tilth_protocol::ContentHash;
use tracing::{info, warn};

use crate::BlobsError;

/// The sum of the folder is taken anew after this time, or after twenty times as long as taking it took.
const LOOK: Duration = Duration::from_secs(2);

/// A folder on a disk of which some bytes always stay free, and that has a cap of its own.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) dir: PathBuf,
    /// Bytes never used up, so that the databases on the same disk can still commit.
    reserve: u64,
    /// Most bytes of the folder.
    quota: Option<u64>,
    used: Arc<Mutex<Used>>,
}

/// What the folder took when it was last summed up, and what was let in since.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    good_until: Option<Instant>,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, reserve: u64, quota: Option<u64>) -> Self {
        Self { dir, reserve, quota, used: Arc::default() }
    }

    /// Bytes that the folder takes, as of a moment ago.
    pub(crate) fn used(&self) -> u64 {
        self.counted().bytes
    }

    /// What is used, looked at anew if that is due. Held while something is decided on it.
    fn counted(&self) -> MutexGuard<'_, Used> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if used.good_until.is_none_or(|until| began >= until) {
            used.bytes = folder_bytes(&self.dir, 2);
            used.good_until = Some(Instant::now() + LOOK.max(began.elapsed().saturating_mul(20)));
        }
        used
    }

    /// Bytes an unprivileged user may still write.
    pub(crate) fn free(&self) -> Result<u64, BlobsError> {
        let stat = rustix::fs::statvfs(&self.dir).map_err(|error| BlobsError::File {
            action: "asking for free space in",
            path: self.dir.clone(),
            source: error.into(),
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses `need` bytes when they would eat into the reserve or go beyond the cap.
    ///
    /// # Errors
    /// [`BlobsError::DiskFull`], [`BlobsError::CapReached`].
    pub(crate) fn admit(&self, need: u64) -> Result<(), BlobsError> {
        self.admit_free(need)?;
        let Some(cap) = self.quota else { return Ok(()) };
        // Under one lock: of two who come at once only one gets the last place.
        let mut used = self.counted();
        let with = used.bytes.saturating_add(need);
        if with > cap {
            let used = used.bytes;
            return Err(BlobsError::CapReached { dir: self.dir.clone(), need, used, cap });
        }
        used.bytes = with;
        Ok(())
    }

    /// Refuses `need` bytes when they would eat into the reserve.
    ///
    /// The metadata database dies on a failed commit and would take the role with it, so room is
    /// asked for before writing instead of handling the failure afterwards.
    pub(crate) fn admit_free(&self, need: u64) -> Result<(), BlobsError> {
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
        match self.admit_free(0) {
            Err(full @ BlobsError::DiskFull { .. }) => full,
            _ => BlobsError::Store { action, detail: detail.to_string() },
        }
    }
}

/// What the files in a folder take on disk, and in the folders in it down to some depth.
fn folder_bytes(dir: &Path, depth: u32) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() && depth > 0 => folder_bytes(&entry.path(), depth - 1),
        Ok(data) if data.is_file() => data.blocks().saturating_mul(512),
        _ => 0,
    });
    bytes.fold(0, u64::saturating_add)
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
        let disk = Disk::new(dir.path().to_owned(), 0, None);
        disk.admit(1).unwrap();
        let disk = Disk { reserve: u64::MAX, ..disk };
        let error = disk.admit(1).unwrap_err();
        assert!(matches!(error, BlobsError::DiskFull { need: 1, .. }), "{error}");
        assert_eq!(error.problem().what, "the disk is full");
        assert!(matches!(disk.explain("adding", "x"), BlobsError::DiskFull { .. }));
    }

    #[test]
    fn the_cap_counts_what_is_there_and_what_was_let_in() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/file"), vec![1; 100_000]).unwrap();
        let disk = Disk::new(dir.path().to_owned(), 0, Some(300_000));
        let used = disk.used();
        assert!((100_000..150_000).contains(&used), "{used}");
        disk.admit(100_000).unwrap();
        let error = disk.admit(100_000).unwrap_err();
        assert!(matches!(error, BlobsError::CapReached { cap: 300_000, .. }), "{error}");
        assert_eq!(error.problem().what, "the content store has reached its cap");
        disk.admit(10_000).unwrap();
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

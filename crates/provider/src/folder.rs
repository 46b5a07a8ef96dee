//! A provider's folder on disk.
//!
//! ```text
//! lock                     held while a provider runs
//! endpoint.key             32 secret bytes: the same endpoint id in every life
//! replica.key              32 secret bytes: they salt the seals of replicated ranges
//! bookmark.json            how far the chain has been read
//! content/                 the content store
//! artifacts/ENGINE/HASH    compiled programs
//! jobs/ID/program, inputs/NAME, ranges/SEQ.journal, ranges/SEQ.guard
//! work/                    scratch, emptied at start
//! ```
//!
//! What a worker gets to see is readable by everybody, for it runs as another user; the rest is not.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use alloy_primitives::keccak256;
use serde::de::DeserializeOwned;
use tilth_protocol::{ContentHash, JobId, RangeId};
use tilth_service::files::kept_secret;

use crate::ProviderError;

/// The folder, locked.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    passed: AtomicU64,
    _lock: File,
}

impl Folder {
    /// Creates what is missing and takes the lock.
    pub(crate) fn open(root: &Path) -> Result<Self, ProviderError> {
        let fail = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ProviderError::Folder { action, path, source }
        };
        let root = std::path::absolute(root).map_err(fail("cannot find", root))?;
        for part in ["content", "artifacts", "jobs", "work"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(fail("cannot create", &path))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(fail("cannot open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProviderError::InUse { path: root }),
            Err(TryLockError::Error(error)) => return Err(fail("cannot lock", &path)(error)),
        }
        let folder = Self { root, passed: AtomicU64::new(0), _lock: lock };
        let work = folder.work();
        empty(&work).map_err(fail("cannot empty", &work))?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    pub(crate) fn bookmark(&self) -> PathBuf {
        self.root.join("bookmark.json")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// A name in the scratch folder that nothing else has in this life: what is half-written lies there.
    pub(crate) fn passing(&self) -> PathBuf {
        self.work().join(format!("passing-{}", self.passed.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn job(&self, job: JobId) -> PathBuf {
        self.root.join("jobs").join(job.to_string())
    }

    pub(crate) fn program(&self, job: JobId) -> PathBuf {
        self.job(job).join("program")
    }

    pub(crate) fn inputs(&self, job: JobId) -> PathBuf {
        self.job(job).join("inputs")
    }

    pub(crate) fn journal(&self, range: RangeId) -> PathBuf {
        self.job(range.job).join("ranges").join(format!("{}.journal", range.seq))
    }

    /// Where a compiled program lies. Another engine has another folder.
    pub(crate) fn artifact(&self, engine: &str, program: ContentHash) -> PathBuf {
        self.artifacts(engine).join(program.to_string())
    }

    fn artifacts(&self, engine: &str) -> PathBuf {
        self.root.join("artifacts").join(ContentHash::of(engine.as_bytes()).short())
    }

    /// Removes what other engines have compiled.
    pub(crate) fn keep_artifacts_of(&self, engine: &str) -> io::Result<()> {
        let keep = self.artifacts(engine);
        for entry in fs::read_dir(self.root.join("artifacts"))? {
            let path = entry?.path();
            if path != keep {
                fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path))?;
            }
        }
        fs::create_dir_all(keep)
    }

    /// Jobs that have a folder.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobId>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(self.root.join("jobs"))? {
            if let Some(job) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                jobs.push(job);
            }
        }
        Ok(jobs)
    }

    /// Where it is noted for whom the results of a range are.
    pub(crate) fn guard(&self, range: RangeId) -> PathBuf {
        self.job(range.job).join("ranges").join(format!("{}.guard", range.seq))
    }

    /// Ranges of a job that have a journal.
    pub(crate) fn journals(&self, job: JobId) -> io::Result<Vec<RangeId>> {
        self.ranges(job, ".journal")
    }

    /// Ranges whose results are not everybody's.
    pub(crate) fn guarded(&self) -> io::Result<Vec<RangeId>> {
        let mut ranges = Vec::new();
        for job in self.jobs()? {
            ranges.extend(self.guarded_of(job)?);
        }
        Ok(ranges)
    }

    /// The same, of a job.
    pub(crate) fn guarded_of(&self, job: JobId) -> io::Result<Vec<RangeId>> {
        self.ranges(job, ".guard")
    }

    /// Ranges of a job that have such a file.
    fn ranges(&self, job: JobId, ending: &str) -> io::Result<Vec<RangeId>> {
        let entries = match fs::read_dir(self.job(job).join("ranges")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut ranges = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let seq = name.to_str().and_then(|name| name.strip_suffix(ending)?.parse().ok());
            ranges.extend(seq.map(|seq| RangeId { job, seq }));
        }
        Ok(ranges)
    }

    /// The endpoint's secret key, made at the first start.
    pub(crate) fn endpoint_secret(&self) -> Result<[u8; 32], ProviderError> {
        self.secret("endpoint.key")
    }

    /// What salts the seals of replicated ranges, made at the first start. With another one nothing that was sealed
    /// before can be shown.
    pub(crate) fn replica_secret(&self) -> Result<[u8; 32], ProviderError> {
        self.secret("replica.key")
    }

    /// What keeps others from guessing the hash of what a range has made: the same in every life, from the same secret as
    /// the salts of seals, which are made of more bytes.
    ///
    /// ```text
    /// salt = keccak256(secret 32 | "tilth manifest" | job u64 | seq u32)
    /// ```
    pub(crate) fn manifest_salt(&self, range: RangeId) -> Result<[u8; 32], ProviderError> {
        let (job, seq) = (range.job.0.to_be_bytes(), range.seq.to_be_bytes());
        let secret = self.replica_secret()?;
        Ok(keccak256([&secret[..], b"tilth manifest", &job, &seq].concat()).0)
    }

    fn secret(&self, name: &str) -> Result<[u8; 32], ProviderError> {
        let path = self.root.join(name);
        kept_secret(&path).map_err(|source| ProviderError::Folder {
            action: "cannot use",
            path,
            source,
        })
    }
}

/// Removes everything inside a folder.
fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            // A program may have written to it, and may have nested folders too deep for the usual way.
            tilth_sandbox::output::clear(&path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Reads a file in JSON. One that is none, or longer than `max_bytes`, is [`io::ErrorKind::InvalidData`].
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, max_bytes: u64) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Removes a file or folder; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Lets every user read a file (or enter a folder).
pub(crate) fn publish(path: &Path) -> io::Result<()> {
    let mode = if path.metadata()?.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_provider_and_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let secret = folder.endpoint_secret().unwrap();
        let second = Folder::open(dir.path());
        assert!(matches!(second, Err(ProviderError::InUse { .. })), "{second:?}");
        fs::write(folder.work().join("rest"), "x").unwrap();
        drop(folder);
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.endpoint_secret().unwrap(), secret);
        assert_ne!(secret, [0; 32]);
        let salt = folder.replica_secret().unwrap();
        assert!(salt != secret && folder.replica_secret().unwrap() == salt);
        let key = folder.root().join("endpoint.key");
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let problem = folder.endpoint_secret().unwrap_err().problem();
        assert!(problem.detail.contains("chmod 600"), "{problem:?}");
        assert_eq!(fs::read_dir(folder.work()).unwrap().count(), 0);
    }

    #[test]
    fn artifacts_of_other_engines_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (old, new) = (folder.artifact("one", ContentHash([1; 32])), "two");
        folder.keep_artifacts_of("one").unwrap();
        fs::write(&old, "code").unwrap();
        folder.keep_artifacts_of("one").unwrap();
        assert!(old.exists());
        folder.keep_artifacts_of(new).unwrap();
        assert!(!old.exists());
    }
}

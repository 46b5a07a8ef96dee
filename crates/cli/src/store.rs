//! The content stores of a folder's client commands. A store belongs to one process at a time, so
//! commands that run at the same time use different ones; a job prefers the store it began in, because
//! its inputs and checked results are there. (With another store results are fetched again.)

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tilth_blobs::Blobs;
use tilth_protocol::{JobId, Problem};
use tilth_service::files::kept_secret;

/// Where a client's endpoint listens if nothing else is configured: for networks on this machine.
const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Most client commands of one folder at the same time.
const MAX_STORES: u32 = 64;

/// An open store.
#[derive(Debug)]
pub struct Store {
    /// The content.
    pub blobs: Blobs,
    number: u32,
    /// Held while the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store that `job` began in if it is free, otherwise the first free one, for a look from
    /// this machine.
    ///
    /// # Errors
    /// All are in use, or the folder cannot be used.
    pub async fn open(dir: &Path, job: Option<JobId>) -> Result<Self, Problem> {
        Self::open_at(dir, job, None).await
    }

    /// As [`Store::open`], and serves what is in it at an address if one is given.
    ///
    /// # Errors
    /// As [`Store::open`], and when the address cannot be used.
    pub async fn open_at(
        dir: &Path,
        job: Option<JobId>,
        bind: Option<SocketAddr>,
    ) -> Result<Self, Problem> {
        let data = crate::data::client(dir)?;
        let preferred = job.and_then(|job| noted(dir, job));
        for number in preferred.into_iter().chain(0..MAX_STORES) {
            let folder = dir.join("client").join(format!("store-{number}"));
            if let Some(lock) = lock(&folder)? {
                let secret = secret(&folder)?;
                let config = data.store(folder.join("blobs"), secret, bind, LOOPBACK);
                let blobs = Blobs::spawn(config).await.map_err(|error| error.problem())?;
                return Ok(Self { blobs, number, _lock: lock });
            }
        }
        Err(Problem::new(
            "too many commands use this folder at the same time",
            format!("{MAX_STORES} content stores are open"),
            "wait until one of them is done, or use another folder",
        ))
    }

    /// Notes that a job lives in this store.
    pub fn note(&self, dir: &Path, job: JobId) {
        // Only saves fetching results again; a failure is not worth stopping for.
        let _ = fs::write(note_path(dir, job), self.number.to_string());
    }

    /// Closes the store.
    pub async fn close(self) {
        if let Err(error) = self.blobs.shutdown().await {
            tracing::warn!(%error, "the content store did not close cleanly");
        }
    }
}

fn note_path(dir: &Path, job: JobId) -> PathBuf {
    dir.join("jobs").join(job.to_string()).join("store")
}

fn noted(dir: &Path, job: JobId) -> Option<u32> {
    fs::read_to_string(note_path(dir, job)).ok()?.trim().parse().ok().filter(|n| *n < MAX_STORES)
}

fn failed(folder: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        "the content store cannot be used",
        format!("{}: {error}", folder.display()),
        "do what it says, if it says something; else check the folder's permissions and free space",
    )
}

fn lock(folder: &Path) -> Result<Option<File>, Problem> {
    let open = || {
        fs::create_dir_all(folder)?;
        File::options().create(true).truncate(false).write(true).open(folder.join("lock"))
    };
    let file = open().map_err(|error| failed(folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed(folder, &error)),
    }
}

/// The store's endpoint key, kept so that providers find the store again.
fn secret(folder: &Path) -> Result<[u8; 32], Problem> {
    kept_secret(&folder.join("secret")).map_err(|error| failed(folder, &error))
}

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

use tilth_client::Network;
use tilth_protocol::Problem;

use crate::CHAIN_ID;

/// Keys of all accounts.
const ACCOUNTS: &str = "accounts";
/// Everything a network makes; nothing else in the folder is ever touched.
const CONTENTS: &[&str] =
    &["network.json", "genesis.json", "chain", ACCOUNTS, "providers", "jobs", "client"];

/// A folder that this process alone may run a network in.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, creating it if it is missing, and empties it if it should be fresh. Accounts
    /// of a network on an existing chain stay, with the file that says where its contracts are: that
    /// chain goes on, and what they own there would be lost with their keys.
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
            let kept = keep_foreign(&path).map_err(failed)?;
            for name in CONTENTS.iter().filter(|name| !kept || **name != ACCOUNTS) {
                remove(&path.join(name)).map_err(failed)?;
            }
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Puts the file of a network on an existing chain aside. True: the accounts have to stay.
fn keep_foreign(path: &Path) -> io::Result<bool> {
    match Network::load(path) {
        Ok(None) => Ok(false),
        Ok(Some(network)) if network.chain_id == CHAIN_ID => Ok(false),
        Ok(Some(network)) => {
            let name = format!("network-{}-{}.json", network.chain_id, network.first_block);
            fs::rename(Network::path(path), path.join(name))?;
            Ok(true)
        }
        // Nobody can say where the accounts have money.
        Err(_) => Ok(true),
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

    #[test]
    fn fresh_keeps_the_keys_of_accounts_on_a_chain_that_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = dir.path().join(ACCOUNTS);
        let mut network = Network {
            rpc_url: "http://127.0.0.1:1".into(),
            chain_id: CHAIN_ID,
            contracts: tilth_contracts::Addresses::predeployed().into(),
            first_block: 5,
            wraps_native: true,
            confirmations: 0,
        };
        for (chain_id, kept) in [(CHAIN_ID, false), (1, true)] {
            fs::create_dir_all(&accounts).unwrap();
            network.chain_id = chain_id;
            network.save(dir.path()).unwrap();
            drop(Folder::take(dir.path(), true).unwrap());
            assert_eq!(accounts.exists(), kept, "{chain_id}");
            assert!(!Network::path(dir.path()).exists());
        }
        assert!(dir.path().join("network-1-5.json").exists());
        fs::write(Network::path(dir.path()), "broken").unwrap();
        drop(Folder::take(dir.path(), true).unwrap());
        assert!(accounts.exists());
    }
}

//! `network.json`: which chain to talk to and where the contracts are. Written by whoever starts or
//! deploys a network, read by every command.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};
use tilth_contracts::Addresses;
use tilth_protocol::Problem;
use tilth_service::files::write_whole;

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Most [`Network::confirmations`]: nodes know the state of their last 128 blocks, of which those that are late lack
/// some, and a beacon must be noted within 256 blocks.
pub const MAX_CONFIRMATIONS: u32 = 64;

/// A network as commands see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// JSON-RPC over HTTP.
    pub rpc_url: String,
    /// The chain's id; a mismatch means that another chain answers at the URL.
    pub chain_id: u64,
    /// Where the contracts are.
    pub contracts: ContractAddresses,
    /// First block that can hold an event of the contracts.
    pub first_block: u64,
    /// Whether the payment token wraps the chain's native coin (WGRAIN).
    pub wraps_native: bool,
    /// Blocks that something must have on top before it is believed, at most [`MAX_CONFIRMATIONS`]: on a foreign chain
    /// as many as it may take back. 0, as in files of before, is for a chain of tilth's own, which takes nothing back.
    #[serde(default)]
    pub confirmations: u32,
}

/// Addresses of the contracts, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContractAddresses {
    /// The payment token.
    pub token: Address,
    /// `Ledger`.
    pub ledger: Address,
    /// `Registry`.
    pub registry: Address,
    /// `JobBook`.
    pub job_book: Address,
    /// `JobView`.
    pub job_view: Address,
    /// `JobDesk`.
    pub job_desk: Address,
    /// The beacon.
    pub randomness: Address,
    /// `Auditors`.
    pub auditors: Address,
    /// `Audits`.
    pub audits: Address,
    /// `AuditDesk`.
    pub audit_desk: Address,
    /// `Bench`.
    pub bench: Address,
    /// `Waiting`.
    pub waiting: Address,
    /// `Replicas`.
    pub replicas: Address,
    /// `Holders`.
    pub holders: Address,
    /// `Spots`.
    pub spots: Address,
    /// `Tabs`.
    pub tabs: Address,
}

impl From<Addresses> for ContractAddresses {
    fn from(all: Addresses) -> Self {
        Self {
            token: all.token,
            ledger: all.ledger,
            registry: all.registry,
            job_book: all.job_book,
            job_view: all.job_view,
            job_desk: all.job_desk,
            randomness: all.randomness,
            auditors: all.auditors,
            audits: all.audits,
            audit_desk: all.audit_desk,
            bench: all.bench,
            waiting: all.waiting,
            replicas: all.replicas,
            holders: all.holders,
            spots: all.spots,
            tabs: all.tabs,
        }
    }
}

impl From<ContractAddresses> for Addresses {
    fn from(all: ContractAddresses) -> Self {
        Self {
            token: all.token,
            ledger: all.ledger,
            registry: all.registry,
            job_book: all.job_book,
            job_view: all.job_view,
            job_desk: all.job_desk,
            randomness: all.randomness,
            auditors: all.auditors,
            audits: all.audits,
            audit_desk: all.audit_desk,
            bench: all.bench,
            waiting: all.waiting,
            replicas: all.replicas,
            holders: all.holders,
            spots: all.spots,
            tabs: all.tabs,
        }
    }
}

impl Network {
    /// Where the file lies in a network's folder.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("network.json")
    }

    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// Unreadable, too large, or not a network file.
    pub fn load(dir: &Path) -> Result<Option<Self>, Problem> {
        let path = Self::path(dir);
        let advice = "mend or remove the file, then start the network again with `tilth up`";
        let problem =
            |detail: String| Problem::new("the network file cannot be used", detail, advice);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(problem(format!("{}: {error}", path.display()))),
        };
        if size > MAX_FILE_BYTES {
            return Err(problem(format!("{} has {size} bytes", path.display())));
        }
        let text =
            fs::read_to_string(&path).map_err(|e| problem(format!("{}: {e}", path.display())))?;
        let network: Self =
            serde_json::from_str(&text).map_err(|e| problem(format!("{}: {e}", path.display())))?;
        if network.confirmations > MAX_CONFIRMATIONS {
            let found = network.confirmations;
            let detail = format!(
                "{}: {found} confirmations, but there can be {MAX_CONFIRMATIONS} at most",
                path.display()
            );
            return Err(problem(detail));
        }
        Ok(Some(network))
    }

    /// Writes the file; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), Problem> {
        let path = Self::path(dir);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|text| write_whole(&path, (text + "\n").as_bytes()));
        text.map_err(|error| {
            Problem::new(
                "the network file cannot be written",
                format!("{}: {error}", path.display()),
                "check the folder's permissions and free space",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_survives_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Network::load(dir.path()), Ok(None));
        let network = Network {
            rpc_url: "http://127.0.0.1:8545".into(),
            chain_id: 7,
            contracts: Addresses::predeployed().into(),
            first_block: 0,
            wraps_native: true,
            confirmations: 12,
        };
        network.save(dir.path()).unwrap();
        assert_eq!(Network::load(dir.path()), Ok(Some(network)));
        for nonsense in ["", "{}", "[1", "{\"rpc-url\": 5}"] {
            fs::write(Network::path(dir.path()), nonsense).unwrap();
            assert!(Network::load(dir.path()).is_err(), "{nonsense}");
        }
        fs::write(Network::path(dir.path()), vec![b' '; 1 << 20]).unwrap();
        assert!(Network::load(dir.path()).is_err());
    }

    #[test]
    fn files_of_before_wait_for_no_confirmations_and_too_many_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut network = Network {
            rpc_url: "https://rpc.example.org".into(),
            chain_id: 7,
            contracts: Addresses::predeployed().into(),
            first_block: 0,
            wraps_native: false,
            confirmations: 0,
        };
        let mut written = serde_json::to_value(&network).unwrap();
        assert_eq!(written.as_object_mut().unwrap().remove("confirmations"), Some(0.into()));
        fs::write(Network::path(dir.path()), written.to_string()).unwrap();
        assert_eq!(Network::load(dir.path()), Ok(Some(network.clone())));
        network.confirmations = MAX_CONFIRMATIONS;
        network.save(dir.path()).unwrap();
        assert_eq!(Network::load(dir.path()), Ok(Some(network.clone())));
        network.confirmations += 1;
        network.save(dir.path()).unwrap();
        let problem = Network::load(dir.path()).unwrap_err();
        assert!(problem.detail.contains("65 confirmations"), "{problem}");
    }
}

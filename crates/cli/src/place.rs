//! Opening what a command works on: the network's folder, its chain, an account.

use std::path::{Path, PathBuf};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use tilth_client::{Account, Keys, Link, Network, keys::shell_word};
use tilth_protocol::Problem;

use crate::args::Common;

/// A network that exists, opened.
#[derive(Debug)]
pub struct Place {
    /// The network's folder.
    pub dir: PathBuf,
    /// Its description.
    pub network: Network,
    /// Its chain.
    pub link: Link,
    /// Its accounts.
    pub keys: Keys,
}

impl Place {
    /// Opens the network of `--dir`.
    ///
    /// # Errors
    /// There is none, or its file is broken.
    pub fn open(common: &Common) -> Result<Self, Problem> {
        let dir = common.dir();
        let network = Network::load(&dir)?.ok_or_else(|| {
            Problem::new(
                "there is no network in this folder",
                dir.display().to_string(),
                "start one with `tilth up`, or name another folder with --dir",
            )
        })?;
        let link = Link::to(&network).map_err(|error| error.problem())?;
        let keys = Keys::of(&dir);
        Ok(Self { dir, network, link, keys })
    }

    /// ` --dir DIR` as a shell reads it, for commands that are told to people; empty when the folder
    /// is the one that commands use by themselves.
    pub fn dir_option(&self) -> String {
        dir_option(&self.dir)
    }

    /// An account that can send transactions.
    ///
    /// # Errors
    /// There is no such account.
    pub fn account(&self, name: &str) -> Result<Account, Problem> {
        Ok(Account::new(self.link.clone(), self.signer(name)?))
    }

    /// An account's key.
    ///
    /// # Errors
    /// There is no such account.
    pub fn signer(&self, name: &str) -> Result<PrivateKeySigner, Problem> {
        self.keys.open(name)
    }

    /// An address, or the address of an account of this folder.
    ///
    /// # Errors
    /// Neither.
    pub fn address(&self, text: &str) -> Result<Address, Problem> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        self.keys.open(text).map(|signer| signer.address())
    }
}

/// As [`Place::dir_option`].
pub fn dir_option(dir: &Path) -> String {
    let same =
        |other: PathBuf| other == dir || other.canonicalize().is_ok_and(|other| other == dir);
    if same(Common::usual_dir()) {
        return String::new();
    }
    format!(" --dir {}", shell_word(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_a_shell_reads_them() {
        assert_eq!(dir_option(&Common::usual_dir()), "");
        assert_eq!(dir_option(Path::new("/tmp/net-1")), " --dir /tmp/net-1");
        assert_eq!(dir_option(Path::new("/a b/it's")), " --dir '/a b/it'\\''s'");
    }
}

//! Accounts on disk: one file per account, named after it, holding the private key in hex. Files can
//! be read by their owner only; a key file that others can read is refused.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use alloy::{
    primitives::{Address, B256},
    signers::local::PrivateKeySigner,
};
use tilth_protocol::Problem;

/// Most bytes of an account's name.
const MAX_NAME_BYTES: usize = 64;
/// Ending of key files.
const ENDING: &str = "key";

/// A folder with accounts.
#[derive(Clone, Debug)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// The accounts of a network folder. Nothing is created until an account is.
    pub fn of(network_dir: &Path) -> Self {
        Self { dir: network_dir.join("accounts") }
    }

    /// Where an account's key lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.{ENDING}"))
    }

    /// Creates an account with a fresh random key.
    ///
    /// # Errors
    /// The name is taken or unusable, or the folder cannot be written.
    pub fn create(&self, name: &str) -> Result<PrivateKeySigner, Problem> {
        check_name(name)?;
        let signer = PrivateKeySigner::random();
        self.write(name, &signer).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Problem::new(
                "the account exists already",
                format!("{}", self.path(name).display()),
                "choose another name",
            ),
            _ => Problem::new(
                "the account cannot be written",
                format!("{}: {error}", self.path(name).display()),
                "check the folder's permissions and free space",
            ),
        })?;
        Ok(signer)
    }

    fn write(&self, name: &str, signer: &PrivateKeySigner) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))?;
        // Under another name first, so that a crash or a full disk leaves no account without a key.
        let path = self.path(name);
        let partial = path.with_extension(format!("partial-{}", std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| {
                writeln!(file, "{}", signer.to_bytes())?;
                file.sync_all()
            })
            // Unlike a rename, a link never replaces another key.
            .and_then(|()| fs::hard_link(&partial, &path))
            .and_then(|()| fs::File::open(&self.dir)?.sync_all());
        // If it cannot be removed it is a second copy of the same key in the same closed folder.
        let _ = fs::remove_file(&partial);
        written
    }

    /// Opens an account.
    ///
    /// # Errors
    /// There is none of this name, others can read the file, or it holds no key.
    pub fn open(&self, name: &str) -> Result<PrivateKeySigner, Problem> {
        check_name(name)?;
        let path = self.path(name);
        if !path.exists() {
            // Without the folder the commands would look at, or create, an account of another network.
            let dir = shell_word(self.dir.parent().unwrap_or(&self.dir));
            return Err(Problem::new(
                format!("there is no account {name:?}"),
                format!("{} does not exist", path.display()),
                format!(
                    "create it with `tilth account new {name} --dir {dir}`, or see \
                     `tilth account ls --dir {dir}`"
                ),
            ));
        }
        Self::open_file(&path)
    }

    /// Opens an account, creating it first if it does not exist.
    ///
    /// # Errors
    /// As [`Keys::open`] and [`Keys::create`].
    pub fn open_or_create(&self, name: &str) -> Result<PrivateKeySigner, Problem> {
        if self.path(name).exists() { self.open(name) } else { self.create(name) }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Others can read it, or it holds no key.
    pub fn open_file(path: &Path) -> Result<PrivateKeySigner, Problem> {
        let shown = path.display();
        let unreadable = |detail: String| {
            Problem::new(
                "the key file cannot be used",
                detail,
                "name a file with a private key in hex",
            )
        };
        let metadata =
            fs::metadata(path).map_err(|error| unreadable(format!("{shown}: {error}")))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Problem::new(
                "other users can read the key file",
                format!("{shown} has mode {:o}", metadata.permissions().mode() & 0o777),
                format!(
                    "if nobody has copied it, `chmod 600 {shown}`; otherwise move its money first"
                ),
            ));
        }
        if metadata.len() > 256 {
            return Err(unreadable(format!("{shown} has {} bytes", metadata.len())));
        }
        let text =
            fs::read_to_string(path).map_err(|error| unreadable(format!("{shown}: {error}")))?;
        // The parser's message may quote the text: leave it out, the text is a secret.
        text.trim()
            .parse::<B256>()
            .ok()
            .and_then(|key| PrivateKeySigner::from_bytes(&key).ok())
            .ok_or_else(|| unreadable(format!("{shown} holds no private key")))
    }

    /// Names and addresses of all accounts, by name. Files that hold no key are left out.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<(String, Address)>, Problem> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Problem::new(
                    "the accounts cannot be listed",
                    format!("{}: {error}", self.dir.display()),
                    "check the folder's permissions",
                ));
            }
        };
        let mut accounts: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .filter_map(|path| {
                let name = path.file_stem()?.to_str()?.to_owned();
                Some((name, Self::open_file(&path).ok()?.address()))
            })
            .collect();
        accounts.sort();
        Ok(accounts)
    }
}

/// A path as a shell reads it, for commands that are told to people.
pub fn shell_word(path: &Path) -> String {
    let shown = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:".contains(c);
    if !shown.is_empty() && shown.chars().all(plain) {
        return shown;
    }
    format!("'{}'", shown.replace('\'', "'\\''"))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(plain) {
        return Ok(());
    }
    Err(Problem::new(
        "an account cannot have this name",
        format!("{name:?}"),
        format!("use 1 to {MAX_NAME_BYTES} letters, digits, '-' and '_'"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_created_once_listed_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        assert_eq!(keys.list(), Ok(vec![]));
        assert!(keys.open("alice").is_err());
        let alice = keys.create("alice").unwrap();
        assert!(keys.create("alice").is_err());
        assert_eq!(keys.open("alice").unwrap().address(), alice.address());
        assert_eq!(keys.open_or_create("bob").unwrap(), keys.open("bob").unwrap());
        let names: Vec<_> = keys.list().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["alice", "bob"]);
    }

    #[test]
    fn advice_names_the_folder_in_which_the_account_is_missing() {
        let advice = |dir: &str| Keys::of(Path::new(dir)).open("alice").unwrap_err().advice;
        let said = advice("/nowhere/net-1");
        for command in ["account new alice", "account ls"] {
            let typed = format!("`tilth {command} --dir /nowhere/net-1`");
            assert!(said.contains(&typed), "{said}");
        }
        let said = advice("/nowhere/a b/it's");
        assert!(said.contains(" --dir '/nowhere/a b/it'\\''s'`"), "{said}");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        for name in ["", "../x", "a/b", "a.b", "ä", &"n".repeat(65)] {
            assert!(keys.create(name).is_err(), "{name}");
            assert!(keys.open(name).is_err(), "{name}");
        }
    }

    #[test]
    fn account_files_are_closed_to_others_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        keys.create("alice").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&keys.path("alice")), 0o600);
        assert_eq!(mode(&keys.dir), 0o700);
        // What a crash in the middle of creating an account leaves is no account.
        fs::write(keys.dir.join("bob.partial-1"), "").unwrap();
        assert_eq!(keys.list().unwrap().len(), 1);
        assert!(keys.create("alice").is_err());
        keys.create("bob").unwrap();
        assert_eq!(fs::read_dir(&keys.dir).unwrap().count(), 3);
    }

    #[test]
    fn readable_and_broken_key_files_are_refused_without_showing_them() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        keys.create("alice").unwrap();
        let path = keys.path("alice");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(keys.open("alice").unwrap_err().what.contains("other users"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "0xsecret").unwrap();
        let problem = keys.open("alice").unwrap_err();
        assert!(!problem.to_string().contains("secret"));
    }
}

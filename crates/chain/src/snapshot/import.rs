//! Making a chain's folder from a snapshot file.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use alloy_consensus::Header;
use alloy_primitives::{B256, keccak256};

use super::{
    Progress, SnapshotError, Stage, Summary,
    format::{CHUNK_TARGET, End, Entry, Kind, Manifest, ReadError, Reader, StoredBlock},
};
use crate::{
    DATABASE,
    block::SealedHeader,
    state::decode_account,
    store::{Store, StoreOptions, verify_block},
};

/// Name of a database in the making.
const UNFINISHED: &str = "chain.redb.import";

/// What a snapshot must be of to be taken over.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Hash of the last block, from a source that is trusted. Without it the state is what *some*
    /// chain with this genesis could have.
    pub head: Option<B256>,
    /// Hash of block 0.
    pub genesis: Option<B256>,
}

/// Makes a chain in the folder `dir` from a snapshot file. The chain appears as a whole or not at
/// all; what an import that was cut short left behind is removed by the next one.
pub fn import(
    file: &Path,
    dir: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SnapshotError> {
    let database = dir.join(DATABASE);
    if database.exists() {
        return Err(SnapshotError::Exists { path: database });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SnapshotError::File { path, source }
    };
    let input = File::open(file).map_err(failed(file))?;
    let input = BufReader::with_capacity(CHUNK_TARGET, input);
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let unfinished = dir.join(UNFINISHED);
    remove(&unfinished)?;
    let result = fill(input, file, &unfinished, options, progress);
    if result.is_err() {
        // The reason the import failed matters more than that this failed too.
        let _ = remove(&unfinished);
        return result;
    }
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed(&unfinished))?;
    std::fs::rename(&unfinished, &database).map_err(failed(&database))?;
    // The new name is on disk only once the folder is.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
    result
}

fn remove(path: &Path) -> Result<(), SnapshotError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SnapshotError::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn fill(
    input: impl Read,
    file: &Path,
    database: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SnapshotError> {
    let store = Store::open(database, &StoreOptions::default())?;
    let mut import = Import {
        store,
        path: file.to_owned(),
        chunk: 0,
        manifest: None,
        last_block: None,
        last_key: Vec::new(),
        found: End { blocks: 0, accounts: 0, slots: 0, codes: 0 },
    };
    let mut reader = Reader::new(input).map_err(|error| import.read_error(error))?;
    loop {
        import.chunk = reader.position();
        let (kind, content) = reader.chunk().map_err(|error| import.read_error(error))?;
        if kind == Kind::End {
            let end: End = import.decode(&content)?;
            return import.finish(&end, progress);
        }
        let (stage, done) = import.take(kind, &content, options)?;
        if let Some(stage) = stage {
            progress(Progress { stage, done });
        }
    }
}

struct Import {
    store: Store,
    path: PathBuf,
    chunk: u64,
    manifest: Option<Manifest>,
    last_block: Option<SealedHeader>,
    /// The key that came last; the next one of its kind is larger.
    last_key: Vec<u8>,
    found: End,
}

impl Import {
    fn invalid(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Invalid { chunk: self.chunk, what }
    }

    fn read_error(&self, error: ReadError) -> SnapshotError {
        match error {
            ReadError::Invalid(what) => self.invalid(what),
            ReadError::Io(source) => SnapshotError::File { path: self.path.clone(), source },
        }
    }

    fn decode<T: alloy_rlp::Decodable>(&self, content: &[u8]) -> Result<T, SnapshotError> {
        alloy_rlp::decode_exact(content).map_err(|_| self.invalid("the content does not decode"))
    }

    fn take(
        &mut self,
        kind: Kind,
        content: &[u8],
        options: &ImportOptions,
    ) -> Result<(Option<Stage>, u64), SnapshotError> {
        Ok(match kind {
            Kind::Manifest => {
                let manifest: Manifest = self.decode(content)?;
                let (found, wanted) =
                    (manifest.head_hash, options.head.unwrap_or(manifest.head_hash));
                if found != wanted {
                    return Err(SnapshotError::OtherHead { found, wanted });
                }
                let found = manifest.genesis_hash;
                let wanted = options.genesis.unwrap_or(found);
                if found != wanted {
                    return Err(SnapshotError::OtherGenesis { found, wanted });
                }
                self.store.chain_id(manifest.chain_id)?;
                self.manifest = Some(manifest);
                (None, 0)
            }
            Kind::Blocks => {
                let block: StoredBlock = self.decode(content)?;
                self.block(&block)?;
                self.found.blocks += 1;
                (Some(Stage::Blocks), self.found.blocks)
            }
            Kind::Accounts => {
                let entries = self.entries(content, 32, kind)?;
                for entry in &entries {
                    let account = decode_account(&entry.value).ok();
                    let canonical = account.map(alloy_rlp::encode);
                    if canonical.as_deref() != Some(&entry.value[..]) {
                        return Err(self.invalid("an account is not in its proper form"));
                    }
                }
                let entries = entries.iter().map(|e| (&e.key[..], &e.value[..]));
                self.found.accounts += self.store.install_accounts(entries)?;
                (Some(Stage::Accounts), self.found.accounts)
            }
            Kind::Storage => {
                let entries = self.entries(content, 64, kind)?;
                let is_proper =
                    |value: &[u8]| value.len() <= 32 && value.first().is_some_and(|b| *b > 0);
                if !entries.iter().all(|entry| is_proper(&entry.value)) {
                    return Err(self.invalid("a storage value is not in its proper form"));
                }
                let entries = entries.iter().map(|e| (&e.key[..], &e.value[..]));
                self.found.slots += self.store.install_slots(entries)?;
                (Some(Stage::Storage), self.found.slots)
            }
            Kind::Code => {
                let entries = self.entries(content, 32, kind)?;
                if !entries.iter().all(|entry| keccak256(&entry.value).as_slice() == &entry.key[..])
                {
                    return Err(self.invalid("code does not have its hash"));
                }
                let entries = entries.iter().map(|e| (&e.key[..], &e.value[..]));
                self.found.codes += self.store.install_codes(entries)?;
                (Some(Stage::Code), self.found.codes)
            }
            Kind::End => return Err(self.invalid("chunks are out of order")),
        })
    }

    /// The entries of a chunk, with keys of one length, larger than all before.
    fn entries(
        &mut self,
        content: &[u8],
        key_length: usize,
        kind: Kind,
    ) -> Result<Vec<Entry>, SnapshotError> {
        let entries: Vec<Entry> = self.decode(content)?;
        let before: &[u8] =
            if self.last_key.first() == Some(&(kind as u8)) { &self.last_key[1..] } else { &[] };
        let follows =
            |before: &[u8], entry: &Entry| entry.key.len() == key_length && before < &entry.key[..];
        let is_ordered = entries.first().is_some_and(|first| follows(before, first))
            && entries.windows(2).all(|pair| follows(&pair[0].key, &pair[1]));
        if !is_ordered {
            return Err(self.invalid("keys are missing, out of order or of a wrong length"));
        }
        self.last_key.clear();
        self.last_key.push(kind as u8);
        self.last_key.extend(entries.last().into_iter().flat_map(|entry| entry.key.iter()));
        Ok(entries)
    }

    fn block(&mut self, stored: &StoredBlock) -> Result<(), SnapshotError> {
        let header: Header = self.decode(&stored.header)?;
        if alloy_rlp::encode(&header) != stored.header {
            return Err(self.invalid("a header is not in its proper form"));
        }
        let header = SealedHeader::new_unchecked(header, keccak256(&stored.header));
        let manifest = self.manifest.as_ref().ok_or_else(|| self.invalid("no manifest"))?;
        let is_linked = match &self.last_block {
            None => header.number == 0 && header.hash() == manifest.genesis_hash,
            // Between block 0 and the first of the last blocks there may be some left out.
            Some(last) if last.number == 0 => {
                header.number > 1 || (header.number == 1 && header.parent_hash == last.hash())
            }
            Some(last) => {
                Some(header.number) == last.number.checked_add(1)
                    && header.parent_hash == last.hash()
            }
        };
        if !is_linked {
            return Err(self.invalid("a block does not follow the one before it"));
        }
        let (block, receipts) = verify_block(header.clone(), &stored.body, &stored.receipts)
            .map_err(|what| self.invalid(what))?;
        self.store.install_block(&block, &receipts)?;
        self.last_block = Some(header);
        Ok(())
    }

    fn finish(
        self,
        end: &End,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, SnapshotError> {
        let is_whole = *end == self.found;
        let (Some(manifest), Some(last)) = (&self.manifest, &self.last_block) else {
            return Err(self.invalid("the snapshot has no blocks"));
        };
        if !is_whole {
            return Err(self.invalid("the counts at the end are not those of the content"));
        }
        if last.number != manifest.head_number || last.hash() != manifest.head_hash {
            return Err(self.invalid("the last block is not the one in the manifest"));
        }
        progress(Progress { stage: Stage::Verify, done: 0 });
        if let Some(what) = self.store.missing_code()? {
            return Err(self.invalid(what));
        }
        let commitment = self.store.rebuild_tries().map_err(|error| match error {
            crate::state::StateError::Damaged { .. } => self.invalid("a storage root is wrong"),
            other => other.into(),
        })?;
        if commitment.accounts().root() != last.state_root {
            return Err(self.invalid("the state does not have the root in the last header"));
        }
        progress(Progress { stage: Stage::Verify, done: self.found.accounts });
        Ok(Summary {
            chain_id: manifest.chain_id,
            head_number: manifest.head_number,
            head_hash: manifest.head_hash,
            genesis_hash: manifest.genesis_hash,
            blocks: self.found.blocks,
            accounts: self.found.accounts,
            slots: self.found.slots,
            codes: self.found.codes,
        })
    }
}

//! Writing a snapshot file.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use alloy_primitives::Bytes;

use super::{
    Progress, SnapshotError, Stage, Summary,
    format::{CHUNK_TARGET, End, Entry, Kind, Manifest, StoredBlock, Writer},
};
use crate::{
    DATABASE,
    state::StateError,
    store::{Snapshot, Store, StoreOptions},
};

/// What goes into a snapshot file besides the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// Last blocks to include with transactions and receipts, at least 1; `u64::MAX` for all. The
    /// block 0 is always there. Contracts see the hashes of 256 ancestors.
    pub blocks: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { blocks: 257 }
    }
}

/// Entries between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// Writes the chain in the folder `dir`, which no node may be using, to `file`. The file appears
/// under its name only when it is complete.
pub fn export(
    dir: &Path,
    file: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SnapshotError> {
    let database = dir.join(DATABASE);
    if !database.is_file() {
        return Err(SnapshotError::NoChain { path: dir.to_owned() });
    }
    let store = Store::open(&database, &StoreOptions::default())?;
    export_store(&store, file, options, progress)
}

/// Writes the chain in an open database, also of a running node, as of this moment.
pub fn export_store(
    store: &Store,
    file: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SnapshotError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    let partial = Path::new(&name);
    let failed = |source| SnapshotError::File { path: file.to_owned(), source };
    let result = File::create(partial).map_err(failed).and_then(|out| {
        let out = BufWriter::with_capacity(CHUNK_TARGET, out);
        let mut export = Export { writer: Writer::new(out).map_err(failed)?, file, progress };
        let summary = export.run(store, options)?;
        let out = export.writer.finish().map_err(failed)?;
        let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
        out.sync_all().map_err(failed)?;
        std::fs::rename(partial, file).map_err(failed)?;
        Ok(summary)
    });
    if result.is_err() {
        // What is left is of no use; that it cannot be removed either is not worth an error more.
        let _ = std::fs::remove_file(partial);
    }
    result
}

struct Export<'a, W> {
    writer: Writer<W>,
    file: &'a Path,
    progress: &'a mut dyn FnMut(Progress),
}

impl<W: Write> Export<'_, W> {
    fn chunk(&mut self, kind: Kind, content: &[u8]) -> Result<(), SnapshotError> {
        self.writer
            .chunk(kind, content)
            .map_err(|source| SnapshotError::File { path: self.file.to_owned(), source })
    }

    fn run(&mut self, store: &Store, options: &ExportOptions) -> Result<Summary, SnapshotError> {
        let snapshot = store.snapshot()?;
        let head = snapshot.head()?;
        let (Some(head), Some(genesis)) = (head, snapshot.hash_of(0)?) else {
            return Err(SnapshotError::NoChain { path: self.file.to_owned() });
        };
        let manifest = Manifest {
            chain_id: store.known_chain_id()?.unwrap_or_default(),
            head_number: head.number,
            head_hash: head.hash(),
            genesis_hash: genesis,
        };
        self.chunk(Kind::Manifest, &alloy_rlp::encode(&manifest))?;
        let mut end = End { blocks: 0, accounts: 0, slots: 0, codes: 0 };
        let first = head.number.saturating_sub(options.blocks.saturating_sub(1)).max(1);
        let first = first.max(snapshot.first_body()?.max(1));
        self.block(&snapshot, 0, &mut end)?;
        for number in first..=head.number {
            self.block(&snapshot, number, &mut end)?;
        }
        end.accounts = self.entries(Kind::Accounts, Stage::Accounts, |push| {
            snapshot.each_account(|key, rlp| push(key.as_slice(), rlp))
        })?;
        end.slots =
            self.entries(Kind::Storage, Stage::Storage, |push| snapshot.each_stored_slot(push))?;
        end.codes = self.entries(Kind::Code, Stage::Code, |push| snapshot.each_code(push))?;
        self.chunk(Kind::End, &alloy_rlp::encode(&end))?;
        Ok(Summary {
            chain_id: manifest.chain_id,
            head_number: manifest.head_number,
            head_hash: manifest.head_hash,
            genesis_hash: manifest.genesis_hash,
            blocks: end.blocks,
            accounts: end.accounts,
            slots: end.slots,
            codes: end.codes,
        })
    }

    fn block(
        &mut self,
        snapshot: &Snapshot,
        number: u64,
        end: &mut End,
    ) -> Result<(), SnapshotError> {
        let [header, body, receipts] = snapshot.stored_block(number)?.map(Bytes::from);
        self.chunk(Kind::Blocks, &alloy_rlp::encode(StoredBlock { header, body, receipts }))?;
        end.blocks += 1;
        (self.progress)(Progress { stage: Stage::Blocks, done: end.blocks });
        Ok(())
    }

    /// Writes what `each` pushes, key and value, in chunks, and counts it.
    fn entries(
        &mut self,
        kind: Kind,
        stage: Stage,
        each: impl FnOnce(
            &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StateError>,
        ) -> Result<(), StateError>,
    ) -> Result<u64, SnapshotError> {
        let mut entries: Vec<Entry> = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        let mut failure = None;
        let walked = each(&mut |key, value| {
            bytes += key.len() + value.len() + 16;
            count += 1;
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            entries.push(Entry { key, value });
            if count % REPORT_EVERY == 0 {
                (self.progress)(Progress { stage, done: count });
            }
            if bytes >= CHUNK_TARGET {
                let content = alloy_rlp::encode(std::mem::take(&mut entries));
                bytes = 0;
                if let Err(error) = self.chunk(kind, &content) {
                    failure = Some(error);
                    // Ends the walk; the real reason is reported below.
                    return Err(StateError::Damaged { what: "snapshot file" });
                }
            }
            Ok(())
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        walked?;
        if !entries.is_empty() {
            self.chunk(kind, &alloy_rlp::encode(entries))?;
        }
        (self.progress)(Progress { stage, done: count });
        Ok(count)
    }
}

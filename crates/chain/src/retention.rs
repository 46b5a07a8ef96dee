//! Dropping what is kept longer than a configuration says, of a chain that does not run. One that runs
//! does it by itself, some with every block.

use std::path::Path;

use crate::{
    DATABASE, Limits,
    snapshot::SnapshotError,
    state::StateError,
    store::{Store, StoreOptions},
};

/// Blocks of which something is dropped in one transaction.
const BATCH_BLOCKS: usize = 1024;

/// What pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blocks whose earlier values were dropped.
    pub history_blocks: u64,
    /// Blocks whose transactions, receipts and logs were dropped.
    pub body_blocks: u64,
    /// The oldest block whose state can be read now.
    pub oldest_state: u64,
    /// The first block after block 0 whose transactions, receipts and logs can be read now.
    pub first_body: u64,
    /// Size of the database's file before, in bytes.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// How far pruning has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Earlier values of so many blocks are dropped.
    History(u64),
    /// Transactions, receipts and logs of so many blocks are dropped.
    Bodies(u64),
    /// The file is made smaller.
    Compacting,
}

/// Drops what `limits` do not keep of earlier states and of old blocks in the chain in the folder `dir`, which no node
/// may be using, and gives the space back to the file system. Cut short anywhere, it leaves a chain
/// that is whole; run again, it goes on.
///
/// # Errors
/// When there is no chain, or its database fails.
pub fn prune(
    dir: &Path,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Pruned, SnapshotError> {
    let database = dir.join(DATABASE);
    if !database.is_file() {
        return Err(SnapshotError::NoChain { path: dir.to_owned() });
    }
    let size = || {
        let failed = |source| SnapshotError::File { path: database.clone(), source };
        database.metadata().map(|file| file.len()).map_err(failed)
    };
    let bytes_before = size()?;
    let mut store = Store::open(&database, &StoreOptions::from(limits))?;
    if store.head()?.is_none() {
        return Err(SnapshotError::NoChain { path: dir.to_owned() });
    }
    save_tries(&store)?;
    let mut done = Pruned { bytes_before, ..Pruned::default() };
    let history = |count| progress(Progress::History(count));
    done.history_blocks = repeat(|| store.prune_history(BATCH_BLOCKS), history)?;
    let bodies = |count| progress(Progress::Bodies(count));
    done.body_blocks = repeat(|| store.prune_bodies(BATCH_BLOCKS), bodies)?;
    let snapshot = store.snapshot()?;
    (done.oldest_state, done.first_body) = (snapshot.oldest_state()?, snapshot.first_body()?);
    drop(snapshot);
    progress(Progress::Compacting);
    // One pass moves what it can; there is nothing more to do when a pass has moved nothing.
    while store.compact()? {}
    drop(store);
    done.bytes_after = size()?;
    Ok(done)
}

/// Repeats until there is nothing more to drop; returns how much that was.
fn repeat(
    step: impl Fn() -> Result<usize, StateError>,
    mut progress: impl FnMut(u64),
) -> Result<u64, StateError> {
    let mut count = 0;
    loop {
        match step()? {
            0 => return Ok(count),
            dropped => count += dropped as u64,
        }
        progress(count);
    }
}

/// Earlier values are kept as long as they are needed to bring the stored tries up to date; after a
/// crash that can be more than the limits say.
fn save_tries(store: &Store) -> Result<(), StateError> {
    let mut commitment = store.commitment()?;
    if commitment.unsaved_keys() == 0 { Ok(()) } else { store.save_tries(&mut commitment) }
}

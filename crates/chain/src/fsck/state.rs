//! The flat state, and the stored nodes of the tries over it.

use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles};
use redb::ReadableTableMetadata;

use super::{Hear, Level, Place, Progress, Report, Stage, blocks::damage};
use crate::{
    block::SealedHeader,
    state::{Commitment, StateError, decode_account},
    store::{Snapshot, Store},
};

/// Accounts and slots between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// Checks that the flat state has the header's root, and code its hashes.
pub(super) fn check(
    snapshot: &Snapshot,
    head: &SealedHeader,
    report: &mut Report,
    progress: Hear<'_>,
) -> Result<(), StateError> {
    let mut builder = HashBuilder::default();
    let mut slots = 0;
    let length = |found: Result<u64, _>| found.map_err(StateError::database);
    let total = length(snapshot.accounts.len())? + length(snapshot.storage.len())?;
    let mut reported = 0;
    let walked = snapshot.each_account(|key, rlp| {
        report.accounts += 1;
        let done = report.accounts + slots;
        if done - reported >= REPORT_EVERY {
            reported = done;
            progress(Progress { stage: Stage::State, done, total: Some(total) });
        }
        builder.add_leaf(Nibbles::unpack(key), rlp);
        let account = decode_account(rlp)?;
        if account.storage_root != EMPTY_ROOT_HASH {
            let (root, count) = storage_root(snapshot, &key)?;
            slots += count;
            if root != account.storage_root {
                report.find(
                    Place::State,
                    format!("storage of {key} has root {root}, not {}", account.storage_root),
                );
            }
        }
        if account.code_hash != KECCAK_EMPTY && !snapshot.has_code(&account.code_hash)? {
            report.find(Place::State, format!("code {} is missing", account.code_hash));
        }
        Ok(())
    });
    if let Err(what) = damage(walked)? {
        report.find(Place::State, what);
        return Ok(());
    }
    report.slots = slots;
    let stored = snapshot.storage.len().map_err(StateError::database)?;
    if stored != slots {
        report.find(Place::State, format!("{stored} slots are stored, {slots} belong to accounts"));
    }
    let (found, wanted) = (builder.root(), head.state_root);
    if found != wanted {
        report.find(Place::State, format!("its root is {found}, the last header says {wanted}"));
    }
    snapshot.each_code(&mut |hash, code| {
        if alloy_primitives::keccak256(code).as_slice() != hash {
            let hash = B256::from_slice(hash);
            report.find(Place::State, format!("code {hash} does not have its hash"));
        }
        Ok(())
    })
}

fn storage_root(snapshot: &Snapshot, account: &B256) -> Result<(B256, u64), StateError> {
    let mut builder = HashBuilder::default();
    let mut count = 0;
    snapshot.each_slot(account, |slot, value| {
        count += 1;
        builder.add_leaf(Nibbles::unpack(slot), &alloy_rlp::encode(value));
        Ok(())
    })?;
    Ok((builder.root(), count))
}

impl Store {
    /// Checks that the stored nodes lead to the state, and with [`Level::Full`] that each of them
    /// is right and none too many. Returns the tries if they can be used.
    pub(super) fn check_tries(
        &self,
        snapshot: &Snapshot,
        level: Level,
        state_is_sound: bool,
        report: &mut Report,
    ) -> Result<Option<Commitment>, StateError> {
        let mut commitment = match damage(self.catch_up(snapshot))? {
            Ok(Some(commitment)) => commitment,
            Ok(None) => {
                // Opening makes them; until then there is nothing that could be wrong.
                let commitment = match damage(self.rebuild_tries())? {
                    Ok(commitment) => commitment,
                    Err(what) => {
                        report.find(Place::State, what);
                        return Ok(None);
                    }
                };
                let root = snapshot.head()?.map(|head| head.state_root);
                if root != Some(commitment.accounts().root()) {
                    report.find(Place::State, "its root is not the last header's");
                    return Ok(None);
                }
                commitment
            }
            Err(what) => {
                let place = if state_is_sound { Place::Tries } else { Place::State };
                report.find(place, format!("they do not lead to the last header's root: {what}"));
                return Ok(None);
            }
        };
        if level == Level::Full && state_is_sound {
            self.save_tries(&mut commitment)?;
            let wrong = self.wrong_records()?;
            if wrong > 0 {
                report.find(Place::Tries, format!("{wrong} are wrong, missing or too many"));
            }
        }
        Ok(Some(commitment))
    }
}

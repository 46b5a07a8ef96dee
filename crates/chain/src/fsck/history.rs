//! The values kept from before each block: put back one block after the other, each step must give
//! the root in the header of the block before.

use std::collections::HashMap;

use alloy_primitives::{B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use redb::{ReadableTable, ReadableTableMetadata};

use super::{Hear, Place, Progress, Report, Stage, blocks::damage};
use crate::{
    state::{AccountNodes, Commitment, StateError, StorageNodes, TrieView, decode_account},
    store::{Snapshot, history::parse_changed, tables::*, value_from},
    trie::{Change, Loader, Trie},
};

/// The tries on their way back.
struct Back<'a> {
    snapshot: &'a Snapshot,
    view: &'a TrieView,
    accounts: Trie,
    storages: HashMap<B256, Trie>,
}

pub(super) fn check(
    snapshot: &Snapshot,
    commitment: &Commitment,
    report: &mut Report,
    progress: Hear<'_>,
) -> Result<(), StateError> {
    let total = Some(snapshot.changed.len().map_err(StateError::database)?);
    let view = commitment.view();
    let accounts = view.accounts().clone();
    let mut back = Back { snapshot, view, accounts, storages: HashMap::new() };
    let (mut old_accounts, mut old_slots) = (0, 0);
    let mut expected = snapshot.head()?.map(|head| head.number);
    let blocks = snapshot.changed.iter().map_err(StateError::database)?;
    for entry in blocks.rev() {
        let (number, keys) = entry.map_err(StateError::database)?;
        let number = number.value();
        if expected != Some(number) {
            report.find(Place::History(number), "the block after it has none");
            return Ok(());
        }
        expected = number.checked_sub(1);
        let step = parse_changed(keys.value()).and_then(|changed| {
            old_accounts += changed.len() as u64;
            old_slots += changed.iter().map(|(_, slots)| slots.len() as u64).sum::<u64>();
            back.step(number, &changed)
        });
        if let Err(what) | Ok(Some(what)) = damage(step)? {
            report.find(Place::History(number), what);
            return Ok(());
        }
        report.history_blocks += 1;
        progress(Progress { stage: Stage::History, done: report.history_blocks, total });
    }
    let counts = [
        ("accounts", snapshot.old_accounts.len(), old_accounts),
        ("slots", snapshot.old_storage.len(), old_slots),
    ];
    for (what, found, wanted) in counts {
        let found = found.map_err(StateError::database)?;
        if found != wanted {
            let what = format!("{found} values of {what} are kept, {wanted} belong to blocks");
            report.find(Place::History(expected.map_or(0, |number| number + 1)), what);
        }
    }
    Ok(())
}

impl Back<'_> {
    /// Goes back over one block; says what is wrong, if anything.
    fn step(
        &mut self,
        number: u64,
        changed: &[(B256, Vec<B256>)],
    ) -> Result<Option<String>, StateError> {
        let mut accounts: Vec<Change> = Vec::with_capacity(changed.len());
        for (account, slots) in changed {
            let key = old_account_key(account, number);
            let before = self.snapshot.old_accounts.get(&key).map_err(StateError::database)?;
            let Some(before) = before else {
                return Ok(Some(format!("account {account} is missing")));
            };
            let rlp = before.value();
            let before = (!rlp.is_empty()).then(|| decode_account(rlp)).transpose()?;
            if !slots.is_empty()
                && let Some(what) = self.storage_step(
                    number,
                    (account, before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root)),
                    slots,
                )?
            {
                return Ok(Some(what));
            }
            accounts.push((*account, (!rlp.is_empty()).then(|| rlp.to_vec())));
        }
        let nodes = AccountNodes { source: self.snapshot };
        self.accounts = self.accounts.updated(&accounts, &Loader::new(&nodes))?;
        let parent =
            number.checked_sub(1).map(|parent| self.snapshot.header(parent)).transpose()?;
        let wanted = match parent {
            // Before block 0 there is nothing.
            None => EMPTY_ROOT_HASH,
            Some(None) => return Ok(None),
            Some(Some(parent)) => parent.state_root,
        };
        let found = self.accounts.root();
        Ok((found != wanted).then(|| format!("they lead back to root {found}, not {wanted}")))
    }

    fn storage_step(
        &mut self,
        number: u64,
        (account, wanted): (&B256, B256),
        slots: &[B256],
    ) -> Result<Option<String>, StateError> {
        let trie = match self.storages.get(account) {
            Some(trie) => trie.clone(),
            None => {
                let now = self.snapshot.account_by_key(account)?.unwrap_or_default();
                self.view.storage(account, &now.storage_root)
            }
        };
        let mut changes: Vec<Change> = Vec::with_capacity(slots.len());
        for slot in slots {
            let key = old_storage_key(&storage_key(account, slot), number);
            let before = self.snapshot.old_storage.get(&key).map_err(StateError::database)?;
            let Some(before) = before else {
                return Ok(Some(format!("slot {slot} of {account} is missing")));
            };
            let value: U256 = value_from(before.value())?;
            changes.push((*slot, (!value.is_zero()).then(|| alloy_rlp::encode(value))));
        }
        let nodes = StorageNodes { source: self.snapshot, account: *account };
        let trie = trie.updated(&changes, &Loader::new(&nodes))?;
        let found = trie.root();
        self.storages.insert(*account, trie);
        Ok((found != wanted)
            .then(|| format!("storage of {account} leads back to root {found}, not {wanted}")))
    }
}

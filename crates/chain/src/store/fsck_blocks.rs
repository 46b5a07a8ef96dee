//! Headers, transactions, receipts and their indices.

use alloy_primitives::B256;
use redb::ReadableTableMetadata;

use super::{Level, Place, Report};
use crate::{
    block::SealedHeader,
    state::StateError,
    store::{Snapshot, verify_block},
};

/// Blocks behind the head that a quick check looks at.
const QUICK_BLOCKS: u64 = 128;

/// What there must be of each index in all.
#[derive(Default)]
struct Totals {
    blocks: u64,
    transactions: u64,
}

pub(super) fn check(
    snapshot: &Snapshot,
    head: &SealedHeader,
    level: Level,
    report: &mut Report,
) -> Result<(), StateError> {
    let mut totals = Totals::default();
    let first = snapshot.first_block()?;
    let quick_first = match level {
        Level::Quick => head.number.saturating_sub(QUICK_BLOCKS),
        Level::Full => 0,
    };
    let mut parent: Option<B256> = None;
    // Block 0 is always there; after it, a chain from a snapshot begins later.
    let numbers = (0..1).chain(first.max(1)..=head.number).filter(|n| *n >= quick_first);
    for number in numbers {
        if report.is_full() {
            return Ok(());
        }
        if number == first && first > 1 {
            parent = None;
        }
        let hash = block(snapshot, number, parent, &mut totals, report)?;
        parent = hash;
    }
    report.blocks = totals.blocks;
    if level == Level::Full {
        let counts = [
            ("headers", snapshot.headers.len(), totals.blocks),
            ("bodies", snapshot.bodies.len(), totals.blocks),
            ("receipts", snapshot.receipts.len(), totals.blocks),
            ("block hashes", snapshot.numbers.len(), totals.blocks),
            ("transaction hashes", snapshot.transactions.len(), totals.transactions),
        ];
        for (what, found, wanted) in counts {
            let found = found.map_err(StateError::database)?;
            if found != wanted {
                report.find(Place::Index, format!("{found} {what} are stored, not {wanted}"));
            }
        }
    }
    Ok(())
}

/// Checks one block and returns its hash if it has a header.
fn block(
    snapshot: &Snapshot,
    number: u64,
    parent: Option<B256>,
    totals: &mut Totals,
    report: &mut Report,
) -> Result<Option<B256>, StateError> {
    let place = Place::Block(number);
    totals.blocks += 1;
    let header = match damage(snapshot.header(number))? {
        Ok(Some(header)) => header,
        Ok(None) => {
            report.find(place, "its header is missing");
            return Ok(None);
        }
        Err(what) => {
            report.find(place, what);
            return Ok(None);
        }
    };
    let hash = header.hash();
    if header.number != number {
        report.find(place, format!("its header has number {}", header.number));
    }
    if parent.is_some_and(|parent| parent != header.parent_hash) {
        report.find(place, "its parent hash is not the hash of the block before it");
    }
    if snapshot.number_of(&hash)? != Some(number) {
        report.find(Place::Index, format!("the hash of block {number} does not lead to it"));
    }
    let stored = match damage(snapshot.stored_block(number))? {
        Ok(stored) => stored,
        Err(what) => {
            report.find(place, what);
            return Ok(Some(hash));
        }
    };
    match verify_block(header, &stored[1], &stored[2]) {
        Err(what) => report.find(place, what),
        Ok((block, receipts)) => {
            if !matches!(snapshot.has_indexed(number, &receipts), Ok(true)) {
                report.find(Place::Index, format!("logs of block {number} are not found"));
            }
            for (index, transaction) in (0_u32..).zip(&block.transactions) {
                totals.transactions += 1;
                let found = snapshot.place_of(transaction.inner().tx_hash())?;
                if found.is_none_or(|at| (at.block, at.index) != (number, index)) {
                    let what = format!("transaction {index} of block {number} is not found");
                    report.find(Place::Index, what);
                }
            }
        }
    }
    Ok(Some(hash))
}

/// Damage is what is looked for; anything else ends the check.
pub(super) fn damage<T>(read: Result<T, StateError>) -> Result<Result<T, String>, StateError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error @ StateError::Damaged { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

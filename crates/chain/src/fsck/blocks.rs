//! Headers, transactions, receipts and their indices.

use alloy_primitives::B256;
use redb::ReadableTableMetadata;

use super::{Hear, Level, Place, Progress, Report, Stage};
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
    /// Of these, with transactions and receipts.
    whole: u64,
    transactions: u64,
}

pub(super) fn check(
    snapshot: &Snapshot,
    head: &SealedHeader,
    level: Level,
    report: &mut Report,
    progress: Hear<'_>,
) -> Result<(), StateError> {
    let mut totals = Totals::default();
    let (first, first_body) = (snapshot.first_block()?, snapshot.first_body()?);
    let quick_first = match level {
        Level::Quick => head.number.saturating_sub(QUICK_BLOCKS),
        Level::Full => 0,
    };
    let mut parent: Option<B256> = None;
    // Block 0 is always there; after it, a chain from a snapshot begins later.
    let later = first.max(1).max(quick_first)..=head.number;
    let total = u64::from(quick_first == 0) + later.end().saturating_sub(*later.start() - 1);
    for number in (0..1).filter(|_| quick_first == 0).chain(later) {
        progress(Progress { stage: Stage::Blocks, done: totals.blocks, total: Some(total) });
        if report.is_full() {
            return Ok(());
        }
        if number == first && first > 1 {
            parent = None;
        }
        let is_whole = number == 0 || number >= first_body;
        parent = block(snapshot, (number, is_whole), parent, &mut totals, report)?;
    }
    report.blocks = totals.blocks;
    if level == Level::Full {
        let counts = [
            ("headers", snapshot.headers.len(), totals.blocks),
            ("bodies", snapshot.bodies.len(), totals.whole),
            ("receipts", snapshot.receipts.len(), totals.whole),
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
    (number, is_whole): (u64, bool),
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
    if !is_whole {
        return Ok(Some(hash));
    }
    totals.whole += 1;
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

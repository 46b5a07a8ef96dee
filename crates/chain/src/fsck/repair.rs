//! Making anew what follows from the blocks.

use super::{Hear, Progress, Stage};
use crate::{
    log_index,
    state::StateError,
    store::{Store, index_block, index_header, tables::*},
};

/// Makes the indices anew from headers, transactions and receipts, in one transaction: a crash on
/// the way leaves them as they were. A block that does not decode is left out.
pub(super) fn indices(store: &Store, progress: Hear<'_>) -> Result<(), StateError> {
    let snapshot = store.snapshot()?;
    let Some(head) = snapshot.head()? else { return Ok(()) };
    let database = |error| StateError::Database(Box::new(error));
    let first_body = snapshot.first_body()?;
    let transaction = store.begin_write()?;
    {
        let mut numbers = transaction.open_table(NUMBERS).map_err(StateError::database)?;
        numbers.retain(|_, _| false).map_err(StateError::database)?;
        let mut places = transaction.open_table(TRANSACTIONS).map_err(StateError::database)?;
        places.retain(|_, _| false).map_err(StateError::database)?;
        log_index::clear(&transaction).map_err(database)?;
    }
    for number in (0..1).chain(snapshot.first_block()?.max(1)..=head.number) {
        progress(Progress { stage: Stage::Repair, done: number, total: Some(head.number) });
        let Ok(Some(header)) = snapshot.header(number) else { continue };
        if number > 0 && number < first_body {
            index_header(&transaction, &header).map_err(database)?;
        } else if let (Ok(Some(transactions)), Ok(Some(receipts))) =
            (snapshot.transactions(number), snapshot.receipts(number))
        {
            let hashes = transactions.iter().map(|tx| tx.inner().tx_hash());
            index_block(&transaction, &header, hashes, &receipts).map_err(database)?;
        }
    }
    transaction.commit().map_err(StateError::database)
}

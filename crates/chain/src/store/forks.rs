//! The schedule of forks a chain was last opened with, kept beside its blocks: they do not say which
//! forks lie ahead, nor which lie behind when nothing in them shows it.

use redb::TableError;

use super::{Store, tables::TEXTS};
use crate::{spec::Forks, state::StateError};

/// Under which name.
const FORKS: &str = "forks";

impl Store {
    /// The stored schedule; `None` in a database that was never opened by a node that stores it.
    ///
    /// # Errors
    /// `StateError::Damaged` also when a later version of this program wrote forks that this one
    /// does not know.
    pub fn forks(&self) -> Result<Option<Forks>, StateError> {
        let transaction = self.begin_read()?;
        let texts = match transaction.open_table(TEXTS) {
            Ok(texts) => texts,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StateError::database(error)),
        };
        let Some(stored) = texts.get(FORKS).map_err(StateError::database)? else {
            return Ok(None);
        };
        let damaged = |_| StateError::Damaged { what: "schedule of forks" };
        serde_json::from_slice(stored.value()).map(Some).map_err(damaged)
    }

    /// Stores a schedule in the place of what was there.
    pub fn set_forks(&self, forks: &Forks) -> Result<(), StateError> {
        // Numbers, booleans and addresses can always be written.
        let text = serde_json::to_vec(forks)
            .map_err(|_| StateError::Damaged { what: "schedule of forks" })?;
        let transaction = self.begin_write()?;
        transaction
            .open_table(TEXTS)
            .map_err(StateError::database)?
            .insert(FORKS, text.as_slice())
            .map_err(StateError::database)?;
        transaction.commit().map_err(StateError::database)
    }

    /// Forgets the stored schedule; the next opening stores its own.
    pub(crate) fn forget_forks(&self) -> Result<(), StateError> {
        let transaction = self.begin_write()?;
        transaction
            .open_table(TEXTS)
            .map_err(StateError::database)?
            .remove(FORKS)
            .map_err(StateError::database)?;
        transaction.commit().map_err(StateError::database)
    }
}

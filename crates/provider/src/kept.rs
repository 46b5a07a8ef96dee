//! What is kept of a range that the chain may still ask for: its journal. It may be all that proves the range, so it is
//! only read, and what it is of is its own to say.

use std::path::Path;

use tilth_client::mates::Part;
use tilth_protocol::{Leaf, RangeId};

use crate::journal::{Extent, Journal, JournalError};

/// What its owner can do when the chain does not take or tell what a case needs.
pub(crate) const ASK_THE_NODE: &str = "check that the node answers and that there is coin for gas: it is tried again, and must be done within half an hour";

/// Why the leaves of a range are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("its journal is gone or incomplete")]
    Lost,
    #[error(
        "its journal is of another range than the chain has there; a node that is late says so, too"
    )]
    OtherRange,
    #[error("reading its journal was interrupted")]
    Interrupted,
}

impl KeptError {
    /// What its owner can do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Journal(_) => {
                "check the disk and who may read the provider's folder: it is tried again, and must be done within half an hour"
            }
            Self::Lost => {
                "put the provider's folder back from a copy, or start the provider in the folder in which it has worked, within half an hour"
            }
            Self::OtherRange => {
                "nothing if the node was late, it is tried again; else start the provider in the folder in which it has worked on this chain"
            }
            Self::Interrupted => "nothing, it is tried again; report it if it comes again",
        }
    }
}

/// The leaves of a complete range with these tasks, in the order of its tree. Waits for the disk.
pub(crate) fn leaves(path: &Path, range: RangeId, part: Part) -> Result<Vec<Leaf>, KeptError> {
    let journal = Journal::read(path)?.ok_or(KeptError::Lost)?;
    let Extent { range: of, from, count, .. } = *journal.extent();
    if (of, from, count) != (range, part.from, part.count) {
        return Err(KeptError::OtherRange);
    }
    journal.complete().ok_or(KeptError::Lost)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, Status};

    use super::*;

    #[test]
    fn what_is_kept_is_told_apart_from_what_is_lost_and_from_what_is_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.journal");
        let range = RangeId { job: JobId(3), seq: 1 };
        let part = Part { from: 8, count: 2 };
        assert!(matches!(leaves(&path, range, part), Err(KeptError::Lost)), "there is none");
        let extent = Extent { range, from: 8, count: 2, prepare: false };
        let mut journal = Journal::open(&path, extent).unwrap();
        let all = [Leaf::finished(8, &[1; 90], 9), Leaf::failed(9, Status::Trap, 10)];
        journal.append(&all[..1]).unwrap();
        assert!(matches!(leaves(&path, range, part), Err(KeptError::Lost)), "one is missing");
        journal.append(&all[1..]).unwrap();
        assert_eq!(leaves(&path, range, part).unwrap(), all);
        for (range, part) in [
            (RangeId { seq: 2, ..range }, part),
            (range, Part { from: 7, ..part }),
            (range, Part { count: 3, ..part }),
        ] {
            assert!(matches!(leaves(&path, range, part), Err(KeptError::OtherRange)), "{part:?}");
        }
        assert!(matches!(leaves(dir.path(), range, part), Err(KeptError::Journal(_))), "a folder");
    }
}

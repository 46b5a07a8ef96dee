//! Checking a database: everything in it that follows from something else must follow.
//!
//! Headers are linked and have their numbers; transactions and receipts have the roots in their
//! headers and their places in the indices; the flat state has the root in the last header, by
//! alloy-trie, which shares nothing with our own trie; the values kept from before each block lead
//! back to the root of the block before, as far as they are kept; stored trie nodes are those of
//! the state. What can be made anew from the rest, indices and trie nodes, is repaired if asked.

#[path = "fsck_blocks.rs"]
mod blocks;
#[path = "fsck_history.rs"]
mod history;
#[path = "fsck_repair.rs"]
mod repair;
#[path = "fsck_state.rs"]
mod state;

use std::{fmt, path::Path};

use tilth_protocol::Problem;

use super::{Store, StoreOptions};
use crate::{DATABASE, snapshot::SnapshotError, state::StateError};

/// Findings after which a check stops looking for more.
const FINDINGS_MAX: usize = 1000;

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The last 128 blocks, and that the state can be brought to the last header's root from the
    /// stored trie nodes. Under a second on any chain.
    Quick,
    /// Everything. Reads the whole database; about 10 us per account, slot, transaction and kept
    /// value.
    Full,
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much is checked.
    pub level: Level,
    /// Make indices and trie nodes anew if something is wrong with them.
    pub repair: bool,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub what: String,
}

/// Where something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Header, transactions or receipts of a block.
    Block(u64),
    /// The indices by hash and of logs: follow from the blocks.
    Index,
    /// The state after the last block.
    State,
    /// The values kept from before a block.
    History(u64),
    /// The stored nodes of the tries: follow from the state.
    Tries,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(number) => write!(f, "block {number}"),
            Self::Index => write!(f, "the indices"),
            Self::State => write!(f, "the state"),
            Self::History(number) => write!(f, "the values from before block {number}"),
            Self::Tries => write!(f, "the stored trie nodes"),
        }
    }
}

impl Finding {
    /// Whether [`Options::repair`] helps.
    pub fn is_repairable(&self) -> bool {
        matches!(self.place, Place::Index | Place::Tries)
    }

    /// The finding for a person.
    pub fn problem(&self) -> Problem {
        let advice = match self.place {
            Place::Index | Place::Tries => "run the check again with repair",
            Place::History(_) => {
                "earlier states cannot be trusted; lower the history that is kept and prune, or \
                 start from a snapshot"
            }
            Place::Block(_) | Place::State => {
                "the database is damaged, most likely by the disk; start from a snapshot or a copy"
            }
        };
        Problem::new(format!("{} is damaged", self.place), self.what.clone(), advice)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that was wrong, the first thousand.
    pub findings: Vec<Finding>,
    /// Whether indices and trie nodes were made anew.
    pub repaired: bool,
    /// Blocks checked.
    pub blocks: u64,
    /// Accounts checked.
    pub accounts: u64,
    /// Storage slots checked.
    pub slots: u64,
    /// Blocks whose earlier values were checked.
    pub history_blocks: u64,
}

impl Report {
    fn find(&mut self, place: Place, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { place, what: what.into() });
        }
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }

    /// Whether nothing is wrong, or nothing any more.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| self.repaired && finding.is_repairable())
    }
}

/// Checks the chain in the folder `dir`, which no node may be using.
///
/// # Errors
/// When there is no chain or its database cannot be read at all.
pub fn fsck(dir: &Path, options: Options) -> Result<Report, SnapshotError> {
    let database = dir.join(DATABASE);
    if !database.is_file() {
        return Err(SnapshotError::NoChain { path: dir.to_owned() });
    }
    let store = Store::open(&database, &StoreOptions::default())?;
    Ok(store.fsck(options)?)
}

impl Store {
    /// Checks everything; see [`fsck`]. Nothing may be written meanwhile.
    pub fn fsck(&self, options: Options) -> Result<Report, StateError> {
        let mut report = Report::default();
        let snapshot = self.snapshot()?;
        let Some(head) = snapshot.head()? else {
            report.find(Place::Block(0), "there is no block");
            return Ok(report);
        };
        let level = options.level;
        blocks::check(&snapshot, &head, level, &mut report)?;
        if level == Level::Full {
            state::check(&snapshot, &head, &mut report)?;
        }
        let state_is_sound = !report.findings.iter().any(|f| f.place == Place::State);
        let commitment = self.check_tries(&snapshot, level, state_is_sound, &mut report)?;
        if level == Level::Full
            && let Some(commitment) = commitment
        {
            history::check(&self.snapshot()?, &commitment, &mut report)?;
        }
        if options.repair && report.findings.iter().any(Finding::is_repairable) {
            repair::indices(self)?;
            if state_is_sound {
                self.rebuild_tries()?;
            }
            report.repaired = true;
        }
        Ok(report)
    }
}

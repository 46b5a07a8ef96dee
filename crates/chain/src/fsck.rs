//! Checking a database: everything in it that follows from something else must follow.
//!
//! Headers are linked and have their numbers; transactions and receipts have the roots in their
//! headers and their places in the indices; the flat state has the root in the last header, by
//! alloy-trie, which shares nothing with our own trie; the values kept from before each block lead
//! back to the root of the block before, as far as they are kept; stored trie nodes are those of
//! the state. What can be made anew from the rest, indices and trie nodes, is repaired if asked.

mod blocks;
mod history;
mod repair;
mod state;

use std::{fmt, path::Path};

use tilth_protocol::Problem;

use crate::{
    DATABASE,
    snapshot::SnapshotError,
    state::StateError,
    store::{Store, StoreOptions},
};

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
    /// Make indices and trie nodes anew if something is wrong with them, and forget a schedule of
    /// forks that cannot be read.
    pub repair: bool,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being checked.
    pub stage: Stage,
    /// Blocks, or accounts and slots, done in this stage.
    pub done: u64,
    /// How many there are, where that is known.
    pub total: Option<u64>,
}

/// The stages, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Headers, transactions, receipts and their indices; counted in blocks.
    Blocks,
    /// The flat state; counted in accounts and slots.
    State,
    /// Stored trie nodes; not counted.
    Tries,
    /// The values kept from before each block; counted in blocks.
    History,
    /// Making anew what follows from the rest; counted in blocks.
    Repair,
}

/// Who hears of the progress.
pub type Hear<'a> = &'a mut dyn FnMut(Progress);

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
    /// The stored schedule of forks: follows from the genesis file.
    Forks,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(number) => write!(f, "block {number}"),
            Self::Index => write!(f, "the indices"),
            Self::State => write!(f, "the state"),
            Self::History(number) => write!(f, "the values from before block {number}"),
            Self::Tries => write!(f, "the stored trie nodes"),
            Self::Forks => write!(f, "the stored schedule of forks"),
        }
    }
}

impl Finding {
    /// Whether [`Options::repair`] helps.
    pub fn is_repairable(&self) -> bool {
        matches!(self.place, Place::Index | Place::Tries | Place::Forks)
    }

    /// The finding for a person.
    pub fn problem(&self) -> Problem {
        let advice = match self.place {
            Place::Index | Place::Tries => "run the check again with repair",
            Place::Forks => {
                "run the check again with repair; the next start takes the schedule of its genesis"
            }
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
    /// Whether what can be repaired was repaired.
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
pub fn fsck(dir: &Path, options: Options, progress: Hear<'_>) -> Result<Report, SnapshotError> {
    let database = dir.join(DATABASE);
    if !database.is_file() {
        return Err(SnapshotError::NoChain { path: dir.to_owned() });
    }
    let store = Store::open(&database, &StoreOptions::default())?;
    Ok(store.fsck(options, progress)?)
}

impl Store {
    /// Checks everything; see [`fsck`]. Nothing may be written meanwhile.
    pub fn fsck(&self, options: Options, progress: Hear<'_>) -> Result<Report, StateError> {
        let mut report = Report::default();
        let snapshot = self.snapshot()?;
        let Some(head) = snapshot.head()? else {
            report.find(Place::Block(0), "there is no block");
            return Ok(report);
        };
        let level = options.level;
        blocks::check(&snapshot, &head, level, &mut report, progress)?;
        if let Err(what) = blocks::damage(self.forks())? {
            report.find(Place::Forks, what);
        }
        if level == Level::Full {
            state::check(&snapshot, &head, &mut report, progress)?;
        }
        let state_is_sound = !report.findings.iter().any(|f| f.place == Place::State);
        progress(Progress { stage: Stage::Tries, done: 0, total: None });
        let commitment = self.check_tries(&snapshot, level, state_is_sound, &mut report)?;
        if level == Level::Full
            && let Some(commitment) = commitment
        {
            history::check(&self.snapshot()?, &commitment, &mut report, progress)?;
        }
        if options.repair && report.findings.iter().any(Finding::is_repairable) {
            let is_wrong = |place| report.findings.iter().any(|f| f.place == place);
            if is_wrong(Place::Index) {
                repair::indices(self, progress)?;
            }
            if is_wrong(Place::Forks) {
                self.forget_forks()?;
            }
            if is_wrong(Place::Tries) && state_is_sound {
                self.rebuild_tries()?;
            }
            report.repaired = true;
        }
        Ok(report)
    }
}

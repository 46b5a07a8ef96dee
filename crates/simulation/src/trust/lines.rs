//! Lines of providers that wait in replicated jobs, as logs tell of them.

use std::collections::BTreeMap;

use tilth_contracts::EntryState;
use tilth_verification::replica::MATE_DUTIES;

/// A provider's place on a job's line, as logs tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) bond: u128,
    pub(super) state: EntryState,
    /// Its open ranges.
    pub(super) busy: u16,
}

/// Those who wait in a job.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) entries: BTreeMap<u32, Entry>,
    /// Seconds by the chain's clock: of what was told last.
    at: u64,
    /// Bonds of all who were on the line in the second before that.
    pub(super) before: BTreeMap<u32, u128>,
}

impl Line {
    /// Something is told of this second.
    pub(super) fn at(&mut self, time: u64) -> &mut Self {
        if time > self.at {
            let waiting = |entry: &Entry| entry.state == EntryState::Waiting;
            let on = self.entries.iter().filter(|(_, entry)| waiting(entry));
            self.before = on.map(|(number, entry)| (*number, entry.bond)).collect();
            self.at = time;
        }
        self
    }

    /// It has another range to do, and stays where it is.
    pub(super) fn take(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.busy = entry.busy.saturating_add(1);
        }
    }

    /// One of its ranges is closed. Who loses its place by that, or before, is told of on its own.
    pub(super) fn give_back(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.busy = entry.busy.saturating_sub(1);
        }
    }

    /// Whether it has as much to do as it may have.
    pub(super) fn is_full(&self, number: u32) -> bool {
        self.entries.get(&number).is_some_and(|entry| entry.busy >= MATE_DUTIES)
    }
}

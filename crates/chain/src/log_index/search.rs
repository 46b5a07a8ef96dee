//! Queries: from the index's records to candidate blocks.

use std::ops::RangeInclusive;

use super::{LogKey, STEP_SECTIONS, Section, Set, WORDS, keys_of, position, read_bucket};
use crate::{block::ExecutedReceipt, state::StateError, store::Snapshot};

/// A query under way: see [`Snapshot::find_logs`].
#[derive(Debug)]
pub struct LogSearch<'a> {
    snapshot: &'a Snapshot,
    /// The first block not looked at.
    next: u64,
    last: u64,
    /// For each condition its keys, ascending.
    conditions: Vec<Vec<u32>>,
}

impl Snapshot {
    /// Looks for blocks in a range that can have, for each of the conditions, a log with one of its
    /// keys. Without conditions finds all blocks with logs.
    pub fn find_logs(
        &self,
        range: RangeInclusive<u64>,
        conditions: impl IntoIterator<Item = Vec<LogKey>>,
    ) -> LogSearch<'_> {
        let sorted = |keys: Vec<LogKey>| {
            let mut keys: Vec<u32> = keys.into_iter().map(|key| key.0).collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        };
        let conditions = conditions.into_iter().map(sorted).collect();
        LogSearch { snapshot: self, next: *range.start(), last: *range.end(), conditions }
    }

    /// Whether every log of a block is found by its address and each of its topics.
    pub fn has_indexed(
        &self,
        number: u64,
        receipts: &[ExecutedReceipt],
    ) -> Result<bool, StateError> {
        for key in keys_of(receipts) {
            let mut search = self.find_logs(number..=number, [vec![LogKey(key)]]);
            let mut found = false;
            while let Some(blocks) = search.step()? {
                found |= blocks == [number];
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl LogSearch<'_> {
    /// The first block that has not been looked at.
    pub fn reached(&self) -> u64 {
        self.next
    }

    /// The next candidates, ascending; possibly none, though there are more to come. `None` at the
    /// end of the range. One step is bounded, so that its caller can look at the time in between.
    pub fn step(&mut self) -> Result<Option<Vec<u64>>, StateError> {
        if self.next > self.last {
            return Ok(None);
        }
        let sections = self.sections()?;
        let mut found = Vec::new();
        let Some(end) = sections.last().map(Section::end) else {
            self.search_tail(&mut found)?;
            self.next = self.last.saturating_add(1);
            // Beyond the last number there is nothing to go on with.
            self.last = self.last.min(u64::MAX - 1);
            return Ok(Some(found));
        };
        let mut candidates: Vec<Set> = sections.iter().map(|section| section.blocks).collect();
        for keys in &self.conditions {
            let with_key = self.blocks_with(keys, &sections)?;
            let mut is_empty = true;
            for (candidates, with_key) in candidates.iter_mut().zip(&with_key) {
                for (word, other) in candidates.iter_mut().zip(with_key) {
                    *word &= other;
                    is_empty &= *word == 0;
                }
            }
            if is_empty {
                break;
            }
        }
        for (section, set) in sections.iter().zip(&candidates) {
            for (index, word) in (0_u64..).zip(set) {
                let mut rest = *word;
                while rest != 0 {
                    let number = section.first + index * 64 + u64::from(rest.trailing_zeros());
                    rest &= rest - 1;
                    if (self.next..=self.last).contains(&number) {
                        found.push(number);
                    }
                }
            }
        }
        self.next = end;
        Ok(Some(found))
    }

    /// The next sections that the rest of the range reaches into.
    fn sections(&self) -> Result<Vec<Section>, StateError> {
        let table = &self.snapshot.log_sections;
        let before = table.range(..=self.next).map_err(StateError::database)?.next_back();
        let first = match before.transpose().map_err(StateError::database)? {
            Some((first, _)) => first.value(),
            None => self.next,
        };
        let mut sections = Vec::new();
        for entry in table.range(first..=self.last).map_err(StateError::database)? {
            let (first, record) = entry.map_err(StateError::database)?;
            let section = Section::decode(first.value(), record.value()).ok_or(damaged())?;
            if section.end() > self.next {
                sections.push(section);
            }
            if sections.len() == STEP_SECTIONS {
                break;
            }
        }
        Ok(sections)
    }

    /// For each section the blocks with one of the keys.
    fn blocks_with(&self, keys: &[u32], sections: &[Section]) -> Result<Vec<Set>, StateError> {
        let mut sets = vec![[0; WORDS]; sections.len()];
        let (Some(first), Some(last)) = (sections.first(), sections.last()) else {
            return Ok(sets);
        };
        for keys in keys.chunk_by(|a, b| a >> 24 == b >> 24) {
            let [bucket, ..] = keys[0].to_be_bytes();
            let (from, to) = (position(bucket, first.first), position(bucket, last.first));
            let records = self.snapshot.log_blocks.range::<&[u8; 9]>(&from..=&to);
            let mut index = 0;
            for entry in records.map_err(StateError::database)? {
                let (position, record) = entry.map_err(StateError::database)?;
                let section =
                    position.value().last_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n));
                while sections.get(index).is_some_and(|known| known.first < section) {
                    index += 1;
                }
                if sections.get(index).is_some_and(|known| known.first == section) {
                    read_bucket(record.value(), keys, &mut sets[index]).ok_or(damaged())?;
                }
            }
        }
        Ok(sets)
    }

    fn search_tail(&self, found: &mut Vec<u64>) -> Result<(), StateError> {
        let tail = self.snapshot.log_tail.range(self.next..=self.last);
        for entry in tail.map_err(StateError::database)? {
            let (number, record) = entry.map_err(StateError::database)?;
            let keys = record.value().as_chunks::<4>().0.get(1..).ok_or(damaged())?;
            let has = |key: &u32| keys.binary_search(&key.to_be_bytes()).is_ok();
            if self.conditions.iter().all(|condition| condition.iter().any(has)) {
                found.push(number.value());
            }
        }
        Ok(())
    }
}

fn damaged() -> StateError {
    StateError::Damaged { what: "log index" }
}

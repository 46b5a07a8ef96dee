//! Where auditors have said that what they hold is found, as far as the chain was read for that before.
//!
//! What lies so deep that it stays, and that every node has it, is remembered. All above is read anew every time: a
//! block may be replaced by another one, and behind one address there may be nodes that have less of the chain.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{rpc::types::Log, sol_types::SolEvent};
use tilth_contracts::Holders;
use tilth_protocol::Contact;

/// Most auditors remembered.
const MAX_KNOWN: usize = 4096;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Announced {
    known: Words,
}

/// The last word of some auditors, by their numbers.
pub(super) type Words = BTreeMap<u32, Word>;

/// What one auditor has announced last before a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// `None`: nothing that can be read.
    contact: Option<Contact>,
    /// That block: from it on it is still to be read.
    next: u64,
}

impl Announced {
    /// What is known of these auditors, and the block from which on is to be read what they have said since. Those of
    /// whom nothing is known are by themselves: the past can be long, and the others' was read.
    pub(super) fn unread(&self, numbers: &BTreeSet<u32>, first_block: u64) -> Vec<(u64, Words)> {
        let words = numbers.iter().map(|number| {
            let known = self.known.get(number).cloned();
            (*number, known.unwrap_or(Word { contact: None, next: first_block }))
        });
        let (new, known): (Words, Words) = words.partition(|(_, word)| word.next <= first_block);
        let from = |words: &Words| words.values().map(|word| word.next).min();
        [new, known].into_iter().filter_map(|words| Some((from(&words)?, words))).collect()
    }

    /// Takes in what these auditors have said since. Returns the last contact of each that can be read.
    ///
    /// `logs`: of all blocks from the one on that [`Announced::unread`] has named, in chain order. What was said before
    /// block `certain` stays.
    pub(super) fn hear(
        &mut self,
        mut words: Words,
        logs: &[Log],
        certain: u64,
    ) -> BTreeMap<u32, Contact> {
        let before = |(number, word): (&u32, &Word)| Some((*number, word.contact.clone()?));
        let mut now: BTreeMap<u32, Contact> = words.iter().filter_map(before).collect();
        for (number, block, contact) in logs.iter().filter_map(said) {
            let word = words.get_mut(&number).filter(|word| block >= word.next);
            let Some(word) = word else { continue };
            if block < certain {
                word.contact = Some(contact.clone());
            }
            now.insert(number, contact);
        }
        for (number, word) in words {
            self.keep(number, Word { next: word.next.max(certain), ..word });
        }
        now
    }

    fn keep(&mut self, number: u32, word: Word) {
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&number) {
            self.known.clear();
        }
        // Somebody else may have read farther meanwhile.
        if self.known.get(&number).is_none_or(|known| known.next < word.next) {
            self.known.insert(number, word);
        }
    }
}

/// Whose contact a log is, in which block, if it can be read.
fn said(log: &Log) -> Option<(u32, u64, Contact)> {
    let said = Holders::HolderContact::decode_log(&log.inner).ok()?;
    let contact = Contact::from_bytes(&said.contact).ok()?;
    // What is in no block yet does not stay.
    Some((said.number, log.block_number.unwrap_or(u64::MAX), contact))
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::Address;

    use super::*;

    pub(crate) fn contact(endpoint: u8) -> Contact {
        Contact { endpoint: [endpoint; 32], addresses: Vec::new() }
    }

    /// An auditor's announcement in a block.
    pub(crate) fn log(number: u32, block: u64, contact: Vec<u8>) -> Log {
        let said = Holders::HolderContact { number, contact: contact.into() };
        let inner = alloy::primitives::Log { address: Address::ZERO, data: said.encode_log_data() };
        Log { inner, block_number: Some(block), ..Log::default() }
    }

    fn said(number: u32, block: u64, endpoint: u8) -> Log {
        log(number, block, contact(endpoint).to_bytes())
    }

    /// Hears what some have said from where it is to be read, on a chain that begins with block 10.
    fn hear(
        announced: &mut Announced,
        numbers: &[u32],
        logs: &[Log],
        certain: u64,
    ) -> BTreeMap<u32, Contact> {
        let unread = announced.unread(&numbers.iter().copied().collect(), 10);
        let mut found = BTreeMap::new();
        for (from, words) in unread {
            let read = logs.iter().filter(|log| log.block_number.is_none_or(|block| block >= from));
            let read: Vec<_> = read.cloned().collect();
            found.extend(announced.hear(words, &read, certain));
        }
        found
    }

    /// From which blocks on these are to be read.
    fn unread(announced: &Announced, numbers: &[u32]) -> Vec<(u64, Vec<u32>)> {
        let unread = announced.unread(&numbers.iter().copied().collect(), 10);
        unread.into_iter().map(|(from, words)| (from, words.into_keys().collect())).collect()
    }

    #[test]
    fn the_last_word_that_can_be_read_counts() {
        let mut announced = Announced::default();
        let garbage = log(2, 40, vec![255]);
        let logs = [said(5, 20, 1), said(2, 30, 2), said(9, 30, 3), said(5, 40, 4), garbage];
        let found = hear(&mut announced, &[2, 5, 7], &logs, 100);
        assert_eq!(found, BTreeMap::from([(2, contact(2)), (5, contact(4))]));
        // The next time nothing of that is told again, and what comes then counts.
        assert_eq!(hear(&mut announced, &[2, 5, 7], &[], 120), found);
        let garbage = log(5, 130, vec![255]);
        let found = hear(&mut announced, &[2, 5, 7], &[said(7, 125, 6), garbage], 140);
        let due = [(2, contact(2)), (5, contact(4)), (7, contact(6))];
        assert_eq!(found, BTreeMap::from(due.clone()));
        assert_eq!(hear(&mut announced, &[2, 5, 7], &[], 140), BTreeMap::from(due));
    }

    #[test]
    fn what_was_read_and_stays_is_not_read_again() {
        let mut announced = Announced::default();
        assert!(unread(&announced, &[]).is_empty());
        assert_eq!(unread(&announced, &[5, 2]), [(10, vec![2, 5])]);
        let logs = [said(2, 20, 1), said(2, 60, 2)];
        let found = hear(&mut announced, &[2, 5], &logs, 50);
        assert_eq!(found, BTreeMap::from([(2, contact(2))]));
        // Of the fifth it is known that it has said nothing.
        assert_eq!(unread(&announced, &[2, 5, 9]), [(10, vec![9]), (50, vec![2, 5])]);
        // Those who were read not so far lately are read with the others.
        hear(&mut announced, &[2], &[said(2, 60, 2)], 80);
        assert_eq!(unread(&announced, &[2, 5]), [(50, vec![2, 5])]);
        // What is told again changes nothing.
        for logs in [vec![said(5, 55, 3), said(2, 60, 2)], vec![said(5, 55, 3)], Vec::new()] {
            let found = hear(&mut announced, &[2, 5], &logs, 80);
            assert_eq!(found, BTreeMap::from([(2, contact(2)), (5, contact(3))]));
            assert_eq!(unread(&announced, &[2, 5]), [(80, vec![2, 5])]);
        }
    }

    #[test]
    fn what_may_be_taken_back_is_not_remembered() {
        let mut announced = Announced::default();
        let found = hear(&mut announced, &[2], &[said(2, 20, 1), said(2, 60, 2)], 50);
        assert_eq!(found[&2], contact(2));
        // Another block has taken the place of that one; in the end there is none.
        assert_eq!(hear(&mut announced, &[2], &[said(2, 55, 3)], 52)[&2], contact(3));
        assert_eq!(hear(&mut announced, &[2], &[], 52)[&2], contact(1));
        // What is in no block yet is heard, and is not remembered either.
        let pending = Log { block_number: None, ..said(2, 0, 4) };
        assert_eq!(hear(&mut announced, &[2], &[pending], 52)[&2], contact(4));
        assert_eq!(hear(&mut announced, &[2], &[], 52)[&2], contact(1));
        // A node that is late says nothing, and takes nothing away.
        assert_eq!(hear(&mut announced, &[2], &[said(2, 70, 5)], 90)[&2], contact(5));
        assert_eq!(hear(&mut announced, &[2], &[], 30)[&2], contact(5));
        assert_eq!(unread(&announced, &[2]), [(90, vec![2])]);
    }

    #[test]
    fn whoever_has_read_less_overwrites_nothing() {
        let mut announced = Announced::default();
        let (_, slow) = announced.unread(&BTreeSet::from([2]), 10).remove(0);
        hear(&mut announced, &[2], &[said(2, 20, 1), said(2, 60, 2)], 80);
        assert_eq!(announced.hear(slow, &[said(2, 20, 1)], 50)[&2], contact(1));
        assert_eq!(hear(&mut announced, &[2], &[], 80)[&2], contact(2));
        assert_eq!(unread(&announced, &[2]), [(80, vec![2])]);
    }

    #[test]
    fn so_many_are_remembered_and_then_all_are_read_anew() {
        let mut announced = Announced::default();
        let most = u32::try_from(MAX_KNOWN).unwrap();
        let all: Vec<u32> = (0..most).collect();
        hear(&mut announced, &all, &[said(3, 20, 1)], 50);
        assert_eq!(unread(&announced, &[3]), [(50, vec![3])]);
        // Those that are known take no further place.
        hear(&mut announced, &[3], &[], 60);
        assert_eq!(announced.known.len(), MAX_KNOWN);
        assert_eq!(unread(&announced, &[3]), [(60, vec![3])]);
        hear(&mut announced, &[most], &[], 60);
        assert_eq!(announced.known.len(), 1);
        assert_eq!(hear(&mut announced, &[3], &[said(3, 20, 1)], 60)[&3], contact(1));
    }
}

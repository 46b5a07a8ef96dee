//! Content that not everybody may have for now.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use iroh_blobs::Hash;
use tilth_protocol::ContentHash;

use crate::{Tag, holders::EndpointKey, local::iroh_hash};

/// Content that is kept from others until it is released. Parts of a sequence are to be named besides the sequence. What is
/// spared ([`Blobs::spare`](crate::Blobs::spare)) is everybody's, named here or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The name by which it is released. One name holds one such note: the later replaces the earlier.
    pub tag: Tag,
    /// What is kept. Content that other notes keep as well is for everybody named in one of them.
    pub hashes: Vec<ContentHash>,
    /// The endpoint that may have it; `None`: nobody.
    pub only: Option<[u8; 32]>,
}

/// What is kept from others, and for whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    notes: Arc<RwLock<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    by_tag: HashMap<Tag, Note>,
    /// For whom content is: one entry for each note that it is in.
    kept: HashMap<Hash, Vec<Option<EndpointKey>>>,
    /// What is everybody's, whatever notes it is in.
    spared: HashSet<Hash>,
}

#[derive(Debug)]
struct Note {
    hashes: HashSet<Hash>,
    only: Option<EndpointKey>,
}

impl Guard {
    pub(crate) fn new(kept: Vec<Kept>) -> Self {
        let guard = Self::default();
        kept.into_iter().for_each(|kept| guard.keep(kept));
        guard
    }

    // Every change is complete before anything can fail.
    fn read(&self) -> RwLockReadGuard<'_, Notes> {
        self.notes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Notes> {
        self.notes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, Kept { tag, hashes, only }: Kept) {
        let hashes: HashSet<_> = hashes.into_iter().map(iroh_hash).collect();
        // Under one lock: what both notes keep is never open in between.
        let mut notes = self.write();
        notes.release(&tag);
        for hash in &hashes {
            notes.kept.entry(*hash).or_default().push(only);
        }
        notes.by_tag.insert(tag, Note { hashes, only });
    }

    /// Keeps content besides what is kept under its name already, and for whom that is.
    pub(crate) fn keep_besides(&self, Kept { tag, hashes, only }: Kept) {
        let mut notes = self.write();
        notes.by_tag.entry(tag.clone()).or_insert_with(|| Note { hashes: HashSet::new(), only });
        notes.add(&tag, hashes);
    }

    /// Keeps more under a name, if it is not released.
    pub(crate) fn keep_also(&self, tag: &Tag, hashes: Vec<ContentHash>) {
        self.write().add(tag, hashes);
    }

    pub(crate) fn release(&self, tag: &Tag) {
        self.write().release(tag);
    }

    /// Serves content to everybody from now on, whatever keeps it. Returns what was not spared before.
    pub(crate) fn spare(&self, hashes: impl IntoIterator<Item = ContentHash>) -> Vec<ContentHash> {
        let mut notes = self.write();
        hashes.into_iter().filter(|hash| notes.spared.insert(iroh_hash(*hash))).collect()
    }

    /// Whether everybody may have everything.
    pub(crate) fn is_open(&self) -> bool {
        self.read().kept.is_empty()
    }

    /// Whether somebody may have content; who is not known may have what all may.
    pub(crate) fn admits(&self, hash: &Hash, who: Option<&EndpointKey>) -> bool {
        self.admits_all([*hash], who)
    }

    /// As [`Guard::admits`], for all of some.
    pub(crate) fn admits_all(
        &self,
        hashes: impl IntoIterator<Item = Hash>,
        who: Option<&EndpointKey>,
    ) -> bool {
        let notes = self.read();
        hashes.into_iter().all(|hash| {
            let for_them = |only: &Option<EndpointKey>| only.is_some() && only.as_ref() == who;
            let kept = notes.kept.get(&hash).filter(|_| !notes.spared.contains(&hash));
            kept.is_none_or(|kept| kept.iter().any(for_them))
        })
    }
}

impl Notes {
    fn add(&mut self, tag: &Tag, hashes: Vec<ContentHash>) {
        let Some(note) = self.by_tag.get_mut(tag) else { return };
        for hash in hashes.into_iter().map(iroh_hash) {
            if note.hashes.insert(hash) {
                self.kept.entry(hash).or_default().push(note.only);
            }
        }
    }

    fn release(&mut self, tag: &Tag) {
        let Some(Note { hashes, only }) = self.by_tag.remove(tag) else { return };
        for hash in hashes {
            let Some(kept) = self.kept.get_mut(&hash) else { continue };
            if let Some(place) = kept.iter().position(|other| *other == only) {
                kept.swap_remove(place);
            }
            if kept.is_empty() {
                self.kept.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::JobId;

    use super::*;

    const ALICE: EndpointKey = [1; 32];
    const BOB: EndpointKey = [2; 32];

    fn note(seq: u32, hashes: &[u8], only: Option<EndpointKey>) -> Kept {
        let hashes = hashes.iter().map(|byte| ContentHash([*byte; 32])).collect();
        Kept { tag: Tag::range(JobId(1), seq), hashes, only }
    }

    #[test]
    fn what_several_notes_keep_is_open_when_the_last_is_released() {
        let guard = Guard::new(vec![note(0, &[5, 6, 5], Some(ALICE))]);
        guard.keep(note(1, &[6], Some(BOB)));
        let may = |byte: u8, who: Option<&EndpointKey>| {
            guard.admits(&iroh_hash(ContentHash([byte; 32])), who)
        };
        assert!(may(5, Some(&ALICE)) && !may(5, Some(&BOB)) && !may(5, None) && may(7, None));
        assert!(may(6, Some(&ALICE)) && may(6, Some(&BOB)) && !may(6, Some(&[3; 32])));
        guard.release(&Tag::range(JobId(1), 0));
        assert!(may(5, None), "named twice, released once");
        assert!(!may(6, Some(&ALICE)) && may(6, Some(&BOB)));
        // The same name again, for nobody at all.
        guard.keep(note(1, &[6, 8], None));
        assert!(![None, Some(&ALICE), Some(&BOB)].iter().any(|who| may(6, *who) || may(8, *who)));
        // More of it, and of one that nobody keeps.
        guard.keep_also(&Tag::range(JobId(1), 1), vec![ContentHash([8; 32]), ContentHash([9; 32])]);
        guard.keep_also(&Tag::range(JobId(1), 7), vec![ContentHash([10; 32])]);
        assert!(!may(9, Some(&ALICE)) && may(10, None));
        guard.release(&Tag::range(JobId(1), 7));
        assert!(!guard.is_open());
        guard.release(&Tag::range(JobId(1), 1));
        assert!(guard.is_open() && may(6, None) && may(8, None) && may(9, None));
    }

    #[test]
    fn what_is_kept_besides_takes_nothing_away() {
        let guard = Guard::default();
        let may = |byte: u8, who: Option<&EndpointKey>| {
            guard.admits(&iroh_hash(ContentHash([byte; 32])), who)
        };
        guard.keep_besides(note(0, &[5], Some(ALICE)));
        guard.keep_also(&Tag::range(JobId(1), 0), vec![ContentHash([6; 32])]);
        guard.keep_besides(note(0, &[5, 7], None));
        assert!((5..=7).all(|byte| !may(byte, None) && may(byte, Some(&ALICE))), "hers as before");
        guard.keep(note(0, &[5], None));
        assert!(!may(5, Some(&ALICE)) && may(6, None) && may(7, None), "this one replaces");
        guard.release(&Tag::range(JobId(1), 0));
        assert!(guard.is_open());
    }

    #[test]
    fn what_is_spared_is_everybodys_before_and_after_it_is_kept() {
        let guard = Guard::new(vec![note(0, &[5, 6], None)]);
        let hash = |byte: u8| ContentHash([byte; 32]);
        let may = |byte: u8| guard.admits(&iroh_hash(hash(byte)), None);
        assert_eq!(guard.spare([hash(5), hash(7), hash(5)]), [hash(5), hash(7)]);
        assert!(may(5) && !may(6));
        guard.keep(note(1, &[7, 8], Some(ALICE)));
        guard.keep_also(&Tag::range(JobId(1), 1), vec![hash(5)]);
        assert!(may(5) && may(7) && !may(8));
        assert_eq!(guard.spare([hash(7), hash(9)]), [hash(9)], "the rest is known");
    }
}

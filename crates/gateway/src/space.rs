//! Memory for answers, which lie here until their readers have them: all together have so many bytes, of which one
//! owner of keys, or one key without an owner, has a share, and an answer for which there is no more is given up.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Serialize;
use tilth_client::infer::MAX_ANSWER_BYTES;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    api::ApiError,
    books::{Holder, Visit},
};

/// One owner with all its keys has this part of all bytes.
const SHARE: usize = 4;
/// At least so many, if there are so many: a long answer as it comes, twice, and as it is written.
const LEAST: usize = 6 * MAX_ANSWER_BYTES;

/// What all answers together may take. Clones are the same space.
#[derive(Clone, Debug)]
pub(crate) struct Space(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Bytes of all.
    all: usize,
    /// Most of them that one owner has.
    each: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    /// Of those who have any.
    by_holder: HashMap<Holder, usize>,
}

/// Why there is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// All of it is taken.
    Here,
    /// The key has its share, alone or with its owner's others.
    OfKey,
}

impl Space {
    pub(crate) fn new(bytes: usize) -> Self {
        Self::shared(bytes, (bytes / SHARE).max(LEAST.min(bytes)))
    }

    /// So many bytes, of which one owner has at most `each`.
    pub(crate) fn shared(all: usize, each: usize) -> Self {
        Self(Arc::new(Inner { all, each, used: Mutex::default() }))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part without bytes, for an answer of this one's.
    pub(crate) fn part(&self, holder: Holder) -> Taken {
        Taken { space: self.clone(), holder, bytes: 0 }
    }

    /// Bytes that nobody has.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.all - self.used().all
    }
}

/// Part of it; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    space: Space,
    holder: Holder,
    bytes: usize,
}

impl Taken {
    /// Takes more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let Inner { all: most, each, .. } = *self.space.0;
        let mut used = self.space.used();
        let all = used.all.checked_add(bytes).filter(|all| *all <= most).ok_or(NoRoom::Here)?;
        let own = used.by_holder.get(&self.holder).copied().unwrap_or_default();
        let own = own.checked_add(bytes).filter(|own| *own <= each).ok_or(NoRoom::OfKey)?;
        used.all = all;
        used.by_holder.insert(self.holder, own);
        drop(used);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// All of it; nothing is left here.
    pub(crate) fn take(&mut self) -> Self {
        let bytes = std::mem::take(&mut self.bytes);
        Self { space: self.space.clone(), holder: self.holder, bytes }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = self.space.used();
        used.all = used.all.saturating_sub(self.bytes);
        let own = used.by_holder.get(&self.holder).copied().unwrap_or_default();
        match own.saturating_sub(self.bytes) {
            0 => {
                used.by_holder.remove(&self.holder);
            }
            left => {
                used.by_holder.insert(self.holder, left);
            }
        }
    }
}

/// A question's place among all, as long as it is worked on, and among those of its key and its owner's others.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    one: Arc<OwnedSemaphorePermit>,
    visit: Arc<Visit>,
}

impl Place {
    pub(crate) fn new(one: OwnedSemaphorePermit, visit: Visit) -> Self {
        Self { one: Arc::new(one), visit: Arc::new(visit) }
    }
}

/// Where what is said to one question lies. Its place among those of its key is taken as long as any byte of it is here,
/// that is until the system has taken the last one (which buffers up to some megabytes): whoever does not read much that he
/// asked for asks for nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    space: Space,
    place: Place,
}

impl Shelf {
    pub(crate) fn new(space: &Space, place: Place) -> Self {
        Self { space: space.clone(), place }
    }

    /// A part without bytes, for what is kept here.
    fn part(&self) -> Taken {
        self.space.part(self.place.visit.holder())
    }

    fn put(&self, text: Vec<u8>, one: Option<Arc<OwnedSemaphorePermit>>, taken: Taken) -> Bytes {
        let visit = Arc::clone(&self.place.visit);
        Bytes::from_owner(Kept { text, _one: one, _visit: visit, _taken: taken })
    }

    /// Keeps a part of what is said until the last of its bytes is given up.
    pub(crate) fn keep(&self, text: String) -> Result<Bytes, NoRoom> {
        // What is counted is what is there.
        let text = text.into_boxed_str().into_string().into_bytes();
        let mut taken = self.part();
        taken.grow(text.len())?;
        Ok(self.put(text, Some(Arc::clone(&self.place.one)), taken))
    }

    /// Writes a whole body and keeps it. There is room for it before the first byte of it is written. Nothing is left to
    /// work on then: it takes no place among all while it is read, or few slow readers could shut everybody out.
    pub(crate) fn write(&self, body: &impl Serialize) -> Result<Bytes, ApiError> {
        let lost = |error: serde_json::Error| ApiError::busy(error.to_string());
        let mut length = Length(0);
        serde_json::to_writer(&mut length, body).map_err(lost)?;
        let mut taken = self.part();
        taken.grow(length.0)?;
        let mut text = Vec::with_capacity(length.0);
        serde_json::to_writer(&mut text, body).map_err(lost)?;
        Ok(self.put(text, None, taken))
    }
}

/// Counts what is written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Given up in this order: where there is room again there is a place, too.
struct Kept {
    text: Vec<u8>,
    _one: Option<Arc<OwnedSemaphorePermit>>,
    _visit: Arc<Visit>,
    _taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::Amount;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::books::{Books, Denied};

    const ONE: Holder = Holder::Key([1; 32]);
    const OTHER: Holder = Holder::Key([2; 32]);

    #[test]
    fn what_is_taken_is_free_again_and_one_key_has_its_share() {
        let space = Space::shared(100, 60);
        let (mut one, mut other) = (space.part(ONE), space.part(OTHER));
        one.grow(40).unwrap();
        one.grow(20).unwrap();
        assert_eq!(space.part(ONE).grow(1), Err(NoRoom::OfKey), "in whatever part");
        other.grow(40).unwrap();
        assert_eq!(other.grow(1), Err(NoRoom::Here), "there is no more");
        drop(other);
        assert_eq!(space.left(), 40);
        let all = one.take();
        drop(one);
        assert_eq!(space.left(), 40, "it has moved");
        drop(all);
        assert_eq!(space.left(), 100);
        assert!(space.used().by_holder.is_empty());
        assert_eq!(space.part(ONE).grow(usize::MAX), Err(NoRoom::Here));
    }

    #[test]
    fn a_share_has_room_for_one_answer_where_all_have() {
        assert_eq!(Space::new(1 << 30).0.each, 256 << 20);
        assert_eq!(Space::new(128 << 20).0.each, LEAST);
        assert_eq!(Space::new(1000).0.each, 1000);
    }

    #[tokio::test]
    async fn a_place_is_taken_until_the_last_reader_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let books = Books::open(&folder.path().join("books")).unwrap();
        let (key, _) = books.create("k", None, Amount(5)).await.unwrap();
        let places = Arc::new(Semaphore::new(1));
        let one = Arc::clone(&places).try_acquire_owned().unwrap();
        let place = Place::new(one, books.visit(&key, 1).unwrap());
        let space = Space::shared(60, 60);
        let shelf = Shelf::new(&space, place);
        let body = shelf.write(&["farm", "field"]).unwrap();
        assert_eq!((&body[..], space.left()), (&br#"["farm","field"]"#[..], 60 - 16));
        let word = shelf.keep("word".into()).unwrap();
        assert_eq!(shelf.keep("x".repeat(41)), Err(NoRoom::Here));
        let much = shelf.write(&"x".repeat(41)).unwrap_err();
        assert_eq!(much, ApiError::from(NoRoom::Here));
        drop(shelf);
        let rest = body.slice(10..);
        drop(body);
        assert_eq!(places.available_permits(), 0, "a part of a stream");
        drop(word);
        assert_eq!((space.left(), places.available_permits()), (60 - 16, 1), "a whole body");
        assert!(matches!(books.visit(&key, 1), Err(Denied::TooMany)));
        drop(rest);
        assert_eq!((space.left(), places.available_permits()), (60, 1));
        assert!(books.visit(&key, 1).is_ok());
    }
}

//! Memory for answers, which lie here until their readers have them: all together have so many bytes, and an answer for
//! which there is no more is given up.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all answers together may take. Clones are the same space.
#[derive(Clone, Debug)]
pub(crate) struct Space(Arc<Semaphore>);

/// Part of it; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    space: Space,
    permit: Option<OwnedSemaphorePermit>,
}

impl Space {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A part without bytes.
    pub(crate) fn part(&self) -> Taken {
        Taken { space: self.clone(), permit: None }
    }

    /// Bytes that nobody has.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.available_permits()
    }
}

impl Taken {
    /// Takes more; says whether there was so much.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.space.0).try_acquire_many_owned(bytes) else {
            return false;
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// A text that lies in this part until the last of its bytes is given up.
    pub(crate) fn keep(self, text: Vec<u8>) -> Bytes {
        Bytes::from_owner(Kept { text, _taken: self })
    }
}

struct Kept {
    text: Vec<u8>,
    _taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_free_again_when_the_last_reader_is_gone() {
        let space = Space::new(100);
        let (mut one, mut other) = (space.part(), space.part());
        assert!(one.grow(40) && one.grow(20) && other.grow(40));
        assert!(!other.grow(1), "there is no more");
        drop(other);
        assert_eq!(space.left(), 40);
        let text = one.keep(vec![7; 60]);
        let rest = text.slice(50..);
        drop(text);
        assert_eq!((space.left(), rest.len()), (40, 10));
        drop(rest);
        assert_eq!(space.left(), 100);
        assert!(!space.part().grow(usize::MAX));
    }
}

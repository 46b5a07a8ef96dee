//! Tags: the names under which content is pinned against garbage collection.
//!
//! A tag is a path such as `job/12/inputs`. In the store every pinned hash is one entry
//! `TAG/HASH`, so one tag pins any number of blobs, pinning twice is harmless, and unpinning `job/12`
//! unpins everything below it and nothing of `job/120`.

use std::fmt;

use tilth_protocol::{ContentHash, JobId};

use crate::BlobsError;

/// Most characters in a tag.
const MAX_TAG: usize = 200;

/// A pin's name: lower-case letters, digits, `.`, `_` and `-`, in segments divided by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BlobsError::BadTag`] when it is empty, longer than 200 characters, has an empty segment or
    /// another character than the allowed ones.
    pub fn new(name: impl Into<String>) -> Result<Self, BlobsError> {
        let name = name.into();
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let segments_are_good =
            name.split('/').all(|segment| !segment.is_empty() && segment.bytes().all(good));
        if name.len() > MAX_TAG || !segments_are_good {
            return Err(BlobsError::BadTag { name });
        }
        Ok(Self(name))
    }

    /// `job/ID`: above everything that belongs to a job.
    pub fn job(job: JobId) -> Self {
        Self(format!("job/{job}"))
    }

    /// `job/ID/inputs`: a job's spec, program and inputs.
    pub fn inputs(job: JobId) -> Self {
        Self(format!("job/{job}/inputs"))
    }

    /// `job/ID/range/SEQ`: what belongs to one range.
    pub fn range(job: JobId, seq: u32) -> Self {
        Self(format!("job/{job}/range/{seq}"))
    }

    /// The store's entry that pins one hash under this tag.
    pub(crate) fn entry(&self, hash: ContentHash) -> String {
        format!("{}/{hash}", self.0)
    }

    /// The common beginning of all entries under this tag.
    pub(crate) fn entries(&self) -> String {
        format!("{}/", self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_tags() {
        assert_eq!(Tag::new("job/12/inputs").unwrap(), Tag::inputs(JobId(12)));
        for wrong in ["", "/", "a//b", "a/", "/a", "A", "a b", "ä", &"x".repeat(201)] {
            assert!(Tag::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn entries_of_one_job_do_not_begin_those_of_another() {
        let twelve = Tag::job(JobId(12)).entries();
        assert!(Tag::inputs(JobId(12)).entry(ContentHash([0; 32])).starts_with(&twelve));
        assert!(!Tag::inputs(JobId(120)).entry(ContentHash([0; 32])).starts_with(&twelve));
    }
}

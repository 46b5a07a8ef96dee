//! Jobs that are left alone and could still be worked on: for people who wonder why no work comes.

use std::collections::BTreeMap;

use tilth_protocol::JobId;

use crate::machine::{Millis, Unfit};

/// Most jobs that are remembered.
const MOST: usize = 4_096;

/// Why jobs are left alone, and until when anybody could work on them.
#[derive(Debug, Default)]
pub(crate) struct Ignored(BTreeMap<JobId, (Unfit, Millis)>);

impl Ignored {
    /// A job is left alone.
    pub(crate) fn note(&mut self, job: JobId, why: Unfit) {
        if self.0.len() < MOST || self.0.contains_key(&job) {
            self.0.insert(job, (why, Millis::MAX));
        }
    }

    /// A job is given out until then; 0 if it is over.
    pub(crate) fn until(&mut self, job: JobId, until: Millis) {
        if let Some((_, end)) = self.0.get_mut(&job) {
            *end = until;
        }
    }

    /// How many there are at a time, by why.
    pub(crate) fn counts(&mut self, now: Millis) -> BTreeMap<Unfit, usize> {
        self.0.retain(|_, (_, end)| *end > now);
        let mut counts = BTreeMap::new();
        for (why, _) in self.0.values() {
            *counts.entry(*why).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_over_is_counted() {
        let mut ignored = Ignored::default();
        ignored.note(JobId(1), Unfit::Price);
        ignored.note(JobId(2), Unfit::Price);
        ignored.note(JobId(3), Unfit::Class);
        ignored.until(JobId(1), 500);
        ignored.until(JobId(9), 500);
        let counts = |ignored: &mut Ignored, now: Millis| -> Vec<(Unfit, usize)> {
            ignored.counts(now).into_iter().collect()
        };
        assert_eq!(counts(&mut ignored, 499), [(Unfit::Price, 2), (Unfit::Class, 1)]);
        assert_eq!(counts(&mut ignored, 500), [(Unfit::Price, 1), (Unfit::Class, 1)]);
        ignored.until(JobId(3), 0);
        assert_eq!(counts(&mut ignored, 501), [(Unfit::Price, 1)]);
        for job in 10..10_000 {
            ignored.note(JobId(job), Unfit::Vram);
        }
        assert_eq!(ignored.counts(501).values().sum::<usize>(), MOST);
    }
}

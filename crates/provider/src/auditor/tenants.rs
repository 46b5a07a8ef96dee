//! Whose files lie in a job's folder: they stay as long as one open case of ours is of that job, and are never
//! removed while another is being laid out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tilth_protocol::{JobId, RangeId};
use tokio::sync::OwnedMutexGuard;

/// Held while a job's files are laid out or removed.
pub(super) type Door = Arc<tokio::sync::Mutex<()>>;

/// Open cases by job.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    jobs: Mutex<BTreeMap<JobId, Tenancy>>,
}

#[derive(Debug, Default)]
struct Tenancy {
    cases: BTreeSet<u32>,
    door: Door,
}

impl Tenants {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Tenancy>> {
        // Every change is one insertion or removal.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A case needs its job's files from now on. They are laid out behind the door.
    pub(super) fn move_in(&self, range: RangeId) -> Door {
        let mut jobs = self.lock();
        let tenancy = jobs.entry(range.job).or_default();
        tenancy.cases.insert(range.seq);
        Arc::clone(&tenancy.door)
    }

    /// A case is over; whether it was its job's last one. `None`: it never came.
    pub(super) fn move_out(&self, range: RangeId) -> Option<bool> {
        let mut jobs = self.lock();
        let cases = &mut jobs.get_mut(&range.job)?.cases;
        cases.remove(&range.seq).then_some(cases.is_empty())
    }

    /// Shuts the door of a job that has no cases. Its files can be removed while that is held; `None`: another case has
    /// come meanwhile.
    pub(super) async fn shut(&self, job: JobId) -> Option<Shut<'_>> {
        let door = Arc::clone(&self.lock().entry(job).or_default().door);
        let held = door.lock_owned().await;
        let empty = self.lock().get(&job).is_none_or(|tenancy| tenancy.cases.is_empty());
        empty.then_some(Shut { tenants: self, job, _held: held })
    }
}

/// A shut door. Who moves in meanwhile waits before it.
#[derive(Debug)]
pub(super) struct Shut<'a> {
    tenants: &'a Tenants,
    job: JobId,
    _held: OwnedMutexGuard<()>,
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let mut jobs = self.tenants.lock();
        // Who waits before the door has moved in, so it is not lost.
        if jobs.get(&self.job).is_some_and(|tenancy| tenancy.cases.is_empty()) {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(seq: u32) -> RangeId {
        RangeId { job: JobId(4), seq }
    }

    #[tokio::test]
    async fn files_are_not_removed_under_a_case_that_has_just_come() {
        let tenants = Tenants::default();
        let door = tenants.move_in(range(1));
        assert_eq!(tenants.move_out(range(1)), Some(true), "it was the last one");
        // The next one comes, and lays out, before the files are removed.
        let same = tenants.move_in(range(2));
        assert!(Arc::ptr_eq(&door, &same));
        let laying_out = same.lock().await;
        let shut = tenants.shut(JobId(4));
        tokio::pin!(shut);
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(shut.as_mut().poll(&mut context).is_pending(), "it waits for the other");
        drop(laying_out);
        assert!(shut.await.is_none(), "and finds that the files are needed");
        assert_eq!(tenants.move_out(range(2)), Some(true));
        // One that comes while files are removed waits, and its door is still the right one.
        let shut = tenants.shut(JobId(4)).await.unwrap();
        let next = tenants.move_in(range(3));
        assert!(next.try_lock().is_err());
        drop(shut);
        assert!(next.try_lock().is_ok());
        assert!(Arc::ptr_eq(&next, &tenants.move_in(range(4))));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_jobs_that_are_over() {
        let tenants = Tenants::default();
        tenants.move_in(range(1));
        assert_eq!(tenants.move_out(range(1)), Some(true));
        assert_eq!(tenants.move_out(range(1)), None);
        drop(tenants.shut(JobId(4)).await.unwrap());
        assert!(tenants.lock().is_empty());
    }
}

//! What must not be done twice at once: what is reckoned from how a job stands, and then sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tilth_protocol::JobId;
use tokio::sync::OwnedMutexGuard;

use super::Account;

/// A job's turn, which one has at a time.
type Turn = tokio::sync::Mutex<()>;

/// Whose turn it is with the money of a job. Clones share it. What nobody has or waits for is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<JobId, Weak<Turn>>>>);

impl Turns {
    fn of(&self, job: JobId) -> Arc<Turn> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turn| turn.strong_count() > 0);
        let known = all.get(&job).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(Turn::new(()));
            all.insert(job, Arc::downgrade(&turn));
            turn
        })
    }
}

impl Account {
    /// Waits until nobody else that shares this account adds to what is locked for a job. The turn is over when what is
    /// given is dropped; whoever has it reckons anew, and waits until what it has sent counts.
    pub(crate) async fn turn(&self, job: JobId) -> OwnedMutexGuard<()> {
        self.turns.of(job).lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_has_the_turn_of_a_job() {
        let (turns, job) = (Turns::default(), JobId(1));
        let first = turns.of(job).lock_owned().await;
        assert!(turns.clone().of(job).try_lock_owned().is_err(), "clones share it");
        assert!(turns.of(JobId(2)).try_lock_owned().is_ok(), "another job waits for nobody");
        drop(first);
        assert!(turns.of(job).try_lock_owned().is_ok());
        assert_eq!(turns.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}

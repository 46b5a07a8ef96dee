//! When models must not be in memory: while an owner who wants it back is there.

use tokio::sync::watch;

use crate::status::Status;

/// Whether the owner wants the memory of models. Clones see the same owner.
#[derive(Clone, Debug)]
pub(crate) struct Yielding(Option<watch::Receiver<Status>>);

impl Yielding {
    /// Models stay whatever the owner does.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Models go whenever the provider rests, and come back when it works again.
    pub(crate) fn while_resting(status: watch::Receiver<Status>) -> Self {
        Self(Some(status))
    }

    /// Waits until the owner wants the memory.
    pub(super) async fn wanted(&mut self) {
        if let Some(status) = &mut self.0 {
            let wanted = status.wait_for(|status| !status.rests.is_empty()).await.is_ok();
            if wanted {
                return;
            }
        }
        // Nobody is left who could want it.
        std::future::pending().await
    }

    /// Waits until the owner does not want it, or not any more.
    pub(super) async fn free(&mut self) {
        if let Some(status) = &mut self.0 {
            // Without a provider there is no owner who wants it.
            let _ = status.wait_for(|status| status.rests.is_empty()).await;
        }
    }

    /// Does something that takes memory; `None` if the owner wants it meanwhile.
    pub(super) async fn unless_wanted<T>(&mut self, doing: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wanted() => None,
            done = doing => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{idle::Reason, status::tests::sample};

    #[tokio::test]
    async fn models_are_there_when_the_owner_is_not() {
        let (shown, status) = watch::channel(sample());
        let rests = |reasons: &[Reason]| {
            shown.send_modify(|status| status.rests = reasons.to_vec());
        };
        let mut yielding = Yielding::while_resting(status);
        yielding.free().await;
        assert_eq!(yielding.unless_wanted(async { 5 }).await, Some(5));
        rests(&[Reason::Input]);
        assert_eq!(yielding.unless_wanted(async { 5 }).await, None);
        yielding.wanted().await;
        let waiting = tokio::spawn({
            let mut yielding = yielding.clone();
            async move { yielding.free().await }
        });
        rests(&[Reason::Load]);
        rests(&[]);
        waiting.await.unwrap();
        let loading = tokio::spawn({
            let mut yielding = yielding.clone();
            async move { yielding.unless_wanted(std::future::pending::<()>()).await }
        });
        rests(&[Reason::Paused]);
        assert_eq!(loading.await.unwrap(), None);
        drop(shown);
        yielding.free().await;
        let mut never = Yielding::never();
        never.free().await;
        assert_eq!(never.unless_wanted(async { 7 }).await, Some(7));
    }
}

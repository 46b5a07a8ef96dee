//! What all roles of this crate have in common: a workshop in which programs can be run, and tasks that end with the role.

use std::{path::Path, sync::Arc};

use tilth_blobs::Blobs;
use tilth_client::ChainError;
use tilth_sandbox::{CommandLine, Confinement, Limits as Cage, Program};
use tilth_service::{OnFailure, Scope, Spawner};
use tracing::warn;

use crate::{
    ProviderError,
    folder::Folder,
    hand::{Hand, Leash},
    status::STOP_PATIENCE,
};

/// A folder, locked, and a sandbox whose worker is known to run.
pub(crate) struct Workshop {
    pub(crate) folder: Folder,
    pub(crate) confinement: Arc<Confinement>,
    /// What the worker said it is.
    pub(crate) engine: String,
}

impl Workshop {
    /// Takes the folder, finds out what the sandbox can enforce and says aloud what it cannot, starts a worker once, and
    /// removes what other workers than this one have compiled.
    pub(crate) async fn open(
        dir: &Path,
        worker: &CommandLine,
        sandbox_init: &CommandLine,
    ) -> Result<Self, ProviderError> {
        let folder = Folder::open(dir)?;
        let confinement = Confinement::probe(sandbox_init.clone()).await?;
        for problem in confinement.report().iter().filter_map(|measure| measure.problem()) {
            warn!(detail = problem.detail, advice = problem.advice, "{}", problem.what);
        }
        let engine = greet(&confinement, worker).await?;
        folder.keep_artifacts_of(&engine).map_err(|source| {
            let path = folder.root().join("artifacts");
            ProviderError::Folder { action: "cannot clean", path, source }
        })?;
        Ok(Self { folder, confinement: Arc::new(confinement), engine })
    }
}

/// Starts a worker once, to know that it runs in the sandbox and what engine it is.
async fn greet(confinement: &Confinement, worker: &CommandLine) -> Result<String, ProviderError> {
    let mut program = Program::new(&worker.program);
    program.args = worker.args.clone();
    program.args.push("serve".into());
    let confined = confinement.spawn(&program, &Cage::default()).await?;
    let hand = Hand::spawn(confined, Leash::default()).await;
    let hand = hand.map_err(|error| ProviderError::Worker(error.to_string()))?;
    Ok(hand.engine().to_owned())
}

/// A role at work. Dropping it stops everything at once.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) scope: Scope,
    blobs: Blobs,
}

impl Running {
    /// A role that stops when its content store fails for good.
    pub(crate) fn new(name: String, blobs: Blobs) -> Self {
        let scope = Scope::new(name);
        let (store, stop) = (blobs.clone(), scope.token());
        scope.spawn("content store", OnFailure::StopAll, async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                failure = store.failure() => Err(failure),
            }
        });
        Self { scope, blobs }
    }

    /// Keeps cases as long as the role runs. A keeper that cannot go on stops it.
    pub(crate) fn keep(
        &self,
        name: &'static str,
        keeping: impl Future<Output = Result<(), ChainError>> + Send + 'static,
    ) {
        let stop = self.scope.token();
        self.scope.spawn(name, OnFailure::StopAll, async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                ended = keeping => ended,
            }
        });
    }

    /// Waits until the role stops by itself, which it only does when it cannot go on.
    pub(crate) async fn failure(&self) -> ProviderError {
        match self.scope.stopped().await {
            Some(failure) => ProviderError::Stopped(failure.to_string()),
            None => ProviderError::Stopped("it was told to stop".into()),
        }
    }

    /// Stops now, in order: tasks and their workers, then the content store.
    pub(crate) async fn stop(self) -> Result<(), ProviderError> {
        let ending = self.scope.shutdown(STOP_PATIENCE).await;
        self.blobs.shutdown().await?;
        match ending.failure {
            Some(failure) => Err(ProviderError::Stopped(failure.to_string())),
            None => Ok(()),
        }
    }
}

/// Starts a task that ends with the role, wherever it is then. A panic in it stops the role: somebody may be waiting for
/// what it was to do. Returns whether it was started.
pub(crate) fn spawn(
    tasks: &Spawner,
    name: impl Into<String>,
    task: impl Future<Output = ()> + Send + 'static,
) -> bool {
    let stop = tasks.token();
    tasks.spawn(name, OnFailure::StopAll, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = task => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_waits_ends_with_its_role_and_nothing_is_begun_after_that() {
        let scope = Scope::new("role");
        let tasks = scope.spawner();
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        assert!(spawn(&tasks, "waits for hours", async move {
            tokio::time::sleep(Duration::from_secs(36_000)).await;
            drop(holds);
        }));
        let ending = scope.shutdown(Duration::from_secs(20)).await;
        assert!(ending.dropped.is_empty(), "it stops by itself: {ending:?}");
        assert_eq!(Arc::strong_count(&held), 1, "the task is gone");
        assert!(!spawn(&tasks, "too late", async {}));
    }
}

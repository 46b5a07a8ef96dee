//! A worker that answers one challenge. What it says is bounded like everything a worker says; whether it is
//! right is the asker's business.

use std::time::Duration;

use tilth_protocol::{
    challenge::{Commit, Hash, Openings, Secret, Statement, Task},
    worker::{FromWorker, ToWorker},
};
use tilth_sandbox::Program;

use super::{Device, Start};
use crate::hand::{Hand, HandError, Leash};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct WorkerError(#[from] HandError);

impl WorkerError {
    /// It was not done in the time that it had.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.0, HandError::Silent(_))
    }
}

/// The worker.
#[derive(Debug)]
pub(super) struct Worker(Hand);

impl Worker {
    /// Starts it, with room for a task.
    pub(super) async fn start(
        start: &Start,
        device: &Device,
        task: &Task,
    ) -> Result<Self, WorkerError> {
        let mut program = Program::new(&start.worker.program);
        program.args = start.worker.args.clone();
        program.args.extend(["prove".into(), device.offer.name.clone().into()]);
        let cage = device.prepare(&mut program, task);
        let confined = start.confinement.spawn(&program, &cage).await.map_err(HandError::from)?;
        Ok(Self(Hand::spawn(confined, Leash::default()).await?))
    }

    /// Has it do the work.
    pub(super) async fn prove(
        &mut self,
        statement: &Statement,
        patience: Duration,
    ) -> Result<Commit, WorkerError> {
        match self.ask(&ToWorker::Prove(statement.clone()), patience).await? {
            FromWorker::Committed(commit) => Ok(commit),
            other => Err(odd(&other)),
        }
    }

    /// Has it walk through its memory.
    pub(super) async fn walk(
        &mut self,
        walk: &Hash,
        patience: Duration,
    ) -> Result<Hash, WorkerError> {
        match self.ask(&ToWorker::Walk(*walk), patience).await? {
            FromWorker::Walked(root) => Ok(root),
            other => Err(odd(&other)),
        }
    }

    /// Has it open the samples.
    pub(super) async fn open(
        &mut self,
        secret: Secret,
        patience: Duration,
    ) -> Result<Openings, WorkerError> {
        match self.ask(&ToWorker::Draw(secret), patience).await? {
            FromWorker::Opened(openings) => Ok(openings),
            other => Err(odd(&other)),
        }
    }

    async fn ask(
        &mut self,
        order: &ToWorker,
        patience: Duration,
    ) -> Result<FromWorker, WorkerError> {
        self.0.say(order).await?;
        Ok(self.0.hear(patience).await?)
    }
}

fn odd(frame: &FromWorker) -> WorkerError {
    WorkerError(crate::hand::unexpected(frame))
}

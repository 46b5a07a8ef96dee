//! Putting results together from the store.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use tilth_blobs::{Blobs, BlobsError};
use tilth_protocol::{Leaf, PREPARE_INDEX, Status, TaskIndex};
use tilth_service::Doing;

use super::{Agreed, JobError, Jobs};
use crate::{
    CollectError,
    collect::read,
    merge::{self, Merged, TaskOutput},
};

impl Jobs {
    /// Puts a job's results together in `path`, from what is here. Ranges that are not here are
    /// counted as missing.
    ///
    /// # Errors
    /// The results cannot be read or written.
    pub fn merge<'a>(
        &'a self,
        agreed: &'a Agreed,
        path: &'a Path,
    ) -> Doing<'a, Result<Merged, JobError>> {
        Box::pin(async move {
            let leaves = self.leaves(agreed).await?;
            let (blobs, spec) = (self.blobs.clone(), Arc::clone(&agreed.spec));
            let path = path.to_owned();
            let runtime = tokio::runtime::Handle::current();
            let merging = tokio::task::spawn_blocking(move || {
                merge::merge(&spec, &path, |index| match leaves.get(&index) {
                    None => Ok(None),
                    Some(leaf) => runtime.block_on(output(&blobs, leaf)).map_err(io::Error::other),
                })
            });
            let merged = merging.await.map_err(|error| JobError::Incomplete {
                job: agreed.job,
                detail: error.to_string(),
            })?;
            merged.map_err(JobError::Told)
        })
    }

    /// What is known about each task from the ranges that are here, checked against the chain.
    ///
    /// # Errors
    /// The chain or the store cannot be read.
    pub fn leaves<'a>(
        &'a self,
        agreed: &'a Agreed,
    ) -> Doing<'a, Result<BTreeMap<TaskIndex, Leaf>, JobError>> {
        Box::pin(async move {
            let history = self.history(agreed.job).await?;
            let mut leaves = BTreeMap::new();
            for range in history.ranges.values().filter(|range| range.can_be_checked()) {
                let claim = range.claim(agreed.job);
                if !self.blobs.has(range.content).await? {
                    continue;
                }
                match read(&self.blobs, &agreed.spec, &claim, range.content).await {
                    Ok(manifest) => {
                        let tasks =
                            manifest.leaves.into_iter().filter(|l| l.index != PREPARE_INDEX);
                        leaves.extend(tasks.map(|leaf| (leaf.index, leaf)));
                    }
                    Err(CollectError::Missing(BlobsError::NotHere { .. })) => {}
                    Err(CollectError::Missing(error)) => return Err(error.into()),
                    Err(CollectError::Wrong(detail)) => {
                        tracing::warn!(job = %agreed.job, seq = range.seq, detail, "a range is left out");
                    }
                }
            }
            Ok(leaves)
        })
    }
}

/// A task's output from the store.
async fn output(blobs: &Blobs, leaf: &Leaf) -> Result<Option<TaskOutput>, BlobsError> {
    if leaf.status != Status::Ok {
        return Ok(Some(TaskOutput { status: leaf.status, bytes: Vec::new() }));
    }
    let bytes = match (leaf.inline_output(), leaf.blob()) {
        (_, Some(hash)) => match blobs.read(hash, leaf.size).await {
            Ok(bytes) => bytes.to_vec(),
            Err(BlobsError::NotHere { .. }) => return Ok(None),
            Err(error) => return Err(error),
        },
        (Some(bytes), None) => bytes.to_vec(),
        (None, None) => return Ok(None),
    };
    Ok(Some(TaskOutput { status: leaf.status, bytes }))
}

//! What ends the tending of a job that is not over.

use std::sync::Arc;

use alloy::{
    primitives::{
        B256, Bytes,
        aliases::{U40, U96},
    },
    signers::local::PrivateKeySigner,
};
use tilth_blobs::{Blobs, Config, Limits as BlobsLimits};
use tilth_contracts::{Addresses, Terms};
use tilth_protocol::{ContentHash, ContentRef, JobSpec, Limits, Output, Workload};

use super::*;
use crate::{Account, Link};

fn spec() -> JobSpec {
    JobSpec {
        name: "a job".into(),
        workload: Workload::Wasm,
        program: ContentRef { hash: ContentHash([1; 32]), size: 64 },
        inputs: Vec::new(),
        task_count: 1,
        limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 },
        output: Output::Values,
    }
}

fn terms() -> Terms {
    Terms {
        specHash: B256::repeat_byte(2),
        taskCount: 1,
        unitCap: 1,
        prepareCap: 0,
        price: U96::ZERO,
        floorPrice: U96::ZERO,
        finishSeconds: 0,
        window: 600,
        rangeTimeout: 600,
        targetSeconds: 60,
        parallelism: 1,
        firstRange: 1,
        deadline: U40::ZERO,
        maxFailures: 0,
        requiredClass: 0,
        minVramMib: 0,
        afterJob: 0,
        audited: false,
        replicas: 0,
        callback: Address::ZERO,
        program: B256::repeat_byte(1),
        contact: Bytes::new(),
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_seen_any_more_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let bind = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::new(dir.path().join("content"), [1; 32], bind);
    config.limits = BlobsLimits { disk_reserve: 1 << 20, ..BlobsLimits::default() };
    let blobs = Blobs::spawn(config).await.unwrap();
    let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
    let account = Account::new(link, PrivateKeySigner::random());
    let client = account.address();
    let jobs = Jobs::new(account, blobs.clone(), dir.path().join("jobs"), 0);
    let (spec, terms) = (Arc::new(spec()), terms());
    let agreed = Agreed { job: JobId(1), client, spec, terms, opened_block: 0 };
    let (tender, _seen) = Tender::new(&jobs, &agreed, Tend { pay: true });
    // Without an error it would look once a second for ever, and show the job as it was.
    let following = tender.follow(Following::dead());
    let ended = tokio::time::timeout(Duration::from_secs(60), following).await.expect("it ends");
    assert!(matches!(ended, Err(JobError::Chain(ChainError::Unread))), "{ended:?}");
    blobs.shutdown().await.unwrap();
}

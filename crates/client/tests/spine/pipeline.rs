//! Jobs after jobs: results handed over, once, whatever dies in between.

use std::{fs, path::PathBuf};

use tilth_client::{
    JobError, Jobs, Pipeline, Tend,
    job_file::{self, Loaded},
    money,
    pipeline::{
        self, Next,
        plan::{Standing, Stop},
    },
};
use tilth_protocol::{Amount, ContentRef, InputSource, JobId, amount::GRAIN};

use crate::world::{FakeProvider, Manner, PATIENCE, World, output};

/// Twelve tasks, then one that reads what they wrote.
fn two_jobs(world: &World, after: &str) -> Loaded {
    let dir = world.dir.path();
    fs::write(dir.join("program.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let limits =
        "gfuel-per-task = 0.01\ngfuel-prepare = 0.02\nmemory = \"1MiB\"\noutput = \"1KiB\"";
    let text = format!(
        "name = \"map\"\nprogram = \"program.wasm\"\ntasks = 12\n[limits]\n{limits}\n\
         [price]\nper-gfuel = \"1\"\n[schedule]\ntarget = \"2s\"\nrange-timeout = \"30s\"\n\
         [after]\nprogram = \"program.wasm\"\ntasks = 1\n{after}\n[after.limits]\n{limits}\n"
    );
    let path = dir.join("job.toml");
    fs::write(&path, text).unwrap();
    job_file::load_all(&path, &[]).unwrap()
}

fn folder(world: &World) -> PathBuf {
    pipeline::folder(world.dir.path())
}

async fn begin(world: &World, jobs: &Jobs, after: &str) -> Pipeline {
    let loaded = two_jobs(world, after);
    Pipeline::begin(jobs, &folder(world), &loaded.stages, None).await.unwrap()
}

/// Works on a stage's job until it is over, and notes how it ended.
async fn finish(jobs: &Jobs, pipeline: &mut Pipeline, next: Next, worker: &FakeProvider) -> JobId {
    let Next::Follow { stage, agreed, .. } = next else { panic!("{next:?}") };
    let tending = jobs.tend(&agreed, Tend { pay: true });
    worker.work(agreed.job).await;
    let progress = tokio::time::timeout(PATIENCE, tending.finished()).await.unwrap().unwrap();
    pipeline.ended(stage, &agreed, &progress).await.unwrap();
    agreed.job
}

/// Changes the record on disk, as if the process had died before it wrote the present one.
fn rewrite(world: &World, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder(world).join("1/pipeline.json");
    let mut record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

async fn jobs_opened(jobs: &Jobs) -> usize {
    jobs.list(&[jobs.account().address()]).await.unwrap().len()
}

#[tokio::test]
async fn results_of_one_job_are_the_inputs_of_the_next() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let mut pipeline = begin(&world, &jobs, "").await;
    let next = pipeline.next().await.unwrap();
    assert_eq!(finish(&jobs, &mut pipeline, next, &worker).await, JobId(1));
    let next = pipeline.next().await.unwrap();
    let Next::Follow { stage: 1, agreed, fresh: true } = &next else { panic!("{next:?}") };
    let source = |name: &str| {
        let input = agreed.spec.inputs.iter().find(|input| input.name == name).unwrap();
        input.source.clone()
    };
    for index in 0..12 {
        let content = ContentRef::of(&output(index));
        assert_eq!(source(&format!("{index:02}")), InputSource::Blob(content));
    }
    let InputSource::Inline(table) = source("map.csv") else { panic!("it is small") };
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.lines().count(), 13);
    assert!(table.starts_with("task,status,output\n0,ok,00\n"), "{table}");
    // A provider gets the results from the client, who serves them as inputs.
    let contact = tilth_protocol::Contact::from_bytes(&agreed.terms.contact).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let other = world.blobs("other", 9).await;
    for blob in agreed.spec.blobs() {
        let tag = tilth_blobs::Tag::inputs(agreed.job);
        other.get(blob, std::slice::from_ref(&contact), &tag, deadline).await.unwrap();
    }
    assert_eq!(finish(&jobs, &mut pipeline, next, &worker).await, JobId(2));
    assert!(matches!(pipeline.next().await.unwrap(), Next::Over(Ok(()))));
    let shown = pipeline::list(&folder(&world));
    assert_eq!(shown[0].stages[1].standing, Standing::Complete { job: JobId(2) });
    let have = money::balances(jobs.account().link(), jobs.account().address()).await.unwrap();
    assert_eq!(have.locked, Amount::ZERO);
}

/// The client dies after each step, before it can write it down; the other process finds what happened.
#[tokio::test]
async fn a_job_is_opened_once_however_often_the_client_dies() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let dir = folder(&world);
    let mut pipeline = begin(&world, &jobs, "").await;
    let busy = Pipeline::resume(&jobs, &dir, 1).await.unwrap_err();
    assert!(busy.problem().what.contains("another command"), "{busy}");
    pipeline.next().await.unwrap();
    drop(pipeline);
    // Handed in and mined, but not noted.
    let opening = |record: &mut serde_json::Value| {
        record["stages"][0]["standing"] = serde_json::json!({ "is": "opening" });
    };
    rewrite(&world, opening);
    assert_eq!(pipeline::of_job(&jobs, &dir, JobId(1)).await.unwrap(), Some(1));
    let mut pipeline = Pipeline::resume(&jobs, &dir, 1).await.unwrap();
    let next = pipeline.next().await.unwrap();
    assert!(matches!(&next, Next::Follow { stage: 0, agreed, .. } if agreed.job == JobId(1)));
    drop(pipeline);
    // The fee was raised by the process that died, so the hash on disk is in no block.
    rewrite(&world, |record| {
        opening(record);
        let unknown = format!("0x{}", "11".repeat(32));
        record["stages"][0]["signed"]["transaction"]["hash"] = unknown.into();
    });
    let mut pipeline = Pipeline::resume(&jobs, &dir, 1).await.unwrap();
    let next = pipeline.next().await.unwrap();
    assert_eq!(finish(&jobs, &mut pipeline, next, &worker).await, JobId(1));
    drop(pipeline);
    let mut pipeline = Pipeline::resume(&jobs, &dir, 1).await.unwrap();
    let next = pipeline.next().await.unwrap();
    assert_eq!(finish(&jobs, &mut pipeline, next, &worker).await, JobId(2));
    assert!(matches!(pipeline.next().await.unwrap(), Next::Over(Ok(()))));
    assert_eq!(jobs_opened(&jobs).await, 2);
    // What is over cannot be cancelled.
    let over = pipeline::cancel(&jobs, &dir, 1, JobId(1)).await;
    assert!(matches!(over, Err(JobError::Told(_))), "{over:?}");
}

#[tokio::test]
async fn a_cancellation_is_kept_whoever_dies_in_the_middle_of_it() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let dir = folder(&world);
    // The client had opened the job, and whoever cancelled had only left the mark.
    let mut pipeline = begin(&world, &jobs, "").await;
    let Next::Follow { agreed, .. } = pipeline.next().await.unwrap() else { panic!() };
    drop(pipeline);
    std::fs::write(dir.join("1").join("cancelled"), "").unwrap();
    let mut pipeline = Pipeline::resume(&jobs, &dir, 1).await.unwrap();
    let Next::Follow { agreed: again, .. } = pipeline.next().await.unwrap() else { panic!() };
    assert_eq!(again.job, agreed.job);
    let tending = jobs.tend(&again, Tend { pay: true });
    let progress = tokio::time::timeout(PATIENCE, tending.finished()).await.unwrap().unwrap();
    pipeline.ended(0, &again, &progress).await.unwrap();
    let over = pipeline.next().await.unwrap();
    assert!(matches!(over, Next::Over(Err((0, Stop::Cancelled)))), "{over:?}");
}

#[tokio::test]
async fn a_transaction_of_another_program_does_not_confuse_it() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let mut pipeline = begin(&world, &jobs, "").await;
    pipeline.next().await.unwrap();
    drop(pipeline);
    // What is on disk was never handed in, and its nonce is used up.
    rewrite(&world, |record| {
        record["stages"][0]["standing"] = serde_json::json!({ "is": "opening" });
        let transaction = &mut record["stages"][0]["signed"];
        transaction["from-block"] = 1_000_000.into();
        transaction["transaction"]["hash"] = format!("0x{}", "22".repeat(32)).into();
    });
    let mut pipeline = Pipeline::resume(&jobs, &folder(&world), 1).await.unwrap();
    let next = pipeline.next().await.unwrap();
    // It is signed anew and opened; the first job belongs to whoever opened it.
    assert!(matches!(&next, Next::Follow { agreed, .. } if agreed.job == JobId(2)), "{next:?}");
}

#[tokio::test]
async fn a_cancelled_pipeline_opens_nothing_more() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let dir = folder(&world);
    let mut pipeline = begin(&world, &jobs, "").await;
    let Next::Follow { agreed, .. } = pipeline.next().await.unwrap() else { panic!() };
    let tending = jobs.tend(&agreed, Tend { pay: true });
    assert_eq!(pipeline::cancel(&jobs, &dir, 1, JobId(1)).await.unwrap(), [JobId(1)]);
    // Somebody else may have been first.
    assert_eq!(pipeline::cancel(&jobs, &dir, 1, JobId(1)).await.unwrap(), [JobId(1)]);
    let progress = tokio::time::timeout(PATIENCE, tending.finished()).await.unwrap().unwrap();
    pipeline.ended(0, &agreed, &progress).await.unwrap();
    let over = pipeline.next().await.unwrap();
    assert!(matches!(over, Next::Over(Err((0, Stop::Cancelled)))), "{over:?}");

    // Cancelled between two jobs: the first is paid for, the second is not opened.
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let mut pipeline = begin(&world, &jobs, "").await;
    let next = pipeline.next().await.unwrap();
    finish(&jobs, &mut pipeline, next, &worker).await;
    assert!(pipeline::cancel(&jobs, &dir, 2, JobId(2)).await.unwrap().is_empty());
    let over = pipeline.next().await.unwrap();
    assert!(matches!(over, Next::Over(Err((1, Stop::Cancelled)))), "{over:?}");
    assert_eq!(jobs_opened(&jobs).await, 2);
}

#[tokio::test]
async fn failed_tasks_stop_the_next_job_or_are_left_out() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let worker = FakeProvider::enroll(&world, 2, Manner::OddTasksTrap).await;
    let mut pipeline = begin(&world, &jobs, "").await;
    let next = pipeline.next().await.unwrap();
    finish(&jobs, &mut pipeline, next, &worker).await;
    let over = pipeline.next().await.unwrap();
    assert!(matches!(over, Next::Over(Err((0, Stop::Failed { tasks: 6 })))), "{over:?}");
    assert_eq!(jobs_opened(&jobs).await, 1);

    let mut pipeline = begin(&world, &jobs, "failed-tasks = \"leave-out\"").await;
    let next = pipeline.next().await.unwrap();
    finish(&jobs, &mut pipeline, next, &worker).await;
    let next = pipeline.next().await.unwrap();
    let Next::Follow { stage: 1, agreed, .. } = next else { panic!("{next:?}") };
    let names: Vec<_> = agreed.spec.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["map.csv", "00", "02", "04", "06", "08", "10"]);
    let InputSource::Inline(table) = &agreed.spec.inputs[0].source else { panic!() };
    assert!(std::str::from_utf8(table).unwrap().contains("\n1,trap,\n"));
}

#[tokio::test]
async fn money_for_all_jobs_has_to_be_there_at_the_beginning() {
    let world = World::start().await;
    let jobs = world.client(0).await;
    let loaded = two_jobs(&world, "");
    let most = |stage: usize| Jobs::usual_funds(&loaded.stages[stage].job).unwrap().0;
    let enough_for_one = most(0).max(most(1));
    assert!(enough_for_one < most(0) + most(1) && most(0) + most(1) < GRAIN);
    money::deposit(jobs.account(), Amount(enough_for_one), true).await.unwrap();
    let refused = Pipeline::begin(&jobs, &folder(&world), &loaded.stages, None).await;
    assert!(matches!(refused, Err(JobError::TooLittleBalance { .. })), "{refused:?}");
    assert!(pipeline::list(&folder(&world)).is_empty());
    money::deposit(jobs.account(), Amount(GRAIN), true).await.unwrap();
    Pipeline::begin(&jobs, &folder(&world), &loaded.stages, None).await.unwrap();
    assert_eq!(jobs_opened(&jobs).await, 0);
}

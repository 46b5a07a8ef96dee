//! Jobs from file to picture, with providers that are honest, lie, or vanish.

use tilth_blobs::{Blobs, Kept, Tag};
use tilth_client::{
    JobError, Jobs, Tend, Tending, job_file, merge, money,
    quote::{self, Quote},
};
use tilth_protocol::{Amount, ContentHash, JobId, Price, amount::GRAIN};

use crate::world::{
    FakeProvider, Manner, PATIENCE, World, decode_png, expected_pixels, output, until,
};

async fn finish(tending: Tending) -> tilth_client::Progress {
    tokio::time::timeout(PATIENCE, tending.finished()).await.expect("the job ends").unwrap()
}

const PAY: Tend = Tend { pay: true };

#[tokio::test]
async fn a_picture_is_rendered_paid_and_put_together() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let agreed = jobs.submit(&prepared, None).await.unwrap();
    assert_eq!(agreed.job, JobId(1));
    let tending = jobs.tend(&agreed, PAY);
    let workers = [
        FakeProvider::enroll(&world, 2, Manner::Honest).await,
        FakeProvider::enroll(&world, 3, Manner::Honest).await,
    ];
    // A provider fetches what it needs from where the terms say.
    let contact = tilth_protocol::Contact::from_bytes(&agreed.terms.contact).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    for blob in agreed.spec.blobs() {
        let tag = tilth_blobs::Tag::inputs(agreed.job);
        workers[0].blobs.get(blob, std::slice::from_ref(&contact), &tag, deadline).await.unwrap();
    }
    let (a, b) = tokio::join!(workers[0].work(agreed.job), workers[1].work(agreed.job));
    assert!(a + b >= 4);
    let progress = finish(tending).await;
    assert!(progress.over && progress.refused.is_empty());
    assert_eq!((progress.checked, progress.totals.settled), (12, 12));
    assert_eq!(progress.totals.units, 12 * 5 + u64::from(a + b) * 7);

    let path = jobs.folder(agreed.job).join(merge::default_name(agreed.spec.output));
    let merged = jobs.merge(&agreed, &path).await.unwrap();
    assert_eq!(merged.missing, 0);
    assert_eq!(decode_png(&path), expected_pixels());
    assert_eq!(merged.hash, Some(ContentHash::of(&std::fs::read(&path).unwrap())));

    // Every unit was paid once, the rest came back, nothing is locked.
    let price = prepared.offer.price.0;
    let cost = u128::from(progress.totals.units) * price;
    assert_eq!(progress.totals.paid.0 + progress.totals.fees.0, cost);
    let have = money::balances(jobs.account().link(), jobs.account().address()).await.unwrap();
    assert_eq!((have.free, have.locked), (Amount(20 * GRAIN - cost), Amount::ZERO));
    let listed = jobs.list(&[jobs.account().address()]).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_deref(), listed[0].state.as_str()), (Some("tiles"), "done"));
}

#[tokio::test]
async fn a_job_on_the_clock_pays_each_range_its_price_and_is_quoted_from() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let path = world.job_file("");
    let text = std::fs::read_to_string(&path).unwrap();
    let clock = "kind = \"clock\"\nfloor = \"0.25\"\ncap = \"1\"\nfinish = \"16s\"";
    std::fs::write(&path, text.replace("per-gfuel = \"1\"", clock)).unwrap();
    let prepared = job_file::load(&path).unwrap();
    let link = jobs.account().link().clone();
    let program = prepared.spec.program.hash;
    assert_eq!(quote::going(&link, 0, program).await.unwrap(), None, "nothing was settled yet");

    let agreed = jobs.submit(&prepared, None).await.unwrap();
    let tending = jobs.tend(&agreed, PAY);
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    worker.work(agreed.job).await;
    let progress = finish(tending).await;
    let history = jobs.history(agreed.job).await.unwrap();
    let clock = prepared.offer.clock.unwrap();
    let mut cost = 0;
    for range in history.ranges.values() {
        assert!((clock.floor.0..=clock.cap.0).contains(&range.price), "{range:?}");
        assert_eq!(range.paid.0 + range.fee.0, range.price * u128::from(range.units));
        cost += range.price * u128::from(range.units);
    }
    assert_eq!(progress.totals.paid.0 + progress.totals.fees.0, cost);
    let have = money::balances(&link, jobs.account().address()).await.unwrap();
    assert_eq!((have.free, have.locked), (Amount(20 * GRAIN - cost), Amount::ZERO));

    let going = quote::going(&link, 0, program).await.unwrap().unwrap();
    assert!(going.same_program && going.jobs == 1 && going.ranges == history.ranges.len());
    assert_eq!((going.tasks, going.units), (12, progress.totals.units));
    assert!((clock.floor..=clock.cap).contains(&going.median));
    let quote = Quote::of(&prepared, Some(going.clone()));
    assert_eq!(quote.clock.unwrap().price, Some(going.median));
    let other = quote::going(&link, 0, ContentHash::of(b"another program")).await.unwrap().unwrap();
    assert!(!other.same_program && other.low >= Price(1));
}

#[tokio::test]
async fn a_killed_client_and_a_restarted_chain_lose_nothing() {
    let mut world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let agreed = jobs.submit(&prepared, None).await.unwrap();
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    worker.work_once(agreed.job).await.unwrap();
    until("a range is checked", &mut progress, |p| p.checked > 0).await;
    drop(tending);

    // Also the job's folder is lost; chain and store remain.
    std::fs::remove_dir_all(jobs.folder(agreed.job)).unwrap();
    let (account, blobs) = (jobs.account().clone(), jobs.blobs().clone());
    drop(jobs);
    worker.work_once(agreed.job).await.unwrap();
    let jobs = Jobs::new(account, blobs, world.dir.path().join("jobs"), 0);
    let agreed = jobs.attach(JobId(1)).await.unwrap();
    assert_eq!(agreed.spec.name, "tiles");
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    until("the rest is seen", &mut progress, |p| p.checked >= 2).await;

    world.stop_chain().await;
    let away = until("the outage is said", &mut progress, |p| p.away.is_some()).await;
    assert!(away.away.unwrap().contains("no answer"));
    world.start_chain().await;
    until("the outage is over", &mut progress, |p| p.away.is_none()).await;
    worker.work(agreed.job).await;
    let progress = finish(tending).await;
    assert_eq!((progress.checked, progress.totals.settled), (12, 12));
    let path = world.dir.path().join("picture.png");
    assert_eq!(jobs.merge(&agreed, &path).await.unwrap().missing, 0);
    assert_eq!(decode_png(&path), expected_pixels());
}

#[tokio::test]
async fn a_liar_is_not_acknowledged_and_the_evidence_is_kept() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let agreed = jobs.submit(&job_file::load(&world.job_file("")).unwrap(), None).await.unwrap();
    let liar = FakeProvider::enroll(&world, 2, Manner::OtherOutputs).await;
    let honest = FakeProvider::enroll(&world, 3, Manner::Honest).await;
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    let seq = liar.work_once(agreed.job).await.unwrap();
    let refused = until("the lie is seen", &mut progress, |p| !p.refused.is_empty()).await.refused;
    assert_eq!((refused[0].seq, refused[0].provider), (seq, liar.owner.address()));
    honest.work(agreed.job).await;
    let seen = until("the others are settled", &mut progress, |p| p.totals.settled >= 9).await;
    assert_eq!(seen.totals.submitted, 12 - seen.totals.settled, "only the liar's range waits");
    let evidence = jobs.folder(agreed.job).join("evidence").join(format!("{seq}.json"));
    assert!(std::fs::read_to_string(evidence).unwrap().contains("submitted root"));

    // Without disputes the chain pays it after the window; the client still has not accepted it.
    world.advance(60).await;
    let job_book = liar.node.link().addresses().job_book;
    let settle = tilth_contracts::JobBook::settleCall { jobId: agreed.job.0, seqs: vec![seq] };
    liar.node.execute(job_book, settle).await.unwrap();
    let progress = finish(tending).await;
    assert_eq!(progress.totals.settled, 12);
    assert!(progress.checked < 12);
    let merged = jobs.merge(&agreed, &world.dir.path().join("p.png")).await.unwrap();
    assert_eq!(merged.missing, 12 - progress.checked);
}

#[tokio::test]
async fn results_that_are_not_published_are_asked_for_and_not_acknowledged() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let agreed = jobs.submit(&job_file::load(&world.job_file("")).unwrap(), None).await.unwrap();
    let mut worker = FakeProvider::enroll(&world, 2, Manner::Nothing).await;
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    worker.work_once(agreed.job).await.unwrap();
    let seen = until("the range is handed in", &mut progress, |p| p.totals.submitted > 0).await;
    assert_eq!((seen.checked, seen.totals.settled), (0, 0));
    worker.manner = Manner::Honest;
    worker.work(agreed.job).await;
    let seen = until("the rest is settled", &mut progress, |p| p.totals.settled >= 9).await;
    assert!(seen.totals.submitted > 0 && seen.refused.is_empty());
}

#[tokio::test]
async fn what_cannot_be_submitted_is_said_before_anything_is_spent() {
    let world = World::start().await;
    let jobs = world.client(0).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let error = jobs.submit(&prepared, None).await.unwrap_err();
    let JobError::TooLittleBalance { needed, free } = error else { panic!("{error}") };
    assert_eq!((needed, free), (Jobs::usual_funds(&prepared).unwrap(), Amount::ZERO));
    money::deposit(jobs.account(), Amount(20 * GRAIN), true).await.unwrap();

    let mut hasty = prepared.clone();
    hasty.offer.window_s = Some(1);
    let error = jobs.submit(&hasty, None).await.unwrap_err();
    assert!(matches!(error, JobError::WindowTooShort { least: 10, .. }), "{error}");

    std::fs::write(world.dir.path().join("large"), vec![4; 100_000]).unwrap();
    let error = jobs.submit(&prepared, None).await.unwrap_err();
    assert!(matches!(error, JobError::FileChanged { .. }), "{error}");
    let error = jobs.attach(JobId(5)).await.unwrap_err();
    assert_eq!(error.problem().what, "there is no such job");
    let have = money::balances(jobs.account().link(), jobs.account().address()).await.unwrap();
    assert_eq!((have.free, have.locked), (Amount(20 * GRAIN), Amount::ZERO));
}

#[tokio::test]
async fn a_job_nobody_works_on_says_why_and_can_be_cancelled() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let agreed = jobs.submit(&job_file::load(&world.job_file("")).unwrap(), None).await.unwrap();
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    let seen = until("the reason is said", &mut progress, |p| p.waiting.is_some()).await;
    assert_eq!(seen.waiting.unwrap().what, "no provider is online");
    jobs.cancel(agreed.job).await.unwrap();
    let progress = finish(tending).await;
    assert_eq!((progress.state.as_str(), progress.totals.settled), ("cancelled", 0));
    let have = money::balances(jobs.account().link(), jobs.account().address()).await.unwrap();
    assert_eq!((have.free, have.locked), (Amount(20 * GRAIN), Amount::ZERO));
}

#[tokio::test]
async fn a_job_runs_dry_and_goes_on_after_a_top_up() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    // One task at its cap and one prepare phase.
    let little = Amount((10 + 20) * prepared.offer.price.0);
    let agreed = jobs.submit(&prepared, Some(little)).await.unwrap();
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let tending = jobs.tend(&agreed, PAY);
    let mut progress = tending.progress();
    worker.work(agreed.job).await;
    let seen = until("the job is dry", &mut progress, |p| p.dry || p.totals.escrow < little).await;
    assert!(seen.totals.settled + seen.totals.submitted < 12);
    jobs.top_up(agreed.job, Amount(2 * GRAIN)).await.unwrap();
    worker.work(agreed.job).await;
    let progress = finish(tending).await;
    assert_eq!((progress.checked, progress.totals.settled), (12, 12));
}

/// Two agents with one key, one after the other or both at once: each has handed in ranges whose outputs
/// only its own store holds, and the Registry names one endpoint.
#[tokio::test]
async fn results_at_an_endpoint_that_its_owner_has_left_are_still_fetched() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let agreed = jobs.submit(&prepared, None).await.unwrap();
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    worker.work_once(agreed.job).await.unwrap();
    let second = FakeProvider { blobs: world.blobs("second", 9).await, ..worker.clone() };
    let contact = second.blobs.contact();
    let call = tilth_contracts::Registry::setEndpointCall {
        endpointId: contact.endpoint.into(),
        endpoint: contact.to_bytes().into(),
    };
    let registry = world.link().addresses().registry;
    worker.owner.execute(registry, call).await.unwrap();
    assert!(second.work(agreed.job).await > 0);
    let progress = finish(jobs.tend(&agreed, PAY)).await;
    assert_eq!((progress.checked, progress.totals.settled), (12, 12));
}

#[tokio::test]
async fn the_files_of_our_jobs_are_everybodys_whatever_else_they_are() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let files: Vec<_> =
        prepared.spec.blobs().map(|blob| blob.hash).chain([prepared.spec.hash()]).collect();
    // As if they were what somebody has handed in for another job.
    let keep = |blobs: &Blobs| {
        let hashes = files.clone();
        blobs.keep(Kept { tag: Tag::range(JobId(7), 0), hashes, only: None });
    };
    keep(jobs.blobs());
    assert!(files.iter().all(|file| jobs.blobs().is_kept(*file)));
    let job = jobs.submit(&prepared, None).await.unwrap().job;
    assert!(!files.iter().any(|file| jobs.blobs().is_kept(*file)));
    keep(jobs.blobs());
    assert!(!files.iter().any(|file| jobs.blobs().is_kept(*file)), "nor later");

    // Whoever has others look at a job of its own gets nothing out of their stores by it.
    let blobs = world.blobs("another", 9).await;
    keep(&blobs);
    let folder = world.dir.path().join("another-jobs");
    let onlooker = Jobs::new(world.account(2), blobs.clone(), &folder, 0);
    onlooker.attach(job).await.unwrap();
    assert!(files.iter().all(|file| blobs.is_kept(*file)));
    Jobs::new(world.account(1), blobs.clone(), &folder, 0).attach(job).await.unwrap();
    assert!(!files.iter().any(|file| blobs.is_kept(*file)), "the same store, its own client");
}

#[tokio::test]
async fn results_of_audited_ranges_are_withheld_except_what_is_a_file_of_a_job() {
    let world = World::start().await;
    let jobs = world.client(20).await;
    let prepared = job_file::load(&world.job_file("")).unwrap();
    let mut agreed = jobs.submit(&prepared, None).await.unwrap();
    // Nobody audits here; that it would be audited is all that matters.
    agreed.terms.audited = true;
    let file = ContentHash::of(&output(0));
    jobs.blobs().spare([file]);
    let tending = jobs.tend(&agreed, Tend { pay: false });
    let mut progress = tending.progress();
    let worker = FakeProvider::enroll(&world, 2, Manner::Honest).await;
    let mut tasks = 0_u32;
    while tasks < 2 {
        worker.work_once(agreed.job).await.unwrap();
        let history = jobs.history(agreed.job).await.unwrap();
        tasks = history.ranges.values().map(|range| range.count).sum();
    }
    until("all is here", &mut progress, |p| p.checked == tasks).await;
    let mut parts = Vec::new();
    for range in jobs.history(agreed.job).await.unwrap().ranges.values() {
        assert!(jobs.blobs().is_kept(range.content));
        parts.extend(jobs.blobs().read_sequence(range.content, 100).await.unwrap());
    }
    assert!(parts.contains(&file) && parts.len() > 2);
    for part in parts {
        assert_eq!(jobs.blobs().is_kept(part), part != file);
    }
}

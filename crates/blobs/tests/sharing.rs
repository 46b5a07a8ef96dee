//! Content between two stores in one process, over real sockets on loopback.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tilth_blobs::{Blobs, BlobsError, Config, Kept, Limits, SequenceBounds, Tag};
use tilth_protocol::{Contact, ContentHash, ContentRef, JobId};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn config(dir: &Path, key: u8) -> Config {
    let limits = Limits { disk_reserve: 1 << 20, ..Limits::default() };
    Config { limits, ..Config::new(dir, [key; 32], LOOPBACK) }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn tag() -> Tag {
    Tag::inputs(JobId(1))
}

/// Bytes that differ everywhere, so that no two groups have the same hash.
fn bytes(len: usize) -> Bytes {
    (0..len).map(|index| (index.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// Waits until a condition holds; a test never sleeps for a fixed time.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = soon();
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn content_of_every_shape_arrives_intact_and_can_be_passed_on() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Blobs::spawn(config(dirs[0].path(), 1)).await.unwrap();
    let b = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let c = Blobs::spawn(config(dirs[2].path(), 3)).await.unwrap();
    for len in [0, 1, 32, 1024, 16_384, 16_385, 1_000_003] {
        let content = bytes(len);
        let blob = a.put(content.clone(), &tag()).await.unwrap();
        assert_eq!(blob, ContentRef::of(&content));
        b.get(blob, &[a.contact()], &tag(), soon()).await.unwrap();
        // The one who fetched serves it to the next.
        c.get(blob, &[b.contact()], &tag(), soon()).await.unwrap();
        assert_eq!(c.read(blob.hash, blob.size).await.unwrap(), content);
        let path = dirs[2].path().join("exported/file");
        c.export(blob.hash, &path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
        let again = c.put_file(&path, &tag()).await.unwrap();
        assert_eq!(again, blob);
    }
    let bounded = Blobs::spawn(config(&dirs[1].path().join("bounded"), 4)).await.unwrap();
    let large = ContentRef::of(&bytes(16_385));
    let holders = [c.contact()];
    let error = bounded.get_up_to(large.hash, 16_384, &holders, &tag(), soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
    bounded.get_up_to(large.hash, 16_385, &holders, &tag(), soon()).await.unwrap();
    let missing = ContentHash([9; 32]);
    assert!(matches!(c.read(missing, 10).await, Err(BlobsError::NotHere { .. })));
    let one = ContentRef::of(&bytes(1024));
    assert!(matches!(c.read(one.hash, 1023).await, Err(BlobsError::TooLarge { .. })));
}

/// What is kept of a range that has these parts.
fn kept(seq: u32, hashes: &[ContentHash], only: Option<[u8; 32]>) -> Kept {
    Kept { tag: Tag::range(JobId(1), seq), hashes: hashes.to_vec(), only }
}

#[tokio::test]
async fn what_is_kept_for_one_is_served_to_nobody_else_until_it_is_released() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let one = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let other = Blobs::spawn(config(dirs[2].path(), 3)).await.unwrap();
    let a = Blobs::spawn(config(dirs[0].path(), 1)).await.unwrap();
    let part = a.put(bytes(70_000), &tag()).await.unwrap();
    let free = a.put(bytes(9), &tag()).await.unwrap();
    let all = a.put_sequence(&[part.hash, free.hash], &tag()).await.unwrap();
    a.keep(kept(0, &[part.hash, all], Some(one.contact().endpoint)));
    let bounds = SequenceBounds { max_total_bytes: 1 << 20, max_items: 10 };
    let brief = || Instant::now() + Duration::from_secs(2);
    let holders = [a.contact()];
    let error = other.get(part, &holders, &tag(), brief()).await.unwrap_err();
    assert!(error.is_temporary(), "as if it were not here: {error}");
    assert!(other.get_sequence(all, bounds, &holders, &tag(), brief()).await.is_err());
    assert!(!other.has(part.hash).await.unwrap());
    other.get(free, &holders, &tag(), soon()).await.unwrap();
    one.get_sequence(all, bounds, &holders, &tag(), soon()).await.unwrap();
    // After a restart it is kept from the first moment on, if need be from everybody.
    a.shutdown().await.unwrap();
    drop(a);
    let again =
        |only| Config { kept: vec![kept(0, &[part.hash, all], only)], ..config(dirs[0].path(), 1) };
    let a = Blobs::spawn(again(Some(one.contact().endpoint))).await.unwrap();
    assert!(other.get_sequence(all, bounds, &[a.contact()], &tag(), brief()).await.is_err());
    a.shutdown().await.unwrap();
    drop(a);
    let a = Blobs::spawn(again(None)).await.unwrap();
    let holders = [a.contact()];
    assert!(other.get(part, &holders, &tag(), brief()).await.is_err());
    a.release(&Tag::range(JobId(1), 0));
    other.get_sequence(all, bounds, &holders, &tag(), soon()).await.unwrap();
}

/// Whoever knows a part's hash could else ask for it between its arrival and the moment when the list is looked into.
#[tokio::test]
async fn parts_of_what_is_kept_are_kept_from_before_they_come_in() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Blobs::spawn(config(dirs[0].path(), 1)).await.unwrap();
    let client = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let other = Blobs::spawn(config(dirs[2].path(), 3)).await.unwrap();
    let part = a.put(bytes(70_000), &tag()).await.unwrap();
    let missing = ContentHash([7; 32]);
    let whole = a.put_sequence(&[part.hash], &tag()).await.unwrap();
    let torn = a.put_sequence(&[part.hash, missing], &tag()).await.unwrap();
    client.keep(kept(0, &[whole], None));
    client.keep(kept(1, &[torn], None));
    let bounds = SequenceBounds { max_total_bytes: 1 << 20, max_items: 10 };
    let brief = || Instant::now() + Duration::from_secs(2);
    let (holders, range) = ([a.contact()], |seq| Tag::range(JobId(1), seq));
    client.get_sequence(whole, bounds, &holders, &range(0), soon()).await.unwrap();
    assert!(client.is_kept(part.hash), "nobody has looked into the list");
    assert!(other.get(part, &[client.contact()], &tag(), brief()).await.is_err());
    // One that does not come in whole.
    assert!(!client.is_kept(missing));
    let (trying, holder, name) = (client.clone(), a.contact(), range(1));
    let trying = tokio::spawn(async move {
        trying.get_sequence(torn, bounds, &[holder], &name, soon()).await.is_err()
    });
    eventually("its parts are known", async || client.is_kept(missing)).await;
    trying.abort();
    client.release(&range(0));
    client.release(&range(1));
    assert!(!client.is_kept(part.hash) && !client.is_kept(missing));
    other.get(part, &[client.contact()], &tag(), soon()).await.unwrap();
    // What is kept under no name is everybody's.
    other.get_sequence(whole, bounds, &holders, &range(0), soon()).await.unwrap();
    assert!(!other.is_kept(part.hash));
}

#[tokio::test]
async fn what_is_found_at_the_start_is_nobodys_until_it_is_spared_once() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let other = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let start =
        async || Blobs::spawn(Config { keep_found: true, ..config(dirs[0].path(), 1) }).await;
    let a = start().await.unwrap();
    let file = a.put(bytes(20_000), &tag()).await.unwrap();
    let result = a.put(bytes(40_000), &Tag::range(JobId(1), 0)).await.unwrap();
    let list = a.put_sequence(&[result.hash], &Tag::range(JobId(1), 0)).await.unwrap();
    let all = [file.hash, result.hash, list];
    assert!(!all.iter().any(|hash| a.is_kept(*hash)), "what came in this life is not found");
    a.shutdown().await.unwrap();
    drop(a);

    let a = start().await.unwrap();
    assert!(all.iter().all(|hash| a.is_kept(*hash)));
    let brief = || Instant::now() + Duration::from_secs(2);
    let bounds = SequenceBounds { max_total_bytes: 1 << 20, max_items: 10 };
    let holders = [a.contact()];
    assert!(other.get(result, &holders, &tag(), brief()).await.is_err());
    assert!(other.get_sequence(list, bounds, &holders, &tag(), brief()).await.is_err());
    // Whoever knows that a range is decided does not know of everything that was found.
    a.release(&Tag::range(JobId(1), 0));
    assert!(a.is_kept(result.hash));
    a.spare([file.hash]);
    other.get(file, &holders, &tag(), soon()).await.unwrap();
    a.shutdown().await.unwrap();
    drop(a);

    let a = start().await.unwrap();
    assert!(!a.is_kept(file.hash), "it was spared in an earlier life");
    assert!(a.is_kept(result.hash) && a.is_kept(list));
    a.keep(kept(0, &[file.hash], None));
    assert!(!a.is_kept(file.hash), "no note of a range keeps what is a job's file as well");
}

#[tokio::test]
async fn a_planted_sequence_does_not_serve_what_is_kept() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Blobs::spawn(config(dirs[0].path(), 1)).await.unwrap();
    let client = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let secret = a.put(bytes(70_000), &tag()).await.unwrap();
    let list = a.put_sequence(&[secret.hash, secret.hash], &tag()).await.unwrap();
    a.keep(kept(0, &[secret.hash, list], Some(client.contact().endpoint)));
    let free = a.put(bytes(9), &tag()).await.unwrap();
    // More hashes than are read at a time before the one that matters.
    let many: Vec<_> = std::iter::repeat_n(free.hash, 5_000).chain([secret.hash]).collect();
    let innocent = a.put_sequence(&[free.hash, free.hash], &tag()).await.unwrap();
    let bounds = SequenceBounds { max_total_bytes: 1 << 30, max_items: 10_000 };
    let brief = || Instant::now() + Duration::from_secs(1);
    let holders = [a.contact()];
    for (n, parts) in [vec![secret.hash], vec![free.hash, list], many].into_iter().enumerate() {
        let planted = a.put_sequence(&parts, &tag()).await.unwrap();
        let dir = dirs[2].path().join(n.to_string());
        let other = Blobs::spawn(config(&dir, 3)).await.unwrap();
        assert!(other.get_sequence(planted, bounds, &holders, &tag(), brief()).await.is_err());
        // The list is here already: only parts are asked for.
        assert_eq!(other.put_sequence(&parts, &tag()).await.unwrap(), planted);
        assert!(other.get_sequence(planted, bounds, &holders, &tag(), brief()).await.is_err());
        for hash in [secret.hash, list] {
            assert!(!other.has(hash).await.unwrap(), "sequence {n}");
        }
        other.get_sequence(innocent, bounds, &holders, &tag(), soon()).await.unwrap();
        // For the one it is for it may come in any wrapping.
        if parts.len() < 10 {
            client.get_sequence(planted, bounds, &holders, &tag(), soon()).await.unwrap();
        }
    }
    assert!(client.has(secret.hash).await.unwrap());
}

#[tokio::test]
async fn a_wrong_size_is_refused_before_anything_is_stored() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let b = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let blob = a.put(bytes(500_000), &tag()).await.unwrap();
    for size in [0, 1, blob.size - 1, blob.size + 1, 1 << 40] {
        let wrong = ContentRef { size, ..blob };
        let started = Instant::now();
        let error = b.get(wrong, &[a.contact()], &tag(), soon()).await.unwrap_err();
        assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "nobody waits for another answer");
        assert!(!b.has(blob.hash).await.unwrap());
    }
    // The holder told the truth and is still good for the right request.
    b.get(blob, &[a.contact()], &tag(), soon()).await.unwrap();
    let wrong = ContentRef { size: 7, ..blob };
    let error = b.get(wrong, &[a.contact()], &tag(), soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { .. }), "also when it is here: {error}");
}

#[tokio::test]
async fn content_that_appears_later_is_found_and_what_never_comes_ends_at_the_deadline() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let b = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let content = bytes(40_000);
    let blob = ContentRef::of(&content);
    let holders = [b.contact(), a.contact()];
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = b.get(blob, &holders, &tag(), deadline).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(error.to_string().contains("does not have it"), "{error}");

    let put = async {
        eventually("the asker is connected", async || true).await;
        a.put(content.clone(), &tag()).await.unwrap();
    };
    let tag = tag();
    let (got, ()) = tokio::join!(b.get(blob, &holders, &tag, soon()), put);
    got.unwrap();

    let nobody = b.get(ContentRef::of(b"x"), &[], &tag, soon()).await.unwrap_err();
    assert!(nobody.to_string().contains("nobody is known"), "{nobody}");
}

#[tokio::test]
async fn a_dead_holder_only_costs_time() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let b = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let blob = a.put(bytes(100_000), &tag()).await.unwrap();
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let dead = Contact {
        endpoint: *iroh::SecretKey::from_bytes(&[77; 32]).public().as_bytes(),
        addresses: vec![silent.local_addr().unwrap()],
    };
    let nowhere = Contact { endpoint: [0xff; 32], addresses: Vec::new() };
    b.get(blob, &[nowhere, dead, a.contact()], &tag(), soon()).await.unwrap();
}

#[tokio::test]
async fn a_sequence_comes_whole_within_its_bounds() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let b = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    // With a repetition, an empty part, and parts that are already there.
    let contents = [bytes(70_000), bytes(10), bytes(0), bytes(70_000), bytes(33_000)];
    let parts = a.put_many(contents.clone(), &Tag::range(JobId(1), 0)).await.unwrap();
    assert_eq!(parts, contents.iter().map(|c| ContentRef::of(c)).collect::<Vec<_>>());
    let hashes: Vec<_> = parts.iter().map(|part| part.hash).collect();
    let sequence = a.put_sequence(&hashes, &Tag::range(JobId(1), 0)).await.unwrap();
    let total: u64 = parts.iter().map(|part| part.size).sum();
    let holders = [a.contact()];
    let tag = Tag::range(JobId(1), 0);

    let bounds = SequenceBounds { max_total_bytes: total - 1, max_items: 5 };
    let error = b.get_sequence(sequence, bounds, &holders, &tag, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
    let bounds = SequenceBounds { max_total_bytes: total, max_items: 4 };
    let error = b.get_sequence(sequence, bounds, &holders, &tag, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::NotASequence { .. }), "{error}");

    let bounds = SequenceBounds { max_total_bytes: total, max_items: 5 };
    b.get_sequence(sequence, bounds, &holders, &tag, soon()).await.unwrap();
    assert_eq!(b.read_sequence(sequence, 5).await.unwrap(), hashes);
    for (part, content) in parts.iter().zip(&contents) {
        assert_eq!(b.read(part.hash, part.size).await.unwrap(), content);
    }
    // Again, with everything here and nobody to ask.
    b.get_sequence(sequence, bounds, &[], &tag, soon()).await.unwrap();

    let not_a_list = a.put(bytes(33), &tag).await.unwrap();
    let error = b.get_sequence(not_a_list.hash, bounds, &holders, &tag, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::NotASequence { .. }), "{error}");
}

#[tokio::test]
async fn only_unpinned_content_is_collected() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), 1);
    config.limits.gc_interval = Duration::from_millis(50);
    let blobs = Blobs::spawn(config).await.unwrap();
    let (one, twelve) = (Tag::inputs(JobId(1)), Tag::inputs(JobId(12)));
    let kept = blobs.put(bytes(100_000), &twelve).await.unwrap();
    let shared = blobs.put(bytes(50_000), &twelve).await.unwrap();
    blobs.pin_also(shared.hash, &one).await.unwrap();
    let lost = blobs.put(bytes(60_000), &one).await.unwrap();
    let part = blobs.put(bytes(20_001), &Tag::range(JobId(12), 3)).await.unwrap();
    let sequence = blobs.put_sequence(&[part.hash], &twelve).await.unwrap();
    blobs.unpin(&Tag::range(JobId(12), 3)).await.unwrap();
    blobs.unpin(&Tag::job(JobId(1))).await.unwrap();
    eventually("the unpinned blob is gone", async || !blobs.has(lost.hash).await.unwrap()).await;
    for hash in [kept.hash, shared.hash, sequence, part.hash] {
        assert!(blobs.has(hash).await.unwrap());
    }
}

#[tokio::test]
async fn a_store_can_be_opened_again_after_it_was_closed_or_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let first = Blobs::spawn(config(dir.path(), 1)).await.unwrap();
    let blob = first.put(bytes(20_000), &tag()).await.unwrap();
    let contact = first.contact();
    first.shutdown().await.unwrap();
    drop(first);
    let second = Blobs::spawn(config(dir.path(), 1)).await.unwrap();
    assert_eq!(second.contact(), contact, "who remembers us finds us again");
    assert!(second.has(blob.hash).await.unwrap());

    let error = Blobs::spawn(config(dir.path(), 2)).await.unwrap_err();
    assert_eq!(error.problem().what, "the content store is in use", "{error}");

    drop(second);
    let third = Blobs::spawn(config(dir.path(), 1)).await.unwrap();
    assert_eq!(third.read(blob.hash, 20_000).await.unwrap(), bytes(20_000));
}

#[tokio::test]
async fn a_full_disk_is_said_before_anything_is_written() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let blob = a.put(bytes(100_000), &tag()).await.unwrap();
    let mut full = config(dirs.1.path(), 2);
    let stat = rustix::fs::statvfs(dirs.1.path()).unwrap();
    // Everything but 64 MiB is reserved, so that the tests' own files do not matter.
    full.limits.disk_reserve = (stat.f_bavail * stat.f_frsize).saturating_sub(64 << 20);
    let b = Blobs::spawn(full).await.unwrap();
    b.get(blob, &[a.contact()], &tag(), soon()).await.unwrap();
    let sparse = dirs.0.path().join("large");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let error = b.put_file(&sparse, &tag()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
    std::fs::File::create(&sparse).unwrap().set_len(8 << 30).unwrap();
    let error = b.put_file(&sparse, &tag()).await.unwrap_err();
    assert_eq!(error.problem().what, "the disk is full", "{error}");
    assert!(b.has(blob.hash).await.unwrap(), "the store goes on");
}

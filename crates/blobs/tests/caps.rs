//! Caps of the owner: bytes per second in both directions, bytes on disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::Path,
    time::{Duration, Instant},
};

use tilth_blobs::{Blobs, BlobsError, Config, Limits, Tag};
use tilth_protocol::JobId;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const RATE: u64 = 256 << 10;

async fn store(dir: &Path, key: u8, limits: Limits) -> Blobs {
    let config = Config::new(dir.join(key.to_string()), [key; 32], LOOPBACK);
    Blobs::spawn(Config { limits, ..config }).await.unwrap()
}

fn tag(job: u64) -> Tag {
    Tag::inputs(JobId(job))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Three quarters of a megabyte at a quarter per second: what may go at once and what the transport
/// holds on the way aside, that takes well over a second; without a cap it takes some hundredths.
async fn takes_its_time(giver: &Blobs, taker: &Blobs) {
    let bytes: Vec<u8> = (0..3 * RATE).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let blob = giver.put(bytes, &tag(1)).await.unwrap();
    let began = Instant::now();
    taker.get(blob, &[giver.contact()], &tag(1), soon()).await.unwrap();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_400), "{took:?}");
}

#[tokio::test]
async fn no_more_is_served_than_the_cap_allows() {
    let dir = tempfile::tempdir().unwrap();
    let capped = Limits { upload: NonZeroU64::new(RATE), ..Limits::default() };
    let giver = store(dir.path(), 1, capped).await;
    let taker = store(dir.path(), 2, Limits::default()).await;
    takes_its_time(&giver, &taker).await;
}

#[tokio::test]
async fn no_more_is_fetched_than_the_cap_allows() {
    let dir = tempfile::tempdir().unwrap();
    let capped = Limits { download: NonZeroU64::new(RATE), ..Limits::default() };
    let giver = store(dir.path(), 1, Limits::default()).await;
    let taker = store(dir.path(), 2, capped).await;
    takes_its_time(&giver, &taker).await;
}

#[tokio::test]
async fn two_who_fetch_at_once_share_the_cap() {
    let dir = tempfile::tempdir().unwrap();
    let capped = Limits { upload: NonZeroU64::new(RATE), ..Limits::default() };
    let giver = store(dir.path(), 1, capped).await;
    let (a, b) = (
        store(dir.path(), 2, Limits::default()).await,
        store(dir.path(), 3, Limits::default()).await,
    );
    let blob = giver.put(vec![7; 256 << 10], &tag(1)).await.unwrap();
    let holders = [giver.contact()];
    let began = Instant::now();
    let (tag_a, tag_b) = (tag(1), tag(1));
    let (one, other) =
        tokio::join!(a.get(blob, &holders, &tag_a, soon()), b.get(blob, &holders, &tag_b, soon()));
    one.unwrap();
    other.unwrap();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_400), "two seconds' worth in {took:?}");
}

#[tokio::test]
async fn the_cap_on_disk_holds_for_own_and_for_fetched_content_and_makes_room_again() {
    const MIB: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        store_bytes: Some(20 * MIB as u64),
        gc_interval: Duration::from_millis(200),
        ..Limits::default()
    };
    let small = store(dir.path(), 1, limits).await;
    let large = store(dir.path(), 2, Limits::default()).await;
    let kept = small.put(vec![1; 7 * MIB], &tag(1)).await.unwrap();
    let wanted = large.put(vec![2; 7 * MIB], &tag(1)).await.unwrap();
    small.get(wanted, &[large.contact()], &tag(2), soon()).await.unwrap();
    let full = small.put(vec![3; 7 * MIB], &tag(3)).await.unwrap_err();
    assert!(matches!(full, BlobsError::CapReached { .. }), "{full}");
    let more = large.put(vec![4; 7 * MIB], &tag(1)).await.unwrap();
    let full = small.get(more, &[large.contact()], &tag(3), soon()).await.unwrap_err();
    assert!(matches!(full, BlobsError::CapReached { .. }), "{full}");
    // What nobody pins any more goes, and then there is room.
    small.unpin(&tag(2)).await.unwrap();
    let deadline = soon();
    while small.get(more, &[large.contact()], &tag(3), soon()).await.is_err() {
        assert!(Instant::now() < deadline, "{} bytes stay", small.stored_bytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(small.has(kept.hash).await.unwrap() && !small.has(wanted.hash).await.unwrap());
}

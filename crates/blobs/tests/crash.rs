//! A store survives the kill of its process.
//!
//! The parent starts this same test program again as the victim, waits until it says what it synced,
//! kills it while it goes on writing, and opens the store itself.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tilth_blobs::{Blobs, Config, Limits, Tag};
use tilth_protocol::{ContentRef, JobId};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const VICTIM: &str = "TILTH_BLOBS_VICTIM_DIR";

fn config(dir: impl Into<std::path::PathBuf>, key: u8) -> Config {
    let limits = Limits { disk_reserve: 1 << 20, ..Limits::default() };
    Config { limits, ..Config::new(dir, [key; 32], LOOPBACK) }
}

fn content(number: u32) -> Bytes {
    // Small ones live in the database, larger ones in files of their own.
    let len = if number.is_multiple_of(2) { 3_000 } else { 100_000 };
    (0..len)
        .map(|index: u32| (index.wrapping_mul(97) ^ number.wrapping_mul(31)).to_le_bytes()[0])
        .collect()
}

/// Runs only inside the process that gets killed.
#[tokio::test]
#[ignore = "the child that a test kills: cargo nextest run --release -p tilth-blobs a_killed_store_still_has_what_was_synced"]
async fn victim() {
    let dir = std::env::var(VICTIM).expect("the folder is given by the parent");
    let blobs = Blobs::spawn(config(dir, 1)).await.unwrap();
    let tag = Tag::inputs(JobId(1));
    let mut hashes = Vec::new();
    for number in 0..20 {
        hashes.push(blobs.put(content(number), &tag).await.unwrap().hash);
    }
    blobs.put_sequence(&hashes, &tag).await.unwrap();
    blobs.sync().await.unwrap();
    println!("\nSYNCED");
    for number in 20.. {
        blobs.put(content(number), &tag).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_store_still_has_what_was_synced() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .env(VICTIM, dirs.0.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let synced =
        BufReader::new(victim.stdout.take().unwrap()).lines().any(|line| line.unwrap() == "SYNCED");
    assert!(synced, "the victim ended early");
    victim.kill().unwrap();
    victim.wait().unwrap();

    let again = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let other = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let tag = Tag::inputs(JobId(1));
    let deadline = Instant::now() + Duration::from_secs(20);
    for number in 0..20 {
        let expected = content(number);
        let blob = ContentRef::of(&expected);
        other.get(blob, &[again.contact()], &tag, deadline).await.unwrap();
        assert_eq!(other.read(blob.hash, blob.size).await.unwrap(), expected);
    }
    // It goes on working after the crash, also for what was half-written.
    for number in 20..60 {
        let blob = again.put(content(number), &tag).await.unwrap();
        assert_eq!(again.read(blob.hash, blob.size).await.unwrap(), content(number));
    }
}

//! Single pieces of content, from one holder each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{
    fs::{File, OpenOptions},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tilth_blobs::{Answer, Blobs, BlobsError, Config, Kept, Limits, PIECE_BYTES, Tag};
use tilth_protocol::{Contact, ContentHash, ContentRef, JobId};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Sixty-one pieces and a bit.
const SIZE: usize = 61 * 16_384 + 577;

fn config(dir: &Path, key: u8) -> Config {
    let gc_interval = Duration::from_millis(50);
    let limits = Limits { disk_reserve: 1 << 20, gc_interval, ..Limits::default() };
    Config { limits, ..Config::new(dir, [key; 32], LOOPBACK) }
}

async fn store(dir: &Path, key: u8) -> Blobs {
    Blobs::spawn(config(dir, key)).await.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn tag() -> Tag {
    Tag::range(JobId(1), 0)
}

/// Bytes that differ everywhere, so that no two pieces are alike.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn piece_of(content: &[u8], piece: usize) -> &[u8] {
    let from = piece * 16_384;
    &content[from..content.len().min(from + 16_384)]
}

#[tokio::test]
async fn every_piece_comes_as_it_is_and_nothing_of_it_stays() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (holder, asker) = (store(dirs.0.path(), 1).await, store(dirs.1.path(), 2).await);
    let contact = holder.contact();
    assert_eq!(PIECE_BYTES, 16_384);
    for len in [1, 16_383, 16_384, 16_385, 40_000, SIZE] {
        let content = bytes(len);
        let blob = holder.put(content.clone(), &tag()).await.unwrap();
        let pieces = len.div_ceil(16_384);
        for piece in [0, pieces / 2, pieces - 1] {
            let got = asker.get_piece(blob, piece as u64, &contact, soon()).await.unwrap();
            assert_eq!(got, piece_of(&content, piece), "piece {piece} of {len} bytes");
            assert!(holder.has_piece(blob, piece as u64).await.unwrap());
            assert!(!asker.has_piece(blob, piece as u64).await.unwrap());
        }
        // There is no such piece.
        for piece in [pieces as u64, u64::MAX] {
            let error = asker.get_piece(blob, piece, &contact, soon()).await.unwrap_err();
            assert!(error.to_string().contains("no piece"), "{error}");
            assert!(!holder.has_piece(blob, piece).await.unwrap());
        }
        // The whole, as it is, and no more than is wanted.
        let max = blob.size;
        assert_eq!(asker.peek(blob.hash, max, &contact, soon()).await.unwrap(), content);
        let error = asker.peek(blob.hash, max - 1, &contact, soon()).await.unwrap_err();
        assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
        // It has another size than is said.
        let wrong = ContentRef { size: blob.size + 1, ..blob };
        let error = asker.get_piece(wrong, 0, &contact, soon()).await.unwrap_err();
        assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
        assert!(!holder.has_piece(wrong, 0).await.unwrap());
        assert!(!asker.has(blob.hash).await.unwrap());
    }
    let nothing = holder.put(Vec::new(), &tag()).await.unwrap();
    assert!(asker.peek(nothing.hash, 0, &contact, soon()).await.unwrap().is_empty());
    assert!(asker.get_piece(nothing, 0, &contact, soon()).await.is_err());
}

/// Waits until content is gone from a store.
async fn gone(store: &Blobs, hash: ContentHash) {
    let deadline = soon();
    while store.has(hash).await.unwrap() {
        assert!(Instant::now() < deadline, "what nobody pins stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_has_deleted_it_or_keeps_it_for_another_serves_no_piece() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (holder, asker) = (store(dirs.0.path(), 1).await, store(dirs.1.path(), 2).await);
    let contact = holder.contact();
    let blob = holder.put(bytes(SIZE), &tag()).await.unwrap();
    asker.get_piece(blob, 9, &contact, soon()).await.unwrap();
    holder.keep(Kept { tag: tag(), hashes: vec![blob.hash], only: None });
    let error = asker.get_piece(blob, 9, &contact, soon()).await.unwrap_err();
    assert!(error.to_string().contains("does not have it"), "{error}");
    assert!(matches!(error, BlobsError::NotServed { answer: Answer::Other, .. }), "{error}");
    holder.release(&tag());
    asker.get_piece(blob, 9, &contact, soon()).await.unwrap();

    holder.unpin(&tag()).await.unwrap();
    gone(&holder, blob.hash).await;
    let error = asker.get_piece(blob, 9, &contact, soon()).await.unwrap_err();
    assert!(error.to_string().contains("does not have it"), "{error}");
    assert!(!holder.has_piece(blob, 9).await.unwrap());
    // That is an answer. Who is gone, or has no address, gives none.
    let nobody = Contact { endpoint: [9; 32], addresses: Vec::new() };
    let error = asker.get_piece(blob, 9, &nobody, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::NotServed { answer: Answer::None, .. }), "{error}");
    holder.shutdown().await.unwrap();
    drop(holder);
    let deadline = soon();
    let error = loop {
        let error = asker.get_piece(blob, 9, &contact, soon()).await.unwrap_err();
        if matches!(error, BlobsError::NotServed { answer: Answer::None, .. }) {
            break error;
        }
        assert!(Instant::now() < deadline, "{error}");
    };
    assert!(error.is_temporary(), "{error}");
    assert!(!error.problem().advice.is_empty());
}

/// The file in which a store has a blob.
fn file_of(dir: &Path, blob: ContentRef) -> PathBuf {
    let path = dir.join("data").join(format!("{}.data", blob.hash));
    assert_eq!(File::open(&path).unwrap().metadata().unwrap().len(), blob.size);
    path
}

#[tokio::test]
async fn a_piece_that_the_disk_has_spoiled_is_not_served_and_the_others_are() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let asker = store(dirs.1.path(), 2).await;
    let content = bytes(SIZE);
    let holder = store(dirs.0.path(), 1).await;
    let blob = holder.put(content.clone(), &tag()).await.unwrap();
    holder.shutdown().await.unwrap();
    drop(holder);
    let file = OpenOptions::new().write(true).open(file_of(dirs.0.path(), blob)).unwrap();
    file.write_all_at(&[!content[9 * 16_384 + 5]], 9 * 16_384 + 5).unwrap();
    drop(file);
    let holder = store(dirs.0.path(), 1).await;
    let contact = holder.contact();
    assert!(holder.has(blob.hash).await.unwrap(), "it thinks that it has it");
    for piece in [8, 10, 61] {
        let got = asker.get_piece(blob, piece as u64, &contact, soon()).await.unwrap();
        assert_eq!(got, piece_of(&content, piece));
        assert!(holder.has_piece(blob, piece as u64).await.unwrap());
    }
    asker.get_piece(blob, 9, &contact, soon()).await.unwrap_err();
    assert!(!holder.has_piece(blob, 9).await.unwrap());
}

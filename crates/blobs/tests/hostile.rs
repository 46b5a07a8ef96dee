//! Holders that lie, stand still, or are overrun.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{Connection, QuicTransportConfig, presets},
    protocol::{AcceptError, ProtocolHandler, Router},
};
use tilth_blobs::{
    Answer, Blobs, BlobsError, Config, Limits, Line, SequenceBounds, Tag, Talk, TalkError,
};
use tilth_protocol::{Contact, ContentRef, JobId};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Answers every request with the same bytes, then keeps the stream open or ends it.
#[derive(Clone, Debug)]
struct Liar {
    answer: Vec<u8>,
    stand_still: bool,
}

impl ProtocolHandler for Liar {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let mut open = Vec::new();
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let _ = receive.read_to_end(1 << 20).await;
            let _ = send.write_all(&self.answer).await;
            if self.stand_still {
                open.push(send);
            } else {
                let _ = send.finish();
            }
        }
        Ok(())
    }
}

async fn serve(liar: Liar, key: u8) -> (Router, Contact) {
    serve_streams(liar, key, 100).await
}

/// As [`serve`], with so many streams at the same time.
async fn serve_streams(liar: Liar, key: u8, streams: u32) -> (Router, Contact) {
    let transport =
        QuicTransportConfig::builder().max_concurrent_bidi_streams(streams.into()).build();
    let endpoint = Endpoint::builder(presets::Minimal)
        .transport_config(transport)
        .secret_key(SecretKey::from_bytes(&[key; 32]))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr(LOOPBACK)
        .unwrap()
        .bind()
        .await
        .unwrap();
    let contact =
        Contact { endpoint: *endpoint.id().as_bytes(), addresses: endpoint.bound_sockets() };
    (Router::builder(endpoint).accept(iroh_blobs::ALPN, liar).spawn(), contact)
}

fn config(dir: &Path, key: u8) -> Config {
    let limits =
        Limits { disk_reserve: 1 << 20, stall: Duration::from_millis(300), ..Limits::default() };
    Config { limits, ..Config::new(dir, [key; 32], LOOPBACK) }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// An answer: announced size, then bytes.
fn answer(size: u64, bytes: &[u8]) -> Vec<u8> {
    [&size.to_le_bytes(), bytes].concat()
}

#[tokio::test]
async fn wrong_bytes_are_not_stored_and_the_liar_is_not_asked_again() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tag = Tag::inputs(JobId(1));
    let honest = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let asker = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let content = vec![7_u8; 10_000];
    let blob = honest.put(content, &tag).await.unwrap();
    let lie = Liar { answer: answer(blob.size, &vec![8; 10_000]), stand_still: false };
    let (_router, liar) = serve(lie, 3).await;

    let error = asker.get(blob, std::slice::from_ref(&liar), &tag, soon()).await.unwrap_err();
    assert!(error.to_string().contains("wrong bytes"), "{error}");
    assert!(!asker.has(blob.hash).await.unwrap());
    // Remembered: not even dialled now, so the answer comes at once.
    let error = asker.get(blob, std::slice::from_ref(&liar), &tag, soon()).await.unwrap_err();
    assert!(error.to_string().contains("nobody answered"), "{error}");
    // Next to an honest holder the liar does no harm.
    asker.get(blob, &[liar, honest.contact()], &tag, soon()).await.unwrap();
    assert_eq!(asker.read(blob.hash, blob.size).await.unwrap(), vec![7_u8; 10_000]);
}

#[tokio::test]
async fn an_announced_flood_is_not_received() {
    let dir = tempfile::tempdir().unwrap();
    let tag = Tag::inputs(JobId(1));
    let asker = Blobs::spawn(config(dir.path(), 2)).await.unwrap();
    let flood = Liar { answer: answer(1 << 50, &vec![0; 1 << 20]), stand_still: false };
    let (_router, liar) = serve(flood, 3).await;
    let holders = [liar];
    let blob = ContentRef::of(&[1; 1000]);
    let error = asker.get(blob, &holders, &tag, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { .. }), "{error}");
    let bounds = SequenceBounds { max_total_bytes: 1 << 20, max_items: 1000 };
    let error = asker.get_sequence(blob.hash, bounds, &holders, &tag, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::NotASequence { .. }), "{error}");
    let stored: u64 = std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_piece_that_is_another_one_is_refused_and_one_that_does_not_come_has_an_end() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut patient = config(dirs.0.path(), 2);
    patient.limits.stall = Duration::from_secs(60);
    let asker = Blobs::spawn(patient).await.unwrap();
    let blob = ContentRef::of(&[7; 10_000]);
    let lie = Liar { answer: answer(blob.size, &[8; 10_000]), stand_still: false };
    let (_router, liar) = serve(lie, 3).await;
    // As often as it is asked: whoever asks for a piece wants to know about this holder.
    for _ in 0..2 {
        let error = asker.get_piece(blob, 0, &liar, soon()).await.unwrap_err();
        assert!(error.to_string().contains("wrong bytes"), "{error}");
        let error = asker.peek(blob.hash, blob.size, &liar, soon()).await.unwrap_err();
        assert!(error.to_string().contains("wrong bytes"), "{error}");
    }
    // As much as it likes to send.
    let flood = Liar { answer: answer(1 << 50, &vec![0; 1 << 20]), stand_still: true };
    let (_flooding, flood) = serve(flood, 4).await;
    let error = asker.get_piece(blob, 0, &flood, soon()).await.unwrap_err();
    assert!(matches!(error, BlobsError::TooLarge { size, .. } if size == 1 << 50), "{error}");
    let still = Liar { answer: answer(blob.size, &[7; 5_000]), stand_still: true };
    let (_standing, still) = serve(still, 5).await;
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = asker.get_piece(blob, 0, &still, deadline).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(!asker.has(blob.hash).await.unwrap());
    // Who is given much time for much is not given it for standing still.
    let asker = Blobs::spawn(config(dirs.1.path(), 6)).await.unwrap();
    let error = asker.peek(blob.hash, blob.size, &still, soon()).await.unwrap_err();
    let BlobsError::NotServed { answer, detail, .. } = &error else { panic!("{error}") };
    assert_eq!(*answer, Answer::Broken, "{detail}");
    assert!(detail.contains("nothing came"), "{detail}");
}

#[tokio::test]
async fn a_holder_that_stands_still_is_left_for_another() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tag = Tag::inputs(JobId(1));
    let honest = Blobs::spawn(config(dirs.0.path(), 1)).await.unwrap();
    let asker = Blobs::spawn(config(dirs.1.path(), 2)).await.unwrap();
    let blob = honest.put(vec![7_u8; 100_000], &tag).await.unwrap();
    let (_router, still) = serve(Liar { answer: answer(100_000, &[]), stand_still: true }, 3).await;
    asker.get(blob, &[still, honest.contact()], &tag, soon()).await.unwrap();
    assert!(asker.has(blob.hash).await.unwrap());
}

#[tokio::test]
async fn more_connections_than_places_are_turned_away_until_there_is_room() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let tag = Tag::inputs(JobId(1));
    let mut small = config(dirs[0].path(), 1);
    small.limits.max_connections = 1;
    let holder = Blobs::spawn(small).await.unwrap();
    let blob = holder.put(vec![7_u8; 100_000], &tag).await.unwrap();
    let first = Blobs::spawn(config(dirs[1].path(), 2)).await.unwrap();
    let second = Blobs::spawn(config(dirs[2].path(), 3)).await.unwrap();
    let holders = [holder.contact()];
    first.get(blob, &holders, &tag, soon()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = second.get(blob, &holders, &tag, deadline).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    // Who looks at it learns that it is to come again.
    let deadline = soon();
    loop {
        let error = second.get_piece(blob, 0, &holders[0], soon()).await.unwrap_err();
        if matches!(error, BlobsError::NotServed { answer: Answer::Busy, .. }) {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
    }
    first.shutdown().await.unwrap();
    second.get(blob, &holders, &tag, soon()).await.unwrap();
    // And does not stay in the place of another.
    let _ = second.get_piece(blob, 0, &holders[0], soon()).await;
    assert!(second.route(&holders[0].endpoint).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_call_and_lets_nobody_begin_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::spawn(config(dir.path(), 60)).await.unwrap();
    let (_router, contact) = serve_streams(Liar { answer: vec![], stand_still: true }, 61, 0).await;
    let called = blobs.call(&contact, iroh_blobs::ALPN);
    let called = tokio::time::timeout(Duration::from_secs(30), called).await;
    let error = called.expect("a call has an end").unwrap_err();
    assert!(matches!(error, TalkError::Silent(_)), "{error:?}");
}

const ALPN: &[u8] = b"tilth/test/1";
const PATIENCE: Duration = Duration::from_secs(20);

/// An endpoint that answers four calls at once, and where they come in.
async fn answering(dir: &Path, key: u8) -> (Blobs, tokio::sync::mpsc::Receiver<Talk>) {
    let (ring, calls) = tokio::sync::mpsc::channel(4);
    let mut config = config(dir, key);
    config.lines = vec![Line { alpn: ALPN, most: 4, calls: ring }];
    (Blobs::spawn(config).await.unwrap(), calls)
}

/// Calls and says something; both ends.
async fn connected(
    caller: &Blobs,
    contact: &Contact,
    calls: &mut tokio::sync::mpsc::Receiver<Talk>,
) -> (Talk, Talk) {
    let mut call = caller.call(contact, ALPN).await.unwrap();
    call.say(&[7; 10], PATIENCE).await.unwrap();
    let talk = tokio::time::timeout(PATIENCE, calls.recv()).await;
    (call, talk.expect("the call comes in").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_longer_than_allowed_ends_the_talk_before_it_is_read() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (holder, mut calls) = answering(dirs.0.path(), 62).await;
    let caller = Blobs::spawn(config(dirs.1.path(), 63)).await.unwrap();
    let (mut call, mut talk) = connected(&caller, &holder.contact(), &mut calls).await;
    assert_eq!(talk.hear(10, PATIENCE).await.unwrap(), [7; 10]);
    call.say(&[7; 11], PATIENCE).await.unwrap();
    let refused = talk.hear(10, PATIENCE).await;
    assert_eq!(refused, Err(TalkError::TooLong { length: 11, most: 10 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_does_not_take_the_last_place_of_a_line() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let (holder, mut calls) = answering(dirs[0].path(), 64).await;
    let many = Blobs::spawn(config(dirs[1].path(), 65)).await.unwrap();
    let other = Blobs::spawn(config(dirs[2].path(), 66)).await.unwrap();
    let contact = holder.contact();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connected(&many, &contact, &mut calls).await);
    }
    let fourth = async {
        let mut call = many.call(&contact, ALPN).await?;
        call.say(&[7; 10], PATIENCE).await?;
        call.hear(10, PATIENCE).await
    };
    let refused = fourth.await.unwrap_err();
    assert!(!matches!(refused, TalkError::Silent(_)), "{refused}");
    held.push(connected(&other, &contact, &mut calls).await);
    assert_eq!(held.last().unwrap().1.remote(), other.contact().endpoint);
    // A place that is given back is anybody's.
    drop(held.remove(0));
    let deadline = soon();
    loop {
        let mut call = many.call(&contact, ALPN).await.unwrap();
        let said = call.say(&[7; 10], PATIENCE).await;
        let taken = tokio::time::timeout(Duration::from_millis(500), calls.recv()).await;
        if said.is_ok() && taken.is_ok_and(|talk| talk.is_some()) {
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken");
    }
}

//! Endpoints that share no address meet through a relay, and only through one they were told of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tilth_blobs::{Blobs, Config, Relays, Route, Tag};
use tilth_protocol::{Contact, JobId};
use tilth_relay::{Access, Door, Identity, Limits, Relay};

const LOOPBACK: &str = "127.0.0.1:0";

fn config(door: Door, access: Access) -> tilth_relay::Config {
    let listen = LOOPBACK.parse().unwrap();
    tilth_relay::Config { listen, door, access, limits: Limits::default() }
}

async fn relay(identity: Identity) -> Relay {
    Relay::spawn(config(Door::Secure(identity), Access::Everyone)).await.unwrap()
}

async fn store(dir: &Path, key: u8, relays: Relays) -> Blobs {
    let config = Config::new(dir.join(key.to_string()), [key; 32], LOOPBACK.parse().unwrap());
    Blobs::spawn(Config { relays, ..config }).await.unwrap()
}

/// Who somebody is, without where.
fn without_addresses(blobs: &Blobs) -> Contact {
    Contact { addresses: Vec::new(), ..blobs.contact() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn peers_without_addresses_meet_at_the_relay_they_share() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::own(&dir.path().join("relay"), &["127.0.0.1".into()]).unwrap();
    let certificate = std::fs::read(&identity.certificate).unwrap();
    let relay = relay(identity).await;
    let url = relay.url("127.0.0.1");
    let relays = Relays::new(&[&url], Some(&certificate)).unwrap();
    let a = store(dir.path(), 1, relays.clone()).await;
    let b = store(dir.path(), 2, relays).await;
    let tag = Tag::inputs(JobId(1));
    let blob = a.put(vec![7; 300_000], &tag).await.unwrap();
    b.get(blob, &[without_addresses(&a)], &tag, soon()).await.unwrap();
    assert!(relay.traffic().sent_bytes > 0, "{:?}", relay.traffic());
    // Both are on one machine, so in the end they need the relay no more.
    let deadline = soon();
    while !matches!(b.route(&a.contact().endpoint), Some(Route::Direct(_))) {
        assert!(Instant::now() < deadline, "{:?}", b.route(&a.contact().endpoint));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Somebody with no relay cannot find them without an address, and says so.
    let c = store(dir.path(), 3, Relays::default()).await;
    let a_moment = Instant::now() + Duration::from_secs(1);
    let error = c.get(blob, &[without_addresses(&a)], &tag, a_moment).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no relay is configured"), "{error}");
    c.get(blob, &[a.contact()], &tag, soon()).await.unwrap();
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_whose_certificate_nobody_vouches_for_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::own(&dir.path().join("relay"), &["127.0.0.1".into()]).unwrap();
    assert_eq!(Identity::own(&dir.path().join("relay"), &[]).unwrap(), identity);
    let relay = relay(identity).await;
    let relays = Relays::new(&[relay.url("127.0.0.1")], None).unwrap();
    let a = store(dir.path(), 1, relays).await;
    assert_eq!(relay.traffic(), tilth_relay::Traffic::default());
    drop(a);
    assert!(Identity::own(&dir.path().join("other"), &[]).is_err());
    let nowhere = Identity { certificate: "/no/such".into(), key: "/no/such".into() };
    let config = config(Door::Secure(nowhere), Access::Everyone);
    let problem = Relay::spawn(config).await.unwrap_err().problem();
    assert!(problem.detail.contains("/no/such"), "{problem}");
}

/// Waits until a transfer through a relay that was refused before goes well.
async fn fetch(to: &Blobs, blob: tilth_protocol::ContentRef, from: &Blobs) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(3);
    let got = to.get(blob, &[without_addresses(from)], &Tag::inputs(JobId(1)), until).await;
    got.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn only_those_on_the_list_meet() {
    let dir = tempfile::tempdir().unwrap();
    // The keys that the three stores below have.
    let key = |n: u8| *iroh_base::SecretKey::from_bytes(&[n; 32]).public().as_bytes();
    let access = Access::Listed(vec![key(1), key(2)]);
    let plain = Door::Plain { discovery: None };
    let relay = Relay::spawn(config(plain, access)).await.unwrap();
    let relays = Relays::new(&[relay.url("127.0.0.1")], None).unwrap();
    let a = store(dir.path(), 1, relays.clone()).await;
    let b = store(dir.path(), 2, relays.clone()).await;
    let c = store(dir.path(), 3, relays).await;
    assert_eq!([a.contact().endpoint, c.contact().endpoint], [key(1), key(3)]);
    let blob = a.put(vec![7; 300_000], &Tag::inputs(JobId(1))).await.unwrap();
    b.get(blob, &[without_addresses(&a)], &Tag::inputs(JobId(1)), soon()).await.unwrap();
    fetch(&c, blob, &a).await.unwrap_err();
    let registry = tilth_service::Registry::new();
    relay.measure(&registry);
    let measured = registry.render();
    let value = |name: &str| -> f64 {
        let line = measured.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {measured}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("tilth_relay_refused_total{reason=\"stranger\"}") >= 1.0, "{measured}");
    assert!(value("tilth_relay_sent_bytes_total") > 0.0, "{measured}");
    assert_eq!(value("tilth_relay_endpoints"), 2.0, "{measured}");
    assert!(relay.readiness()().is_empty());
    relay.stop().await;
    let error = tilth_relay::endpoint_key("nobody").unwrap_err();
    assert!(error.problem().advice.contains("hexadecimal"), "{error}");
}

#[tokio::test]
async fn a_relay_of_a_network_that_cannot_be_read_admits_nobody() {
    let dir = tempfile::tempdir().unwrap();
    // Bound and dropped, so that nobody answers there.
    let socket = std::net::TcpListener::bind(LOOPBACK).unwrap();
    let rpc_url = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    let network = tilth_client::Network {
        rpc_url,
        chain_id: 1,
        contracts: tilth_contracts::Addresses::predeployed().into(),
        first_block: 0,
        wraps_native: true,
        confirmations: 0,
    };
    let (keep_clients, outage) = (Duration::from_secs(60), Duration::from_secs(60));
    let rule = tilth_relay::NetworkRule { network, least_stake: 0, keep_clients, outage };
    let access = Access::Network(Box::new(rule));
    let relay = Relay::spawn(config(Door::Plain { discovery: None }, access)).await.unwrap();
    let relays = Relays::new(&[relay.url("127.0.0.1")], None).unwrap();
    let a = store(dir.path(), 1, relays.clone()).await;
    let b = store(dir.path(), 2, relays).await;
    let blob = a.put(vec![7; 300_000], &Tag::inputs(JobId(1))).await.unwrap();
    fetch(&b, blob, &a).await.unwrap_err();
    assert_eq!(relay.readiness()().len(), 1);
    let registry = tilth_service::Registry::new();
    relay.measure(&registry);
    assert!(registry.render().contains("tilth_relay_connections 0\n"), "{}", registry.render());
}

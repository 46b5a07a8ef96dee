//! Machines behind routers: they meet at the relay, reach each other directly where their routers allow
//! it, and stay on the relay where they do not. Routers are made of network namespaces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod figures;
mod ground;
mod jobs;
#[path = "../it/net.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod net;
mod people;
mod roaming;
#[path = "../faults/space.rs"]
#[allow(dead_code, reason = "the fault runner uses more of it")]
mod space;

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use tilth_blobs::{Relays, Route};

use ground::{Ground, Router, STREET_ADDRESS};
use people::{PATIENCE, Person, Station, is_direct, is_relayed, two_homes};

/// Size of a blob: many times what meeting costs.
const PART: usize = 2_000_000;

#[test]
fn two_homes_meet_at_the_relay_and_then_talk_directly() {
    let Some(mut ground) = Ground::new("two_homes_meet_at_the_relay_and_then_talk_directly") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, [Router::Cone; 2], dir.path());
    let addresses = &holder.contact.addresses;
    assert!(
        addresses.iter().all(|address| address.ip().to_string().starts_with("192.168.1.")),
        "it can announce nothing that others could dial: {addresses:?}"
    );
    let (first, second) = (holder.put(1, PART), holder.put(2, PART));
    reader.get(first, 1, &holder, PATIENCE).unwrap();
    assert!(station.passed_on() > 0, "they met at the relay");
    // The router's address. Each end finds the way for itself: the one that sends may be later.
    reader.get_directly(&holder, &station, &Ground::outside(1));
    let before = station.passed_on();
    reader.get(second, 2, &holder, PATIENCE).unwrap();
    assert!(reader.route(&holder).is_some_and(|route| is_direct(&route)));
    let after = station.passed_on();
    assert!(after - before < PART as u64 / 10, "{} bytes more went over the relay", after - before);
}

#[test]
fn behind_routers_that_hide_their_ports_everything_goes_over_the_relay() {
    const TEST: &str = "behind_routers_that_hide_their_ports_everything_goes_over_the_relay";
    over_the_relay(TEST, [Router::Symmetric, Router::Symmetric]);
}

#[test]
fn where_udp_does_not_get_out_everything_goes_over_the_relay() {
    const TEST: &str = "where_udp_does_not_get_out_everything_goes_over_the_relay";
    over_the_relay(TEST, [Router::NoUdp, Router::Cone]);
}

fn over_the_relay(test: &str, routers: [Router; 2]) {
    let Some(mut ground) = Ground::new(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, routers, dir.path());
    for byte in 1..=2 {
        reader.get(holder.put(byte, PART), byte, &holder, PATIENCE).unwrap();
    }
    let route = reader.route_like(&holder, is_relayed);
    assert!(matches!(&route, Route::Relayed(url) if url.contains(STREET_ADDRESS)), "{route:?}");
    let passed_on = station.passed_on();
    assert!(passed_on > 2 * PART as u64, "{passed_on} bytes went over the relay");
}

#[test]
fn a_public_address_needs_no_relay() {
    let Some(mut ground) = Ground::new("a_public_address_needs_no_relay") else { return };
    let dir = tempfile::tempdir().unwrap();
    ground.villa();
    ground.home(2, Router::Symmetric);
    let holder = Person::settle(&ground, "villa", dir.path(), 1, &Relays::default());
    let reader = Person::settle(&ground, "home2", dir.path(), 2, &Relays::default());
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    let Route::Direct(address) = reader.route_like(&holder, is_direct) else { unreachable!() };
    assert_eq!(address.ip().to_string(), Ground::villa_address());
}

#[test]
fn a_relay_is_left_out_where_an_address_is_public() {
    let Some(mut ground) = Ground::new("a_relay_is_left_out_where_an_address_is_public") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    ground.villa();
    ground.home(2, Router::Symmetric);
    let station = Station::open(&ground, dir.path());
    let holder = Person::settle(&ground, "villa", dir.path(), 1, &station.relays);
    let reader = Person::settle(&ground, "home2", dir.path(), 2, &station.relays);
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    reader.get_directly(&holder, &station, &Ground::villa_address());
    let before = station.passed_on();
    reader.get(holder.put(2, PART), 2, &holder, PATIENCE).unwrap();
    let passed_on = station.passed_on() - before;
    assert!(passed_on < PART as u64 / 10, "{passed_on} bytes went over the relay");
}

#[test]
fn a_relay_takes_no_more_than_its_rate() {
    let Some(mut ground) = Ground::new("a_relay_takes_no_more_than_its_rate") else { return };
    const RATE: u32 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    ground.home(1, Router::Symmetric);
    ground.home(2, Router::Symmetric);
    let station = Station::open_slow(&ground, dir.path(), NonZeroU32::new(RATE).unwrap());
    let holder = Person::settle(&ground, "home1", dir.path(), 1, &station.relays);
    let reader = Person::settle(&ground, "home2", dir.path(), 2, &station.relays);
    let blob = holder.put(1, PART);
    let (began, before) = (Instant::now(), station.taken());
    reader.get(blob, 1, &holder, PATIENCE).unwrap();
    let taken = station.taken() - before;
    assert!(taken > PART as u64, "all of it went over the relay");
    // Both ends send: the content one way, what was received the other. What a bucket holds goes at once.
    let most = 2.0 * f64::from(RATE) * (began.elapsed().as_secs_f64() + 1.0);
    let bytes = u32::try_from(taken).map(f64::from).unwrap();
    assert!(bytes < most, "{taken} bytes in {:?}", began.elapsed());
    let least =
        Duration::from_secs_f64((f64::from(u32::try_from(PART).unwrap()) / f64::from(RATE)) - 1.5);
    assert!(began.elapsed() > least, "{:?}", began.elapsed());
}

//! What changes while people talk: the relay dies, addresses become others.

use std::time::{Duration, Instant};

use crate::{
    PART,
    ground::{Ground, Router},
    people::{PATIENCE, Station, is_direct, is_relayed, two_homes},
};

#[test]
fn a_relay_that_dies_takes_no_direct_connection_with_it() {
    let Some(mut ground) = Ground::new("a_relay_that_dies_takes_no_direct_connection_with_it")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, [Router::Cone; 2], dir.path());
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    reader.route_like(&holder, is_direct);
    station.kill();
    for byte in 2..5 {
        reader.get(holder.put(byte, PART), byte, &holder, PATIENCE).unwrap();
    }
    let route = reader.route(&holder);
    assert!(route.as_ref().is_some_and(is_direct), "{route:?}");
}

#[test]
fn a_relayed_connection_recovers_when_its_relay_is_back() {
    let Some(mut ground) = Ground::new("a_relayed_connection_recovers_when_its_relay_is_back")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, [Router::Symmetric; 2], dir.path());
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    reader.route_like(&holder, is_relayed);
    let address = station.kill();
    let second = holder.put(2, PART);
    reader.get(second, 2, &holder, Duration::from_secs(2)).unwrap_err();
    let station = Station::reopen(&ground, dir.path(), address);
    reader.get(second, 2, &holder, PATIENCE).unwrap();
    reader.route_like(&holder, is_relayed);
    assert!(station.passed_on() > PART as u64);
}

#[test]
fn a_home_with_another_public_address_is_found_again() {
    roam("a_home_with_another_public_address_is_found_again", |ground| ground.readdress(1, 40));
}

#[test]
fn a_machine_with_another_address_at_home_is_found_again() {
    roam("a_machine_with_another_address_at_home_is_found_again", |ground| {
        ground.move_within(1, 2, 7);
    });
}

/// Two homes talk directly; something changes at the first; they talk again, and directly in the end.
fn roam(test: &str, change: impl FnOnce(&Ground)) {
    let Some(mut ground) = Ground::new(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, [Router::Cone; 2], dir.path());
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    reader.route_like(&holder, is_direct);
    change(&ground);
    reader.get(holder.put(2, PART), 2, &holder, PATIENCE).unwrap();
    // The direct way that is named may be the one from before: what the relay has not passed on went another.
    let deadline = Instant::now() + PATIENCE;
    for byte in 3..=u8::MAX {
        let before = station.passed_on();
        reader.get(holder.put(byte, PART), byte, &holder, PATIENCE).unwrap();
        let relayed = station.passed_on() - before;
        let route = reader.route_like(&holder, |_| true);
        if relayed < PART as u64 && is_direct(&route) {
            return;
        }
        assert!(Instant::now() < deadline, "{relayed} bytes were relayed, in the end: {route:?}");
    }
    panic!("it never becomes direct again");
}

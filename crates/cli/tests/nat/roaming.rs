//! What changes while people talk: the relay dies, addresses become others.

use std::time::Duration;

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
    reader.get_directly(&holder, &station, &Ground::outside(1));
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
    const TEST: &str = "a_home_with_another_public_address_is_found_again";
    roam(TEST, |ground| ground.readdress(1), &Ground::outside_anew(1));
}

#[test]
fn a_machine_with_another_address_at_home_is_found_again() {
    const TEST: &str = "a_machine_with_another_address_at_home_is_found_again";
    roam(TEST, |ground| ground.move_within(1, 2, 7), &Ground::outside(1));
}

/// Two homes talk directly; something changes at the first; they talk again, and directly in the end, with the
/// first at this address.
fn roam(test: &str, change: impl FnOnce(&Ground), address: &str) {
    let Some(mut ground) = Ground::new(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (station, holder, reader) = two_homes(&mut ground, [Router::Cone; 2], dir.path());
    reader.get(holder.put(1, PART), 1, &holder, PATIENCE).unwrap();
    reader.get_directly(&holder, &station, &Ground::outside(1));
    change(&ground);
    reader.get(holder.put(2, PART), 2, &holder, PATIENCE).unwrap();
    reader.get_directly(&holder, &station, address);
}

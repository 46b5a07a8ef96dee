//! What meeting and relaying cost, for `cargo xtask bench relay`. Everything runs on one machine, between
//! namespaces; both ends and the relay are threads of this process, so its processor time is that of all
//! three.

use std::time::{Duration, Instant};

use serde_json::json;
use tilth_blobs::Relays;

use crate::{
    ground::{Ground, Router},
    people::{PATIENCE, Person, Station, is_direct, is_relayed, two_homes},
};

/// What is sent for the figures of throughput.
const SENT: usize = 64 << 20;
/// How often two homes meet anew.
const MEETINGS: u8 = 7;
/// Before the figures in the output.
const MARK: &str = "@figures ";

/// CPU seconds (user and system) that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    // USER_HZ is 100 on every Linux architecture.
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Fetches so many bytes and says how long it took, what it cost, and what the relay passed on.
fn transfer(holder: &Person, reader: &Person, station: Option<&Station>) -> serde_json::Value {
    let blob = holder.put(9, SENT);
    let passed_on = || station.map_or(0, Station::passed_on);
    let (began, used, before) = (Instant::now(), cpu(), passed_on());
    reader.get(blob, 9, holder, PATIENCE).unwrap();
    let (seconds, used) = (began.elapsed().as_secs_f64(), cpu() - used);
    json!({ "seconds": seconds, "cpu": used, "relay-bytes": passed_on() - before })
}

/// Two homes behind such routers, and the relay; they have met.
fn met(ground: &mut Ground, router: Router, dir: &std::path::Path) -> (Station, Person, Person) {
    let (station, holder, reader) = two_homes(ground, [router; 2], dir);
    reader.get(holder.put(1, 1_000), 1, &holder, PATIENCE).unwrap();
    (station, holder, reader)
}

#[test]
#[ignore = "figures, not a test: cargo xtask bench relay"]
fn figures() {
    const TEST: &str = "figures";
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let Some(mut ground) = Ground::new(TEST) else { return };
    ground.villa();
    ground.home(2, Router::Cone);
    let place = folder("public");
    let holder = Person::settle(&ground, "villa", &place, 1, &Relays::default());
    let reader = Person::settle(&ground, "home2", &place, 2, &Relays::default());
    let public = transfer(&holder, &reader, None);
    drop((holder, reader, ground));

    let mut ground = Ground::new(TEST).unwrap();
    let place = folder("punched");
    let (station, holder, reader) = met(&mut ground, Router::Cone, &place);
    reader.route_like(&holder, is_direct);
    let punched = transfer(&holder, &reader, Some(&station));
    // Anew, with other keys each time: how long until the first byte, and until the relay is left out.
    let (mut first, mut direct) = (Vec::new(), Vec::new());
    for number in 0..MEETINGS {
        let key = 10 + 2 * number;
        let place = folder(&format!("meeting{number}"));
        let holder = Person::settle(&ground, "home1", &place, key, &station.relays);
        let reader = Person::settle(&ground, "home2", &place, key + 1, &station.relays);
        let blob = holder.put(1, 1_000);
        let began = Instant::now();
        reader.get(blob, 1, &holder, PATIENCE).unwrap();
        first.push(began.elapsed());
        reader.route_like(&holder, is_direct);
        direct.push(began.elapsed());
    }
    drop((station, holder, reader, ground));

    let mut ground = Ground::new(TEST).unwrap();
    let place = folder("relayed");
    let (station, holder, reader) = met(&mut ground, Router::Symmetric, &place);
    reader.route_like(&holder, is_relayed);
    let relayed = transfer(&holder, &reader, Some(&station));
    let millis = |mut times: Vec<Duration>| {
        times.sort();
        let of = |time: &Duration| time.as_secs_f64() * 1_000.0;
        json!({ "median": of(&times[times.len() / 2]), "most": of(times.last().unwrap()) })
    };
    let figures = json!({
        "bytes": SENT, "public": public, "punched": punched, "relayed": relayed,
        "first-byte-ms": millis(first), "direct-ms": millis(direct), "meetings": MEETINGS,
    });
    println!("\n{MARK}{figures}");
}

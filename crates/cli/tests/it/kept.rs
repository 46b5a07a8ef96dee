//! Kept jobs with the real worker: what they lock, and that what nobody fetches is held by auditors and paid.

use crate::{
    guests,
    net::{Net, base_units, eventually},
};

const JUDGED: &str = "[verification]\naudited = true\nwindow = \"60s\"\n";

#[test]
fn a_kept_job_locks_a_deposit_that_is_shown() {
    let net = Net::start_with(0, &["--auditors", "7"]);
    let job = net.job("kept", &guests::index(), &guests::job(4, 20.0, JUDGED));
    let quote = net.json(&["quote", &job, "--keep", "7"]);
    assert_eq!(
        (&quote["referee"], &quote["availability"]),
        (&"auditors".into(), &"holders".into())
    );
    let _following = net.spawn(&["run", &job, "--keep", "7"]);
    let shown = eventually("its deposit is locked", || {
        let jobs = net.json(&["job", "ls"]);
        let shown = jobs.as_array().unwrap().first().map(|_| net.json(&["job", "show", "1"]))?;
        (base_units(&shown["deposit"]) > 0).then_some(shown)
    });
    assert_eq!((&shown["kept"], &shown["referee"]), (&true.into(), &"auditors".into()), "{shown}");
    assert_eq!(shown["availability"], "holders", "{shown}");
    let said = net.tilth(&["job", "show", "1"]);
    let held = "availability  held by 4 of 7 drawn holders within an hour, or 8 of 15 within two\n";
    assert!(said.stdout.contains(held), "{said:#?}");
    // What auditors have earned for the inputs is gone already.
    let (left, quoted) = (base_units(&shown["deposit"]), base_units(&quote["deposit"]));
    assert!(left <= quoted && left > quoted / 4 * 3, "as it was quoted: {quote}, {shown}");
    let plain = net.json(&["quote", &job]);
    assert!(plain["deposit"].is_null() && plain["locked"] == quote["locked"], "{plain}");
    assert!(plain["availability"].is_null(), "{plain}");
}

#[test]
fn what_nobody_acknowledges_is_held_by_auditors_paid_and_fetched_later() {
    let net = Net::start_with(1, &["--auditors", "7"]);
    let job = net.job("kept", &guests::index(), &guests::job(2, 20.0, JUDGED));
    let said = net.json(&["run", &job, "--keep", "1", "--detach"]);
    assert_eq!(said["job"], 1, "{said}");
    let shown = eventually("all its ranges are held and paid", || {
        let shown = net.json(&["job", "show", "1"]);
        let settled = shown["totals"]["settled"] == shown["totals"]["tasks"];
        settled.then_some(shown)
    });
    // What was waived, or acknowledged by somebody, would be paid without.
    let ranges = shown["ranges"].as_array().unwrap();
    let paid: Vec<_> = ranges.iter().filter(|range| range["state"] == "settled").collect();
    assert!(!paid.is_empty() && paid.iter().all(|range| range["held"] == "held"), "{shown}");
    assert_eq!(shown["inputs"], "held", "{shown}");
    let fetched = net.json(&["job", "fetch", "1"]);
    assert_eq!(fetched["missing"].as_u64(), Some(0), "{fetched}");
    assert_eq!(fetched["kept"]["lost"].as_u64(), Some(0), "{fetched}");
    assert_eq!(fetched["kept"]["held"].as_u64(), Some(paid.len() as u64), "{fetched}");
    // What is left is what holders can still earn, when their time is over.
    let shown = net.json(&["job", "show", "1"]);
    let (deposit, reserved) = (base_units(&shown["deposit"]), base_units(&shown["reserved"]));
    assert!(deposit == reserved && reserved > 0, "the rest is back: {shown}");
    assert!(shown["ranges"].as_array().unwrap().iter().all(|range| range["look"].is_null()));
}

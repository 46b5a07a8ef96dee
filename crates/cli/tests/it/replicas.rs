//! Replicated jobs with the real worker: what they lock, and what is shown of their seals, mates and payments.

use serde_json::Value;

use crate::{
    guests,
    net::{Net, base_units, eventually},
};

const JUDGED: &str = "[verification]\naudited = true\nwindow = \"1h\"\n";

#[test]
fn a_replicated_job_locks_what_both_providers_of_its_ranges_can_earn() {
    let net = Net::start_with(0, &["--auditors", "7"]);
    let alone = net.job("alone", &guests::index(), &guests::job(4, 20.0, JUDGED));
    let replicated = format!("{JUDGED}replicas = 2\n");
    let both = net.job("both", &guests::index(), &guests::job(4, 20.0, &replicated));
    let most = |job: &str| base_units(&net.json(&["quote", job])["posted"]["most-cost"]);
    // Four tasks of 20 Gfuel at 0.01 GRAIN each.
    assert_eq!((most(&alone), most(&both)), (800_000_000_000_000_000, 1_600_000_000_000_000_000));

    // Nobody is there to claim anything, so all of it stays in the escrow.
    let open = |count: usize| {
        eventually("a job is open", || {
            let jobs = net.json(&["job", "ls"]);
            (jobs.as_array().unwrap().len() == count).then_some(jobs)
        })
    };
    let _file_says_it = net.spawn(&["run", &both]);
    open(1);
    let _command_says_it = net.spawn(&["run", &alone, "--replicas", "2"]);
    let jobs = open(2);
    for job in jobs.as_array().unwrap() {
        let locked = (base_units(&job["escrow"]), &job["replicas"]);
        assert_eq!(locked, (most(&both), &2.into()), "{jobs}");
        let shown = net.json(&["job", "show", &job["job"].to_string()]);
        assert_eq!((&shown["replicas"], &shown["state"]), (&2.into(), &"open".into()), "{shown}");
        assert_eq!(shown["events"].as_array().unwrap().len(), 0, "{shown}");
    }
    let said = net.tilth(&["verify", "1"]);
    assert!(said.problem().contains("there is nothing to verify yet"), "{said:#?}");
}

#[test]
fn what_came_of_every_seal_is_shown_with_its_proof_and_both_are_paid() {
    let net = Net::start_with(2, &["--auditors", "7"]);
    let job = net.job("index", &guests::index(), &guests::job(12, 20.0, JUDGED));
    let result = net.json(&["run", &job, "--replicas", "2"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let counts = |key: &str| result["replicas"][key].as_u64().unwrap();
    // Whether somebody waits before the first range is handed in is a matter of luck; that nobody cheats is not.
    assert_eq!((counts("sealed"), counts("unequal"), counts("silent")), (0, 0, 0), "{result}");
    assert!(counts("matched") + counts("alone") > 0, "{result}");
    assert_eq!(net.json(&["verify", "1"])["wrong"], 0);

    let shown = net.json(&["job", "show", "1"]);
    let ranges = shown["ranges"].as_array().unwrap();
    // On a slow machine there may be one that matched and could not be judged in time: its tasks went out again.
    let is_matched = |range: &Value| range["replica"]["outcome"] == "matched";
    let matched = ranges.iter().filter(|range| is_matched(range)).count() as u64;
    let mut paid = 0;
    for range in ranges.iter().filter(|range| range["state"] == "settled") {
        assert!(range["root"].is_string() && range["seal"].is_null(), "{range}");
        paid += base_units(&range["paid"]);
        let has_mate = is_matched(range);
        assert_eq!(range["mate"].is_object(), has_mate, "paid if it found the same: {range}");
        if has_mate {
            paid += base_units(&range["mate"]["paid"]);
            assert_ne!(range["mate"]["provider"], range["provider"], "{range}");
        }
    }
    assert_eq!((matched, paid), (counts("matched"), base_units(&result["paid"])), "{shown}");

    let events = shown["events"].as_array().unwrap();
    let happened = |what: &str| events.iter().filter(|event| event["what"] == what).count() as u64;
    assert!(events.iter().all(|event| event["transaction"].is_string()), "{shown}");
    assert_eq!(happened("roots: matched"), matched, "{shown}");
    assert!(happened("seal handed in") >= counts("matched") + counts("alone"), "{shown}");
    let providers = net.json(&["providers"]);
    let of_both = |key: &str| -> u64 {
        providers.as_array().unwrap().iter().map(|p| p["replicas"][key].as_u64().unwrap()).sum()
    };
    assert_eq!((of_both("matched"), of_both("silent")), (2 * matched, 0), "{providers}");
}

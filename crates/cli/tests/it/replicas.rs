//! Replicated jobs with the real worker: what they lock, and what is shown of their seals, mates and payments.

use serde_json::Value;

use crate::{
    guests,
    net::{Net, base_units, eventually},
};

const JUDGED: &str = "[verification]\naudited = true\nwindow = \"1h\"\n";
/// What four tasks cost at most, done once, in base units.
const ONCE: u128 = 800_000_000_000_000_000;

#[test]
fn a_replicated_job_locks_what_both_providers_of_its_ranges_can_earn() {
    let net = Net::start_with(0, &["--auditors", "7"]);
    let alone = net.job("alone", &guests::index(), &guests::job(4, 20.0, JUDGED));
    let replicated = format!("{JUDGED}replicas = 2\n");
    let both = net.job("both", &guests::index(), &guests::job(4, 20.0, &replicated));
    let most = |job: &str, more: &[&str]| {
        let quote = net.json(&[&["quote", job][..], more].concat());
        assert!(quote["audited"] == true, "{quote}");
        assert_eq!(quote["locked"], quote["posted"]["most-cost"], "{quote}");
        base_units(&quote["locked"])
    };
    // Four tasks of 20 Gfuel at 0.01 GRAIN each.
    assert_eq!((most(&alone, &[]), most(&both, &[])), (ONCE, 2 * ONCE));
    assert_eq!(most(&alone, &["--replicas", "2"]), 2 * ONCE, "as a run is told");

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
        assert_eq!(locked, (2 * ONCE, &2.into()), "{jobs}");
        let shown = net.json(&["job", "show", &job["job"].to_string()]);
        assert_eq!((&shown["replicas"], &shown["state"]), (&2.into(), &"open".into()), "{shown}");
        assert_eq!(shown["events"].as_array().unwrap().len(), 0, "{shown}");
    }
    let said = net.tilth(&["verify", "1"]);
    assert!(said.problem().contains("there is nothing to verify yet"), "{said:#?}");
}

/// Has a replicated job done until a mate is paid, cancels the rest of it, and gives what it came to.
///
/// Whether somebody waits before the first ranges are handed in is a matter of luck. But the job is long, and both
/// providers wait in it with a bond as long as it is open: each range handed in while the other one has fewer than eight
/// to do as mate has a mate.
fn replicated_until_a_mate_is_paid(net: &Net) -> Value {
    let short_ranges = format!("{JUDGED}[schedule]\ntarget = \"1s\"\n");
    let job = net.job("slow", &guests::slow(300), &guests::job(400, 20.0, &short_ranges));
    let mut run = net.spawn(&["run", &job, "--replicas", "2"]);
    eventually("the job is open", || {
        (!net.json(&["job", "ls"]).as_array()?.is_empty()).then_some(())
    });
    eventually("a mate is paid", || {
        let shown = net.json(&["job", "show", "1"]);
        shown["ranges"].as_array()?.iter().any(|range| range["mate"].is_object()).then_some(())
    });
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(130), "{}", net.log());
    net.json(&["job", "cancel", "1"]);
    let fetched = net.tilth(&["job", "fetch", "1", "--json"]);
    // Tasks are missing, so the command fails with its answer.
    serde_json::from_str(&fetched.stdout).unwrap_or_else(|error| panic!("{error}: {fetched:#?}"))
}

#[test]
fn what_came_of_every_seal_is_shown_with_its_proof_and_both_are_paid() {
    let net = Net::start_with(2, &["--auditors", "7"]);
    let result = replicated_until_a_mate_is_paid(&net);
    assert_eq!(result["state"], "cancelled", "{result}");
    let counts = |key: &str| result["replicas"][key].as_u64().unwrap();
    assert_eq!((counts("sealed"), counts("unequal"), counts("silent")), (0, 0, 0), "{result}");
    assert_eq!(net.json(&["verify", "1"])["wrong"], 0);

    let shown = net.json(&["job", "show", "1"]);
    let ranges = shown["ranges"].as_array().unwrap();
    // On a slow machine there may be one that matched and could not be judged in time: its tasks went out again.
    let is_matched = |range: &Value| range["replica"]["outcome"] == "matched";
    let matched = ranges.iter().filter(|range| is_matched(range)).count() as u64;
    let (mut paid, mut paid_mates) = (0, 0);
    for range in ranges.iter().filter(|range| range["state"] == "settled") {
        assert!(range["root"].is_string() && range["seal"].is_null(), "{range}");
        paid += base_units(&range["paid"]);
        let has_mate = is_matched(range);
        assert_eq!(range["mate"].is_object(), has_mate, "paid if it found the same: {range}");
        if has_mate {
            paid += base_units(&range["mate"]["paid"]);
            paid_mates += 1;
            assert_ne!(range["mate"]["provider"], range["provider"], "{range}");
        }
    }
    assert_eq!((matched, paid), (counts("matched"), base_units(&result["paid"])), "{shown}");
    assert!(paid_mates > 0, "it was waited for: {shown}");
    // How many have a mate is a matter of luck; that each has one or none is not.
    let sealed = ranges.iter().filter(|range| range["replica"].is_object()).count() as u64;
    assert_eq!(counts("matched") + counts("alone"), sealed, "{shown}");

    let events = shown["events"].as_array().unwrap();
    let happened = |what: &str| events.iter().filter(|event| event["what"] == what).count() as u64;
    assert!(events.iter().all(|event| event["transaction"].is_string()), "{shown}");
    assert_eq!(happened("roots: matched"), matched, "{shown}");
    assert_eq!(happened("seal handed in"), sealed, "{shown}");
    let providers = net.json(&["providers"]);
    let of_both = |key: &str| -> u64 {
        providers.as_array().unwrap().iter().map(|p| p["replicas"][key].as_u64().unwrap()).sum()
    };
    assert_eq!((of_both("matched"), of_both("silent")), (2 * matched, 0), "{providers}");
}

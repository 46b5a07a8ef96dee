//! Audited jobs with the real worker: paid after their audit, re-executed by anybody, shown with their proof.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

use crate::{
    guests,
    net::{Net, Process, base_units, eventually, tilth},
};

/// No range is paid before its client has seen what its audit came to, however slow the machine is: `upheld` is all.
const PATIENT: &str = "[verification]\nwindow = \"1h\"\n";

#[test]
fn an_audited_job_is_upheld_verified_and_shown() {
    let net = Net::start_with(1, &["--auditors", "7"]);
    assert_eq!(net.about["auditors"], 7);
    let job = net.job("index", &guests::index(), &guests::job(40, 20.0, PATIENT));
    let result = net.json(&["run", &job, "--audited"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let upheld = result["audits"]["upheld"].as_u64().unwrap();
    assert!(upheld > 0, "a newcomer is audited always: {result}");

    let verified = net.json(&["verify", "1"]);
    assert_eq!(verified["wrong"], 0, "{verified}");
    assert!(verified["ranges"].as_array().unwrap().iter().all(|range| range["right"] == true));
    anybody_verifies_a_range(&net, &verified["ranges"][0]);

    let providers = net.json(&["providers"]);
    assert_eq!(providers[0]["audits"]["upheld"].as_u64(), Some(upheld), "{providers}");
    assert_eq!(providers[0]["audits"]["overturned"], 0);
    let record = base_units(&providers[0]["record"]);
    assert!(record > 0, "what was upheld is its record: {providers}");
    let rate = providers[0]["audit-rate-billionths"].as_u64().unwrap();
    assert!(rate < 1_000_000_000, "and a record has it audited less: {providers}");
    let shown = net.json(&["providers", "1"]);
    assert_eq!((base_units(&shown["record"]), base_units(&providers[0]["slashed"])), (record, 0));
    assert_eq!(shown["audit-rate-billionths"], rate, "{shown}");
    let entries = shown["audits"].as_array().unwrap();
    assert_eq!(entries.len() as u64, upheld, "{shown}");
    assert!(
        entries.iter().all(|entry| entry["what"] == "upheld" && entry["transaction"].is_string())
    );

    let auditor = net.json(&["auditor", "status", "auditor-1"]);
    assert_eq!(auditor["stake"].as_str(), Some("100000000000000000000"), "{auditor}");
    net.json(&["auditor", "leave", "auditor-2"]);
    let left = net.json(&["auditor", "status", "auditor-2"]);
    assert_eq!(left["leaving"].as_str(), Some("100000000000000000000"), "{left}");
    assert!(!net.tilth(&["auditor", "withdraw", "auditor-2"]).problem().is_empty());
}

/// From a folder with nothing but the network's file: no key, no stake, nothing of the job.
fn anybody_verifies_a_range(net: &Net, known: &Value) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(net.dir.path().join("network.json"), folder.path().join("network.json")).unwrap();
    let verify = |what: &str, more: &[&str]| {
        let at = ["--dir", folder.path().to_str().unwrap()];
        tilth(&[&["verify", what][..], &at[..], more].concat())
    };
    let which = format!("1:{}", known["seq"]);
    let found = verify(&which, &["--json"]).json();
    assert_eq!((&found["wrong"], &found["failed"]), (&0.into(), &0.into()), "{found}");
    assert_eq!(
        found["ranges"].as_array().unwrap().as_slice(),
        std::slice::from_ref(known),
        "{found}"
    );
    let said = verify(&which, &[]);
    assert!(said.status.success() && said.stdout.contains("right"), "{said:#?}");
    // What was never claimed is neither right nor wrong, and no success.
    let said = verify("1:4000000", &[]);
    assert!(said.problem().contains("name another range"), "{said:#?}");
    assert!(said.stdout.contains("there are no results of it"), "{said:#?}");
    assert!(!folder.path().join("accounts").exists() && !folder.path().join("verify").exists());
}

/// Starts a provider that was here before, in a process of its own.
fn provider(net: &Net, name: &str) -> Process {
    let args = ["provider", name, "--stake", "500", "--bind", "127.0.0.1:0", "--json"];
    let mut provider = net.spawn(&args);
    let line = provider.first_line();
    assert!(line.contains("ready"), "{line:?}\n{}", net.log());
    provider
}

/// What the first provider has compiled.
fn compiled(net: &Net) -> BTreeSet<PathBuf> {
    let engines = fs::read_dir(net.dir.path().join("providers/provider-1/artifacts")).unwrap();
    engines
        .flat_map(|engine| fs::read_dir(engine.unwrap().path()).unwrap())
        .map(|program| program.unwrap().path())
        .collect()
}

/// Has the only provider do a job of one task as it should be done, and then puts another program in the place of what it
/// has compiled: one that flips a bit in task 0. Gives what is right.
fn spoil_the_program(net: &Net) -> Value {
    let rest = guests::job(1, 20.0, "");
    let right = net.json(&["run", &net.job("index", &guests::index(), &rest)]);
    let kept = compiled(net);
    let flips = guests::guest(
        "(i32.store (i32.const 16) (i32.xor (local.get $i) (i32.eqz (local.get $i))))
         (call $emit (i32.const 16) (i32.const 4))",
    );
    let wrong = net.json(&["run", &net.job("flips", &flips, &rest)]);
    assert_ne!(wrong["sha256"], right["sha256"], "{wrong}");
    let both = compiled(net);
    let other = both.difference(&kept).next().unwrap();
    let place = kept.first().unwrap();
    assert_eq!((kept.len(), both.len()), (1, 2), "{both:?}");
    fs::remove_file(place).unwrap();
    fs::copy(other, place).unwrap();
    right["sha256"].clone()
}

/// The verdict is shown with its range, and all that it has cost by the transaction that proves both.
fn the_verdict_and_its_cuts_are_shown(net: &Net, told: &Value) {
    let entries = told["audits"].as_array().unwrap();
    let verdict = entries.iter().find(|entry| entry["what"] == "overturned").unwrap();
    assert_eq!((&verdict["job"], &verdict["range"]), (&3.into(), &0.into()), "{told}");
    assert!(verdict["transaction"].is_string(), "{told}");
    let cuts: Vec<_> = entries.iter().filter(|entry| entry["amount"].is_string()).collect();
    for cut in &cuts {
        assert_eq!(cut["what"], "stake cut: overturned by auditors", "{told}");
        for key in ["job", "range", "transaction"] {
            assert_eq!(cut[key], verdict[key], "{told}");
        }
    }
    let lost: u128 = cuts.iter().map(|cut| base_units(&cut["amount"])).sum();
    assert!(lost > 0, "{told}");
    let all = net.json(&["providers"]);
    let row = all.as_array().unwrap().iter().find(|row| row["name"] == "provider-1").unwrap();
    assert_eq!((base_units(&row["slashed"]), base_units(&row["stake"])), (lost, 0), "{all}");
    assert_eq!((&row["audits"]["overturned"], &row["record"]), (&1.into(), &"0".into()), "{all}");
}

#[test]
fn one_flipped_bit_costs_the_stake_is_shown_with_its_proof_and_another_ends_the_job() {
    // A first start with everything in one process registers and funds the providers.
    let mut net = Net::start(2);
    net.up.as_ref().unwrap().signal("TERM");
    assert!(net.up.as_mut().unwrap().wait().success(), "{}", net.log());
    net.up(0, &["--auditors", "7"]);
    let _cheat = provider(&net, "provider-1");
    let right = spoil_the_program(&net);

    // A range of one leaf, so every draw hits the wrong one; and a newcomer is audited always.
    let job = net.job("index", &guests::index(), &guests::job(1, 20.0, PATIENT));
    let mut run = net.spawn(&["run", &job, "--audited"]);
    let told = eventually("its result is overturned", || {
        let told = net.json(&["providers", "provider-1"]);
        let mut entries = told["audits"].as_array().unwrap().iter();
        let is_over = entries.any(|entry| entry["what"] == "overturned");
        is_over.then_some(told)
    });
    the_verdict_and_its_cuts_are_shown(&net, &told);
    // Anybody finds the same.
    let said = net.tilth(&["verify", "3"]);
    assert!(!said.status.success(), "{said:#?}");
    assert!(said.stdout.contains("WRONG: another root of task 0"), "{said:#?}");

    let _honest = provider(&net, "provider-2");
    assert!(run.wait().success(), "{}", net.log());
    let fetched = net.json(&["job", "fetch", "3"]);
    assert_eq!((&fetched["state"], &fetched["missing"]), (&"done".into(), &0.into()), "{fetched}");
    assert_eq!(fetched["sha256"], right, "{fetched}");
    let audits = &fetched["audits"];
    assert_eq!((&audits["upheld"], &audits["overturned"]), (&1.into(), &1.into()), "{fetched}");
    let all = net.json(&["providers"]);
    let row = all.as_array().unwrap().iter().find(|row| row["name"] == "provider-2").unwrap();
    assert_eq!((&row["slashed"], &row["audits"]["upheld"]), (&"0".into(), &1.into()), "{all}");
}

/// What an auditor has of fees: owed by the purse of the audits, and paid.
fn fees(net: &Net, name: &str) -> (u128, u128) {
    let owed = base_units(&net.json(&["auditor", "status", name])["owed"]);
    (owed, base_units(&net.json(&["account", "show", name])["free"]))
}

/// Has small audited jobs done until the auditor has earned something.
fn jobs_until_it_is_paid(net: &Net, job: &str, name: &str) {
    for tried in 1.. {
        let result = net.json(&["run", job, "--audited"]);
        assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
        let audits = &result["audits"];
        assert!(audits["upheld"].as_u64().unwrap() > 0 || tried > 1, "a newcomer is: {result}");
        assert_eq!(audits["overturned"], 0, "{result}");
        if fees(net, name) != (0, 0) {
            return;
        }
        // It has six of every ten votes, and so small a record spares hardly any range an audit: by chance once in a
        // billion times.
        assert!(tried < 20, "it is never drawn: {result}");
    }
}

#[test]
fn the_seventh_auditor_is_a_process_of_its_own_that_votes_and_collects() {
    let net = Net::start_with(1, &["--auditors", "6"]);
    let job = net.job("index", &guests::index(), &guests::job(40, 20.0, PATIENT));
    let said = net.tilth(&["run", &job, "--audited"]);
    assert!(said.problem().contains("auditors on this chain"), "six are too few: {said:#?}");
    assert!(said.problem().contains("`tilth up --auditors 7`"), "what to do is said: {said:#?}");

    let name = "alice";
    net.json(&["account", "new", name]);
    net.json(&["account", "new", "alice-node"]);
    let said = net.tilth(&["auditor", "status", name]);
    assert!(said.problem().contains("no auditor"), "{said:#?}");
    net.json(&["account", "withdraw", "client", "930"]);
    net.json(&["account", "send", "client", name, "920"]);
    let args = ["auditor", name, "--stake", "900", "--set", "bind=127.0.0.1:0", "--json"];
    let mut auditor = net.spawn(&args);
    let line = auditor.first_line();
    let ready: Value = serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", net.log()));
    assert_eq!((&ready["auditor"], &ready["number"]), (&name.into(), &7.into()), "{ready}");
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(fees(&net, name), (0, 0), "all that it has put in is stake");

    jobs_until_it_is_paid(&net, &job, name);
    // Nothing is open any more, and whoever is stopped collects nothing by itself meanwhile.
    auditor.signal("INT");
    assert!(auditor.wait().success(), "{}", net.log());
    let (owed, free) = fees(&net, name);
    assert!(owed + free > 0);
    let collected = net.json(&["auditor", "collect", name]);
    let paid = base_units(&collected["paid"]);
    // As far as the purse of the audits reaches: that has what her cases brought, and six others have less than half of all votes.
    assert!(paid <= owed && free + paid > 0, "{collected} of {owed}, beside {free}");
    assert_eq!(fees(&net, name), (owed - paid, free + paid), "{collected}");
    let again = net.tilth(&["auditor", "collect", name]);
    assert!(again.status.success(), "{again:#?}");
    if paid == owed {
        assert!(again.stdout.contains("nothing was paid to alice"), "{again:#?}");
    }
    let stands = net.json(&["auditor", "status", name]);
    assert_eq!(
        stands["stake"].as_str(),
        Some("900000000000000000000"),
        "nothing is lost: {stands}"
    );
}

#[test]
fn jobs_that_nobody_can_audit_are_refused_before_money_moves() {
    let net = Net::start(0);
    let audited = "[verification]\naudited = true\n";
    let slow = "[verification]\naudited = true\n[schedule]\nrange-timeout = \"10m\"\n";
    let (unjudged, many) = ("[verification]\nreplicas = 2\n", "[verification]\nreplicas = 3\n");
    for (gfuel, more, why) in [
        (20.0, audited, "auditors on this chain"),
        (0.001, audited, "a task of the job is not worth an audit"),
        (20.0, slow, "ranges of the job may take too long for an audit"),
        (20.0, unjudged, "a job with replicas must be audited"),
        (20.0, "[verification]\nkeep = \"7d\"\n", "a job that is to be kept must be audited"),
        (20.0, many, "it must be 1 or 2"),
    ] {
        let rest = guests::job(4, gfuel, more);
        let job = net.job("index", &guests::index(), &rest);
        let said = net.tilth(&["run", &job]);
        assert!(said.problem().contains(why), "{said:#?}");
        // A price says nothing of who is there, and what nobody could do has none.
        let said = net.tilth(&["quote", &job]);
        match why {
            "auditors on this chain" => assert!(said.status.success(), "{said:#?}"),
            _ => assert!(said.problem().contains(why), "{said:#?}"),
        }
    }
    let job = net.job("index", &guests::index(), &guests::job(4, 20.0, unjudged));
    // The advice of a refused quote can be taken.
    let said = net.tilth(&["quote", &job, "--audited"]);
    assert!(said.status.success() && said.stdout.contains("paid to 2 providers"), "{said:#?}");
    let said = net.tilth(&["run", &job, "--audited"]);
    // The command line says what the file does not.
    assert!(said.problem().contains("auditors on this chain"), "{said:#?}");
    let job = net.job("index", &guests::index(), &guests::job(4, 20.0, ""));
    let said = net.tilth(&["run", &job, "--replicas", "2"]);
    assert!(said.problem().contains("a job with replicas must be audited"), "{said:#?}");
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 0);
}

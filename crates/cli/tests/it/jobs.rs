//! The life of jobs: run, detach, re-attach, list, cancel, failures that are results.

use std::fs;

use crate::{
    guests,
    net::{Net, base_units, eventually},
};

/// The values of a finished job, line by line without the head.
fn values(net: &Net, result: &serde_json::Value) -> Vec<String> {
    let path = result["output"].as_str().unwrap();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}\n{}", net.log()));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn job_is_cut_up_run_checked_and_paid() {
    let net = Net::start(2);
    let before = net.json(&["account", "show", "client"]);
    let job = net.job("index", &guests::index(), &guests::job(500, 0.001, ""));
    let result = net.json(&["run", &job]);
    assert_eq!(result["state"], "done", "{result}");
    assert_eq!((&result["failures"], &result["missing"]), (&0.into(), &0.into()));
    let values = values(&net, &result);
    assert_eq!(values.len(), 500);
    for (index, line) in values.iter().enumerate() {
        let bytes = u32::try_from(index).unwrap().to_le_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*line, format!("{index},ok,{hex}"));
    }

    // Everything the client lost is what providers and treasury got.
    let after = net.json(&["account", "show", "client"]);
    let spent = base_units(&before["free"]) - base_units(&after["free"]);
    assert_eq!(base_units(&after["locked"]), 0);
    assert_eq!(spent, base_units(&result["paid"]) + base_units(&result["fees"]));
    let earned: u128 = result["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| base_units(&share["earned"]))
        .sum();
    assert_eq!(earned, base_units(&result["paid"]));

    let listed = net.json(&["job", "ls"]);
    assert_eq!(listed[0]["settled"], 500, "{listed}");
    let shown = net.json(&["job", "show", "1"]);
    assert_eq!(shown["state"], "done");
    assert!(shown["ranges"].as_array().unwrap().iter().all(|range| range["state"] == "settled"));
}

#[test]
fn failing_tasks_are_results_and_cost_their_cap() {
    let net = Net::start(1);
    let job = net.job("zoo", &guests::zoo(), &guests::job(8, 0.5, ""));
    let said = net.tilth(&["run", &job, "--json"]);
    // Tasks without output make the command fail, but the job is done and its results are there.
    assert!(!said.status.success());
    let result: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(result["state"], "done", "{result}");
    assert_eq!(result["failures"], 6, "{result}");
    let values = values(&net, &result);
    let endings: Vec<&str> = values.iter().map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(
        endings,
        ["ok", "trap", "out-of-fuel", "trap", "bad-output", "trap", "trap", "ok"],
        "{values:?}"
    );
    // Six failures at 500 units each, two tasks of one unit.
    assert_eq!(result["units"], 6 * 500 + 2);
}

#[test]
fn job_on_the_clock_is_worked_off_and_then_quoted_from() {
    let net = Net::start(2);
    let clock = "kind = \"clock\"\nfloor = \"0.001\"\ncap = \"0.01\"\nfinish = \"30s\"";
    let text = guests::job(20, 0.01, "").replace("per-gfuel = \"0.01\"", clock);
    let job = net.job("index", &guests::index(), &text);
    let quote = net.json(&["quote", &job]);
    assert!(quote["going"].is_null() && quote["asks-for-clock"] == true, "{quote}");
    let result = net.json(&["run", &job]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let quote = net.json(&["quote", &job]);
    let going = &quote["going"];
    assert_eq!((&going["same-program"], &going["tasks"]), (&true.into(), &20.into()), "{quote}");
    assert_eq!(quote["clock"]["clock"]["finish-s"], 30, "{quote}");
    assert!(quote["clock"]["price"].is_string() && quote["clock"]["finish-s"].is_u64(), "{quote}");
    let said = net.tilth(&["quote", &job]).stdout;
    assert!(said.contains("of this program: 20 tasks") && said.contains("finish 30 s"), "{said}");
}

#[test]
fn job_stops_softly_after_too_many_failures() {
    let net = Net::start(1);
    let more = "[verification]\nmax-failures = 3\n";
    let job = net.job("trap", &guests::guest("unreachable"), &guests::job(200, 0.001, more));
    let said = net.tilth(&["run", &job, "--json"]);
    assert!(!said.status.success());
    let result: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let failures = result["failures"].as_u64().unwrap();
    assert!((4..200).contains(&failures), "{result}");
}

#[test]
fn detached_job_goes_on_and_is_fetched_later() {
    let net = Net::start(2);
    let job = net.job("slow", &guests::slow(30), &guests::job(60, 1.0, ""));
    let mut run = net.spawn(&["run", &job]);
    eventually("a range is claimed", || {
        let shown = net.tilth(&["job", "show", "1", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
        (!shown["ranges"].as_array()?.is_empty()).then_some(())
    });
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(130), "{}", net.log());
    assert!(net.log().contains("tilth job fetch 1"), "{}", net.log());
    let result = net.json(&["job", "fetch", "1"]);
    assert_eq!(result["state"], "done");
    assert_eq!(values(&net, &result).len(), 60);
    // Fetching once more changes nothing and costs nothing.
    let again = net.json(&["job", "fetch", "1"]);
    assert_eq!(again["sha256"], result["sha256"]);
    assert_eq!(again["paid"], result["paid"]);
}

#[test]
fn killed_client_finds_everything_again() {
    let net = Net::start(2);
    let job = net.job("slow", &guests::slow(30), &guests::job(60, 1.0, ""));
    let mut run = net.spawn(&["run", &job]);
    eventually("a range is claimed", || {
        let shown = net.tilth(&["job", "show", "1", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
        (!shown["ranges"].as_array()?.is_empty()).then_some(())
    });
    run.kill();
    let result = net.json(&["job", "fetch", "1"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
}

#[test]
fn job_without_providers_waits_says_so_and_can_be_cancelled() {
    let net = Net::start(0);
    let before = net.json(&["account", "show", "client"]);
    let job = net.job("index", &guests::index(), &guests::job(5, 0.001, ""));
    let mut run = net.spawn(&["run", &job]);
    eventually("it is said that nobody is there", || {
        net.log().contains("provider").then_some(()).filter(|()| net.log().contains("  ! "))
    });
    run.signal("INT");
    run.wait();
    assert!(net.log().contains("waits until you follow it again"), "{}", net.log());
    net.json(&["job", "cancel", "1"]);
    let after = net.json(&["account", "show", "client"]);
    assert_eq!((&after["free"], &after["locked"]), (&before["free"], &"0".into()));
    assert_eq!(net.json(&["job", "show", "1"])["state"], "cancelled");
}

#[test]
fn dry_job_pauses_until_it_is_topped_up() {
    let net = Net::start(1);
    // A claim reserves 10 units x 0.00001 GRAIN per task, a task then costs one unit: after some
    // fifteen tasks the rest of 0.00025 GRAIN no longer covers a claim.
    let job = net.job("index", &guests::index(), &guests::job(20, 0.01, ""));
    let mut run = net.spawn(&["run", &job, "--funds", "0.00025", "--detach"]);
    let status = run.wait();
    assert!(status.success(), "{}", net.log());
    eventually("the job is dry", || (net.json(&["job", "show", "1"])["dry"] == true).then_some(()));
    net.json(&["job", "top-up", "1", "0.01"]);
    let result = net.json(&["job", "fetch", "1"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
}

#[test]
fn jobs_of_every_account_of_the_folder_are_listed_and_cancelled() {
    let net = Net::start(0);
    let second = net.json(&["account", "new", "second"])["address"].clone();
    net.json(&["account", "send", "client", "second", "5"]);
    net.json(&["account", "deposit", "second", "4"]);
    let job = net.job("index", &guests::index(), &guests::job(5, 0.001, ""));
    let mut run = net.spawn(&["run", &job, "--account", "second"]);
    eventually("the job is open", || {
        (!net.json(&["job", "ls"]).as_array()?.is_empty()).then_some(())
    });
    run.signal("INT");
    run.wait();
    assert_eq!(net.json(&["job", "ls"])[0]["client"], second);
    let table = net.tilth(&["job", "ls"]);
    assert!(table.stdout.contains("second") && table.stderr.is_empty(), "{table:?}");
    net.json(&["job", "cancel", "1"]);
    assert_eq!(net.json(&["job", "show", "1"])["state"], "cancelled");
    let account = net.json(&["account", "show", "second"]);
    assert_eq!(base_units(&account["free"]), 4_000_000_000_000_000_000);
    let said = net.tilth(&["job", "cancel", "7"]);
    assert!(said.problem().contains("no account"), "{said:?}");
}

#[test]
fn what_is_said_after_ctrl_c_can_be_typed() {
    let net = Net::start(0);
    let job = net.job("index", &guests::index(), &guests::job(5, 0.001, ""));
    let mut run = net.spawn(&["run", &job]);
    eventually("the job is open", || net.log().contains("job 1 is open").then_some(()));
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(130));
    let command = format!("tilth job fetch 1 --dir {}", net.dir.path().display());
    assert!(net.log().contains(&command), "{}", net.log());
}

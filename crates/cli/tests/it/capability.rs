//! What a machine is worth: looked at, measured, announced, asked for by jobs, and challenged by others.

use serde_json::Value;

use crate::net::{Net, eventually, tilth};

const GUEST: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn job(requires: &str) -> String {
    format!(
        "tasks = 2\n{requires}\n[limits]\ngfuel-per-task = 0.01\nmemory = \"1MiB\"\n\
         [price]\nper-gfuel = \"0.01\"\n[output]\nkind = \"files\"\n"
    )
}

fn classes(net: &Net) -> Vec<Vec<String>> {
    let names = |provider: &Value| {
        let names = provider["classes"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    net.json(&["providers"]).as_array().unwrap().iter().map(names).collect()
}

/// Opens a job that nobody takes yet. Its client would wait for somebody to have the inputs, so it is interrupted.
fn submit(net: &Net, name: &str, requires: &str) -> String {
    let jobs = || net.json(&["job", "ls"]).as_array().unwrap().len();
    let before = jobs();
    let file = net.job(name, GUEST, &job(requires));
    let mut run = net.spawn(&["run", &file]);
    eventually("the job is open", || (jobs() > before).then_some(()));
    run.signal("INT");
    assert_eq!(run.wait().code(), Some(130), "{}", net.log());
    // Jobs of a fresh network are counted from 1.
    (before + 1).to_string()
}

#[test]
fn jobs_that_ask_for_a_class_wait_for_a_provider_that_has_proved_it() {
    let mut net = Net::start(2);
    assert_eq!(classes(&net), [Vec::<String>::new(), Vec::new()]);
    let strong = submit(&net, "strong", "[requires]\nclasses = [\"int8-1g\"]");
    let large = submit(&net, "large", "[requires]\nvram = \"1GiB\"");
    // Both providers have seen the two jobs before when they do this one.
    let plain = net.job("plain", GUEST, &job(""));
    let ran = net.tilth(&["run", &plain, "--json"]);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    let ranges =
        |net: &Net, job: &str| net.json(&["job", "show", job])["ranges"].as_array().unwrap().len();
    assert_eq!(ranges(&net, &strong), 0, "nobody has the class");
    assert_eq!(ranges(&net, &large), 0);

    net.kill();
    net.up(2, &["--measure"]);
    for names in classes(&net) {
        assert!(names.contains(&"int8-1g".to_owned()), "{names:?}\n{}", net.log());
    }
    let fetched = net.tilth(&["job", "fetch", &strong, "--json"]);
    assert!(fetched.status.success(), "{fetched:#?}\n{}", net.log());
    assert!(ranges(&net, &strong) > 0);
    assert_eq!(ranges(&net, &large), 0, "a processor has no graphics memory");
    net.tilth(&["job", "cancel", &large]);
}

#[test]
fn a_provider_is_challenged_by_anybody_and_the_transcript_checked_anywhere() {
    let net = Net::start_with(1, &["--measure"]);
    for more in [&[][..], &["--memory", "8"], &["--order", "256", "--rounds", "3"]] {
        let file = net.dir.path().join(format!("transcript-{}", more.len()));
        let file = file.to_str().unwrap();
        let args = [&["challenge", "provider-1", "--out", file, "--json"][..], more].concat();
        let said = net.tilth(&args);
        let said: Value =
            serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"));
        // A machine that runs other tests may be too slow for what it announced; wrong it is never. What is too
        // little to show a class is not passed.
        let may = if more.is_empty() { &["passed", "right", "too-slow"][..] } else { &["right"] };
        assert!(may.contains(&said["finding"].as_str().unwrap()), "{said:#}");
        assert_eq!(said["finding"] == "right", said["class"].is_null(), "{said:#}");
        let last = said["tries"].as_array().unwrap().last().unwrap();
        assert!(last["times"]["commit-ms"].as_u64().unwrap() > 0, "{said:#}");

        let checked = tilth(&["challenge", "--verify", file, "--json"]).json();
        assert_eq!(checked["verdict"], "right", "{checked:#}");
        assert_eq!(checked["statement"]["subject"]["device"], "cpu");

        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
        let forged = tilth(&["challenge", "--verify", file, "--json"]);
        assert!(!forged.status.success(), "{forged:#?}");
    }
    let refused = net.tilth(&["challenge", "provider-1", "--memory", "100000"]);
    assert!(refused.problem().contains("too large"), "{refused:#?}");
    let refused = net.tilth(&["challenge", "client"]);
    assert!(refused.problem().contains("no such provider"), "{refused:#?}");
    let missing = tilth(&["challenge", "--verify", "/nowhere"]);
    assert!(missing.problem().contains("cannot be read"), "{missing:#?}");
}

#[test]
fn the_doctor_lists_the_machine_and_the_bench_measures_it() {
    let found = tilth(&["doctor", "--json"]).json();
    let inventory = &found["inventory"];
    assert!(inventory["cpu"]["threads"].as_u64().unwrap() >= 1, "{inventory:#}");
    assert!(inventory["memory"]["total-mib"].as_u64().unwrap() > 0);
    assert!(inventory["disk"]["total-mib"].as_u64().unwrap() > 0);
    assert!(inventory["gpus"].is_array() && inventory["network"].is_array());
    let said = tilth(&["doctor"]);
    assert!(said.stdout.contains("classes  ") && said.stdout.contains("disk     "), "{said:#?}");

    let one = tilth(&["bench", "--order", "256", "--rounds", "2", "--json"]).json();
    assert!(one["commit-ms"].as_f64().unwrap() > 0.0 && one["check-ms"].as_f64().unwrap() > 0.0);
    let dir = tempfile::tempdir().unwrap();
    let all = tilth(&["bench", "--json", "--dir", dir.path().to_str().unwrap()]).json();
    for rate in ["fuel-per-second", "hash-bytes-per-second", "disk-write-bytes-per-second"] {
        assert!(all[rate].as_u64().unwrap() > 0, "{all:#}");
    }
    assert!(all["challenges"]["int8-per-second"].as_u64().unwrap() > 0);
    let refused = tilth(&["bench", "--order", "100", "--rounds", "2"]);
    assert!(refused.problem().contains("power of two"), "{refused:#?}");
}

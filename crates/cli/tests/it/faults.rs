//! Kills, restarts and full disks: jobs complete, results are the same, nobody is paid twice.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    guests,
    net::{Net, Process, base_units, eventually},
};

/// A node alone in one process and providers in processes of their own.
struct Apart {
    net: Net,
    listen: String,
    providers: Vec<Process>,
}

impl Apart {
    fn start(providers: u16) -> Self {
        // A first start with everything in one process registers and funds the providers.
        let mut net = Net::start(providers);
        let listen = net.rpc().trim_start_matches("http://").to_owned();
        net.up.as_ref().unwrap().signal("TERM");
        assert!(net.up.as_mut().unwrap().wait().success(), "{}", net.log());
        net.up(0, &["--listen", &listen]);
        let mut apart = Self { net, listen, providers: Vec::new() };
        for number in 1..=providers {
            let provider = apart.provider(number);
            apart.providers.push(provider);
        }
        apart
    }

    fn provider(&self, number: u16) -> Process {
        self.provider_with(number, &[])
    }

    fn provider_with(&self, number: u16, more: &[&str]) -> Process {
        let name = format!("provider-{number}");
        let args = ["provider", &name, "--stake", "500", "--bind", "127.0.0.1:0", "--json"];
        let mut provider = self.net.spawn(&[&args[..], more].concat());
        let line = provider.first_line();
        assert!(line.contains("ready"), "{line:?}\n{}", self.net.log());
        provider
    }

    /// Stops a provider's process at a moment at which it holds claimed ranges and nothing that is
    /// handed in but not yet settled. What is handed in is fetched from the provider alone, so if it
    /// went away for ever at another moment, those results would rightly be lost.
    fn freeze_with_only_claimed_work(&self, number: u16) {
        let account = self.net.json(&["account", "show", &format!("provider-{number}")]);
        let process = &self.providers[usize::from(number - 1)];
        eventually("a provider that has only claimed work", || {
            process.signal("STOP");
            let shown = self.net.json(&["job", "show", "1"]);
            assert_ne!(shown["state"], "done", "the job ended too early: {shown}");
            let states: Vec<_> = shown["ranges"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|range| range["provider"] == account["address"])
                .map(|range| range["state"].as_str().unwrap())
                .collect();
            let fits = states.contains(&"claimed") && !states.contains(&"submitted");
            if !fits {
                process.signal("CONT");
            }
            fits.then_some(())
        });
    }

    /// Waits until every provider has noticed that the chain is gone.
    fn wait_until_providers_miss_the_chain(&self) {
        for number in 1..=self.providers.len() {
            let name = format!("provider-{number}");
            eventually("a provider misses the chain", || {
                let shown = self.net.json(&["provider", "status", &name]);
                (shown["status"]["chain"] == "away").then_some(())
            });
        }
    }

    /// Waits until so many tasks of job 1 have been handed in.
    fn wait_for_tasks(&self, wanted: u64) {
        eventually("tasks are handed in", || {
            let said = self.net.tilth(&["job", "show", "1", "--json"]);
            let shown: serde_json::Value = serde_json::from_str(&said.stdout).ok()?;
            let totals = &shown["totals"];
            let done = totals["submitted"].as_u64()? + totals["settled"].as_u64()?;
            (done >= wanted).then_some(())
        });
    }
}

/// About a fifth of a second of work per task. Ranges of who has gone away are taken back soon.
fn slow_job(net: &Net, tasks: u32) -> String {
    slow_job_with(net, tasks, "20s")
}

fn slow_job_with(net: &Net, tasks: u32, range_timeout: &str) -> String {
    let more = format!("[schedule]\ntarget = \"2s\"\nrange-timeout = \"{range_timeout}\"\n");
    net.job("slow", &guests::slow(150), &guests::job(tasks, 2.0, &more))
}

/// What the job's values must be, whoever computed them.
fn expected(tasks: u32) -> String {
    (0..tasks).fold(String::from("task,status,value\n"), |text, index| {
        let hex: String = index.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}{index},ok,{hex}\n")
    })
}

fn assert_complete(net: &Net, tasks: u32) {
    let result = net.json(&["job", "fetch", "1"]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
    let text = fs::read_to_string(result["output"].as_str().unwrap()).unwrap();
    assert_eq!(text, expected(tasks));
    // Each task was settled exactly once, and the client's money adds up.
    let shown = net.json(&["job", "show", "1"]);
    let settled: u64 = shown["ranges"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|range| range["state"] == "settled")
        .map(|range| range["count"].as_u64().unwrap())
        .sum();
    assert_eq!(settled, u64::from(tasks), "{shown}");
    let client = net.json(&["account", "show", "client"]);
    assert_eq!(client["locked"], "0");
}

#[test]
fn provider_killed_again_and_again_loses_nothing() {
    let mut apart = Apart::start(2);
    // However slow its starts are, its ranges are its own; if it forgot one, the job would not end in time.
    let job = slow_job_with(&apart.net, 60, "1h");
    let mut run = apart.net.spawn(&["run", &job]);
    for wanted in [2, 8, 16, 24] {
        apart.wait_for_tasks(wanted);
        apart.providers[0].kill();
        apart.providers[0] = apart.provider(1);
    }
    assert!(run.wait().success(), "{}", apart.net.log());
    assert_complete(&apart.net, 60);
    let shown = apart.net.json(&["job", "show", "1"]);
    let lost = shown["ranges"].as_array().unwrap().iter().filter(|r| r["state"] == "expired");
    assert_eq!(lost.count(), 0, "a killed provider finds its ranges again: {shown}");
}

#[test]
fn range_of_a_provider_that_never_comes_back_goes_to_another() {
    let mut apart = Apart::start(2);
    // So many that there are enough moments at which it has only claimed work.
    let job = slow_job(&apart.net, 80);
    let mut run = apart.net.spawn(&["run", &job]);
    apart.wait_for_tasks(3);
    apart.freeze_with_only_claimed_work(1);
    apart.providers[0].kill();
    assert!(run.wait().success(), "{}", apart.net.log());
    assert_complete(&apart.net, 80);
    let shown = apart.net.json(&["job", "show", "1"]);
    cuts_are_told_with_their_ranges(&apart.net, &shown);
}

/// What being late has cost the first provider is in the table, and each cut is shown with its range and its proof.
fn cuts_are_told_with_their_ranges(net: &Net, job: &serde_json::Value) {
    let owner = net.json(&["account", "show", "provider-1"])["address"].clone();
    let is_late =
        |range: &&serde_json::Value| range["state"] == "expired" && range["provider"] == owner;
    let late = job["ranges"].as_array().unwrap().iter().filter(is_late);
    let late: BTreeSet<_> = late.map(|range| range["seq"].as_u64().unwrap()).collect();
    assert!(!late.is_empty(), "{job}");

    let told = net.json(&["providers", "provider-1"]);
    let cuts = told["audits"].as_array().unwrap();
    let is_proved = |cut: &serde_json::Value| cut["job"] == 1 && cut["transaction"].is_string();
    assert!(cuts.iter().all(is_proved), "{told}");
    let of = cuts.iter().filter(|cut| cut["what"] == "stake cut: handed in too late");
    let of: BTreeSet<_> = of.map(|cut| cut["range"].as_u64().unwrap()).collect();
    assert_eq!(of, late, "{told}");
    let sum: u128 = cuts.iter().map(|cut| base_units(&cut["amount"])).sum();
    assert!(sum > 0, "{told}");
    let all = net.json(&["providers"]);
    let row = all.as_array().unwrap().iter().find(|row| row["name"] == "provider-1").unwrap();
    assert_eq!(base_units(&row["slashed"]), sum, "{all}");
}

#[test]
fn drained_provider_submits_what_it_runs_and_leaves() {
    let mut apart = Apart::start(1);
    let job = slow_job(&apart.net, 30);
    let mut run = apart.net.spawn(&["run", &job]);
    apart.wait_for_tasks(2);
    apart.providers[0].signal("TERM");
    assert!(apart.providers[0].wait().success(), "{}", apart.net.log());
    let shown = apart.net.json(&["job", "show", "1"]);
    assert_eq!(shown["totals"]["claimed"], 0, "{shown}");
    apart.providers[0] = apart.provider(1);
    assert!(run.wait().success(), "{}", apart.net.log());
    assert_complete(&apart.net, 30);
}

/// Service managers do not wait for an hour.
#[test]
fn a_provider_ends_without_waiting_to_be_paid_and_says_what_is_left() {
    let mut apart = Apart::start(1);
    let schedule = "[schedule]\ntarget = \"2s\"\nrange-timeout = \"60s\"\n";
    let more = format!("{schedule}[verification]\nwindow = \"1h\"\n");
    let job = apart.net.job("slow", &guests::slow(150), &guests::job(200, 2.0, &more));
    let mut run = apart.net.spawn(&["run", &job]);
    apart.wait_for_tasks(1);
    // The provider has all it needs; who would acknowledge what it delivers goes away.
    run.kill();
    eventually("something is delivered and not paid", || {
        let shown = apart.net.json(&["job", "show", "1"]);
        (shown["totals"]["submitted"].as_u64()? > 0).then_some(())
    });
    apart.providers[0].signal("TERM");
    assert!(apart.providers[0].wait().success(), "{}", apart.net.log());
    let shown = apart.net.json(&["job", "show", "1"]);
    assert_eq!(shown["totals"]["claimed"], 0, "{shown}");
    assert!(shown["totals"]["submitted"].as_u64().unwrap() > 0, "{shown}");
    let log = apart.net.log();
    assert!(log.contains("ranges are delivered and not yet paid"), "{log}");
}

/// Nobody else has what it has delivered.
#[test]
fn a_provider_that_does_not_come_back_stays_until_it_is_paid() {
    let mut apart = Apart::start(1);
    apart.providers[0].signal("TERM");
    assert!(apart.providers[0].wait().success(), "{}", apart.net.log());
    apart.providers[0] = apart.provider_with(1, &["--set", "wait-for-pay=true"]);
    // So little money is at risk that the window is ten seconds.
    let job = slow_job(&apart.net, 30);
    let mut run = apart.net.spawn(&["run", &job]);
    apart.wait_for_tasks(1);
    run.kill();
    apart.providers[0].signal("TERM");
    assert!(apart.providers[0].wait().success(), "{}", apart.net.log());
    let totals = apart.net.json(&["job", "show", "1"])["totals"].clone();
    assert_eq!((&totals["claimed"], &totals["submitted"]), (&0.into(), &0.into()), "{totals}");
    assert!(totals["settled"].as_u64().unwrap() > 0, "{totals}");
}

#[test]
fn chain_killed_in_the_middle_only_delays_the_job() {
    let mut apart = Apart::start(2);
    let job = slow_job(&apart.net, 40);
    let mut run = apart.net.spawn(&["run", &job]);
    for wanted in [2, 10] {
        apart.wait_for_tasks(wanted);
        apart.net.kill();
        apart.wait_until_providers_miss_the_chain();
        let listen = apart.listen.clone();
        apart.net.up(0, &["--listen", &listen]);
    }
    assert!(run.wait().success(), "{}", apart.net.log());
    assert_complete(&apart.net, 40);
}

#[test]
fn whole_network_killed_in_the_middle_carries_on() {
    let mut net = Net::start(2);
    let listen = net.rpc().trim_start_matches("http://").to_owned();
    let job = slow_job(&net, 40);
    let mut run = net.spawn(&["run", &job]);
    for _ in 0..2 {
        eventually("tasks are handed in", || {
            let said = net.tilth(&["job", "show", "1", "--json"]);
            let shown: serde_json::Value = serde_json::from_str(&said.stdout).ok()?;
            (shown["totals"]["units"].as_u64()? > 0).then_some(())
        });
        net.kill();
        net.up(2, &["--listen", &listen]);
    }
    assert!(run.wait().success(), "{}", net.log());
    assert_complete(&net, 40);
}

/// A node set up again from an old copy is another chain to those who have seen more. The agent cannot go
/// on, and its process must not look alive: whoever watches it has to know.
#[test]
fn provider_of_a_chain_that_lost_blocks_stops_and_says_so() {
    let mut apart = Apart::start(1);
    let (chain, copy) = (apart.net.dir.path().join("chain"), apart.net.dir.path().join("copy"));
    let listen = apart.listen.clone();
    apart.net.kill();
    let copied = Command::new("cp").arg("-a").args([&chain, &copy]).status().unwrap();
    assert!(copied.success());
    apart.net.up(0, &["--listen", &listen]);
    let job = apart.net.job("index", &guests::index(), &guests::job(4, 0.001, ""));
    apart.net.json(&["run", &job]);
    apart.net.kill();
    fs::remove_dir_all(&chain).unwrap();
    fs::rename(&copy, &chain).unwrap();
    apart.net.up(0, &["--listen", &listen]);
    assert_eq!(apart.providers[0].wait().code(), Some(1));
    assert!(apart.net.log().contains("lost blocks"), "{}", apart.net.log());
}

/// A small file system, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk_is_said_and_nothing_is_lost_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount(400) else {
        eprintln!("SKIPPED: this user may not mount a small file system (needs root)");
        return;
    };
    let net = Net::start(1);
    let job = net.job("index", &guests::index(), &guests::job(50, 0.001, ""));
    // The client's side of the folder lies on the small disk, and something else fills it.
    fs::create_dir(disk.0.path().join("client")).unwrap();
    std::os::unix::fs::symlink(disk.0.path().join("client"), net.dir.path().join("client"))
        .unwrap();
    let ballast = disk.0.path().join("ballast");
    let _ = fs::write(&ballast, vec![1_u8; 300 << 20]);
    let said = net.tilth(&["run", &job]);
    assert!(said.problem().contains("disk is full"), "{said:?}");
    let client = net.json(&["account", "show", "client"]);
    assert_eq!(client["locked"], "0", "nothing was locked for a job that could not be served");
    fs::remove_file(&ballast).unwrap();
    let result = net.json(&["run", &job]);
    assert_eq!((&result["state"], &result["missing"]), (&"done".into(), &0.into()), "{result}");
}

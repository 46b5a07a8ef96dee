//! What an owner does with a provider: pause, resume, look, count the earnings, install.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    guests,
    net::{Net, TILTH, base_units, eventually, finish, tilth},
    shop::{model, model_workers},
};

/// States of the workers below a process: `R` and `S` run, `T` stands still.
fn workers(below: u32) -> Vec<char> {
    let mut parents = BTreeMap::new();
    let mut states = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap());
        parents.insert(pid, parent.parse::<u32>().unwrap());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        if words.get(1..3) == Some(&[b"worker".as_slice(), b"serve".as_slice()]) {
            states.insert(pid, state.chars().next().unwrap());
        }
    }
    let is_below = |mut pid: u32| {
        while pid > 1 && pid != below {
            pid = parents.get(&pid).copied().unwrap_or(0);
        }
        pid == below
    };
    states.into_iter().filter(|(pid, _)| is_below(*pid)).map(|(_, state)| state).collect()
}

#[test]
fn a_paused_provider_stands_still_and_finishes_after_it_is_resumed() {
    let net = Net::start(1);
    let more = "[schedule]\ntarget = \"10s\"\nrange-timeout = \"120s\"\nfirst-range = 40\n";
    let job = net.job("slow", &guests::slow(150), &guests::job(40, 2.0, more));
    let mut run = net.spawn(&["run", &job, "--json"]);
    let name = "provider-1";
    let status = || net.json(&["provider", "status", name]);
    eventually("the provider runs a range", || {
        let shown = status();
        (shown["status"]["slots"][0]["doing"] == "running").then_some(())
    });
    let paused = net.json(&["provider", "pause", name]);
    assert_eq!((&paused["paused"], &paused["running"]), (&true.into(), &true.into()), "{paused}");
    assert_eq!(paused["status"]["rests"], serde_json::json!(["paused"]));
    let agent = net.up.as_ref().unwrap().child.id();
    eventually("its worker stands still", || {
        let states = workers(agent);
        (!states.is_empty() && states.iter().all(|state| *state == 'T')).then_some(())
    });
    let said = net.tilth(&["provider", "status", name]);
    assert!(said.stdout.contains("resting: the owner paused it"), "{said:?}");
    let held = net.json(&["job", "show", "1"])["totals"].clone();
    let resumed = net.json(&["provider", "resume", name]);
    assert_eq!(resumed["status"]["rests"], serde_json::json!([]), "{resumed}");
    assert!(held["submitted"].as_u64().unwrap() + held["settled"].as_u64().unwrap() < 40, "{held}");
    assert!(run.wait().success(), "{}", net.log());
    let shown = net.json(&["job", "show", "1"]);
    let ranges = shown["ranges"].as_array().unwrap();
    assert!(ranges.iter().all(|range| range["state"] == "settled"), "nothing was lost: {shown}");

    earnings_add_up(&net, &shown, name);
}

fn earnings_add_up(net: &Net, shown: &Value, name: &str) {
    let ranges = shown["ranges"].as_array().unwrap();
    let paid = ranges.iter().map(|range| base_units(&range["paid"])).sum::<u128>();
    let fees = base_units(&shown["totals"]["fees"]);
    for by in ["day", "job", "workload", "range"] {
        let said = net.json(&["provider", "earnings", name, "--by", by]);
        let total = &said["total"];
        assert_eq!(base_units(&total["paid"]), paid, "{said}");
        assert_eq!(base_units(&total["fees"]), fees, "{said}");
        assert_eq!(base_units(&total["gross"]), paid + fees, "{said}");
        assert_eq!((&total["tasks"], &total["lost"]), (&40.into(), &"0".into()), "{said}");
        let rows = said["rows"].as_array().unwrap();
        assert_eq!(rows.len(), if by == "range" { ranges.len() } else { 1 }, "{said}");
        assert_eq!(rows.iter().map(|row| base_units(&row["paid"])).sum::<u128>(), paid);
    }
    let said = net.tilth(&["provider", "earnings", name, "--by", "job", "--csv"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines[0], "job,ranges,tasks,units,gross,fees,paid,lost,net");
    assert!(lines.len() == 2 && lines[1].starts_with("1,"), "{said:?}");
    let later = net.json(&["provider", "earnings", name, "--since", "2999-01-01"]);
    assert_eq!(later["rows"], serde_json::json!([]));
    let said = net.tilth(&["provider", "earnings", name, "--since", "tomorrow"]);
    assert!(said.problem().contains("2026-11-28"), "{said:?}");
}

#[test]
fn a_pause_waits_for_a_provider_that_does_not_run() {
    let net = Net::start(0);
    let said = net.tilth(&["provider", "pause", "nobody"]);
    assert!(said.problem().contains("no such provider"), "{said:?}");
    let folder = net.dir.path().join("providers/garage");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    let said = net.json(&["provider", "pause", "garage"]);
    assert_eq!((&said["running"], &said["paused"]), (&false.into(), &true.into()));
    let said = net.tilth(&["provider", "status", "garage"]);
    assert!(said.stdout.contains("does not run, and it is paused\n"), "{said:?}");
    let said = net.json(&["provider", "resume", "garage"]);
    assert_eq!(said["paused"], false);
    let said = net.tilth(&["provider", "pause", "garage", "--for", "2h"]);
    assert!(said.status.success() && said.stdout.contains(" until 20"), "{said:?}");
    let said = net.json(&["provider", "status", "garage"]);
    assert!(said["paused"] == true && said["paused-until"].as_u64().is_some(), "{said}");
    let said = net.tilth(&["provider", "status", "garage"]);
    assert!(said.stdout.contains("does not run, and it is paused until 20"), "{said:?}");
    net.json(&["provider", "resume", "garage"]);
    let said = net.tilth(&["provider", "pause", "garage", "--for", "0s"]);
    assert!(!said.status.success() && said.stderr.contains("no time at all"), "{said:?}");
    let said = net.json(&["provider", "status", "garage"]);
    assert!(said["paused"] == false && said["paused-until"].is_null(), "{said}");
    let said = net.tilth(&["provider", "status", "../garage"]);
    assert!(said.problem().contains("cannot be a provider's name"), "{said:?}");
}

#[test]
fn configurations_are_printed_read_and_refused() {
    let printed = tilth(&["provider", "config"]);
    assert!(printed.status.success());
    let net = Net::start(0);
    net.json(&["account", "new", "garage"]);
    net.json(&["account", "new", "garage-node"]);
    let file = net.dir.path().join("garage.toml");
    let file_text = file.display().to_string();
    let refused = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        let args = [&["provider", "garage", "--config", &file_text], more].concat();
        net.tilth(&args).problem().to_owned()
    };
    assert!(
        refused("[idle]\nwhen-bussy = \"pause\"\n", &[]).contains("did you mean `idle.when-busy`")
    );
    assert!(refused("", &["--set", "data.relay=nowhere"]).contains("relay"));
    assert!(refused("[power]\nwatts = 300\n", &[]).contains("electricity needs both"));
    // With everything in order it is the missing stake that stops this provider.
    let text = refused(&printed.stdout, &[]);
    assert!(!text.contains("configuration"), "{text}");
}

#[test]
fn an_owner_who_wants_the_memory_gets_that_of_models_and_they_come_back() {
    let mut net = Net::start(1);
    let listen = net.rpc().trim_start_matches("http://").to_owned();
    net.up.as_ref().unwrap().signal("TERM");
    assert!(net.up.as_mut().unwrap().wait().success(), "{}", net.log());
    net.up(0, &["--listen", &listen]);
    let folder = tempfile::tempdir().unwrap();
    let file = model(folder.path()).display().to_string();
    let options = net.dir.path().join("providers/provider-1/provider.toml");
    let text = format!("models = [{file:?}]\n[idle]\nwhen-busy = \"release\"\n");
    fs::write(options, text).unwrap();
    let name = "provider-1";
    let args = ["provider", name, "--stake", "500", "--bind", "127.0.0.1:0", "--json"];
    let mut provider = net.spawn(&args);
    let line = provider.first_line();
    assert!(line.contains("ready"), "{line:?}\n{}", net.log());
    let loaded = || !model_workers(provider.child.id()).is_empty();
    assert!(loaded(), "a provider that is ready has its models");
    net.json(&["provider", "pause", name]);
    eventually("its memory is free", || (!loaded()).then_some(()));
    net.json(&["provider", "resume", name]);
    eventually("the model is back", || loaded().then_some(()));
}

#[test]
fn an_owner_takes_the_stake_out() {
    let net = Net::start(1);
    let name = "provider-1";
    let said = net.tilth(&["provider", "leave", "client"]);
    assert!(said.problem().contains("no provider"), "{said:?}");
    eventually("it says what it has and why it has no work", || {
        let said = net.tilth(&["provider", "status", name]).stdout;
        let all = ["stake  ", "gas  ", "there is no open job"];
        all.iter().all(|words| said.contains(words)).then_some(())
    });
    let said = net.tilth(&["provider", "withdraw", name]);
    assert!(said.problem().contains("nothing of the stake is leaving"), "{said:?}");
    let grain = 10_u128.pow(18);
    let said = net.json(&["provider", "leave", name, "10"]);
    let stake = &said["stake"];
    assert_eq!(base_units(&said["left"]), 10 * grain);
    assert_eq!(base_units(&stake["leaving"]), 10 * grain);
    // It does not wait long for the chain, and says nothing of the stake then.
    eventually("its status says the same", || {
        (net.json(&["provider", "status", name])["stake"] == *stake).then_some(())
    });
    let staked = base_units(&stake["staked"]);
    assert!(staked > 0 && base_units(&stake["free"]) == staked, "{said}");
    let said = net.tilth(&["provider", "leave", name, "1000000000"]);
    assert!(said.problem().contains("so much stake cannot leave"), "{said:?}");
    let said = net.json(&["provider", "leave", name]);
    assert_eq!(base_units(&said["left"]), staked, "{said}");
    assert_eq!(base_units(&said["stake"]["leaving"]), staked + 10 * grain, "{said}");
    let said = net.tilth(&["provider", "leave", name]);
    assert!(said.problem().contains("tilth provider withdraw"), "{said:?}");
    let said = net.tilth(&["provider", "withdraw", name]);
    assert!(said.problem().contains("has not left yet"), "{said:?}");
}

/// A unit file that systemd itself accepts, where its checker is.
#[test]
fn a_service_is_installed_and_taken_away() {
    let net = Net::start(0);
    net.json(&["account", "new", "garage"]);
    net.json(&["account", "new", "garage-node"]);
    let home = tempfile::tempdir().unwrap();
    let service = |args: &[&str]| {
        let mut command = Command::new(TILTH);
        command.arg("provider").args(args).arg("--dir").arg(net.dir.path());
        // A home of its own, and no service manager: nothing of this machine's user is touched.
        command.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("DBUS_SESSION_BUS_ADDRESS");
        finish(&mut command)
    };
    let unit = home.path().join(".config/systemd/user/tilth-provider-garage.service");
    let said = service(&["install", "garage", "--dry-run"]);
    assert!(said.status.success() && said.stdout.contains("ExecStart="), "{said:?}");
    assert!(said.stdout.contains("enable-linger") && !unit.exists());
    let said = service(&["install", "nobody"]);
    assert!(said.problem().contains("nobody"), "{said:?}");
    // What the service could only fail with is said by whoever installs it.
    let options = net.dir.path().join("providers/garage/provider.toml");
    fs::create_dir_all(options.parent().unwrap()).unwrap();
    fs::write(&options, "slots = 0\n").unwrap();
    let said = service(&["install", "garage"]);
    assert!(said.problem().contains("slots") && !unit.exists(), "{said:?}");
    fs::write(&options, "wait-for-pay = true\n").unwrap();
    let said = service(&["install", "garage"]);
    assert!(said.problem().contains("wait-for-pay") && !unit.exists(), "{said:?}");
    fs::write(&options, "slots = 2\n").unwrap();
    let said = service(&["install", "garage"]);
    assert!(said.status.success(), "{said:?}");
    verify(&unit, home.path());
    let text = fs::read_to_string(&unit).unwrap();
    for hardening in ["NoNewPrivileges=yes", "Delegate=cpu memory pids", "Nice=10"] {
        assert!(text.contains(hardening), "{text}");
    }
    let said = service(&["uninstall", "garage", "--dry-run"]);
    assert!(said.status.success() && unit.exists(), "{said:?}");
    let said = service(&["uninstall", "garage"]);
    assert!(said.status.success() && !unit.exists(), "{said:?}");
    let said = service(&["uninstall", "garage"]);
    assert!(said.problem().contains("not installed"), "{said:?}");
}

fn verify(unit: &Path, home: &Path) {
    let mut command = Command::new("systemd-analyze");
    command.args(["--user", "--man=no", "verify"]).arg(unit);
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home);
    match command.output() {
        Ok(said) => {
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            let about_it = text.lines().filter(|line| line.contains("tilth-provider"));
            assert_eq!(about_it.count(), 0, "{text}");
            assert!(said.status.success(), "{text}");
        }
        Err(error) => {
            eprintln!("SKIPPED systemd-analyze verify: {error} (Debian: systemd)");
        }
    }
}

//! Folders, sweeps, templates and jobs after jobs, as people run them.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    guests,
    net::{Net, eventually, repository, tilth},
};

/// A template's job file in a fresh folder.
fn template(dir: &Path, name: &str) -> String {
    let at = dir.join(name);
    let said = tilth(&["job", "new", name, at.to_str().unwrap(), "--json"]).json();
    said["job-file"].as_str().unwrap().to_owned()
}

fn read(path: &str, name: &str) -> String {
    let path = Path::new(path).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Two jobs: `map` with its tasks, then one with a single task.
fn two_jobs(net: &Net, name: &str, map: &str, tasks: u32, gfuel: f64) -> String {
    let after = "[after]\nprogram = \"after.wasm\"\ntasks = 1\n[after.limits]\ngfuel-per-task = 0.1\n\
                 memory = \"8MiB\"\noutput = \"64KiB\"\n[after.output]\nkind = \"values\"\n";
    net.job("after", &guests::index(), &guests::job(1, 0.1, ""));
    net.job(name, map, &guests::job(tasks, gfuel, after))
}

#[test]
fn templates_run_at_once() {
    let net = Net::start(2);
    let dir = net.dir.path();
    let map = net.json(&["run", &template(dir, "map")]);
    assert_eq!((&map["state"], &map["missing"]), (&"done".into(), &0.into()), "{map}");
    assert!(read(map["output"].as_str().unwrap(), "07").ends_with(" 1000000\n"));

    let job = template(dir, "sweep");
    let out = dir.join("swept");
    let sweep = net.json(&["run", &job, "--out", out.to_str().unwrap()]);
    assert_eq!(sweep["tasks"], 30, "{sweep}");
    let table = fs::read_to_string(dir.join("swept.tasks.csv")).unwrap();
    assert!(table.starts_with("task,status,output,rate,start\n0,ok,00,2.5,0.2\n"), "{table}");
    let rows: Value =
        serde_json::from_slice(&fs::read(dir.join("swept.tasks.json")).unwrap()).unwrap();
    assert_eq!(rows[29]["parameters"]["rate"], 3.9, "{rows}");
    // Below 3 the map rests at 1 - 1/rate.
    let rest: f64 = read(out.to_str().unwrap(), "00").trim().parse().unwrap();
    assert!((rest - 0.6).abs() < 1e-12, "{rest}");

    let job = template(dir, "folder");
    let folder = net.json(&["run", &job]);
    let output = folder["output"].as_str().unwrap();
    assert_eq!(read(output, "three.count"), "3 lines, 5 words, 30 bytes\n");
    fs::write(dir.join("own.txt"), "mine").unwrap();
    fs::write(dir.join(".own.txt"), "hidden").unwrap();
    let pattern = dir.join("*.txt").display().to_string();
    let said = net.tilth(&["quote", &job, &pattern]);
    assert!(said.stderr.contains("left out of") && said.status.success(), "{said:?}");
    let said = net.tilth(&["run", &job, &pattern, "--json"]);
    assert!(said.stderr.contains("left out of") && said.stderr.contains("1 hidden"), "{said:?}");
    let own: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(read(own["output"].as_str().unwrap(), "own.count"), "0 lines, 1 words, 4 bytes\n");

    let job = template(dir, "map-reduce");
    let said = net.tilth(&["quote", &job]);
    assert!(said.problem().contains("has an [after]"), "{said:?}");
    let pi = net.json(&["run", &job]);
    assert_eq!((&pi["state"], &pi["stopped"]), (&"done".into(), &Value::Null), "{pi}");
    let text = read(pi["output"].as_str().unwrap(), "pi.txt");
    assert!(text.starts_with("20 tasks, 20000000 darts, pi is about 3.14"), "{text}");
    let listed = net.json(&["job", "ls"]);
    let last = &listed[0]["pipeline"];
    assert_eq!((&last["stage"], &last["stages"]), (&1.into(), &2.into()), "{listed}");
    let shown = net.tilth(&["job", "show", "5"]).stdout;
    assert!(shown.contains("stage 2 (pi, together, 1 tasks) is complete, job 6"), "{shown}");
    // The same without any network.
    let bare = tilth(&["try", &template(&dir.join("bare"), "map-reduce"), "--json"]).json();
    let bare = read(bare["stages"][1]["output"].as_str().unwrap(), "pi.txt");
    assert_eq!(bare, text);
}

#[test]
fn killed_client_goes_on_with_the_next_job_and_pays_nothing_twice() {
    let net = Net::start(2);
    let before = net.json(&["account", "show", "client"]);
    let job = two_jobs(&net, "slow", &guests::slow(20), 40, 1.0);
    let mut run = net.spawn(&["run", &job]);
    eventually("a range is claimed", || {
        let shown = net.tilth(&["job", "show", "1", "--json"]);
        let shown: Value = serde_json::from_str(&shown.stdout).ok()?;
        (!shown["ranges"].as_array()?.is_empty()).then_some(())
    });
    run.kill();
    let result = net.json(&["job", "fetch", "1"]);
    assert_eq!(result["state"], "done", "{result}");
    let stages = result["stages"].as_array().unwrap();
    let jobs: Vec<_> = stages.iter().map(|stage| stage["job"].clone()).collect();
    assert_eq!(jobs, [1, 2], "{result}");
    // Once it is over, its jobs are jobs like others.
    assert_eq!(net.json(&["job", "fetch", "1"])["job"], 1);
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 2);
    let after = net.json(&["account", "show", "client"]);
    let amount = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let paid: u128 =
        stages.iter().map(|stage| amount(&stage["paid"]) + amount(&stage["fees"])).sum();
    assert_eq!(amount(&before["free"]) - amount(&after["free"]), paid);
    assert_eq!(after["locked"], "0");
}

#[test]
fn failed_or_cancelled_job_is_followed_by_none() {
    let net = Net::start(1);
    let zoo = two_jobs(&net, "zoo", &guests::zoo(), 8, 0.5);
    let said = net.tilth(&["run", &zoo, "--json"]);
    assert!(!said.status.success());
    let result: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&result["state"], &result["stopped"]["stage"]), (&"stopped".into(), &1.into()));
    assert!(result["stopped"]["why"].as_str().unwrap().contains("6 tasks failed"), "{result}");
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 1);

    let slow = two_jobs(&net, "slow", &guests::slow(30), 400, 1.0);
    let mut run = net.spawn(&["run", &slow]);
    eventually("the job is open", || net.log().contains("stage 1 of 2, job 2").then_some(()));
    let cancelled = net.json(&["job", "cancel", "2"]);
    assert_eq!(cancelled["pipeline"], 2, "{cancelled}");
    assert!(!run.wait().success(), "{}", net.log());
    assert_eq!(net.json(&["job", "show", "2"])["state"], "cancelled");
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 2);
    let shown = net.tilth(&["job", "show", "2"]).stdout;
    assert!(shown.contains("pipeline 2, cancelled"), "{shown}");
}

/// The second science example at a fraction of its size: on the farm, against the published equation.
#[test]
fn small_lennard_jones_agrees_with_the_published_equation_of_state() {
    let net = Net::start(2);
    let job = repository("examples/lennard-jones/small.toml");
    let out = net.dir.path().join("lj");
    let result = net.json(&["run", job.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(result["state"], "done", "{result}");
    let table = read(out.to_str().unwrap(), "comparison.csv");
    let mut compared = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        let (ours, error, published) = (number(4), number(5), number(6));
        // Short runs know their own errors badly: a floor beside four of them.
        assert!((ours - published).abs() < 4.0 * error + 0.05, "{row}\n{table}");
        compared += 1;
    }
    assert_eq!(compared, 12, "{table}");
    let svg = read(out.to_str().unwrap(), "isotherms.svg");
    assert_eq!(svg.matches("<circle").count(), 6);
}

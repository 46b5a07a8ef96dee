//! A whole job between people behind routers that hide their ports: provider and client share nothing but
//! the chain and a relay, which admits them because the chain says who they are.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    ground::{Ground, Router, STREET, STREET_ADDRESS},
    net::{Net, Process, TILTH, eventually, finish, tilth},
};

/// The first account of the well-known development mnemonic, which has money on a development chain.
const RICH: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Tasks of the job, 64 KiB each.
const TASKS: u32 = 4;

/// A command that runs the program in a place.
fn command(ground: &Ground, place: &str, dir: &Path, args: &[&str]) -> Command {
    let mut command = ground.command(place, TILTH);
    command.args(args).args(["--json", "--log", "info", "--dir"]).arg(dir);
    command
}

/// Starts the program in a place; what it logs goes to a file of that name.
fn start(ground: &Ground, place: &str, dir: &Path, name: &str, args: &[&str]) -> Process {
    let log = fs::File::options().create(true).append(true).open(dir.join(name)).unwrap();
    let mut command = command(ground, place, dir, args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    Process { child: command.spawn().unwrap() }
}

/// A chain on the street, the contracts on it, and a provider that is registered and has staked.
fn network(ground: &Ground, net: &mut Net) -> Process {
    let dir = net.dir.path().to_owned();
    let chain_dir = dir.join("chain");
    fs::create_dir(&chain_dir).unwrap();
    let listen = format!("rpc.listen={STREET_ADDRESS}:0");
    let mut chain = start(ground, STREET, &chain_dir, "node.log", &["node", "--set", &listen]);
    let about: Value = serde_json::from_str(&chain.first_line()).unwrap();
    let rpc = about["rpc"].as_str().unwrap().to_owned();
    let key = dir.join("rich.key");
    fs::write(&key, RICH).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    net.up(1, &["--rpc", &rpc, "--key", &key.display().to_string()]);
    net.up.as_ref().unwrap().signal("TERM");
    assert!(net.up.as_mut().unwrap().wait().success(), "{}", net.log());
    net.kill();
    chain
}

#[test]
fn a_job_is_done_and_paid_although_nobody_can_dial_anybody() {
    const TEST: &str = "a_job_is_done_and_paid_although_nobody_can_dial_anybody";
    let Some(mut ground) = Ground::new(TEST) else { return };
    let mut net = Net { dir: tempfile::tempdir().unwrap(), up: None, about: Value::Null };
    let dir = net.dir.path().to_owned();
    let _chain = network(&ground, &mut net);
    ground.home(1, Router::Symmetric);
    ground.home(2, Router::Symmetric);
    let log = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();

    // The relay is for this network only.
    let listen = format!("{STREET_ADDRESS}:0");
    let args = [
        "relay",
        "--listen",
        &listen,
        "--set",
        "access.who=network",
        "--set",
        "access.least-stake=1",
    ];
    let mut relay = start(&ground, STREET, &dir, "relay.log", &args);
    let about: Value = serde_json::from_str(&relay.first_line()).unwrap();
    let (url, certificate) =
        (about["urls"][0].as_str().unwrap(), about["certificate"].as_str().unwrap());
    let data = format!("[data]\nrelay = [\"{url}\"]\nrelay-certificate = \"{certificate}\"\n");
    fs::write(dir.join("client.toml"), &data).unwrap();
    let own = dir.join("providers/provider-1/provider.toml");
    fs::write(own, format!("stake = \"1\"\n{data}")).unwrap();
    let mut provider = start(&ground, "home1", &dir, "provider.log", &["provider", "provider-1"]);
    let line = provider.first_line();
    assert!(line.contains("ready"), "{line}\n{}", log("provider.log"));

    // Each task writes 64 KiB that tell its number.
    let wat = r#"(module (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\10\00\00\00\00\00\01\00")
        (func (export "task") (param $i i32)
            (i32.store (i32.const 5000) (i32.add (local.get $i) (i32.const 1)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let rest = format!(
        "tasks = {TASKS}\n[limits]\ngfuel-per-task = 0.01\nmemory = \"1MiB\"\noutput = \"128KiB\"\n\
         [price]\nper-gfuel = \"0.1\"\n[output]\nkind = \"files\"\n"
    );
    let job = net.job("far", wat, &rest);
    let out = dir.join("far-out");
    let out = out.display().to_string();
    let said = finish(&mut command(&ground, "home2", &dir, &["run", &job, "--out", &out]));
    let logs = || format!("{}\n{}", log("provider.log"), log("relay.log"));
    assert!(said.status.success(), "{said:#?}\n{}", logs());

    // The same tasks on this machine alone give the same bytes.
    let alone = dir.join("alone");
    let tried = tilth(&["try", &job, "--json", "--out", &alone.display().to_string()]);
    tried.json();
    let files = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(read).collect();
        files.sort();
        files
    };
    let (far, near) = (files(Path::new(&out)), files(&alone));
    assert!(far.len() >= TASKS as usize && far == near, "{:?}", far.len());

    // Two homes behind such routers have nothing but the relay: what went over it are the program, the
    // inputs and the results.
    relay.signal("TERM");
    assert!(relay.wait().success());
    let passed_on = eventually("the relay says what went over it", || {
        let log = log("relay.log");
        let last = log.lines().rfind(|line| line.contains("passed on since the start"))?.to_owned();
        let (_, rest) = last.split_once("sent_bytes=")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    });
    assert!(passed_on > u64::from(TASKS) * 65_536, "{passed_on} bytes");
}

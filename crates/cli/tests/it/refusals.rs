//! What is refused before anything is sent or paid, with advice.

use std::fs;

use crate::{
    guests,
    net::{Net, tilth},
};

#[test]
fn bad_job_files_are_refused_and_nothing_is_paid() {
    let net = Net::start(0);
    let good = net.job("index", &guests::index(), &guests::job(5, 0.001, ""));
    let text = fs::read_to_string(&good).unwrap();
    let folder = net.dir.path().join("job-files");
    let before = net.json(&["account", "show", "client"]);
    let refused = |name: &str, bytes: &[u8], names: &str| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        let said = net.tilth(&["run", path.to_str().unwrap()]);
        assert!(said.problem().contains(names), "{name}: {said:?}");
    };
    refused("broken.toml", b"name = ", "not valid");
    refused("unknown.toml", format!("colour = 1\n{text}").as_bytes(), "colour");
    refused("zero.toml", text.replace("tasks = 5", "tasks = 0").as_bytes(), "number of tasks");
    refused("huge.toml", &vec![b'#'; 3 << 20], "too large");
    refused("binary.toml", &[0xff, 0, 0xfe], "UTF-8");
    refused("missing.toml", text.replace("index.wasm", "gone.wasm").as_bytes(), "gone.wasm");
    let asset = text.replace("[limits]", "[inputs]\n\"a\" = \"absent.bin\"\n[limits]");
    refused("asset.toml", asset.as_bytes(), "absent.bin");
    fs::write(folder.join("text.wasm"), "hello").unwrap();
    refused("text.toml", text.replace("index.wasm", "text.wasm").as_bytes(), "not WebAssembly");
    let absent = net.tilth(&["run", "/nowhere/job.toml"]);
    assert!(absent.problem().contains("/nowhere/job.toml"));
    assert_eq!(net.json(&["account", "show", "client"]), before);
    assert!(net.json(&["job", "ls"]).as_array().unwrap().is_empty());
}

#[test]
fn too_little_money_is_said_before_anything_is_locked() {
    let net = Net::start(0);
    let job = net.job("index", &guests::index(), &guests::job(5, 0.001, ""));
    let said = net.tilth(&["run", &job, "--funds", "1000000"]);
    assert!(said.problem().contains("too small"), "{said:?}");
    net.json(&["account", "new", "poor"]);
    let said = net.tilth(&["run", &job, "--account", "poor"]);
    assert!(said.problem().contains("balance"), "{said:?}");
}

#[test]
fn commands_without_a_network_say_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    for args in [&["job", "ls"][..], &["providers"], &["account", "ls"], &["run", "x.toml"]] {
        let said = tilth(&[args, &["--dir", dir]].concat());
        assert!(said.problem().contains("tilth up"), "{args:?}: {said:?}");
    }
}

#[test]
fn chain_that_is_down_is_said() {
    let mut net = Net::start(0);
    net.kill();
    let said = net.tilth(&["account", "show", "client"]);
    assert!(said.problem().contains("cannot be reached"), "{said:?}");
}

#[test]
fn port_in_use_is_said() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let said = tilth(&["up", "--dir", dir.path().to_str().unwrap(), "--listen", &address]);
    assert!(said.problem().contains("another port"), "{said:?}");
}

#[test]
fn unknown_job_is_said() {
    let net = Net::start(0);
    for args in [&["job", "show", "7"][..], &["job", "fetch", "7"]] {
        assert!(net.tilth(args).problem().contains("no such job"), "{args:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let net = Net::start(0);
    let tilth = |stdout: std::process::Stdio, stderr: std::process::Stdio| {
        std::process::Command::new(env!("CARGO_BIN_EXE_tilth"))
            .args(["account", "ls", "--dir"])
            .arg(net.dir.path())
            .stdout(stdout)
            .stderr(stderr)
            .output()
            .unwrap()
    };
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let said = tilth(gone().into(), std::process::Stdio::piped());
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let said = tilth(full().into(), std::process::Stdio::piped());
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && words.contains("cannot be written"), "{said:?}");
    assert!(words.contains("to do:") && !words.contains("panicked"), "{said:?}");
    let said = tilth(full().into(), gone().into());
    assert_eq!(said.status.code(), Some(1), "{said:?}");
}

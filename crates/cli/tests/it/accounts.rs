//! Accounts and money from the command line, and the network's life from one start to the next.

use crate::{
    guests,
    net::{Net, base_units},
};

const GRAIN: u128 = 1_000_000_000_000_000_000;

#[test]
fn accounts_hold_send_deposit_and_withdraw() {
    let net = Net::start(0);
    net.json(&["account", "new", "alice"]);
    let empty = net.json(&["account", "show", "alice"]);
    assert_eq!((base_units(&empty["native"]), base_units(&empty["free"])), (0, 0));
    net.json(&["account", "send", "client", "alice", "5"]);
    net.json(&["account", "deposit", "alice", "3"]);
    net.json(&["account", "withdraw", "alice", "1.5"]);
    let alice = net.json(&["account", "show", "alice"]);
    assert_eq!(base_units(&alice["free"]), GRAIN * 3 / 2);
    // What is missing from 3.5 in the wallet is gas.
    let wallet = base_units(&alice["native"]);
    assert!(wallet > 3 * GRAIN && wallet < GRAIN * 7 / 2, "{wallet}");

    let listed = net.json(&["account", "ls"]);
    assert!(listed.as_array().unwrap().iter().any(|row| row["name"] == "alice"), "{listed}");
    let table = net.tilth(&["account", "ls"]);
    assert!(table.stdout.contains("alice") && table.stdout.contains("1.5"), "{table:?}");

    for (args, names) in [
        (&["account", "withdraw", "alice", "2"][..], "balance"),
        (&["account", "deposit", "alice", "100"], "balance"),
        (&["account", "send", "alice", "client", "100"], "balance"),
        (&["account", "show", "nobody"], "no account"),
        (&["account", "new", "alice"], "exists"),
        (&["account", "new", "../alice"], "name"),
    ] {
        let said = net.tilth(args);
        assert!(said.problem().contains(names), "{args:?}: {said:?}");
    }
}

#[test]
fn network_carries_on_after_ctrl_c_and_after_kill() {
    let mut net = Net::start(2);
    let job = net.job("index", &guests::index(), &guests::job(50, 0.001, ""));
    let first = net.json(&["run", &job]);
    let balance = net.json(&["account", "show", "client"]);

    net.up.as_ref().unwrap().signal("INT");
    assert!(net.up.as_mut().unwrap().wait().success(), "{}", net.log());
    net.up(2, &[]);
    assert_eq!(net.json(&["account", "show", "client"]), balance);
    assert_eq!(net.json(&["run", &job])["sha256"], first["sha256"]);

    net.kill();
    net.up(3, &[]);
    assert_eq!(net.json(&["job", "ls"]).as_array().unwrap().len(), 2);
    assert_eq!(net.json(&["run", &job])["sha256"], first["sha256"]);
    assert_eq!(net.json(&["providers"]).as_array().unwrap().len(), 3);
    // Results of the first job are still there, too.
    assert_eq!(net.json(&["job", "fetch", "1"])["sha256"], first["sha256"]);
}

#[test]
fn one_folder_runs_one_network_and_fresh_begins_anew() {
    let mut net = Net::start(0);
    let dir = net.dir.path().to_str().unwrap().to_owned();
    let second = crate::net::tilth(&["up", "--dir", &dir, "--listen", "127.0.0.1:0"]);
    assert!(second.problem().contains("already"), "{second:?}");
    net.json(&["account", "new", "alice"]);
    net.kill();
    net.up(0, &["--fresh"]);
    let listed = net.json(&["account", "ls"]);
    assert!(listed.as_array().unwrap().iter().all(|row| row["name"] != "alice"), "{listed}");
}

#[test]
fn doctor_says_what_is_enforced() {
    let said = crate::net::tilth(&["doctor", "--json"]).json();
    let measures = said["protection"].as_array().unwrap();
    assert!(measures.len() >= 8, "{said}");
    for measure in measures {
        assert!(measure["enforced"] == true || measure["why"].is_string(), "{measure}");
    }
}

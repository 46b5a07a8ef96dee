//! Programs of others against our chain, and our program against their chain.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    guests,
    net::{Net, Process, base_units, eventually, repository},
    running::http,
};

/// A tool from the npm packages of `contracts/`. `cargo xtask setup` installs them.
fn tool(name: &str) -> PathBuf {
    let path = repository(&format!(
        "contracts/node_modules/@foundry-rs/{name}-linux-{}/bin/{name}",
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
    ));
    assert!(path.exists(), "{} is missing: run `cargo xtask setup`", path.display());
    path
}

fn cast(rpc: &str, args: &[&str]) -> String {
    let output = Command::new(tool("cast")).args(args).args(["--rpc-url", rpc]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "cast {args:?}: {text}\n{output:?}");
    text
}

#[test]
fn cast_reads_and_sends() {
    let net = Net::start(0);
    let rpc = net.rpc();
    assert_eq!(cast(&rpc, &["chain-id"]), net.about["chain-id"].to_string());
    assert!(cast(&rpc, &["block-number"]).parse::<u64>().unwrap() > 0);
    let key_file = net.dir.path().join("accounts/client.key");
    let key = std::fs::read_to_string(key_file).unwrap();
    let to = "0x00000000000000000000000000000000000000aa";
    let sent =
        cast(&rpc, &["send", to, "--value", "1ether", "--private-key", key.trim(), "--json"]);
    let receipt: serde_json::Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(cast(&rpc, &["balance", to]), "1000000000000000000");
    let hash = receipt["transactionHash"].as_str().unwrap();
    assert!(cast(&rpc, &["tx", hash]).contains(hash));
    let ledger = net.about["contracts"]["ledger"].as_str().unwrap();
    let token = cast(&rpc, &["call", ledger, "token()(address)"]);
    let wanted = net.about["contracts"]["token"].as_str().unwrap();
    assert_eq!(token.to_lowercase(), wanted.to_lowercase());
    assert!(cast(&rpc, &["block", "latest"]).contains("stateRoot"));
    assert!(cast(&rpc, &["code", ledger]).len() > 1000);
    // A contract's refusal arrives with its reason.
    let refused = Command::new(tool("cast"))
        .args(["send", ledger, "withdraw(uint128)", "340282366920938463463374607431768211455"])
        .args(["--private-key", key.trim(), "--rpc-url", &rpc])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("revert"), "{refused:?}");
}

/// anvil, stopped when dropped.
struct Anvil(std::process::Child, String);

impl Anvil {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(tool("anvil"))
            .args(["--silent", "--port", &port.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let anvil = Self(child, format!("http://127.0.0.1:{port}"));
        eventually("anvil answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        anvil
    }

    fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, reply) = http(&self.1, "POST", "/", &request.to_string());
        let mut reply: Value = serde_json::from_str(&reply).unwrap();
        assert!(status == 200 && reply["error"].is_null(), "{method}: {reply}");
        reply["result"].take()
    }

    /// Number of the last block, and how many transactions are in it.
    fn last(&self) -> (u64, usize) {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false]));
        let number = block["number"].as_str().unwrap().trim_start_matches("0x");
        let transactions = block["transactions"].as_array().unwrap().len();
        (u64::from_str_radix(number, 16).unwrap(), transactions)
    }

    /// Puts an empty block in the place of the last one, if that is not empty: what was in it is lost, and in no pool.
    fn take_back(&self) -> bool {
        // No block comes between the look and the rest.
        self.rpc("evm_setIntervalMining", json!([0]));
        let (number, transactions) = self.last();
        if transactions > 0 {
            self.rpc("anvil_reorg", json!([1, []]));
            assert_eq!(self.last(), (number, 0));
        }
        self.rpc("evm_setIntervalMining", json!([1]));
        transactions > 0
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn network_lives_on_an_existing_chain() {
    let anvil = Anvil::start();
    let mut net = Net::start_with(2, &["--rpc", &anvil.1]);
    assert_eq!(net.about["chain-id"], 31_337);
    let job = net.job("index", &guests::index(), &guests::job(40, 0.001, ""));
    let first = net.json(&["run", &job]);
    assert_eq!((&first["state"], &first["missing"]), (&"done".into(), &0.into()), "{first}");
    // A second start finds the contracts and deploys nothing.
    let contracts = net.about["contracts"].clone();
    net.kill();
    net.up(2, &["--rpc", &anvil.1]);
    assert_eq!(net.about["contracts"], contracts);
    assert_eq!(net.json(&["run", &job])["sha256"], first["sha256"]);

    // The folder's money is on that chain: no other chain takes the folder over, and starting anew
    // keeps the keys.
    net.kill();
    let dir = net.dir.path().to_str().unwrap().to_owned();
    let other = crate::net::tilth(&["up", "--dir", &dir, "--listen", "127.0.0.1:0"]);
    assert!(other.problem().contains("another chain"), "{other:?}");
    let key = net.dir.path().join("accounts/client.key");
    let before = std::fs::read(&key).unwrap();
    net.up(2, &["--rpc", &anvil.1, "--fresh"]);
    assert_ne!(net.about["contracts"], contracts);
    assert_eq!(std::fs::read(&key).unwrap(), before);
    assert_eq!(net.json(&["run", &job])["sha256"], first["sha256"]);
}

#[test]
fn an_audited_job_on_an_existing_chain_has_its_referee_and_is_upheld() {
    let anvil = Anvil::start();
    let net = Net::start_with(1, &["--rpc", &anvil.1, "--auditors", "7"]);
    assert_eq!((&net.about["chain-id"], &net.about["auditors"]), (&31_337.into(), &7.into()));
    // No range is paid before its client has seen what its audit came to, however slow the machine is.
    let patient = "[verification]\nwindow = \"1h\"\n";
    let job = net.job("index", &guests::index(), &guests::job(10, 20.0, patient));
    let referee = "auditors, 10 of 15 or a lead of 5";
    let quoted = net.tilth(&["quote", &job, "--audited"]);
    assert!(quoted.stdout.contains(&format!("referee: {referee}")), "{quoted:#?}");
    assert!(quoted.stdout.contains("availability: none"), "{quoted:#?}");
    let ran = net.tilth(&["run", &job, "--audited"]);
    assert!(ran.status.success(), "{ran:#?}\n{}", net.log());
    let said = |words: &str| ran.stderr.find(words).unwrap_or_else(|| panic!("{words}: {ran:#?}"));
    assert!(said(&format!("referee: {referee}")) < said("job 1 is open"), "{ran:#?}");
    assert!(said("availability: none") < said("job 1 is open"), "{ran:#?}");
    let shown = net.tilth(&["job", "show", "1"]);
    assert!(shown.stdout.contains(&format!("referee       {referee}\n")), "{shown:#?}");
    assert!(shown.stdout.contains("availability  none"), "{shown:#?}");
    let fetched = net.json(&["job", "fetch", "1"]);
    let audits = &fetched["audits"];
    assert!(audits["upheld"].as_u64().unwrap() > 0, "a newcomer is audited always: {fetched}");
    assert_eq!((&audits["overturned"], &audits["open"]), (&0.into(), &0.into()), "{fetched}");
    let shown = net.json(&["job", "show", "1"]);
    assert!(shown["referee"] == "auditors" && shown["availability"].is_null(), "{shown}");
    let verified = net.json(&["verify", "1"]);
    assert_eq!((&verified["wrong"], &verified["failed"]), (&0.into(), &0.into()), "{verified}");

    let job = net.job("plain", &guests::index(), &guests::job(10, 0.001, ""));
    let ran = net.tilth(&["run", &job]);
    assert!(ran.status.success() && ran.stderr.contains("referee: none"), "{ran:#?}");
    assert!(ran.stderr.contains("availability: none"), "{ran:#?}");
    let plain = net.json(&["job", "show", "2"]);
    assert!(plain["referee"].is_null() && plain["audited"] == false, "{plain}");
    assert!(plain["availability"].is_null(), "{plain}");
    let shown = net.tilth(&["job", "show", "2"]);
    assert!(shown.stdout.contains("referee       none"), "{shown:#?}");
    assert!(shown.stdout.contains("availability  none"), "{shown:#?}");
}

/// Takes back one of several blocks until the job is over; how many.
fn take_back_while_it_runs(anvil: &Anvil, net: &Net, run: &mut Process) -> u32 {
    let (mut taken, mut next) = (0, 0);
    let status = eventually("the job is over", || {
        let (number, transactions) = anvil.last();
        // What was lost gets into a later block, and is believed before another one goes.
        if transactions > 0 && number >= next && taken < 8 && anvil.take_back() {
            (taken, next) = (taken + 1, number + 4);
        }
        run.child.try_wait().unwrap()
    });
    assert!(status.success(), "{taken} blocks were taken back\n{}", net.log());
    taken
}

#[test]
fn what_a_foreign_chain_takes_back_is_sent_anew_and_costs_nobody_anything() {
    let anvil = Anvil::start_with(&["--block-time", "1"]);
    let deep = ["--rpc", &anvil.1, "--confirmations", "2", "--auditors", "7"];
    let net = Net::start_with(1, &deep);
    let patient = "[verification]\nwindow = \"1h\"\n";
    let job = net.job("index", &guests::index(), &guests::job(1, 20.0, patient));
    let mut run = net.spawn(&["run", &job, "--audited"]);
    let taken = take_back_while_it_runs(&anvil, &net, &mut run);
    // It is opened, claimed, handed in, drawn, named, committed to, opened, voted on and paid in as many blocks at least.
    assert!(taken > 2, "{taken} blocks were taken back");

    let fetched = net.json(&["job", "fetch", "1"]);
    assert_eq!((&fetched["state"], &fetched["missing"]), (&"done".into(), &0.into()), "{fetched}");
    let audits = &fetched["audits"];
    assert_eq!((&audits["upheld"], &audits["overturned"]), (&1.into(), &0.into()), "{fetched}");
    assert_eq!((&audits["undecided"], &audits["open"]), (&0.into(), &0.into()), "{fetched}");
    let shown = net.json(&["job", "show", "1"]);
    let ranges = shown["ranges"].as_array().unwrap().iter();
    let paid: Vec<_> = ranges.filter(|range| range["state"] == "settled").collect();
    assert_eq!(paid.len(), 1, "paid once: {shown}");
    assert_eq!(base_units(&paid[0]["paid"]), base_units(&fetched["paid"]), "{shown}");
    assert_eq!(net.json(&["account", "show", "client"])["locked"], "0");

    let providers = net.json(&["providers"]);
    assert_eq!(providers[0]["slashed"], "0", "{providers}");
    for number in 1..=7 {
        let status = net.json(&["auditor", "status", &format!("auditor-{number}")]);
        assert_eq!(status["stake"], "100000000000000000000", "{status}");
    }
}

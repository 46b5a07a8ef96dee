//! `tilth node` as an operator meets it: configuration, health, metrics, stop, restart, files.

use std::fs;

use serde_json::json;

use crate::{
    net::{eventually, repository, tilth},
    running::{BLOCKS, MadeChain, Running, in_folder, refused, rich, transfer, write_genesis},
};

#[test]
fn default_configuration_is_a_configuration_and_the_reference_page_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let printed = tilth(&["node", "config"]);
    assert!(printed.status.success(), "{printed:?}");
    let file = dir.path().join("node.toml");
    fs::write(&file, &printed.stdout).unwrap();
    let started = Running::start(dir.path(), &["--config", file.to_str().unwrap()]);
    assert_eq!(started.number("eth_chainId", json!([])), 1337);
    started.stop();
    let reference = tilth(&["node", "config", "--reference"]).stdout;
    let page = fs::read_to_string(repository("docs/reference/node-config.md")).unwrap();
    assert_eq!(page, reference, "run `cargo xtask reference`");
}

#[test]
fn wrong_configurations_are_refused_with_the_option_and_advice() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let with = |text: &str, names: &str| {
        fs::write(dir.join("node.toml"), text).unwrap();
        let said = refused(dir, &["--config", "node.toml"], names);
        assert!(said.contains("tilth node config") || said.contains("TOML"), "{said}");
    };
    with("[limits]\nbatch-maxx = 3", "`limits.batch-maxx`; did you mean `limits.batch-max`?");
    with("zebra = 1", "`zebra`");
    with("production = \"sometimes\"", "`production` cannot be \"sometimes\"");
    with("production = \"0s\"", "`production`");
    with("beneficiary = \"0x12\"", "`beneficiary`");
    with("[rpc]\nlisten = 8545", "`rpc.listen`");
    with("[limits.pool]\nslots-max = -1", "`limits.pool.slots-max`");
    with("rpc = ", "line 1");
    refused(dir, &["--config", "absent.toml"], "absent.toml");
    refused(dir, &["--config", "."], "not a file");
    refused(dir, &["--set", "rpc.lissen=x"], "did you mean `rpc.listen`?");
    refused(dir, &["--set", "rpc.listen"], "name and a value");
    refused(dir, &["--set", "genesis=absent.json"], "absent.json");
    fs::write(dir.join("genesis.json"), "{}").unwrap();
    refused(dir, &["--set", "genesis=genesis.json"], "genesis is not valid");
    refused(dir, &["--set", "log.filter=tilth=loud"], "log filter");
    let said = in_folder(dir, &["node"], &[("TILTH_NODE_LIMITS_BATCH_MAX", "many")]);
    assert!(said.problem().contains("TILTH_NODE_LIMITS_BATCH_MAX"), "{said:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    refused(dir, &["--set", &format!("rpc.listen={address}")], "another port");
    let monitor = format!("monitor.listen={address}");
    refused(dir, &["--set", "rpc.listen=127.0.0.1:0", "--set", &monitor], "monitor.listen");
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // What is wrong shows which one counted.
    fs::write(dir.join("node.toml"), "genesis = \"from-file\"").unwrap();
    let variable = [("TILTH_NODE_GENESIS", "from-variable")];
    let of = |args: &[&str], variables: &[(&str, &str)]| {
        in_folder(dir, &[&["node", "--config", "node.toml"], args].concat(), variables).stderr
    };
    assert!(of(&[], &[]).contains("from-file"));
    assert!(of(&[], &variable).contains("from-variable"));
    assert!(of(&["--set", "genesis=from-flag"], &variable).contains("from-flag"));
}

#[test]
fn node_is_watched_and_stops_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(dir.path(), &[]);
    assert_eq!(node.monitor("/health"), (200, "ok\n".to_owned()));
    assert_eq!(node.monitor("/ready"), (200, "ready\n".to_owned()));
    for nonce in 0..3 {
        let sent = node.send(&transfer(nonce));
        assert!(sent["result"].is_string(), "{sent}");
    }
    node.rpc("eth_nonsense", json!([]));
    eventually("the transfers are mined", || {
        let count = node.number("eth_getTransactionCount", json!([rich(), "latest"]));
        (count == 3).then_some(())
    });
    assert_eq!(node.metric("tilth_transactions_total"), 3.0);
    assert_eq!(node.metric("tilth_gas_total"), 63_000.0);
    assert!(node.metric("tilth_head_number") >= 1.0);
    assert_eq!(node.metric("tilth_pool_transactions{kind=\"pending\"}"), 0.0);
    let sends = "tilth_rpc_requests_total{method=\"eth_sendRawTransaction\",outcome=\"ok\"}";
    assert_eq!(node.metric(sends), 3.0);
    assert_eq!(node.metric("tilth_rpc_requests_total{method=\"unknown\",outcome=\"error\"}"), 1.0);
    assert!(node.metric("tilth_block_seconds_count{phase=\"execute\"}") >= 1.0);
    assert!(node.metric("tilth_database_bytes") > 0.0);
    assert!(node.metric("process_resident_memory_bytes") > 1e6);
    check_exposition(&node.monitor("/metrics").1);
    node.stop();
}

/// Every line is a comment or `name{labels} number`, every series has its type before it, and the
/// buckets of a histogram grow up to its count.
fn check_exposition(text: &str) {
    let mut kinds = std::collections::BTreeMap::new();
    let mut buckets: Option<(String, f64)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(family), "{line}");
        if name.ends_with("_bucket") && family != name {
            let of = series.split(",le=").next().unwrap().split("{le=").next().unwrap().to_owned();
            if let Some((before, count)) = &buckets {
                assert!(*before != of || value >= *count, "{line}");
            }
            buckets = Some((of, value));
        } else if name.ends_with("_count") && family != name {
            assert_eq!(buckets.take().unwrap().1, value, "{line}");
        }
    }
    assert!(kinds.len() > 15, "{kinds:?}");
}

#[test]
fn restart_keeps_the_chain_and_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let never = ["--set", "production=never"];
    let node = Running::start(dir.path(), &[]);
    assert!(node.send(&transfer(0))["result"].is_string());
    eventually("it is mined", || (node.number("eth_blockNumber", json!([])) == 1).then_some(()));
    let genesis = node.about["genesis"].clone();
    node.stop();
    // Three wait, one of them behind a gap; once the node is stopped in order, once killed.
    let mut node = Running::start(dir.path(), &never);
    assert_eq!(node.about["genesis"], genesis);
    assert_eq!(node.about["head"]["number"], 1);
    for nonce in [1, 2, 5] {
        assert!(node.send(&transfer(nonce))["result"].is_string());
    }
    node.process.kill();
    let node = Running::start(dir.path(), &never);
    let waiting = node.rpc("txpool_status", json!([]));
    assert_eq!(waiting["result"], json!({ "pending": "0x2", "queued": "0x1" }));
    let known = node.send(&transfer(1));
    assert_eq!(known["error"]["message"], "already known");
    node.stop();
    let node = Running::start(dir.path(), &[]);
    eventually("what waited is mined", || {
        let count = node.number("eth_getTransactionCount", json!([rich(), "latest"]));
        (count == 3).then_some(())
    });
    let waiting = node.rpc("txpool_status", json!([]));
    assert_eq!(waiting["result"], json!({ "pending": "0x0", "queued": "0x1" }));
    node.stop();
}

#[test]
fn node_that_cannot_write_is_not_ready_and_another_chain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Running::start(dir.path(), &[]);
    // A folder in the place of the file that is written to see whether files can be written.
    fs::create_dir(dir.path().join("ready.probe")).unwrap();
    let (status, text) = eventually("it is not ready", || {
        Some(node.monitor("/ready")).filter(|(status, _)| *status == 503)
    });
    assert!(text.contains("takes no files"), "{status} {text}");
    assert_eq!(node.monitor("/health").0, 200);
    fs::remove_dir(dir.path().join("ready.probe")).unwrap();
    eventually("it is ready again", || (node.monitor("/ready").0 == 200).then_some(()));
    // The folder belongs to one process and to one genesis.
    let path = dir.path().to_str().unwrap();
    refused(dir.path(), &["--dir", path, "--set", "rpc.listen=127.0.0.1:0"], "to do:");
    node.stop();
    let other = tempfile::tempdir().unwrap();
    let set = format!("genesis={}", write_genesis(other.path()).display());
    refused(dir.path(), &["init", "--dir", path, "--set", &set], "genesis");
}

#[test]
fn a_chain_in_geths_format_goes_in_and_out_and_is_served() {
    let chain = MadeChain::make();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let set = format!("genesis={}", chain.genesis.display());
    let tool =
        |args: &[&str]| tilth(&[&["node", "--json", "--dir", path, "--set", &set], args].concat());
    let made = tool(&["init"]).json();
    assert_eq!(made["head"]["number"], 0);
    let file = chain.blocks.to_str().unwrap();
    let first = tool(&["import", file]).json();
    let blocks = first["blocks"].as_u64().unwrap();
    assert_eq!(blocks, BLOCKS, "{first}");
    assert_eq!(first["head"]["number"], blocks);
    // Once more: everything is there already.
    let again = tool(&["import", file]).json();
    assert_eq!(again["blocks"], 0);
    assert!(again["skipped"].as_u64().unwrap() >= blocks, "{again}");
    let out = dir.path().join("out.rlp");
    let out = out.to_str().unwrap();
    tool(&["export", out]).json();
    assert!(fs::read(out).unwrap() == fs::read(file).unwrap(), "other bytes");
    assert_eq!(tool(&["replay"]).json()["blocks"], blocks);
    fs::write(out, b"\xf8\xffnonsense").unwrap();
    assert!(tool(&["import", out]).problem().contains("block"));
    let node = Running::start(dir.path(), &["--set", &set]);
    assert_eq!(node.number("eth_blockNumber", json!([])), blocks);
    node.stop();
}

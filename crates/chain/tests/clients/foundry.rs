//! Foundry's cast and forge against a node.

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::world::{Said, World, foundry, here};

const NOBODY: &str = "0x000000000000000000000000000000000000bEEF";

/// cast against the node of a world.
struct Cast {
    world: World,
    program: String,
    url: Url,
}

/// By which transport.
enum Url {
    Http,
    WebSocket,
}

impl Cast {
    async fn start() -> Self {
        Self { world: World::start().await, program: foundry("cast"), url: Url::Http }
    }

    fn url(&self) -> String {
        match self.url {
            Url::Http => self.world.http(),
            Url::WebSocket => self.world.chain().ws_url(),
        }
    }

    async fn say(&self, line: &[&str]) -> Said {
        self.world.say(&self.program, line, &[("ETH_RPC_URL", &self.url())]).await
    }

    async fn run(&self, line: &[&str]) -> String {
        self.world.run(&self.program, line, &[("ETH_RPC_URL", &self.url())]).await
    }

    async fn json(&self, line: &[&str]) -> Value {
        let text = self.run(&[line, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Sends as the first account and returns the receipt.
    async fn send(&self, line: &[&str]) -> Value {
        let key = self.world.key(0);
        self.json(&[&["send", "--private-key", &key], line].concat()).await
    }

    /// Deploys the till with 1000 in the first account's hands.
    async fn till(&self) -> String {
        let till: Value =
            serde_json::from_str(&std::fs::read_to_string(here("till.json")).unwrap()).unwrap();
        let start = self.run(&["abi-encode", "constructor(uint256)", "1000"]).await;
        let code = format!("{}{}", till["bytecode"].as_str().unwrap(), &start[2..]);
        let receipt = self.send(&["--create", &code]).await;
        receipt["contractAddress"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_reads_sends_and_proves() {
    let cast = Cast::start().await;
    let (alice, bob) = (cast.world.address(0), cast.world.address(1));
    assert_eq!(cast.run(&["chain-id"]).await, "7357");
    assert_eq!(cast.run(&["block-number"]).await, "0");
    assert!(cast.run(&["client"]).await.starts_with("tilth/"));
    let sent = cast.send(&[NOBODY, "--value", "1ether"]).await;
    assert_eq!(sent["status"], "0x1");
    assert_eq!(sent["gasUsed"], "0x5208");
    assert_eq!(cast.run(&["balance", NOBODY]).await, "1000000000000000000");
    assert_eq!(cast.run(&["balance", NOBODY, "--block", "0"]).await, "0");
    assert_eq!(cast.run(&["nonce", &alice]).await, "1");

    let till = cast.till().await;
    let moved = cast.send(&[&till, "move(address,uint256,string)", &bob, "30", "hay"]).await;
    let hash = moved["transactionHash"].as_str().unwrap();
    assert_eq!(cast.run(&["call", &till, "held(address)(uint256)", &bob]).await, "30");
    assert_eq!(
        cast.run(&["call", &till, "held(address)(uint256)", &bob, "--block", "2"]).await,
        "0"
    );
    assert_eq!(cast.run(&["nonce", &till]).await, "1");
    let one = format!("0x{:064x}", 1);
    assert_eq!(cast.run(&["storage", &till, "1"]).await, one);
    let code = cast.run(&["code", &till]).await;
    assert_eq!(cast.run(&["codehash", &till]).await, cast.run(&["keccak", &code]).await);
    assert_eq!(cast.run(&["receipt", hash, "status"]).await, "true");
    assert_eq!(cast.json(&["tx", hash]).await["hash"], moved["transactionHash"]);
    let raw = cast.run(&["tx", hash, "--raw"]).await;
    assert_eq!(cast.run(&["keccak", &raw]).await, hash);
    let block = cast.json(&["block", "latest", "--full"]).await;
    assert_eq!(block["transactions"][0]["hash"], moved["transactionHash"]);

    // Logs, by event and argument.
    let event = "Moved(address indexed,address indexed,uint256,string)";
    let logs = cast.json(&["logs", "--from-block", "1", "--address", &till, event, &alice]).await;
    assert_eq!(logs.as_array().unwrap().len(), 1, "{logs}");
    assert_eq!(logs[0]["transactionHash"], moved["transactionHash"]);
    let none = cast.json(&["logs", "--from-block", "1", event, NOBODY]).await;
    assert_eq!(none, serde_json::json!([]));

    // A proof whose first node is the block's state root.
    let slot = cast.run(&["index", "address", &bob, "0"]).await;
    let proof = cast.json(&["proof", &till, &slot]).await;
    let node = proof["accountProof"][0].as_str().unwrap();
    assert_eq!(cast.run(&["keccak", node]).await, block["stateRoot"]);
    assert_eq!(proof["storageProof"][0]["value"], "0x1e");
    assert_eq!(cast.run(&["storage-root", &till]).await, proof["storageHash"]);

    // Estimates and prices.
    assert_eq!(cast.run(&["estimate", "--from", &alice, NOBODY, "--value", "1"]).await, "21000");
    let line = ["estimate", "--from", &alice, &till, "move(address,uint256,string)", &bob, "1", ""];
    let gas: u64 = cast.run(&line).await.parse().unwrap();
    assert!((30_000..100_000).contains(&gas), "{gas}");
    let base: u64 = cast.run(&["base-fee"]).await.parse().unwrap();
    let price: u64 = cast.run(&["gas-price"]).await.parse().unwrap();
    assert!(base > 0 && price >= base, "{price} for {base}");

    // Refusals with their reasons.
    let refused = cast.say(&["call", &till, "fail(uint256)", "0"]).await;
    assert!(
        !refused.success && refused.stderr.contains("the till is closed"),
        "{}",
        refused.stderr
    );
    let key = cast.world.key(1);
    let line =
        ["send", "--private-key", &key, &till, "move(address,uint256,string)", &alice, "99", ""];
    let refused = cast.say(&line).await;
    assert!(
        !refused.success && refused.stderr.contains("execution reverted"),
        "{}",
        refused.stderr
    );
    cast.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_delegates_an_account() {
    let cast = Cast::start().await;
    let till = cast.till().await;
    let (bob, key) = (cast.world.address(1), cast.world.key(1));
    let signed = cast.run(&["wallet", "sign-auth", &till, "--private-key", &key]).await;
    let line = [&bob, "move(address,uint256,string)", NOBODY, "0", "", "--auth", &signed];
    let receipt = cast.send(&line).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&"0x1".into(), &"0x4".into()), "{receipt}");
    let code = cast.run(&["code", &bob]).await;
    assert_eq!(code, format!("0xef0100{}", &till[2..].to_lowercase()));
    assert_eq!(cast.run(&["nonce", &bob]).await, "1");
    // Its own transaction, sent to itself, runs the code it stands for.
    let line = [
        "send",
        "--private-key",
        &key,
        "--json",
        &bob,
        "move(address,uint256,string)",
        NOBODY,
        "0",
        "",
    ];
    let own: Value = serde_json::from_str(&cast.run(&line).await).unwrap();
    assert_eq!(own["logs"][0]["address"].as_str().unwrap(), bob.to_lowercase());
    cast.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_lists_what_a_call_touches() {
    let cast = Cast::start().await;
    let (till, alice) = (cast.till().await, cast.world.address(0));
    let move_it = "move(address,uint256,string)";
    let list = cast.json(&["access-list", "--from", &alice, &till, move_it, NOBODY, "1", ""]).await;
    let entry = &list["accessList"][0];
    assert_eq!(entry["address"], till.to_lowercase(), "{list}");
    assert_eq!(entry["storageKeys"].as_array().unwrap().len(), 3, "{list}");
    // Sent with the list it names, which cast asks for by itself.
    let receipt = cast.send(&[&till, move_it, NOBODY, "1", "", "--access-list"]).await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let hash = receipt["transactionHash"].as_str().unwrap();
    let sent = cast.json(&["tx", hash]).await;
    assert_eq!(sent["accessList"][0]["storageKeys"].as_array().unwrap().len(), 3, "{sent}");
    cast.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_replays_and_traces() {
    let cast = Cast::start().await;
    let till = cast.till().await;
    cast.send(&[NOBODY, "--value", "5"]).await;
    let receipt = cast.send(&[&till, "move(address,uint256,string)", NOBODY, "7", "traced"]).await;
    let hash = receipt["transactionHash"].as_str().unwrap();
    // cast fetches the state before the block and executes the transaction by itself.
    let replayed = cast.run(&["run", hash]).await;
    assert!(replayed.contains("Transaction successfully executed"), "{replayed}");
    let gas = u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap();
    assert!(replayed.contains(&format!("Gas used: {gas}")), "{gas}: {replayed}");
    let quiet = [
        "rpc",
        "debug_traceTransaction",
        hash,
        r#"{"tracer":"callTracer","tracerConfig":{"withLog":true}}"#,
    ];
    let frame: Value = serde_json::from_str(&cast.run(&quiet).await).unwrap();
    assert_eq!(frame["type"], "CALL");
    assert_eq!(frame["gasUsed"], receipt["gasUsed"]);
    assert_eq!(frame["logs"][0]["address"], till.to_lowercase(), "{frame}");
    // And the local trace of a call that reverts names the reason.
    let traced = cast.say(&["call", "--trace", &till, "fail(uint256)", "0"]).await;
    assert!(format!("{}{}", traced.stdout, traced.stderr).contains("the till is closed"));
    cast.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_sees_what_waits() {
    let cast = Cast::start().await;
    let key = cast.world.key(0);
    // Nonce 1 waits for nonce 0.
    let line =
        ["send", "--async", "--private-key", &key, "--nonce", "1", "--gas-limit", "21000", NOBODY];
    let hash = cast.run(&line).await;
    let status: Value = serde_json::from_str(&cast.run(&["rpc", "txpool_status"]).await).unwrap();
    assert_eq!((&status["pending"], &status["queued"]), (&"0x0".into(), &"0x1".into()), "{status}");
    let content: Value = serde_json::from_str(&cast.run(&["rpc", "txpool_content"]).await).unwrap();
    assert_eq!(content["queued"][cast.world.address(0)]["1"]["hash"], hash, "{content}");
    assert_eq!(cast.run(&["nonce", &cast.world.address(0)]).await, "0");
    cast.send(&["--nonce", "0", NOBODY]).await;
    assert_eq!(cast.run(&["receipt", &hash, "status"]).await, "true");
    cast.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_subscribes_to_logs() {
    let cast = Cast::start().await;
    let till = cast.till().await;
    let ws = cast.world.chain().ws_url();
    let mut child = Command::new(&cast.program)
        .args(["logs", "--subscribe", "--rpc-url", &ws, "--address", &till])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // A subscription that is not yet in force hears nothing: moves go on until one is heard.
    let heard = async {
        loop {
            let moved =
                cast.send(&[&till, "move(address,uint256,string)", NOBODY, "1", "live"]).await;
            assert_eq!(moved["status"], "0x1");
            let wait = std::time::Duration::from_millis(500);
            if let Ok(line) = timeout(wait, lines.next_line()).await {
                return line.unwrap().unwrap();
            }
        }
    };
    let line = timeout(std::time::Duration::from_secs(60), heard).await.unwrap();
    assert!(line.to_lowercase().contains(&till.to_lowercase()), "{line}");
    cast.world.stop().await;
}

/// The flows of cast, with alloy's WebSocket transport in the place of HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_does_everything_over_websocket() {
    let cast = Cast { url: Url::WebSocket, ..Cast::start().await };
    let (alice, bob) = (cast.world.address(0), cast.world.address(1));
    assert_eq!(cast.run(&["chain-id"]).await, "7357");
    let till = cast.till().await;
    let moved = cast.send(&[&till, "move(address,uint256,string)", &bob, "30", "hay"]).await;
    assert_eq!(moved["status"], "0x1");
    let hash = moved["transactionHash"].as_str().unwrap();
    assert_eq!(cast.run(&["call", &till, "held(address)(uint256)", &bob]).await, "30");
    assert_eq!(cast.run(&["receipt", hash, "status"]).await, "true");
    assert_eq!(cast.run(&["nonce", &alice]).await, "2");
    let event = "Moved(address indexed,address indexed,uint256,string)";
    let logs = cast.json(&["logs", "--from-block", "1", "--address", &till, event, &alice]).await;
    assert_eq!(logs[0]["transactionHash"], moved["transactionHash"], "{logs}");
    let block = cast.json(&["block", "latest", "--full"]).await;
    assert_eq!(block["transactions"][0]["hash"], moved["transactionHash"]);
    let raw = cast.run(&["rpc", "eth_getHeaderByNumber", "latest"]).await;
    let header: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(header["hash"], block["hash"]);
    // A transaction signed elsewhere, sent and waited for on the same socket.
    let key = cast.world.key(1);
    let line = ["mktx", "--private-key", &key, NOBODY, "--value", "3"];
    let signed = cast.run(&line).await;
    let receipt = cast.json(&["publish", &signed]).await;
    assert_eq!((&receipt["status"], &receipt["gasUsed"]), (&"0x1".into(), &"0x5208".into()));
    // Revert data arrives as it does over HTTP.
    let refused = cast.say(&["call", &till, "fail(uint256)", "0"]).await;
    assert!(
        !refused.success && refused.stderr.contains("the till is closed"),
        "{}",
        refused.stderr
    );
    let poor = ["call", &till, "move(address,uint256,string)", &bob, "5000", "", "--from", &alice];
    let refused = cast.say(&poor).await;
    assert!(
        !refused.success && refused.stderr.contains("execution reverted"),
        "{}",
        refused.stderr
    );
    cast.world.stop().await;
}

/// forge simulates the script against the node, sends its transactions, and waits for their receipts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forge_script_deploys_and_calls() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    for folder in ["src/Till.sol", "script/Deploy.s.sol", "foundry.toml"] {
        let to = dir.path().join(folder);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(here(&format!("forge/{folder}")), to).unwrap();
    }
    let root = dir.path().display().to_string();
    let script = format!("{root}/script/Deploy.s.sol:Deploy");
    let compiler = here("../../../../contracts/bin/solc");
    let (key, http) = (world.key(0), world.http());
    let line =
        ["script", &script, "--root", &root, "--rpc-url", &http, "--broadcast", "--slow", "--json"];
    world.run(&foundry("forge"), &line, &[("KEY", &key), ("FOUNDRY_SOLC", &compiler)]).await;
    let runs = dir.path().join("broadcast/Deploy.s.sol/7357/run-latest.json");
    let run: Value = serde_json::from_str(&std::fs::read_to_string(runs).unwrap()).unwrap();
    let receipts = run["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 4, "{run}");
    assert!(receipts.iter().all(|receipt| receipt["status"] == "0x1"), "{run}");
    let till = receipts[0]["contractAddress"].as_str().unwrap();
    assert_eq!(run["returns"]["left"]["value"], "970", "{run}");
    // What the chain holds is what the script meant.
    let cast = Cast { world, program: foundry("cast"), url: Url::Http };
    assert_eq!(cast.run(&["call", till, "held(address)(uint256)", NOBODY]).await, "10");
    assert_eq!(cast.run(&["call", till, "moves()(uint256)"]).await, "2");
    assert_eq!(cast.run(&["balance", till]).await, "12");
    // And the artifact that the other tests use is what the sources give.
    let other = cast.till().await;
    assert_eq!(cast.run(&["code", till]).await, cast.run(&["code", &other]).await);
    cast.world.stop().await;
}

//! A node of one's own as a process, and what clients and watchers ask it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::net::{Process, Said, TILTH, eventually, finish, tilth};

/// The first account of the development chain.
pub const RICH: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A node in a folder of its own.
pub struct Running {
    pub process: Process,
    pub about: Value,
}

impl Running {
    /// Starts a node with these options on free ports.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let free = ["rpc.listen=127.0.0.1:0", "monitor.listen=127.0.0.1:0"];
        let mut args = vec!["node", "--json", "--set", free[0], "--set", free[1]];
        args.extend(more);
        let mut process = Process::start(dir, &args);
        let line = process.first_line();
        let about = serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = fs::read_to_string(dir.join("stderr.log")).unwrap_or_default();
            panic!("{error}: {line:?}\n{log}")
        });
        Self { process, about }
    }

    /// What the node answers.
    pub fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let url = self.about["rpc"].as_str().unwrap();
        let (status, reply) = http(url, "POST", "/", &request.to_string());
        assert_eq!(status, 200, "{reply}");
        serde_json::from_str(&reply).unwrap()
    }

    pub fn number(&self, method: &str, params: Value) -> u64 {
        let reply = self.rpc(method, params);
        let text = reply["result"].as_str().unwrap_or_else(|| panic!("{reply}"));
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    }

    pub fn monitor(&self, path: &str) -> (u16, String) {
        http(self.about["monitor"].as_str().unwrap(), "GET", path, "")
    }

    pub fn metric(&self, line: &str) -> f64 {
        let (_, text) = self.monitor("/metrics");
        let found = text.lines().find_map(|l| l.strip_prefix(&format!("{line} ")));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
    }

    pub fn send(&self, raw: &str) -> Value {
        self.rpc("eth_sendRawTransaction", json!([raw]))
    }

    pub fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait();
        assert!(status.success(), "{status}");
    }
}

/// The least of an HTTP client: status and body.
pub fn http(url: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// A signed transfer of one wei on the development chain.
pub fn transfer(nonce: u64) -> String {
    use alloy::{
        consensus::{SignableTransaction as _, TxEip1559, TxEnvelope},
        eips::eip2718::Encodable2718 as _,
        primitives::{Address, TxKind, U256, hex},
        signers::{SignerSync as _, local::PrivateKeySigner},
    };

    let tx = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let signer: PrivateKeySigner = RICH.parse().unwrap();
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    hex::encode_prefixed(TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
}

/// Runs `tilth node` with arguments that must be refused with this text.
pub fn refused(dir: &Path, args: &[&str], text: &str) -> String {
    let said = in_folder(dir, &[&["node"], args].concat(), &[]);
    assert!(said.problem().contains(text), "{args:?}: {said:#?}");
    said.stderr
}

/// Runs the program in a folder with additional variables.
pub fn in_folder(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(TILTH);
    command.args(args).current_dir(dir).env("HOME", dir).envs(variables.iter().copied());
    finish(&mut command)
}

/// Address of the first account.
pub fn rich() -> String {
    let signer: alloy::signers::local::PrivateKeySigner = RICH.parse().unwrap();
    signer.address().to_string()
}

/// Blocks of a [`MadeChain`].
pub const BLOCKS: u64 = 54;

/// A chain with a transfer in every block, as files.
pub struct MadeChain {
    _dir: tempfile::TempDir,
    /// In geth's format; its forks came long before the blocks.
    pub genesis: PathBuf,
    /// One block after another, from the first on.
    pub blocks: PathBuf,
}

impl MadeChain {
    /// Has a node make the chain and export it.
    pub fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let genesis = write_genesis(dir.path());
        let (node_dir, blocks) = (dir.path().join("node"), dir.path().join("chain.rlp"));
        fs::create_dir(&node_dir).unwrap();
        let set = format!("genesis={}", genesis.display());
        let node = Running::start(&node_dir, &["--set", &set]);
        for nonce in 0..BLOCKS {
            let sent = node.send(&transfer(nonce));
            assert!(sent["result"].is_string(), "{sent}");
            eventually("the transfer is in a block", || {
                (node.number("eth_blockNumber", json!([])) > nonce).then_some(())
            });
        }
        node.stop();
        let (dir_name, file) = (node_dir.to_str().unwrap(), blocks.to_str().unwrap());
        let said = tilth(&["node", "--json", "--dir", dir_name, "--set", &set, "export", file]);
        assert_eq!(said.json()["blocks"], BLOCKS);
        Self { _dir: dir, genesis, blocks }
    }
}

/// Writes a genesis in geth's format, of a chain whose first account has [`RICH`]'s key.
pub fn write_genesis(dir: &Path) -> PathBuf {
    // The contracts that blocks call come with every genesis of ours.
    let contracts = tilth_chain::Genesis::default().accounts.into_iter();
    let mut alloc: serde_json::Map<String, Value> = contracts
        .map(|(address, account)| {
            let contract = json!({ "balance": "0x0", "nonce": "0x1", "code": account.code });
            (address.to_string(), contract)
        })
        .collect();
    alloc.insert(rich(), json!({ "balance": "0x21e19e0c9bab2400000" }));
    let blobs = |target: u64, max: u64, fraction: u64| json!({ "target": target, "max": max, "baseFeeUpdateFraction": fraction });
    let genesis = json!({
        "config": {
            "chainId": 1337, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0,
            "shanghaiTime": 390, "cancunTime": 420, "pragueTime": 450, "osakaTime": 480,
            "bpo1Time": 510, "bpo2Time": 540,
            "blobSchedule": {
                "cancun": blobs(3, 6, 3_338_477), "prague": blobs(6, 9, 5_007_716),
                "osaka": blobs(6, 9, 5_007_716), "bpo1": blobs(10, 15, 8_346_193),
                "bpo2": blobs(14, 21, 11_684_671),
            },
        },
        "gasLimit": "0x1c9c380", "difficulty": "0x0", "alloc": alloc,
    });
    let path = dir.join("genesis.json");
    fs::write(&path, genesis.to_string()).unwrap();
    path
}

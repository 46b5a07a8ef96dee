//! A node of one's own as a process, and what clients and watchers ask it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::net::{Process, Said, TILTH, finish, repository};

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

/// A file of the chain of 54 blocks that geth wrote for execution-apis.
pub fn geth_chain(name: &str) -> PathBuf {
    repository("crates/chain/tests/fixtures/execution-apis").join(name)
}

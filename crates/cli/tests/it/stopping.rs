//! A node that is told to stop while it is busy.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::{
    net::{PATIENCE, eventually},
    running::{Running, rich, transfer},
};

/// One connection over which requests go one after the other.
struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    fn to(node: &Running) -> Self {
        let address = node.about["rpc"].as_str().unwrap().trim_start_matches("http://");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    fn send(&mut self, method: &str, params: Value) -> std::io::Result<()> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// The next answer, whole; `None` if the connection was closed before it began.
    fn answer(&mut self) -> Option<Value> {
        let (mut length, mut begun) = (0, false);
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line);
            if !begun && matches!(read, Ok(0) | Err(_)) {
                return None;
            }
            begun = true;
            assert!(read.unwrap() > 0, "an answer was cut short");
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("an answer was cut short");
        Some(serde_json::from_slice(&body).unwrap())
    }

    fn ask(&mut self, method: &str, params: Value) -> Option<Value> {
        self.send(method, params).ok()?;
        self.answer()
    }
}

/// Sends transfers one after the other until the node is gone; returns the hashes it was given.
fn send_until_the_end(node: &Running, sent: &Arc<AtomicU64>) -> thread::JoinHandle<Vec<String>> {
    let (mut line, sent) = (Line::to(node), Arc::clone(sent));
    thread::spawn(move || {
        let mut taken = Vec::new();
        for nonce in 0.. {
            let Some(answer) = line.ask("eth_sendRawTransaction", json!([transfer(nonce)])) else {
                break;
            };
            taken.push(answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
            sent.store(nonce + 1, Ordering::SeqCst);
        }
        taken
    })
}

/// Asks for what costs a little, until the node is gone; returns how many answers came, all whole.
fn read_until_the_end(node: &Running) -> thread::JoinHandle<u64> {
    let mut line = Line::to(node);
    thread::spawn(move || {
        let logs = || json!([{ "fromBlock": "0x0", "toBlock": "latest" }]);
        let mut answers = 0;
        while let Some(answer) = line.ask("eth_getLogs", logs()) {
            assert!(answer["result"].is_array(), "{answer}");
            answers += 1;
        }
        answers
    })
}

fn log_lines(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("stderr.log")).unwrap();
    assert!(text.ends_with('\n'), "the last line of the log is cut short");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn told_to_stop_under_load_it_answers_keeps_and_logs_everything() {
    let dir = tempfile::tempdir().unwrap();
    let json_logs = ["--set", "log.format=json"];
    let limits = ["--set", "limits.call-time-max=2s", "--set", "limits.call-gas-max=0"];
    let mut node = Running::start(dir.path(), &[&json_logs[..], &limits].concat());
    let sent = Arc::new(AtomicU64::new(0));
    let sender = send_until_the_end(&node, &sent);
    let readers: Vec<_> = (0..2).map(|_| read_until_the_end(&node)).collect();
    eventually("there is load", || (sent.load(Ordering::SeqCst) > 50).then_some(()));

    // A call that runs until its time is over: jumps back for ever.
    let looping = "0x0000000000000000000000000000000000004242";
    let call = json!([{ "to": looping, "gas": "0xffffffffffff" }, "latest",
        { looping: { "code": "0x5b600056" } }]);
    let mut under_way = Line::to(&node);
    let executing = "tilth_rpc_under_way{method=\"eth_call\"}";
    under_way.send("eth_call", call).unwrap();
    eventually("the call is under way", || (node.metric(executing) >= 1.0).then_some(()));

    node.process.signal("TERM");
    let answer = under_way.answer().expect("the call under way is answered");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("timeout = 2s"), "{answer}");
    let status = node.process.wait();
    assert!(status.success(), "{status}");
    let taken = sender.join().unwrap();
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    let lines = log_lines(dir.path());
    assert_eq!(lines.last().unwrap()["fields"]["message"], "stopped", "{:?}", lines.last());

    // Everything that was acknowledged is mined, or waits.
    assert!(taken.len() > 50);
    let node = Running::start(dir.path(), &["--set", "production=never"]);
    let mined = node.number("eth_getTransactionCount", json!([rich(), "latest"]));
    let pending = node.number("eth_getTransactionCount", json!([rich(), "pending"]));
    assert!(mined <= taken.len() as u64 + 1);
    assert!(pending >= taken.len() as u64, "{pending} of {} are known", taken.len());
    for hash in &taken {
        let found = node.rpc("eth_getTransactionByHash", json!([hash]));
        assert_eq!(found["result"]["hash"], *hash, "{found}");
    }
    node.stop();
}

#[test]
fn everything_logged_for_a_request_carries_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--set", "log.format=json", "--log", "warn,tilth_chain=debug"];
    let node = Running::start(dir.path(), &options);
    node.rpc("eth_chainId", json!([]));
    node.rpc("eth_nonsense", json!([]));
    node.rpc("eth_sendRawTransaction", json!([transfer(0)]));
    node.stop();
    let lines = log_lines(dir.path());
    let of_requests: Vec<_> =
        lines.iter().filter(|line| line["span"]["name"] == "request").collect();
    let answered: Vec<_> =
        of_requests.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    let seen: Vec<_> = answered
        .iter()
        .map(|line| (line["span"]["method"].as_str().unwrap(), line["fields"]["refused"].as_u64()))
        .collect();
    let expected =
        [("eth_chainId", Some(0)), ("eth_nonsense", Some(1)), ("eth_sendRawTransaction", Some(0))];
    assert_eq!(seen, expected);
    let mut ids: Vec<_> =
        answered.iter().map(|line| line["span"]["id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

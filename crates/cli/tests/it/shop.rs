//! A network that sells a language model, with a gateway, and the processes behind it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tilth_tensor::{
    blob::Pooling,
    import::{Family, synthetic, synthetic_encoder},
};

use crate::net::{Net, PATIENCE};

/// A network whose providers sell a small model, with a gateway.
pub struct Shop {
    pub net: Net,
    pub model: PathBuf,
    /// Sold as well, if it is there.
    pub encoder: Option<PathBuf>,
    _folder: tempfile::TempDir,
}

/// A question to the model of these tests, whose answer has at most so many tokens.
pub fn question(most: u32) -> Value {
    json!({
        "model": "synthetic",
        "messages": [{ "role": "user", "content": "Say something." }],
        "max_tokens": most,
        "seed": 5,
    })
}

/// A reply of the gateway.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The model of all these tests: two layers of random numbers.
pub fn model(folder: &Path) -> PathBuf {
    let path = folder.join("model");
    fs::write(&path, synthetic(Family::Qwen2, 11).unwrap()).unwrap();
    path
}

/// What makes embeddings in these tests.
fn encoder(folder: &Path) -> PathBuf {
    let path = folder.join("encoder");
    fs::write(&path, synthetic_encoder(Pooling::Mean, 11).unwrap()).unwrap();
    path
}

impl Shop {
    pub fn open(providers: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::selling(providers, folder, None)
    }

    /// A shop that sells embeddings as well.
    pub fn with_encoder(providers: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let encoder = encoder(folder.path());
        Self::selling(providers, folder, Some(encoder))
    }

    fn selling(providers: u16, folder: tempfile::TempDir, encoder: Option<PathBuf>) -> Self {
        let model = model(folder.path());
        let mut options = vec!["--gateway", "127.0.0.1:0", "--model", model.to_str().unwrap()];
        options.extend(["--gateway-monitor", "127.0.0.1:0"]);
        if let Some(encoder) = &encoder {
            options.extend(["--model", encoder.to_str().unwrap()]);
        }
        let net = Net::start_with(providers, &options);
        Self { net, model, encoder, _folder: folder }
    }

    /// Starts the network again in its folder, without a gateway's monitor.
    pub fn reopen(&mut self, providers: u16) {
        let path = self.model.to_str().unwrap().to_owned();
        self.net.up(providers, &["--model", &path, "--gateway", "127.0.0.1:0"]);
    }

    pub fn address(&self) -> String {
        let url = self.net.about["gateway"].as_str().unwrap();
        url.trim_start_matches("http://").trim_end_matches("/v1").to_owned()
    }

    pub fn key(&self, budget: &str) -> String {
        let made = self.net.json(&["gateway", "key", "create", "test", "--budget", budget]);
        made["key"].as_str().unwrap().to_owned()
    }

    /// A key whose answers an account pays for.
    pub fn key_of(&self, name: &str, owner: &str) -> String {
        let owner = self.net.json(&["account", "show", owner]);
        let owner = owner["address"].as_str().unwrap();
        let made = ["gateway", "key", "create", name, "--budget", "1", "--owner", owner];
        self.net.json(&made)["key"].as_str().unwrap().to_owned()
    }

    /// Sends a request and reads all of the reply.
    pub fn send(&self, method: &str, path: &str, key: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A reply may come before all of a body that is refused was sent.
        let _ = stream.write_all(body);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{reply:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, body: body.to_owned() }
    }

    /// Asks and gives what comes behind the first line of the reply, as it comes; if it goes well.
    pub fn listen(&self, key: &str, question: &Value) -> Option<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = question.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        status.starts_with("HTTP/1.1 200").then_some(reader)
    }

    pub fn ask(&self, key: &str, question: &Value) -> Reply {
        self.send("POST", "/v1/chat/completions", key, question.to_string().as_bytes())
    }
}

/// The processes that serve models for a network's process.
pub fn model_workers(up: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let is_below = |mut pid: u32| {
        while let Some(above) = parent(pid).filter(|above| *above > 1) {
            if above == up {
                return true;
            }
            pid = above;
        }
        false
    };
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let serves = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.ends_with(b"\0worker\0infer\0") && is_below(*pid)
    };
    pids.filter(serves).collect()
}

pub fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    assert!(Command::new("kill").arg(format!("-{name}")).args(pids).status().unwrap().success());
}

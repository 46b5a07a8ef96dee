//! The least of an HTTP client, so that the driver costs little, and the figures of the node's process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One connection to a node.
pub struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: &str) -> Result<Self> {
        let address: SocketAddr = address.trim().parse().context("an address with a port")?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Another connection to the same node.
    pub fn again(&self) -> Result<Self> {
        Self::connect(&self.address.to_string())
    }

    /// The answer to one method.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        Ok(serde_json::from_str(&self.request(&body.to_string())?)?)
    }

    /// A number that a method gives.
    pub fn number(&mut self, method: &str, params: &Value) -> Result<u64> {
        let reply = self.call(method, params)?;
        number(&reply["result"]).with_context(|| format!("{method}: {reply}"))
    }

    /// The answer to a request body.
    pub fn request(&mut self, body: &str) -> Result<String> {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        let mut reply = Vec::new();
        match length {
            Some(length) => self.read(length, &mut reply)?,
            // In chunks, each behind its length.
            None => loop {
                let length = usize::from_str_radix(&self.line()?, 16)?;
                self.read(length, &mut reply)?;
                self.line()?;
                if length == 0 {
                    break;
                }
            },
        }
        Ok(String::from_utf8(reply)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.stream.read_line(&mut line)? > 0, "the node closed the connection");
        Ok(line.trim_end().to_owned())
    }

    fn read(&mut self, length: usize, into: &mut Vec<u8>) -> Result<()> {
        let start = into.len();
        into.resize(start + length, 0);
        self.stream.read_exact(&mut into[start..])?;
        Ok(())
    }
}

/// A quantity of JSON-RPC.
pub fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// The body of a batch of one method; `params` are JSON arrays.
pub fn batch(method: &str, params: impl Iterator<Item = String>) -> String {
    let calls: Vec<String> = params
        .enumerate()
        .map(|(id, params)| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
        })
        .collect();
    format!("[{}]", calls.join(","))
}

/// The node's process.
pub struct Process(u32);

/// What the node had spent when a measurement began.
pub struct Start<'a> {
    process: &'a Process,
    cpu: f64,
    wall: Instant,
}

impl Process {
    pub fn new(pid: &str) -> Result<Self> {
        Ok(Self(pid.parse()?))
    }

    pub fn start(&self) -> Result<Start<'_>> {
        Ok(Start { process: self, cpu: self.cpu()?, wall: Instant::now() })
    }

    /// User and system time so far, in seconds.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let user: f64 = fields.get(11).context("utime")?.parse()?;
        let system: f64 = fields.get(12).context("stime")?.parse()?;
        Ok((user + system) / 100.0)
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }
}

impl Start<'_> {
    /// CPU and wall seconds since.
    pub fn spent(&self) -> Result<(f64, f64)> {
        Ok((self.process.cpu()? - self.cpu, self.wall.elapsed().as_secs_f64()))
    }

    pub fn wall(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }
}

//! The least of HTTP and JSON-RPC that a proxy and its judge need. Blocks its thread.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

/// Largest message that is read.
const MAX_BYTES: usize = 64 << 20;
/// Longest wait for a connection, and for more of an answer.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// A whole message.
pub struct Message {
    /// Its first line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// The status in an answer's first line.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// Takes the first whole message out of a buffer; `None` while it is not whole.
pub fn take(buffer: &mut Vec<u8>) -> io::Result<Option<Message>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if buffer.len() > MAX_BYTES { Err(wrong("no end of headers")) } else { Ok(None) };
    };
    let headers = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())
        .map_err(|_| wrong("a length that is no number"))?;
    if length > MAX_BYTES {
        return Err(wrong("a message that is too long"));
    }
    let whole = end + 4 + length;
    if buffer.len() < whole {
        return Ok(None);
    }
    let body = buffer[end + 4..whole].to_vec();
    buffer.drain(..whole);
    let head = headers.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Message { head, body }))
}

/// Puts one question to a node, on a connection of its own.
pub fn post(node: SocketAddr, body: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&node, PATIENCE.0)?;
    stream.set_read_timeout(Some(PATIENCE.1))?;
    stream.set_write_timeout(Some(PATIENCE.1))?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {node}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut buffer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(message) = take(&mut buffer)? {
            return Ok(message);
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => buffer.extend_from_slice(&piece[..more]),
        }
    }
}

/// The result of one JSON-RPC call, straight from the node.
pub fn rpc(node: SocketAddr, method: &str, params: Value) -> io::Result<Value> {
    let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = post(node, asked.to_string().as_bytes())?;
    let mut answer: Value = serde_json::from_slice(&answer.body)?;
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(io::Error::other(format!("{method}: {answer}"))),
    }
}

/// A number as JSON-RPC writes it.
pub fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

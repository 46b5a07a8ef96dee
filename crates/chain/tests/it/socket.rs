//! A WebSocket and HTTP client of the plainest kind, to see the bytes that the node sends.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// No answer takes longer on a machine that works.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the node sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection is gone.
    End,
}

/// A WebSocket connection.
pub struct Socket {
    stream: BufReader<TcpStream>,
    id: u64,
    /// Notifications that came before an answer that was waited for.
    pub news: Vec<Value>,
}

impl Socket {
    /// The connection, or the answer that refused it.
    pub async fn open(address: SocketAddr, headers: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = BufReader::new(stream);
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        if head.starts_with("HTTP/1.1 101 ") {
            let head = head.to_ascii_lowercase();
            // The example of RFC 6455.
            assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
            return Ok(Self { stream, id: 0, news: Vec::new() });
        }
        Err(head)
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::open(address, "").await.unwrap()
    }

    /// Sends a frame as a client does.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend([9, 8, 7, 6]);
        let mask = [9, 8, 7, 6];
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Frame {
        timeout(PATIENCE, self.read_frame()).await.expect("a frame in time").unwrap_or(Frame::End)
    }

    async fn read_frame(&mut self) -> std::io::Result<Frame> {
        let (first, second) = (self.stream.read_u8().await?, self.stream.read_u8().await?);
        let length = match second {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok(match first {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x88 => Frame::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            ),
            0x89 => Frame::Ping,
            0x8a => Frame::Pong(payload),
            other => panic!("frame {other:#x}"),
        })
    }

    /// The next text, as it came.
    pub async fn text(&mut self) -> String {
        loop {
            match self.frame().await {
                Frame::Text(text) => return text,
                Frame::Ping => self.send(0x8a, b"").await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Calls a method and returns the whole answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        self.send_text(&request.to_string()).await;
        loop {
            let message: Value = serde_json::from_str(&self.text().await).unwrap();
            if message["id"] == json!(self.id) {
                return message;
            }
            self.news.push(message);
        }
    }

    /// Subscribes and returns the subscription's id.
    pub async fn subscribe(&mut self, params: Value) -> String {
        let answer = self.call("eth_subscribe", params).await;
        answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The next notification: subscription and result.
    pub async fn next(&mut self) -> (String, Value) {
        let message = match self.news.is_empty() {
            true => serde_json::from_str(&self.text().await).unwrap(),
            false => self.news.remove(0),
        };
        let Value::Object(members) = &message else { panic!("{message}") };
        assert_eq!(members.keys().collect::<Vec<_>>(), ["jsonrpc", "method", "params"]);
        assert_eq!(message["method"], "eth_subscription");
        let params = &message["params"];
        let Value::Object(members) = params else { panic!("{message}") };
        assert_eq!(members.keys().collect::<Vec<_>>(), ["result", "subscription"]);
        (params["subscription"].as_str().unwrap().to_owned(), params["result"].clone())
    }
}

async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("a head in time");
        head.push(byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&head))));
    }
    String::from_utf8(head).unwrap()
}

/// Sends an HTTP request and returns the answer's head and body.
pub async fn http(address: SocketAddr, head_lines: &str, body: &str) -> (String, String) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let length = body.len();
    let request =
        format!("{head_lines}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head(&mut stream).await;
    let mut body = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut body)).await.expect("a body in time").unwrap();
    (head, body)
}

/// Posts JSON as a usual client and returns the answer's body.
pub async fn post(address: SocketAddr, body: &str) -> String {
    let head = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    let (head, body) = http(address, &head, body).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body
}

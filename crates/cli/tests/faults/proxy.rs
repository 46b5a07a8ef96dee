//! What stands between a role and the node: as a rule it passes everything on, and sometimes it lies.
//!
//! One thread per connection. It runs on the role's machine, so a cut or slow link lies between it and the
//! node, as it would between a role and a public RPC provider.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    http,
    schedule::{Dice, Lie},
    space::Entrance,
};

/// How often a thread that waits looks whether it should end.
const LOOK: Duration = Duration::from_millis(20);

/// A running proxy. Dropping it stops it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    node: SocketAddr,
    lie: Mutex<Option<Lie>>,
    dice: Mutex<Dice>,
    told: AtomicU64,
    stop: AtomicBool,
}

/// What a role gets for its question.
enum Reply {
    Whole(u16, Vec<u8>),
    /// Half of the body, then the connection ends.
    Half(u16, Vec<u8>),
    Nothing,
}

impl Proxy {
    /// Starts on a machine (or here) in front of a node.
    pub fn start(machine: Option<Entrance>, node: SocketAddr, seed: u64) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            node,
            lie: Mutex::default(),
            dice: Mutex::new(Dice::new(seed)),
            told: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let (send, bound) = mpsc::channel();
        let listening = Arc::clone(&shared);
        let listener = std::thread::spawn(move || {
            let listener = machine
                .map_or(Ok(()), |machine| machine.enter())
                .and_then(|()| TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string()));
            match listener {
                Ok(listener) => {
                    let _ = send.send(listener.local_addr().map_err(|error| error.to_string()));
                    listen(&listener, &listening);
                }
                Err(error) => drop(send.send(Err(error))),
            }
        });
        let address = bound.recv().map_err(|error| error.to_string())??;
        Ok(Self { address, shared, listener: Some(listener) })
    }

    /// Where the role finds it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lies from now on, or no longer.
    pub fn lie(&self, lie: Option<Lie>) {
        *self.shared.lie.lock().unwrap_or_else(PoisonError::into_inner) = lie;
    }

    /// Questions that got a wrong answer.
    pub fn told(&self) -> u64 {
        self.shared.told.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    let mut serving: Vec<JoinHandle<()>> = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            serving.retain(|thread| !thread.is_finished());
            std::thread::sleep(LOOK);
            continue;
        };
        let shared = Arc::clone(shared);
        serving.push(std::thread::spawn(move || {
            // The role is gone, or said something that is no HTTP: nothing is left to do for it.
            let _ = serve(stream, &shared);
        }));
    }
    serving.into_iter().for_each(|thread| drop(thread.join()));
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK * 5))?;
    let (mut buffer, mut piece) = (Vec::new(), [0; 16 << 10]);
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(asked) = http::take(&mut buffer)? {
            let (status, body, whole) = match shared.reply(&asked.body) {
                Reply::Nothing => return Ok(()),
                Reply::Whole(status, body) => (status, body, true),
                Reply::Half(status, body) => (status, body, false),
            };
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let end = if whole { body.len() } else { body.len() / 2 };
            stream.write_all(&[head.as_bytes(), &body[..end]].concat())?;
            if !whole {
                return Ok(());
            }
            continue;
        }
        match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(more) => buffer.extend_from_slice(&piece[..more]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Shared {
    fn reply(&self, body: &[u8]) -> Reply {
        let lie = *self.lie.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lie) = lie else { return self.ask(body) };
        let Ok(asked) = serde_json::from_slice::<Value>(body) else { return self.ask(body) };
        match lie {
            Lie::StaleHead(late) => self.stale_head(asked, late),
            Lie::OldState(late) => self.old_state(asked, late),
            Lie::WrongChain => match asked["method"].as_str() {
                Some("eth_chainId") => self.say(&asked, json!({ "result": "0x2a" })),
                _ => self.ask(body),
            },
            Lie::Twice => {
                let first = self.ask(body);
                if matches!(first, Reply::Nothing) {
                    return first;
                }
                self.told.fetch_add(1, Ordering::Relaxed);
                self.ask(body)
            }
            Lie::Shuffles(most) => {
                let answer = self.ask(body);
                let pause = self.between(0, most);
                self.told.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(pause));
                answer
            }
            // What was asked happens all the same: the node has heard it.
            Lie::Drops(percent) => match (self.ask(body), self.unlucky(percent)) {
                (_, true) => Reply::Nothing,
                (answer, false) => answer,
            },
            Lie::Cuts(percent) => match (self.ask(body), self.unlucky(percent)) {
                (Reply::Whole(status, body), true) => Reply::Half(status, body),
                (answer, _) => answer,
            },
            Lie::Errors(percent) => self.error(&asked, body, percent),
        }
    }

    /// The node's own answer.
    fn ask(&self, body: &[u8]) -> Reply {
        match http::post(self.node, body) {
            Ok(answer) => Reply::Whole(answer.status(), answer.body),
            Err(_) => Reply::Nothing,
        }
    }

    /// An answer of our own.
    fn say(&self, asked: &Value, mut answer: Value) -> Reply {
        self.told.fetch_add(1, Ordering::Relaxed);
        answer["jsonrpc"] = "2.0".into();
        answer["id"] = asked["id"].clone();
        Reply::Whole(200, answer.to_string().into_bytes())
    }

    /// Answers with an error now and then, half of the time after the node has done what was asked.
    fn error(&self, asked: &Value, body: &[u8], percent: u8) -> Reply {
        if !self.unlucky(percent) {
            return self.ask(body);
        }
        if self.between(0, 1) == 1 {
            self.ask(body);
        }
        match self.between(0, 4) {
            0 => Reply::Whole(503, b"<html>the service is busy</html>".to_vec()),
            1 => Reply::Whole(429, b"too many requests".to_vec()),
            2 => self.say(asked, json!({ "error": { "code": -32_005, "message": "rate limit" } })),
            3 => self
                .say(asked, json!({ "error": { "code": -32_000, "message": "header not found" } })),
            _ => self
                .say(asked, json!({ "error": { "code": -32_603, "message": "internal error" } })),
        }
    }

    fn stale_head(&self, mut asked: Value, late: u64) -> Reply {
        let Some(old) = self.head().map(|head| head.saturating_sub(late)) else {
            return Reply::Nothing;
        };
        match asked["method"].as_str() {
            Some("eth_blockNumber") => self.say(&asked, json!({ "result": format!("{old:#x}") })),
            Some("eth_getBlockByNumber") if asked["params"][0] == "latest" => {
                asked["params"][0] = format!("{old:#x}").into();
                self.told.fetch_add(1, Ordering::Relaxed);
                self.ask(asked.to_string().as_bytes())
            }
            _ => self.ask(asked.to_string().as_bytes()),
        }
    }

    fn old_state(&self, mut asked: Value, late: u64) -> Reply {
        let tag = match asked["method"].as_str() {
            Some("eth_call" | "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode") => 1,
            _ => return self.ask(asked.to_string().as_bytes()),
        };
        if asked["params"][tag] == "latest" || asked["params"][tag] == "pending" {
            let Some(head) = self.head() else { return Reply::Nothing };
            asked["params"][tag] = format!("{:#x}", head.saturating_sub(late)).into();
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        self.ask(asked.to_string().as_bytes())
    }

    fn head(&self) -> Option<u64> {
        http::number(&http::rpc(self.node, "eth_blockNumber", json!([])).ok()?)
    }

    fn between(&self, least: u64, most: u64) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).between(least, most)
    }

    fn unlucky(&self, percent: u8) -> bool {
        let unlucky = self.dice.lock().unwrap_or_else(PoisonError::into_inner).percent(percent);
        self.told.fetch_add(u64::from(unlucky), Ordering::Relaxed);
        unlucky
    }
}

//! The small HTTP door for machines that watch a process: `/health`, `/ready`, `/metrics`.
//!
//! It answers `GET` and `HEAD` of these three paths and nothing else, one request per connection. It
//! listens on its own port, so that it can be kept inside a network while the service itself is open
//! to all, and so that a service under load still answers its watchers.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::metrics::Registry;

/// Longest head of a request, in bytes.
const HEAD_MAX: usize = 8 << 10;

/// Longest time from a connection to its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at the same time; more wait.
const CONNECTIONS_MAX: usize = 16;

/// Pause after a connection could not be taken (no more open files).
const PAUSE: Duration = Duration::from_millis(100);

/// Why a process is not ready for work: one line per reason, none when it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Monitor {
    listener: TcpListener,
    patience: Duration,
}

impl Monitor {
    /// Takes the port; 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, patience: PATIENCE })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until its future is dropped. `/health` says that the process runs at all; `/ready` asks
    /// `readiness`, on a thread where that may take its time; `/metrics` renders `registry`.
    pub async fn serve(self, registry: Registry, readiness: Readiness) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            // Never closed, so there is always a permit in the end.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (registry, readiness) = (registry.clone(), Arc::clone(&readiness));
                    let patience = self.patience;
                    connections.spawn(async move {
                        let _permit = permit;
                        // A watcher that went away is no concern of ours.
                        let _ = timeout(patience, answer(stream, registry, readiness)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the monitor could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer(mut stream: TcpStream, registry: Registry, ready: Readiness) -> io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/health") => ("200 OK", "ok\n".to_owned()),
        ("GET" | "HEAD", "/ready") => {
            let reasons = tokio::task::spawn_blocking(move || ready()).await;
            let reasons = reasons.unwrap_or_else(|_| vec!["readiness cannot be told".to_owned()]);
            if reasons.is_empty() {
                ("200 OK", "ready\n".to_owned())
            } else {
                ("503 Service Unavailable", reasons.join("\n") + "\n")
            }
        }
        ("GET" | "HEAD", "/metrics") => {
            let rendered = tokio::task::spawn_blocking(move || registry.render()).await;
            ("200 OK", rendered.unwrap_or_default())
        }
        ("GET" | "HEAD", _) => {
            ("404 Not Found", "known are /health, /ready, /metrics\n".to_owned())
        }
        _ => ("405 Method Not Allowed", "only GET and HEAD\n".to_owned()),
    };
    let kind = if path == "/metrics" { "text/plain; version=0.0.4" } else { "text/plain" };
    let mut reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        reply.push_str(&body);
    }
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// The request up to its empty line; `None` if there is none within the bound.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        head.extend_from_slice(&part[..read]);
        if read == 0 || head.len() > HEAD_MAX {
            return Ok(None);
        }
    }
    Ok(String::from_utf8(head).ok())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn said(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut reply = Vec::new();
        // A connection that was refused may end with a reset; what came before counts.
        let _ = stream.read_to_end(&mut reply).await;
        String::from_utf8(reply).unwrap()
    }

    #[tokio::test]
    async fn watchers_are_answered_and_others_are_not() {
        let registry = Registry::new();
        registry.counter("things_total", "Things.", &[]).add(3);
        let stalled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stalled);
        let readiness: Readiness = Arc::new(move || {
            let reason = flag.load(Ordering::SeqCst).then(|| "the head stands still".to_owned());
            reason.into_iter().collect()
        });
        let monitor = Monitor::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = monitor.address().unwrap();
        let serving = tokio::spawn(monitor.serve(registry, readiness));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();

        let metrics = said(address, &get("/metrics")).await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
        assert!(metrics.ends_with("\nthings_total 3\n"), "{metrics}");
        assert!(said(address, &get("/ready?x=1")).await.ends_with("\r\n\r\nready\n"));
        stalled.store(true, Ordering::SeqCst);
        let unready = said(address, &get("/ready")).await;
        assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
        assert!(unready.ends_with("\r\n\r\nthe head stands still\n"), "{unready}");
        // Alive all the same.
        assert!(said(address, &get("/health")).await.starts_with("HTTP/1.1 200 "));
        let head = said(address, b"HEAD /health HTTP/1.0\r\n\r\n").await;
        assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: 3"), "{head}");
        assert!(said(address, &get("/")).await.starts_with("HTTP/1.1 404 "));
        assert!(said(address, b"POST /health HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        assert_eq!(said(address, &vec![b'a'; HEAD_MAX + 2000]).await, "");
        assert_eq!(said(address, b"\xff\xfe\r\n\r\n").await, "");
        serving.abort();
    }

    #[tokio::test]
    async fn silent_connections_do_not_keep_others_out_for_ever() {
        let mut monitor = Monitor::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        monitor.patience = Duration::from_millis(50);
        let address = monitor.address().unwrap();
        tokio::spawn(monitor.serve(Registry::new(), Arc::new(Vec::new)));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX + 4 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let reply = said(address, b"GET /health HTTP/1.1\r\n\r\n").await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
}

//! A listening socket with places for a bounded number of connections.

use std::{io::Write as _, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::Steady;

/// Wait after the system has refused a connection (no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A listening socket that lets in so many connections at a time, and tells the others in HTTP that it is
/// full.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    stall: Duration,
    full: Vec<u8>,
}

impl Door {
    /// Lets in `connections_max` connections at a time, at least one. Each of them fails once its peer has
    /// taken nothing for `stall`, see [`Steady`]. For those there is no place for, the answer is status 503
    /// with this text, which is of this content type.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        connections_max: usize,
        stall: Duration,
        content_type: &str,
        text: &str,
    ) -> Self {
        let full = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        let places = connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Self { listener, places: Arc::new(Semaphore::new(places)), stall, full: full.into_bytes() }
    }

    /// The next connection and its place, which others get when it is dropped. Calls `refused` for each one
    /// before it that there was no place for. To drop the future loses no connection.
    pub async fn next(&self, refused: impl Fn()) -> (Steady, OwnedSemaphorePermit) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                refused();
                self.refuse(stream);
                continue;
            };
            let _ = stream.set_nodelay(true);
            return (Steady::new(stream, self.stall), place);
        }
    }

    /// Best effort: whoever does not read at once sees the connection closed. The socket is asked itself: the
    /// runtime does not know yet that a new one can be written to, and nobody waits for it here.
    fn refuse(&self, stream: TcpStream) {
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write_all(&self.full);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn those_there_is_no_place_for_are_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, 1, PATIENCE, "text/plain", "it is f\u{fc}ll\n");
        let refused = Cell::new(0);
        let count = || refused.set(refused.get() + 1);
        let first = TcpStream::connect(address).await.unwrap();
        let (_, place) = timeout(PATIENCE, door.next(count)).await.unwrap();
        // Every one of them: nobody is only hung up on.
        for number in 1..=20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut told = Vec::new();
            let reading = stream.read_to_end(&mut told);
            let read = async {
                tokio::select! {
                    read = reading => read,
                    _ = door.next(count) => panic!("there was a place"),
                }
            };
            timeout(PATIENCE, read).await.unwrap().unwrap();
            let told = String::from_utf8(told).unwrap();
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(head.contains("\r\ncontent-length: 12\r\n"), "{head}");
            assert_eq!((body.len(), body, refused.get()), (12, "it is f\u{fc}ll\n", number));
        }
        drop((first, place));
        let mut next = TcpStream::connect(address).await.unwrap();
        let (mut stream, _place) = timeout(PATIENCE, door.next(count)).await.unwrap();
        stream.write_all(b"welcome").await.unwrap();
        let mut word = [0; 7];
        timeout(PATIENCE, next.read_exact(&mut word)).await.unwrap().unwrap();
        assert_eq!((&word, refused.get()), (b"welcome", 20));
    }
}

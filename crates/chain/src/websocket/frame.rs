//! WebSocket frames (RFC 6455), the server's side: no extensions, no subprotocols.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// Payload of a control frame, in bytes at most.
const CONTROL_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a peer has sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole message.
    Message(Vec<u8>),
    /// Wants the same bytes back.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// No more will come.
    Close,
}

/// Why nothing more can be read. Each has its close code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The stream ended or failed.
    Gone,
    /// What came is not the protocol.
    Protocol(&'static str),
    /// A message above the limit.
    TooLarge,
    /// A message that did not come to its end in time.
    TooSlow,
}

/// Reads frames and puts messages together.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    stream: R,
    bytes_max: usize,
    message_time: Duration,
    /// A message whose last frame has not come yet, and when it must have.
    begun: Option<(Vec<u8>, Instant)>,
}

struct Head {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    length: u64,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// `message_time` bounds how long a message may take after its first byte.
    pub(crate) fn new(stream: R, bytes_max: usize, message_time: Duration) -> Self {
        Self { stream, bytes_max, message_time, begun: None }
    }

    /// The next event. Not cancel-safe: whoever drops the future reads no more.
    pub(crate) async fn next(&mut self) -> Result<Event, Broken> {
        loop {
            let due = self.begun.as_ref().map(|(_, due)| *due);
            let first = self.stream.read_u8();
            let first = match due {
                None => first.await,
                Some(due) => timeout_at(due, first).await.map_err(|_| Broken::TooSlow)?,
            };
            let first = first.map_err(|_| Broken::Gone)?;
            let due = due.unwrap_or_else(|| Instant::now() + self.message_time);
            let frame = timeout_at(due, self.frame(first, due));
            if let Some(event) = frame.await.map_err(|_| Broken::TooSlow)?? {
                return Ok(event);
            }
        }
    }

    async fn frame(&mut self, first: u8, due: Instant) -> Result<Option<Event>, Broken> {
        let head = self.head(first).await?;
        if head.opcode >= CLOSE {
            if !head.last || head.length > CONTROL_MAX {
                return Err(Broken::Protocol("fragmented or long control frame"));
            }
            let mut payload = Vec::new();
            self.payload(&head, &mut payload).await?;
            return match head.opcode {
                CLOSE => Ok(Some(Event::Close)),
                PING => Ok(Some(Event::Ping(payload))),
                PONG => Ok(Some(Event::Pong)),
                _ => Err(Broken::Protocol("unknown opcode")),
            };
        }
        let mut message = match (head.opcode, self.begun.take()) {
            (CONTINUATION, Some((begun, _))) => begun,
            (TEXT | BINARY, None) => Vec::new(),
            (CONTINUATION | TEXT | BINARY, _) => return Err(Broken::Protocol("wrong fragment")),
            _ => return Err(Broken::Protocol("unknown opcode")),
        };
        let room = self.bytes_max.saturating_sub(message.len());
        if usize::try_from(head.length).map_or(true, |length| length > room) {
            return Err(Broken::TooLarge);
        }
        self.payload(&head, &mut message).await?;
        if head.last {
            return Ok(Some(Event::Message(message)));
        }
        self.begun = Some((message, due));
        Ok(None)
    }

    async fn head(&mut self, first: u8) -> Result<Head, Broken> {
        let gone = |_| Broken::Gone;
        let second = self.stream.read_u8().await.map_err(gone)?;
        if first & 0x70 != 0 {
            return Err(Broken::Protocol("extension that was not agreed on"));
        }
        if second & 0x80 == 0 {
            return Err(Broken::Protocol("frame without mask"));
        }
        let length = match second & 0x7f {
            126 => u64::from(self.stream.read_u16().await.map_err(gone)?),
            127 => self.stream.read_u64().await.map_err(gone)?,
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).await.map_err(gone)?;
        Ok(Head { last: first & 0x80 != 0, opcode: first & 0x0f, mask, length })
    }

    /// Appends a payload. Memory grows with what has come, not with what was announced.
    async fn payload(&mut self, head: &Head, into: &mut Vec<u8>) -> Result<(), Broken> {
        let start = into.len();
        let read = (&mut self.stream).take(head.length).read_to_end(into).await;
        if read.ok().and_then(|read| u64::try_from(read).ok()) != Some(head.length) {
            return Err(Broken::Gone);
        }
        for (byte, mask) in into[start..].iter_mut().zip(head.mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok(())
    }
}

/// Head of a text message of this length.
pub(super) fn text_head(length: usize, out: &mut Vec<u8>) {
    head(TEXT, length, out);
}

/// A ping without payload.
pub(super) fn ping(out: &mut Vec<u8>) {
    head(PING, 0, out);
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8], out: &mut Vec<u8>) {
    head(PONG, payload.len(), out);
    out.extend_from_slice(payload);
}

/// The last frame: a code and a reason of at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    head(CLOSE, 2 + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

fn head(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    let length = length as u64;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        head(0, payload.len(), &mut out);
        (out[0], out[1]) = (first, out[1] | 0x80);
        out.extend_from_slice(&[1, 2, 3, 4]);
        out.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    async fn events(bytes: &[u8]) -> (Vec<Event>, Broken) {
        let mut reader = Reader::new(bytes, 70_000, Duration::from_secs(5));
        let mut events = Vec::new();
        loop {
            match reader.next().await {
                Ok(event) => events.push(event),
                Err(broken) => return (events, broken),
            }
        }
    }

    #[tokio::test]
    async fn messages_come_whole_and_bounded() {
        let long = vec![b'x'; 66_000];
        let bytes = [
            masked(0x81, b"hello"),
            masked(0x01, b"he"),
            masked(0x89, b"beat"),
            masked(0x00, b"l"),
            masked(0x80, b"lo"),
            masked(0x82, &long),
            masked(0x8a, b""),
            masked(0x81, &[b'y'; 300]),
            masked(0x88, &1000_u16.to_be_bytes()),
        ]
        .concat();
        let (seen, broken) = events(&bytes).await;
        let hello = || Event::Message(b"hello".to_vec());
        let expected = [
            hello(),
            Event::Ping(b"beat".to_vec()),
            hello(),
            Event::Message(long),
            Event::Pong,
            Event::Message(vec![b'y'; 300]),
            Event::Close,
        ];
        assert_eq!(seen, expected);
        assert_eq!(broken, Broken::Gone);
        for cut in [1, 3, 8] {
            assert_eq!(events(&bytes[..cut]).await, (vec![], Broken::Gone));
        }
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_refused() {
        let unmasked = [0x81, 0x01, b'a'];
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let too_large = |bytes: Vec<u8>| (bytes, Broken::TooLarge);
        let cases = [
            (unmasked.to_vec(), Broken::Protocol("frame without mask")),
            (masked(0xc1, b"a"), Broken::Protocol("extension that was not agreed on")),
            (masked(0x80, b"a"), Broken::Protocol("wrong fragment")),
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), Broken::Protocol("wrong fragment")),
            (masked(0x83, b"a"), Broken::Protocol("unknown opcode")),
            (masked(0x8b, b"a"), Broken::Protocol("unknown opcode")),
            (masked(0x09, b"a"), Broken::Protocol("fragmented or long control frame")),
            (masked(0x89, &[0; 126]), Broken::Protocol("fragmented or long control frame")),
            too_large(huge.to_vec()),
            too_large(masked(0x81, &[0; 70_001])),
            too_large([masked(0x01, &[0; 69_999]), masked(0x00, b"ab")].concat()),
        ];
        for (bytes, expected) in cases {
            assert_eq!(events(&bytes).await, (vec![], expected));
        }
    }

    #[tokio::test]
    async fn a_message_that_never_ends_is_given_up() {
        let (client, server) = tokio::io::duplex(64);
        let mut client = client;
        tokio::io::AsyncWriteExt::write_all(&mut client, &masked(0x81, b"hello")[..4])
            .await
            .unwrap();
        let mut reader = Reader::new(server, 100, Duration::from_millis(20));
        assert_eq!(reader.next().await, Err(Broken::TooSlow));
    }
}

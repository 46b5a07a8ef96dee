//! The WebSocket protocol (RFC 6455) as a server speaks it: the handshake, frames, and what waits
//! to be sent. Knows nothing of what the messages say; [`crate::rpc`] runs the connections.

mod frame;
mod outbox;

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use sha1::{Digest, Sha1};

pub(crate) use self::{
    frame::{Broken, Event, Reader, close},
    outbox::{Outbox, Outgoing, Step, code},
};

/// Appended to the client's key before it is hashed (RFC 6455).
const HANDSHAKE: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version there is.
const VERSION: &str = "13";

/// Whether a request wants a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, wanted: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
        })
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// The answer that opens a connection, or the one that says why it is not opened.
pub(crate) fn handshake<B>(request: &Request<B>) -> Result<Response<Full<Bytes>>, Refused> {
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.filter(|_| request.method() == Method::GET).ok_or(Refused::Malformed)?;
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(Refused::Version);
    }
    let accepted = Sha1::new().chain_update(key).chain_update(HANDSHAKE).finalize();
    let accepted =
        HeaderValue::from_str(&STANDARD.encode(accepted)).map_err(|_| Refused::Malformed)?;
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(reply)
}

/// Why a connection is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request is no handshake.
    Malformed,
    /// It asks for another version of the protocol.
    Version,
}

impl Refused {
    /// Says so in the headers of a reply, as far as the protocol has headers for it.
    pub(crate) fn note(self, headers: &mut HeaderMap) {
        if self == Self::Version {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
    }
}

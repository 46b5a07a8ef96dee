//! Conversations in frames with another endpoint, beside the content: one stream of a connection of its own,
//! under a protocol name of the caller's.
//!
//! A frame is a little-endian `u32` length and so many bytes, bounded by the hearer before they are read.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use iroh::{
    endpoint::{Connection, RecvStream, SendStream},
    protocol::{AcceptError, ProtocolHandler},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{
    Doing,
    dial::DIAL,
    door::BUSY,
    places::{Place, Places},
};

/// How long a caller may take to begin.
const BEGIN: Duration = Duration::from_secs(5);

/// A protocol that this endpoint answers.
#[derive(Clone)]
pub struct Line {
    /// Its name on the wire.
    pub alpn: &'static [u8],
    /// Most conversations at the same time, three quarters of them with one endpoint; who calls when all are taken is told to
    /// come back later.
    pub most: usize,
    /// Where calls go. A call that finds no room here is refused, too.
    pub calls: mpsc::Sender<Talk>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("alpn", &String::from_utf8_lossy(self.alpn))
            .finish_non_exhaustive()
    }
}

/// Why a conversation has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    /// Nothing was heard, or could be said, for so long.
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// A frame is longer than the hearer allows.
    #[error("a frame of {length} bytes where at most {most} are allowed")]
    TooLong {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// There is no way to the other side.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The other side, or the way there, is gone.
    #[error("the connection is gone: {0}")]
    Gone(String),
}

/// A conversation. Dropping it ends it at once, with what was said last possibly unheard.
#[derive(Debug)]
pub struct Talk {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// Among those of a [`Line`].
    _place: Option<Place>,
}

fn gone(error: &impl fmt::Display) -> TalkError {
    TalkError::Gone(error.to_string())
}

async fn within<T>(
    patience: Duration,
    doing: impl Future<Output = Result<T, TalkError>>,
) -> Result<T, TalkError> {
    tokio::time::timeout(patience, doing).await.map_err(|_| TalkError::Silent(patience))?
}

impl Talk {
    /// Begins a conversation on a connection that was just opened.
    pub(crate) async fn begin(connection: Connection) -> Result<Self, TalkError> {
        // The other side says how many streams there may be, and may allow none for ever.
        let opened =
            within(DIAL, async { connection.open_bi().await.map_err(|error| gone(&error)) });
        let (send, receive) = opened.await?;
        Ok(Self { connection, send, receive, _place: None })
    }

    /// The other endpoint's id, which it has proved.
    pub fn remote(&self) -> [u8; 32] {
        *self.connection.remote_id().as_bytes()
    }

    /// Waits until the other side has ended the conversation.
    pub async fn ended(&self) {
        self.connection.closed().await;
    }

    /// Says a frame; returns when it is handed over, which waits for a slow hearer.
    ///
    /// # Errors
    /// [`TalkError`].
    pub fn say<'a>(
        &'a mut self,
        frame: &'a [u8],
        patience: Duration,
    ) -> Doing<'a, Result<(), TalkError>> {
        Box::pin(async move {
            let length = u32::try_from(frame.len())
                .map_err(|_| TalkError::TooLong { length: frame.len(), most: u32::MAX as usize })?;
            within(patience, async {
                self.send.write_all(&length.to_le_bytes()).await.map_err(|error| gone(&error))?;
                self.send.write_all(frame).await.map_err(|error| gone(&error))
            })
            .await
        })
    }

    /// Hears a frame of at most `most` bytes.
    ///
    /// # Errors
    /// [`TalkError`].
    pub fn hear(
        &mut self,
        most: usize,
        patience: Duration,
    ) -> Doing<'_, Result<Vec<u8>, TalkError>> {
        Box::pin(async move {
            within(patience, async {
                let mut length = [0; 4];
                self.receive.read_exact(&mut length).await.map_err(|error| gone(&error))?;
                let length = u32::from_le_bytes(length) as usize;
                if length > most {
                    return Err(TalkError::TooLong { length, most });
                }
                let mut frame = vec![0; length];
                self.receive.read_exact(&mut frame).await.map_err(|error| gone(&error))?;
                Ok(frame)
            })
            .await
        })
    }
}

/// Takes calls in.
#[derive(Debug)]
pub(crate) struct LineDoor {
    line: Line,
    places: Arc<Places>,
}

impl LineDoor {
    pub(crate) fn new(line: Line) -> Self {
        let places = Places::new(line.most);
        Self { line, places }
    }
}

impl ProtocolHandler for LineDoor {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let remote = connection.remote_id();
        let Some(place) = self.places.take(*remote.as_bytes()) else {
            debug!(remote = %remote.fmt_short(), "refused a call: all places taken");
            connection.close(BUSY.into(), b"busy");
            return Ok(());
        };
        let Ok(begun) = tokio::time::timeout(BEGIN, connection.accept_bi()).await else {
            return Ok(());
        };
        let (send, receive) = begun?;
        let talk = Talk { connection, send, receive, _place: Some(place) };
        if let Err(refused) = self.line.calls.try_send(talk) {
            let (mpsc::error::TrySendError::Full(talk) | mpsc::error::TrySendError::Closed(talk)) =
                refused;
            talk.connection.close(BUSY.into(), b"busy");
        }
        Ok(())
    }
}

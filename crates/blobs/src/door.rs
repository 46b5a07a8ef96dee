//! Who may come in: a bound on connections in front of the blob protocol.

use std::sync::Arc;

use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::BlobsProtocol;
use tracing::debug;

use crate::places::Places;

/// Closing code for "too many connections, try again later".
pub(crate) const BUSY: u32 = 17;

/// Serves content on at most so many connections at once. Each carries at most [`REQUESTS`](crate::serve::REQUESTS) requests
/// at a time, push requests are refused by the protocol itself.
#[derive(Debug)]
pub(crate) struct Door {
    protocol: BlobsProtocol,
    places: Arc<Places>,
}

impl Door {
    pub(crate) fn new(protocol: BlobsProtocol, connections: usize) -> Self {
        Self { protocol, places: Places::new(connections) }
    }
}

impl ProtocolHandler for Door {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let remote = connection.remote_id();
        let Some(_place) = self.places.take(*remote.as_bytes()) else {
            debug!(remote = %remote.fmt_short(), "refused a connection: all places taken");
            connection.close(BUSY.into(), b"busy");
            return Ok(());
        };
        self.protocol.accept(connection).await
    }

    async fn shutdown(&self) {
        self.protocol.shutdown().await;
    }
}

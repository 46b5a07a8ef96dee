//! Who may come in: a bound on connections in front of the blob protocol.

use std::sync::Arc;

use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::BlobsProtocol;
use tokio::sync::Semaphore;
use tracing::debug;

/// Closing code for "too many connections, try again later".
pub(crate) const BUSY: u32 = 17;

/// Serves content on at most so many connections at once. Each carries at most 100 requests at a
/// time (the transport's default), push requests are refused by the protocol itself.
#[derive(Debug)]
pub(crate) struct Door {
    protocol: BlobsProtocol,
    free: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(protocol: BlobsProtocol, connections: usize) -> Self {
        Self { protocol, free: Arc::new(Semaphore::new(connections)) }
    }
}

impl ProtocolHandler for Door {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let Ok(_place) = Arc::clone(&self.free).try_acquire_owned() else {
            debug!(remote = %connection.remote_id().fmt_short(), "refused a connection: all places taken");
            connection.close(BUSY.into(), b"busy");
            return Ok(());
        };
        self.protocol.accept(connection).await
    }

    async fn shutdown(&self) {
        self.protocol.shutdown().await;
    }
}

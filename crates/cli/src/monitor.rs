//! The monitor of a command that runs for long.

use std::net::SocketAddr;

use tilth_protocol::Problem;
use tilth_service::{Monitor, Registry};

/// Takes the monitor's port.
///
/// # Errors
/// It is taken or may not be used.
pub async fn bind(address: SocketAddr) -> Result<Monitor, Problem> {
    Monitor::bind(address).await.map_err(|error| {
        Problem::new(
            "health and metrics cannot be served",
            format!("{address}: {error}"),
            "choose another address (option monitor.listen; --monitor of a gateway), or stop the \
             program that uses it",
        )
    })
}

/// Adds what every process says of itself.
pub fn describe(registry: &Registry) {
    registry.add_process();
    registry
        .gauge("tilth_build_info", "The program.", &[("version", env!("CARGO_PKG_VERSION"))])
        .set(1);
}

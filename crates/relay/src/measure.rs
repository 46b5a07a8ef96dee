//! What a relay measures.

use std::sync::Arc;

use iroh_relay::server::Metrics;
use tilth_service::Registry;

use crate::{
    gate::{Gate, Refusal},
    watch::Watch,
};

/// Adds a relay's numbers to a registry.
pub(crate) fn add(
    registry: &Registry,
    metrics: &Arc<Metrics>,
    gate: &Arc<Gate>,
    watch: Option<&Arc<Watch>>,
) {
    let counter = |name, help, read: fn(&Metrics) -> u64| {
        let metrics = Arc::clone(metrics);
        registry.read_counter(name, help, &[], move || float(read(&metrics)));
    };
    counter("tilth_relay_received_bytes_total", "Bytes taken from endpoints.", |m| {
        m.bytes_recv.get()
    });
    counter("tilth_relay_sent_bytes_total", "Bytes passed on to endpoints.", |m| {
        m.bytes_sent.get()
    });
    counter(
        "tilth_relay_dropped_packets_total",
        "Packets for endpoints that are not connected.",
        |m| m.send_packets_dropped.get(),
    );
    counter("tilth_relay_limited_bytes_total", "Bytes that had to wait for the rate limit.", |m| {
        m.bytes_rx_ratelimited_total.get()
    });
    counter("tilth_relay_discoveries_total", "Endpoints that were told their address.", |m| {
        m.qad_connections.get()
    });
    for why in Refusal::ALL {
        let gate = Arc::clone(gate);
        let help = "Connections refused.";
        let labels = [("reason", why.word())];
        registry.read_counter("tilth_relay_refused_total", help, &labels, move || {
            float(gate.refused(why))
        });
    }
    let open = Arc::clone(gate);
    registry.read_gauge("tilth_relay_connections", "Connections that are open.", &[], move || {
        open.connections().into()
    });
    let present = Arc::clone(gate);
    let help = "Endpoints that are connected.";
    registry.read_gauge("tilth_relay_endpoints", help, &[], move || count(present.endpoints()));
    if let Some(watch) = watch {
        let help = "Endpoints that may come in, as the chain has it.";
        for (kind, pick) in [("provider", 0), ("client", 1)] {
            let watch = Arc::clone(watch);
            registry.read_gauge("tilth_relay_admitted", help, &[("kind", kind)], move || {
                let counts = watch.counts();
                count(if pick == 0 { counts.0 } else { counts.1 })
            });
        }
    }
}

/// Exact to 2^53, which metrics are content with.
#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn float(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    float(value as u64)
}

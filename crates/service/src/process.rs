//! What the system says about this process (Linux: `/proc/self`). Elsewhere the numbers are absent.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::metrics::Registry;

/// Ticks per second in `/proc/self/stat`; fixed at 100 for user space on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn register(registry: &Registry) {
    if stat().is_none() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let uptime = std::fs::read_to_string("/proc/uptime").ok();
    let up = uptime.as_deref().and_then(first_number).unwrap_or_default();
    let started = stat().map_or(now, |stat| now - up + stat.start_ticks / TICKS_PER_SECOND);
    registry.read_gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM.",
        &[],
        || status("VmRSS:").map_or(0.0, |kib| kib * 1024.0),
    );
    registry.read_gauge(
        "process_virtual_memory_bytes",
        "Address space of the process.",
        &[],
        || status("VmSize:").map_or(0.0, |kib| kib * 1024.0),
    );
    registry.read_counter(
        "process_cpu_seconds_total",
        "Processor time the process has used, user and system.",
        &[],
        || stat().map_or(0.0, |stat| stat.cpu_ticks / TICKS_PER_SECOND),
    );
    registry.read_gauge("process_threads", "Threads of the process.", &[], || {
        status("Threads:").unwrap_or_default()
    });
    registry.read_gauge("process_open_fds", "Open files and sockets of the process.", &[], || {
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        u32::try_from(open).map_or(f64::from(u32::MAX), f64::from)
    });
    registry.read_gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        &[],
        move || started,
    );
}

struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

fn stat() -> Option<Stat> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything; the fields come after the last one.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat { cpu_ticks: number(11)? + number(12)?, start_ticks: number(19)? })
}

fn status(key: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    first_number(text.lines().find_map(|line| line.strip_prefix(key))?)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

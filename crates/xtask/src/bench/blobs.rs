//! 256 MiB from one process to another: verified blobs, beside plain TCP.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{Report, built, process::measure};

/// What `crates/blobs/examples/transfer.rs` sends.
const BYTES: usize = 256 << 20;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let finished = measure(&built("examples/transfer"), &[])?;
    eprintln!("{}", finished.stdout.trim_end());
    let said: serde_json::Value = serde_json::from_str(finished.stdout.trim())?;
    let figure = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
    anyhow::ensure!(said["bytes"] == BYTES, "the example sent {}", said["bytes"]);
    let tcp = tcp_seconds()?;
    let seconds = figure("get_seconds");
    #[allow(clippy::cast_precision_loss, reason = "a size far below 2^52")]
    let mebibytes = BYTES as f64 / f64::from(1 << 20);
    report.line(
        "256 MiB blob, fetched and verified over loopback",
        format!("{seconds:.2} s ({:.0} MiB/s)", mebibytes / seconds),
        format!("plain TCP {tcp:.2} s"),
        format!(
            "{:.1}x the time; CPU {:.2} s to fetch, {:.2} s to serve",
            seconds / tcp,
            figure("get_cpu"),
            figure("serve_cpu"),
        ),
    );
    Ok(())
}

fn tcp_seconds() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let block = vec![7_u8; 1 << 20];
        let mut left = BYTES;
        while left > 0 {
            let part = left.min(block.len());
            stream.write_all(&block[..part])?;
            left -= part;
        }
        Ok(())
    });
    let started = Instant::now();
    let mut received = Vec::with_capacity(BYTES);
    TcpStream::connect(address)?.read_to_end(&mut received)?;
    let seconds = started.elapsed().as_secs_f64();
    let _ = sender.join();
    anyhow::ensure!(received.len() == BYTES, "TCP lost bytes");
    Ok(seconds)
}

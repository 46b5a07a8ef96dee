//! `tilth relay`: a place where machines behind routers meet.

mod config;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use serde_json::json;
use tilth_protocol::Problem;
use tilth_relay::{Identity, Traffic};
use tilth_service::{Monitor, Registry};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    Ended,
    args::{self, Common, RelayCommand},
    monitor, open_files, print_json,
    up::listen,
};
use config::RelayConfig;

/// How often a busy relay says in the log what went through it.
const REPORT: Duration = Duration::from_secs(60);

pub async fn relay(common: Common, args: args::Relay) -> Ended {
    if let Some(RelayCommand::Config { reference }) = args.command {
        print!("{}", if reference { config::reference() } else { config::default_file() });
        return Ok(ExitCode::SUCCESS);
    }
    let config = RelayConfig::gather(&args.options)?;
    for variable in config::stray_variables() {
        warn!(variable, "looks like an option of a relay and is none");
    }
    let told = config.told(&common)?;
    let mut signals = listen()?;
    open_files::allow_more();
    let own = config.own_certificate(&told);
    let monitor = match config.monitor.listen {
        Some(address) => Some(monitor::bind(address).await?),
        None => None,
    };
    let mut relay = tilth_relay::Relay::spawn(told).await.map_err(|error| error.problem())?;
    let watched = monitor.as_ref().and_then(|monitor| monitor.address().ok());
    let watching = monitor.map(|monitor| watch(monitor, &relay));
    let urls = config.urls(&relay);
    say(&common, relay.address(), &urls, own.as_ref(), watched)?;
    let mut said = Traffic::default();
    let mut report = tokio::time::interval(REPORT);
    loop {
        tokio::select! {
            _ = signals.next() => break,
            error = relay.failure() => return Err(error.problem()),
            _ = report.tick() => said = tell(said, relay.traffic()),
        }
    }
    tell(said, relay.traffic());
    tokio::select! {
        () = relay.stop() => {}
        () = signals.insisted() => {}
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(monitor: Monitor, relay: &tilth_relay::Relay) -> JoinHandle<()> {
    let registry = Registry::new();
    monitor::describe(&registry);
    relay.measure(&registry);
    tokio::spawn(monitor.serve(registry, relay.readiness()))
}

/// Says what went through it, if anything did.
fn tell(said: Traffic, now: Traffic) -> Traffic {
    if said.sent_bytes != now.sent_bytes {
        let Traffic { received_bytes, sent_bytes, connections } = now;
        info!(received_bytes, sent_bytes, connections, "passed on since the start");
    }
    now
}

fn say(
    common: &Common,
    listen: SocketAddr,
    urls: &[String],
    own: Option<&Identity>,
    monitor: Option<SocketAddr>,
) -> Result<(), Problem> {
    let monitor = monitor.map(|address| format!("http://{address}"));
    if common.json {
        let certificate = own.map(|own| &own.certificate);
        return print_json(&json!({
            "listen": listen, "urls": urls, "certificate": certificate, "monitor": monitor,
        }));
    }
    println!("relay is ready at {}; Ctrl-C stops it", urls.join(", "));
    if let Some(url) = monitor {
        println!("  monitor  {url}/health  {url}/ready  {url}/metrics");
    }
    if let Some(own) = own {
        println!("  its certificate is its own; hand this file to those who use it:");
        println!("  {}", own.certificate.display());
    }
    println!("  providers and clients name it in their configuration, under [data]:");
    println!("    relay = [\"{}\"]", urls.first().map_or("", String::as_str));
    if own.is_some() {
        println!("    relay-certificate = \"relay-certificate.pem\"");
    }
    Ok(())
}

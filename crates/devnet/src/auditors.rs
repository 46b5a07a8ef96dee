//! The network's auditors.

use std::{net::SocketAddr, path::Path, time::Duration};

use tilth_client::{Account, ChainError, Keys, Network, clock};
use tilth_protocol::Problem;
use tilth_provider::{Auditor, AuditorConfig, Comfort, GasReserve, Limits};
use tokio::task::JoinSet;

use crate::{Topology, funding};

/// A chain whose clock is ahead by more than a block's time is not waited for.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// Starts them, each with stake and gas.
pub(crate) async fn start(
    topology: &Topology,
    (dir, network): (&Path, &Network),
    funder: &Account,
    keys: &Keys,
) -> Result<Vec<Auditor>, Problem> {
    let mut starting = JoinSet::new();
    for number in 1..=topology.auditors {
        let name = format!("auditor-{number}");
        let config = AuditorConfig {
            dir: dir.join("auditors").join(&name),
            network: network.clone(),
            owner: keys.open_or_create(&name)?,
            node: keys.open_or_create(&format!("{name}-node"))?,
            stake: funding::AUDITOR_STAKE,
            limits: Limits::default(),
            worker: topology.worker.clone(),
            sandbox_init: topology.sandbox_init.clone(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            relays: Comfort::default().relays,
            upload: None,
            download: None,
            content_bytes: None,
            gas: GasReserve::default(),
        };
        let funder = funder.clone();
        starting.spawn(async move {
            let owner = config.owner.address();
            let funded = async {
                funding::native(&funder, owner, funding::GAS_MONEY).await?;
                funding::ledger(&funder, owner, funding::AUDITOR_STAKE).await
            };
            funded.await.map_err(|error| error.problem())?;
            let auditor = Auditor::spawn(config).await.map_err(|error| error.problem())?;
            Ok::<_, Problem>(auditor)
        });
    }
    let mut started = Vec::new();
    while let Some(auditor) = starting.join_next().await {
        let auditor = auditor.map_err(|error| {
            let advice = "see the log; this is a bug";
            Problem::new("an auditor cannot start", error.to_string(), advice)
        })?;
        started.push(auditor?);
    }
    started.sort_by_key(Auditor::number);
    if !started.is_empty() {
        on_the_line(funder).await.map_err(|error| error.problem())?;
    }
    Ok(started)
}

/// Waits until what is handed in can be audited by those that are here: auditors are drawn from the line as of the
/// second before the submission.
async fn on_the_line(anybody: &Account) -> Result<(), ChainError> {
    let joined = anybody.link().now().await?;
    let due = Duration::from_secs(joined.saturating_add(1));
    tokio::time::sleep(due.saturating_sub(clock::wall()).min(MAX_WAIT)).await;
    Ok(())
}

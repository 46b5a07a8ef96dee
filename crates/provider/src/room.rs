//! The disk's share for content: when it is nearly used up the machine is told, and what is no longer
//! owed goes.

use std::time::Duration;

use tilth_blobs::Blobs;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::{machine::Event, status::Status};

/// How often to look.
const LOOK: Duration = Duration::from_secs(5);
/// How often without a cap, where it is only shown.
const LOOK_UNCAPPED: Duration = Duration::from_secs(60);
/// Part of the share, in percent, above which no new work is taken and courtesies end.
const HIGH: u64 = 85;
/// Part of the share below which that is over.
const LOW: u64 = 70;

/// Whether the share is nearly used up, given whether it was.
fn is_crowded(was: bool, used: u64, cap: u64) -> bool {
    let line = if was { LOW } else { HIGH };
    u128::from(used) * 100 > u128::from(cap) * u128::from(line)
}

/// Watches the folder of the content. Without a cap it only shows the size.
pub(crate) async fn watch(
    blobs: Blobs,
    cap: Option<u64>,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
) {
    let mut crowded = false;
    loop {
        let looked = blobs.clone();
        let used = tokio::task::spawn_blocking(move || looked.stored_bytes()).await.unwrap_or(0);
        status.send_if_modified(|status| std::mem::replace(&mut status.stored_bytes, used) != used);
        if let Some(cap) = cap {
            let now = is_crowded(crowded, used, cap);
            if now != crowded {
                match now {
                    true => warn!(
                        used,
                        cap, "the content's share of the disk is nearly used up: no new work"
                    ),
                    false => info!(used, cap, "there is room for content again"),
                }
                if events.send(Event::Crowded(now)).await.is_err() {
                    return;
                }
                crowded = now;
            }
        }
        tokio::time::sleep(if cap.is_some() { LOOK } else { LOOK_UNCAPPED }).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_line_has_two_sides(used: u64, cap: u64) {
            let (enters, stays) = (is_crowded(false, used, cap), is_crowded(true, used, cap));
            prop_assert!(!enters || stays, "who enters stays");
            prop_assert!(used <= cap || stays);
            prop_assert!(!stays || u128::from(used) * 100 > u128::from(cap) * 70);
        }
    }
}

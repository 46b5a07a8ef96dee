//! What is offered under the nonces that a node names, and when more is bid for one of them.
//!
//! A node that refuses a nonce because another transaction waits under it, and names it again, does not count that one.
//! Either it pays too little for a block, and an earlier life of the program has left it: then it is outbid. Or the node
//! is behind: there may be several behind one address, and the transaction is another program's that lives, or one of
//! ours that is counted elsewhere. To bid for that one's place would have whoever sent it send it anew, so nothing is bid
//! before a node that is behind has had the time to see it.

use std::time::Duration;

use crate::link::Fees;

/// How often in a row a nonce is refused before more is bid for it: see [`LAG`] for how long that takes.
const REFUSALS: u32 = 5;
/// Pause after each of these but the first, where somebody was quicker, and the last: with a node on this machine, which
/// is behind nobody, and elsewhere. Three of them are longer than a block of the slowest chain, and far shorter than the
/// shortest time that a contract gives us (`REPLICA_TIME`, 15 minutes), so what is stuck is still overtaken in time.
const LAG: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));
/// How often a fee is raised where a node has another transaction under the same nonce, of which nobody knows what it pays:
/// 1.2^12 is about nine times what the next blocks ask for.
pub(super) const BIDS: u32 = 12;
/// Pause after a nonce was refused, times the number of refusals.
const NONCE_PAUSE: Duration = Duration::from_millis(2);

/// What is offered for one transaction, whatever nonce it gets.
#[derive(Debug)]
pub(super) struct Offer {
    /// What the next blocks ask for.
    market: Fees,
    fees: Fees,
    bids: u32,
    /// The nonce that was refused last, how often in a row, and whether because of another one under it.
    refused: Option<(u64, u32, bool)>,
}

impl Offer {
    /// Nothing was refused yet.
    pub(super) fn new(market: Fees) -> Self {
        Self { market, fees: market, bids: 0, refused: None }
    }

    /// What is paid under a nonce.
    pub(super) fn under(&mut self, nonce: u64) -> Fees {
        match self.refused {
            Some((of, times, is_outbid)) if of == nonce => {
                if is_outbid && times >= REFUSALS && self.bids < BIDS {
                    // What the node does not count pays less than a block asks for now.
                    (self.fees, self.bids) = (self.fees.raised(), self.bids + 1);
                }
            }
            // What was in the way is counted.
            _ => *self = Self::new(self.market),
        }
        self.fees
    }

    /// Notes that a nonce was refused; gives how often in a row.
    pub(super) fn refuse(&mut self, nonce: u64, is_outbid: bool) -> u32 {
        let same = self.refused.filter(|(of, ..)| *of == nonce);
        let times = same.map_or(0, |(_, times, _)| times).saturating_add(1);
        self.refused = Some((nonce, times, is_outbid));
        times
    }
}

/// How long to wait after so many refusals, of which so many were of the same nonce in a row.
pub(super) fn pause_after(refusals: u32, in_a_row: u32, is_local: bool) -> Duration {
    if (2..REFUSALS).contains(&in_a_row) {
        return if is_local { LAG.0 } else { LAG.1 };
    }
    NONCE_PAUSE.saturating_mul(refusals)
}

#[cfg(test)]
#[path = "offer_tests.rs"]
mod tests;

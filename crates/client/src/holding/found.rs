//! Where what is held is found.

use std::collections::BTreeSet;

use tilth_contracts::{HoldState, Holders};
use tilth_protocol::{Contact, RangeId};

use crate::{ChainError, Contacts, Link};

/// Most holders of a range that are asked.
const MOST: usize = 8;

/// Where the holders of a range serve it, by what they have announced from `first_block` on; nobody while it is not held.
/// Whether its time is over is not asked: who still has it may serve it.
///
/// # Errors
/// Those of [`Link`].
pub async fn holders_of(
    link: &Link,
    first_block: u64,
    range: RangeId,
) -> Result<Vec<Contact>, ChainError> {
    let holders = link.addresses().holders;
    let (job, seq) = (range.job.0, range.seq);
    let ask = link.read(holders, Holders::askedCall { jobId: job, seq }).await?;
    if HoldState::try_from(ask.state) != Ok(HoldState::Held) {
        return Ok(Vec::new());
    }
    let named = link.read(holders, Holders::namedCall { jobId: job, seq }).await?;
    let numbers: BTreeSet<u32> = signers(&named, ask.bits).into_iter().take(MOST).collect();
    let contacts = Contacts::new(link.clone(), first_block);
    Ok(contacts.of_holders(&numbers).await?.into_values().collect())
}

/// Numbers of those whose draws have signed, each once.
fn signers(named: &[u32], bits: u16) -> BTreeSet<u32> {
    let draws = (0_u32..16).zip(named);
    draws.filter(|(draw, _)| bits >> draw & 1 == 1).map(|(_, number)| *number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_signed_is_asked_and_only_once() {
        let named = [3, 1, 3, 2, 9];
        assert_eq!(signers(&named, 0b0_1101), BTreeSet::from([2, 3]));
        assert_eq!(signers(&named, 0), BTreeSet::new());
        assert_eq!(signers(&[], u16::MAX), BTreeSet::new());
    }
}

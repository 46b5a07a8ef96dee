//! A provider's stake from its owner's side: how much of it is bound, taking it out, and having it back.

use std::collections::BTreeSet;

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{Address, B256, U256};
use serde::Serialize;
use tilth_client::{Account, ChainError, Link};
use tilth_contracts::{Provider as OnChain, Registry, Waiting};
use tilth_protocol::{Amount, JobId};

use crate::{line, machine::Place};

/// Basis points of a whole.
const WHOLE: u128 = 10_000;

/// The stake of a registered provider, as the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stake {
    /// The provider's number, from 1.
    pub number: u32,
    /// All of it that is not leaving.
    pub staked: Amount,
    /// The part of that which no unsettled work is bound to: new work can take it up, or it can leave.
    pub free: Amount,
    /// What is leaving: within reach of punishment, and no use for new work.
    pub leaving: Amount,
    /// From when what is leaving can be withdrawn, by the chain's clock, in seconds since 1970; 0 if nothing leaves.
    pub ready_at: u64,
}

impl Stake {
    /// Reads it; `None` if the account is no provider's owner.
    ///
    /// # Errors
    /// Those of [`Link::read`].
    pub async fn of(link: &Link, owner: Address) -> Result<Option<Self>, ChainError> {
        let registry = link.addresses().registry;
        let known = link.read(registry, Registry::providerCall { owner }).await?;
        if known.number == 0 {
            return Ok(None);
        }
        let carried = link.read(registry, Registry::EXPOSURE_BPSCall {}).await?;
        Ok(Some(Self::read(&known, carried)))
    }

    /// `carried`: value of unsettled work that a stake carries, in basis points of it.
    fn read(known: &OnChain, carried: U256) -> Self {
        // More than any number of basis points is a stake that carries everything.
        let carried = u128::try_from(carried).unwrap_or(u128::MAX);
        let bound = match carried {
            0 => known.stake,
            carried => known.exposure.saturating_mul(WHOLE).div_ceil(carried),
        };
        Self {
            number: known.number,
            staked: Amount(known.stake),
            free: Amount(known.stake.saturating_sub(bound)),
            leaving: Amount(known.unbonding),
            ready_at: known.unbondingReadyAt.to::<u64>(),
        }
    }
}

/// Starts taking so much stake out. It thaws for seven days, together with what is leaving already, and stays within
/// reach of punishment meanwhile.
///
/// # Errors
/// Those of [`Account::send`]; the contract refuses what is bound to unsettled work.
pub async fn unstake(owner: &Account, amount: Amount) -> Result<(), ChainError> {
    let registry = owner.link().addresses().registry;
    owner.execute(registry, Registry::unstakeCall { amount: amount.0 }).await.map(drop)
}

/// Makes stake that has left free balance again.
///
/// # Errors
/// Those of [`Account::send`]; the contract refuses before its time.
pub async fn withdraw_stake(owner: &Account) -> Result<(), ChainError> {
    let registry = owner.link().addresses().registry;
    owner.execute(registry, Registry::withdrawStakeCall {}).await.map(drop)
}

/// Leaves all lines in which a provider waits to be drawn as mate, and frees the bonds of those that it has left for
/// long enough. `node`: the provider's node key, with coin for gas if there is anything to leave. Says in how many jobs
/// a bond stays: ranges of before can draw the provider for an hour, and it must be there to do them.
///
/// # Errors
/// Those of the chain.
pub async fn leave_lines(
    node: &Account,
    number: u32,
    first_block: u64,
) -> Result<usize, ChainError> {
    let filter = Filter::new()
        .address(node.link().addresses().waiting)
        .event_signature(Waiting::ProviderWaits::SIGNATURE_HASH)
        .topic2(B256::from(U256::from(number)));
    let logs = node.link().scan(&filter, first_block).await?;
    let waited = logs.iter().filter_map(|log| Waiting::ProviderWaits::decode_log(&log.inner).ok());
    let jobs: BTreeSet<_> = waited.map(|log| JobId(log.data.jobId)).collect();
    let mut bound = 0_usize;
    for job in jobs {
        let place = line::leave(node, job, number).await?;
        bound = bound.saturating_add(usize::from(place != Some(Place::Off)));
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{FixedBytes, aliases::U40};
    use tilth_contracts::Attributes;

    use super::*;

    fn known(stake: u128, exposure: u128) -> OnChain {
        OnChain {
            number: 3,
            owner: Address::repeat_byte(1),
            node: Address::repeat_byte(2),
            slots: 1,
            held: 0,
            paused: false,
            stake,
            exposure,
            unbonding: 7,
            unbondingReadyAt: U40::from(5),
            attributes: Attributes {
                classBits: 0,
                memoryMib: 0,
                vramMib: 0,
                region: FixedBytes([0; 8]),
            },
            endpointId: FixedBytes([0; 32]),
        }
    }

    #[test]
    fn what_unsettled_work_needs_is_not_free() {
        let free = |stake, exposure, carried: u64| {
            let read = Stake::read(&known(stake, exposure), U256::from(carried));
            assert_eq!((read.staked.0, read.leaving.0, read.ready_at), (stake, 7, 5));
            read.free.0
        };
        assert_eq!(free(100, 0, 10_000), 100);
        assert_eq!(free(100, 30, 10_000), 70);
        assert_eq!(free(100, 130, 10_000), 0, "after a cut");
        // Half of it carries the work: what is left must do so, too.
        assert_eq!(free(100, 15, 5_000), 70);
        assert_eq!(free(100, 1, 30_000), 99, "rounded up");
        assert_eq!(free(100, 1, 0), 0);
    }
}

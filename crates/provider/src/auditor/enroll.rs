//! Becoming an auditor, staying one, and ceasing to be one. Doing it again changes nothing and costs nothing.

use alloy_primitives::Address;
use tilth_client::{Account, ChainError, Link};
use tilth_contracts::{Auditors, Audits, bindings::auditors::IAuditors::Auditor as OnChain};
use tilth_protocol::Amount;
use tracing::info;

use crate::{ProviderError, chain::Chain, enroll::fund};

/// One step towards what the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Join,
    SetNode,
    AddStake(u128),
}

/// Brings the chain's record of this auditor in line; says its number.
pub(super) async fn enroll(chain: &Chain, stake: Amount) -> Result<u32, ProviderError> {
    let (owner, node) = (&chain.owner, chain.node.address());
    let auditors = chain.link.addresses().auditors;
    let least = chain.link.read(auditors, Auditors::minStakeCall {}).await?;
    if stake.0 < least {
        let text = format!("the stake is {stake} GRAIN, an auditor needs {}", Amount(least));
        return Err(ProviderError::Config(text));
    }
    let known = standing(&chain.link, owner.address()).await?;
    for step in steps(&known, node, stake) {
        info!(owner = %owner.address(), ?step, "bringing the auditor up to date");
        match step {
            Step::Join => {
                fund(chain, stake).await?;
                owner.execute(auditors, Auditors::joinCall { node, stake: stake.0 }).await?;
            }
            Step::SetNode => {
                owner.execute(auditors, Auditors::setNodeCall { node }).await?;
            }
            Step::AddStake(amount) => {
                fund(chain, Amount(amount)).await?;
                owner.execute(auditors, Auditors::addStakeCall { amount }).await?;
            }
        }
    }
    chain.refill().await?;
    let call = Auditors::numberOfCall { owner: owner.address() };
    Ok(chain.link.read(auditors, call).await?)
}

/// What is to be done. Pure.
fn steps(known: &OnChain, node: Address, stake: Amount) -> Vec<Step> {
    if known.number == 0 {
        return vec![Step::Join];
    }
    let mut steps = Vec::new();
    if known.node != node {
        steps.push(Step::SetNode);
    }
    // What was cut is not made up for by itself: who is punished should look first. What the owner took out
    // stays out, too, as long as something is left.
    if known.stake == 0 {
        steps.push(Step::AddStake(stake.0));
    }
    steps
}

/// An auditor as the chain has it; number 0 if the account is none.
///
/// # Errors
/// Those of [`Link::read`].
pub async fn standing(link: &Link, owner: Address) -> Result<OnChain, ChainError> {
    let auditors = link.addresses().auditors;
    let number = link.read(auditors, Auditors::numberOfCall { owner }).await?;
    link.read(auditors, Auditors::auditorCall { number }).await
}

/// Starts taking stake out; `None` takes all of it. It thaws for seven days and stays within reach of
/// punishment meanwhile.
///
/// # Errors
/// Those of [`Account::send`]; the contract refuses to leave less than the least stake.
pub async fn unstake(owner: &Account, amount: Option<Amount>) -> Result<Amount, ChainError> {
    let link = owner.link();
    let amount = match amount {
        Some(amount) => amount,
        None => Amount(standing(link, owner.address()).await?.stake),
    };
    owner.execute(link.addresses().auditors, Auditors::unstakeCall { amount: amount.0 }).await?;
    Ok(amount)
}

/// Makes thawed stake free balance again.
///
/// # Errors
/// Those of [`Account::send`]; the contract refuses before its time.
pub async fn withdraw_stake(owner: &Account) -> Result<(), ChainError> {
    let to = owner.link().addresses().auditors;
    owner.execute(to, Auditors::withdrawStakeCall {}).await.map(drop)
}

/// Has the fees of an auditor paid, as far as the purse of the audits reaches; `None` if there are none or the purse is
/// empty. Anybody may.
///
/// # Errors
/// Those of [`Account::send`].
pub async fn collect(account: &Account, owner: Address) -> Result<Option<Amount>, ChainError> {
    let (link, audits) = (account.link(), account.link().addresses().audits);
    let owed = link.read(audits, Audits::owedCall { owner }).await?;
    if owed == 0 {
        return Ok(None);
    }
    match account.execute(audits, Audits::collectCall { owner }).await {
        Ok(_) => {
            let left = link.read(audits, Audits::owedCall { owner }).await?;
            Ok(Some(Amount(owed.saturating_sub(left))))
        }
        // The purse is empty; the debt stays.
        Err(error) if error.revert_data().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::aliases::U40;

    use super::*;

    #[test]
    fn only_what_is_missing_is_done() {
        let node = Address::repeat_byte(2);
        let known = OnChain {
            number: 3,
            owner: Address::repeat_byte(1),
            node,
            stake: 50,
            leaving: 0,
            readyAt: U40::ZERO,
        };
        assert_eq!(steps(&known, node, Amount(100)), [], "what was cut is not made up for");
        let none = OnChain { number: 0, ..known.clone() };
        assert_eq!(steps(&none, node, Amount(100)), [Step::Join]);
        let other = OnChain { node: Address::ZERO, stake: 0, ..known };
        assert_eq!(steps(&other, node, Amount(100)), [Step::SetNode, Step::AddStake(100)]);
    }
}

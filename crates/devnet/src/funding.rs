//! Money for the roles: every start brings each account up to what it needs, so an interrupted start
//! is simply repeated.

use alloy::primitives::{Address, Bytes, U256};
use tilth_client::{Account, ChainError};
use tilth_contracts::Ledger;
use tilth_protocol::{Amount, amount::GRAIN};

/// Native coin for gas, in base units. A range costs its provider about 150,000 gas; at 1 gwei this
/// pays for tens of thousands of ranges.
pub(crate) const GAS_MONEY: Amount = Amount(10 * GRAIN);
/// What a provider stakes: it may hold unsettled work worth as much.
pub(crate) const STAKE: Amount = Amount(500 * GRAIN);
/// What an auditor stakes.
pub(crate) const AUDITOR_STAKE: Amount = Amount(100 * GRAIN);
/// What the client account can spend on jobs.
pub(crate) const CLIENT_FUNDS: Amount = Amount(1_000 * GRAIN);

/// Sends native coin so that `account` has at least `wanted`.
pub(crate) async fn native(
    funder: &Account,
    account: Address,
    wanted: Amount,
) -> Result<(), ChainError> {
    let wanted = U256::from(wanted.0);
    let has = funder.link().balance(account).await?;
    // Refilled only when half is gone, so that a restart sends nothing for a few spent coins.
    if has >= wanted / U256::from(2) {
        return Ok(());
    }
    funder.send(account, Bytes::new(), wanted.saturating_sub(has)).await.map(drop)
}

/// Puts the funder's money into the Ledger so that `account` has at least `wanted`, locked or free.
pub(crate) async fn ledger(
    funder: &Account,
    account: Address,
    wanted: Amount,
) -> Result<(), ChainError> {
    let ledger = funder.link().addresses().ledger;
    let has = funder.link().read(ledger, Ledger::accountCall { owner: account }).await?;
    let has = has.free.saturating_add(has.locked);
    if has >= wanted.0 / 2 {
        return Ok(());
    }
    let call = Ledger::depositNativeCall { account_: account };
    let input = Bytes::from(alloy::sol_types::SolCall::abi_encode(&call));
    funder.send(ledger, input, U256::from(wanted.0.saturating_sub(has))).await.map(drop)
}

//! What a block pays outside of its transactions: rewards for work, withdrawals from staking, and
//! the one time when balances were moved by decree.

use alloy_consensus::Header;
use alloy_evm::eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY};
use alloy_primitives::{Address, U256};
use revm::primitives::hardfork::SpecId;

use crate::{
    block::ChainSpec,
    state::{Journal, StateError, StateReader},
};

/// Wei of one coin.
const COIN: u128 = 1_000_000_000_000_000_000;

/// Pays who made a proof of work block and its ommers.
pub(crate) fn pay_work<R: StateReader>(
    journal: &mut Journal<R>,
    spec: &ChainSpec,
    number: u64,
    beneficiary: Address,
    ommers: &[Header],
) -> Result<(), StateError> {
    let fork = spec.fork_at(number, 0, false);
    let coins: u128 = match () {
        () if fork.is_enabled_in(SpecId::PETERSBURG) => 2,
        () if fork.is_enabled_in(SpecId::BYZANTIUM) => 3,
        () => 5,
    };
    let base = U256::from(coins * COIN);
    for ommer in ommers {
        // One eighth less for each generation; [`super::check_ommers`] bounds the distance.
        let share = ommer.number.saturating_add(8).saturating_sub(number);
        journal.add_balance(ommer.beneficiary, base * U256::from(share) / U256::from(8))?;
    }
    let for_ommers = base / U256::from(32) * U256::from(ommers.len());
    journal.add_balance(beneficiary, base.saturating_add(for_ommers))
}

/// Takes all coins of the DAO and its children to the contract that pays them back (EIP-779).
pub(super) fn move_dao_balances<R: StateReader>(
    journal: &mut Journal<R>,
) -> Result<(), StateError> {
    journal.set_account(DAO_HARDFORK_BENEFICIARY, |_| {})?;
    for address in DAO_HARDFORK_ACCOUNTS {
        let balance = journal.account(address)?.unwrap_or_default().balance;
        journal.set_account(DAO_HARDFORK_BENEFICIARY, |account| {
            account.balance = account.balance.saturating_add(balance);
        })?;
        journal.set_account(address, |account| account.balance = U256::ZERO)?;
    }
    Ok(())
}

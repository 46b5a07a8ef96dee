//! Money of an account: native coin in the wallet, tokens, and the balance in the Ledger.

use alloy::primitives::{Address, Bytes, U256};
use serde::Serialize;
use tilth_contracts::{Ledger, WGrain};
use tilth_protocol::{Amount, Problem};
use tilth_service::Doing;

use crate::{Account, ChainError, Link};

/// What an account owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Balances {
    /// Native coin; pays for gas.
    pub native: Amount,
    /// The payment token, outside the Ledger.
    pub token: Amount,
    /// In the Ledger, free to use or to withdraw.
    pub free: Amount,
    /// In the Ledger, locked by jobs or as stake.
    pub locked: Amount,
}

/// Moving money failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Less is there than asked for.
    #[error("{needed} GRAIN are needed, {available} are {place}")]
    TooLittle {
        /// What is needed.
        needed: Amount,
        /// What is there.
        available: Amount,
        /// Where it should be, for people ("free in the Ledger").
        place: &'static str,
    },
    /// More is due than whoever pays has allowed.
    #[error("{due} GRAIN are due, {most} may be paid")]
    TooMuch {
        /// What is due in all.
        due: Amount,
        /// What may be paid.
        most: Amount,
    },
    /// The chain said no, or nothing.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl MoneyError {
    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::TooLittle { .. } => Problem::new(
                "the balance is too small",
                self.to_string(),
                "deposit more with `tilth account deposit NAME AMOUNT`, or ask for less",
            ),
            Self::TooMuch { .. } => Problem::new(
                "more is due than may be paid",
                self.to_string(),
                "nothing was paid; see whether it is right (`tilth gateway owed`), and allow more",
            ),
            Self::Chain(error) => error.problem(),
        }
    }
}

/// An amount the chain reports as 256 bits. More than 128 bits of money exist nowhere; a node that
/// says so is cut off at the largest amount, which is only shown and never sent back.
fn amount(value: U256) -> Amount {
    Amount(u128::try_from(value).unwrap_or(u128::MAX))
}

/// Reads all balances of an account.
///
/// # Errors
/// Those of [`Link`].
pub fn balances(link: &Link, owner: Address) -> Doing<'_, Result<Balances, ChainError>> {
    Box::pin(async move {
        let addresses = link.addresses();
        let native = link.balance(owner);
        let token = link.read(addresses.token, WGrain::balanceOfCall { account: owner });
        let ledger = link.read(addresses.ledger, Ledger::accountCall { owner });
        let (native, token, ledger) = tokio::try_join!(native, token, ledger)?;
        Ok(Balances {
            native: amount(native),
            token: amount(token),
            free: Amount(ledger.free),
            locked: Amount(ledger.locked),
        })
    })
}

/// What an account has free in the Ledger: one question, where [`balances`] asks three.
///
/// # Errors
/// Those of [`Link`].
pub async fn free(link: &Link, owner: Address) -> Result<Amount, ChainError> {
    let ledger = link.read(link.addresses().ledger, Ledger::accountCall { owner }).await?;
    Ok(Amount(ledger.free))
}

/// Puts money into the Ledger: native coin is wrapped on the way when the payment token is its
/// wrapper (`wraps_native`), any other token is approved and deposited.
///
/// # Errors
/// [`MoneyError::TooLittle`], those of [`Account::send`].
pub fn deposit(
    account: &Account,
    amount: Amount,
    wraps_native: bool,
) -> Doing<'_, Result<(), MoneyError>> {
    Box::pin(async move {
        let owner = account.address();
        let addresses = *account.link().addresses();
        let have = balances(account.link(), owner).await?;
        if wraps_native {
            if have.native < amount {
                let place = "in the wallet";
                return Err(MoneyError::TooLittle {
                    needed: amount,
                    available: have.native,
                    place,
                });
            }
            let call = Ledger::depositNativeCall { account_: owner };
            let input = Bytes::from(alloy::sol_types::SolCall::abi_encode(&call));
            account.send(addresses.ledger, input, U256::from(amount.0)).await?;
            return Ok(());
        }
        if have.token < amount {
            let place = "of the payment token in the wallet";
            return Err(MoneyError::TooLittle { needed: amount, available: have.token, place });
        }
        let allowance = WGrain::allowanceCall { owner, spender: addresses.ledger };
        let allowed = account.link().read(addresses.token, allowance).await?;
        if allowed < U256::from(amount.0) {
            let value = U256::from(amount.0);
            let approve = WGrain::approveCall { spender: addresses.ledger, value };
            account.execute(addresses.token, approve).await?;
        }
        account.execute(addresses.ledger, Ledger::depositCall { amount: amount.0 }).await?;
        Ok(())
    })
}

/// Takes free money out of the Ledger, as native coin where the payment token wraps it.
///
/// # Errors
/// [`MoneyError::TooLittle`], those of [`Account::send`].
pub fn withdraw(
    account: &Account,
    amount: Amount,
    wraps_native: bool,
) -> Doing<'_, Result<(), MoneyError>> {
    Box::pin(async move {
        let addresses = *account.link().addresses();
        let have = balances(account.link(), account.address()).await?;
        if have.free < amount {
            let place = "free in the Ledger";
            return Err(MoneyError::TooLittle { needed: amount, available: have.free, place });
        }
        account.execute(addresses.ledger, Ledger::withdrawCall { amount: amount.0 }).await?;
        if wraps_native {
            let unwrap = WGrain::withdrawCall { amount: U256::from(amount.0) };
            account.execute(addresses.token, unwrap).await?;
        }
        Ok(())
    })
}

/// Sends native coin to another account.
///
/// # Errors
/// [`MoneyError::TooLittle`], those of [`Account::send`].
pub fn send(account: &Account, to: Address, amount: Amount) -> Doing<'_, Result<(), MoneyError>> {
    Box::pin(async move {
        let available = self::amount(account.link().balance(account.address()).await?);
        if available < amount {
            return Err(MoneyError::TooLittle {
                needed: amount,
                available,
                place: "in the wallet",
            });
        }
        account.send(to, Bytes::new(), U256::from(amount.0)).await?;
        Ok(())
    })
}

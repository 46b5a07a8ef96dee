//! A client's deposit for those who are to hold its job: locked, and filled up for as long as the client runs.

use std::time::Duration;

use tracing::warn;

use super::{Deposit, least_fee, prices_of};
use crate::{Account, Agreed, ChainError, Link};

/// Locks what a client offers those who are to hold its job, or fills it up, as [`Deposit::lock`] does. Nobody else
/// may, and then nothing is done.
///
/// `offer`: what the job's folder says. Where that is elsewhere, what the chain says is put there.
///
/// # Errors
/// Those of [`Account::send`].
pub(crate) async fn locked(
    account: &Account,
    agreed: &Agreed,
    offer: &mut Option<Deposit>,
) -> Result<(), ChainError> {
    if agreed.client != account.address() {
        *offer = None;
        return Ok(());
    }
    if offer.is_none() {
        *offer = by_chain(account.link(), agreed).await?;
    }
    match offer {
        Some(deposit) => deposit.lock(account, agreed.job).await,
        None => Ok(()),
    }
}

/// What the chain says of what a client offers; `None`: it has locked nothing yet.
async fn by_chain(link: &Link, agreed: &Agreed) -> Result<Option<Deposit>, ChainError> {
    let Some(prices) = prices_of(link, agreed.job).await? else { return Ok(None) };
    let least = least_fee(link).await?;
    let size = (agreed.terms.taskCount, agreed.terms.parallelism);
    Ok(Some(Deposit::by_chain(&prices, least, size)))
}

/// Does the same again and again, and does not end: what is used up is not always filled up when a range is handed in,
/// for want of money or of an answer, and without one that is out nothing else comes of it.
pub(crate) async fn fill_up(
    account: &Account,
    agreed: &Agreed,
    mut offer: Option<Deposit>,
    every: Duration,
) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = Box::pin(locked(account, agreed, &mut offer)).await {
            let job = agreed.job;
            warn!(%job, %error, "the deposit for those who hold the results cannot be filled up now, so nobody may get work; it is tried again");
        }
    }
}

#[cfg(test)]
#[path = "filling_tests.rs"]
mod tests;

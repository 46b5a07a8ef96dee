//! The provider's moves on chain.
//!
//! Every transaction is simulated before it is sent (by [`Account`]), so a move that makes no sense any
//! more costs nothing. When a move fails, the state is read again: what somebody did before us, or what
//! we did without seeing the receipt, counts as done.

use std::{sync::Arc, time::Duration};

use alloy::{
    rpc::types::TransactionReceipt,
    sol_types::{SolEvent, SolInterface},
};
use alloy_primitives::{Address, B256, U256, aliases::U96};
use tilth_client::{Account, ChainError, Link, MoneyError, Network, money};
use tilth_contracts::JobBook::{self, JobBookErrors};
use tilth_protocol::{Amount, JobId, RangeId};
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep,
};
use tracing::{debug, info, warn};

use crate::{
    config::GasReserve,
    machine::{Ask, Claim, Commitment, Event, Millis, MoveFailure, Refusal},
    words::{self, Standing, claim_refused, is_refused, not_released, not_submitted, standing},
};

/// How often it is looked what the owner has free, if that is moved to its wallet.
const LOOK: Duration = Duration::from_secs(60);

/// Both keys and the contracts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) link: Link,
    pub(crate) node: Account,
    pub(crate) owner: Account,
    pub(crate) wraps_native: bool,
    pub(crate) gas: GasReserve,
    /// First block that can hold an event of the contracts.
    pub(crate) first_block: u64,
    /// One refill at a time.
    refill: Arc<Mutex<()>>,
}

/// A submission's answer, and that of the ask that travelled with it.
pub(crate) type Submission = (Result<Millis, MoveFailure>, Option<Result<Claim, Refusal>>);

impl Chain {
    pub(crate) fn new(owner: Account, node: Account, network: &Network, gas: GasReserve) -> Self {
        let link = owner.link().clone();
        let Network { wraps_native, first_block, .. } = *network;
        Self { link, node, owner, wraps_native, gas, first_block, refill: Arc::default() }
    }

    fn job_book(&self) -> Address {
        self.link.addresses().job_book
    }

    /// Why this provider would get no range of a job now; `Ok` if it would, or only holds as many as
    /// it may.
    pub(crate) async fn would_give(&self, job: JobId) -> Result<(), Refusal> {
        let call = JobBook::claimableCall { jobId: job.0, provider: self.owner.address() };
        let answer = self.link.read(self.job_book(), call).await.map_err(|error| {
            debug!(%job, %error, "asking for claimable ranges failed");
            Refusal::Later
        })?;
        words::would_give(answer.why)
    }

    /// Claims a range.
    pub(crate) async fn claim(&self, ask: &Ask) -> Result<Claim, Refusal> {
        let Ok(min_price) = U96::try_from(ask.min_price.0) else { return Err(Refusal::Unfit) };
        let call = JobBook::claimCall { jobId: ask.job.0, want: ask.want, minPrice: min_price };
        match self.node.execute(self.job_book(), call).await {
            Ok(receipt) => self.given(&receipt, ask.job).ok_or(Refusal::Later),
            Err(error) => Err(self.claim_failed(&error).await),
        }
    }

    async fn claim_failed(&self, error: &ChainError) -> Refusal {
        if let Some(why) = contract_error(error).as_ref().and_then(claim_refused) {
            return why;
        }
        self.note(error, "claiming").await;
        Refusal::Later
    }

    /// Submits a range, and claims another one in the same transaction if asked to.
    pub(crate) async fn submit(
        &self,
        range: RangeId,
        commitment: &Commitment,
        ask: Option<&Ask>,
    ) -> Submission {
        let sent = match ask.map(|ask| (ask, U96::try_from(ask.min_price.0))) {
            Some((ask, Ok(min_price))) => {
                let call = JobBook::submitAndClaimCall {
                    jobId: range.job.0,
                    seq: range.seq,
                    root: commitment.root,
                    units: commitment.units,
                    failures: commitment.failures,
                    contentHash: B256::from(commitment.content.0),
                    want: ask.want,
                    minPrice: min_price,
                };
                self.node.execute(self.job_book(), call).await
            }
            _ => {
                let call = JobBook::submitCall {
                    jobId: range.job.0,
                    seq: range.seq,
                    root: commitment.root,
                    units: commitment.units,
                    failures: commitment.failures,
                    contentHash: B256::from(commitment.content.0),
                };
                self.node.execute(self.job_book(), call).await
            }
        };
        match sent {
            Ok(receipt) => {
                let at = submitted_at(&receipt, range).ok_or(MoveFailure::Later);
                let given = match ask {
                    None => None,
                    Some(ask) => Some(match self.given(&receipt, ask.job) {
                        Some(claim) => Ok(claim),
                        // The submission counts all the same; why there is no range is asked now.
                        None => Err(self.would_give(ask.job).await.err().unwrap_or(Refusal::Later)),
                    }),
                };
                (at, given)
            }
            Err(error) => {
                let refused = contract_error(&error).as_ref().is_some_and(is_refused);
                self.note(&error, "submitting").await;
                let outcome = not_submitted(self.standing(range).await, refused);
                (outcome, ask.map(|_| Err(Refusal::Later)))
            }
        }
    }

    /// Gives a range back. Says when it was delivered if that was quicker.
    pub(crate) async fn release(&self, range: RangeId) -> Result<Option<Millis>, MoveFailure> {
        let call = JobBook::releaseCall { jobId: range.job.0, seq: range.seq };
        let Err(error) = self.node.execute(self.job_book(), call).await else { return Ok(None) };
        self.note(&error, "releasing").await;
        not_released(self.standing(range).await)
    }

    /// Has ranges paid. True: it was carried out. False: it failed, or the chain had nothing to do of that; whoever asks looks at
    /// the logs and asks again after a pause, which grows.
    pub(crate) async fn settle(&self, job: JobId, seqs: Vec<u32>) -> bool {
        let call = JobBook::settleCall { jobId: job.0, seqs };
        let sent = self.node.execute(self.job_book(), call).await;
        self.is_done(sent, "settling").await
    }

    /// Takes late ranges back. True and false: as for [`Chain::settle`].
    pub(crate) async fn expire(&self, job: JobId, seqs: Vec<u32>) -> bool {
        let call = JobBook::expireCall { jobId: job.0, seqs };
        let sent = self.node.execute(self.job_book(), call).await;
        self.is_done(sent, "expiring").await
    }

    async fn is_done(&self, sent: Result<TransactionReceipt, ChainError>, what: &str) -> bool {
        let Err(error) = sent else { return true };
        // Nothing to do: not yet due by the chain's clock, or done by somebody else. The logs will tell which, so nobody need
        // be told; taken for done, what is not due yet would be asked for without a pause that grows.
        if !matches!(contract_error(&error), Some(JobBookErrors::NothingToDo(_))) {
            self.note(&error, what).await;
        }
        false
    }

    /// Tells the machine what the owner has free in the Ledger, as long as it listens: answers and audits are paid by
    /// contracts whose logs it does not follow.
    pub(crate) async fn watch_free(self, events: mpsc::Sender<Event>) {
        loop {
            match money::free(&self.link, self.owner.address()).await {
                Ok(free) => {
                    if events.send(Event::FreeSeen { free }).await.is_err() {
                        return;
                    }
                }
                Err(error) => debug!(%error, "what the owner has free cannot be read"),
            }
            sleep(LOOK).await;
        }
    }

    /// Moves the owner's free balance to its wallet. True: it arrived, or there was none.
    pub(crate) async fn withdraw(&self) -> bool {
        let moved = async {
            let free = money::free(&self.link, self.owner.address()).await?;
            if free > Amount::ZERO {
                money::withdraw(&self.owner, free, self.wraps_native).await?;
                info!(amount = %free, "withdrew earnings to the owner's wallet");
            }
            Ok::<_, MoneyError>(())
        };
        match moved.await {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "withdrawing earnings failed, they stay in the Ledger for now");
                false
            }
        }
    }

    /// Gives the node's key native coin for gas if it has little.
    pub(crate) async fn refill(&self) -> Result<(), MoneyError> {
        let _one_at_a_time = self.refill.lock().await;
        let have = self.link.balance(self.node.address()).await?;
        if have >= U256::from(self.gas.least.0) || self.owner.address() == self.node.address() {
            return Ok(());
        }
        let have = Amount(u128::try_from(have).unwrap_or(u128::MAX));
        let amount = self.gas.full.checked_sub(have).unwrap_or(self.gas.full);
        money::send(&self.owner, self.node.address(), amount).await?;
        info!(%amount, node = %self.node.address(), "refilled the node key for gas");
        Ok(())
    }

    /// As of now, not as of the last block that stays: what has refused the move saw no less. The logs tell what stays.
    async fn standing(&self, range: RangeId) -> Standing {
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let Ok(now) = self.link.read(self.job_book(), call).await else { return Standing::Unknown };
        standing(&now, self.owner.address())
    }

    /// The range that a receipt says was given to us.
    fn given(&self, receipt: &TransactionReceipt, job: JobId) -> Option<Claim> {
        let logs = receipt.inner.logs().iter();
        let claimed = logs.filter_map(|log| JobBook::RangeClaimed::decode_log(&log.inner).ok());
        claimed
            .map(|log| log.data)
            .find(|event| event.jobId == job.0 && event.provider == self.owner.address())
            .map(|event| Claim {
                range: RangeId { job, seq: event.seq },
                from: event.from,
                count: event.count,
                at: event.at.to::<u64>().saturating_mul(1_000),
            })
    }

    /// Writes a failed move to the log, and mends what can be mended.
    async fn note(&self, error: &ChainError, doing: &str) {
        warn!(%error, "{doing} failed");
        self.mend(error).await;
    }

    /// After a failed move: gives the node key gas if that is what it lacks.
    pub(crate) async fn mend(&self, error: &ChainError) {
        if matches!(error, ChainError::NoGas { account, .. } if *account == self.node.address())
            && let Err(error) = self.refill().await
        {
            warn!(%error, "the node key has no coin for gas, and the owner cannot give it any");
        }
    }
}

fn contract_error(error: &ChainError) -> Option<JobBookErrors> {
    JobBookErrors::abi_decode(error.revert_data()?).ok()
}

fn submitted_at(receipt: &TransactionReceipt, range: RangeId) -> Option<Millis> {
    let logs = receipt.inner.logs().iter();
    let submitted = logs.filter_map(|log| JobBook::RangeSubmitted::decode_log(&log.inner).ok());
    submitted
        .map(|log| log.data)
        .find(|event| event.jobId == range.job.0 && event.seq == range.seq)
        .map(|event| event.at.to::<u64>().saturating_mul(1_000))
}

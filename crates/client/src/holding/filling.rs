//! A client's deposit for those who are to hold its job: locked, and filled up for as long as the client runs.
//!
//! The keeper of the job's ranges fills it up as well, when one of them needs it. So whoever adds to it waits for the
//! job's turn ([`Account`] has it), reckons by what is there then, and keeps the turn until what was added counts.

use std::time::Duration;

use alloy::primitives::aliases::U96;
use tilth_contracts::{Holders, JobBook};
use tilth_protocol::{Amount, JobId, Problem};
use tilth_verification::holding::Prices;
use tracing::warn;

use super::{Deposit, least_fee, prices_of, subject::ranges_due};
use crate::{Account, Agreed, ChainError, Link};

/// What a deposit lacks, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// It reaches.
    Nothing,
    /// So much is to be added.
    Within(u128),
    /// So much is missing, and with it more would be locked than the client has set.
    Beyond(u128),
}

/// What a deposit lacks of which so much must be free, by what is left of it and reserved of that, and by what may be
/// locked at a time.
pub(super) fn lack(due: u128, (left, reserved): (u128, u128), most: u128) -> Lack {
    let amount = due.saturating_sub(left.saturating_sub(reserved));
    if amount == 0 {
        return Lack::Nothing;
    }
    match left.checked_add(amount) {
        Some(after) if after <= most => Lack::Within(amount),
        _ => Lack::Beyond(amount),
    }
}

/// What must be free in a job's deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// Base units.
    amount: u128,
    /// Whether that is for a range to be given out, too.
    gives: bool,
}

impl Due {
    /// For what is out of a job and for the next range that it has to give out.
    async fn of(link: &Link, job: JobId, prices: &Prices) -> Result<Self, ChainError> {
        let call = JobBook::jobCall { jobId: job.0 };
        let shown = link.read(link.addresses().job_book, call).await?;
        let ranges = ranges_due(link, &shown).await?;
        if ranges == 0 {
            return Ok(Self { amount: 0, gives: false });
        }
        let each = prices.cost(least_fee(link).await?, prices.max_mib);
        let gives = ranges > shown.outstanding;
        Ok(Self { amount: each.saturating_mul(ranges.into()), gives })
    }

    /// What to tell a client whose deposit lacks so much of it and may not grow any more.
    fn unmet(self, job: JobId, lacks: u128, most: u128) -> Problem {
        let what = if self.gives {
            format!("job {job} gives out no more ranges, for its deposit does not reach for them")
        } else {
            format!(
                "the deposit of job {job} does not reach for all its ranges that are out, so some \
                 may be paid without being held"
            )
        };
        let [lacks, due, most] = [lacks, self.amount, most].map(Amount);
        Problem::new(
            what,
            format!(
                "it lacks {lacks} GRAIN of the {due} GRAIN that must be free in it, and with these it \
                 would be above its limit of {most} GRAIN, twice what was locked at first"
            ),
            format!(
                "what is reserved for those who hold is free again after their time (tilth job show \
                 {job} says how much that is); sooner: cancel the job (tilth job cancel {job}) and \
                 submit it with a larger `parallelism` under [schedule], which raises the limit, or add \
                 to its deposit as it was made (`fund` of the contract Holders)"
            ),
        )
    }
}

/// What is being done about a deposit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// It is looked at.
    #[default]
    Look,
    /// It is locked for the first time.
    Lock,
    /// It is filled up.
    Add,
}

impl Deposit {
    /// Locks it, if that was not done before: a command that ended between opening a job and this left it without. What
    /// was locked and has been used up since is filled up: the job gives out no range for which it does not reach, and
    /// without one that is out nobody else sees to that.
    ///
    /// # Errors
    /// Those of [`Account::send`].
    pub async fn lock(&self, account: &Account, job: JobId) -> Result<(), ChainError> {
        Box::pin(self.fill(account, job, &mut Step::Look)).await.map(drop)
    }

    /// The same; says what it lacks if that is more than may be locked at a time.
    async fn fill(
        &self,
        account: &Account,
        job: JobId,
        step: &mut Step,
    ) -> Result<Option<Problem>, ChainError> {
        let (link, holders) = (account.link(), account.link().addresses().holders);
        let _turn = account.turn(job).await;
        let mut amount = self.amount.0;
        let mut next = Step::Lock;
        if let Some(prices) = prices_of(link, job).await? {
            let due = Due::of(link, job, &prices).await?;
            let keep = link.read(holders, Holders::keptCall { jobId: job.0 }).await?;
            let kept = (keep.deposit.to::<u128>(), keep.reserved.to::<u128>());
            (amount, next) = match lack(due.amount, kept, self.most()) {
                Lack::Nothing => return Ok(None),
                Lack::Within(amount) => (amount, Step::Add),
                Lack::Beyond(lacks) => return Ok(Some(due.unmet(job, lacks, self.most()))),
            };
        }
        if amount == 0 {
            return Ok(None);
        }
        *step = next;
        let (prices, amount) = (self.prices(), U96::saturating_from(amount));
        let call = Holders::fundCall { jobId: job.0, prices, amount };
        account.execute(holders, call).await.map(|_| None)
    }
}

/// What the chain says of what a client offers; `None`: it has locked nothing yet.
async fn by_chain(link: &Link, agreed: &Agreed) -> Result<Option<Deposit>, ChainError> {
    let Some(prices) = prices_of(link, agreed.job).await? else { return Ok(None) };
    let least = least_fee(link).await?;
    let size = (agreed.terms.taskCount, agreed.terms.parallelism);
    Ok(Some(Deposit::by_chain(&prices, least, size)))
}

/// A job's deposit, seen to for as long as its client runs.
#[derive(Debug)]
pub(crate) struct Filling {
    /// What the job's folder says that is offered. Where that is elsewhere, what the chain says is put here.
    offer: Option<Deposit>,
    /// What was done about it last.
    step: Step,
    /// Whether it was said that it may not grow any more.
    has_told: bool,
}

impl Filling {
    /// `offer`: what the job's folder says.
    pub(crate) fn new(offer: Option<Deposit>) -> Self {
        Self { offer, step: Step::Look, has_told: false }
    }

    /// What may be locked at a time, base units; 0: that is not known, or not ours to say.
    pub(crate) fn most(&self) -> u128 {
        self.offer.map_or(0, |deposit| deposit.most())
    }

    /// Locks what a client offers those who are to hold its job, or fills it up, as [`Deposit::lock`] does. Nobody else
    /// may, and then nothing is done. Says what is in the way of that; that the deposit may not grow any more only once.
    ///
    /// # Errors
    /// Those of [`Account::send`].
    pub(crate) async fn see_to(
        &mut self,
        account: &Account,
        agreed: &Agreed,
    ) -> Result<(), ChainError> {
        let done = Box::pin(self.lock(account, agreed)).await;
        let problem = match &done {
            Ok(short) => short.clone(),
            Err(error) => Some(self.failed(agreed.job, error)),
        };
        if let Some(Problem { what, detail, advice }) = problem {
            warn!(job = %agreed.job, detail, advice, "{what}");
        }
        done.map(drop)
    }

    /// Does it; says why the deposit may not grow any more, when that is so for the first time.
    async fn lock(
        &mut self,
        account: &Account,
        agreed: &Agreed,
    ) -> Result<Option<Problem>, ChainError> {
        self.step = Step::Look;
        if agreed.client != account.address() {
            self.offer = None;
            return Ok(None);
        }
        if self.offer.is_none() {
            self.offer = by_chain(account.link(), agreed).await?;
        }
        let Some(deposit) = self.offer else { return Ok(None) };
        let short = Box::pin(deposit.fill(account, agreed.job, &mut self.step)).await?;
        Ok(short.filter(|_| !std::mem::replace(&mut self.has_told, true)))
    }

    /// What to tell a client whose deposit could not be seen to.
    fn failed(&self, job: JobId, error: &ChainError) -> Problem {
        let what = match self.step {
            Step::Look => format!("the deposit of job {job} cannot be looked at now"),
            Step::Lock => format!(
                "nothing is locked for those who are to hold the results of job {job}, so nobody works on it"
            ),
            Step::Add => format!(
                "the deposit of job {job} cannot be filled up now, so nobody may get another range of it"
            ),
        };
        let advice = match self.step {
            Step::Look => {
                "it is tried again while this program runs; see whether the chain's node answers"
                    .to_owned()
            }
            Step::Lock | Step::Add => format!(
                "it is tried again while this program runs, and comes off when the account has enough free in \
                 the Ledger (tilth account deposit NAME AMOUNT) and coin for gas; or cancel the job \
                 (tilth job cancel {job})"
            ),
        };
        Problem::new(what, error.to_string(), advice)
    }
}

/// Sees to it again and again, and does not end: what is used up is not always filled up when a range is handed in,
/// for want of money or of an answer, and without one that is out nothing else comes of it.
pub(crate) async fn fill_up(
    account: &Account,
    agreed: &Agreed,
    mut filling: Filling,
    every: Duration,
) {
    loop {
        tokio::time::sleep(every).await;
        // What is in the way was said.
        let _ = Box::pin(filling.see_to(account, agreed)).await;
    }
}

#[cfg(test)]
#[path = "filling_tests.rs"]
mod tests;

//! The inputs of a kept job: asked for by its client, and what is told of them.

use alloy::{primitives::U256, sol_types::SolInterface};
use tilth_contracts::{HoldState, Holders, Holders::HoldersErrors};
use tilth_protocol::{Amount, JobId, JobSpec, Problem, RangeId};
use tilth_verification::holding::{FIRST_HOLDERS, inputs_mib};
use tracing::info;

use crate::{Account, ChainError, Link};

/// Where the ask for holders of a job's inputs stands. Nobody gets a range of a kept job before they are
/// [`HoldState::Held`].
///
/// # Errors
/// Those of [`Link::read`]; [`ChainError::BadAnswer`] for states that this version does not know.
pub async fn inputs_state(link: &Link, job: JobId) -> Result<HoldState, ChainError> {
    let call = Holders::askedCall { jobId: job.0, seq: RangeId::INPUTS };
    let ask = link.read(link.addresses().holders, call).await?;
    HoldState::try_from(ask.state).map_err(|error| ChainError::BadAnswer {
        action: "reading an ask for holders",
        detail: error.to_string(),
    })
}

/// Asks for holders of a job's inputs, if nobody has: a command that ended between opening the job and this left it without.
/// Its deposit is locked. The second ask, if it comes to that, is the machine's.
///
/// # Errors
/// Those of [`Account::send`].
pub async fn ask_for_inputs(
    account: &Account,
    job: JobId,
    spec: &JobSpec,
) -> Result<(), ChainError> {
    if inputs_state(account.link(), job).await? != HoldState::None {
        return Ok(());
    }
    let mib = inputs_mib(spec).ok_or_else(|| ChainError::BadAnswer {
        action: "asking for holders of a job's inputs",
        detail: "they are larger than anybody can be asked to hold".to_owned(),
    })?;
    let call = Holders::askCall { jobId: job.0, seq: RangeId::INPUTS, mib };
    account.execute(account.link().addresses().holders, call).await?;
    info!(%job, mib, "asked for holders of a job's inputs");
    Ok(())
}

/// Whether nobody can ever get a range of the job, because too few auditors could fetch its inputs.
pub fn is_unserved(state: HoldState) -> bool {
    matches!(state, HoldState::Lost | HoldState::Dropped)
}

/// What to tell a client on whose kept job nobody can work, because its inputs are not held. `None`: they are.
pub(crate) fn why_no_work(job: JobId, state: HoldState) -> Option<Problem> {
    let waits = "nobody works on this job before auditors hold its inputs";
    let serve = "keep this program running, since it serves them: others must be able to reach it, \
                 directly or over a relay";
    Some(match state {
        HoldState::Held => return None,
        HoldState::None => Problem::new(
            waits,
            "nobody is asked to hold them",
            format!(
                "that is done by itself when the account has coin for gas, and the job's deposit \
                 pays for it (tilth job show {job})"
            ),
        ),
        HoldState::Asked | HoldState::Open => Problem::new(
            waits,
            format!("a majority of the first {FIRST_HOLDERS} that are drawn must have them"),
            serve,
        ),
        HoldState::Again => Problem::new(
            waits,
            "too few auditors had them in time; they are asked for once more by itself",
            serve,
        ),
        HoldState::Lost | HoldState::Dropped => unserved(job),
    })
}

/// What a client is told whose deposit does not pay for holders of its inputs, if an ask was refused for that.
pub(super) fn unpaid(range: RangeId, error: &ChainError) -> Option<Problem> {
    if !range.is_inputs() {
        return None;
    }
    let shown = |amount: U256| Amount(u128::try_from(amount).unwrap_or(u128::MAX));
    let detail = match HoldersErrors::abi_decode(error.revert_data()?).ok()? {
        HoldersErrors::TooLittleFree(said) => {
            let (free, cost) = (shown(said.free), shown(said.cost));
            format!("{free} GRAIN of it are free, and {cost} GRAIN are reserved for them at first")
        }
        HoldersErrors::NotKept(_) => "nothing is locked for those who are to hold them".to_owned(),
        _ => return None,
    };
    let job = range.job;
    Some(Problem::new(
        format!("the deposit of job {job} does not pay for holders of its inputs"),
        detail,
        format!(
            "nobody works on it before they are held: cancel it (tilth job cancel {job}) and submit it \
             again, which locks what is needed; or add to its deposit as it was made (`fund` of the \
             contract Holders), and they are asked for again by itself"
        ),
    ))
}

/// What a client is told on whose job nobody will ever work.
pub(crate) fn unserved(job: JobId) -> Problem {
    Problem::new(
        "the inputs of this job were not held in time, so nobody works on it",
        "in two asks of two hours each too few auditors could fetch them from here",
        format!(
            "cancel it (tilth job cancel {job}) to have its money back, with `tilth job fetch {job}` \
             also its deposit, and submit it again where others can reach this machine, directly or \
             over a relay; what is spent are the fees of those who did fetch them, and eight least fees of an \
             audit for the others, who came twice for nothing"
        ),
    )
}

#[cfg(test)]
mod tests {
    use alloy::{primitives::Address, sol_types::SolError};

    use super::*;
    use crate::holding::moves::tests::refused;

    #[test]
    fn a_client_is_told_what_its_deposit_lacks() {
        let inputs = RangeId::inputs(JobId(7));
        let (free, cost) = (U256::from(5 * 10_u64.pow(17)), U256::from(10_u64.pow(18)));
        let short = refused(Holders::TooLittleFree { free, cost }.abi_encode());
        let told = unpaid(inputs, &short).unwrap();
        assert!(told.detail.contains("0.5 GRAIN of it are free"), "{told}");
        assert!(told.detail.contains("and 1 GRAIN are reserved"), "{told}");
        assert!(told.what.contains("job 7") && told.advice.contains("tilth job cancel 7"));
        let none = refused(Holders::NotKept { jobId: 7 }.abi_encode());
        assert!(unpaid(inputs, &none).unwrap().detail.contains("nothing is locked"));
        // Of a range the look that follows says it, and of another refusal as well.
        assert_eq!(unpaid(RangeId { seq: 3, ..inputs }, &short), None);
        let other = Holders::NotYours { caller: Address::ZERO }.abi_encode();
        assert_eq!(unpaid(inputs, &refused(other)), None);
        assert_eq!(unpaid(inputs, &refused(Vec::new())), None);
        assert_eq!(unpaid(inputs, &ChainError::Unread), None);
    }

    #[test]
    fn what_a_job_waits_for_is_told_in_its_own_words() {
        let job = JobId(7);
        assert_eq!(why_no_work(job, HoldState::Held), None);
        let told = |state| why_no_work(job, state).unwrap();
        assert!(told(HoldState::None).advice.contains("tilth job show 7"));
        for state in [HoldState::Asked, HoldState::Open, HoldState::Again] {
            assert!(told(state).advice.contains("keep this program running"), "{state}");
            assert!(!is_unserved(state));
        }
        assert!(told(HoldState::Again).detail.contains("once more"));
        for state in [HoldState::Lost, HoldState::Dropped] {
            assert!(is_unserved(state));
            assert!(told(state).what.contains("not held in time"), "{state}");
            assert!(told(state).advice.contains("tilth job cancel 7"), "{state}");
        }
    }
}

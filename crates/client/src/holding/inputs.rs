//! The inputs of a kept job: asked for by its client, and what is told of them.

use tilth_contracts::{HoldState, Holders};
use tilth_protocol::{JobId, JobSpec, Problem, RangeId};
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
    use super::*;

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

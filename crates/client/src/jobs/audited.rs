//! What an audited job must be, before money moves. The contract refuses some of it without a reason that helps anybody,
//! and the rest would show only in that nobody works on the job.

use tilth_contracts::{Auditors, Audits};
use tilth_protocol::{Amount, Problem, Units, Workload};
use tilth_service::Doing;
use tilth_verification::audit::{MAX_RANGE_TIMEOUT_S, MIN_AUDITORS};

use super::{JobError, Jobs};
use crate::{ChainError, Link, job_file::PreparedJob};

/// An auditor is paid at least this part (1/x) of the deployment's small value (`MIN_FEE_PART`).
const MIN_FEE_PART: u128 = 10_000;
/// A task must be worth so many of these least fees, those of a whole committee (`MIN_TASK_FEES`).
const MIN_TASK_FEES: u128 = 15;

impl Jobs {
    /// Whether a job as it is offered can be opened on this chain at all, whoever is there to work on it. Of one that
    /// is not audited nothing but the offer is asked.
    ///
    /// # Errors
    /// Those of [`Offer::check`](crate::job_file::Offer::check), a broken rule of the contracts for audited jobs, those
    /// of [`Link`].
    pub fn check_rules<'a>(
        link: &'a Link,
        prepared: &'a PreparedJob,
    ) -> Doing<'a, Result<(), JobError>> {
        Box::pin(async move {
            prepared.offer.check().map_err(JobError::Told)?;
            if !prepared.offer.audited {
                return Ok(());
            }
            let small_value = small_value(link).await?;
            check(prepared, small_value).map_err(JobError::Told)
        })
    }

    /// Whether there is who would audit.
    pub(super) async fn check_auditors(&self) -> Result<(), JobError> {
        let link = self.account.link();
        let staked = link.read(link.addresses().auditors, Auditors::stakedCall {}).await?;
        if staked < MIN_AUDITORS {
            return Err(JobError::Told(Problem::new(
                "there are too few auditors on this chain",
                format!(
                    "{staked} have staked, and nothing is given out before it is {MIN_AUDITORS}"
                ),
                format!(
                    "start more (`tilth up --auditors {MIN_AUDITORS}` with a network of one's own, `tilth auditor NAME` \
                     elsewhere), or leave out `audited`"
                ),
            )));
        }
        Ok(())
    }
}

/// What the deployment calls a small value, in base units.
async fn small_value(link: &Link) -> Result<u128, ChainError> {
    let value = link.read(link.addresses().audits, Audits::smallValueCall {}).await?;
    Ok(value.saturating_to())
}

/// Whether a job can be audited at all; `small_value` is the deployment's, in base units.
fn check(prepared: &PreparedJob, small_value: u128) -> Result<(), Problem> {
    let (spec, offer) = (&prepared.spec, &prepared.offer);
    if spec.workload == Workload::Gpu {
        return Err(Problem::new(
            "a GPU program cannot be audited",
            "audits compare bits, and those who are drawn need not have a GPU that gives the same ones",
            "leave out `audited`, or run the work as WebAssembly",
        ));
    }
    if offer.range_timeout_s > MAX_RANGE_TIMEOUT_S {
        let given = offer.range_timeout_s;
        return Err(Problem::new(
            "ranges of the job may take too long for an audit",
            format!(
                "range-timeout is {given} s, in audited jobs it is at most {MAX_RANGE_TIMEOUT_S} s"
            ),
            "lower range-timeout (and target) under [schedule]; tasks that take longer must be made smaller",
        ));
    }
    let units = spec.limits.unit_cap.saturating_add(spec.limits.prepare_cap);
    let lowest = offer.clock.map_or(offer.price, |clock| clock.floor);
    let least = Amount(small_value / MIN_FEE_PART * MIN_TASK_FEES);
    // What does not fit into an amount is worth enough.
    if let Some(worth) = Units(units).cost(lowest).filter(|worth| *worth < least) {
        return Err(Problem::new(
            "a task of the job is not worth an audit",
            format!("at its caps and the lowest price it earns {worth} GRAIN, it must be {least}"),
            "put more work into a task and raise its cap under [limits], or raise the price",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{Clock, ContentRef, JobSpec, Limits, Output, Price, amount::GRAIN};
    use tilth_verification::replica;

    use super::*;
    use crate::job_file::Offer;

    const SMALL_VALUE: u128 = 100 * GRAIN;
    /// 15 ten-thousandths of the small value, by the caps below.
    const LEAST_PRICE: Price = Price(15 * GRAIN / 100 / 1_500);

    fn job() -> PreparedJob {
        let limits =
            Limits { unit_cap: 1_000, prepare_cap: 500, memory_bytes: 1 << 20, output_bytes: 64 };
        PreparedJob {
            spec: JobSpec {
                name: "test".into(),
                workload: Workload::Wasm,
                program: ContentRef::of(b"program"),
                inputs: Vec::new(),
                task_count: 9,
                limits,
                output: Output::Files,
            },
            offer: Offer {
                price: LEAST_PRICE,
                clock: None,
                window_s: None,
                range_timeout_s: MAX_RANGE_TIMEOUT_S,
                target_s: 10,
                deadline_s: 86_400,
                parallelism: 4,
                first_range: 1,
                max_failures: 0,
                audited: true,
                replicas: 1,
                keep_s: None,
                required_class: 0,
                min_vram_mib: 0,
            },
            files: Vec::new(),
        }
    }

    /// A number of the contracts' `Parameters`, as it is written there.
    fn parameter(name: &str) -> u128 {
        let source = include_str!("../../../../contracts/src/libraries/Parameters.sol");
        let (_, rest) = source.split_once(&format!(" constant {name} = ")).expect(name);
        let (value, _) = rest.split_once(';').expect(name);
        let number = |text: &str| text.replace('_', "").parse::<u128>().expect(name);
        match value.split_whitespace().collect::<Vec<_>>()[..] {
            [hours, "hours"] => number(hours) * 3_600,
            [minutes, "minutes"] => number(minutes) * 60,
            [text] if text.starts_with(|first: char| first.is_ascii_digit()) => number(text),
            [other] => parameter(other),
            [one, "*", two, "/", three] => parameter(one) * parameter(two) / parameter(three),
            _ => panic!("{name} is {value}"),
        }
    }

    #[test]
    fn our_bounds_are_the_contracts() {
        let slots = parameter("SAMPLES") * parameter("SLOWNESS");
        assert_eq!(u128::from(MAX_RANGE_TIMEOUT_S), parameter("COMMIT_TIME") / slots);
        assert_eq!(MIN_FEE_PART, parameter("MIN_FEE_PART"));
        assert_eq!(MIN_TASK_FEES, parameter("MIN_TASK_FEES"));
        assert_eq!(u128::from(MIN_AUDITORS), parameter("LEAD") + 2, "see MIN_AUDITORS there");
    }

    #[test]
    fn times_of_mates_are_the_contracts() {
        assert_eq!(u128::from(replica::DRAW_SPAN_S), parameter("DRAW_SPAN"));
        assert_eq!(u128::from(replica::REPLICA_TIME_S), parameter("REPLICA_TIME"));
        assert_eq!(u128::from(replica::REPLICA_TRIES), parameter("REPLICA_TRIES"));
        assert_eq!(replica::MATE_DRAWS as u128, parameter("MATE_DRAWS"));
        assert_eq!(u128::from(replica::MATE_DUTIES), parameter("MATE_DUTIES"));
    }

    #[test]
    fn what_the_contract_would_refuse_is_said_before() {
        assert_eq!(check(&job(), SMALL_VALUE), Ok(()));
        let mut models = job();
        models.spec.workload = Workload::Infer;
        assert_eq!(check(&models, SMALL_VALUE), Ok(()));
        let refused = |change: &dyn Fn(&mut PreparedJob)| {
            let mut job = job();
            change(&mut job);
            check(&job, SMALL_VALUE).unwrap_err().to_string()
        };
        assert!(refused(&|job| job.spec.workload = Workload::Gpu).contains("GPU program"));
        assert!(refused(&|job| job.offer.range_timeout_s += 1).contains("226 s"));
        assert!(refused(&|job| job.offer.price.0 -= 1).contains("not worth an audit"));
        let floor = Clock { floor: Price(1), cap: LEAST_PRICE, finish_s: 800 };
        assert!(refused(&|job| job.offer.clock = Some(floor)).contains("not worth an audit"));
        let mut rich = job();
        rich.offer.price = Price(u128::MAX);
        assert_eq!(check(&rich, SMALL_VALUE), Ok(()));
    }
}

//! What a contract's refusal means to people.

use alloy::{
    primitives::Bytes,
    sol_types::{Panic, Revert, SolError, SolInterface},
};
use tilth_contracts::{
    Holders::HoldersErrors, JobBook::JobBookErrors, Ledger::LedgerErrors, Refusal,
    Registry::RegistryErrors, Replicas::ReplicasErrors, Tabs::TabsErrors, TermsField,
    WGrain::WGrainErrors, Waiting::WaitingErrors,
};
use tilth_protocol::{Amount, Problem};

/// Explains revert data of any contract we call.
pub(crate) fn explain(action: &'static str, data: &Bytes) -> Problem {
    if let Ok(error) = JobBookErrors::abi_decode(data) {
        return job_book(&error);
    }
    if let Ok(error) = LedgerErrors::abi_decode(data) {
        return ledger(&error);
    }
    if let Ok(error) = RegistryErrors::abi_decode(data) {
        return plain(format!("Registry: {error:?}"));
    }
    if let Ok(error) = WaitingErrors::abi_decode(data) {
        return plain(format!("Waiting: {error:?}"));
    }
    if let Ok(error) = ReplicasErrors::abi_decode(data) {
        return plain(format!("Replicas: {error:?}"));
    }
    if let Ok(error) = HoldersErrors::abi_decode(data) {
        return plain(format!("Holders: {error:?}"));
    }
    if let Ok(error) = TabsErrors::abi_decode(data) {
        return tabs(&error);
    }
    if let Ok(error) = WGrainErrors::abi_decode(data) {
        return plain(format!("token: {error:?}"));
    }
    if let Ok(error) = Revert::abi_decode(data) {
        return plain(error.reason);
    }
    if let Ok(error) = Panic::abi_decode(data) {
        return plain(format!("{action}: {error}"));
    }
    let said = if data.is_empty() { "without a reason".to_owned() } else { format!("with {data}") };
    plain(format!("{action} was refused {said}"))
}

fn plain(detail: String) -> Problem {
    Problem::new(
        "a contract refused",
        detail,
        "the detail names the rule; look at the current state (tilth job show, tilth account show) and try again",
    )
}

fn job_book(error: &JobBookErrors) -> Problem {
    let (what, detail, advice) = match error {
        JobBookErrors::NoSuchJob(e) => (
            "there is no such job",
            format!("job {}", e.jobId),
            "`tilth job ls` lists your jobs; check the network, too",
        ),
        JobBookErrors::NotClient(e) => (
            "this is not your job",
            format!("job {} was not opened by {}", e.jobId, e.caller),
            "use the account that opened it",
        ),
        JobBookErrors::JobOver(e) => {
            ("the job is over", format!("job {}", e.jobId), "fetch its results, or submit it again")
        }
        JobBookErrors::BadTerms(e) => (
            "the job's terms are not allowed",
            TermsField::try_from(e.field).map_or_else(
                |error| error.to_string(),
                |field| format!("the contract refuses the {field}"),
            ),
            "bring it into the contract's bounds; see docs/guide/client.md",
        ),
        JobBookErrors::ClaimRefused(e) => (
            "no range can be claimed",
            Refusal::try_from(e.why).map_or_else(|e| e.to_string(), |why| why.to_string()),
            "nothing is lost; try again later",
        ),
        JobBookErrors::NotFinished(e) => (
            "the job is not finished",
            format!("{} tasks unclaimed, {} ranges not judged", e.unclaimed, e.outstanding),
            "wait until they are, or cancel the job",
        ),
        JobBookErrors::NothingToDo(e) => (
            "there is nothing to do",
            format!("no given range of job {} is in the state for it", e.jobId),
            "somebody else did it already; look at the job again",
        ),
        other => return plain(format!("JobBook: {other:?}")),
    };
    Problem::new(what, detail, advice)
}

fn ledger(error: &LedgerErrors) -> Problem {
    match error {
        LedgerErrors::InsufficientFree(e) => Problem::new(
            "the balance is too small",
            format!(
                "{} has {} GRAIN free, {} are needed",
                e.account,
                Amount(e.free),
                Amount(e.needed)
            ),
            "deposit more with `tilth account deposit NAME AMOUNT`, or ask for less",
        ),
        other => plain(format!("Ledger: {other:?}")),
    }
}

fn tabs(error: &TabsErrors) -> Problem {
    let (what, detail, advice) = match error {
        TabsErrors::NoSuchProvider(e) => (
            "there is no such provider",
            format!("the Registry has no provider {}", e.provider),
            "nothing of this batch is paid; see that the gateway works on this network, with its own books",
        ),
        TabsErrors::TooManyLines(e) => (
            "there are too many tabs at once",
            format!("{} of them, the contract takes {}", e.lines, e.most),
            "nothing of this batch is paid; use the version of tilth that these contracts came with",
        ),
        other => return plain(format!("Tabs: {other:?}")),
    };
    Problem::new(what, detail, advice)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, U256};
    use tilth_contracts::{JobBook, Ledger, Tabs};

    use super::*;

    #[test]
    fn refusals_are_named() {
        let refused = JobBook::ClaimRefused { jobId: 1, why: Refusal::Dry.into() }.abi_encode();
        assert!(explain("claim", &refused.into()).detail.contains("escrow"));
        let poor =
            Ledger::InsufficientFree { account: Address::ZERO, free: 0, needed: 10_u128.pow(18) };
        let problem = explain("open", &poor.abi_encode().into());
        assert!(problem.detail.contains("1 are needed"), "{problem}");
        let terms = JobBook::BadTerms { field: TermsField::Parallelism.into() }.abi_encode();
        assert!(explain("open", &terms.into()).detail.contains("parallelism"));
        let nobody = explain("settle", &Tabs::NoSuchProvider { provider: 7 }.abi_encode().into());
        assert!(nobody.detail.contains("provider 7"), "{nobody}");
        let many = Tabs::TooManyLines { lines: U256::from(101), most: U256::from(100) };
        let many = explain("settle", &many.abi_encode().into());
        assert!(many.detail.starts_with("101 of them"), "{many}");
        for told in [nobody, many] {
            assert!(told.advice.contains("nothing of this batch is paid"), "{told}");
        }
        let text = Revert::from("out of hay").abi_encode();
        assert_eq!(explain("x", &text.into()).detail, "out of hay");
        for odd in [&[][..], &[1], &[0xff; 40]] {
            assert!(!explain("odd", &Bytes::copy_from_slice(odd)).advice.is_empty());
        }
    }
}

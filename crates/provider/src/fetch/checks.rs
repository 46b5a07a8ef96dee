//! What a job's spec must be before its files are fetched.

use tilth_protocol::{JobId, JobSpec, Workload, spec::MAX_SPEC_BYTES};
use tilth_verification::holding::{MOST_MIB, Prices, largest_mib};

use super::FetchError;
use crate::{gpu, hand::WORKER_OVERHEAD, news::Opening, shop::Shop};

/// Whether the spec is what the chain was told.
pub(crate) fn agree(spec: &JobSpec, opening: &Opening) -> Result<(), FetchError> {
    for (agrees, what) in [
        (spec.task_count == opening.task_count, "the number of tasks"),
        (spec.limits.unit_cap == opening.unit_cap, "the unit cap of a task"),
        (spec.limits.prepare_cap == opening.prepare_cap, "the unit cap of the prepare phase"),
    ] {
        if !agrees {
            return Err(FetchError::Disagree(what));
        }
    }
    Ok(())
}

/// Whether everybody who computes it gets the same bits, if the stake depends on that. Terms need not say that the job
/// has a GPU program, so [`crate::machine`] cannot know before.
pub(super) fn can_be_answered_for(spec: &JobSpec, opening: &Opening) -> Result<(), FetchError> {
    match spec.workload {
        Workload::Gpu if opening.audited => Err(FetchError::Unauditable),
        Workload::Wasm | Workload::Gpu | Workload::Infer => Ok(()),
    }
}

/// Whether auditors hold whatever a range can have made: it is not paid without its client otherwise.
pub(super) fn can_be_held(
    spec: &JobSpec,
    opening: &Opening,
    prices: &Prices,
    least: u128,
) -> Result<(), FetchError> {
    if !prices.are_fair(least) {
        return Err(FetchError::Unholdable("it pays too little, or for too short or long a time"));
    }
    let largest = largest_mib(&spec.limits, spec.task_count, opening.parallelism);
    if largest.is_none_or(|largest| largest > prices.max_mib) {
        return Err(FetchError::Unholdable("its ranges may become larger than it pays for"));
    }
    // Its client may ask for all of that, whatever a range has made.
    if prices.max_mib > MOST_MIB {
        return Err(FetchError::Unholdable("it may ask for more than holders have room for"));
    }
    Ok(())
}

/// Whether we have memory and disk for it.
pub(super) fn fits(shop: &Shop, job: JobId, spec: &JobSpec) -> Result<(), FetchError> {
    let needed = memory_needed(spec);
    let offered = shop.limits.memory_per_slot;
    if needed > offered {
        return Err(FetchError::TooLarge { what: "memory", needed, offered });
    }
    // In the store and laid out for the worker.
    let needed = spec.blob_bytes().saturating_mul(2).saturating_add(MAX_SPEC_BYTES as u64);
    if needed > shop.limits.disk {
        return Err(FetchError::TooLarge { what: "disk", needed, offered: shop.limits.disk });
    }
    if !shop.reserve_disk(job, needed) {
        return Err(FetchError::NoSpace(needed));
    }
    Ok(())
}

/// Memory of the worker for a job's tasks: the guest's own, and that of the prepared image if there is
/// one, since a task may touch every page of it; of a GPU program, its buffers and what the driver needs.
fn memory_needed(spec: &JobSpec) -> u64 {
    let copies = if spec.limits.prepare_cap > 0 { 2 } else { 1 };
    let own = match spec.workload {
        Workload::Wasm => spec.limits.memory_bytes.saturating_mul(copies),
        Workload::Gpu => gpu::memory_needed(spec.limits.memory_bytes),
        // The model lies in memory as far as it is touched, and every token touches all of it.
        Workload::Infer => spec.limits.memory_bytes.saturating_add(spec.blob_bytes()),
    };
    own.saturating_add(spec.limits.output_bytes.saturating_mul(2)).saturating_add(WORKER_OVERHEAD)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{ContentHash, ContentRef, Limits, Output};

    use super::*;
    use crate::machine::Trouble;

    fn spec() -> JobSpec {
        JobSpec {
            name: "n".into(),
            workload: Workload::Wasm,
            program: ContentRef { hash: ContentHash([1; 32]), size: 10 },
            inputs: Vec::new(),
            task_count: 5,
            limits: Limits { unit_cap: 7, prepare_cap: 8, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        }
    }

    fn opening() -> Opening {
        Opening {
            spec: ContentHash([2; 32]),
            task_count: 5,
            unit_cap: 7,
            prepare_cap: 8,
            range_timeout_ms: 1_000,
            audited: false,
            replicated: false,
            kept: false,
            parallelism: 1,
            contact: Vec::new(),
        }
    }

    #[test]
    fn a_spec_that_differs_from_its_terms_is_refused_for_good() {
        assert!(agree(&spec(), &opening()).is_ok());
        for other in [
            Opening { task_count: 6, ..opening() },
            Opening { unit_cap: 8, ..opening() },
            Opening { prepare_cap: 0, ..opening() },
        ] {
            let error = agree(&spec(), &other).unwrap_err();
            assert_eq!(error.trouble(), Trouble::Lasting, "{error}");
        }
    }

    #[test]
    fn jobs_whose_results_nobody_would_hold_are_left_alone_for_good() {
        let kept = Opening { kept: true, ..opening() };
        let usual = Prices::usual(10_000, 1, 86_400);
        assert!(can_be_held(&spec(), &kept, &usual, 10_000).is_ok());
        let large = Limits { output_bytes: 1 << 20, ..spec().limits };
        for (spec, prices) in [
            (spec(), Prices { per_mib: 0, ..usual }),
            (spec(), Prices { keep_seconds: 1, ..usual }),
            (spec(), Prices { max_mib: MOST_MIB + 1, ..usual }),
            (JobSpec { limits: large, ..spec() }, usual),
        ] {
            let error = can_be_held(&spec, &kept, &prices, 10_000).unwrap_err();
            assert_eq!(error.trouble(), Trouble::Lasting, "{error}");
        }
    }

    #[test]
    fn audited_gpu_programs_are_left_alone_for_good() {
        let audited = Opening { audited: true, ..opening() };
        for workload in [Workload::Wasm, Workload::Infer] {
            assert!(can_be_answered_for(&JobSpec { workload, ..spec() }, &audited).is_ok());
        }
        let gpu = JobSpec { workload: Workload::Gpu, ..spec() };
        assert!(can_be_answered_for(&gpu, &opening()).is_ok());
        let error = can_be_answered_for(&gpu, &audited).unwrap_err();
        assert_eq!(error.trouble(), Trouble::Lasting, "{error}");
    }

    #[test]
    fn a_prepared_job_needs_memory_for_its_image_and_its_task() {
        let mut spec = spec();
        spec.limits.memory_bytes = 1 << 30;
        assert!(memory_needed(&spec) > 2 << 30);
        spec.limits.prepare_cap = 0;
        assert!(memory_needed(&spec) < 2 << 30);
        // A GPU's driver takes more than a guest's machine.
        let wasm = memory_needed(&spec);
        spec.workload = Workload::Gpu;
        assert_eq!(memory_needed(&spec), wasm + gpu::DRIVER_MEMORY);
    }
}

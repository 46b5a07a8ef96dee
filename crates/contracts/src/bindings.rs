//! Generated from `contracts/artifacts/*.json` by `sol!`: one module per contract, because their
//! artifacts repeat the structs of the interfaces they use.
//!
//! `job_book::JobBook::claimCall` is a call, `job_book::JobBook::RangeClaimed` an event,
//! `job_book::IJobBook::Terms` a struct, `JobBook::BYTECODE` the init code without arguments.
#![allow(missing_docs, clippy::too_many_arguments, reason = "the code is generated")]

/// The one contract that holds money.
pub mod ledger {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Ledger,
        "../../contracts/artifacts/Ledger.json"
    );
}

/// Who offers machines.
pub mod registry {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Registry,
        "../../contracts/artifacts/Registry.json"
    );
}

/// Jobs and ranges.
pub mod job_book {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        JobBook,
        "../../contracts/artifacts/JobBook.json"
    );
}

/// Code of the JobBook for opening, funding and ending jobs, and for ranges that come back; called through
/// the JobBook only.
pub mod job_desk {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        JobDesk,
        "../../contracts/artifacts/JobDesk.json"
    );
}

/// The beacon of a chain that one operator runs.
pub mod solo_randomness {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        SoloRandomness,
        "../../contracts/artifacts/SoloRandomness.json"
    );
}

/// Who re-executes samples of others' work.
pub mod auditors {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Auditors,
        "../../contracts/artifacts/Auditors.json"
    );
}

/// Audits of submitted ranges.
pub mod audits {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Audits,
        "../../contracts/artifacts/Audits.json"
    );
}

/// Code of Audits for naming and opening leaves; called through Audits only.
pub mod audit_desk {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        AuditDesk,
        "../../contracts/artifacts/AuditDesk.json"
    );
}

/// The judge of JobBook and Registry: the door to those who judge ranges.
pub mod bench {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Bench,
        "../../contracts/artifacts/Bench.json"
    );
}

/// The lines from which mates are drawn.
pub mod waiting {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Waiting,
        "../../contracts/artifacts/Waiting.json"
    );
}

/// Ranges that two providers do.
pub mod replicas {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Replicas,
        "../../contracts/artifacts/Replicas.json"
    );
}

/// Who holds what kept ranges have made.
pub mod holders {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Holders,
        "../../contracts/artifacts/Holders.json"
    );
}

/// Who of those who hold something still serves it.
pub mod spots {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Spots,
        "../../contracts/artifacts/Spots.json"
    );
}

/// What is owed for single answers, settled in batches.
pub mod tabs {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        Tabs,
        "../../contracts/artifacts/Tabs.json"
    );
}

/// Compound questions about jobs.
pub mod job_view {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        JobView,
        "../../contracts/artifacts/JobView.json"
    );
}

/// Example: adds up inline results of a job on chain.
pub mod reduce_sum {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        ReduceSum,
        "../../contracts/artifacts/ReduceSum.json"
    );
}

/// The native coin as an ERC-20 token.
pub mod wgrain {
    alloy_sol_types::sol!(
        #[derive(Debug, PartialEq, Eq)]
        WGrain,
        "../../contracts/artifacts/WGrain.json"
    );
}

pub use audit_desk::AuditDesk;
pub use auditors::Auditors;
pub use audits::Audits;
pub use bench::Bench;
pub use holders::Holders;
pub use job_book::JobBook;
pub use job_desk::JobDesk;
pub use job_view::JobView;
pub use ledger::Ledger;
pub use reduce_sum::ReduceSum;
pub use registry::Registry;
pub use replicas::Replicas;
pub use solo_randomness::SoloRandomness;
pub use spots::Spots;
pub use tabs::Tabs;
pub use waiting::Waiting;
pub use wgrain::WGrain;

//! Where the contracts are and how they get there: the same steps build a tilth chain's genesis (the
//! chain runs every init code in place at a fixed address) and deploy to a foreign chain (CREATE).
//!
//! The contracts know each other's addresses at construction, and no constructor depends on its caller.

use alloy_primitives::{Address, Bytes, U256, address};
use alloy_sol_types::SolValue;

use crate::bindings::{
    AuditDesk, Auditors, Audits, Bench, Holders, JobBook, JobDesk, JobView, Ledger, Registry,
    Replicas, SoloRandomness, Spots, Tabs, WGrain, Waiting,
};

/// Gas that is enough for any single step on any chain with Ethereum's gas rules.
pub const STEP_GAS_LIMIT: u64 = 10_000_000;

/// Largest cap of a module: the contracts keep amounts of jobs and stakes in 96 bits.
pub const MAX_MODULE_CAP: u128 = (1 << 96) - 1;

/// Where the contracts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The payment token: WGRAIN on a tilth chain, any plain ERC-20 elsewhere.
    pub token: Address,
    /// `Ledger`.
    pub ledger: Address,
    /// `Registry`.
    pub registry: Address,
    /// `JobBook`.
    pub job_book: Address,
    /// `JobView`.
    pub job_view: Address,
    /// `JobDesk`.
    pub job_desk: Address,
    /// The beacon: `SoloRandomness` on a chain that one operator runs.
    pub randomness: Address,
    /// `Auditors`.
    pub auditors: Address,
    /// `Audits`.
    pub audits: Address,
    /// `AuditDesk`.
    pub audit_desk: Address,
    /// `Bench`, the judge of `JobBook` and `Registry`.
    pub bench: Address,
    /// `Waiting`.
    pub waiting: Address,
    /// `Replicas`.
    pub replicas: Address,
    /// `Holders`.
    pub holders: Address,
    /// `Spots`.
    pub spots: Address,
    /// `Tabs`.
    pub tabs: Address,
}

impl Addresses {
    /// The fixed addresses on a tilth chain: the letters "tilth", then 0x1001 and following.
    pub const fn predeployed() -> Self {
        Self {
            token: address!("0x74696c7468000000000000000000000000001001"),
            ledger: address!("0x74696c7468000000000000000000000000001002"),
            registry: address!("0x74696c7468000000000000000000000000001003"),
            job_book: address!("0x74696c7468000000000000000000000000001004"),
            job_view: address!("0x74696c7468000000000000000000000000001005"),
            job_desk: address!("0x74696c7468000000000000000000000000001006"),
            randomness: address!("0x74696c7468000000000000000000000000001007"),
            auditors: address!("0x74696c7468000000000000000000000000001008"),
            audits: address!("0x74696c7468000000000000000000000000001009"),
            audit_desk: address!("0x74696c746800000000000000000000000000100a"),
            bench: address!("0x74696c746800000000000000000000000000100b"),
            waiting: address!("0x74696c746800000000000000000000000000100c"),
            replicas: address!("0x74696c746800000000000000000000000000100d"),
            holders: address!("0x74696c746800000000000000000000000000100e"),
            spots: address!("0x74696c746800000000000000000000000000100f"),
            tabs: address!("0x74696c7468000000000000000000000000001010"),
        }
    }

    /// The addresses that `deployer` creates when the transactions of [`plan`] have the nonces from
    /// `first_nonce` on. With `token` the payment token exists already and is no step.
    pub fn from_deployer(deployer: Address, first_nonce: u64, token: Option<Address>) -> Self {
        let mut nonce = first_nonce;
        let mut next = || {
            let address = deployer.create(nonce);
            nonce = nonce.saturating_add(1);
            address
        };
        let token = token.unwrap_or_else(&mut next);
        Self {
            token,
            ledger: next(),
            registry: next(),
            job_book: next(),
            job_view: next(),
            job_desk: next(),
            randomness: next(),
            auditors: next(),
            audits: next(),
            audit_desk: next(),
            bench: next(),
            waiting: next(),
            replicas: next(),
            holders: next(),
            spots: next(),
            tabs: next(),
        }
    }

    /// All of them.
    pub const fn all(&self) -> [Address; 16] {
        let Self {
            token,
            ledger,
            registry,
            job_book,
            job_view,
            job_desk,
            randomness,
            auditors,
            audits,
            audit_desk,
            bench,
            waiting,
            replicas,
            holders,
            spots,
            tabs,
        } = *self;
        [
            token, ledger, registry, job_book, job_view, job_desk, randomness, auditors, audits,
            audit_desk, bench, waiting, replicas, holders, spots, tabs,
        ]
    }
}

/// What a deployment may choose, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployParams {
    /// Account that gets the protocol fee.
    pub treasury: Address,
    /// Protocol fee in basis points of what providers earn, at most 500.
    pub fee_bps: u16,
    /// An existing payment token; `None` deploys WGRAIN.
    pub token: Option<Address>,
    /// Most that each of Registry, JobBook, Auditors, Audits, Holders and Tabs may have locked at once; base units,
    /// at most [`MAX_MODULE_CAP`].
    pub module_cap: u128,
    /// Jobs worth at most this get the shortest challenge windows, ranges worth at most this have one auditor
    /// first; base units.
    pub small_value: u128,
    /// Least stake of an auditor; base units, at least 1.
    pub auditor_stake: u128,
}

impl DeployParams {
    /// What a tilth chain uses: 1 % fee, WGRAIN, no module cap, jobs up to 100 GRAIN are small, auditors stake
    /// at least 10 GRAIN.
    pub fn standard(treasury: Address) -> Self {
        Self {
            treasury,
            fee_bps: 100,
            token: None,
            module_cap: MAX_MODULE_CAP,
            small_value: 100 * tilth_protocol::amount::GRAIN,
            auditor_stake: 10 * tilth_protocol::amount::GRAIN,
        }
    }
}

/// One contract creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the contract.
    pub name: &'static str,
    /// Where it must end up.
    pub address: Address,
    /// Init code with the constructor's arguments appended.
    pub init_code: Bytes,
}

/// The creations in the order in which they must happen.
pub fn plan(addresses: &Addresses, params: &DeployParams) -> Vec<Step> {
    let at = addresses;
    let small = U256::from(params.small_value);
    let step = |name, address, code: &Bytes, args: Vec<u8>| Step {
        name,
        address,
        init_code: [code.as_ref(), &args].concat().into(),
    };
    let mut steps = Vec::with_capacity(16);
    if params.token.is_none() {
        steps.push(step("WGrain", at.token, &WGrain::BYTECODE, Vec::new()));
    }
    let modules = [at.registry, at.job_book, at.auditors, at.audits, at.holders, at.tabs];
    let grants = modules.map(|module| (module, params.module_cap)).to_vec();
    let ledger = (at.token, grants).abi_encode_params();
    let registry = (at.ledger, at.job_book, at.bench).abi_encode_params();
    let fee_bps = U256::from(params.fee_bps);
    // Solidity's `JobLayout.Deployment`: of static fields, so it is encoded in line.
    let job_book = (at.ledger, at.registry, at.bench, at.audits, params.treasury, fee_bps, small);
    let auditors = (at.ledger, at.audits, U256::from(params.auditor_stake)).abi_encode_params();
    // `AuditLayout.Deployment`, the same.
    let audits = (at.bench, at.job_book, at.registry, at.auditors, at.ledger, at.randomness, small);
    let bench = (at.job_book, at.registry, at.audits, at.waiting, at.replicas, at.holders)
        .abi_encode_params();
    let waiting = (at.bench, at.job_book, at.registry, at.audits, at.replicas).abi_encode_params();
    // What mates lose goes to the purse of the audits.
    let replicas = (at.bench, at.job_book, at.registry, at.waiting, at.randomness, at.audits)
        .abi_encode_params();
    // `Holders.Deployment`, of static fields, too.
    let holders = (
        at.bench,
        at.job_book,
        at.registry,
        at.auditors,
        at.audits,
        at.ledger,
        at.randomness,
        at.spots,
        small,
    )
        .abi_encode_params();
    let spots = (at.holders, at.auditors, at.randomness).abi_encode_params();
    let tabs = (at.ledger, at.registry, params.treasury, fee_bps).abi_encode_params();
    steps.extend([
        step("Ledger", at.ledger, &Ledger::BYTECODE, ledger),
        step("Registry", at.registry, &Registry::BYTECODE, registry),
        step(
            "JobBook",
            at.job_book,
            &JobBook::BYTECODE,
            (job_book, at.job_desk).abi_encode_params(),
        ),
        step("JobView", at.job_view, &JobView::BYTECODE, (at.job_book,).abi_encode_params()),
        step("JobDesk", at.job_desk, &JobDesk::BYTECODE, (job_book,).abi_encode_params()),
        step("SoloRandomness", at.randomness, &SoloRandomness::BYTECODE, Vec::new()),
        step("Auditors", at.auditors, &Auditors::BYTECODE, auditors),
        step("Audits", at.audits, &Audits::BYTECODE, (audits, at.audit_desk).abi_encode_params()),
        step("AuditDesk", at.audit_desk, &AuditDesk::BYTECODE, (audits,).abi_encode_params()),
        step("Bench", at.bench, &Bench::BYTECODE, bench),
        step("Waiting", at.waiting, &Waiting::BYTECODE, waiting),
        step("Replicas", at.replicas, &Replicas::BYTECODE, replicas),
        step("Holders", at.holders, &Holders::BYTECODE, holders),
        step("Spots", at.spots, &Spots::BYTECODE, spots),
        step("Tabs", at.tabs, &Tabs::BYTECODE, tabs),
    ]);
    steps
}

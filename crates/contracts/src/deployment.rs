//! Where the contracts are and how they get there: the same steps build a tilth chain's genesis (the
//! chain runs every init code in place at a fixed address) and deploy to a foreign chain (CREATE).
//!
//! The contracts know each other's addresses at construction, and no constructor depends on its caller.

use alloy_primitives::{Address, Bytes, U256, address};
use alloy_sol_types::SolValue;

use crate::bindings::{JobBook, JobView, Ledger, Registry, WGrain};

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
        Self { token, ledger: next(), registry: next(), job_book: next(), job_view: next() }
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
    /// Most that the Registry, and most that the JobBook, may have locked at once; base units,
    /// at most [`MAX_MODULE_CAP`].
    pub module_cap: u128,
    /// Jobs worth at most this get the shortest challenge windows; base units.
    pub small_value: u128,
}

impl DeployParams {
    /// What a tilth chain uses: 1 % fee, WGRAIN, no module cap, jobs up to 100 GRAIN are small.
    pub fn standard(treasury: Address) -> Self {
        Self {
            treasury,
            fee_bps: 100,
            token: None,
            module_cap: MAX_MODULE_CAP,
            small_value: 100 * tilth_protocol::amount::GRAIN,
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
    let with_args =
        |code: &Bytes, args: Vec<u8>| -> Bytes { [code.as_ref(), &args].concat().into() };
    let mut steps = Vec::with_capacity(5);
    if params.token.is_none() {
        let init_code = WGrain::BYTECODE.clone();
        steps.push(Step { name: "WGrain", address: addresses.token, init_code });
    }
    let grants =
        vec![(addresses.registry, params.module_cap), (addresses.job_book, params.module_cap)];
    steps.push(Step {
        name: "Ledger",
        address: addresses.ledger,
        init_code: with_args(&Ledger::BYTECODE, (addresses.token, grants).abi_encode_params()),
    });
    steps.push(Step {
        name: "Registry",
        address: addresses.registry,
        init_code: with_args(
            &Registry::BYTECODE,
            (addresses.ledger, addresses.job_book).abi_encode_params(),
        ),
    });
    let args = (
        addresses.ledger,
        addresses.registry,
        params.treasury,
        U256::from(params.fee_bps),
        U256::from(params.small_value),
    );
    steps.push(Step {
        name: "JobBook",
        address: addresses.job_book,
        init_code: with_args(&JobBook::BYTECODE, args.abi_encode_params()),
    });
    steps.push(Step {
        name: "JobView",
        address: addresses.job_view,
        init_code: with_args(&JobView::BYTECODE, (addresses.job_book,).abi_encode_params()),
    });
    steps
}

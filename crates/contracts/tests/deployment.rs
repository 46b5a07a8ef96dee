//! The deployment plan on a real EVM: at fixed addresses as in a genesis, and by transactions as on a
//! foreign chain.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall, SolEvent};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::TxKind,
    state::AccountInfo,
};
use tilth_contracts::{
    Addresses, AuditDesk, Audits, Bench, DeployParams, Holders, JobBook, Ledger, Registry,
    Replicas, Spots, Terms, WGrain, Waiting, consent_digest, deployment, plan,
};
use tilth_protocol::amount::GRAIN;

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Db = CacheDB<EmptyDB>;

const DEPLOYER: Address = address!("0x00000000000000000000000000000000000d0000");
const CLIENT: Address = address!("0x00000000000000000000000000000000000c0000");
const TREASURY: Address = address!("0x000000000000000000000000000000000007ea50");

fn database() -> Db {
    let mut db = Db::default();
    for account in [DEPLOYER, CLIENT] {
        db.insert_account_info(account, AccountInfo::from_balance(U256::from(1000 * GRAIN)));
    }
    db
}

/// One transaction; the gas it used and what happened.
fn send(
    db: &mut Db,
    from: Address,
    nonce: u64,
    kind: TxKind,
    data: Bytes,
    value: u128,
) -> Result<ExecutionResult, Box<dyn std::error::Error>> {
    let mut evm = Context::mainnet()
        .modify_block_chained(|block| block.timestamp = U256::from(1_800_000_000_u64))
        .with_db(db)
        .build_mainnet();
    let tx = TxEnv::builder()
        .caller(from)
        .nonce(nonce)
        .kind(kind)
        .data(data)
        .value(U256::from(value))
        .gas_limit(deployment::STEP_GAS_LIMIT)
        .gas_price(0)
        .build()
        .map_err(|error| format!("{error:?}"))?;
    Ok(evm.transact_commit(tx)?)
}

fn deployed(params: &DeployParams) -> Result<(Db, Addresses), Box<dyn std::error::Error>> {
    let mut db = database();
    let addresses = Addresses::from_deployer(DEPLOYER, 0, params.token);
    for (nonce, step) in plan(&addresses, params).into_iter().enumerate() {
        let result =
            send(&mut db, DEPLOYER, nonce as u64, TxKind::Create, step.init_code.clone(), 0)?;
        assert_eq!(result.created_address(), Some(step.address), "{}: {result:?}", step.name);
        assert!(result.tx_gas_used() < deployment::STEP_GAS_LIMIT, "{}", step.name);
    }
    Ok((db, addresses))
}

#[test]
fn steps_end_up_where_they_were_announced_and_the_contracts_know_each_other() -> Outcome {
    let (mut db, addresses) = deployed(&DeployParams::standard(TREASURY))?;
    let call = |data: Vec<u8>| Bytes::from(data);
    let deposit = Ledger::depositNativeCall { account_: CLIENT };
    let paid = send(
        &mut db,
        CLIENT,
        0,
        TxKind::Call(addresses.ledger),
        call(deposit.abi_encode()),
        100 * GRAIN,
    )?;
    assert!(paid.is_success(), "{paid:?}");
    let open = JobBook::openCall {
        terms: Terms {
            specHash: B256::repeat_byte(1),
            taskCount: 10,
            unitCap: 1000,
            prepareCap: 0,
            price: U256::from(1_000_000_u64).to(),
            floorPrice: U256::ZERO.to(),
            finishSeconds: 0,
            window: 60,
            rangeTimeout: 60,
            targetSeconds: 10,
            parallelism: 1,
            firstRange: 1,
            deadline: U256::from(1_800_001_000_u64).to(),
            maxFailures: 0,
            requiredClass: 0,
            minVramMib: 0,
            afterJob: 0,
            audited: false,
            replicas: 0,
            kept: false,
            callback: Address::ZERO,
            program: B256::repeat_byte(2),
            contact: Bytes::from_static(b"here"),
        },
        funds: GRAIN,
    };
    let opened =
        send(&mut db, CLIENT, 1, TxKind::Call(addresses.job_book), call(open.abi_encode()), 0)?;
    assert!(opened.is_success(), "{opened:?}");
    let log = opened
        .logs()
        .iter()
        .find(|log| log.topics().first() == Some(&JobBook::JobOpened::SIGNATURE_HASH))
        .ok_or("no JobOpened")?;
    let event = JobBook::JobOpened::decode_log(log)?;
    assert_eq!((event.jobId, event.client, event.escrow), (1, CLIENT, GRAIN));
    assert_eq!(event.terms.contact.as_ref(), b"here");
    assert_eq!(event.program, B256::repeat_byte(2));
    let account = Ledger::accountCall { owner: CLIENT };
    let read =
        send(&mut db, CLIENT, 2, TxKind::Call(addresses.ledger), call(account.abi_encode()), 0)?;
    let balance = Ledger::accountCall::abi_decode_returns(read.output().ok_or("no output")?)?;
    assert_eq!((balance.free, balance.locked), (99 * GRAIN, GRAIN));
    Ok(())
}

#[test]
fn node_keys_sign_what_the_registry_checks() -> Outcome {
    let (mut db, addresses) = deployed(&DeployParams::standard(TREASURY))?;
    let deadline = 1_800_000_000;
    let call = Registry::consentDigestCall { owner: CLIENT, deadline: U256::from(deadline) };
    let read =
        send(&mut db, CLIENT, 0, TxKind::Call(addresses.registry), call.abi_encode().into(), 0)?;
    let digest =
        Registry::consentDigestCall::abi_decode_returns(read.output().ok_or("no output")?)?;
    assert_eq!(digest, consent_digest(1, addresses.registry, CLIENT, deadline));
    assert_ne!(digest, consent_digest(2, addresses.registry, CLIENT, deadline));
    assert_ne!(digest, consent_digest(1, addresses.registry, DEPLOYER, deadline));
    Ok(())
}

/// JobBook and Registry have one judge, the Bench; the purse stays with Audits, who sit on it.
#[test]
fn the_bench_is_the_judge_and_audits_keep_the_purse() -> Outcome {
    let (mut db, at) = deployed(&DeployParams::standard(TREASURY))?;
    let reads = [
        (at.job_book, JobBook::judgeCall {}.abi_encode(), at.bench),
        (at.registry, Registry::judgeCall {}.abi_encode(), at.bench),
        (at.audits, Audits::benchCall {}.abi_encode(), at.bench),
        // What the desk's code believes is in its own code, not with the Audits that call it.
        (at.audit_desk, AuditDesk::benchCall {}.abi_encode(), at.bench),
        (at.audit_desk, AuditDesk::jobBookCall {}.abi_encode(), at.job_book),
        (at.audit_desk, AuditDesk::registryCall {}.abi_encode(), at.registry),
        (at.audit_desk, AuditDesk::randomnessCall {}.abi_encode(), at.randomness),
        (at.bench, Bench::auditsCall {}.abi_encode(), at.audits),
        (at.bench, Bench::waitingCall {}.abi_encode(), at.waiting),
        (at.bench, Bench::replicasCall {}.abi_encode(), at.replicas),
        (at.bench, Bench::holdersCall {}.abi_encode(), at.holders),
        (at.holders, Holders::benchCall {}.abi_encode(), at.bench),
        (at.holders, Holders::jobBookCall {}.abi_encode(), at.job_book),
        (at.holders, Holders::registryCall {}.abi_encode(), at.registry),
        (at.holders, Holders::auditorsCall {}.abi_encode(), at.auditors),
        (at.holders, Holders::auditsCall {}.abi_encode(), at.audits),
        (at.holders, Holders::ledgerCall {}.abi_encode(), at.ledger),
        (at.holders, Holders::randomnessCall {}.abi_encode(), at.randomness),
        (at.holders, Holders::spotsCall {}.abi_encode(), at.spots),
        (at.spots, Spots::holdersCall {}.abi_encode(), at.holders),
        (at.spots, Spots::auditorsCall {}.abi_encode(), at.auditors),
        (at.spots, Spots::randomnessCall {}.abi_encode(), at.randomness),
        (at.waiting, Waiting::benchCall {}.abi_encode(), at.bench),
        (at.waiting, Waiting::auditsCall {}.abi_encode(), at.audits),
        (at.waiting, Waiting::replicasCall {}.abi_encode(), at.replicas),
        (at.replicas, Replicas::benchCall {}.abi_encode(), at.bench),
        (at.replicas, Replicas::waitingCall {}.abi_encode(), at.waiting),
        (at.replicas, Replicas::randomnessCall {}.abi_encode(), at.randomness),
        (at.replicas, Replicas::purseCall {}.abi_encode(), at.audits),
        (at.job_book, JobBook::purseCall {}.abi_encode(), at.audits),
    ];
    for (nonce, (contract, data, expected)) in (0..).zip(reads) {
        let read = send(&mut db, CLIENT, nonce, TxKind::Call(contract), data.into(), 0)?;
        let found = read.output().ok_or("no output")?;
        assert_eq!(&found[..], expected.into_word().as_slice());
    }
    Ok(())
}

#[test]
fn an_existing_token_is_not_deployed_again() -> Outcome {
    let token = DEPLOYER.create(0);
    let params = DeployParams { token: Some(token), ..DeployParams::standard(TREASURY) };
    let addresses = Addresses::from_deployer(DEPLOYER, 1, Some(token));
    let steps = plan(&addresses, &params);
    let names: Vec<_> = steps.iter().map(|step| step.name).collect();
    assert_eq!(
        names,
        [
            "Ledger",
            "Registry",
            "JobBook",
            "JobView",
            "JobDesk",
            "SoloRandomness",
            "Auditors",
            "Audits",
            "AuditDesk",
            "Bench",
            "Waiting",
            "Replicas",
            "Holders",
            "Spots",
            "Tabs"
        ]
    );
    let mut db = database();
    let weth = send(&mut db, DEPLOYER, 0, TxKind::Create, WGrain::BYTECODE.clone(), 0)?;
    assert_eq!(weth.created_address(), Some(token));
    for (nonce, step) in (1..).zip(steps) {
        let result = send(&mut db, DEPLOYER, nonce, TxKind::Create, step.init_code, 0)?;
        assert_eq!(result.created_address(), Some(step.address), "{}: {result:?}", step.name);
    }
    Ok(())
}

#[test]
fn wrong_parameters_are_refused_by_the_constructors() -> Outcome {
    for params in [
        DeployParams { fee_bps: 501, ..DeployParams::standard(TREASURY) },
        DeployParams { treasury: Address::ZERO, ..DeployParams::standard(TREASURY) },
        DeployParams { module_cap: 1 << 96, ..DeployParams::standard(TREASURY) },
        DeployParams { auditor_stake: 0, ..DeployParams::standard(TREASURY) },
    ] {
        let mut db = database();
        let addresses = Addresses::from_deployer(DEPLOYER, 0, None);
        let mut failed = false;
        for (nonce, step) in plan(&addresses, &params).into_iter().enumerate() {
            failed |= !send(&mut db, DEPLOYER, nonce as u64, TxKind::Create, step.init_code, 0)?
                .is_success();
        }
        assert!(failed, "{params:?}");
    }
    Ok(())
}

#[test]
fn predeployed_addresses_spell_the_name() {
    let addresses = Addresses::predeployed();
    for address in addresses.all() {
        assert_eq!(&address.as_slice()[..5], b"tilth");
    }
}

/// The result accumulator and the selectors are what other languages compute, too.
#[test]
fn selectors_are_stable() {
    assert_eq!(Registry::standingCall::SIGNATURE, "standing(address)");
    assert_eq!(JobBook::claimCall::SIGNATURE, "claim(uint64,uint32,uint96)");
    assert_eq!(
        JobBook::submitCall::SIGNATURE,
        "submit(uint64,uint32,bytes32,uint64,uint32,bytes32)"
    );
    assert_eq!(
        JobBook::RangeSettled::SIGNATURE_HASH,
        alloy_primitives::keccak256("RangeSettled(uint64,uint32,address,uint128,uint128,bytes32)")
    );
}

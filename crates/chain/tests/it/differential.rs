//! The executor against plain revm: same receipts, same gas, same state root for random programs.

use std::collections::BTreeMap;

use alloy::{
    consensus::{Header, Sealable as _, Signed, TxEip1559, TxEnvelope},
    eips::{
        eip2935,
        eip4788::{self, SYSTEM_ADDRESS},
        eip7002, eip7251,
    },
    primitives::{Address, B256, Bytes, Signature, TxKind, U256},
};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use proptest::{collection::vec, prelude::*};
use revm::{
    Context, DatabaseCommit, ExecuteCommitEvm, MainBuilder, MainContext, SystemCallEvm,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    database::{AccountState, CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};
use tilth_chain::{
    block::{Block, Transaction},
    execution::{BlockAttributes, BlockBuilder, execute},
    state::{Commitment, StateCommitment, StateReader},
    store::{Store, StoreOptions},
};

use crate::fixture::{genesis, signer};

const SENDERS: u8 = 3;

/// One thing a program does.
#[derive(Clone, Debug)]
enum Gadget {
    Store {
        slot: u8,
        value: u8,
    },
    Log {
        topic: u8,
    },
    Call {
        target: u8,
        value: u8,
    },
    /// Creates a contract that runs the gadgets after its first few.
    Create {
        value: u8,
        salt: Option<u8>,
    },
    /// Creates a contract that destroys itself at once.
    Ephemeral {
        heir: u8,
        value: u8,
    },
    Destroy {
        heir: u8,
    },
    BlockHash,
    Revert,
    Invalid,
}

#[derive(Clone, Debug)]
enum Act {
    Transfer { to: u8, value: u16 },
    Deploy { program: Vec<Gadget>, value: u8 },
    Call { contract: u8, value: u8, gas: u32 },
}

fn gadget() -> impl Strategy<Value = Gadget> {
    prop_oneof![
        6 => (0_u8..4, 0_u8..3).prop_map(|(slot, value)| Gadget::Store { slot, value }),
        2 => (0_u8..3).prop_map(|topic| Gadget::Log { topic }),
        3 => (any::<u8>(), 0_u8..3).prop_map(|(target, value)| Gadget::Call { target, value }),
        2 => (0_u8..2, proptest::option::of(0_u8..2)).prop_map(|(value, salt)| Gadget::Create { value, salt }),
        2 => (any::<u8>(), 0_u8..3).prop_map(|(heir, value)| Gadget::Ephemeral { heir, value }),
        1 => any::<u8>().prop_map(|heir| Gadget::Destroy { heir }),
        1 => Just(Gadget::BlockHash),
        1 => Just(Gadget::Revert),
        1 => Just(Gadget::Invalid),
    ]
}

fn act() -> impl Strategy<Value = (u8, Act)> {
    let act = prop_oneof![
        1 => (any::<u8>(), any::<u16>()).prop_map(|(to, value)| Act::Transfer { to, value }),
        2 => (vec(gadget(), 0..8), any::<u8>())
            .prop_map(|(program, value)| Act::Deploy { program, value }),
        3 => (any::<u8>(), any::<u8>(), 21_000_u32..400_000)
            .prop_map(|(contract, value, gas)| Act::Call { contract, value, gas }),
    ];
    (0..SENDERS, act)
}

/// Addresses programs and transactions refer to: senders' first contracts, plain ones, precompiles.
fn address(choice: u8) -> Address {
    match choice % 4 {
        0 | 1 => signer(choice / 4 % SENDERS).address().create(u64::from(choice / 16 % 6)),
        2 => Address::with_last_byte(choice / 4 % 12),
        _ => Address::repeat_byte(choice | 1),
    }
}

fn push_address(code: &mut Vec<u8>, choice: u8) {
    code.push(0x73);
    code.extend(address(choice));
}

/// Creation code that stores its child's code (given) at memory 0 and creates it.
fn create(code: &mut Vec<u8>, init: &[u8], value: u8, salt: Option<u8>) {
    // At most 32 bytes of creation code, left-aligned in one word.
    assert!(init.len() <= 32);
    let mut word = [0; 32];
    word[..init.len()].copy_from_slice(init);
    code.push(0x7f);
    code.extend(word);
    code.extend([0x60, 0x00, 0x52]);
    if let Some(salt) = salt {
        code.extend([0x60, salt]);
    }
    code.extend([0x60, u8::try_from(init.len()).unwrap(), 0x60, 0x00, 0x60, value]);
    code.extend([if salt.is_some() { 0xf5 } else { 0xf0 }, 0x50]);
}

fn assemble(program: &[Gadget]) -> Vec<u8> {
    let mut code = Vec::new();
    for gadget in program {
        match gadget {
            Gadget::Store { slot, value } => code.extend([0x60, *value, 0x60, *slot, 0x55]),
            Gadget::Log { topic } => code.extend([0x60, *topic, 0x60, 0x20, 0x60, 0x00, 0xa1]),
            Gadget::Call { target, value } => {
                code.extend([0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, *value]);
                push_address(&mut code, *target);
                code.extend([0x61, 0xc3, 0x50, 0xf1, 0x50]);
            }
            // sstore(1, 1); return one STOP byte.
            Gadget::Create { value, salt } => {
                create(&mut code, &[0x60, 1, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3], *value, *salt)
            }
            // sstore(1, 1); selfdestruct(heir's low byte).
            Gadget::Ephemeral { heir, value } => {
                let init = [0x60, 1, 0x60, 1, 0x55, 0x60, heir | 1, 0xff];
                create(&mut code, &init, *value, None);
            }
            Gadget::Destroy { heir } => {
                push_address(&mut code, *heir);
                code.push(0xff);
            }
            // sstore(2, blockhash(number - 1))
            Gadget::BlockHash => {
                code.extend([0x60, 1, 0x43, 0x03, 0x40, 0x60, 2, 0x55]);
            }
            Gadget::Revert => code.extend([0x60, 0, 0x60, 0, 0xfd]),
            Gadget::Invalid => code.push(0xfe),
        }
    }
    code
}

/// Creation code for a program of any length up to 64 KiB.
fn deploying(runtime: &[u8]) -> Bytes {
    let [high, low] = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    let mut code = vec![0x61, high, low, 0x80, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

fn transaction(sender: u8, nonce: u64, act: &Act) -> Transaction {
    let (to, value, input, gas_limit) = match act {
        Act::Transfer { to, value } => {
            (TxKind::Call(address(*to)), u64::from(*value), Bytes::new(), 100_000)
        }
        Act::Deploy { program, value } => {
            (TxKind::Create, u64::from(*value), deploying(&assemble(program)), 1_000_000)
        }
        Act::Call { contract, value, gas } => {
            let to = TxKind::Call(address(contract / 4 * 4));
            (to, u64::from(*value), Bytes::new(), u64::from(*gas))
        }
    };
    let tx = TxEip1559 {
        chain_id: 7357,
        nonce,
        gas_limit,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 3,
        to,
        value: U256::from(value),
        input,
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::from(sender + 1), U256::ONE, false);
    let envelope = TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature));
    Transaction::new_unchecked(envelope, signer(sender).address())
}

/// State root of everything in revm's own database, by alloy-trie.
fn reference_root(db: &CacheDB<EmptyDB>) -> B256 {
    let accounts = db.cache.accounts.iter().filter_map(|(address, account)| {
        let exists = account.account_state != AccountState::NotExisting;
        (exists && !account.info.is_empty()).then(|| {
            let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
            let storage: BTreeMap<B256, U256> =
                slots.map(|(slot, value)| (B256::from(*slot), *value)).collect();
            let account = TrieAccount {
                nonce: account.info.nonce,
                balance: account.info.balance,
                storage_root: storage_root_unhashed(storage),
                code_hash: account.info.code_hash,
            };
            (*address, account)
        })
    });
    state_root_unhashed(accounts.collect::<Vec<_>>())
}

type ReferenceEvm<'a> = revm::MainnetEvm<revm::handler::MainnetContext<&'a mut CacheDB<EmptyDB>>>;

struct Reference {
    db: CacheDB<EmptyDB>,
}

impl Reference {
    fn new() -> Self {
        let mut db = CacheDB::new(EmptyDB::default());
        for (address, balance) in genesis().balances {
            db.insert_account_info(address, AccountInfo { balance, ..AccountInfo::default() });
        }
        for (address, account) in genesis().accounts {
            let info = AccountInfo { nonce: account.nonce, ..AccountInfo::default() };
            db.insert_account_info(address, info.with_code(Bytecode::new_raw(account.code)));
        }
        Self { db }
    }

    /// Runs a block and returns (gas used, success, number of logs) per transaction.
    fn run(&mut self, block: &Block) -> Vec<(u64, bool, usize)> {
        let header = block.header.inner();
        self.db.cache.block_hashes.insert(U256::from(header.number - 1), header.parent_hash);
        let environment = BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap(),
            prevrandao: Some(header.mix_hash),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 1,
            }),
            ..BlockEnv::default()
        };
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .with_block(environment)
            .with_cfg(CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(7357))
            .build_mainnet();
        let call = |evm: &mut ReferenceEvm<'_>, contract, input: Bytes| {
            let called = evm.system_call_with_caller(SYSTEM_ADDRESS, contract, input);
            evm.ctx.journaled_state.database.commit(called.unwrap().state);
        };
        call(&mut evm, eip4788::BEACON_ROOTS_ADDRESS, B256::ZERO.0.into());
        call(&mut evm, eip2935::HISTORY_STORAGE_ADDRESS, header.parent_hash.0.into());
        let results = block
            .transactions
            .iter()
            .map(|tx| {
                let tx = <TxEnv as alloy_evm::FromRecoveredTx<TxEnvelope>>::from_recovered_tx(
                    tx.inner(),
                    tx.signer(),
                );
                let result = evm.transact_commit(tx).unwrap();
                (result.tx_gas_used(), result.is_success(), result.logs().len())
            })
            .collect();
        call(&mut evm, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new());
        call(&mut evm, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, Bytes::new());
        results
    }
}

fn options() -> StoreOptions {
    StoreOptions { cache_bytes: 8 << 20, history_blocks: 1000, ..StoreOptions::default() }
}

/// A store with the genesis, and its commitment.
fn fresh() -> (Store, Commitment) {
    let store = Store::in_memory(&options()).unwrap();
    let first = genesis().execute().unwrap();
    store.commit(&first.block, &first.receipts, &first.diff).unwrap();
    let commitment = Commitment::load(&store.snapshot().unwrap()).unwrap();
    (store, commitment)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_execute_as_in_plain_revm(blocks in vec(vec(act(), 0..12), 1..6)) {
        let spec = genesis().spec();
        let (store, mut commitment) = fresh();
        let (other_store, mut other_commitment) = fresh();
        let mut reference = Reference::new();
        let mut nonces = [0_u64; SENDERS as usize];
        let mut past = Vec::new();
        for (number, acts) in (1_u8..).zip(blocks) {
            let snapshot = store.snapshot().unwrap();
            let parent = snapshot.head().unwrap().unwrap();
            let attributes = BlockAttributes {
                timestamp: parent.timestamp + 2,
                beneficiary: Address::repeat_byte(0xbe),
                prev_randao: B256::repeat_byte(number),
                gas_limit: parent.gas_limit,
                ..BlockAttributes::default()
            };
            let mut builder = BlockBuilder::new(&spec, &parent, attributes, &snapshot).unwrap();
            for (sender, act) in &acts {
                let nonce = &mut nonces[usize::from(*sender)];
                builder.add(transaction(*sender, *nonce, act)).unwrap().unwrap();
                *nonce += 1;
            }
            let (executed, advance) = builder.seal(&mut commitment, &snapshot).unwrap();
            let expected = reference.run(&executed.block);
            let got: Vec<_> = executed
                .receipts
                .iter()
                .map(|r| (r.gas_used, r.success(), r.envelope().logs().len()))
                .collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(executed.block.header.state_root, reference_root(&reference.db));
            store.commit(&executed.block, &executed.receipts, &executed.diff).unwrap();
            commitment.adopt(advance);
            // Writing it again changes nothing; another block in its place, or one that does not
            // follow, is refused.
            store.commit(&executed.block, &executed.receipts, &executed.diff).unwrap();
            for change in [|h: &mut Header| h.timestamp += 1, |h: &mut Header| h.number += 2] {
                let mut header = executed.block.header.inner().clone();
                change(&mut header);
                let other = Block::new(header.seal_slow(), Vec::new());
                prop_assert!(store.commit(&other, &[], &Default::default()).is_err());
            }

            // Another node repeats the block and agrees.
            let other = other_store.snapshot().unwrap();
            let (repeated, advance) = execute(
                &spec, &parent, &executed.block, &other, &mut other_commitment, &other,
            ).unwrap();
            prop_assert_eq!(&repeated.diff, &executed.diff);
            other_store.commit(&repeated.block, &repeated.receipts, &repeated.diff).unwrap();
            other_commitment.adopt(advance);
            past.push((u64::from(number), reference.db.cache.accounts.clone()));
        }
        // The tries rebuilt from what is stored give the same root.
        let snapshot = store.snapshot().unwrap();
        let rebuilt = Commitment::load(&snapshot).unwrap();
        prop_assert_eq!(rebuilt.accounts().root(), snapshot.head().unwrap().unwrap().state_root);
        // Every earlier state reads as it was.
        for (number, accounts) in past {
            let state = snapshot.state_at(number).unwrap();
            for (address, account) in accounts {
                let found = state.account(&address).unwrap().unwrap_or_default();
                prop_assert_eq!(found.balance, account.info.balance);
                prop_assert_eq!(found.nonce, account.info.nonce);
                for (slot, value) in account.storage {
                    prop_assert_eq!(state.storage(&address, &slot).unwrap(), value);
                }
            }
        }
    }
}

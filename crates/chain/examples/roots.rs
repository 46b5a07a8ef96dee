//! Measures state roots: CPU and wall time per block and per changed key at many accounts, cold
//! start, and memory.
//!
//! `cargo run --release -p tilth-chain --example roots -- [ACCOUNTS] [THREADS]`. CPU
//! time is that of one thread, the default; with more look at the wall time. A block of N ERC-20
//! transfers changes N senders' accounts, the contract's, and 2 N of its slots. Accounts and slots
//! are as many as asked for (300,000). Prints one line per figure, and all of them as JSON in the last line, beside
//! alloy-trie's hash builder, which makes both tries anew.

use std::{collections::BTreeMap, time::Instant};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tilth_chain::{
    block::{Block, SealedHeader},
    state::{AccountDiff, AccountState, Commitment, SlotDiff, StateCommitment, StateDiff},
    store::{Store, StoreOptions},
};

const CONTRACT: Address = Address::repeat_byte(0xcc);

/// Blocks measured per size.
const ROUNDS: u64 = 12;

/// The state as the blocks know it: enough to make diffs.
struct World {
    balances: Vec<u64>,
    slots: Vec<u64>,
    contract: AccountState,
    random: u64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(Ok(300_000), |text| text.parse())?;
    let threads: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("tilth-roots-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = measure(&dir.join("chain.redb"), count, threads);
    std::fs::remove_dir_all(&dir)?;
    outcome
}

fn measure(path: &std::path::Path, count: u64, threads: usize) -> Result<()> {
    let size = usize::try_from(count)?;
    let mut world = World {
        balances: vec![0; size],
        slots: vec![0; size],
        contract: AccountState { nonce: 1, ..AccountState::default() },
        random: 0x9e37_79b9_7f4a_7c15,
    };
    let store = Store::open(path, &StoreOptions::default())?;
    let mut commitment = Commitment::default();
    let start = Instant::now();
    let mut first = world.diff((0..count).collect(), (0..count).collect())?;
    let (root, advance) = commitment.advance(&mut first, &store.snapshot()?)?;
    commit(&store, &first, root, 0)?;
    commitment.adopt(advance);
    world.note(&first)?;
    println!("{count} accounts and slots written in {:?}", start.elapsed());
    store.save_tries(&mut commitment)?;
    drop((store, commitment));

    let start = Instant::now();
    let store = Store::open(path, &StoreOptions::default())?;
    let commitment = store.commitment()?;
    println!("cold start: {:?}, {} trie nodes in memory", start.elapsed(), commitment.resident());
    let mut commitment = commitment.with_threads(threads);
    let mut number = 1;
    let mut figures = serde_json::Map::new();
    for transfers in [100, 1_000, 5_000] {
        let cost = blocks(&store, &mut commitment, &mut world, &mut number, transfers)?;
        figures.insert(transfers.to_string(), json!(cost));
    }
    println!("{} trie nodes in memory", commitment.resident());
    let unsaved = commitment.unsaved_keys();
    let root = commitment.accounts().root();
    drop((store, commitment));
    let start = Instant::now();
    let store = Store::open(path, &StoreOptions::default())?;
    let commitment = store.commitment()?;
    println!("start {unsaved} changes after the last save: {:?}", start.elapsed());
    ensure!(commitment.accounts().root() == root, "another root after opening");
    let (anew, anew_root) = world.anew()?;
    ensure!(anew_root == root, "alloy-trie gives another root");
    println!("alloy-trie, both tries anew: {:.0} ms CPU", anew * 1e3);
    println!("{}", json!({ "us_per_key": figures, "anew_seconds": anew, "accounts": count }));
    Ok(())
}

/// Makes blocks of so many transfers; returns the CPU time per changed key in microseconds.
fn blocks(
    store: &Store,
    commitment: &mut Commitment,
    world: &mut World,
    number: &mut u64,
    transfers: u64,
) -> Result<f64> {
    let (mut cpu, mut wall, mut keys) = (0.0, 0.0, 0);
    for round in 0..ROUNDS + 1 {
        let mut diff = world.transfers(transfers)?;
        let slots: usize = diff.accounts.values().map(|account| account.slots.len()).sum();
        let changed = diff.accounts.len() + slots;
        let snapshot = store.snapshot()?;
        let (cpu_before, start) = (cpu_seconds()?, Instant::now());
        let (root, advance) = commitment.advance(&mut diff, &snapshot)?;
        // The first block finds nothing in memory and is shown by itself.
        let (cpu_now, wall_now) = (cpu_seconds()? - cpu_before, start.elapsed().as_secs_f64());
        if round == 0 {
            let (cpu_now, wall_now) = (cpu_now * 1e3, wall_now * 1e3);
            println!("{transfers} transfers, first: {cpu_now:.1} ms CPU, {wall_now:.1} ms wall");
        } else {
            (cpu, wall, keys) = (cpu + cpu_now, wall + wall_now, keys + changed);
        }
        commit(store, &diff, root, *number)?;
        world.note(&diff)?;
        let cpu_before = cpu_seconds()?;
        commitment.adopt(advance);
        if round > 0 {
            // Dropping what the step replaced is part of its cost.
            cpu += cpu_seconds()? - cpu_before;
        }
        *number += 1;
    }
    let (blocks, keys) = (f64::from(u32::try_from(ROUNDS)?), f64::from(u32::try_from(keys)?));
    let cost = cpu / keys * 1e6;
    println!(
        "{transfers} transfers, {:.0} keys: {:.1} ms CPU, {:.1} ms wall; {cost:.2} us CPU per key",
        keys / blocks,
        cpu / blocks * 1e3,
        wall / blocks * 1e3,
    );
    Ok(cost)
}

fn commit(store: &Store, diff: &StateDiff, state_root: B256, number: u64) -> Result<()> {
    let header = alloy_consensus::Header { number, state_root, ..Default::default() };
    let hash = keccak256(alloy_rlp::encode(&header));
    let block = Block {
        header: SealedHeader::new_unchecked(header, hash),
        transactions: Vec::new(),
        ommers: Vec::new(),
        withdrawals: None,
    };
    Ok(store.commit(&block, &[], diff)?)
}

fn address(index: u64) -> Address {
    Address::left_padding_from(&(index + 1).to_be_bytes())
}

impl World {
    fn chance(&mut self, below: usize) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1) as u64
    }

    fn transfers(&mut self, count: u64) -> Result<StateDiff> {
        let size = self.balances.len();
        let senders: Vec<u64> = (0..count).map(|_| self.chance(size)).collect();
        let receivers = (0..count).map(|_| self.chance(size)).collect::<Vec<u64>>();
        let slots = senders.iter().chain(&receivers).copied().collect();
        self.diff(senders, slots)
    }

    fn account(balance: u64) -> Option<AccountState> {
        let state = AccountState { balance: U256::from(balance) << 40, ..AccountState::default() };
        (balance > 0).then_some(state)
    }

    /// The next diff, which the world takes as done.
    fn diff(&mut self, mut senders: Vec<u64>, mut slots: Vec<u64>) -> Result<StateDiff> {
        let mut accounts = BTreeMap::new();
        senders.sort_unstable();
        senders.dedup();
        for sender in senders {
            let balance = self.balances.get_mut(usize::try_from(sender)?).context("an account")?;
            let before = Self::account(*balance);
            *balance += 1;
            let (after, address) = (Self::account(*balance), address(sender));
            let diff = AccountDiff { address, before, after, slots: BTreeMap::new() };
            accounts.insert(keccak256(address), diff);
        }
        slots.sort_unstable();
        slots.dedup();
        let mut changed = BTreeMap::new();
        for slot in slots {
            let value = self.slots.get_mut(usize::try_from(slot)?).context("a slot")?;
            let before = U256::from(*value) << 70;
            *value += 1;
            let after = U256::from(*value) << 70;
            changed.insert(keccak256(slot.to_be_bytes()), SlotDiff { before, after });
        }
        let is_new = self.contract.storage_root == EMPTY_ROOT_HASH;
        let before = (!is_new).then_some(self.contract);
        let after = Some(self.contract);
        let diff = AccountDiff { address: CONTRACT, before, after, slots: changed };
        accounts.insert(keccak256(CONTRACT), diff);
        Ok(StateDiff { accounts, codes: BTreeMap::new() })
    }

    /// CPU seconds in which alloy-trie makes both tries from their sorted leaves, and the root.
    fn anew(&mut self) -> Result<(f64, B256)> {
        let root = |leaves: BTreeMap<B256, Vec<u8>>| -> Result<(f64, B256)> {
            let before = cpu_seconds()?;
            let mut builder = HashBuilder::default();
            for (key, value) in &leaves {
                builder.add_leaf(Nibbles::unpack(key), value);
            }
            let root = builder.root();
            Ok((cpu_seconds()? - before, root))
        };
        let slots = self.slots.iter().zip(0_u64..).filter(|(value, _)| **value > 0);
        let (storage, storage_root) = root(
            slots
                .map(|(value, slot)| {
                    (keccak256(slot.to_be_bytes()), alloy_rlp::encode(U256::from(*value) << 70))
                })
                .collect(),
        )?;
        self.contract.storage_root = storage_root;
        let accounts = self.balances.iter().zip(0..).filter_map(|(balance, index)| {
            Some((keccak256(address(index)), alloy_rlp::encode(Self::account(*balance)?)))
        });
        let contract = (keccak256(CONTRACT), alloy_rlp::encode(self.contract));
        let (accounts, root) = root(accounts.chain([contract]).collect())?;
        Ok((storage + accounts, root))
    }

    /// Takes over the storage root that a step has computed.
    fn note(&mut self, diff: &StateDiff) -> Result<()> {
        let diff = diff.accounts.get(&keccak256(CONTRACT)).context("the contract")?;
        self.contract = diff.after.context("the contract stays")?;
        Ok(())
    }
}

/// CPU time of this thread, in seconds. With more threads it is only this thread's share.
fn cpu_seconds() -> Result<f64> {
    // The count is brought up to date at every tick, and when the thread gives up its processor.
    std::thread::sleep(std::time::Duration::from_micros(50));
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = stat.split(' ').next().context("run time")?.parse()?;
    Ok(std::time::Duration::from_nanos(nanoseconds).as_secs_f64())
}

//! Blocks executed from their witnesses alone.

use std::{collections::HashMap, sync::Arc};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::TxKind,
    signers::{SignerSync, local::PrivateKeySigner},
};
use alloy_rlp::Header as RlpHeader;
use alloy_trie::KECCAK_EMPTY;

use super::*;
use crate::{
    Forks, Genesis, GenesisAccount, Limits,
    clock::Clock,
    node::Node,
    state::{StateCommitment, StateDiff, TrieSource, analysed, decode_account},
    store::{Store, StoreOptions},
};

/// A trie of which some nodes are known by their hashes and loaded when the way leads there.
enum Partial {
    Empty,
    Hash(B256),
    Leaf(Vec<u8>, Vec<u8>),
    Extension(Vec<u8>, Box<Partial>),
    Branch(Box<[Partial; 16]>),
}

type Known = HashMap<B256, Bytes>;

impl Partial {
    /// A child as a node's RLP refers to it: by hash, or whole.
    fn child(rlp: &[u8]) -> Self {
        match rlp {
            [0x80] => Self::Empty,
            [0xa0, hash @ ..] if hash.len() == 32 => Self::Hash(B256::from_slice(hash)),
            whole => Self::read(whole),
        }
    }

    fn read(rlp: &[u8]) -> Self {
        match node(rlp).unwrap() {
            TrieNode::EmptyRoot => Self::Empty,
            TrieNode::Leaf(leaf) => Self::Leaf(leaf.key.to_vec(), Vec::from(&leaf.value[..])),
            TrieNode::Extension(node) => {
                Self::Extension(node.key.to_vec(), Box::new(Self::child(&node.child)))
            }
            TrieNode::Branch(branch) => {
                let mut stack = branch.stack.iter();
                Self::Branch(Box::new(std::array::from_fn(|nibble| {
                    if branch.state_mask.is_bit_set(u8::try_from(nibble).unwrap()) {
                        Self::child(stack.next().unwrap())
                    } else {
                        Self::Empty
                    }
                })))
            }
        }
    }

    fn loaded(self, known: &Known) -> Self {
        let Self::Hash(hash) = self else { return self };
        Self::read(known.get(&hash).unwrap_or_else(|| panic!("node {hash} is not in the witness")))
    }

    fn get(&self, path: &[u8], known: &Known) -> Option<Vec<u8>> {
        match self {
            Self::Empty => None,
            Self::Hash(hash) => Self::Hash(*hash).loaded(known).get(path, known),
            Self::Leaf(rest, value) => (rest == path).then(|| value.clone()),
            Self::Extension(start, child) => child.get(path.strip_prefix(&start[..])?, known),
            Self::Branch(children) => children[usize::from(path[0])].get(&path[1..], known),
        }
    }

    fn put(self, path: &[u8], value: Vec<u8>, known: &Known) -> Self {
        match self.loaded(known) {
            Self::Empty => Self::Leaf(path.to_vec(), value),
            Self::Leaf(rest, _) if rest == path => Self::Leaf(rest, value),
            Self::Leaf(rest, old) => {
                let (first, below) = (rest[shared(&rest, path)], &rest[shared(&rest, path) + 1..]);
                let other = Self::Leaf(below.to_vec(), old);
                Self::fork(shared(&rest, path), first, other, path, value)
            }
            Self::Extension(start, child) if path.starts_with(&start) => {
                let child = child.put(&path[start.len()..], value, known);
                Self::Extension(start, Box::new(child))
            }
            Self::Extension(start, child) => {
                let at = shared(&start, path);
                let other = Self::joined(&start[at + 1..], *child, known);
                Self::fork(at, start[at], other, path, value)
            }
            Self::Branch(mut children) => {
                let child = &mut children[usize::from(path[0])];
                *child = std::mem::replace(child, Self::Empty).put(&path[1..], value, known);
                Self::Branch(children)
            }
            Self::Hash(_) => unreachable!("loaded"),
        }
    }

    /// A branch at depth `at` of `path`, with `other` under `first` and the new value.
    fn fork(at: usize, first: u8, other: Self, path: &[u8], value: Vec<u8>) -> Self {
        let mut children: [Self; 16] = std::array::from_fn(|_| Self::Empty);
        children[usize::from(first)] = other;
        children[usize::from(path[at])] = Self::Leaf(path[at + 1..].to_vec(), value);
        let branch = Self::Branch(Box::new(children));
        if at == 0 { branch } else { Self::Extension(path[..at].to_vec(), Box::new(branch)) }
    }

    fn remove(self, path: &[u8], known: &Known) -> Self {
        match self.loaded(known) {
            Self::Leaf(rest, _) if rest == path => Self::Empty,
            Self::Extension(start, child) if path.starts_with(&start) => {
                let child = child.remove(&path[start.len()..], known);
                Self::joined(&start, child, known)
            }
            Self::Branch(mut children) => {
                let child = &mut children[usize::from(path[0])];
                *child = std::mem::replace(child, Self::Empty).remove(&path[1..], known);
                let is_there = |child: &Self| !matches!(child, Self::Empty);
                let left: Vec<usize> = (0..16).filter(|i| is_there(&children[*i])).collect();
                match left[..] {
                    [only] => {
                        let child = std::mem::replace(&mut children[only], Self::Empty);
                        Self::joined(&[u8::try_from(only).unwrap()], child, known)
                    }
                    _ => Self::Branch(children),
                }
            }
            other => other,
        }
    }

    /// What hangs below a piece of a path: one node, if that can be.
    fn joined(start: &[u8], child: Self, known: &Known) -> Self {
        if start.is_empty() {
            return child;
        }
        match child.loaded(known) {
            Self::Empty => Self::Empty,
            Self::Leaf(rest, value) => Self::Leaf([start, &rest].concat(), value),
            Self::Extension(rest, child) => Self::Extension([start, &rest].concat(), child),
            branch => Self::Extension(start.to_vec(), Box::new(branch)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let items: Vec<Vec<u8>> = match self {
            Self::Empty => return vec![0x80],
            Self::Hash(hash) => return alloy_rlp::encode(hash),
            Self::Leaf(rest, value) => {
                vec![alloy_rlp::encode(&compact(rest, 2)[..]), alloy_rlp::encode(&value[..])]
            }
            Self::Extension(start, child) => {
                vec![alloy_rlp::encode(&compact(start, 0)[..]), child.reference()]
            }
            Self::Branch(children) => {
                children.iter().map(Self::reference).chain([vec![0x80]]).collect()
            }
        };
        let content = items.concat();
        let mut rlp = Vec::new();
        RlpHeader { list: true, payload_length: content.len() }.encode(&mut rlp);
        [rlp, content].concat()
    }

    fn reference(&self) -> Vec<u8> {
        let rlp = self.encode();
        if rlp.len() < 32 || matches!(self, Self::Hash(_)) {
            rlp
        } else {
            alloy_rlp::encode(keccak256(&rlp))
        }
    }

    fn root(&self) -> B256 {
        match self {
            Self::Hash(hash) => *hash,
            other => keccak256(other.encode()),
        }
    }
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Hex prefix encoding of a path.
fn compact(path: &[u8], flag: u8) -> Vec<u8> {
    let (first, rest) = match path.len() % 2 {
        0 => (flag << 4, path),
        _ => ((flag + 1) << 4 | path[0], &path[1..]),
    };
    let pairs = rest.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    std::iter::once(first).chain(pairs).collect()
}

fn nibbles(key: &B256) -> Vec<u8> {
    Nibbles::unpack(key).to_vec()
}

fn trie(root: &B256) -> Partial {
    if *root == EMPTY_ROOT_HASH { Partial::Empty } else { Partial::Hash(*root) }
}

/// The state that a witness holds.
struct Stateless {
    root: B256,
    nodes: Known,
    codes: Known,
    hashes: HashMap<u64, B256>,
}

impl Stateless {
    fn account_of(&self, key: &B256) -> Option<AccountState> {
        let leaf = trie(&self.root).get(&nibbles(key), &self.nodes);
        leaf.map(|rlp| decode_account(&rlp).unwrap())
    }

    /// The root after changes: what is set comes first, so that no deletion leads further than it must.
    fn root_after(&self, diff: &StateDiff) -> B256 {
        let mut accounts = trie(&self.root);
        for deletions in [false, true] {
            for (key, account) in &diff.accounts {
                let path = nibbles(key);
                match account.after {
                    Some(mut after) if !deletions => {
                        after.storage_root = self.storage_after(account.before, account);
                        accounts = accounts.put(&path, alloy_rlp::encode(after), &self.nodes);
                    }
                    None if deletions => accounts = accounts.remove(&path, &self.nodes),
                    _ => {}
                }
            }
        }
        accounts.root()
    }

    fn storage_after(
        &self,
        before: Option<AccountState>,
        account: &crate::state::AccountDiff,
    ) -> B256 {
        let root = before.map_or(EMPTY_ROOT_HASH, |before| before.storage_root);
        let mut slots = trie(&root);
        for (slot, value) in account.slots.iter().filter(|(_, slot)| !slot.after.is_zero()) {
            slots = slots.put(&nibbles(slot), alloy_rlp::encode(value.after), &self.nodes);
        }
        for (slot, _) in account.slots.iter().filter(|(_, slot)| slot.after.is_zero()) {
            slots = slots.remove(&nibbles(slot), &self.nodes);
        }
        slots.root()
    }
}

impl StateReader for Stateless {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        Ok(self.account_of(&keccak256(address)))
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let account = self.account(address)?.unwrap_or_default();
        let path = nibbles(&keccak256(slot.to_be_bytes::<32>()));
        let leaf = trie(&account.storage_root).get(&path, &self.nodes);
        Ok(leaf.map_or(U256::ZERO, |rlp| alloy_rlp::decode_exact(rlp).unwrap()))
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        if *hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        Ok(analysed(self.codes[hash].clone()))
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.hashes[&number])
    }
    fn storage_entries(&self, _: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        // Of an account that is destroyed; it is gone as a whole.
        Ok(Vec::new())
    }
}

/// Keeps what it is given; the root is computed afterwards.
struct Kept(Option<StateDiff>);

impl StateCommitment for Kept {
    type Advance = ();
    fn advance(
        &mut self,
        diff: &mut StateDiff,
        _: &impl TrieSource,
    ) -> Result<(B256, ()), StateError> {
        self.0 = Some(diff.clone());
        Ok((B256::ZERO, ()))
    }
    fn adopt(&mut self, (): ()) {}
}

fn by_hash(all: &BTreeSet<Bytes>) -> Known {
    all.iter().map(|bytes| (keccak256(bytes), bytes.clone())).collect()
}

/// Executes a block from its witness, and compares the root. Returns how many nodes it took.
fn check(node: &Node, number: u64) -> usize {
    let head = node.head();
    let parent = head.snapshot.header(number - 1).unwrap().unwrap();
    let block = head.block(number).unwrap().unwrap();
    let state = head.snapshot.state_at(number - 1).unwrap();
    let witness = witness(&node.spec, &head, &parent, &block, state).unwrap();
    let headers = witness.first_header..number;
    let stateless = Stateless {
        root: parent.state_root,
        nodes: by_hash(&witness.nodes),
        codes: by_hash(&witness.codes),
        hashes: headers.map(|n| (n, head.snapshot.hash_of(n).unwrap().unwrap())).collect(),
    };
    let attributes = BlockAttributes::of_block(&block);
    let mut builder = BlockBuilder::new(&node.spec, &parent, attributes, &stateless).unwrap();
    for transaction in &block.transactions {
        builder.add(transaction.clone()).unwrap().unwrap();
    }
    let mut kept = Kept(None);
    let (executed, ()) = builder.seal(&mut kept, &head.snapshot).unwrap();
    assert_eq!(executed.block.header.receipts_root, block.header.receipts_root);
    let root = stateless.root_after(&kept.0.unwrap());
    assert_eq!(root, block.header.state_root, "block {number}");
    witness.nodes.len()
}

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap()
}

fn register() -> Address {
    Address::repeat_byte(0xaa)
}

fn fleeting(index: u8) -> Address {
    Address::with_last_byte(index)
}

/// Before Cancun, so that accounts can be destroyed. `register` looks five blocks back and stores its
/// second word under its first; each `fleeting` destroys itself.
fn chain() -> Node {
    let account = |code: &[u8]| GenesisAccount {
        nonce: 1,
        code: Bytes::copy_from_slice(code),
        ..GenesisAccount::default()
    };
    let register_code = alloy_primitives::hex!("6005430340506020356000355500");
    let mut accounts: BTreeMap<_, _> = [(register(), account(&register_code))].into();
    accounts.extend((0x20..0x40).map(|index| (fleeting(index), account(&[0x33, 0xff]))));
    let genesis = Genesis {
        chain_id: 5,
        forks: Forks { cancun: None, prague: None, osaka: None, ..Forks::all() },
        base_fee: 7,
        balances: vec![(signer().address(), U256::from(1_u128 << 100))],
        accounts,
        ..Genesis::default()
    };
    let store = Store::in_memory(&StoreOptions::default()).unwrap();
    let clock = Clock::manual(1_800_000_000);
    Node::open(store, &genesis, Limits::default(), clock, Address::ZERO).unwrap()
}

fn send(node: &Node, nonce: &mut u64, to: Address, input: Vec<u8>) {
    let tx = TxEip1559 {
        chain_id: 5,
        nonce: *nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 1000,
        to: TxKind::Call(to),
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
    let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
    node.submit(&raw).unwrap();
    *nonce += 1;
}

#[test]
fn blocks_are_executed_from_their_witnesses_alone() {
    let node = chain();
    let (mut nonce, mut random) = (0, 1_u64);
    let mut next = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % bound
    };
    let word = |value: u64| U256::from(value).to_be_bytes::<32>();
    for number in 1..=48_u8 {
        for _ in 0..6 {
            let (slot, value) = (next(24), next(3).saturating_sub(1));
            send(&node, &mut nonce, register(), [word(slot), word(value)].concat());
        }
        if (9..41).contains(&number) {
            send(&node, &mut nonce, fleeting(0x20 + number - 9), Vec::new());
        }
        let head: Arc<Head> = node.produce(true).unwrap().unwrap();
        assert!(!head.block(number.into()).unwrap().unwrap().transactions.is_empty());
        check(&node, number.into());
    }
    // Those of earlier blocks, too; an empty block needs the root alone.
    for number in [1, 5, 17, 30] {
        check(&node, number);
    }
    let empty = node.produce(true).unwrap().unwrap();
    assert_eq!(check(&node, empty.header.number), 1);
}

//! Chains of blocks, valid and not: every block against its parent, whatever branch it is on, and
//! the same blocks once more through the importer.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256, map::HashMap};
use serde::Deserialize;
use tilth_chain::{
    Block, ChainSpec, Config, Forks, Genesis, GenesisHeader, Production, StoredChain,
    execution::{Ancestor, OMMER_DEPTH, check_merge, check_ommers, execute},
    state::{Commitment, Layer, Nothing, StateCommitment as _},
    transfer::BlockFile,
};

use crate::{
    rules::network,
    source::TestFile,
    tally::Tally,
    world::{Accounts, Quantity, World, genesis_accounts},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChainTest {
    network: String,
    genesis_block_header: FirstHeader,
    pre: Accounts,
    blocks: Vec<TestBlock>,
    lastblockhash: B256,
    post_state: Option<Accounts>,
    post_state_hash: Option<B256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstHeader {
    hash: B256,
    parent_hash: B256,
    coinbase: Address,
    difficulty: Quantity,
    gas_limit: Quantity,
    timestamp: Quantity,
    extra_data: Bytes,
    mix_hash: B256,
    nonce: Quantity,
    base_fee_per_gas: Option<Quantity>,
    #[serde(default)]
    excess_blob_gas: Quantity,
    #[serde(default)]
    blob_gas_used: Quantity,
}

#[derive(Deserialize)]
struct TestBlock {
    rlp: String,
    /// Of a valid block alone.
    #[serde(rename = "blockHeader")]
    header: Option<HeaderHash>,
}

#[derive(Deserialize)]
struct HeaderHash {
    hash: B256,
}

/// What went through the importer.
#[derive(Default)]
pub struct Fed {
    pub taken: u64,
    pub refused: u64,
}

/// Runs all tests of a file, and adds to `fed` what the importer did.
pub fn run(file: &TestFile, tally: &mut Tally, fed: &mut Fed) {
    let tests: BTreeMap<String, ChainTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no blockchain test: {error}", file.path));
    for (name, test) in tests {
        match network(&test.network) {
            Some(spec) => {
                let case = format!("{} {name}", file.path);
                tally.case(&case, || test.check(spec, fed));
            }
            None => tally.leave_out(format!("the fork {} is not known", test.network), 1),
        }
    }
}

impl ChainTest {
    fn check(&self, spec: ChainSpec, fed: &mut Fed) -> Result<(), String> {
        let genesis = self.genesis(spec.forks.clone());
        let mut tree = Tree::new(spec, &genesis)?;
        if tree.head != self.genesis_block_header.hash {
            let wanted = self.genesis_block_header.hash;
            return Err(format!("the first block has hash {}, not {wanted}", tree.head));
        }
        let importer = StoredChain::open(Config {
            production: Production::Manual,
            ..Config::in_memory(genesis)
        })
        .map_err(|error| format!("the importer does not start: {}", error.problem()))?;
        for (index, block) in self.blocks.iter().enumerate() {
            let rlp: Bytes = block.rlp.parse().unwrap_or_default();
            let taken = tree.take(&rlp);
            let wanted = block.header.as_ref().map(|header| header.hash);
            match (wanted, &taken) {
                (Some(_), Err(reason)) => return Err(format!("block {index} refused: {reason}")),
                (None, Ok(hash)) => return Err(format!("block {index} accepted: {hash}")),
                (Some(wanted), Ok(hash)) if wanted != *hash => {
                    return Err(format!("block {index} has hash {hash}, not {wanted}"));
                }
                (Some(_), Ok(_)) | (None, Err(_)) => {}
            }
            feed(&importer, &tree, &rlp, taken.ok(), fed)
                .map_err(|reason| format!("block {index} at the importer: {reason}"))?;
        }
        if tree.head != self.lastblockhash {
            return Err(format!("the head is {}, not {}", tree.head, self.lastblockhash));
        }
        let wanted = match (&self.post_state, self.post_state_hash) {
            (Some(accounts), _) => World::of(accounts)?.root,
            (None, Some(root)) => root,
            (None, None) => return Err("the test says nothing of the state".to_owned()),
        };
        let root = tree.known[&tree.head].block.header.state_root;
        if root == wanted { Ok(()) } else { Err(format!("state root {root}, not {wanted}")) }
    }

    fn genesis(&self, forks: Forks) -> Genesis {
        let header = &self.genesis_block_header;
        Genesis {
            chain_id: 1,
            forks,
            timestamp: header.timestamp.small(),
            gas_limit: header.gas_limit.small(),
            base_fee: header.base_fee_per_gas.unwrap_or_default().small(),
            balances: Vec::new(),
            accounts: genesis_accounts(&self.pre),
            predeploys: Vec::new(),
            header: GenesisHeader {
                nonce: header.nonce.small(),
                difficulty: header.difficulty.0,
                mix_hash: header.mix_hash,
                coinbase: header.coinbase,
                extra_data: header.extra_data.clone(),
                parent_hash: header.parent_hash,
                excess_blob_gas: header.excess_blob_gas.small(),
                blob_gas_used: header.blob_gas_used.small(),
            },
        }
    }
}

/// Gives a block to the importer, which must take it if it is valid and follows the importer's head,
/// and otherwise refuse it and stay where it is.
fn feed(
    importer: &StoredChain,
    tree: &Tree,
    rlp: &[u8],
    valid: Option<B256>,
    fed: &mut Fed,
) -> Result<(), String> {
    let before = importer.head().hash();
    let follows = valid.filter(|hash| tree.known[hash].block.header.parent_hash == before);
    let outcome = importer.import(rlp, |_| ());
    let after = importer.head().hash();
    match (follows, outcome) {
        (Some(hash), Ok(progress)) if progress.blocks == 1 && after == hash => fed.taken += 1,
        (Some(_), Ok(progress)) => return Err(format!("{progress:?}, head {after}")),
        (Some(_), Err(error)) => return Err(format!("refused: {error:?}")),
        (None, outcome) if after != before => {
            return Err(format!("the head moved to {after}: {outcome:?}"));
        }
        // A block that the importer has already.
        (None, Ok(progress)) if valid.is_some() && progress.blocks == 0 => {}
        (None, Ok(progress)) => return Err(format!("accepted: {progress:?}")),
        (None, Err(_)) => fed.refused += 1,
    }
    Ok(())
}

/// All valid blocks that were seen, with the state after each.
struct Tree {
    spec: ChainSpec,
    known: HashMap<B256, Known>,
    head: B256,
}

#[derive(Clone)]
struct Known {
    block: Block,
    /// Difficulty of the block and all before it.
    total: U256,
    state: Layer<Nothing>,
    commitment: Commitment,
}

impl Tree {
    fn new(spec: ChainSpec, genesis: &Genesis) -> Result<Self, String> {
        let made = genesis.execute().map_err(|error| format!("the first block: {error:?}"))?;
        let mut state = Layer::new(Nothing);
        state.absorb(&made.block.header, &made.diff);
        let commitment = Commitment::load(&state).map_err(|error| error.to_string())?;
        let head = made.block.header.hash();
        let total = made.block.header.difficulty;
        let first = Known { block: made.block, total, state, commitment };
        Ok(Self { spec, known: HashMap::from_iter([(head, first)]), head })
    }

    /// Takes a valid block and returns its hash.
    fn take(&mut self, rlp: &[u8]) -> Result<B256, String> {
        let mut file = BlockFile::new(rlp, self.spec.clone());
        let block = file.next().ok_or("no block")?.map_err(|error| format!("{error:?}"))?;
        match file.next() {
            None => {}
            Some(_) => return Err("something follows the block".to_owned()),
        }
        let parent = self.known.get(&block.header.parent_hash).ok_or("unknown parent")?;
        let (hash, header) = (block.header.hash(), block.header.clone());
        let refused = |error| format!("{error:?}");
        check_ommers(&self.spec, &block, &self.ancestors(parent)).map_err(refused)?;
        check_merge(&self.spec, &parent.block.header, parent.total, &header).map_err(refused)?;
        let mut next = parent.clone();
        let (executed, advance) = execute(
            &self.spec,
            &parent.block.header,
            &block,
            &parent.state,
            &mut next.commitment,
            &parent.state,
        )
        .map_err(|error| format!("{error:?}"))?;
        next.commitment.adopt(advance);
        next.state.absorb(&executed.block.header, &executed.diff);
        next.block = executed.block;
        next.total += header.difficulty;
        // Work decides between branches, and the first one seen between equals; from the merge on
        // it is the consensus layer that decides, for the tests the last block.
        let head = &self.known[&self.head];
        if header.difficulty.is_zero() || next.total > head.total {
            self.head = hash;
        }
        self.known.insert(hash, next);
        Ok(hash)
    }

    /// A block and those before it, as far as ommers need them.
    fn ancestors(&self, last: &Known) -> Vec<Ancestor> {
        let mut next = Some(last);
        let mut ancestors = Vec::with_capacity(OMMER_DEPTH);
        while let Some(known) = next.filter(|_| ancestors.len() < OMMER_DEPTH) {
            let Block { header, ommers, .. } = &known.block;
            ancestors.push(Ancestor { header: header.clone(), ommers: ommers.clone() });
            next = self.known.get(&header.parent_hash);
        }
        ancestors
    }
}

//! Blocks on blocks that are not final, as agreement among several nodes makes them.

use std::sync::atomic::Ordering;

use alloy_consensus::Header;
use alloy_primitives::B64;
use tilth_service::metrics::Histogram;

use super::{
    branches::HELD_MAX,
    tests::{Disk, open, open_on, open_with, transfer},
    *,
};
use crate::{block::Block, execution::ProofOfWork, state::AccountState, store::StoreOptions};

/// Attributes of a child of `parent`; `salt` makes it another one. The nodes' clocks stand elsewhere.
fn attributes(parent: &SealedHeader, salt: u8) -> BlockAttributes {
    BlockAttributes {
        timestamp: parent.timestamp + 1,
        gas_limit: parent.gas_limit,
        prev_randao: B256::repeat_byte(salt),
        ..BlockAttributes::default()
    }
}

fn propose(node: &Node, parent: &SealedHeader, salt: u8) -> Block {
    let proposed = node.propose(&parent.hash(), attributes(parent, salt));
    proposed.unwrap().block.clone()
}

fn paid(node: &Node) -> Option<AccountState> {
    node.head().snapshot.account(&Address::repeat_byte(1)).unwrap()
}

#[test]
fn branches_grow_ahead_of_finality_and_one_of_them_becomes_the_chain() {
    let nodes: [Node; 3] = std::array::from_fn(|_| open(&Disk::new()));
    let [leader, follower, late] = &nodes;
    let genesis = leader.head().header.clone();
    for nonce in 0..3 {
        leader.submit(&transfer(nonce)).unwrap();
    }
    let first = propose(leader, &genesis, 1);
    assert_eq!(first.transactions.len(), 3);
    // What the first one has is not in the second again, although it still waits; on another branch it is.
    leader.submit(&transfer(3)).unwrap();
    let second = propose(leader, &first.header, 1);
    assert_eq!(second.transactions.len(), 1);
    let rival = propose(leader, &genesis, 2);
    let above_rival = propose(leader, &rival.header, 2);
    assert_eq!((rival.transactions.len(), above_rival.transactions.len()), (4, 0));
    assert_eq!((leader.head().header.number, leader.pool().len()), (0, 4));

    // Others come to the same, parents first, and each block once.
    let too_early = follower.verify(&second).unwrap_err();
    assert!(matches!(too_early, NodeError::UnknownParent(parent) if parent == first.header.hash()));
    for block in [&first, &second, &first, &rival, &second] {
        follower.verify(block).unwrap();
    }
    assert_eq!(follower.branches().len(), 3);
    let mut forged = second.clone();
    let mut header = forged.header.inner().clone();
    header.state_root = genesis.state_root;
    forged.header = SealedHeader::new(header);
    let refused = follower.verify(&forged).unwrap_err();
    assert!(matches!(refused, NodeError::Execution(ExecutionError::Mismatch { .. })), "{refused}");

    // Nothing of it shows before it is final.
    assert!(nodes.iter().all(|node| paid(node).is_none()));
    let out_of_order = follower.finalise(&second).unwrap_err();
    assert!(matches!(out_of_order, NodeError::NotNext { number: 2, head: 0 }), "{out_of_order}");
    for node in &nodes {
        // The late one has verified neither, and gets the same. Twice is once.
        for block in [&first, &first] {
            node.finalise(block).unwrap();
            assert_eq!(node.head().header.hash(), first.header.hash());
        }
        assert_eq!(paid(node).unwrap().balance, U256::from(3));
        let other = node.finalise(&rival).unwrap_err();
        assert!(matches!(other, NodeError::OtherFinal { number: 1 }), "{other}");
        assert!(matches!(node.verify(&rival), Err(NodeError::OtherFinal { number: 1 })));
        // What stands on it is next by its number, and on another chain all the same.
        for refused in [node.verify(&above_rival), node.finalise(&above_rival)] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, NodeError::OtherFinal { number: 1 }), "{refused}");
        }
        node.verify(&first).unwrap();
    }
    // The rival's branch is gone, what stands on the final block is not.
    let counts = [leader, follower, late].map(|node| node.branches().len());
    assert_eq!(counts, [1, 1, 0]);
    assert!(matches!(
        leader.propose(&rival.header.hash(), attributes(&rival.header, 3)),
        Err(NodeError::UnknownParent(_))
    ));
    assert_eq!(leader.pool().len(), 1);
    for node in &nodes {
        node.finalise(&second).unwrap();
        assert_eq!(node.head().header.hash(), second.header.hash());
        assert_eq!((paid(node).unwrap().balance, node.branches().len()), (U256::from(4), 0));
    }
    assert_eq!(leader.pool().len(), 0);
    // A solo block on top, which everybody takes as well.
    leader.submit(&transfer(4)).unwrap();
    leader.produce(false).unwrap().unwrap();
    let solo = leader.head().block(3).unwrap().unwrap();
    follower.finalise(&solo).unwrap();
    assert_eq!(follower.head().header.hash(), leader.head().header.hash());
}

#[test]
fn what_comes_and_goes_while_the_head_moves_is_held_or_not_as_it_should() {
    let (node, other) = (open(&Disk::new()), open(&Disk::new()));
    let genesis = node.head().header.clone();
    for nonce in 0..2 {
        node.submit(&transfer(nonce)).unwrap();
    }
    let first = propose(&node, &genesis, 1);
    let second = propose(&node, &first.header, 1);
    node.finalise(&first).unwrap();
    let sibling = propose(&node, &first.header, 2);

    // The head's move without the lock, and meanwhile one block goes and three come: on a block that
    // is moved, on the head, and on one of these.
    let head = node.head();
    let before = node.held();
    let moved = Branches::default().with(&head, before.values(), true);
    assert_eq!(moved.len(), 2);
    node.submit(&transfer(2)).unwrap();
    let third = propose(&node, &second.header, 1);
    let late = propose(&node, &first.header, 3);
    let above_late = propose(&node, &late.header, 3);
    node.let_go(&sibling.header.hash());
    node.adopt_branches(&head, &before, moved);
    assert_eq!(node.branches().len(), 4);
    for block in [&second, &third, &late, &above_late] {
        node.verify(block).unwrap();
    }
    assert_eq!(node.branches().len(), 4);
    let old = Arc::downgrade(&head);
    drop((head, before));
    assert_eq!(node.branches().len(), 4);

    // All of them stand on the new head, so the one before is let go with the next.
    node.finalise(&second).unwrap();
    assert!(old.upgrade().is_none(), "the state of an early block is still held");
    assert_eq!(node.branches().len(), 1);
    node.finalise(&third).unwrap();
    for block in [&first, &second, &third] {
        other.finalise(block).unwrap();
    }
    assert_eq!(node.head().header.hash(), other.head().header.hash());
    assert_eq!(paid(&node).unwrap().balance, U256::from(3));
}

#[test]
fn blocks_of_others_are_measured_as_own_ones_are() {
    let disk = Disk::new();
    let (maker, node) = (open(&Disk::new()), open(&disk));
    let mut tip = maker.head().header.clone();
    let mut blocks = Vec::new();
    for nonce in 0..4 {
        maker.submit(&transfer(nonce)).unwrap();
        let block = propose(&maker, &tip, 1);
        tip = block.header.clone();
        blocks.push(block);
    }
    let [first, second, third, last] = &blocks[..] else { panic!("not four blocks") };
    // Verified before it is final, not verified before, and imported.
    node.verify(first).unwrap();
    for block in [first, first, second] {
        node.finalise(block).unwrap();
    }
    node.import(third).unwrap();
    disk.full.store(true, Ordering::SeqCst);
    assert!(node.finalise(last).is_err());
    let counts = |node: &Node| {
        let meters = &node.meters;
        let phases = [&meters.execute, &meters.root, &meters.verify, &meters.commit];
        (phases.map(Histogram::count), meters.failed.value(), node.meters.registry.render())
    };
    let (phases, failed, rendered) = counts(&node);
    // The last was executed and compared, and could not be written.
    assert_eq!((phases, failed), ([0, 0, 4, 3], 1));
    for line in ["tilth_blocks_total 3", "tilth_transactions_total 3", "tilth_gas_total 63000"] {
        assert!(rendered.lines().any(|found| found == line), "{line} is not in\n{rendered}");
    }
    assert_eq!(counts(&maker).0, [4, 4, 0, 0]);
}

#[test]
fn a_chain_that_is_always_ahead_of_finality_keeps_no_old_states() {
    // Tries are saved and dropped from memory after about every second block.
    let options = StoreOptions {
        cache_bytes: 1 << 20,
        history_blocks: 3,
        tries_unsaved_max: 5,
        tries_nodes_max: 2,
        ..StoreOptions::default()
    };
    let disk = Disk::new();
    let node = open_on(Store::on_backend(disk.clone(), &options).unwrap()).unwrap();
    let plain = open(&Disk::new());
    let mut tip = node.head().header.clone();
    let mut waiting = std::collections::VecDeque::new();
    let mut early = None;
    for nonce in 0..40 {
        node.submit(&transfer(nonce)).unwrap();
        let block = propose(&node, &tip, 1);
        assert_eq!(block.transactions.len(), 1, "block {}", block.header.number);
        tip = block.header.clone();
        waiting.push_back(block);
        if waiting.len() > 2 {
            let block = waiting.pop_front().unwrap();
            node.finalise(&block).unwrap();
            plain.import(&block).unwrap();
            assert_eq!(node.branches().len(), 2);
        }
        if nonce == 10 {
            early = Some(Arc::downgrade(&node.head()));
        }
    }
    assert!(early.unwrap().upgrade().is_none(), "the state of an early block is still held");
    for block in waiting {
        node.finalise(&block).unwrap();
        plain.import(&block).unwrap();
    }
    assert_eq!(node.head().header.hash(), plain.head().header.hash());
    assert_eq!(node.head().header.number, 40);
    drop(node);
    // What is on disk verifies.
    let again = open_on(Store::on_backend(disk, &options).unwrap()).unwrap();
    assert_eq!(again.head().header.hash(), plain.head().header.hash());
}

#[test]
fn what_could_not_be_written_is_not_final_and_is_given_again() {
    let disk = Disk::new();
    let node = open(&disk);
    let genesis = node.head().header.clone();
    node.submit(&transfer(0)).unwrap();
    let first = propose(&node, &genesis, 1);
    let second = propose(&node, &first.header, 1);
    disk.full.store(true, Ordering::SeqCst);
    assert!(node.finalise(&first).is_err());
    assert_eq!(node.head().header.number, 0);
    assert!(node.fault().is_some());
    assert!(node.finalise(&first).is_err());
    // The database is opened again; what was held read the old one.
    disk.full.store(false, Ordering::SeqCst);
    node.finalise(&first).unwrap();
    assert_eq!(node.head().header.hash(), first.header.hash());
    node.verify(&second).unwrap();
    node.finalise(&second).unwrap();
    assert_eq!((node.head().header.number, node.fault()), (2, None));
    assert_eq!(paid(&node).unwrap().balance, U256::ONE);
}

/// Agreement that waits for a block to be verified, or has to propose one, makes none final meanwhile.
#[test]
fn a_disk_that_could_not_be_read_is_tried_again_by_those_who_only_read_it() {
    // More accounts than a page of the database has room for, and no page is kept in memory.
    let accounts = 500;
    let options = StoreOptions { cache_bytes: 0, ..StoreOptions::default() };
    let on = |disk: &Disk| {
        open_with(Store::on_backend(disk.clone(), &options).unwrap(), accounts).unwrap()
    };
    let (disk, maker) = (Disk::new(), on(&Disk::new()));
    let node = on(&disk);
    let genesis = maker.head().header.clone();
    for each in [&maker, &node] {
        each.submit(&transfer(0)).unwrap();
    }
    let block = propose(&maker, &genesis, 1);
    assert_eq!(block.transactions.len(), 1);

    let verify = || node.verify(&block);
    let again = || -> Result<(), NodeError> {
        let made = node.propose(&genesis.hash(), attributes(&genesis, 2))?;
        assert_eq!(made.block.transactions.len(), 1);
        Ok(())
    };
    let works: [&dyn Fn() -> Result<(), NodeError>; 2] = [&verify, &again];
    for (index, work) in works.into_iter().enumerate() {
        let before = node.opened_disk().unwrap();
        disk.unreadable.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let failed = work().unwrap_err();
            assert!(matches!(failed, NodeError::State(StateError::Database(_))), "{failed}");
            assert!(node.fault().is_some(), "{index}");
        }
        disk.unreadable.store(false, Ordering::SeqCst);
        work().unwrap();
        assert_eq!((node.fault(), node.branches().len()), (None, 1), "{index}");

        // What was begun before says nothing about the database that is open now.
        let closed = Err::<(), _>(StateError::database(redb::Error::DatabaseClosed).into());
        node.note_failure_since(before, &closed);
        assert_eq!((node.fault(), node.opened_disk().unwrap()), (None, before + 1), "{index}");
    }
    assert_eq!(node.meters.failed.value(), 2);
    node.verify(&block).unwrap();
    node.finalise(&block).unwrap();
    assert_eq!(paid(&node).unwrap().balance, U256::ONE);
}

#[test]
fn blocks_without_end_do_not_fill_the_memory() {
    let node = open(&Disk::new());
    let genesis = node.head().header.clone();
    // Many branches: the oldest leaves go, the longest branch stays.
    let long = propose(&node, &genesis, 0);
    for salt in 1..64 {
        propose(&node, &genesis, salt);
    }
    assert_eq!(node.branches().len(), HELD_MAX);
    let mut tip = propose(&node, &long.header, 0).header;
    while tip.number < 60 {
        tip = propose(&node, &tip, 0).header;
        assert_eq!(node.branches().len(), HELD_MAX);
    }
    // One branch alone that long is refused, until something is final.
    let (error, executed) = loop {
        let executed = node.meters.execute.count();
        match node.propose(&tip.hash(), attributes(&tip, 0)) {
            Ok(made) => tip = made.block.header.clone(),
            Err(error) => break (error, executed),
        }
    };
    assert!(matches!(error, NodeError::TooManyHeld { max: HELD_MAX }), "{error}");
    assert_eq!(tip.number, 64);
    // Nobody paid for executing what there was no room for: not even for a block that is not valid.
    let header = Header {
        number: 65,
        parent_hash: tip.hash(),
        state_root: B256::ZERO,
        ..tip.inner().clone()
    };
    let invalid = Block::new(SealedHeader::new(header), Vec::new());
    let error = node.verify(&invalid).unwrap_err();
    assert!(matches!(error, NodeError::TooManyHeld { max: HELD_MAX }), "{error}");
    assert_eq!((node.meters.execute.count(), node.meters.verify.count()), (executed, 0));
    node.finalise(&long).unwrap();
    propose(&node, &tip, 0);
}

#[test]
fn what_breaks_a_rule_is_neither_proposed_nor_held() {
    let (node, other) = (open(&Disk::new()), open(&Disk::new()));
    let genesis = node.head().header.clone();
    for wrong in [
        BlockAttributes { extra_data: vec![0; 33].into(), ..attributes(&genesis, 1) },
        BlockAttributes { gas_limit: genesis.gas_limit * 2, ..attributes(&genesis, 1) },
        BlockAttributes { timestamp: genesis.timestamp - 1, ..attributes(&genesis, 1) },
        BlockAttributes { proof_of_work: Some(ProofOfWork::default()), ..attributes(&genesis, 1) },
    ] {
        let refused = node.propose(&genesis.hash(), wrong).unwrap_err();
        assert!(matches!(refused, NodeError::Execution(_)), "{refused}");
    }
    assert_eq!(node.branches().len(), 0);

    node.submit(&transfer(0)).unwrap();
    let block = propose(&node, &genesis, 1);
    let spoils: [fn(&mut Header); 17] = [
        |header| header.number += 1,
        |header| header.timestamp = 0,
        |header| header.gas_limit *= 2,
        |header| header.gas_used += 1,
        |header| header.gas_used = header.gas_limit + 1,
        |header| header.difficulty = U256::ONE,
        |header| header.nonce = B64::repeat_byte(1),
        |header| header.extra_data = vec![0; 33].into(),
        |header| header.state_root = B256::ZERO,
        |header| header.receipts_root = B256::ZERO,
        |header| header.transactions_root = B256::ZERO,
        |header| header.ommers_hash = B256::ZERO,
        |header| header.base_fee_per_gas = None,
        |header| header.blob_gas_used = header.blob_gas_used.is_none().then_some(0),
        |header| header.withdrawals_root = header.withdrawals_root.is_none().then_some(B256::ZERO),
        |header| header.requests_hash = header.requests_hash.is_none().then_some(B256::ZERO),
        |header| header.block_access_list_hash = Some(B256::ZERO),
    ];
    for (index, spoil) in spoils.into_iter().enumerate() {
        let mut header = block.header.inner().clone();
        spoil(&mut header);
        let forged = Block { header: SealedHeader::new(header), ..block.clone() };
        for refused in [other.verify(&forged), other.finalise(&forged)] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, NodeError::Execution(_)), "{index}: {refused}");
        }
    }
    assert_eq!((other.branches().len(), other.fault()), (0, None));
    other.verify(&block).unwrap();
    other.finalise(&block).unwrap();
}

#[test]
fn a_block_that_several_give_at_once_is_final_for_each_of_them() {
    let (maker, node) = (open(&Disk::new()), open(&Disk::new()));
    let mut tip = maker.head().header.clone();
    for nonce in 0..20 {
        maker.submit(&transfer(nonce)).unwrap();
        let block = propose(&maker, &tip, 1);
        let give = || node.finalise(&block);
        std::thread::scope(|scope| {
            let givers = [(); 4].map(|()| scope.spawn(give));
            for giver in givers {
                giver.join().unwrap().unwrap();
            }
        });
        tip = block.header.clone();
        assert_eq!(node.head().header.hash(), tip.hash());
    }
}

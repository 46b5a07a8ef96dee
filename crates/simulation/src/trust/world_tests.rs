//! Blocks that are taken back, and such that nothing ever comes into.

use alloy_sol_types::SolCall;
use tilth_contracts::{JobBook, SoloRandomness};

use super::*;
use crate::{adversary::proposing, trust::scene::Tx};

/// Ranges of the first job that are claimed or handed in, at the head of the chain.
fn outstanding(world: &mut World) -> u32 {
    let book = world.scene.farm.addresses().job_book;
    world.scene.farm.read(book, &JobBook::jobCall { jobId: 1 }).unwrap().outstanding
}

/// The beacon of a block.
fn beacon(world: &mut World, round: u64) -> B256 {
    let randomness = world.scene.farm.addresses().randomness;
    world.scene.farm.read(randomness, &SoloRandomness::valueCall { round }).unwrap()
}

#[test]
fn what_is_taken_back_waits_again_and_comes_under_another_beacon() {
    let mut random = Random::new(7);
    let cast = proposing::reorganising(&mut random);
    let mut world = World::new(&Farm::new().unwrap(), cast, random).unwrap();
    // First they try a task.
    world.act().unwrap();
    world.block().unwrap();
    world.act().unwrap();
    let sent: Vec<_> = world.scene.pool.iter().map(|tx| (tx.from, tx.data.clone())).collect();
    assert!(sent.len() > 1, "providers claim");
    world.block().unwrap();
    assert!(world.scene.pool.is_empty() && outstanding(&mut world) > 0);
    assert!(world.scene.public.ranges.is_empty(), "nobody has heard of it");
    let claimed_in = world.scene.farm.block;
    world.seal(true);
    let (head, first) = (world.scene.farm.block, beacon(&mut world, claimed_in));

    // In the one block on top of it there is nothing to take back.
    world.take_back(1);
    assert!(world.scene.pool.is_empty() && outstanding(&mut world) > 0);
    world.take_back(2);
    assert_eq!((world.scene.farm.block, outstanding(&mut world)), (head, 0));
    let mut waiting: Vec<_> =
        world.scene.pool.iter().map(|tx| (tx.from, tx.data.clone())).collect();
    waiting.sort();
    let mut all = sent;
    all.sort();
    assert_eq!(waiting, all);
    let second = beacon(&mut world, claimed_in);
    assert!(first != second && !first.is_zero() && !second.is_zero());

    let outcome = world.finish().unwrap();
    assert_eq!(outcome.faults, Vec::<String>::new());
    assert!(outcome.counts.undone_blocks > 1);
}

/// Makes blocks with nothing in them.
struct Idle;

impl Proposer for Idle {
    fn take(&mut self, _: &mut Vec<Tx>, _: Millis, _: &mut Random) -> Vec<Tx> {
        Vec::new()
    }
}

#[test]
fn a_world_in_which_something_waits_for_ever_is_not_idle() {
    let play = |is_idle: bool| {
        let mut cast = Cast::honest(4, 1, 0);
        // Where there are no auditors nobody claims what is audited.
        cast.clients[0].audited = false;
        if is_idle {
            cast.proposer = Box::new(Idle);
        }
        let mut world = World::new(&Farm::new().unwrap(), cast, Random::new(1)).unwrap();
        world.run().unwrap();
        world.oracle
    };
    assert_eq!(play(false).faults, Vec::<String>::new());
    let oracle = play(true);
    assert_eq!(oracle.faults.len(), 1, "{:?}", oracle.faults);
    let fault = &oracle.faults[0];
    assert!(fault.starts_with("not idle in the end"), "{fault}");
    assert!(fault.contains(JobBook::claimCall::SIGNATURE), "{fault}");
    assert!(oracle.counts.left_waiting > 0);
}
